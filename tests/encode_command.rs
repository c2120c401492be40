//! `jina-embed encode` as its user runs it: JSON Lines in, JSON Lines out, exit status, messages.
//! The vectors are compared with the reference's (`tests/fixtures/README.md`).
#![cfg(all(feature = "gpu", feature = "cli"))]

mod common;

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{OnceLock, mpsc},
    time::Duration,
};

use common::{Deviation, Worst, deviation, fixture, golden, json};
use serde_json::{Value, json};

const MIN_COSINE: f64 = 0.999_999_9;
const MAX_ABS: f64 = 1e-5;
const QUANTISED_MIN_COSINE: f64 = 0.999_99;
const QUANTISED_MAX_ABS: f64 = 1e-4;
/// Rows of multi-vectors.
const MULTI_MAX_ABS: f64 = 2e-5;
/// Far more than a short text takes on the tiny model.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// What a run of the command left behind.
struct Run {
    status: Option<i32>,
    /// Every line of standard output; one that is no JSON object fails the test.
    answers: Vec<Value>,
    messages: String,
}

/// The command, where paths in its input are relative to the pictures of the reference.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jina-embed"));
    command
        .args(arguments)
        .current_dir(fixture("tiny/golden/images"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str], input: Vec<u8>) -> Run {
    let mut child = command(arguments).spawn().expect("the command starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // A command that fails at once reads nothing: then the pipe is broken, which is no failure here.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("the command ends");
    writer.join().expect("the input is written");
    let answers = String::from_utf8(output.stdout).expect("UTF-8");
    Run {
        status: output.status.code(),
        answers: answers.lines().map(answer).collect(),
        messages: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn answer(line: &str) -> Value {
    let answer: Value = serde_json::from_str(line).expect("a line of JSON");
    assert!(answer.is_object(), "{line}");
    answer
}

fn lines(inputs: &[Value]) -> Vec<u8> {
    let lines: Vec<String> = inputs.iter().map(|input| format!("{input}\n")).collect();
    lines.concat().into_bytes()
}

/// `encode` on the CPU with some model; every input must be answered with a vector.
fn encode(model: &Path, arguments: &[&str], inputs: &[Value]) -> Vec<Value> {
    let model = model.to_str().expect("UTF-8");
    let arguments = [&["encode", "--model", model, "--device", "cpu"], arguments].concat();
    let found = run(&arguments, lines(inputs));
    assert_eq!(found.status, Some(0), "{}", found.messages);
    assert_eq!(found.answers.len(), inputs.len());
    found.answers
}

/// The published layout, converted to f32 by the command, once per test binary.
fn model() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a temporary directory").keep();
        let directory = directory.join("model");
        let [from, to] = [fixture("tiny"), directory.clone()];
        let output = Command::new(env!("CARGO_BIN_EXE_jina-embed"))
            .args(["convert", "--dtype", "f32", "--split-size", "1M", "--from"])
            .arg(from)
            .arg("--to")
            .arg(to)
            .output()
            .expect("the command starts");
        let messages = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{messages}");
        directory
    })
}

fn text(id: &str) -> Value {
    json!({ "text": json("tiny/golden/inputs.json")["texts"][id] })
}

fn numbers(value: &Value) -> Vec<f32> {
    let numbers = value.as_array().expect("a list of numbers");
    let number = |value: &Value| value.as_f64().expect("a number") as f32;
    numbers.iter().map(number).collect()
}

/// An answer must hold its index and a vector, and nothing else.
fn single(answer: &Value, index: usize, needed: &[f32]) -> Deviation {
    let found = numbers(&answer["embedding"]);
    assert_eq!(
        *answer,
        json!({ "index": index, "embedding": answer["embedding"] })
    );
    deviation(&found, needed)
}

