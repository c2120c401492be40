//! One thread computes, since one device does; requests take turns on it.
//!
//! 1. A turn is a few inputs of equal options, taken one from each waiting request in order, round
//!    after round. A picture or a long text fills a turn alone, short texts share one.
//! 2. Who had a turn goes behind those who had none: a single query never waits for the end of a
//!    request of two thousand texts.
//! 3. A request that nobody waits for any more loses its place; a turn of which nobody waits ends
//!    before the next layer.
//!
//! Late chunking reads its inputs as one document, so they are one turn.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Instant,
};

use tokio::sync::{mpsc, oneshot};

use super::{
    engine::{Engine, Input, Options, Output},
    error::{ApiError, FieldError},
};
use crate::{Code, Error};

/// Most inputs of a turn.
const TURN_INPUTS: usize = 8;
/// Bytes of text after which a turn is full; about 500 tokens.
const TURN_BYTES: usize = 2048;

/// A request on its way through the thread.
pub struct Job {
    pub inputs: Vec<Input>,
    pub options: Options,
    /// Most numbers of all its vectors together.
    pub max_values: usize,
    /// Closed by whoever waits no more.
    pub reply: oneshot::Sender<Result<Vec<Output>, ApiError>>,
}

/// How much there is to do, to tell others how long they would wait.
#[derive(Default)]
pub struct Load {
    n_inputs: AtomicUsize,
    /// Of an input, a moving average.
    mean_us: AtomicU64,
}

impl Load {
    /// Notes inputs that will be computed.
    pub fn add(&self, n_inputs: usize) {
        self.n_inputs.fetch_add(n_inputs, Ordering::Relaxed);
    }

    fn done(&self, n_inputs: usize) {
        let less = |found: usize| Some(found.saturating_sub(n_inputs));
        // The closure always returns a value, so the update cannot fail.
        let _ = self
            .n_inputs
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    fn took(&self, n_inputs: usize, elapsed_us: u64) {
        let found = self.mean_us.load(Ordering::Relaxed);
        let one = elapsed_us / n_inputs.max(1) as u64;
        let mean = if found == 0 {
            one
        } else {
            (7 * found + one) / 8
        };
        self.mean_us.store(mean, Ordering::Relaxed);
    }

    /// Seconds until what is waiting now is likely done, from 1 to 60.
    pub fn wait_s(&self) -> u64 {
        let n_inputs = self.n_inputs.load(Ordering::Relaxed) as u64;
        let mean_us = self.mean_us.load(Ordering::Relaxed);
        n_inputs
            .saturating_mul(mean_us)
            .div_ceil(1_000_000)
            .clamp(1, 60)
    }
}

/// A job of which some inputs are done.
struct Active {
    inputs: VecDeque<Input>,
    outputs: Vec<Output>,
    n_values: usize,
    options: Options,
    max_values: usize,
    reply: oneshot::Sender<Result<Vec<Output>, ApiError>>,
}

impl Active {
    fn new(job: Job) -> Active {
        Active {
            outputs: Vec::with_capacity(job.inputs.len()),
            inputs: job.inputs.into(),
            n_values: 0,
            options: job.options,
            max_values: job.max_values,
            reply: job.reply,
        }
    }

