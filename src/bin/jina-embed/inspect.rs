//! One report per file, printed as text or as JSON.

use std::fs::{self, File};
use std::io::{ErrorKind, Write, stdout};
use std::path::{Path, PathBuf};

use indicatif::DecimalBytes;
use jina_embeddings_web::Code;
use jina_embeddings_web::convert::{Manifest, ManifestFile, Role};
use jina_embeddings_web::gguf::{Array, Header, TensorType, Value, split};
use serde_json::{Map, Value as Json, json};

use crate::failure::Failure;

/// Longer arrays are described rather than listed.
const MAX_LISTED: usize = 32;

#[derive(clap::Args)]
pub struct Args {
    /// GGUF file or model directory
    path: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// List every tensor
    #[arg(long)]
    tensors: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    if fs::metadata(&args.path)
        .map_err(Failure::io(&args.path))?
        .is_dir()
    {
        return inspect_directory(&args);
    }
    let (header, n_bytes) = read_header(&args.path)?;
    let text = if args.json {
        let mut report = file_json(&header, n_bytes, args.tensors);
        report.insert("path".to_owned(), json!(args.path.display().to_string()));
        pretty(&Json::Object(report))
    } else {
        format!(
            "{}\n{}",
            args.path.display(),
            file_text(&header, n_bytes, args.tensors, true)
        )
    };
    print(&text)
}

/// Shows `model.json` and every file it lists; a file that is missing, of another size or damaged
/// is shown as such and makes the command fail at the end.
fn inspect_directory(args: &Args) -> Result<(), Failure> {
    let path = args.path.join("model.json");
    let json = fs::read(&path).map_err(Failure::io(&path))?;
    let manifest = Manifest::parse(&json).map_err(|error| Failure::from(error).at(&args.path))?;
    let checked: Vec<_> = manifest
        .files
        .iter()
        .map(|file| (file, check_file(&args.path, file)))
        .collect();
    let text_parts: Vec<_> = checked
        .iter()
        .filter(|(file, _)| file.role == Role::Text)
        .filter_map(|(_, header)| header.as_ref().ok())
        .collect();
    let complete = split::check_parts(&text_parts);

    let mut problems: Vec<String> = checked
        .iter()
        .filter_map(|(_, header)| {
            header
                .as_ref()
                .err()
                .map(|failure| failure.message().to_owned())
        })
        .collect();
    if let (Err(error), true) = (&complete, problems.is_empty()) {
        problems.push(error.to_string());
    }
    let text = if args.json {
        let files: Vec<_> = checked
            .iter()
            .map(|(file, header)| match header {
                Ok(header) => {
                    let mut report = file_json(header, file.n_bytes, args.tensors);
                    report.insert("path".to_owned(), json!(file.path));
                    Json::Object(report)
                }
                Err(failure) => json!({"path": file.path, "problem": failure.message()}),
            })
            .collect();
        pretty(&json!({"manifest": manifest, "files": files, "problems": problems}))
    } else {
        directory_text(args, &manifest, &checked)
    };
    print(&text)?;
    match &problems[..] {
        [] => Ok(()),
        [problem] => Err(Failure::new(Code::ModelInvalid, problem.clone())),
        [first, rest @ ..] => {
            let message = format!("{first} (and {} more)", rest.len());
            Err(Failure::new(Code::ModelInvalid, message))
        }
    }
}

/// Fails unless the file has the promised size and a sound header.
fn check_file(directory: &Path, file: &ManifestFile) -> Result<Header, Failure> {
    let path = directory.join(&file.path);
    let (header, n_bytes) = read_header(&path)?;
    if n_bytes != file.n_bytes {
        let message = format!(
            "model.json promises {} bytes, but there are {n_bytes}",
            file.n_bytes
        );
        return Err(Failure::new(Code::ModelInvalid, message).at(&path));
    }
    Ok(header)
}

fn read_header(path: &Path) -> Result<(Header, u64), Failure> {
    let mut file = File::open(path).map_err(Failure::io(path))?;
    let n_bytes = file.metadata().map_err(Failure::io(path))?.len();
    let header = Header::read(&mut file, n_bytes).map_err(|error| Failure::from(error).at(path))?;
    Ok((header, n_bytes))
}

/// Type, number of tensors and bytes, for every type that occurs.
fn type_counts(header: &Header) -> Vec<(TensorType, usize, u64)> {
    TensorType::ALL
        .iter()
        .filter_map(|kind| {
            let of_kind = header
                .tensors
                .iter()
                .filter(|tensor| tensor.tensor_type == *kind);
            let (count, n_bytes) = of_kind.fold((0, 0), |(count, sum), tensor| {
                (count + 1, sum + tensor.n_bytes)
            });
            (count > 0).then_some((*kind, count, n_bytes))
        })
        .collect()
}

