//! `jina-embed serve` as its clients meet it, with a real model: its vectors are those of
//! `jina-embed encode`, which are those of the reference (`encode_command.rs`).
#![cfg(all(feature = "gpu", feature = "cli"))]

mod common;
mod http;

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex, OnceLock},
    thread::{self, JoinHandle},
    time::Instant,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use common::{fixture, json};
use http::{TIMEOUT, embed, embed_with, get};
use serde_json::{Value, json};

/// Cutting starts from the rounded whole vector here, from the exact mean in `encode`.
const CUT_MAX_ABS: f32 = 1e-6;

fn jina_embed() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jina-embed"));
    command.env_remove("JINA_EMBED_API_KEY");
    command
}

/// The published layout, converted to f32 by the command, once per test binary.
fn model() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a temporary directory").keep();
        let directory = directory.join("model");
        let output = jina_embed()
            .args(["convert", "--dtype", "f32", "--from"])
            .arg(fixture("tiny"))
            .arg("--to")
            .arg(&directory)
            .output()
            .expect("the command starts");
        let messages = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{messages}");
        directory
    })
}

fn command(model: &Path, arguments: &[&str]) -> Command {
    let mut command = jina_embed();
    command
        .args([
            "serve",
            "--device",
            "cpu",
            "--listen",
            "127.0.0.1:0",
            "--model",
        ])
        .arg(model)
        .args(arguments)
        .stderr(Stdio::piped());
    command
}

/// A server that runs until the end of its test.
struct Server {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts it and waits until its model is loaded.
    fn start(arguments: &[&str]) -> Server {
        Server::of(&mut command(model(), arguments))
    }

