//! A model behind HTTP: `POST /v1/embeddings` as Jina's hosted API has it, for the one model that
//! is loaded, on this machine.
//!
//! ```text
//! listen ──► http ──► request ──► compute (one thread) ──► response
//! sockets    routes   JSON to     turns of a few inputs    vectors to
//!            keys     inputs      through an Engine        JSON
//! ```
//!
//! This module knows HTTP and JSON; what computes is an [`Engine`], made by the caller on the
//! thread that will use it. The answers follow Jina's OpenAPI file (version 2026.02.03.2131), whose
//! paths `/v1/embeddings`, `/v1/models`, `/v1/models/{id}`, `/health`, `/live`, `/ready` are here.
//!
//! Memory is bounded: each of [`Config::n_requests`] requests holds at most one body and one answer,
//! and a request beyond them is told to come back later.

mod auth;
mod compute;
mod engine;
mod envelope;
mod error;
mod http;
mod json;
mod listen;
mod models;
mod picture;
mod request;
mod response;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc, oneshot},
};

pub use auth::Keys;
pub use engine::{Engine, Input, Options, Output, Served};
pub use request::Limits;

use crate::{
    Error,
    text::{Prompt, Task, TaskPrompt},
};

/// Longest wait for the end of a turn of which nobody waits; its next layer ends it.
const LAST_TURN: Duration = Duration::from_secs(5);

/// How to serve.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who may ask.
    pub keys: Keys,
    /// Origins whose pages may ask; `*` is every origin.
    pub origins: Vec<String>,
    pub limits: Limits,
    /// Requests that are read, wait or are computed at the same time.
    pub n_requests: usize,
    /// Connections that are open at the same time.
    pub n_connections: usize,
    /// Longest time for the head of a request, and between requests of a connection.
    pub head_timeout: Duration,
    /// Longest time for the body of a request.
    pub body_timeout: Duration,
    /// Longest time from the head of a request to its answer.
    pub timeout: Duration,
    /// Longest time that requests in flight get when the server stops.
    pub grace: Duration,
    /// The task of a request that names none.
    pub default_task: TaskPrompt,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            keys: Keys::default(),
            origins: Vec::new(),
            limits: Limits::default(),
            n_requests: 32,
            n_connections: 512,
            head_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
            timeout: Duration::from_secs(300),
            grace: Duration::from_secs(30),
            // As the OpenAPI file says.
            default_task: TaskPrompt::new(Task::TextMatching, Prompt::Query),
        }
    }
}

/// How far the loading has come, told by whoever loads.
#[derive(Debug, Clone, Default)]
pub struct Loading(Arc<AtomicU8>);

impl Loading {
    /// Notes that a part of the bytes has been read.
    pub fn progress(&self, done_bytes: u64, total_bytes: u64) {
        let percent = (done_bytes.saturating_mul(100))
            .checked_div(total_bytes)
            .unwrap_or(0);
        self.0.store(percent.min(100) as u8, Ordering::Relaxed);
    }

    fn percent(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What every request sees.
struct State {
    config: Config,
    loading: Loading,
    /// Set when the model is loaded.
    served: OnceLock<Served>,
    is_stopping: AtomicBool,
    slots: Arc<Semaphore>,
    load: Arc<compute::Load>,
    jobs: mpsc::UnboundedSender<compute::Job>,
}

/// Serves on a listener until `stop` is done, then finishes what is in flight.
///
/// - `make`: loads the model; runs on the thread that computes, while the server already answers
///   `/health`, and says that it is not `/ready`
///
/// Fails when the model cannot be loaded, or when the device fails for good. The listener is closed
/// and every request answered or cut off (after [`Config::grace`]) when this returns.
pub async fn serve<M, E>(
    listener: TcpListener,
    config: Config,
    make: M,
    stop: impl Future<Output = ()>,
) -> Result<(), E>
where
    M: FnOnce(&Loading) -> Result<(Served, Box<dyn Engine>), E> + Send + 'static,
    E: From<Error> + Send + 'static,
{
    let (jobs, inbox) = mpsc::unbounded_channel();
    let state = Arc::new(State {
        slots: Arc::new(Semaphore::new(config.n_requests)),
        config,
        loading: Loading::default(),
        served: OnceLock::new(),
        is_stopping: AtomicBool::new(false),
        load: Arc::default(),
        jobs,
    });
    let (ended_sender, mut ended) = oneshot::channel();
    let for_thread = (state.clone(), state.load.clone());
    std::thread::Builder::new()
        .name("compute".into())
        .spawn(move || {
            let (state, load) = for_thread;
            let result = make(&state.loading).and_then(|(served, mut engine)| {
                log::info!("serving {} ({})", served.name, served.space);
                let _ = state.served.set(served);
                // The state holds a sender of jobs: kept, the thread would wait for itself.
                drop(state);
                compute::run(engine.as_mut(), inbox, &load).map_err(E::from)
            });
            let _ = ended_sender.send(result);
        })
        .map_err(|source| Error::Io {
            path: "thread".into(),
            source,
        })?;

    let connections = listen::Connections::default();
    let router = http::router(state.clone());
    let mut failure = None;
    tokio::select! {
        () = connections.accept(listener, &state.config, router) => {}
        () = stop => log::info!("stopping; requests in flight are finished"),
        result = &mut ended => failure = Some(result),
    }
    state.is_stopping.store(true, Ordering::Relaxed);
    let is_loaded = state.served.get().is_some();
    connections.finish(state.config.grace).await;
    // The last sender of jobs: the thread ends after the turn it is in.
    drop(state);
    match failure {
        Some(result) => result.unwrap_or_else(|_| Err(listen::lost_thread().into())),
        // A model that still loads computes nothing for anybody: it ends with the process.
        None if !is_loaded => Ok(()),
        None => match tokio::time::timeout(LAST_TURN, ended).await {
            Ok(Ok(Err(error))) => Err(error),
            _ => Ok(()),
        },
    }
}
