//! What the parity tests share: fixtures, devices, and the comparison with the reference.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use jina_embeddings_web::{
    Device, Embedder, Embedding, EncodeOptions, Input,
    kernels::Kernels,
    weights::{Loader, Role},
};
use safetensors::SafeTensors;

/// A file under `tests/fixtures`.
pub fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(path)
}

/// A JSON file under `tests/fixtures`.
pub fn json(path: &str) -> serde_json::Value {
    let bytes = std::fs::read(fixture(path)).expect(path);
    serde_json::from_slice(&bytes).expect(path)
}

/// The reference's tensors of one file: name -> (shape, values as f32).
pub fn golden(path: &str) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let bytes = std::fs::read(fixture(path)).expect(path);
    let tensors = SafeTensors::deserialize(&bytes).expect(path);
    let numbers = |view: &safetensors::tensor::TensorView| -> Vec<f32> {
        let words = view
            .data()
            .chunks_exact(4)
            .map(|word| word.try_into().expect("four bytes"));
        match view.dtype() {
            safetensors::Dtype::F32 => words.map(f32::from_le_bytes).collect(),
            safetensors::Dtype::I32 => words.map(|word| i32::from_le_bytes(word) as f32).collect(),
            other => panic!("{path}: {other:?}"),
        }
    };
    tensors
        .tensors()
        .into_iter()
        .map(|(name, view)| (name, (view.shape().to_vec(), numbers(&view))))
        .collect()
}

/// Runs to the end on this thread.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}

/// A device and the form of the operations computed on it.
#[derive(Clone)]
pub struct Target {
    pub name: &'static str,
    pub device: Device,
    pub kernels: Kernels,
}

impl Target {
    pub fn cpu() -> Self {
        Self {
            name: "cpu",
            device: Device::cpu(),
            kernels: Kernels::Host,
        }
    }
}

/// The processor, and the graphics adapter of the machine in each form of the operations:
/// lavapipe where there is no other. A machine without one fails the tests rather than skipping
/// them.
///
/// The tests of a binary share one graphics device, and with it the shaders it compiled.
pub fn targets() -> [Target; 4] {
    static GPU: OnceLock<Device> = OnceLock::new();
    let device = GPU
        .get_or_init(|| {
            wait(Device::gpu()).expect("a Vulkan adapter (Debian: mesa-vulkan-drivers)")
        })
        .clone();
    [
        Target::cpu(),
        Target {
            name: "gpu, direct",
            device: device.clone(),
            kernels: Kernels::DIRECT,
        },
        Target {
            name: "gpu, tiled",
            device,
            kernels: Kernels::TILED,
        },
        Target {
            name: "cpu, portable",
            kernels: Kernels::Portable,
            ..Target::cpu()
        },
    ]
}

/// A model from files, fed in uneven chunks.
pub fn load(target: &Target, files: &[(Role, PathBuf)]) -> Embedder {
    let mut loader = Loader::new(&target.device);
    for (role, path) in files {
        let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a file name");
        loader
            .begin_file(*role, name, Some(bytes.len() as u64))
            .expect(name);
        for chunk in bytes.chunks(61_007) {
            loader
                .push(chunk)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        loader.end_file().expect(name);
    }
    let loaded = loader.finish().expect("the files make a model");
    Embedder::new(target.device.clone(), loaded).with_kernels(target.kernels)
}

/// The embedding of one input.
pub fn encode(embedder: &Embedder, input: Input, options: &EncodeOptions) -> Embedding {
    let mut results =
        wait(embedder.encode(&[input], options, &mut (), |_, _| ())).expect("the call");
    results.remove(0).expect("the input")
}

/// How far two lists of numbers are apart.
#[derive(Debug, Clone, Copy)]
pub struct Deviation {
    pub cosine: f64,
    pub max_abs: f64,
    /// Largest magnitude in the reference.
    pub scale: f64,
}

/// Compares with the reference, in f64.
pub fn deviation(found: &[f32], needed: &[f32]) -> Deviation {
    assert_eq!(found.len(), needed.len(), "lengths differ");
    let (mut dot, mut nf, mut nn, mut max_abs, mut scale) = (0.0, 0.0, 0.0, 0.0f64, 0.0f64);
    for (f, n) in found.iter().zip(needed) {
        let (f, n) = (f64::from(*f), f64::from(*n));
        assert!(f.is_finite(), "a number is not finite");
        dot += f * n;
        nf += f * f;
        nn += n * n;
        max_abs = max_abs.max((f - n).abs());
        scale = scale.max(n.abs());
    }
    Deviation {
        cosine: dot / (nf * nn).sqrt(),
        max_abs,
        scale,
    }
}

/// The worst of many comparisons, with its name.
pub struct Worst {
    pub n: usize,
    pub least_cosine: (f64, String),
    pub largest_abs: (f64, String),
}

impl Worst {
    pub fn new() -> Self {
        Self {
            n: 0,
            least_cosine: (1.0, String::new()),
            largest_abs: (0.0, String::new()),
        }
    }

    pub fn add(&mut self, name: &str, deviation: Deviation) {
        self.n += 1;
        if deviation.cosine <= self.least_cosine.0 {
            self.least_cosine = (deviation.cosine, name.to_string());
        }
        if deviation.max_abs >= self.largest_abs.0 {
            self.largest_abs = (deviation.max_abs, name.to_string());
        }
    }

    /// Prints the worst and fails where it is past the tolerances.
    pub fn check(&self, what: &str, min_cosine: f64, max_abs: f64) {
        println!(
            "{what}: {} compared, cosine >= {:.9} ({}), max abs {:.2e} ({})",
            self.n,
            self.least_cosine.0,
            self.least_cosine.1,
            self.largest_abs.0,
            self.largest_abs.1
        );
        assert!(self.n > 0, "{what}: nothing was compared");
        assert!(
            self.least_cosine.0 >= min_cosine,
            "{what}: cosine {:?}",
            self.least_cosine
        );
        assert!(
            self.largest_abs.0 <= max_abs,
            "{what}: max abs {:?}",
            self.largest_abs
        );
    }
}
