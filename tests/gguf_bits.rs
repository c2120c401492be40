//! Bit equality with ggml: `fixtures/gguf_bits` was made by the Python packages gguf and libgguf
//! (`fixtures/scripts/make_gguf_bits.py`), never by this crate.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jina_embeddings_web::gguf::{self, Header, Parsed, TensorType};
use serde::Deserialize;
use sha2::{Digest, Sha256};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn read(path: &str) -> Vec<u8> {
    let path = fixtures().join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &str) -> T {
    serde_json::from_slice(&read(path)).unwrap()
}

fn tensor_type(name: &str) -> TensorType {
    *TensorType::ALL
        .iter()
        .find(|kind| kind.name() == name)
        .unwrap_or_else(|| panic!("no type {name}"))
}

/// SHA-256 over the values as little-endian `f32`, in hexadecimal.
fn digest(values: &[f32]) -> String {
    let mut hash = Sha256::new();
    for value in values {
        hash.update(value.to_le_bytes());
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn dequantize(kind: TensorType, bytes: &[u8]) -> Vec<f32> {
    let mut values = vec![0.0; bytes.len() / kind.block_bytes() * kind.block_elements()];
    gguf::dequantize(kind, bytes, &mut values).unwrap();
    values
}

#[derive(Deserialize)]
struct ExpectedTensor {
    r#type: String,
    shape: Vec<usize>,
    sha256: String,
}

#[test]
fn every_tensor_of_every_fixture_file_dequantises_to_the_bits_of_ggml() {
    let files: BTreeMap<String, BTreeMap<String, ExpectedTensor>> =
        read_json("gguf_bits/tensors.json");
    let mut seen = std::collections::BTreeSet::new();
    for (path, expected) in &files {
        let bytes = read(path);
        let Parsed::Complete(header) = Header::parse(&bytes, Some(bytes.len() as u64)).unwrap()
        else {
            panic!("{path}: the whole file is not enough");
        };
        assert_eq!(header.tensors.len(), expected.len(), "{path}");
        for tensor in &header.tensors {
            let expected = &expected[&tensor.name];
            assert_eq!(
                tensor.tensor_type,
                tensor_type(&expected.r#type),
                "{path} {}",
                tensor.name
            );
            assert_eq!(tensor.shape, expected.shape, "{path} {}", tensor.name);
            let data = &bytes[tensor.offset as usize..][..tensor.n_bytes as usize];
            let values = dequantize(tensor.tensor_type, data);
            assert_eq!(digest(&values), expected.sha256, "{path} {}", tensor.name);
            seen.insert(tensor.tensor_type.name());
        }
    }
    assert_eq!(files.len(), 18, "a fixture file is missing");
    for kind in [
        "F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
        "IQ4_NL", "IQ4_XS",
    ] {
        assert!(seen.contains(kind), "no fixture file holds {kind}");
    }
}

#[derive(Deserialize)]
struct ExpectedBlocks {
    r#type: String,
    offset: usize,
    n_blocks: usize,
    sha256: String,
}

#[test]
fn random_blocks_with_extreme_scales_dequantise_to_the_bits_of_ggml() {
    let data = read("gguf_bits/blocks.bin");
    let table: Vec<ExpectedBlocks> = read_json("gguf_bits/blocks.json");
    assert_eq!(table.len(), TensorType::ALL.len());
    for expected in table {
        let kind = tensor_type(&expected.r#type);
        let blocks = &data[expected.offset..][..expected.n_blocks * kind.block_bytes()];
        assert_eq!(digest(&dequantize(kind, blocks)), expected.sha256, "{kind}");
    }
}

#[derive(Deserialize)]
struct ExpectedQuantized {
    n_elements: usize,
    outputs: Vec<ExpectedOutput>,
}

#[derive(Deserialize)]
struct ExpectedOutput {
    r#type: String,
    offset: usize,
    n_bytes: usize,
}

#[test]
fn quantisers_write_the_bytes_of_ggml() {
    let data = read("gguf_bits/quantize.bin");
    let expected: ExpectedQuantized = read_json("gguf_bits/quantize.json");
    let values = dequantize(TensorType::F32, &data[..expected.n_elements * 4]);
    assert_eq!(expected.outputs.len(), 8);
    for output in expected.outputs {
        let kind = tensor_type(&output.r#type);
        let mut bytes = Vec::new();
        gguf::quantize(kind, &values, &mut bytes).unwrap();
        assert_eq!(bytes.len(), output.n_bytes, "{kind}");
        let blocks = bytes
            .chunks(kind.block_bytes())
            .zip(data[output.offset..].chunks(kind.block_bytes()));
        for (index, (found, needed)) in blocks.enumerate() {
            let from = &values[index * kind.block_elements()..][..kind.block_elements()];
            assert_eq!(found, needed, "{kind}, block {index}, from {from:?}");
        }
    }
}
