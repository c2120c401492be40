//! Models on disk: a model directory, or GGUF files as others publish them.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use crate::{
    Device, Embedder, Error, Result,
    convert::{Manifest, ManifestFile, Role as ManifestRole},
    gguf::split,
    text::Task,
    weights::{Loader, Role},
};

/// Bytes read at once; as much of a file as is ever in memory.
const CHUNK_BYTES: usize = 1 << 20;

/// The files that make a model, in the order in which they load.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelFiles {
    files: Vec<(Role, PathBuf)>,
    /// What `model.json` calls the space of the vectors, where there is one.
    space: Option<String>,
}

/// How far the loading has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// The file being read.
    pub file: &'a Path,
    /// Bytes read so far, over all files.
    pub done_bytes: u64,
    /// Bytes of all files together.
    pub total_bytes: u64,
}

impl ModelFiles {
    /// The files of a model directory with its `model.json`, or a GGUF text file, of which any
    /// part of a split stands for all.
    pub fn find(path: &Path) -> Result<Self> {
        match path.is_dir() {
            true => Self::of_directory(path),
            false => Ok(Self::of_text_file(path)),
        }
    }

    /// Adds a file: a vision tower (mmproj), an adapter, a projector.
    pub fn with(mut self, role: Role, path: PathBuf) -> Self {
        self.files.push((role, path));
        self
    }

    /// The files in loading order.
    pub fn files(&self) -> &[(Role, PathBuf)] {
        &self.files
    }

    /// What `model.json` calls the space of the vectors.
    pub fn space(&self) -> Option<&str> {
        self.space.as_deref()
    }

    fn of_directory(directory: &Path) -> Result<Self> {
        let path = directory.join("model.json");
        let json = std::fs::read(&path).map_err(io(&path))?;
        let manifest = Manifest::parse(&json)?;
        let files = manifest
            .files
            .iter()
            .map(|file| Ok((role(file)?, directory.join(&file.path))))
            .collect::<Result<_>>()?;
        Ok(Self {
            files,
            space: Some(manifest.space),
        })
    }

    fn of_text_file(path: &Path) -> Self {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let parts = match split::parse_part_name(name) {
            Some((stem, _, count)) => (0..count)
                .map(|index| path.with_file_name(split::part_name(stem, index, count)))
                .collect(),
            None => vec![path.to_path_buf()],
        };
        Self {
            files: parts.into_iter().map(|path| (Role::Text, path)).collect(),
            space: None,
        }
    }

    /// Loads the model onto a device.
    ///
    /// `on_progress` is called for every chunk that was read.
    pub fn load(&self, device: &Device, mut on_progress: impl FnMut(Progress)) -> Result<Embedder> {
        let mut lengths = Vec::with_capacity(self.files.len());
        for (_, path) in &self.files {
            lengths.push(std::fs::metadata(path).map_err(io(path))?.len());
        }
        let total_bytes = lengths.iter().sum();
        let mut done_bytes = 0;
        let mut loader = Loader::new(device);
        let mut buffer = vec![0; CHUNK_BYTES];
        for ((role, path), n_bytes) in self.files.iter().zip(lengths) {
            let mut file = File::open(path).map_err(io(path))?;
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            loader.begin_file(*role, name, Some(n_bytes))?;
            loop {
                let n_read = file.read(&mut buffer).map_err(io(path))?;
                if n_read == 0 {
                    break;
                }
                loader.push(&buffer[..n_read])?;
                done_bytes += n_read as u64;
                on_progress(Progress {
                    file: path,
                    done_bytes,
                    total_bytes,
                });
            }
            loader.end_file()?;
        }
        let loaded = loader.finish()?;
        device.check()?;
        Ok(Embedder::new(device.clone(), loaded))
    }
}

fn role(file: &ManifestFile) -> Result<Role> {
    Ok(match file.role {
        ManifestRole::Text => Role::Text,
        ManifestRole::Vision => Role::Vision,
        ManifestRole::Projector => Role::Projector,
        ManifestRole::Adapter => {
            let task: Task = file.task.as_deref().unwrap_or_default().parse()?;
            Role::Adapter(task)
        }
    })
}

/// For `map_err`: a failure of the file system at `path`.
fn io(path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::Io {
        path: path.display().to_string(),
        source,
    }
}
