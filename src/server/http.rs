//! Routes, and the way of a request through them.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody, to_bytes},
    extract::{Path, Request as HttpRequest, State as Shared},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response as HttpResponse},
    routing::{get, post},
};
use hyper::body::{Frame, SizeHint};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowHeaders, AllowOrigin, CorsLayer},
};

use super::{
    State,
    compute::Job,
    engine::Served,
    envelope::{self, Counts, header_value},
    error::ApiError,
    models,
    request::Request,
    response::Response,
};

/// Names the weights behind the vectors of an answer.
const SPACE: HeaderName = HeaderName::from_static("x-embedding-space");
/// Seconds after which a client may ask whether the model is loaded.
const LOADING_RETRY_S: u64 = 5;

/// All routes.
pub fn router(state: Arc<State>) -> Router {
    let guarded = Router::new()
        .route("/v1/embeddings", post(embeddings))
        .route("/v1/models", get(list_models))
        .route("/v1/models/{*id}", get(one_model))
        .route_layer(from_fn_with_state(state.clone(), check_key));
    let router = Router::new()
        .route("/health", get(alive))
        .route("/live", get(alive))
        .route("/ready", get(ready))
        .merge(guarded)
        .fallback(|| async {
            ApiError::new(404, "RESOURCE_NOT_FOUND", "There is nothing at this path.")
        })
        .method_not_allowed_fallback(|| async {
            let detail = "This path has no such method; the Allow header lists those it has.";
            ApiError::new(405, "METHOD_NOT_ALLOWED", detail)
        });
    // A defect costs one answer, in builds whose panics unwind (the release build's do not).
    let router = router.layer(CatchPanicLayer::custom(|_| unexpected().into_response()));
    let router = match cors(&state.config.origins) {
        Some(cors) => router.layer(cors),
        None => router,
    };
    router.layer(from_fn(envelope::surround)).with_state(state)
}

/// Lets pages of other origins ask; `None` where none may.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|it| it.parse().ok()).collect();
    if origins.is_empty() {
        return None;
    }
    let origins = match origins.iter().any(|origin| origin == "*") {
        true => AllowOrigin::any(),
        false => AllowOrigin::list(origins),
    };
    Some(
        CorsLayer::new()
            .allow_origin(origins)
            .allow_methods([Method::GET, Method::POST])
            // Clients add headers of their own to say what they are.
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers([envelope::REQUEST_ID, SPACE, header::RETRY_AFTER])
            // A public page may ask a server on this machine, where its origin is allowed.
            .allow_private_network(true)
            .max_age(std::time::Duration::from_secs(86_400)),
    )
}

async fn alive() -> axum::Json<Value> {
    axum::Json(json!({ "status": "ok" }))
}

async fn ready(Shared(state): Shared<Arc<State>>) -> HttpResponse {
    match state.served() {
        Ok(_) => axum::Json(json!({ "status": "ready" })).into_response(),
        Err(error) => error.into_response(),
    }
}

async fn list_models(Shared(state): Shared<Arc<State>>) -> Result<HttpResponse, ApiError> {
    Ok(axum::Json(models::list(state.served()?)).into_response())
}

async fn one_model(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<String>,
) -> Result<HttpResponse, ApiError> {
    let served = state.served()?;
    match served.is_called(&id) {
        true => Ok(axum::Json(models::info(served)).into_response()),
        false => {
            let id: String = id.chars().take(64).collect();
            let detail = format!("Model '{id}' not found. Available models: {}", served.name);
            Err(ApiError::new(404, "RESOURCE_NOT_FOUND", detail))
        }
    }
}

async fn embeddings(
    Shared(state): Shared<Arc<State>>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let served = state.served()?;
    // Before the body is read, so that bodies in memory are as many as places.
    let Ok(place) = state.slots.clone().try_acquire_owned() else {
        let n_requests = state.config.n_requests;
        let detail = format!("{n_requests} requests are waiting already");
        return Err(ApiError::unavailable(detail, state.load.wait_s()));
    };
    let timeout = state.config.timeout;
    match tokio::time::timeout(timeout, embed(&state, served, request, place)).await {
        Ok(result) => result,
        Err(_) => {
            let seconds = timeout.as_secs();
            let detail =
                format!("Request timed out after {seconds} seconds. Send fewer inputs at once.");
            Err(ApiError::new(504, "SERVICE_TIMEOUT", detail))
        }
    }
}