/// Compares one answer per name with tensors of the reference.
fn compare(what: &str, answers: &[Value], reference: &str, names: &[&str]) {
    let golden = golden(reference);
    let mut worst = Worst::new();
    for (index, (answer, name)) in answers.iter().zip(names).enumerate() {
        worst.add(name, single(answer, index, &golden[*name].1));
    }
    assert_eq!(worst.n, names.len());
    // The gates of quantised files, as in parity_gguf.rs: there the processor gives activations 16
    // bits, where weights in f32 meet activations in f32.
    worst.check(what, QUANTISED_MIN_COSINE, QUANTISED_MAX_ABS);
}

#[test]
fn texts_and_pictures_of_one_pipe_are_answered_in_order_with_the_vectors_of_the_reference() {
    let inputs = [
        text("question"),
        json!({ "image": "cat_crop_168x140.png" }),
        text("multiling"),
        json!({ "image": fixture("tiny/golden/images/gray_153x97.png") }),
    ];
    let answers = encode(model(), &["--task", "retrieval.query"], &inputs);
    let golden_text = golden("tiny/golden/text.safetensors");
    let golden_image = golden("tiny/golden/image.safetensors");
    let needed = [
        &golden_text["question|retrieval|query|single"],
        &golden_image["cat_crop_168x140|retrieval|single"],
        &golden_text["multiling|retrieval|query|single"],
        &golden_image["gray_153x97|retrieval|single"],
    ];
    let mut worst = Worst::new();
    for (index, (answer, needed)) in answers.iter().zip(needed).enumerate() {
        worst.add(&index.to_string(), single(answer, index, &needed.1));
    }
    worst.check("lines of two kinds", MIN_COSINE, MAX_ABS);
}

#[test]
fn dimensions_shortens_the_vectors() {
    let arguments = ["--task", "retrieval.passage", "--dimensions", "32"];
    let answers = encode(model(), &arguments, &[text("short"), text("emoji")]);
    let names = [
        "short|retrieval|passage|dim32",
        "emoji|retrieval|passage|dim32",
    ];
    compare(
        "32 dimensions",
        &answers,
        "tiny/golden/text.safetensors",
        &names,
    );
}

#[test]
fn multivector_gives_one_vector_per_token() {
    let arguments = ["--task", "retrieval.query", "--multivector"];
    let answers = encode(model(), &arguments, &[text("question")]);
    let (shape, needed) = &golden("tiny/golden/text.safetensors")["question|retrieval|query|multi"];
    let rows = answers[0]["embeddings"].as_array().expect("rows");
    assert_eq!(rows.len(), shape[0]);
    let mut worst = Worst::new();
    for (row, needed) in rows.iter().zip(needed.chunks(shape[1])) {
        worst.add("row", deviation(&numbers(row), needed));
    }
    assert_eq!(answers[0], json!({ "index": 0, "embeddings": rows }));
    worst.check("multi-vector", MIN_COSINE, MULTI_MAX_ABS);
}

#[test]
fn late_chunking_reads_all_lines_as_one_document() {
    let case = json("tiny/golden/text.json")["late_chunking"].clone();
    let chunks = case["chunks"].as_array().expect("chunks");
    let inputs: Vec<Value> = chunks.iter().map(|text| json!({ "text": text })).collect();
    let arguments = ["--task", "retrieval.passage", "--late-chunking"];
    let answers = encode(model(), &arguments, &inputs);
    let names = ["late|chunk0", "late|chunk1", "late|chunk2"];
    compare(
        "late chunking",
        &answers,
        "tiny/golden/text.safetensors",
        &names,
    );
}

#[test]
fn a_bare_gguf_file_is_a_model() {
    let model = fixture("tiny_gguf/tiny-jina-v4-a-retrieval-Q4_0.gguf");
    let answers = encode(&model, &["--task", "retrieval.query"], &[text("question")]);
    compare(
        "bare GGUF",
        &answers,
        "tiny_gguf/tiny-jina-v4-a-retrieval-Q4_0.ref.safetensors",
        &["question|query"],
    );
}

