//! What surrounds each request: its id, the body of its error, its line in the log.
//!
//! A line is `METHOD PATH STATUS [CODE] MSms [inputs=N tokens=N] id=ID`: never a text, a picture, a
//! vector, a query string or a key.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::error::ApiError;

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What the log tells of an answer beyond its status.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    pub n_inputs: usize,
    pub n_tokens: usize,
}

/// The body waits for [`surround`], which knows the request's id.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == 401 {
            let scheme = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Gives the request an id, its answer the same, and writes its line in the log.
pub async fn surround(request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let mut line = Line::new(&request, &id);
    let mut response = next.run(request).await;
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        let (mut parts, _) = response.into_parts();
        parts.headers.remove(header::CONTENT_LENGTH);
        let json = axum::Json(error.body(&id)).into_response();
        let content_type = HeaderValue::from_static("application/json");
        parts.headers.insert(header::CONTENT_TYPE, content_type);
        line.code = error.code;
        response = Response::from_parts(parts, json.into_body());
    }
    response.headers_mut().insert(REQUEST_ID, header_value(&id));
    line.status = Some(response.status());
    line.counts = response.extensions().get().copied().unwrap_or_default();
    response
}

/// The caller's id where it is harmless, or a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    let is_harmless = |id: &&str| {
        (1..=64).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    if let Some(id) = given.filter(is_harmless) {
        return id.to_owned();
    }
    // To tell requests apart, not to be secret.
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{:016x}", RandomState::new().hash_one(n))
}

/// A line of the log, written when the request ends, also if its client goes away before.
struct Line {
    began: Instant,
    method: Method,
    path: String,
    id: String,
    status: Option<StatusCode>,
    code: &'static str,
    counts: Counts,
}

impl Line {
    fn new(request: &Request, id: &str) -> Line {
        Line {
            began: Instant::now(),
            method: request.method().clone(),
            // Without the query, which may hold anything.
            path: request.uri().path().chars().take(100).collect(),
            id: id.to_owned(),
            status: None,
            code: "",
            counts: Counts::default(),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let Line {
            method, path, id, ..
        } = self;
        let status = match self.status {
            Some(status) => status.as_u16().to_string(),
            None => "client-gone".into(),
        };
        let code = match self.code {
            "" => String::new(),
            code => format!(" {code}"),
        };
        let counts = match self.counts {
            Counts { n_inputs: 0, .. } => String::new(),
            Counts { n_inputs, n_tokens } => format!(" inputs={n_inputs} tokens={n_tokens}"),
        };
        let ms = self.began.elapsed().as_millis();
        log::info!("{method} {path} {status}{code} {ms}ms{counts} id={id}");
    }
}

/// Text as a header; a name that no header can hold is left out.
pub fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}
