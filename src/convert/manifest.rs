//! `model.json`: what a model directory holds.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::config::ModelConfig;
use super::destination::{write_json, write_whole};
use super::error::Error;
use crate::self_test::{self, SelfTest};

const FORMAT: &str = "jina-embeddings-web";
const FORMAT_VERSION: u32 = 1;

/// The content of `model.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Always `jina-embeddings-web`.
    pub format: String,
    /// Version of this layout, 1.
    pub format_version: u32,
    /// The model's name.
    pub name: String,
    /// Always `jina-embeddings-v4`.
    pub architecture: String,
    /// The licence of the weights, as their source states it.
    pub licence: String,
    /// Where the weights came from: a repository id or a directory's name.
    pub source: String,
    /// Vectors may be compared only within one space: same weights, stored the same way. The last
    /// part is the beginning of the SHA-256 over the files' hexadecimal hashes in their order.
    pub space: String,
    /// A summary for people; what is computed from are the GGUF files.
    pub config: ConfigSummary,
    /// How the text model's matrices are stored.
    pub dtype: String,
    /// How the vision tower's matrices are stored; `none` where there is none.
    pub vision_dtype: String,
    /// The files, in the order in which to load them.
    pub files: Vec<ManifestFile>,
    /// The vectors that recognise a device that computes wrongly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_test: Option<NamedFile>,
}

/// A file beside those of the weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedFile {
    /// The plain file name.
    pub path: String,
    /// Length of the file.
    pub n_bytes: u64,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

/// The sizes that a reader of `model.json` may want to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigSummary {
    /// Width of a full vector.
    pub hidden_size: usize,
    /// Layers of the text model.
    pub num_hidden_layers: usize,
    /// Widths to which a vector may be cut.
    pub matryoshka_dims: Vec<usize>,
    /// Width of one vector of a multi-vector; 0 where the source has no projector.
    pub multi_vector_projector_dim: usize,
    /// The tasks that have an adapter.
    pub tasks: Vec<String>,
    /// Blocks of the vision tower; 0 where there is none.
    pub vision_depth: usize,
}

/// What a file of a model directory is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A part of the text model; the parts are listed in order.
    Text,
    /// The vision tower.
    Vision,
    /// The multi-vector projector.
    Projector,
    /// The adapter of a task.
    Adapter,
}

/// One file of a model directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// The plain file name.
    pub path: String,
    /// What the file is for.
    pub role: Role,
    /// The task, for an adapter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Length of the file.
    pub n_bytes: u64,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// The hashes of its pieces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pieces: Option<Pieces>,
}

/// Bytes of every piece of a file but the last. A browser copies what it hashes: of more than this it takes
/// memory from the system for every piece, which costs nearly as much as hashing it (Chromium 156;
/// `bench/loading.mjs` measures it).
pub(super) const PIECE_BYTES: u64 = 512 << 10;

/// What lets a browser verify a file piece by piece, before any of it reaches the device, and by
/// the means that it has for bytes in one place, which are ten times as fast as its own code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pieces {
    /// Length of every piece but the last.
    pub n_bytes: u64,
    /// SHA-256 of each piece, in hexadecimal.
    pub sha256: Vec<String>,
}

impl Manifest {
    pub(super) fn new(
        name: String,
        source: String,
        licence: String,
        config: ConfigSummary,
        dtype: String,
        vision_dtype: String,
        files: Vec<ManifestFile>,
    ) -> Manifest {
        let mut hash = Sha256::new();
        for file in &files {
            hash.update(&file.sha256);
        }
        let digest = &hex(&hash.finalize())[..12];
        Manifest {
            format: FORMAT.to_owned(),
            format_version: FORMAT_VERSION,
            architecture: "jina-embeddings-v4".to_owned(),
            licence,
            source,
            space: format!("{name}/{dtype}/{vision_dtype}/{digest}"),
            name,
            config,
            dtype,
            vision_dtype,
            files,
            self_test: None,
        }
    }

    /// Keeps vectors beside a model: writes them to `directory` as `self-test.json`, and then
    /// `model.json`, which names them.
    ///
    /// Fails if a file cannot be written; then `model.json` is as it was.
    pub fn add_self_test(
        mut self,
        directory: &Path,
        self_test: &SelfTest,
    ) -> Result<Manifest, Error> {
        let json = self_test.to_json();
        write_whole(&directory.join(self_test::FILE_NAME), &json)?;
        self.self_test = Some(NamedFile {
            path: self_test::FILE_NAME.to_owned(),
            n_bytes: json.len() as u64,
            sha256: hex(&Sha256::digest(&json)),
        });
        write_json(&directory.join("model.json"), &self)?;
        Ok(self)
    }

    /// Reads `model.json`.
    ///
    /// Fails if it is not JSON of this layout, of another version, or if a file's name is more
    /// than a name (a path could reach outside the directory).
    pub fn parse(json: &[u8]) -> Result<Manifest, Error> {
        let bad = |reason: String| Error::BadManifest { reason };
        let manifest: Manifest =
            serde_json::from_slice(json).map_err(|error| bad(error.to_string()))?;
        if manifest.format != FORMAT {
            return Err(bad(format!(
                "`format` must be {FORMAT:?}, but is {:?}",
                manifest.format
            )));
        }
        if manifest.format_version != FORMAT_VERSION {
            let found = manifest.format_version;
            return Err(bad(format!(
                "`format_version` must be {FORMAT_VERSION}, but is {found}"
            )));
        }
        let plain = |path: &str| {
            !path.is_empty() && !path.contains(['/', '\\', ':']) && path != "." && path != ".."
        };
        let files = manifest.files.iter().map(|file| &file.path);
        let self_test = manifest.self_test.iter().map(|file| &file.path);
        match files.chain(self_test).find(|path| !plain(path)) {
            Some(path) => Err(bad(format!(
                "`path` must be a plain file name, but is {path:?}"
            ))),
            None => Ok(manifest),
        }
    }
}

impl ConfigSummary {
    pub(super) fn of(config: &ModelConfig, has_projector: bool) -> ConfigSummary {
        ConfigSummary {
            hidden_size: config.text.hidden_size,
            num_hidden_layers: config.text.num_hidden_layers,
            matryoshka_dims: config.matryoshka_dims.clone(),
            multi_vector_projector_dim: match has_projector {
                true => config.multi_vector_projector_dim,
                false => 0,
            },
            tasks: config.task_names.clone(),
            vision_depth: config.vision.depth,
        }
    }
}

/// The licence that the front matter of the directory's README states, or `unknown`.
pub(super) fn licence(from: &Path) -> String {
    let readme = std::fs::read_to_string(from.join("README.md")).unwrap_or_default();
    let mut lines = readme.lines();
    if lines.next().map(str::trim) != Some("---") {
        return "unknown".to_owned();
    }
    let front_matter: Vec<_> = lines.take_while(|line| line.trim() != "---").collect();
    let field = |name: &str| {
        front_matter.iter().find_map(|line| {
            let value = line.strip_prefix(name)?.strip_prefix(':')?;
            let value = value.trim().trim_matches(['"', '\'']);
            (!value.is_empty()).then(|| value.to_owned())
        })
    };
    // Where `license` is `other`, the name says which.
    field("license_name")
        .or_else(|| field("license"))
        .unwrap_or_else(|| "unknown".to_owned())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