#[test]
fn any_part_of_a_split_gguf_file_stands_for_all() {
    let mut parts: Vec<_> = std::fs::read_dir(model())
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().contains("text-0"))
        .collect();
    parts.sort();
    assert!(parts.len() > 1, "{parts:?}");
    let lora = format!(
        "retrieval={}",
        model().join("adapter-retrieval.gguf").display()
    );
    let arguments = ["--task", "retrieval.query", "--lora", &lora];
    for part in [&parts[0], &parts[1]] {
        let answers = encode(part, &arguments, &[text("question")]);
        compare(
            "split GGUF",
            &answers,
            "tiny/golden/text.safetensors",
            &["question|retrieval|query|single"],
        );
    }
}

#[test]
fn lora_files_add_tasks_to_a_base_model() {
    let stem = "tiny_gguf/tiny-jina-v4-a";
    let lora = |task: &str| {
        let path = fixture(&format!("{stem}-lora-{task}-F32.gguf"));
        format!("{task}={}", path.display())
    };
    let [code, matching] = ["code", "text-matching"].map(lora);
    for (task, adapter, name) in [
        ("code.passage", "code", "code_py|passage"),
        ("text-matching", "text-matching", "code_py|query"),
    ] {
        let arguments = ["--task", task, "--lora", &code, "--lora", &matching];
        let model = fixture(&format!("{stem}-base-Q4_0.gguf"));
        let answers = encode(&model, &arguments, &[text("code_py")]);
        let reference = format!("{stem}-base-Q4_0+lora-{adapter}.ref.safetensors");
        compare(task, &answers, &reference, &[name]);
    }
}

#[test]
fn an_mmproj_file_adds_pictures_to_a_text_model() {
    let model = fixture("tiny_gguf/tiny-jina-v4-a-retrieval-F16.gguf");
    let vision = fixture("tiny_gguf/mmproj-tiny-jina-v4-a-BF16.gguf");
    let vision = vision.to_str().expect("UTF-8");
    let arguments = ["--task", "retrieval.passage", "--mmproj", vision];
    let picture = json!({ "image": "cat_crop_168x140.png" });
    let answers = encode(&model, &arguments, &[picture]);
    compare(
        "mmproj",
        &answers,
        "tiny_gguf/mmproj-tiny-jina-v4-a-BF16+text-F16.window112.ref.safetensors",
        &["cat_crop_168x140|single"],
    );
}

#[test]
fn a_bad_line_is_answered_with_its_error_and_harms_no_other() {
    let not_a_picture = fixture("pictures/text_file.png");
    let good = text("question").to_string();
    let bad: [(&[u8], &str, &str); 7] = [
        (b"a plain line", "INPUT_INVALID", "needs {\"text\""),
        (b"", "INPUT_INVALID", "needs {\"text\""),
        (b"{\"text\": \"\xff\"}", "INPUT_INVALID", "unicode"),
        (b"{\"text\": 5}", "INPUT_INVALID", "string"),
        (b"{\"video\": \"a.mp4\"}", "INPUT_INVALID", "video"),
        (b"{\"image\": \"missing.png\"}", "IO", "missing.png"),
        (
            &lines(&[json!({ "image": not_a_picture })]),
            "INPUT_INVALID",
            "PNG",
        ),
    ];
    let mut input = good.clone().into_bytes();
    for (line, ..) in &bad {
        input.push(b'\n');
        input.extend(line.trim_ascii_end());
    }
    // The last line ends with the input, not with a line feed.
    input.extend(format!("\n{good}").into_bytes());

    let model = model().to_str().expect("UTF-8");
    let options = ["--task", "retrieval.query", "--device", "cpu"];
    let found = run(
        &[&["encode", "--model", model], &options[..]].concat(),
        input,
    );
    assert_eq!(found.status, Some(1), "{}", found.messages);
    let summary = "error[INPUT_INVALID]: 7 of 9 inputs failed";
    assert!(found.messages.contains(summary), "{}", found.messages);
    assert_eq!(found.answers.len(), 9);
    for (index, (line, code, said)) in bad.iter().enumerate() {
        let (index, answer) = (index + 1, &found.answers[index + 1]);
        let message = answer["error"]["message"].as_str().expect("a message");
        let error = json!({ "code": code, "message": message });
        assert_eq!(*answer, json!({ "index": index, "error": error }));
        let line = String::from_utf8_lossy(line);
        assert!(message.contains(said), "{line}: {message}");
    }
    let golden = golden("tiny/golden/text.safetensors");
    let needed = &golden["question|retrieval|query|single"].1;
    for index in [0, 8] {
        let deviation = single(&found.answers[index], index, needed);
        assert!(deviation.max_abs <= MAX_ABS, "{deviation:?}");
    }
}

