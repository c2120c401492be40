//! The directory being made: whole under its final name, or not there.
//!
//! It grows as `<DIR>.partial`. A file there has its own name once it is complete and on the disk,
//! and is then entered in `resume.json` with its hash; until then it is called `.part`. A run that
//! finds a `resume.json` of the same conversion checks those files again and goes on after them;
//! anything else that it finds, it removes. `model.json` comes last, and then the final name.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::encode::{Encoder, pieces};
use super::error::Error;
use super::manifest::{Manifest, ManifestFile, PIECE_BYTES, Pieces, hex};
use super::pipeline::in_order;
use super::plan::FilePlan;
use crate::gguf;

const RESUME: &str = "resume.json";
const LOCK: &str = "lock";

/// `<DIR>.partial`, removed again unless [`finish`](Destination::finish) has renamed it or
/// [`keep`](Destination::keep) was called.
pub(super) struct Destination {
    to: PathBuf,
    partial: PathBuf,
    replace: bool,
    remove: bool,
    /// Held as long as the directory is written, so that no other run writes it too.
    lock: Option<Lock>,
    record: Record,
}

/// `resume.json`.
#[derive(Serialize, Deserialize)]
struct Record {
    /// What is converted, from what, and by which version.
    conversion: String,
    /// The files that are complete.
    files: Vec<ManifestFile>,
}

impl Destination {
    /// Checks that the final name is free (or may be replaced), and creates the partial directory
    /// or takes up the one that is there.
    ///
    /// - `conversion`: the same for two runs if and only if they write the same bytes
    pub fn create(to: &Path, replace: bool, conversion: String) -> Result<Destination, Error> {
        // A run that was killed between its last two renames.
        let old = sibling(to, ".old")?;
        if fs::symlink_metadata(to).is_err() && old.join("model.json").is_file() {
            fs::rename(&old, to).map_err(Error::io(&old))?;
        }
        if !replace && fs::symlink_metadata(to).is_ok() {
            return Err(Error::Exists {
                path: to.to_owned(),
            });
        }
        check_replaceable(to)?;
        let partial = sibling(to, ".partial")?;
        fs::create_dir_all(&partial).map_err(Error::io(&partial))?;
        let lock = Lock::take(&partial)?;
        let mut destination = Destination {
            to: to.to_owned(),
            record: Record {
                conversion,
                files: Vec::new(),
            },
            partial,
            replace,
            remove: true,
            lock: Some(lock),
        };
        destination.take_up()?;
        Ok(destination)
    }

    /// Reads what an interrupted run of the same conversion completed, and removes all else.
    fn take_up(&mut self) -> Result<(), Error> {
        let found = fs::read(self.partial.join(RESUME)).ok();
        let found = found.and_then(|json| serde_json::from_slice::<Record>(&json).ok());
        if let Some(found) = found
            && found.conversion == self.record.conversion
        {
            self.record = found;
        }
        let files = &self.record.files;
        let known = |name: &OsStr| {
            let own = name == LOCK || (name == RESUME && !files.is_empty());
            own || files.iter().any(|file| name == file.path.as_str())
        };
        for entry in fs::read_dir(&self.partial).map_err(Error::io(&self.partial))? {
            let entry = entry.map_err(Error::io(&self.partial))?;
            if !known(&entry.file_name()) {
                let path = entry.path();
                let removed = match path.is_dir() {
                    true => fs::remove_dir_all(&path),
                    false => fs::remove_file(&path),
                };
                removed.map_err(Error::io(&path))?;
            }
        }
        Ok(())
    }

    /// What is known of a file that an earlier run completed, if its bytes are still those.
    pub fn completed(
        &mut self,
        plan: &FilePlan,
        report: &mut dyn FnMut(u64) -> Result<(), Error>,
    ) -> Result<Option<ManifestFile>, Error> {
        let place = self
            .record
            .files
            .iter()
            .position(|file| file.path == plan.path);
        let Some(place) = place else {
            return Ok(None);
        };
        let file = self.record.files[place].clone();
        let (n_bytes, sha256) = hash_of(&self.partial.join(&file.path)).unwrap_or_default();
        if n_bytes == file.n_bytes && sha256 == file.sha256 {
            report(n_bytes)?;
            return Ok(Some(file));
        }
        self.record.files.remove(place);
        Ok(None)
    }

