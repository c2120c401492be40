//! The directory being made: whole under its final name, or not there.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::Error;
use super::manifest::{Manifest, ManifestFile, PIECE_BYTES, Pieces, hex};
use super::plan::{FilePlan, Origin, Runs};
use super::source::Source;
use crate::gguf;

/// Elements read, encoded and written at a time: a multiple of every block, 4 MiB as `f32`.
const CHUNK_ELEMENTS: usize = 1 << 20;

/// `<DIR>.partial`, removed again unless [`finish`](Destination::finish) has renamed it.
pub(super) struct Destination {
    to: PathBuf,
    partial: PathBuf,
    replace: bool,
    finished: bool,
}

impl Destination {
    /// Checks that the final name is free (or may be replaced), and creates the partial directory.
    pub fn create(to: &Path, replace: bool) -> Result<Destination, Error> {
        if !replace && fs::symlink_metadata(to).is_ok() {
            return Err(Error::Exists {
                path: to.to_owned(),
            });
        }
        check_replaceable(to)?;
        let partial = sibling(to, ".partial")?;
        if let Some(parent) = partial
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            fs::create_dir_all(parent).map_err(Error::io(parent))?;
        }
        // What an interrupted run left; nothing reads it.
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(Error::io(&partial))?;
        }
        fs::create_dir(&partial).map_err(Error::io(&partial))?;
        Ok(Destination {
            to: to.to_owned(),
            partial,
            replace,
            finished: false,
        })
    }

    /// Writes one file, calling `report` with the bytes that each step added.
    pub fn write(
        &self,
        plan: FilePlan,
        base: &mut Source,
        adapters: &mut Source,
        report: &mut dyn FnMut(u64),
    ) -> Result<ManifestFile, Error> {
        let path = self.partial.join(&plan.path);
        let io_error = |error| match error {
            gguf::Error::Write { source } => Error::Io {
                path: path.clone(),
                source,
            },
            error => Error::Gguf(error),
        };
        let file = File::create(&path).map_err(Error::io(&path))?;
        let out = Hashed {
            out: BufWriter::new(file),
            hash: Sha256::new(),
            pieces: PieceHashes::default(),
            n_bytes: 0,
        };
        let mut stream = plan.writer.begin(out).map_err(io_error)?;
        let mut reported = 0;
        let (mut values, mut bytes) = (Vec::new(), Vec::new());
        for tensor in &plan.tensors {
            let source = match tensor.origin {
                Origin::Base => &mut *base,
                Origin::Adapters => &mut *adapters,
            };
            let name = &tensor.spec.name;
            for (first, n_elements) in chunks(tensor.runs) {
                values.clear();
                bytes.clear();
                source.read(&tensor.source_name, first, n_elements, &mut values)?;
                gguf::quantize(tensor.spec.tensor_type, &values, &mut bytes).map_err(|source| {
                    Error::NotRepresentable {
                        name: name.clone(),
                        source,
                    }
                })?;
                stream.write(name, &bytes).map_err(io_error)?;
                let n_bytes = stream.get_ref().n_bytes;
                report(n_bytes - reported);
                reported = n_bytes;
            }
        }
        let hashed = stream.finish().map_err(io_error)?;
        report(hashed.n_bytes - reported);
        let file = hashed.out.into_inner().map_err(|error| error.into_error());
        file.and_then(|file| file.sync_all())
            .map_err(Error::io(&path))?;
        Ok(ManifestFile {
            path: plan.path,
            role: plan.role,
            task: plan.task,
            n_bytes: hashed.n_bytes,
            sha256: hex(&hashed.hash.finalize()),
            pieces: Some(hashed.pieces.finish()),
        })
    }

    /// Writes `model.json` and gives the directory its final name.
    pub fn finish(mut self, manifest: &Manifest) -> Result<(), Error> {
        let path = self.partial.join("model.json");
        let mut json = serde_json::to_vec_pretty(manifest).map_err(|source| Error::Json {
            path: path.clone(),
            source,
        })?;
        json.push(b'\n');
        File::create(&path)
            .and_then(|mut file| file.write_all(&json).and_then(|()| file.sync_all()))
            .map_err(Error::io(&path))?;
        sync_directory(&self.partial)?;
        if self.replace && fs::symlink_metadata(&self.to).is_ok() {
            check_replaceable(&self.to)?;
            let old = sibling(&self.to, ".old")?;
            if old.exists() {
                fs::remove_dir_all(&old).map_err(Error::io(&old))?;
            }
            fs::rename(&self.to, &old).map_err(Error::io(&self.to))?;
            self.rename()?;
            fs::remove_dir_all(&old).map_err(Error::io(&old))?;
        } else {
            self.rename()?;
        }
        Ok(())
    }

    fn rename(&mut self) -> Result<(), Error> {
        fs::rename(&self.partial, &self.to).map_err(Error::io(&self.to))?;
        self.finished = true;
        match self.to.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent),
            _ => sync_directory(Path::new(".")),
        }
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        if !self.finished {
            // The error that led here is the one to report.
            let _ = fs::remove_dir_all(&self.partial);
        }
    }
}