#[test]
fn a_line_is_answered_before_the_next_is_written() {
    let model = model().to_str().expect("UTF-8");
    let options = ["--task", "retrieval.query", "--device", "cpu"];
    let mut child = command(&[&["encode", "--model", model], &options[..]].concat())
        .spawn()
        .expect("the command starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let (sender, answers) = mpsc::channel();
    // Elsewhere, so that an answer that is held back fails the test instead of stopping it.
    std::thread::spawn(move || {
        for line in stdout.lines() {
            drop(sender.send(line.expect("a line")));
        }
    });
    for index in 0..3 {
        stdin.write_all(&lines(&[text("short")])).expect("a reader");
        let line = answers.recv_timeout(ANSWER_TIMEOUT).expect("an answer");
        assert_eq!(answer(&line)["index"], index);
    }
    drop(stdin);
    assert!(child.wait().expect("the command ends").success());
}

#[test]
fn a_mistake_in_the_arguments_is_exit_status_2() {
    let model = model().to_str().expect("UTF-8");
    for mistake in [
        &["--task", "retrieval.answer"][..],
        &["--task", "retrieval.query", "--lora", "poetry=a.gguf"],
        &["--task", "retrieval.query", "--lora", "a.gguf"],
        &["--task", "retrieval.query", "--device", "abacus"],
        &[],
    ] {
        let found = run(
            &[&["encode", "--model", model], mistake].concat(),
            Vec::new(),
        );
        assert_eq!(found.status, Some(2), "{mistake:?}: {}", found.messages);
        assert!(found.answers.is_empty());
    }
}

#[test]
fn what_the_model_cannot_do_is_an_error_with_its_code_before_any_input_is_read() {
    let converted = model().to_path_buf();
    let merged = fixture("tiny_gguf/tiny-jina-v4-a-retrieval-Q4_0.gguf");
    let missing = fixture("missing.gguf");
    let query = ["--task", "retrieval.query"];
    for (model, options, code, said) in [
        (
            &converted,
            &[&query[..], &["--dimensions", "33"]].concat()[..],
            "INPUT_INVALID",
            "one of [16, 32, 64, 128], found 33",
        ),
        (
            &merged,
            &["--task", "code.query"],
            "TASK_UNAVAILABLE",
            "code",
        ),
        (
            &merged,
            &[&query[..], &["--multivector"]].concat(),
            "TASK_UNAVAILABLE",
            "projector",
        ),
        (&missing, &query, "IO", "missing.gguf"),
    ] {
        let model = model.to_str().expect("UTF-8");
        let arguments = ["encode", "--model", model, "--device", "cpu"];
        let found = run(&[&arguments[..], options].concat(), Vec::new());
        assert_eq!(found.status, Some(1), "{options:?}: {}", found.messages);
        assert!(found.answers.is_empty());
        let error = found.messages.lines().last().expect("a message");
        assert!(error.starts_with(&format!("error[{code}]: ")), "{error}");
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn the_graphics_adapter_gives_the_vectors_of_the_reference() {
    let model = model().to_str().expect("UTF-8");
    let arguments = ["encode", "--model", model, "--task", "retrieval.query"];
    let arguments = [&arguments[..], &["--device", "gpu"]].concat();
    let found = run(&arguments, lines(&[text("question")]));
    assert_eq!(found.status, Some(0), "{}", found.messages);
    // The processor computes nothing here.
    assert!(!found.messages.contains("(cpu)"), "{}", found.messages);
    compare(
        "the graphics adapter",
        &found.answers,
        "tiny/golden/text.safetensors",
        &["question|retrieval|query|single"],
    );
}
