//! The HTTP layer in front of an engine that computes nothing: what it admits, refuses, cancels
//! and finishes. The real model behind it is in `serve_command.rs`.
#![cfg(feature = "cli")]

mod http;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Duration,
};

use http::{Answer, TIMEOUT, embed, embed_with, get, send};
use jina_embeddings_web::{
    Code, Error, Result,
    server::{Config, Engine, Input, Keys, Limits, Options, Output, Served, serve},
    text::Task,
};
use serde_json::json;
use tokio::sync::oneshot;

/// What an engine tells the test, and the test the engine.
struct Remote {
    /// A turn began.
    began: mpsc::Receiver<()>,
    /// Nobody waited for a turn any more.
    unwanted: mpsc::Receiver<()>,
    /// Lets one turn end.
    go: mpsc::Sender<Result<()>>,
    /// The failure of the device.
    fail: mpsc::Sender<Error>,
}

/// Gives a text its bytes as a vector of eight; a text that begins with `wait` waits for the test.
struct Bytes {
    began: mpsc::Sender<()>,
    unwanted: mpsc::Sender<()>,
    go: mpsc::Receiver<Result<()>>,
    fail: mpsc::Receiver<Error>,
}

fn engine() -> (Bytes, Remote) {
    let (began, test_began) = mpsc::channel();
    let (unwanted, test_unwanted) = mpsc::channel();
    let (test_go, go) = mpsc::channel();
    let (test_fail, fail) = mpsc::channel();
    (
        Bytes {
            began,
            unwanted,
            go,
            fail,
        },
        Remote {
            began: test_began,
            unwanted: test_unwanted,
            go: test_go,
            fail: test_fail,
        },
    )
}

impl Engine for Bytes {
    fn encode(
        &mut self,
        inputs: Vec<Input>,
        _: Options,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<Vec<Result<Output>>> {
        let waits = |input: &Input| matches!(input, Input::Text(text) if text.starts_with("wait"));
        if inputs.iter().any(waits) {
            let _ = self.began.send(());
            loop {
                match self.go.recv_timeout(Duration::from_millis(5)) {
                    Ok(result) => break result?,
                    Err(_) if is_wanted() => {}
                    Err(_) => {
                        let _ = self.unwanted.send(());
                        return Err(Error::Aborted);
                    }
                }
            }
        }
        let one = |input: Input| {
            let bytes = match input {
                Input::Text(text) => text.into_bytes(),
                Input::Image(bytes) => bytes,
            };
            let n_tokens = bytes.len();
            let values = bytes.into_iter().map(f32::from).chain([0.0; 8]).take(8);
            Ok(Output {
                values: values.collect(),
                dimensions: 8,
                n_tokens,
                tokens: None,
            })
        };
        Ok(inputs.into_iter().map(one).collect())
    }

    fn check(&self) -> Result<()> {
        self.fail.try_recv().map_or(Ok(()), Err)
    }
}

fn served() -> Served {
    Served {
        name: "jina-embeddings-v4".into(),
        space: "a-space".into(),
        dimensions: 8,
        max_tokens: 100,
        tasks: Task::ALL.to_vec(),
        takes_images: true,
        makes_multivectors: true,
    }
}

/// A server in threads of its own.
struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    ended: Option<JoinHandle<Result<()>>>,
    remote: Remote,
}

impl Running {
    fn stop(&mut self) {
        drop(self.stop.take());
    }

    fn result(&mut self) -> Result<()> {
        self.ended.take().expect("once").join().expect("no panic")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
        if let Some(ended) = self.ended.take() {
            let result = ended.join();
            if !thread::panicking() {
                result.expect("no panic").expect("a clean end");
            }
        }
    }
}

