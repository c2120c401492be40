//! Sockets: a bounded number of connections, each with a timeout for the head of a request, and an
//! end that lets requests in flight finish.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, Semaphore, watch},
    task::JoinSet,
};

use super::Config;
use crate::{Code, Error};

/// Wait after a failed `accept`, which mostly means that no file handle is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The open connections.
pub struct Connections {
    tasks: Mutex<JoinSet<()>>,
    stop: watch::Sender<bool>,
}

impl Default for Connections {
    fn default() -> Connections {
        Connections {
            tasks: Mutex::default(),
            stop: watch::Sender::new(false),
        }
    }
}

impl Connections {
    /// Accepts until it is dropped.
    pub async fn accept(&self, listener: TcpListener, config: &Config, router: Router) {
        let free = Arc::new(Semaphore::new(config.n_connections));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(config.head_timeout);
        loop {
            // Further connections wait in the system's queue. Nobody closes the semaphore.
            let Ok(place) = free.clone().acquire_owned().await else {
                return;
            };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    log::warn!("a connection could not be accepted: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let connection = serve_one(stream, http.clone(), router.clone(), self.stop.subscribe());
            let mut tasks = self.tasks.lock().await;
            tasks.spawn(async move {
                connection.await;
                drop(place);
            });
            while tasks.try_join_next().is_some() {}
        }
    }

    /// Lets requests in flight finish, at most for `grace`; then cuts them off.
    pub async fn finish(&self, grace: Duration) {
        self.stop.send_replace(true);
        let mut tasks = self.tasks.lock().await;
        let all_done = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, all_done).await.is_err() {
            log::warn!("{} connections are cut off", tasks.len());
            tasks.shutdown().await;
        }
    }
}

async fn serve_one(
    stream: TcpStream,
    http: http1::Builder,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    // Answers are written whole; waiting for more to send with them only delays them.
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(router);
    let stopped = async { drop(stop.wait_for(|is_stopping| *is_stopping).await) };
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    // What goes wrong on a connection is the other side's: it went away or spoke no HTTP.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = stopped => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// The thread that computes ended without a result, which only a panic does.
pub fn lost_thread() -> Error {
    Error::Device {
        code: Code::Internal,
        message: "the thread that computes ended unexpectedly".into(),
    }
}
