//! The tiny model as a directory that a test may damage.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use jina_embeddings_web::Code;
use jina_embeddings_web::convert::{Dtype, Error, Manifest, Options, convert};
use safetensors::tensor::TensorView;
use safetensors::{Dtype as StoredDtype, SafeTensors};

/// Tensors of a safetensors file by name.
pub type Tensors = BTreeMap<String, Tensor>;

/// A tensor as stored.
#[derive(Clone)]
pub struct Tensor {
    pub dtype: StoredDtype,
    pub shape: Vec<usize>,
    pub data: Vec<u8>,
}

impl Tensor {
    /// The values; the published files are all BF16.
    pub fn values(&self) -> Vec<f32> {
        assert_eq!(self.dtype, StoredDtype::BF16);
        let pairs = self.data.as_chunks::<2>().0.iter();
        pairs
            .map(|pair| half::bf16::from_le_bytes(*pair).to_f32())
            .collect()
    }

    /// The same tensor in F32, one value replaced.
    pub fn with_value(&self, at: usize, value: f32) -> Tensor {
        let mut values = self.values();
        values[at] = value;
        let data = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        Tensor {
            dtype: StoredDtype::F32,
            shape: self.shape.clone(),
            data,
        }
    }
}

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

pub fn read_safetensors(path: &Path) -> Tensors {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.iter()
        .map(|(name, view)| {
            let (dtype, shape, data) = (view.dtype(), view.shape().to_vec(), view.data().to_vec());
            (name.to_owned(), Tensor { dtype, shape, data })
        })
        .collect()
}

pub fn write_safetensors(path: &Path, tensors: &Tensors) {
    let views = tensors.iter().map(|(name, tensor)| {
        (
            name,
            TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.data).unwrap(),
        )
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

pub fn options(from: &Path, to: &Path, dtype: Dtype, vision_dtype: Dtype) -> Options {
    Options {
        name: Some("tiny".to_owned()),
        ..Options::new(from.to_owned(), to.to_owned(), dtype, vision_dtype)
    }
}

/// Converts the tiny model to `<room>/model`.
pub fn convert_to(room: &Path, dtype: Dtype, vision_dtype: Dtype) -> Manifest {
    let options = options(
        &fixtures().join("tiny"),
        &room.join("model"),
        dtype,
        vision_dtype,
    );
    convert(&options, &mut |_| ControlFlow::Continue(())).unwrap()
}

/// A copy of the published directory in `<room>/hf`.
pub fn copy(room: &Path) -> PathBuf {
    let (from, to) = (fixtures().join("tiny"), room.join("hf"));
    fs::create_dir_all(to.join("adapters")).unwrap();
    for name in [
        "config.json",
        "preprocessor_config.json",
        "tokenizer.json",
        "model.safetensors.index.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "adapters/adapter_config.json",
        "adapters/adapter_model.safetensors",
    ] {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
    to
}

/// Joins the two base shards of a copy into one `model.safetensors` without index, changed by `edit`.
pub fn edit_base(hf: &Path, edit: impl FnOnce(&mut Tensors)) {
    let shards = [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ];
    let mut tensors = Tensors::new();
    for shard in shards {
        tensors.extend(read_safetensors(&hf.join(shard)));
        fs::remove_file(hf.join(shard)).unwrap();
    }
    fs::remove_file(hf.join("model.safetensors.index.json")).unwrap();
    edit(&mut tensors);
    write_safetensors(&hf.join("model.safetensors"), &tensors);
}

/// Changes the adapter file of a copy.
pub fn edit_adapters(hf: &Path, edit: impl FnOnce(&mut Tensors)) {
    let path = hf.join("adapters/adapter_model.safetensors");
    let mut tensors = read_safetensors(&path);
    edit(&mut tensors);
    write_safetensors(&path, &tensors);
}

/// Changes a JSON file of a copy.
pub fn edit_json(path: &Path, edit: impl FnOnce(&mut serde_json::Value)) {
    let mut json = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    edit(&mut json);
    fs::write(path, serde_json::to_vec(&json).unwrap()).unwrap();
}

/// Converts a damaged copy and returns the error, after checking that nothing was left.
pub fn failure(damage: impl FnOnce(&Path)) -> Error {
    failure_with(damage, |_| {})
}

/// As [`failure`], with the options adjusted.
pub fn failure_with(damage: impl FnOnce(&Path), adjust: impl FnOnce(&mut Options)) -> Error {
    let room = tempfile::tempdir().unwrap();
    let hf = copy(room.path());
    damage(&hf);
    let mut options = options(&hf, &room.path().join("model"), Dtype::F16, Dtype::F16);
    adjust(&mut options);
    let error = convert(&options, &mut |_| ControlFlow::Continue(()))
        .expect_err("a damaged model was converted");
    let left: Vec<_> = fs::read_dir(room.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["hf"], "left behind");
    error
}

/// Asserts the code, and words that the message must have.
#[track_caller]
pub fn assert_says(error: &Error, code: Code, words: &[&str]) {
    let message = error.to_string();
    assert_eq!(error.code(), code, "{message}");
    for word in words {
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
}