    /// Writes one file, calling `report` with the bytes that each step added; its error ends this.
    pub fn write(
        &mut self,
        plan: FilePlan,
        encoder: &Encoder,
        n_threads: usize,
        report: &mut dyn FnMut(u64) -> Result<(), Error>,
    ) -> Result<ManifestFile, Error> {
        let part = self.partial.join(format!("{}.part", plan.path));
        let io_error = |error| match error {
            gguf::Error::Write { source } => Error::Io {
                path: part.clone(),
                source,
            },
            error => Error::Gguf(error),
        };
        let file = File::create(&part).map_err(Error::io(&part))?;
        let out = Hashed {
            out: BufWriter::new(file),
            hash: Sha256::new(),
            pieces: PieceHashes::default(),
            n_bytes: 0,
        };
        let mut stream = plan.writer.begin(out).map_err(io_error)?;
        let mut reported = 0;
        let pieces: Vec<_> = plan.tensors.iter().flat_map(pieces).collect();
        let encode = |index: usize| {
            let piece = &pieces[index];
            Ok((&piece.tensor.spec.name, encoder.encode(piece)?))
        };
        in_order(pieces.len(), n_threads, encode, |(name, bytes)| {
            stream.write(name, &bytes).map_err(io_error)?;
            let n_bytes = stream.get_ref().n_bytes;
            let added = n_bytes - reported;
            reported = n_bytes;
            report(added)
        })?;
        let hashed = stream.finish().map_err(io_error)?;
        report(hashed.n_bytes - reported)?;
        let file = hashed.out.into_inner().map_err(|error| error.into_error());
        file.and_then(|file| file.sync_all())
            .map_err(Error::io(&part))?;
        let path = self.partial.join(&plan.path);
        fs::rename(&part, &path).map_err(Error::io(&path))?;
        let file = ManifestFile {
            path: plan.path,
            role: plan.role,
            task: plan.task,
            n_bytes: hashed.n_bytes,
            sha256: hex(&hashed.hash.finalize()),
            pieces: Some(hashed.pieces.finish()),
        };
        self.record.files.push(file.clone());
        write_json(&self.partial.join(RESUME), &self.record)?;
        Ok(file)
    }

    /// Leaves what is complete for a later run to go on with.
    pub fn keep(mut self) {
        self.remove = false;
    }

    /// Writes `model.json` and gives the directory its final name.
    pub fn finish(mut self, manifest: &Manifest) -> Result<(), Error> {
        write_json(&self.partial.join("model.json"), manifest)?;
        // Some systems rename no directory that holds an open file.
        drop(self.lock.take());
        for name in [RESUME, LOCK] {
            let path = self.partial.join(name);
            fs::remove_file(&path).map_err(Error::io(&path))?;
        }
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
        self.remove = false;
        match self.to.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent),
            _ => sync_directory(Path::new(".")),
        }
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        drop(self.lock.take());
        if self.remove {
            // The error that led here is the one to report.
            let _ = fs::remove_dir_all(&self.partial);
        }
    }
}

/// A directory that is this run's alone. The system gives it back when the process ends, however.
struct Lock(File);

impl Lock {
    fn take(partial: &Path) -> Result<Lock, Error> {
        let path = partial.join(LOCK);
        let file = File::create(&path).map_err(Error::io(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => Err(Error::Busy {
                path: partial.to_owned(),
            }),
            // A file system without locks is used without.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                Ok(Lock(file))
            }
            Err(TryLockError::Error(source)) => Err(Error::Io { path, source }),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough where another thread has just forked: until its child becomes another
        // program, the child holds the file open as well. A system that cannot unlock has closing.
        let _ = self.0.unlock();
    }
}

/// Writes JSON under a temporary name first, so that the file is whole or as before.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let mut json = serde_json::to_vec_pretty(value).map_err(|source| Error::Json {
        path: path.to_owned(),
        source,
    })?;
    json.push(b'\n');
    write_whole(path, &json)
}

/// Writes a file under a temporary name, to the disk, and renames it.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let part = sibling(path, ".part")?;
    File::create(&part)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&part, path))
        .map_err(Error::io(path))
}

/// Length and SHA-256, in hexadecimal, of a file.
///
/// Fails if it cannot be read.
pub fn hash_of(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let (mut hash, mut n_bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((n_bytes, hex(&hash.finalize()))),
            n_read => {
                hash.update(&buffer[..n_read]);
                n_bytes += n_read as u64;
            }
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
