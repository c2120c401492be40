//! `jina-embed serve`: the loaded model behind HTTP.

mod engine;
mod logging;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use jina_embeddings_web::{
    Code,
    server::{Config, Keys, Limits, Loading, serve},
    text::TaskPrompt,
};
use tokio::net::TcpListener;

use crate::{
    failure::Failure,
    model::{ModelArgs, load_watched},
};

/// The environment variable that may hold the key.
const KEY_VARIABLE: &str = "JINA_EMBED_API_KEY";

/// Serve the model over HTTP, as Jina's Embeddings API does at /v1/embeddings.
///
/// Paths: POST /v1/embeddings, GET /v1/models, /v1/models/ID, /health, /live, /ready. The port is
/// open at once; until the model is loaded, /ready and /v1 answer 503. SIGINT or SIGTERM finishes
/// the requests in flight and ends with status 0; a second one ends at once.
///
/// Requests may need a key: put it in the environment variable JINA_EMBED_API_KEY, or one a line in
/// a file named with --api-key-file. Clients send it as `Authorization: Bearer KEY`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Address and port to listen on; port 0 takes a free one, which is told on standard error
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The model's name in requests and answers
    #[arg(long, value_name = "NAME", default_value = "jina-embeddings-v4")]
    model_name: String,
    /// Task of requests that name none [default: text-matching]
    #[arg(long, value_name = "TASK")]
    default_task: Option<TaskPrompt>,
    /// File of keys, one a line
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    /// Origin whose pages may ask, such as `https://example.com`, or * for all; may be repeated
    #[arg(long, value_name = "ORIGIN", value_parser = parse_origin)]
    allow_origin: Vec<String>,
    /// Most tokens of a text
    #[arg(long, value_name = "N", default_value = "8192", value_parser = at_least_one)]
    max_length: usize,
    /// Most inputs of a request
    #[arg(long, value_name = "N", default_value = "2048", value_parser = at_least_one)]
    max_inputs: usize,
    /// Most MiB of a request
    #[arg(long, value_name = "MIB", default_value = "32", value_parser = at_least_one)]
    max_body: usize,
    /// Most MiB of a picture file
    #[arg(long, value_name = "MIB", default_value = "8", value_parser = at_least_one)]
    max_image: usize,
    /// Most pixels a picture is resized to [default: the model's]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    max_pixels: Option<usize>,
    /// Most requests that wait or are computed at once; more are answered 503
    #[arg(long, value_name = "N", default_value = "32", value_parser = at_least_one)]
    max_requests: usize,
    /// Seconds a request may take
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    timeout: Duration,
    /// Seconds that requests in flight get when the server stops
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    grace: Duration,
}

pub fn run(args: Args) -> Result<(), Failure> {
    logging::to_standard_error();
    let keys = keys(&args)?;
    if keys.is_empty() && !args.listen.ip().is_loopback() {
        log::warn!(
            "{} is open to others and no key is set: anyone who reaches it may use it",
            args.listen
        );
    }
    let files = args.model.files()?;
    let config = Config {
        keys,
        origins: args.allow_origin,
        limits: Limits {
            body_bytes: args.max_body << 20,
            inputs: args.max_inputs,
            image_bytes: args.max_image << 20,
            ..Limits::default()
        },
        n_requests: args.max_requests,
        timeout: args.timeout,
        grace: args.grace,
        default_task: args.default_task.unwrap_or(Config::default().default_task),
        ..Config::default()
    };
    let (model, name) = (args.model, args.model_name);
    let (max_length, max_pixels) = (args.max_length, args.max_pixels);
    let make = move |loading: &Loading| -> Result<_, Failure> {
        let device = model.open_device()?;
        let embedder = load_watched(&files, &device, |progress| {
            loading.progress(progress.done_bytes, progress.total_bytes);
        })?;
        let space = files
            .space()
            .or(embedder.name())
            .unwrap_or(&name)
            .to_owned();
        let engine = engine::Local::new(embedder, max_length, max_pixels);
        let served = engine.served(name, space);
        Ok((served, Box::new(engine) as Box<_>))
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Code::Io, format!("no threads to serve with: {error}")))?;
    let result = runtime.block_on(async {
        let at = |error| Failure::new(Code::Io, format!("{}: {error}", args.listen));
        let listener = TcpListener::bind(args.listen).await.map_err(at)?;
        let address = listener.local_addr().map_err(at)?;
        log::info!("listening on http://{address}");
        serve(listener, config, make, stopped()?).await
    });
    // A model that still loads is not waited for.
    runtime.shutdown_background();
    result
}

fn keys(args: &Args) -> Result<Keys, Failure> {
    let of_file = match &args.api_key_file {
        Some(path) => {
            let keys = Keys::of_lines(&std::fs::read_to_string(path).map_err(Failure::io(path))?);
            if keys.is_empty() {
                let message = "holds no key, which would open the server to all";
                return Err(Failure::new(Code::InputInvalid, message).at(path));
            }
            keys
        }
        None => Keys::default(),
    };
    match std::env::var(KEY_VARIABLE) {
        Ok(key) => Ok(of_file.and(Keys::of_lines(&key))),
        Err(std::env::VarError::NotPresent) => Ok(of_file),
        Err(std::env::VarError::NotUnicode(_)) => Err(Failure::new(
            Code::InputInvalid,
            format!("{KEY_VARIABLE} is no UTF-8"),
        )),
    }
}

/// Ends with the first signal to stop; the second ends the program.
fn stopped() -> Result<impl Future<Output = ()>, Failure> {
    #[cfg(unix)]
    let mut terminated = {
        use tokio::signal::unix::{SignalKind, signal};
        let failure = |error| Failure::new(Code::Io, format!("signals: {error}"));
        signal(SignalKind::terminate()).map_err(failure)?
    };
    let mut next = async move || {
        #[cfg(unix)]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    };
    Ok(async move {
        next().await;
        tokio::spawn(async move {
            next().await;
            log::warn!("stopped at once");
            std::process::exit(130);
        });
    })
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".into()),
        // Mebibytes become bytes.
        Ok(n) if n <= usize::MAX >> 20 => Ok(n),
        Ok(_) => Err("is too large".into()),
        Err(error) => Err(format!("{error}")),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: u64 = text.parse().map_err(|error| format!("{error}"))?;
    match (1..=86_400).contains(&seconds) {
        true => Ok(Duration::from_secs(seconds)),
        false => Err("must be from 1 to 86400 seconds".into()),
    }
}

/// `https://example.com`, as a browser writes it in its `Origin` header.
fn parse_origin(text: &str) -> Result<String, String> {
    let host = text.split_once("://").map(|(_, host)| host);
    let is_origin = host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', ' ']));
    match is_origin && text.is_ascii() || ["*", "null"].contains(&text) {
        true => Ok(text.to_owned()),
        false => {
            Err("an origin is SCHEME://HOST or SCHEME://HOST:PORT without a path, or *".into())
        }
    }
}