async fn embed(
    state: &Arc<State>,
    served: &Served,
    request: HttpRequest,
    place: OwnedSemaphorePermit,
) -> Result<HttpResponse, ApiError> {
    let body = read_body(state, request).await?;
    let for_parsing = (state.clone(), served.clone());
    let request = in_background(move || {
        let (state, served) = for_parsing;
        let config = &state.config;
        Request::parse(&body, &served, config.default_task, &config.limits)
    })
    .await??;
    let Request {
        inputs,
        options,
        dimensions,
        encodings,
    } = request;
    let n_inputs = inputs.len();
    let (reply, answer) = oneshot::channel();
    state.load.add(n_inputs);
    let job = Job {
        inputs,
        options,
        max_values: state.config.limits.values,
        reply,
    };
    if state.jobs.send(job).is_err() {
        return Err(ApiError::unavailable(
            "the server is stopping",
            LOADING_RETRY_S,
        ));
    }
    // Dropped with this future when the client goes away or the time is up, which the thread sees.
    let outputs = answer
        .await
        .map_err(|_| ApiError::unavailable("the server is stopping", LOADING_RETRY_S))??;
    let response = Response {
        model: served.name.clone(),
        outputs,
        multivector: options.multivector,
        dimensions,
        encodings,
    };
    let n_tokens = response.n_tokens();
    let json = in_background(move || response.into_json())
        .await?
        .map_err(|error| internal(&error))?;
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (SPACE, header_value(&served.space)),
    ];
    let body = Body::new(Held {
        bytes: Some(json.into()),
        _place: place,
    });
    let mut response = (headers, body).into_response();
    response
        .extensions_mut()
        .insert(Counts { n_inputs, n_tokens });
    Ok(response)
}

async fn read_body(state: &State, request: HttpRequest) -> Result<Bytes, ApiError> {
    let max_bytes = state.config.limits.body_bytes;
    let too_large = || {
        let detail = format!("The body has more than {max_bytes} bytes.");
        ApiError::new(413, "INPUT_TOO_LARGE", detail)
    };
    let is_nothing = request.body().size_hint().exact() == Some(0)
        && !request.headers().contains_key(header::CONTENT_TYPE);
    // Nothing has no type; what it lacks is told with the fields.
    if !is_json(request.headers()) && !is_nothing {
        let detail = "The Content-Type must be application/json.";
        return Err(ApiError::new(415, "INPUT_CONTENT_TYPE", detail));
    }
    if request.body().size_hint().lower() > max_bytes as u64 {
        return Err(too_large());
    }
    let reading = to_bytes(request.into_body(), max_bytes);
    match tokio::time::timeout(state.config.body_timeout, reading).await {
        Ok(Ok(bytes)) => Ok(bytes),
        // Longer than allowed, or broken off: then nobody reads what is said here.
        Ok(Err(_)) => Err(too_large()),
        Err(_) => {
            let seconds = state.config.body_timeout.as_secs();
            let detail = format!("The body did not arrive within {seconds} seconds.");
            Err(ApiError::new(408, "REQUEST_TIMEOUT", detail))
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return false;
    };
    let value = String::from_utf8_lossy(value.as_bytes()).to_lowercase();
    let media_type = value.split(';').next().unwrap_or_default().trim();
    media_type == "application/json" || media_type.ends_with("+json")
}

/// Runs what may take long away from the threads that serve connections.
async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    let result = tokio::task::spawn_blocking(work).await;
    result.map_err(|error| internal(&error))
}

fn internal(error: &dyn std::error::Error) -> ApiError {
    log::error!("{error}");
    unexpected()
}

fn unexpected() -> ApiError {
    ApiError::new(500, "INTERNAL_ERROR", "An unexpected error occurred.")
}

impl State {
    /// The model, once there is one and while there is still time.
    fn served(&self) -> Result<&Served, ApiError> {
        if self.is_stopping.load(Ordering::Relaxed) || self.jobs.is_closed() {
            return Err(ApiError::unavailable(
                "the server is stopping",
                LOADING_RETRY_S,
            ));
        }
        self.served.get().ok_or_else(|| {
            let detail = format!("the model is loading ({} %)", self.loading.percent());
            ApiError::unavailable(detail, LOADING_RETRY_S)
        })
    }
}

/// A body that keeps the place of its request until it has been sent.
struct Held {
    bytes: Option<Bytes>,
    _place: OwnedSemaphorePermit,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

async fn check_key(
    Shared(state): Shared<Arc<State>>,
    request: HttpRequest,
    next: Next,
) -> Result<HttpResponse, ApiError> {
    let header = request.headers().get(header::AUTHORIZATION);
    state.config.keys.check(header.map(HeaderValue::as_bytes))?;
    Ok(next.run(request).await)
}
