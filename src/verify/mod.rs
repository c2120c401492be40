//! Whether a model directory is whole and computes what it should.
//!
//! 1. Each file of `model.json`: is it there, of this size and hash, a sound GGUF file, and do the
//!    parts belong together ([`check_files`])?
//! 2. The vectors that are kept beside the model, computed once more ([`check_self_test`]).
//! 3. For the published weights, which names, shapes and vocabulary tell, what others have printed
//!    of them ([`published`]).

pub mod published;
mod self_tests;

use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use self_tests::{check_self_test, make_self_test};

use crate::Result;
use crate::convert::{Manifest, Role, hash_file};
use crate::gguf::{Header, split};

/// What was found of a directory's files.
#[derive(Debug)]
pub struct FileChecks {
    pub manifest: Manifest,
    /// In the order of `model.json`, the self-test last.
    pub files: Vec<FileCheck>,
    /// Why the parts of the text model do not belong together, if each by itself is sound.
    pub parts_problem: Option<String>,
    /// Headers of the text model's parts, if all are sound.
    pub text_headers: Vec<Header>,
}

/// What was found of one file.
#[derive(Debug)]
pub struct FileCheck {
    pub path: String,
    pub n_bytes: u64,
    /// What is wrong with it, if anything is.
    pub problem: Option<String>,
}

impl FileChecks {
    /// How many problems there are.
    pub fn n_problems(&self) -> usize {
        let of_files = self.files.iter().filter(|file| file.problem.is_some());
        of_files.count() + usize::from(self.parts_problem.is_some())
    }
}

/// Reads every byte of a model directory and compares it with `model.json`.
///
/// - `n_threads`: files that are read at the same time
///
/// Fails if `model.json` itself cannot be read; what is wrong with a file is told in its place.
pub fn check_files(directory: &Path, n_threads: usize) -> Result<FileChecks> {
    let path = directory.join("model.json");
    let json = fs::read(&path).map_err(|source| crate::Error::Io {
        path: path.display().to_string(),
        source,
    })?;
    let manifest = Manifest::parse(&json)?;
    let weights = manifest
        .files
        .iter()
        .map(|file| (&file.path, file.n_bytes, &file.sha256, true));
    let others = manifest
        .self_test
        .iter()
        .map(|file| (&file.path, file.n_bytes, &file.sha256, false));
    let listed: Vec<_> = weights.chain(others).collect();

    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some((path, n_bytes, sha256, is_gguf)) = listed.get(index) else {
                return found;
            };
            let checked = check_file(&directory.join(path), *n_bytes, sha256, *is_gguf);
            found.push((index, checked));
        }
    };
    let mut found: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..n_threads.max(1)).map(|_| scope.spawn(work)).collect();
        let join = |thread: std::thread::ScopedJoinHandle<_>| match thread.join() {
            Ok(found) => found,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        threads.into_iter().flat_map(join).collect()
    });
    found.sort_by_key(|(index, _)| *index);

    let mut files = Vec::with_capacity(found.len());
    let mut text_headers = Vec::new();
    let mut is_text_whole = true;
    for ((path, n_bytes, ..), (index, checked)) in listed.iter().zip(found) {
        let is_text = matches!(manifest.files.get(index), Some(file) if file.role == Role::Text);
        let problem = match checked {
            Ok(header) => {
                text_headers.extend(header.filter(|_| is_text));
                None
            }
            Err(problem) => {
                is_text_whole &= !is_text;
                Some(problem)
            }
        };
        files.push(FileCheck {
            path: path.to_string(),
            n_bytes: *n_bytes,
            problem,
        });
    }
    let mut parts_problem = None;
    if is_text_whole {
        let parts = split::check_parts(&text_headers.iter().collect::<Vec<_>>());
        parts_problem = parts.err().map(|error| error.to_string());
    } else {
        text_headers.clear();
    }
    Ok(FileChecks {
        files,
        parts_problem,
        text_headers,
        manifest,
    })
}

/// The header of a sound file, or what is wrong with it.
fn check_file(
    path: &Path,
    n_bytes: u64,
    sha256: &str,
    is_gguf: bool,
) -> Result<Option<Header>, String> {
    let (found_bytes, found) = hash_file(path).map_err(|error| error.to_string())?;
    if found_bytes != n_bytes {
        return Err(format!("needed {n_bytes} bytes, found {found_bytes}"));
    }
    if found != sha256 {
        return Err(format!("needed SHA-256 {sha256}, found {found}"));
    }
    if !is_gguf {
        return Ok(None);
    }
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let header = Header::read(&mut file, n_bytes).map_err(|error| error.to_string())?;
    Ok(Some(header))
}
