//! Pieces of work done by several threads, and their results taken in order.
//!
//! A thread begins a piece only when it is fewer than a window ahead of the one that is due, so that
//! no more results than that are ever in memory, however slow the taker is.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Runs `work` for `0..n_pieces` on `n_threads` threads and gives the results to `take`, in order,
/// in the calling thread.
///
/// Fails with the first error of the first piece that has one, or of `take`; then no further piece
/// is begun.
pub(super) fn in_order<T: Send, E: Send>(
    n_pieces: usize,
    n_threads: usize,
    work: impl Fn(usize) -> Result<T, E> + Sync,
    mut take: impl FnMut(T) -> Result<(), E>,
) -> Result<(), E> {
    let line = Line {
        state: Mutex::new(State {
            next: 0,
            due: 0,
            stopped: false,
            done: BTreeMap::new(),
        }),
        changed: Condvar::new(),
        n_pieces,
        window: 2 * n_threads,
    };
    std::thread::scope(|scope| {
        for _ in 0..n_threads.min(n_pieces) {
            scope.spawn(|| {
                let _stop = StopOnPanic(&line);
                while let Some(piece) = line.begin() {
                    line.put(piece, work(piece));
                }
            });
        }
        // However this ends, the threads must not wait for more.
        let _stop = Stop(&line);
        for _ in 0..n_pieces {
            match line.take() {
                Some(result) => take(result?)?,
                // A thread panicked; the scope passes that on.
                None => break,
            }
        }
        Ok(())
    })
}

struct Line<T, E> {
    state: Mutex<State<T, E>>,
    changed: Condvar,
    n_pieces: usize,
    window: usize,
}

struct State<T, E> {
    /// The piece that is begun next, and the one that is taken next.
    next: usize,
    due: usize,
    stopped: bool,
    done: BTreeMap<usize, Result<T, E>>,
}

impl<T, E> Line<T, E> {
    fn lock(&self) -> MutexGuard<'_, State<T, E>> {
        // The state is whole between any two statements that hold it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next piece, once it is near enough to the one that is due.
    fn begin(&self) -> Option<usize> {
        let far = |state: &mut State<T, E>| {
            !state.stopped && state.next < self.n_pieces && state.next >= state.due + self.window
        };
        let mut state = self
            .changed
            .wait_while(self.lock(), far)
            .unwrap_or_else(PoisonError::into_inner);
        if state.stopped || state.next >= self.n_pieces {
            return None;
        }
        state.next += 1;
        Some(state.next - 1)
    }

    fn put(&self, piece: usize, result: Result<T, E>) {
        self.lock().done.insert(piece, result);
        self.changed.notify_all();
    }

    /// The result that is due, once it is there; `None` if it never will be.
    fn take(&self) -> Option<Result<T, E>> {
        let missing =
            |state: &mut State<T, E>| !state.stopped && !state.done.contains_key(&state.due);
        let mut state = self
            .changed
            .wait_while(self.lock(), missing)
            .unwrap_or_else(PoisonError::into_inner);
        let due = state.due;
        let result = state.done.remove(&due);
        state.due += 1;
        drop(state);
        self.changed.notify_all();
        result
    }

    fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }
}

/// Ends the threads when the taker ends.
struct Stop<'a, T, E>(&'a Line<T, E>);

impl<T, E> Drop for Stop<'_, T, E> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Ends all when a thread panics, which would otherwise leave the taker waiting.
struct StopOnPanic<'a, T, E>(&'a Line<T, E>);

impl<T, E> Drop for StopOnPanic<'_, T, E> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn results_come_in_order_from_any_number_of_threads() {
        for n_threads in [1, 2, 7] {
            for n_pieces in [0, 1, 100] {
                let mut taken = Vec::new();
                let work = |piece| Ok::<_, ()>(piece);
                in_order(n_pieces, n_threads, work, |piece| {
                    taken.push(piece);
                    Ok(())
                })
                .unwrap();
                assert_eq!(taken, (0..n_pieces).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn no_thread_runs_further_ahead_than_the_window() {
        let (begun, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = |piece: usize| {
            begun.fetch_max(piece, Ordering::SeqCst);
            Ok::<_, ()>(())
        };
        in_order(200, 2, work, |()| {
            let due = taken.fetch_add(1, Ordering::SeqCst);
            // One more than the window while `take` runs: this piece is no longer due.
            assert!(begun.load(Ordering::SeqCst) <= due + 5);
            std::thread::yield_now();
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn the_error_of_the_first_piece_that_fails_is_told_and_ends_the_rest() {
        let begun = AtomicUsize::new(0);
        let work = |piece| {
            begun.fetch_add(1, Ordering::SeqCst);
            if piece == 30 || piece == 31 {
                Err(piece)
            } else {
                Ok(piece)
            }
        };
        let mut n_taken = 0;
        let error = in_order(10_000, 3, work, |_| {
            n_taken += 1;
            Ok(())
        });
        assert_eq!((error, n_taken), (Err(30), 30));
        assert!(begun.load(Ordering::SeqCst) < 50);
    }

    #[test]
    fn a_taker_that_fails_ends_the_threads() {
        let error = in_order(
            10_000,
            3,
            Ok,
            |piece| if piece == 5 { Err("full") } else { Ok(()) },
        );
        assert_eq!(error, Err("full"));
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn a_thread_that_panics_does_not_leave_the_taker_waiting() {
        let work = |piece| match piece {
            7 => panic!("on purpose"),
            piece => Ok::<_, ()>(piece),
        };
        let _ = in_order(100, 2, work, |_| Ok(()));
    }
}
