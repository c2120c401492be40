//! Times launches one by one, for a profile.
//!
//! Each is bracketed by the device's own clock where it has one, and by waiting for it elsewhere;
//! either way what runs at the same time otherwise runs one after the other, so a timed call takes
//! longer than the sum of its times.

use std::{cell::RefCell, future::Future, pin::Pin, time::Duration};

use cubecl::client::Client;

use super::Launch;

/// What a launch took, once the device has answered; `None` where it gave no time.
pub type Timing = Pin<Box<dyn Future<Output = Option<Duration>>>>;

thread_local! {
    static TIMED: RefCell<Option<Vec<(Launch, Timing)>>> = const { RefCell::new(None) };
}

/// Times the launches of this thread from now on, until [`end_timing`].
pub fn begin_timing() {
    TIMED.set(Some(Vec::new()));
}

/// The launches since [`begin_timing`], in order.
pub fn end_timing() -> Vec<(Launch, Timing)> {
    TIMED.take().unwrap_or_default()
}

/// Runs a launch, and times it if somebody asked for that.
pub(super) fn around(client: &Client, launch: impl FnOnce() -> Launch, run: impl FnOnce()) {
    if TIMED.with_borrow(Option::is_none) {
        return run();
    }
    let window = client.profile_start();
    run();
    let timing: Timing = match window.and_then(|window| client.profile_end(window)) {
        Ok(timing) => Box::pin(async move { Some(timing.resolve().await?.duration()) }),
        Err(error) => {
            log::error!("timing a launch: {error:?}");
            Box::pin(std::future::ready(None))
        }
    };
    TIMED.with_borrow_mut(|timed| {
        if let Some(timed) = timed {
            timed.push((launch(), timing));
        }
    });
}