/// Fails if something is at `to` that is neither a model directory nor an empty directory.
fn check_replaceable(to: &Path) -> Result<(), Error> {
    let Ok(found) = fs::symlink_metadata(to) else {
        return Ok(());
    };
    let empty = || fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_none());
    if found.is_dir() && (to.join("model.json").is_file() || empty()) {
        return Ok(());
    }
    Err(Error::NotAModelDirectory {
        path: to.to_owned(),
    })
}

/// The path beside `to` whose name has `suffix` appended.
fn sibling(to: &Path, suffix: &str) -> Result<PathBuf, Error> {
    let name = to.file_name().ok_or_else(|| Error::NotAModelDirectory {
        path: to.to_owned(),
    })?;
    let mut name = OsString::from(name);
    name.push(suffix);
    Ok(to.with_file_name(name))
}

/// Makes renames and new names durable, where the system has a way to.
fn sync_directory(path: &Path) -> Result<(), Error> {
    if cfg!(unix) {
        File::open(path)
            .and_then(|directory| directory.sync_all())
            .map_err(Error::io(path))?;
    }
    Ok(())
}

/// The runs in pieces of at most [`CHUNK_ELEMENTS`]: first element and number of elements.
fn chunks(runs: Runs) -> impl Iterator<Item = (usize, usize)> {
    (0..runs.count).flat_map(move |index| {
        let start = runs.first + index * runs.step;
        (0..runs.run)
            .step_by(CHUNK_ELEMENTS)
            .map(move |at| (start + at, CHUNK_ELEMENTS.min(runs.run - at)))
    })
}

/// Hashes and counts what passes through.
struct Hashed<W: Write> {
    out: W,
    hash: Sha256,
    pieces: PieceHashes,
    n_bytes: u64,
}

/// The hashes of the pieces that a browser fetches.
#[derive(Default)]
struct PieceHashes {
    done: Vec<String>,
    /// The piece under way, and bytes of it.
    hash: Sha256,
    n_bytes: u64,
}

impl PieceHashes {
    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = PIECE_BYTES - self.n_bytes;
            let (taken, rest) = bytes.split_at(bytes.len().min(room as usize));
            self.hash.update(taken);
            self.n_bytes += taken.len() as u64;
            bytes = rest;
            if self.n_bytes == PIECE_BYTES {
                self.done.push(hex(&self.hash.finalize_reset()));
                self.n_bytes = 0;
            }
        }
    }

    fn finish(mut self) -> Pieces {
        if self.n_bytes > 0 {
            self.done.push(hex(&self.hash.finalize()));
        }
        Pieces {
            n_bytes: PIECE_BYTES,
            sha256: self.done,
        }
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n_bytes = self.out.write(bytes)?;
        self.hash.update(&bytes[..n_bytes]);
        self.pieces.update(&bytes[..n_bytes]);
        self.n_bytes += n_bytes as u64;
        Ok(n_bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_hashed_alike_however_the_bytes_come() {
        let bytes: Vec<u8> = (0..2 * PIECE_BYTES + 5).map(|i| (i % 251) as u8).collect();
        let needed: Vec<String> = bytes
            .chunks(PIECE_BYTES as usize)
            .map(|piece| hex(&Sha256::digest(piece)))
            .collect();
        for n_at_once in [1 << 20, 5_000_001, bytes.len()] {
            let mut hashes = PieceHashes::default();
            bytes
                .chunks(n_at_once)
                .for_each(|chunk| hashes.update(chunk));
            assert_eq!(hashes.finish().sha256, needed);
        }
    }
}
