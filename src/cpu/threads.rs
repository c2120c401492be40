//! Work in independent jobs, over as many threads as its caller allows.

use std::num::NonZeroUsize;

/// How many threads a computation may use. WebAssembly has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threads(NonZeroUsize);

impl Threads {
    /// The calling thread alone.
    pub const ONE: Threads = Threads(NonZeroUsize::MIN);

    /// All threads of rayon's pool, whose size `RAYON_NUM_THREADS` sets.
    pub fn all() -> Self {
        #[cfg(not(target_family = "wasm"))]
        let n = rayon::current_num_threads();
        #[cfg(target_family = "wasm")]
        let n = 1;
        Self::at_most(NonZeroUsize::new(n).unwrap_or(NonZeroUsize::MIN))
    }

    /// Some threads of rayon's pool.
    pub fn at_most(n: NonZeroUsize) -> Self {
        Self(n)
    }

    /// How many.
    pub fn count(self) -> usize {
        self.0.get()
    }

    /// Does jobs `0..n_jobs`, each once, in any order. Every thread makes itself a state first.
    pub(super) fn run<S>(
        self,
        n_jobs: usize,
        state: impl Fn() -> S + Sync,
        job: impl Fn(&mut S, usize) + Sync,
    ) {
        #[cfg(not(target_family = "wasm"))]
        {
            use std::sync::atomic::{AtomicUsize, Ordering};

            let n_threads = self.count().min(n_jobs);
            if n_threads > 1 {
                let next = AtomicUsize::new(0);
                let worker = || {
                    let mut state = state();
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        if at >= n_jobs {
                            break;
                        }
                        job(&mut state, at);
                    }
                };
                rayon::scope(|scope| {
                    for _ in 1..n_threads {
                        scope.spawn(|_| worker());
                    }
                    worker();
                });
                return;
            }
        }
        if n_jobs > 0 {
            let mut state = state();
            (0..n_jobs).for_each(|at| job(&mut state, at));
        }
    }
}

/// A slice whose parts different jobs write.
#[derive(Clone, Copy)]
pub(super) struct Shared<T> {
    start: *mut T,
    len: usize,
}

// SAFETY: only `part` gives access, whose callers keep jobs apart.
unsafe impl<T: Send> Send for Shared<T> {}
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub fn new(all: &mut [T]) -> Self {
        Self {
            start: all.as_mut_ptr(),
            len: all.len(),
        }
    }

    /// # Safety
    ///
    /// The slice that this was made of is still borrowed, and no other part that overlaps this one
    /// is alive.
    #[allow(clippy::mut_from_ref, reason = "that is what it is for")]
    pub unsafe fn part(&self, start: usize, len: usize) -> &mut [T] {
        assert!(start <= self.len && len <= self.len - start);
        // SAFETY: in bounds, and alone by the caller's word.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }
}