fn file_json(header: &Header, n_bytes: u64, list_tensors: bool) -> Map<String, Json> {
    let metadata: Map<String, Json> = header
        .metadata
        .iter()
        .map(|(key, value)| (key.to_owned(), value_json(value)))
        .collect();
    let types: Map<String, Json> = type_counts(header)
        .into_iter()
        .map(|(kind, count, n_bytes)| {
            (
                kind.name().to_owned(),
                json!({"tensors": count, "bytes": n_bytes}),
            )
        })
        .collect();
    let mut report = Map::new();
    report.insert("bytes".to_owned(), json!(n_bytes));
    report.insert("version".to_owned(), json!(header.version));
    report.insert("alignment".to_owned(), json!(header.alignment));
    report.insert("data_offset".to_owned(), json!(header.data_offset));
    report.insert("metadata".to_owned(), Json::Object(metadata));
    report.insert("n_tensors".to_owned(), json!(header.tensors.len()));
    report.insert("types".to_owned(), Json::Object(types));
    if list_tensors {
        let tensors = header.tensors.iter().map(|tensor| {
            json!({
                "name": tensor.name,
                "type": tensor.tensor_type.name(),
                "shape": tensor.shape,
                "offset": tensor.offset,
                "bytes": tensor.n_bytes,
            })
        });
        report.insert("tensors".to_owned(), tensors.collect());
    }
    report
}

fn directory_text(
    args: &Args,
    manifest: &Manifest,
    checked: &[(&ManifestFile, Result<Header, Failure>)],
) -> String {
    let config = &manifest.config;
    let mut text = format!(
        "{}\n  architecture  {}\n  source        {}\n  licence       {}\n  space         {}\n  stored as     text {}, vision {}\n  sizes         hidden {}, layers {}, vision blocks {}, multi-vector {}\n  dimensions    {:?}\n  tasks         {}\n",
        manifest.name,
        manifest.architecture,
        manifest.source,
        manifest.licence,
        manifest.space,
        manifest.dtype,
        manifest.vision_dtype,
        config.hidden_size,
        config.num_hidden_layers,
        config.vision_depth,
        config.multi_vector_projector_dim,
        config.matryoshka_dims,
        config.tasks.join(", "),
    );
    for (file, header) in checked {
        text += &format!("\n{}\n", file.path);
        text += &match header {
            Ok(header) => file_text(header, file.n_bytes, args.tensors, false),
            Err(failure) => format!("  {}\n", failure.message()),
        };
    }
    text
}

fn file_text(header: &Header, n_bytes: u64, list_tensors: bool, list_keys: bool) -> String {
    let (n_tensors, n_keys) = (header.tensors.len(), header.metadata.len());
    let mut text = format!(
        "  GGUF {}, {}, {n_tensors} tensors, {n_keys} keys, data at {}, alignment {}\n",
        header.version,
        DecimalBytes(n_bytes),
        header.data_offset,
        header.alignment
    );
    if list_keys {
        text += "\n";
        let width = header
            .metadata
            .iter()
            .map(|(key, _)| key.len())
            .max()
            .unwrap_or(0)
            .min(48);
        for (key, value) in header.metadata.iter() {
            text += &format!("  {key:width$}  {}\n", value_text(value));
        }
        text += "\n";
    }
    for (kind, count, n_bytes) in type_counts(header) {
        let bytes = DecimalBytes(n_bytes).to_string();
        text += &format!("  {:6}  {count:5} tensors  {bytes:>10}\n", kind.name());
    }
    if list_tensors {
        text += "\n";
        let width = header
            .tensors
            .iter()
            .map(|tensor| tensor.name.len())
            .max()
            .unwrap_or(0)
            .min(64);
        for tensor in &header.tensors {
            let shape = format!("{:?}", tensor.shape);
            text += &format!(
                "  {:width$}  {:6}  {shape:20}  {:12} bytes at {}\n",
                tensor.name,
                tensor.tensor_type.name(),
                tensor.n_bytes,
                tensor.offset
            );
        }
    }
    text
}

fn value_text(value: &Value) -> String {
    match value_json(value) {
        Json::Object(long) => format!(
            "{} x {}",
            long["length"],
            long["type"].as_str().unwrap_or_default()
        ),
        short => short.to_string(),
    }
}

/// A value as JSON; a long array as its type and length.
fn value_json(value: &Value) -> Json {
    match value {
        Value::U8(n) => json!(n),
        Value::I8(n) => json!(n),
        Value::U16(n) => json!(n),
        Value::I16(n) => json!(n),
        Value::U32(n) => json!(n),
        Value::I32(n) => json!(n),
        Value::U64(n) => json!(n),
        Value::I64(n) => json!(n),
        Value::F32(n) => json!(shortest(*n)),
        Value::F64(n) => json!(n),
        Value::Bool(value) => json!(value),
        Value::String(text) => json!(text),
        Value::Array(array) if array.len() > MAX_LISTED => {
            json!({"type": array.type_name(), "length": array.len()})
        }
        Value::Array(array) => match array {
            Array::U8(items) => json!(items),
            Array::I8(items) => json!(items),
            Array::U16(items) => json!(items),
            Array::I16(items) => json!(items),
            Array::U32(items) => json!(items),
            Array::I32(items) => json!(items),
            Array::U64(items) => json!(items),
            Array::I64(items) => json!(items),
            Array::F32(items) => items.iter().map(|n| Json::from(shortest(*n))).collect(),
            Array::F64(items) => json!(items),
            Array::Bool(items) => json!(items),
            Array::String(items) => items.iter().map(Json::from).collect(),
        },
    }
}

/// The `f64` that prints with the digits of the `f32`: 1e-6, not 9.999999974752427e-7.
fn shortest(n: f32) -> f64 {
    n.to_string().parse().unwrap_or_else(|_| f64::from(n))
}

fn pretty(value: &Json) -> String {
    format!("{value:#}\n")
}

/// Prints to standard output; a reader that has seen enough is no failure.
fn print(text: &str) -> Result<(), Failure> {
    match stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(Code::Io, format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}