    /// Keeps an output; fails when the answer grows too large.
    fn take(&mut self, result: Result<Output, Error>) -> Result<(), ApiError> {
        let index = self.outputs.len();
        let output = result.map_err(|error| ApiError::of_model(Some(index), &error))?;
        self.n_values += output.values.len();
        self.outputs.push(output);
        match self.n_values <= self.max_values {
            true => Ok(()),
            false => Err(FieldError::new(
                "input",
                "range",
                format!(
                    "makes an answer of more than {} numbers; send fewer inputs at once",
                    self.max_values
                ),
                None,
            )
            .into()),
        }
    }
}

/// Computes until no job can come any more.
///
/// Fails when the engine will never compute again; every waiting job has then been told.
pub fn run(
    engine: &mut dyn Engine,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    load: &Load,
) -> Result<(), Error> {
    let mut waiting: VecDeque<Active> = VecDeque::new();
    loop {
        if waiting.is_empty() {
            match jobs.blocking_recv() {
                Some(job) => waiting.push_back(Active::new(job)),
                None => return Ok(()),
            }
        }
        while let Ok(job) = jobs.try_recv() {
            waiting.push_back(Active::new(job));
        }
        drop_unwanted(&mut waiting, load);
        let Some(turn) = Turn::fill(&mut waiting) else {
            continue;
        };
        let n_inputs = turn.inputs.len();
        let began = Instant::now();
        let served = turn.compute(engine);
        load.done(n_inputs);
        load.took(n_inputs, began.elapsed().as_micros() as u64);
        waiting.extend(served.into_iter().filter_map(|outcome| match outcome {
            Outcome::Unfinished(active) => Some(active),
            Outcome::Ended(n_left) => {
                load.done(n_left);
                None
            }
        }));
        if let Err(error) = engine.check() {
            jobs.close();
            while let Ok(job) = jobs.try_recv() {
                waiting.push_back(Active::new(job));
            }
            for active in waiting {
                let detail = "the device of this server failed";
                let _ = active.reply.send(Err(ApiError::unavailable(detail, 5)));
            }
            return Err(error);
        }
    }
}

fn drop_unwanted(waiting: &mut VecDeque<Active>, load: &Load) {
    waiting.retain(|active| {
        let is_wanted = !active.reply.is_closed();
        if !is_wanted {
            load.done(active.inputs.len());
        }
        is_wanted
    });
}

/// What is computed in one call.
struct Turn {
    options: Options,
    inputs: Vec<Input>,
    /// The requests of the turn, with how many of the inputs are theirs; inputs are grouped by them.
    served: Vec<(Active, usize)>,
}

enum Outcome {
    Unfinished(Active),
    /// Answered, with so many inputs left that are not computed.
    Ended(usize),
}

impl Turn {
    /// Takes the next turn out of the line; `None` if the line is empty.
    fn fill(waiting: &mut VecDeque<Active>) -> Option<Turn> {
        let first = waiting.pop_front()?;
        let options = first.options;
        let mut members = vec![(first, Vec::new())];
        let mut others = VecDeque::with_capacity(waiting.len());
        if !options.late_chunking {
            for active in waiting.drain(..) {
                match active.options == options && members.len() < TURN_INPUTS {
                    true => members.push((active, Vec::new())),
                    false => others.push_back(active),
                }
            }
            *waiting = others;
        }
        let (mut n_inputs, mut n_bytes) = (0, 0);
        let mut is_full = false;
        while !is_full {
            let before = n_inputs;
            for (active, taken) in &mut members {
                let Some(next) = active.inputs.front() else {
                    continue;
                };
                let cost = match next {
                    _ if options.late_chunking => 0,
                    Input::Text(text) => text.len(),
                    Input::Image(_) => TURN_BYTES,
                };
                // A long one that is not first waits for a turn of its own.
                if n_inputs > 0 && n_bytes + cost > TURN_BYTES {
                    is_full = true;
                    break;
                }
                taken.extend(active.inputs.pop_front());
                n_inputs += 1;
                n_bytes += cost;
                if n_inputs >= TURN_INPUTS && !options.late_chunking {
                    is_full = true;
                    break;
                }
            }
            is_full |= n_inputs == before;
        }
        let mut turn = Turn {
            options,
            inputs: Vec::with_capacity(n_inputs),
            served: Vec::with_capacity(members.len()),
        };
        let mut unserved = Vec::new();
        for (active, taken) in members {
            match taken.is_empty() && !active.inputs.is_empty() {
                true => unserved.push(active),
                false => {
                    turn.served.push((active, taken.len()));
                    turn.inputs.extend(taken);
                }
            }
        }
        // Who got nothing keeps the place in front.
        for active in unserved.into_iter().rev() {
            waiting.push_front(active);
        }
        Some(turn)
    }

    fn compute(self, engine: &mut dyn Engine) -> Vec<Outcome> {
        let Turn {
            options,
            inputs,
            served,
        } = self;
        let n_inputs = inputs.len();
        let is_wanted = || served.iter().any(|(active, _)| !active.reply.is_closed());
        let results = match n_inputs {
            // A request without inputs has an answer without vectors.
            0 => Ok(Vec::new()),
            _ => engine.encode(inputs, options, &is_wanted),
        };
        let results = match results {
            Ok(results) if results.len() == n_inputs => Ok(results),
            Ok(results) => Err(Error::Device {
                code: Code::Internal,
                message: format!("{} results for {n_inputs} inputs", results.len()),
            }),
            Err(error) => Err(error),
        };
        match results {
            Ok(results) => {
                let mut results = results.into_iter();
                let one = |(active, n_taken)| give(active, results.by_ref().take(n_taken));
                served.into_iter().map(one).collect()
            }
            Err(error) => {
                let one = |(active, _): (Active, usize)| {
                    let n_left = active.inputs.len();
                    let _ = active.reply.send(Err(ApiError::of_model(None, &error)));
                    Outcome::Ended(n_left)
                };
                served.into_iter().map(one).collect()
            }
        }
    }
}

/// Hands a request what was computed for it, and answers it when that was the last or a failure.
fn give(mut active: Active, results: impl Iterator<Item = Result<Output, Error>>) -> Outcome {
    for result in results {
        if let Err(error) = active.take(result) {
            let n_left = active.inputs.len();
            let _ = active.reply.send(Err(error));
            return Outcome::Ended(n_left);
        }
    }
    match active.inputs.is_empty() {
        false => Outcome::Unfinished(active),
        true => {
            // Nobody may listen any more, which is no failure.
            let _ = active.reply.send(Ok(active.outputs));
            Outcome::Ended(0)
        }
    }
}

#[cfg(test)]
mod tests;
