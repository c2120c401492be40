//! The command `jina-embed` as a user meets it: exit status, standard output, standard error.
#![cfg(feature = "cli")]

mod tiny;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tiny::fixtures;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_jina-embed"))
        .args(arguments)
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn convert(to: &Path, more: &[&str]) -> Output {
    let from = fixtures().join("tiny");
    let arguments = [
        "convert",
        "--from",
        from.to_str().unwrap(),
        "--to",
        to.to_str().unwrap(),
    ];
    run(&[&arguments, more].concat())
}

#[test]
fn convert_reports_progress_in_plain_lines_where_no_terminal_listens() {
    let room = tempfile::tempdir().unwrap();
    let to = room.path().join("model");
    let output = convert(&to, &["--dtype", "q4_0", "--split-size", "200K"]);
    let lines = stderr(&output);
    assert!(output.status.success(), "{lines}");
    assert!(stdout(&output).is_empty());
    assert!(
        lines.starts_with("text-00001-of-00004.gguf (0 B of "),
        "{lines}"
    );
    assert!(lines.contains("adapter-code.gguf ("), "{lines}");
    assert!(
        lines
            .lines()
            .last()
            .unwrap()
            .contains("space tiny-random-jina-v4-a/q4_0/q8_0/"),
        "{lines}"
    );
    assert!(
        !lines.contains('\r') && !lines.contains('\x1b'),
        "control characters in {lines:?}"
    );
    assert!(to.join("text-00004-of-00004.gguf").is_file());
}

#[test]
fn vision_is_f32_by_default_only_beside_an_f32_text_model() {
    for (dtype, vision) in [
        ("f32", "f32"),
        ("f16", "q8_0"),
        ("bf16", "q8_0"),
        ("q8_0", "q8_0"),
    ] {
        let room = tempfile::tempdir().unwrap();
        let to = room.path().join("model");
        assert!(convert(&to, &["--dtype", dtype]).status.success());
        let manifest: Value =
            serde_json::from_slice(&fs::read(to.join("model.json")).unwrap()).unwrap();
        assert_eq!(
            (
                manifest["dtype"].as_str(),
                manifest["vision_dtype"].as_str()
            ),
            (Some(dtype), Some(vision))
        );
    }
}

#[test]
fn a_failure_is_one_line_with_its_code_and_status_one() {
    let room = tempfile::tempdir().unwrap();
    let output = convert(room.path(), &["--dtype", "f16"]);
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(
        message.starts_with("error[INPUT_INVALID]: ") && message.contains("--force"),
        "{message}"
    );
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn a_mistake_in_the_arguments_is_status_two() {
    let room = tempfile::tempdir().unwrap();
    let to = room.path().join("model");
    for more in [
        &[][..],
        &["--dtype", "q3_k"],
        &["--dtype", "f16", "--split-size", "0"],
        &["--dtype", "f16", "--split-size", "many"],
    ] {
        let output = convert(&to, more);
        assert_eq!(output.status.code(), Some(2), "{more:?}");
        assert!(!to.exists());
    }
    assert_eq!(run(&["inspect"]).status.code(), Some(2));
}

#[test]
fn inspect_shows_the_keys_and_types_of_a_file() {
    let path = fixtures().join("tiny_gguf/tiny-jina-v4-a-base-Q4_0.gguf");
    let output = run(&["inspect", path.to_str().unwrap()]);
    let text = stdout(&output);
    assert!(output.status.success(), "{}", stderr(&output));
    for words in [
        "GGUF 3",
        "50 tensors",
        "qwen2vl.block_count",
        "4160 x string",
        "1e-6",
        "Q4_0",
    ] {
        assert!(text.contains(words), "`{words}` is not in: {text}");
    }
    assert!(!text.contains("blk.0.attn_q.weight"));
    let text = stdout(&run(&["inspect", path.to_str().unwrap(), "--tensors"]));
    assert!(
        text.contains("blk.0.attn_q.weight") && text.contains("[4160, 128]"),
        "{text}"
    );
}

#[test]
fn inspect_prints_json_that_a_program_can_read() {
    let path = fixtures().join("tiny_gguf/tiny-jina-v4-a-base-Q4_0.gguf");
    let output = run(&["inspect", path.to_str().unwrap(), "--json", "--tensors"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["bytes"], fs::metadata(&path).unwrap().len());
    assert_eq!(report["metadata"]["qwen2vl.embedding_length"], 128);
    assert_eq!(report["metadata"]["tokenizer.ggml.tokens"]["length"], 4160);
    assert_eq!(report["n_tensors"], 50);
    assert_eq!(report["types"]["Q4_0"]["tensors"], 29);
    assert_eq!(report["tensors"].as_array().unwrap().len(), 50);
}

#[test]
fn inspect_names_what_is_wrong_with_a_file() {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("cut.gguf");
    let bytes = fs::read(fixtures().join("tiny_gguf/tiny-jina-v4-a-base-Q4_0.gguf")).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let output = run(&["inspect", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(
        message.starts_with("error[MODEL_INVALID]: ") && message.contains("tensor `"),
        "{message}"
    );
    let output = run(&["inspect", room.path().join("none.gguf").to_str().unwrap()]);
    assert!(stderr(&output).starts_with("error[IO]: "));
}

#[test]
fn inspect_checks_every_file_of_a_directory() {
    let room = tempfile::tempdir().unwrap();
    let to = room.path().join("model");
    assert!(
        convert(&to, &["--dtype", "q4_0", "--split-size", "200K"])
            .status
            .success()
    );
    let path = to.to_str().unwrap();
    let output = run(&["inspect", path]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("space         tiny-random-jina-v4-a/q4_0/q8_0/"));
    let report: Value = serde_json::from_slice(&run(&["inspect", path, "--json"]).stdout).unwrap();
    assert_eq!(report["files"].as_array().unwrap().len(), 9);
    assert_eq!(report["problems"].as_array().unwrap().len(), 0);

    let vision = to.join("vision.gguf");
    let mut bytes = fs::read(&vision).unwrap();
    bytes.extend([0; 32]);
    fs::write(&vision, bytes).unwrap();
    fs::remove_file(to.join("adapter-code.gguf")).unwrap();
    let output = run(&["inspect", path]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("vision.gguf") && stderr(&output).contains("1 more"),
        "{}",
        stderr(&output)
    );
    assert!(stdout(&output).contains("adapter-code.gguf"));
    let report: Value = serde_json::from_slice(&run(&["inspect", path, "--json"]).stdout).unwrap();
    assert_eq!(report["problems"].as_array().unwrap().len(), 2);
}
