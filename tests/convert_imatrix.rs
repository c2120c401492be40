//! Importance matrices in both of llama.cpp's forms, built here byte by byte.
#![cfg(feature = "cli")]

mod tiny;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use jina_embeddings_web::Code;
use jina_embeddings_web::convert::{Dtype, Error, Manifest, Options, convert};
use jina_embeddings_web::gguf::{Metadata, TensorSpec, TensorType, Writer};
use tiny::{assert_says, fixtures, options};

/// Matrices of the tiny model and their columns.
const MATRICES: [(&str, usize); 3] = [
    ("blk.0.attn_q.weight", 128),
    ("blk.1.ffn_down.weight", 352),
    ("token_embd.weight", 128),
];
const N_CALLS: i32 = 4;

/// What a column of a matrix matters.
fn importance(column: usize) -> f32 {
    [0.01, 1.0, 30.0, 0.0][column % 4]
}

/// The older form, with what follows the entries.
fn dat(matrices: &[(&str, usize)]) -> Vec<u8> {
    let mut bytes = (matrices.len() as i32).to_le_bytes().to_vec();
    for &(name, n_columns) in matrices {
        bytes.extend((name.len() as i32).to_le_bytes());
        bytes.extend(name.as_bytes());
        bytes.extend(N_CALLS.to_le_bytes());
        bytes.extend((n_columns as i32).to_le_bytes());
        for column in 0..n_columns {
            bytes.extend((importance(column) * N_CALLS as f32).to_le_bytes());
        }
    }
    bytes.extend(9_i32.to_le_bytes());
    bytes.extend(4_i32.to_le_bytes());
    bytes.extend(b"text");
    bytes
}

/// The newer form.
fn gguf(kind: &str) -> Vec<u8> {
    let mut metadata = Metadata::new();
    metadata.insert("general.type", kind).unwrap();
    let spec = |name: String, shape: &[usize]| TensorSpec {
        name,
        shape: shape.to_vec(),
        tensor_type: TensorType::F32,
    };
    let specs: Vec<_> = MATRICES
        .iter()
        .flat_map(|(name, n_columns)| {
            [
                spec(format!("{name}.in_sum2"), &[1, *n_columns]),
                spec(format!("{name}.counts"), &[1, 1]),
            ]
        })
        .collect();
    let writer = Writer::new(&metadata, &specs).unwrap();
    let mut stream = writer.begin(Vec::new()).unwrap();
    for (name, n_columns) in MATRICES {
        let sums = (0..n_columns).flat_map(|it| (importance(it) * 512.0).to_le_bytes());
        let sums: Vec<u8> = sums.collect();
        stream.write(&format!("{name}.in_sum2"), &sums).unwrap();
        let counts = 512.0_f32.to_le_bytes();
        stream.write(&format!("{name}.counts"), &counts).unwrap();
    }
    stream.finish().unwrap()
}

fn with_imatrix(room: &Path, to: &str, bytes: &[u8]) -> Options {
    let path: PathBuf = room.join(format!("{to}.imatrix"));
    fs::write(&path, bytes).unwrap();
    let from = fixtures().join("tiny");
    let mut options = options(&from, &room.join(to), Dtype::Q4_0, Dtype::F16);
    options.imatrix = Some(path);
    options
}

fn run(options: &Options) -> Result<Manifest, Error> {
    convert(options, &mut |_| ControlFlow::Continue(()))
}

fn failure(bytes: &[u8]) -> Error {
    let room = tempfile::tempdir().unwrap();
    let options = with_imatrix(room.path(), "model", bytes);
    let error = run(&options).expect_err("a damaged importance matrix was used");
    assert!(!options.to.exists());
    error
}

#[test]
fn both_forms_of_the_same_importances_give_the_same_model_and_another_than_without() {
    let room = tempfile::tempdir().unwrap();
    let from_dat = run(&with_imatrix(room.path(), "dat", &dat(&MATRICES))).unwrap();
    let from_gguf = run(&with_imatrix(room.path(), "gguf", &gguf("imatrix"))).unwrap();
    assert_eq!(from_dat, from_gguf);
    let without = tiny::convert_to(room.path(), Dtype::Q4_0, Dtype::F16);
    assert_ne!(from_dat.files[0].sha256, without.files[0].sha256);
    // Only what the importances are of has changed.
    assert_eq!(from_dat.files[1..], without.files[1..]);
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = dat(&MATRICES);
    let end_of_entries = whole.len() - 12;
    for at in [0, 3, 4, 9, 30, 100, end_of_entries - 1] {
        let error = failure(&whole[..at]);
        assert_says(
            &error,
            Code::ModelInvalid,
            &["importance matrix", "ends within"],
        );
    }
    let whole = gguf("imatrix");
    // The last number has four bytes, and padding after it.
    for at in [5, 100, whole.len() - 30] {
        assert_eq!(failure(&whole[..at]).code(), Code::ModelInvalid, "{at}");
    }
}

#[test]
fn importances_of_another_model_are_refused_by_the_matrix() {
    let wider = dat(&[("blk.0.attn_q.weight", 2048)]);
    let words = ["blk.0.attn_q.weight", "2048 columns", "the model's 128"];
    assert_says(&failure(&wider), Code::ModelInvalid, &words);
    let unknown = dat(&[("blk.0.ssm_in.weight", 128)]);
    assert_says(
        &failure(&unknown),
        Code::ModelInvalid,
        &["names no matrix of this model"],
    );
    assert_says(
        &failure(&dat(&[])),
        Code::ModelInvalid,
        &["holds no matrix"],
    );
}

#[test]
fn a_number_that_no_mean_square_can_be_is_refused_by_its_place() {
    for bad in [-1.0_f32, f32::NAN, f32::INFINITY] {
        let mut damaged = dat(&MATRICES);
        let first = 4 + 4 + MATRICES[0].0.len() + 8;
        damaged[first + 8..first + 12].copy_from_slice(&bad.to_le_bytes());
        let error = failure(&damaged);
        assert_says(
            &error,
            Code::ModelInvalid,
            &["blk.0.attn_q.weight", "column 2"],
        );
    }
}

#[test]
fn a_model_in_place_of_importances_is_refused() {
    let error = failure(&gguf("model"));
    assert_says(
        &error,
        Code::ModelInvalid,
        &["`general.type` must be \"imatrix\""],
    );
}