/// A server whose model is loaded when `loaded` says so.
fn start_loading(config: Config, loaded: mpsc::Receiver<Result<()>>) -> Running {
    let (engine, remote) = engine();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel::<()>();
    let ended = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let make = move |loading: &jina_embeddings_web::server::Loading| {
            loading.progress(1, 4);
            loaded.recv_timeout(TIMEOUT).expect("the test decides")?;
            Ok((served(), Box::new(engine) as Box<dyn Engine>))
        };
        runtime.block_on(async {
            listener.set_nonblocking(true).expect("a socket");
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            let stopped = async { drop(stopped.await) };
            serve::<_, Error>(listener, config, make, stopped).await
        })
    });
    Running {
        address,
        stop: Some(stop),
        ended: Some(ended),
        remote,
    }
}

fn start(config: Config) -> Running {
    let (loaded, model) = mpsc::channel();
    loaded.send(Ok(())).expect("a receiver");
    let running = start_loading(config, model);
    // The model is there as soon as its thread has run; requests before that are told to wait.
    while get(running.address, "/ready").status != 200 {
        thread::yield_now();
    }
    running
}

#[test]
fn a_model_that_loads_is_told_from_one_that_is_ready() {
    let (loaded, model) = mpsc::channel();
    let running = start_loading(Config::default(), model);
    let at = running.address;
    assert_eq!(get(at, "/health").json(), json!({"status": "ok"}));
    assert_eq!(get(at, "/live").status, 200);
    for answer in [
        get(at, "/ready"),
        get(at, "/v1/models"),
        embed(at, &json!({"input": "a"})),
    ] {
        assert_eq!(answer.status, 503);
        assert_eq!(answer.error_code(), "SERVICE_UNAVAILABLE");
        assert_eq!(answer.header("retry-after"), Some("5"));
    }
    loaded.send(Ok(())).unwrap();
    while get(at, "/ready").status != 200 {
        thread::yield_now();
    }
    let answer = embed(at, &json!({"input": "ab"}));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-embedding-space"), Some("a-space"));
    assert_eq!(
        answer.json(),
        json!({
            "model": "jina-embeddings-v4",
            "object": "list",
            "usage": {"total_tokens": 2, "prompt_tokens": 2},
            "data": [{
                "object": "embedding",
                "index": 0,
                "embedding": [97.0, 98.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            }],
        })
    );
}

#[test]
fn a_model_that_cannot_be_loaded_ends_the_server_with_its_error() {
    let (loaded, model) = mpsc::channel();
    let mut running = start_loading(Config::default(), model);
    let error = Error::Device {
        code: Code::NoAdapter,
        message: "none".into(),
    };
    loaded.send(Err(error)).unwrap();
    assert_eq!(running.result().unwrap_err().code(), Code::NoAdapter);
    assert!(TcpStream::connect(running.address).is_err());
}

#[test]
fn a_server_that_stops_while_its_model_loads_does_not_wait_for_it() {
    let (loaded, model) = mpsc::channel();
    let mut running = start_loading(Config::default(), model);
    running.stop();
    // Loaded, but too late to be used.
    loaded.send(Ok(())).unwrap();
    assert!(running.result().is_ok());
}

#[test]
fn with_a_key_only_its_owner_is_answered_and_health_is_for_all() {
    let config = Config {
        keys: Keys::of_lines("key-one\nkey-two"),
        ..Config::default()
    };
    let running = start(config);
    let at = running.address;
    let body = json!({"input": "a"});
    let ask = |headers: &[(&str, &str)]| embed_with(at, headers, &body).answer();
    for key in ["Bearer key-one", "Bearer key-two"] {
        assert_eq!(ask(&[("authorization", key)]).status, 200);
    }
    for (headers, code) in [
        (&[][..], "AUTH_MISSING_API_KEY"),
        (&[("authorization", "key-one")], "AUTH_INVALID_FORMAT"),
        (
            &[("authorization", "Bearer key-three")],
            "AUTH_INVALID_API_KEY",
        ),
    ] {
        let answer = ask(headers);
        assert_eq!((answer.status, &*answer.error_code()), (401, code));
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        assert!(!String::from_utf8_lossy(&answer.body).contains("key-"));
    }
    assert_eq!(get(at, "/v1/models").status, 401);
    assert_eq!(get(at, "/health").status, 200);
    assert_eq!(get(at, "/ready").status, 200);
}

#[test]
fn a_request_beyond_the_places_is_told_when_to_come_back() {
    let config = Config {
        n_requests: 1,
        ..Config::default()
    };
    let running = start(config);
    let at = running.address;
    let first = embed_with(at, &[], &json!({"input": "wait"}));
    running.remote.began.recv_timeout(TIMEOUT).unwrap();
    let second = embed(at, &json!({"input": "b"}));
    assert_eq!(second.status, 503);
    assert_eq!(second.error_code(), "SERVICE_UNAVAILABLE");
    assert_eq!(second.header("retry-after"), Some("1"));
    running.remote.go.send(Ok(())).unwrap();
    assert_eq!(first.answer().status, 200);
    // The place is free again.
    assert_eq!(embed(at, &json!({"input": "b"})).status, 200);
}

#[test]
fn a_client_that_goes_away_ends_its_computation_and_frees_its_place() {
    let config = Config {
        n_requests: 1,
        ..Config::default()
    };
    let running = start(config);
    let sent = embed_with(running.address, &[], &json!({"input": "wait"}));
    running.remote.began.recv_timeout(TIMEOUT).unwrap();
    drop(sent);
    running.remote.unwanted.recv_timeout(TIMEOUT).unwrap();
    // Its place and its computation are given up at nearly the same time.
    while embed(running.address, &json!({"input": "b"})).status != 200 {
        thread::yield_now();
    }
}

#[test]
fn a_request_that_takes_too_long_is_504_and_its_computation_ends() {
    let config = Config {
        timeout: Duration::from_millis(30),
        ..Config::default()
    };
    let running = start(config);
    let answer = embed(running.address, &json!({"input": "wait"}));
    assert_eq!(answer.status, 504);
    assert_eq!(answer.error_code(), "SERVICE_TIMEOUT");
    running.remote.unwanted.recv_timeout(TIMEOUT).unwrap();
}

#[test]
fn a_stopping_server_finishes_what_is_in_flight_and_takes_no_more() {
    let mut running = start(Config::default());
    let sent = embed_with(running.address, &[], &json!({"input": "wait"}));
    running.remote.began.recv_timeout(TIMEOUT).unwrap();
    // A connection that asks nothing holds nobody up.
    let idle = TcpStream::connect(running.address).unwrap();
    running.stop();
    while TcpStream::connect(running.address).is_ok() {
        thread::yield_now();
    }
    running.remote.go.send(Ok(())).unwrap();
    assert_eq!(sent.answer().status, 200);
    assert!(running.result().is_ok());
    drop(idle);
}

#[test]
fn what_is_still_in_flight_after_the_grace_is_cut_off() {
    let config = Config {
        grace: Duration::from_millis(30),
        ..Config::default()
    };
    let mut running = start(config);
    let mut sent = embed_with(running.address, &[], &json!({"input": "wait"}));
    running.remote.began.recv_timeout(TIMEOUT).unwrap();
    running.stop();
    running.remote.unwanted.recv_timeout(TIMEOUT).unwrap();
    assert!(running.result().is_ok());
    let mut nothing = Vec::new();
    assert!(matches!(sent.0.read_to_end(&mut nothing), Ok(0) | Err(_)));
}

#[test]
fn a_device_that_fails_ends_the_server_with_its_error() {
    let mut running = start(Config::default());
    let sent = embed_with(running.address, &[], &json!({"input": "wait"}));
    running.remote.began.recv_timeout(TIMEOUT).unwrap();
    let lost = || Error::Device {
        code: Code::DeviceLost,
        message: "unplugged".into(),
    };
    running.remote.fail.send(lost()).unwrap();
    running.remote.go.send(Err(lost())).unwrap();
    let answer = sent.answer();
    assert_eq!(answer.status, 500);
    assert_eq!(answer.error_code(), "INTERNAL_ERROR");
    assert_eq!(running.result().unwrap_err().code(), Code::DeviceLost);
}

#[test]
fn a_body_that_is_too_large_is_413_whether_its_length_is_told_or_not() {
    let config = Config {
        limits: Limits {
            body_bytes: 100,
            ..Limits::default()
        },
        ..Config::default()
    };
    let running = start(config);
    let json = ("content-type", "application/json");
    let chunked = ("transfer-encoding", "chunked");
    let post = |headers: &[(&str, &str)], body: &[u8]| {
        send(running.address, "POST", "/v1/embeddings", headers, body).answer()
    };
    let body = [b' '; 101];
    let mut in_chunks = b"65\r\n".to_vec();
    in_chunks.extend(body);
    in_chunks.extend(b"\r\n0\r\n\r\n");
    for answer in [post(&[json], &body), post(&[json, chunked], &in_chunks)] {
        assert_eq!(answer.status, 413);
        assert_eq!(answer.error_code(), "INPUT_TOO_LARGE");
    }
    assert_eq!(post(&[json], &body[..100]).status, 422);
}

#[test]
fn a_body_that_never_comes_is_408_and_a_head_that_never_ends_is_closed() {
    let config = Config {
        head_timeout: Duration::from_millis(30),
        body_timeout: Duration::from_millis(30),
        ..Config::default()
    };
    let running = start(config);
    let headers = "host: a\r\nconnection: close\r\ncontent-type: application/json\r\n";
    let mut without_body = TcpStream::connect(running.address).unwrap();
    let head = format!("POST /v1/embeddings HTTP/1.1\r\n{headers}content-length: 50\r\n\r\n");
    without_body.write_all(head.as_bytes()).unwrap();
    let answer = http::Sent(without_body).answer();
    assert_eq!(answer.status, 408);
    assert_eq!(answer.error_code(), "REQUEST_TIMEOUT");

    let mut half_a_head = TcpStream::connect(running.address).unwrap();
    half_a_head.set_read_timeout(Some(TIMEOUT)).unwrap();
    half_a_head
        .write_all(b"GET /health HTTP/1.1\r\nho")
        .unwrap();
    let mut left = Vec::new();
    assert!(half_a_head.read_to_end(&mut left).is_ok(), "closed");
}

#[test]
fn other_paths_methods_and_types_have_errors_of_the_same_shape() {
    let running = start(Config::default());
    let at = running.address;
    let json = ("content-type", "application/json");
    let text = ("content-type", "text/plain");
    let check = |answer: Answer, status, code| {
        assert_eq!((answer.status, &*answer.error_code()), (status, code));
    };
    check(get(at, "/v2/embeddings"), 404, "RESOURCE_NOT_FOUND");
    check(get(at, "/v1/models/other"), 404, "RESOURCE_NOT_FOUND");
    check(get(at, "/v1/embeddings"), 405, "METHOD_NOT_ALLOWED");
    let put = send(at, "PUT", "/v1/models", &[json], b"").answer();
    assert!(put.header("allow").is_some_and(|it| it.contains("GET")));
    check(put, 405, "METHOD_NOT_ALLOWED");
    for headers in [&[text][..], &[]] {
        let answer = send(at, "POST", "/v1/embeddings", headers, b"{}").answer();
        check(answer, 415, "INPUT_CONTENT_TYPE");
    }
    let nothing = send(at, "POST", "/v1/embeddings", &[], b"").answer();
    check(nothing, 422, "INPUT_INVALID");
    check(embed(at, &json!({"input": 5})), 422, "INPUT_INVALID");
    check(embed(at, &json!([])), 422, "INPUT_INVALID");
}

#[test]
fn the_model_is_listed_and_found_with_and_without_its_organisation() {
    let running = start(Config::default());
    let list = get(running.address, "/v1/models").json();
    assert_eq!(list["object"], "list");
    let model = &list["data"][0];
    assert_eq!(model["id"], "jina-embeddings-v4");
    assert_eq!(model["space"], "a-space");
    assert_eq!(model["input_modalities"], json!(["text", "image"]));
    assert_eq!(model["max_output_length"], 8);
    for id in ["jina-embeddings-v4", "jina-ai/jina-embeddings-v4"] {
        let found = get(running.address, &format!("/v1/models/{id}"));
        assert_eq!(&found.json(), model, "{id}");
    }
}

#[test]
fn every_answer_has_an_id_the_callers_where_that_is_harmless() {
    let running = start(Config::default());
    let id_for = |given: &[(&str, &str)]| {
        let answer = send(running.address, "GET", "/health", given, b"").answer();
        answer.header("x-request-id").expect("an id").to_owned()
    };
    assert_eq!(id_for(&[("x-request-id", "Trace-1.a_b")]), "Trace-1.a_b");
    let own = id_for(&[]);
    assert_eq!(own.len(), 16);
    assert!(own.bytes().all(|byte| byte.is_ascii_hexdigit()), "{own}");
    let long = "x".repeat(65);
    for hostile in ["", "a b", "<script>", &long, "\u{e9}"] {
        let id = id_for(&[("x-request-id", hostile)]);
        assert_eq!(id.len(), 16, "{hostile:?} gave {id:?}");
    }
    assert_ne!(own, id_for(&[]));
}

#[test]
fn only_pages_of_allowed_origins_may_ask() {
    let config = Config {
        origins: vec!["https://good.example".into()],
        keys: Keys::of_lines("key"),
        ..Config::default()
    };
    let running = start(config);
    let preflight = |at, origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            (
                "access-control-request-headers",
                "authorization,content-type,x-own",
            ),
        ];
        send(at, "OPTIONS", "/v1/embeddings", &headers, b"").answer()
    };
    let answer = preflight(running.address, "https://good.example");
    assert_eq!(answer.status, 200, "a preflight has no key");
    let allowed = |answer: &Answer| {
        let found = answer.header("access-control-allow-origin");
        found.map(str::to_owned)
    };
    assert_eq!(allowed(&answer).as_deref(), Some("https://good.example"));
    let headers = answer
        .header("access-control-allow-headers")
        .expect("headers");
    assert!(headers.contains("x-own"), "{headers}");
    assert_eq!(
        allowed(&preflight(running.address, "https://bad.example")),
        None
    );
    let headers = [
        ("origin", "https://good.example"),
        ("authorization", "Bearer key"),
    ];
    let answer = embed_with(running.address, &headers, &json!({"input": "a"})).answer();
    assert_eq!((answer.status, allowed(&answer).is_some()), (200, true));
    // Errors can be read by the page as well.
    let answer = embed_with(running.address, &headers[..1], &json!({"input": "a"})).answer();
    assert_eq!((answer.status, allowed(&answer).is_some()), (401, true));

    let closed = start(Config::default());
    assert_eq!(
        allowed(&preflight(closed.address, "https://good.example")),
        None
    );
    let any = start(Config {
        origins: vec!["*".into()],
        ..Config::default()
    });
    assert_eq!(
        allowed(&preflight(any.address, "https://a.example")).as_deref(),
        Some("*")
    );
}

#[test]
fn bytes_that_are_no_http_harm_nobody() {
    let running = start(Config::default());
    for bytes in [
        &b"\0\0\0\0"[..],
        b"GET\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"",
    ] {
        let mut stream = TcpStream::connect(running.address).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{bytes:?}");
    }
    assert_eq!(get(running.address, "/health").status, 200);
}
