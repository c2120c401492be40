//! `jina-embed verify` as its user meets it, and the vectors of the self-test on every device.
#![cfg(all(feature = "gpu", feature = "cli"))]

mod common;
mod tiny;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use common::{load, targets};
use jina_embeddings_web::{
    convert::{Dtype, Manifest, Options, convert, hash_file},
    model_files::ModelFiles,
    self_test::{CaseInput, SelfTest},
    verify,
};
use tiny::{convert_to, fixtures};

fn run(directory: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_jina-embed"))
        .args(["verify", "--device", "cpu"])
        .arg(directory)
        .args(more)
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn manifest(directory: &Path) -> Manifest {
    Manifest::parse(&fs::read(directory.join("model.json")).unwrap()).unwrap()
}

#[test]
fn a_fresh_directory_passes_and_is_not_taken_for_the_published_model() {
    let room = tempfile::tempdir().unwrap();
    convert_to(room.path(), Dtype::Q8_0, Dtype::Q8_0);
    let output = run(&room.path().join("model"), &[]);
    let lines = stdout(&output);
    assert!(output.status.success(), "{lines}{}", stderr(&output));
    for file in [
        "text-00001-of-00001.gguf",
        "vision.gguf",
        "adapter-code.gguf",
    ] {
        assert!(lines.contains(&format!("ok      {file}: ")), "{lines}");
    }
    assert!(
        lines.contains("every tensor that the model needs is there"),
        "{lines}"
    );
    assert!(lines.contains("this directory has none"), "{lines}");
    assert!(lines.contains("published figures do not apply"), "{lines}");
    assert!(lines.contains("(50 tensors)"), "{lines}");
}

#[test]
fn the_vectors_that_are_written_are_computed_again_on_every_device() {
    let room = tempfile::tempdir().unwrap();
    let before = convert_to(room.path(), Dtype::Q4_0, Dtype::Q8_0);
    let directory = room.path().join("model");
    let written = run(&directory, &["--write-self-test"]);
    assert!(
        written.status.success(),
        "{}{}",
        stdout(&written),
        stderr(&written)
    );
    let after = manifest(&directory);
    assert_eq!((&after.space, &after.files), (&before.space, &before.files));
    assert!(
        fs::metadata(directory.join("self-test.json"))
            .unwrap()
            .len()
            < 100_000
    );

    let output = run(&directory, &[]);
    let lines = stdout(&output);
    assert!(output.status.success(), "{lines}{}", stderr(&output));
    for case in ["retrieval", "text-matching", "code", "picture"] {
        assert!(
            lines.contains(&format!("ok      self-test {case}: cosine ")),
            "{lines}"
        );
    }

    let json = fs::read(directory.join("self-test.json")).unwrap();
    let self_test = SelfTest::parse(&json, &after.space).unwrap();
    let texts = self_test.cases.iter();
    let n_texts = texts
        .filter(|case| matches!(case.input, CaseInput::Text(_)))
        .count();
    assert_eq!((n_texts, self_test.cases.len()), (3, 4));
    for target in targets() {
        let embedder = load(&target, ModelFiles::find(&directory).unwrap().files());
        let found = verify::check_self_test(&embedder, &self_test).unwrap();
        for (case, found) in self_test.cases.iter().zip(found) {
            let cosine = found.unwrap_or_else(|error| panic!("{}: {error}", target.name));
            // Far inside of what passes: two devices that compute alike.
            assert!(cosine > 0.9999, "{}, {}: {cosine}", target.name, case.name);
        }
    }
}

#[test]
fn each_damaged_file_is_named_with_what_was_needed_and_found() {
    let room = tempfile::tempdir().unwrap();
    convert_to(room.path(), Dtype::F16, Dtype::F16);
    let directory = room.path().join("model");
    let vision = directory.join("vision.gguf");
    let mut bytes = fs::read(&vision).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&vision, &bytes).unwrap();
    let projector = directory.join("projector.gguf");
    let whole = fs::read(&projector).unwrap();
    fs::write(&projector, &whole[..whole.len() - 7]).unwrap();
    fs::remove_file(directory.join("adapter-code.gguf")).unwrap();
    let output = run(&directory, &["--files-only"]);
    let lines = stdout(&output);
    assert!(!output.status.success());
    assert!(
        lines.contains("FAILED  vision.gguf: needed SHA-256 "),
        "{lines}"
    );
    let sizes = format!(
        "FAILED  projector.gguf: needed {} bytes, found {}",
        whole.len(),
        whole.len() - 7
    );
    assert!(lines.contains(&sizes), "{lines}");
    assert!(lines.contains("FAILED  adapter-code.gguf: "), "{lines}");
    assert!(
        lines.contains("ok      text-00001-of-00001.gguf"),
        "{lines}"
    );
    assert!(
        stderr(&output).contains("error[MODEL_INVALID]: 3 checks failed"),
        "{}",
        stderr(&output)
    );
}

/// Changes the text of a file and enters its new size and hash in `model.json`.
fn edit(directory: &Path, edit: impl FnOnce(String) -> String) {
    let path = directory.join("self-test.json");
    let text = edit(fs::read_to_string(&path).unwrap());
    fs::write(&path, text).unwrap();
    let mut manifest = manifest(directory);
    let file = manifest.self_test.as_mut().unwrap();
    (file.n_bytes, file.sha256) = hash_file(&path).unwrap();
    let json = serde_json::to_vec(&manifest).unwrap();
    fs::write(directory.join("model.json"), json).unwrap();
}

#[test]
fn vectors_of_other_weights_fail_by_their_cosine() {
    let room = tempfile::tempdir().unwrap();
    convert_to(room.path(), Dtype::F16, Dtype::F16);
    let directory = room.path().join("model");
    assert!(run(&directory, &["--write-self-test"]).status.success());
    edit(&directory, |text| {
        // The text that was embedded is another one now, of as many tokens.
        let edited = text.replacen("1987", "1789", 1);
        assert_ne!(edited, text);
        edited
    });
    let output = run(&directory, &[]);
    let lines = stdout(&output);
    assert!(!output.status.success(), "{lines}");
    assert!(
        lines.contains("FAILED  self-test `text-matching`: needed a cosine of at least 0.999"),
        "{lines}"
    );
    assert!(lines.contains("ok      self-test code: "), "{lines}");
}

#[test]
fn a_directory_made_of_gguf_files_computes_what_the_files_do() {
    let folder = fixtures().join("tiny_gguf");
    let (text, mmproj) = (
        folder.join("tiny-jina-v4-a-retrieval-Q8_0.gguf"),
        folder.join("mmproj-tiny-jina-v4-a-BF16.gguf"),
    );
    let room = tempfile::tempdir().unwrap();
    let mut options = Options::new(
        text.clone(),
        room.path().join("model"),
        Dtype::Keep,
        Dtype::Keep,
    );
    options.mmproj = Some(mmproj.clone());
    convert(&options, &mut |_| std::ops::ControlFlow::Continue(())).unwrap();
    assert!(run(&options.to, &["--write-self-test"]).status.success());
    let space = manifest(&options.to).space;
    let json = fs::read(options.to.join("self-test.json")).unwrap();
    let self_test = SelfTest::parse(&json, &space).unwrap();
    // One task, and a picture.
    assert_eq!(self_test.cases.len(), 2);
    let files = ModelFiles::find(&text).unwrap();
    let files = files.with(jina_embeddings_web::weights::Role::Vision, mmproj);
    let embedder = load(&common::Target::cpu(), files.files());
    for found in verify::check_self_test(&embedder, &self_test).unwrap() {
        assert!(found.unwrap() > 0.999_999_9);
    }
}