    fn of(command: &mut Command) -> Server {
        let mut child = command.spawn().expect("the command starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut address = None;
        for line in lines.by_ref() {
            let line = line.expect("UTF-8");
            address = line
                .strip_prefix("listening on http://")
                .and_then(|address| address.parse().ok());
            log.lock().unwrap().push(line);
            if address.is_some() {
                break;
            }
        }
        let address = address.unwrap_or_else(|| panic!("{:?}", log.lock().unwrap()));
        let shared = log.clone();
        let reader = thread::spawn(move || {
            for line in lines {
                shared.lock().unwrap().push(line.expect("UTF-8"));
            }
        });
        let server = Server {
            child,
            address,
            log,
            reader: Some(reader),
        };
        let began = Instant::now();
        while get(address, "/ready").status != 200 {
            assert!(
                began.elapsed() < TIMEOUT,
                "{:?}",
                server.log.lock().unwrap()
            );
            thread::yield_now();
        }
        server
    }

    fn embed(&self, body: Value) -> Value {
        let answer = embed(self.address, &body);
        let json = answer.json();
        assert_eq!(answer.status, 200, "{json}");
        json
    }

    /// Asks it to stop and returns its status and all that it said.
    fn stop(mut self) -> (Option<i32>, String) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status();
        assert!(sent.expect("kill").success());
        let status = self.child.wait().expect("an end");
        self.reader.take().expect("once").join().expect("no panic");
        (status.code(), self.log.lock().unwrap().join("\n"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `jina-embed encode` answers to these lines.
fn encode(arguments: &[&str], inputs: &[Value]) -> Vec<Value> {
    let mut child = jina_embed()
        .args(["encode", "--device", "cpu", "--model"])
        .arg(model())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the command starts");
    let lines: Vec<String> = inputs.iter().map(|input| format!("{input}\n")).collect();
    let mut stdin = child.stdin.take().expect("a pipe");
    let writer = thread::spawn(move || stdin.write_all(lines.concat().as_bytes()));
    let output = child.wait_with_output().expect("an end");
    writer
        .join()
        .expect("no panic")
        .expect("the lines are read");
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    let answers = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    answers.collect()
}

fn text(id: &str) -> String {
    let texts = &json("tiny/golden/inputs.json")["texts"];
    texts[id].as_str().expect("a text").to_owned()
}

fn picture(name: &str) -> PathBuf {
    fixture("tiny/golden/images").join(name)
}

fn picture_as_base64(name: &str) -> String {
    BASE64_STANDARD.encode(std::fs::read(picture(name)).expect("a picture"))
}

fn numbers(value: &Value) -> Vec<f32> {
    let numbers = value
        .as_array()
        .unwrap_or_else(|| panic!("no list: {value}"));
    let number = |value: &Value| value.as_f64().expect("a number") as f32;
    numbers.iter().map(number).collect()
}

/// The f32 of a base64 text, as Python's `numpy.frombuffer` reads them.
fn decoded(value: &Value) -> Vec<f32> {
    let bytes = BASE64_STANDARD
        .decode(value.as_str().expect("a string"))
        .expect("base64");
    let words = bytes.as_chunks::<4>().0.iter();
    words.map(|word| f32::from_le_bytes(*word)).collect()
}

#[test]
fn texts_and_pictures_have_the_vectors_of_encode_to_the_bit_in_every_task() {
    let server = Server::start(&[]);
    let names = ["cat_crop_168x140.png", "gray_153x97.png"];
    let lines = [
        json!({"text": text("question")}),
        json!({"image": picture(names[0])}),
        json!({"text": text("multiling")}),
        json!({"image": picture(names[1])}),
    ];
    let data_url = format!("data:image/png;base64,{}", picture_as_base64(names[1]));
    let input = json!([
        text("question"),
        {"image": picture_as_base64(names[0])},
        {"text": text("multiling")},
        {"image": data_url},
    ]);
    for task in [
        "retrieval.query",
        "retrieval.passage",
        "text-matching",
        "code.query",
        "code.passage",
    ] {
        let needed = encode(&["--task", task], &lines);
        let found = server.embed(json!({"input": input, "task": task}));
        let data = found["data"].as_array().expect("data");
        assert_eq!(data.len(), needed.len());
        for (index, (found, needed)) in data.iter().zip(&needed).enumerate() {
            assert_eq!(found["index"], index);
            assert_eq!(found["object"], "embedding");
            let (found, needed) = (&found["embedding"], &needed["embedding"]);
            assert_eq!(numbers(found), numbers(needed), "{task} {index}");
        }
    }
    // The task of a request that names none.
    let found = server.embed(json!({"input": text("question")}));
    let needed = encode(&["--task", "text-matching"], &lines[..1]);
    assert_eq!(found["data"][0]["embedding"], needed[0]["embedding"]);
}

#[test]
fn dimensions_may_be_any_number_up_to_the_whole_length() {
    let server = Server::start(&[]);
    let line = [json!({"text": text("short")})];
    let ask = |dimensions: usize| {
        let body = json!({
            "input": text("short"), "task": "retrieval.passage", "dimensions": dimensions,
        });
        numbers(&server.embed(body)["data"][0]["embedding"])
    };
    let whole = ask(128);
    let arguments = ["--task", "retrieval.passage", "--dimensions", "32"];
    let needed = numbers(&encode(&arguments, &line)[0]["embedding"]);
    for (found, needed) in ask(32).iter().zip(&needed) {
        assert!((found - needed).abs() <= CUT_MAX_ABS, "{found} {needed}");
    }
    for dimensions in [1, 7, 100] {
        let found = ask(dimensions);
        let norm = |values: &[f32]| values.iter().map(|it| it * it).sum::<f32>().sqrt();
        assert_eq!(found.len(), dimensions);
        assert!((norm(&found) - 1.0).abs() < 1e-6);
        let scale = norm(&whole[..dimensions]);
        for (found, whole) in found.iter().zip(&whole) {
            assert!((found - whole / scale).abs() <= CUT_MAX_ABS);
        }
    }
}

#[test]
fn a_multi_vector_is_that_of_encode_with_the_text_of_each_token() {
    let server = Server::start(&[]);
    let name = "tiny_20x20.png";
    let lines = [
        json!({"text": text("question")}),
        json!({"image": picture(name)}),
    ];
    let needed = encode(&["--task", "retrieval.query", "--multivector"], &lines);
    let found = server.embed(json!({
        "input": [text("question"), {"image": picture_as_base64(name)}],
        "task": "retrieval.query",
        "return_multivector": true,
        "return_tokenized_input": true,
    }));
    let mut n_tokens = 0;
    for (found, needed) in found["data"].as_array().expect("data").iter().zip(&needed) {
        assert_eq!(found["object"], "embeddings");
        assert_eq!(found["embeddings"], needed["embeddings"]);
        let rows = needed["embeddings"].as_array().expect("rows").len();
        let tokens = found["tokenized_input"].as_array().expect("tokens");
        assert_eq!(tokens.len(), rows);
        n_tokens += rows;
    }
    let joined = |item: &Value| -> String {
        let tokens = item["tokenized_input"].as_array().expect("tokens");
        tokens
            .iter()
            .map(|it| it.as_str().expect("a text"))
            .collect()
    };
    assert_eq!(
        joined(&found["data"][0]),
        format!("Query: {}", text("question"))
    );
    assert!(joined(&found["data"][1]).contains("<|vision_start|><|image_pad|>"));
    assert_eq!(found["usage"]["total_tokens"], n_tokens);
    assert_eq!(found["usage"]["prompt_tokens"], n_tokens);
}

#[test]
fn late_chunking_is_that_of_encode() {
    let server = Server::start(&[]);
    let chunks = json("tiny/golden/text.json")["late_chunking"]["chunks"].clone();
    let chunks = chunks.as_array().expect("chunks");
    let lines: Vec<Value> = chunks.iter().map(|text| json!({ "text": text })).collect();
    let needed = encode(&["--task", "retrieval.passage", "--late-chunking"], &lines);
    let found = server.embed(json!({
        "input": chunks, "task": "retrieval.passage", "late_chunking": true,
    }));
    for (found, needed) in found["data"].as_array().expect("data").iter().zip(&needed) {
        assert_eq!(found["embedding"], needed["embedding"]);
    }
}

#[test]
fn every_encoding_is_of_the_same_vector() {
    let server = Server::start(&[]);
    let types = ["float", "base64", "binary", "ubinary"];
    let all = server.embed(json!({"input": text("short"), "embedding_type": types}));
    let all = &all["data"][0]["embedding"];
    let float = numbers(&all["float"]);
    assert_eq!(decoded(&all["base64"]), float);
    let ubinary = numbers(&all["ubinary"]);
    assert_eq!(ubinary.len(), 16);
    for (index, value) in float.iter().enumerate() {
        let bit = ubinary[index / 8] as u8 >> (7 - index % 8) & 1;
        assert_eq!(bit == 1, *value > 0.0, "{index}");
    }
    let less: Vec<f32> = ubinary.iter().map(|byte| byte - 128.0).collect();
    assert_eq!(numbers(&all["binary"]), less);
    for kind in types {
        let one = server.embed(json!({"input": text("short"), "embedding_type": kind}));
        assert_eq!(one["data"][0]["embedding"], all[kind], "{kind}");
    }
}

#[test]
fn a_text_that_is_too_long_is_refused_or_cut_as_the_request_says() {
    let server = Server::start(&["--max-length", "9"]);
    let long = text("question").repeat(3);
    let body = |truncate: bool| {
        json!({
            "input": ["short", long], "task": "retrieval.query", "truncate": truncate,
        })
    };
    let refused = embed(server.address, &body(false));
    assert_eq!(refused.status, 422);
    let error = &refused.json()["errors"][0];
    assert_eq!(error["field"], "input.1");
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains("more than 9 tokens"), "{message}");

    let cut = server.embed(body(true));
    let line = [json!({"text": long})];
    let needed = encode(&["--task", "retrieval.query", "--max-length", "9"], &line);
    assert_eq!(cut["data"][1]["embedding"], needed[0]["embedding"]);
    let chunks = json!({"input": [long, "b"], "late_chunking": true});
    assert_eq!(embed(server.address, &chunks).status, 422);
}

#[test]
fn a_bad_picture_is_422_names_its_input_and_harms_nobody() {
    let server = Server::start(&["--max-image", "1"]);
    let not_a_picture = BASE64_STANDARD.encode(b"a text, not a picture");
    let large = BASE64_STANDARD.encode(vec![0; (1 << 20) + 1]);
    for (image, said) in [(not_a_picture, "PNG"), (large, "at most 1048576")] {
        let answer = embed(server.address, &json!({"input": ["a", {"image": image}]}));
        assert_eq!(answer.status, 422);
        assert_eq!(answer.error_code(), "INPUT_INVALID");
        let error = &answer.json()["errors"][0];
        assert!(
            error["field"]
                .as_str()
                .is_some_and(|it| it.starts_with("input.1"))
        );
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|it| it.contains(said)),
            "{error}"
        );
    }
    assert_eq!(embed(server.address, &json!({"input": "a"})).status, 200);
}

#[test]
fn requests_at_the_same_time_get_their_own_vectors() {
    let server = Server::start(&[]);
    let texts: Vec<String> = (0..8).map(|n| format!("{} {n}", text("short"))).collect();
    let alone: Vec<Value> = texts
        .iter()
        .map(|text| server.embed(json!({"input": text}))["data"][0]["embedding"].clone())
        .collect();
    let sent: Vec<_> = (0..8)
        .map(|start| {
            let order: Vec<&String> = texts.iter().cycle().skip(start).take(8).collect();
            embed_with(server.address, &[], &json!({"input": order}))
        })
        .collect();
    for (start, sent) in sent.into_iter().enumerate() {
        let json = sent.answer().json();
        for (index, item) in json["data"].as_array().expect("data").iter().enumerate() {
            assert_eq!(
                item["embedding"],
                alone[(start + index) % 8],
                "{start} {index}"
            );
        }
    }
}

#[test]
fn keys_come_from_a_file_and_the_environment_and_are_never_told() {
    let room = tempfile::tempdir().expect("a temporary directory");
    let file = room.path().join("keys");
    std::fs::write(&file, "secret-one\nsecret-two\n").expect("a file");
    let file = file.to_str().expect("UTF-8");
    let mut command = command(model(), &["--api-key-file", file]);
    let server = Server::of(command.env("JINA_EMBED_API_KEY", "secret-three"));
    let body = json!({"input": "a private text"});
    for key in ["secret-one", "secret-two", "secret-three"] {
        let header = format!("Bearer {key}");
        let answer = embed_with(server.address, &[("authorization", &header)], &body).answer();
        assert_eq!(answer.status, 200, "{key}");
    }
    let wrong = [("authorization", "Bearer secret-four")];
    assert_eq!(
        embed_with(server.address, &wrong, &body).answer().status,
        401
    );
    assert_eq!(get(server.address, "/health?key=secret-five").status, 200);
    let (status, log) = server.stop();
    assert_eq!(status, Some(0));
    assert!(log.contains("POST /v1/embeddings 200 "), "{log}");
    assert!(
        log.contains("POST /v1/embeddings 401 AUTH_INVALID_API_KEY "),
        "{log}"
    );
    assert!(log.contains("inputs=1 tokens="), "{log}");
    for private in ["secret", "private"] {
        assert!(!log.contains(private), "{log}");
    }
}

#[test]
fn a_merged_model_has_one_task_which_can_be_made_the_default() {
    let merged = fixture("tiny_gguf/tiny-jina-v4-a-retrieval-Q4_0.gguf");
    let server = Server::of(&mut command(&merged, &[]));
    let answer = embed(server.address, &json!({"input": "a"}));
    assert_eq!(answer.status, 400);
    assert_eq!(answer.error_code(), "INPUT_TASK_UNAVAILABLE");
    let query = json!({"input": "a", "task": "retrieval.query"});
    let needed = server.embed(query)["data"].clone();

    let arguments = ["--default-task", "retrieval.query", "--model-name", "mine"];
    let server = Server::of(&mut command(&merged, &arguments));
    let found = server.embed(json!({"input": "a", "model": "mine"}));
    assert_eq!(found["data"], needed);
    assert_eq!(found["model"], "mine");
    let other = json!({"input": "a", "model": "jina-embeddings-v4"});
    assert_eq!(
        embed(server.address, &other).error_code(),
        "INPUT_MODEL_NOT_FOUND"
    );
}

/// Runs a server that cannot start to its end.
fn failing(command: &mut Command) -> Output {
    let output = command.output().expect("the command starts");
    assert!(!output.status.success());
    output
}

#[test]
fn what_cannot_be_served_is_an_error_with_its_code() {
    let room = tempfile::tempdir().expect("a temporary directory");
    let empty = room.path().join("empty");
    std::fs::write(&empty, "\n").expect("a file");
    let empty = empty.to_str().expect("UTF-8");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("an address").to_string();
    let missing = room.path().join("missing.gguf");
    for (model, arguments, said) in [
        (model(), &["--listen", &taken][..], "error[IO]: "),
        (
            model(),
            &["--api-key-file", empty],
            "error[INPUT_INVALID]: ",
        ),
        (
            model(),
            &["--api-key-file", "missing"],
            "error[IO]: missing",
        ),
        (&missing, &[], "error[IO]: "),
    ] {
        let mut command = jina_embed();
        command
            .args(["serve", "--device", "cpu", "--model"])
            .arg(model);
        if !arguments.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let output = failing(command.args(arguments));
        let messages = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{messages}");
        assert!(messages.contains(said), "{messages}");
    }
}

#[test]
fn a_mistake_in_the_arguments_is_exit_status_2() {
    for mistake in [
        &["--listen", "8080"][..],
        &["--allow-origin", "https://a.example/page"],
        &["--allow-origin", "a.example"],
        &["--default-task", "poetry"],
        &["--max-body", "0"],
        &["--timeout", "0"],
        &["--api-key", "secret"],
    ] {
        let output = failing(jina_embed().args(["serve", "--model", "m"]).args(mistake));
        assert_eq!(output.status.code(), Some(2), "{mistake:?}");
    }
}
