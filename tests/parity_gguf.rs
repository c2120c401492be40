//! Quantised files against the reference run on the same file's dequantised weights
//! (`tests/fixtures/README.md`): llama.cpp names, merged weights, LoRA files, an mmproj file.
#![cfg(all(feature = "gpu", feature = "cli"))]

mod common;

use std::path::PathBuf;

use common::{Worst, deviation, encode, fixture, golden, json, load, targets};
use jina_embeddings_web::{EncodeOptions, Input, text::Task, weights::Role};

/// Activations are f32, but of 16 bits where the processor multiplies blocks.
const MIN_COSINE: f64 = 0.999_99;
const MAX_ABS: f64 = 1e-4;

fn texts() -> serde_json::Map<String, serde_json::Value> {
    json("tiny/golden/inputs.json")["texts"]
        .as_object()
        .expect("texts")
        .clone()
}

fn compare_texts(files: &[(Role, PathBuf)], reference: &str, task: Task, what: &str) {
    let reference = golden(reference);
    let texts = texts();
    for target in targets() {
        let device_name = target.name;
        let embedder = load(&target, files);
        let mut worst = Worst::new();
        for (name, (_, needed)) in &reference {
            let (text_id, prompt) = name.split_once('|').expect("a name with its prompt");
            let text = texts[text_id].as_str().expect("a text").to_string();
            // The reference computed every task with both prompts; text-matching has only one.
            if task == Task::TextMatching && prompt == "passage" {
                continue;
            }
            let task = match task {
                Task::TextMatching => "text-matching".to_string(),
                task => format!("{task}.{prompt}"),
            };
            let options = EncodeOptions::new(task.parse().expect("a task"));
            let found = encode(&embedder, Input::Text(text), &options);
            worst.add(name, deviation(&found.values, needed));
        }
        worst.check(&format!("{what} on {device_name}"), MIN_COSINE, MAX_ABS);
    }
}

fn merged(folder: &str, stem: &str) {
    let files = [(Role::Text, fixture(&format!("{folder}/{stem}.gguf")))];
    compare_texts(
        &files,
        &format!("{folder}/{stem}.ref.safetensors"),
        Task::Retrieval,
        stem,
    );
}

macro_rules! merged_files {
    ($($name:ident: $folder:literal $stem:literal;)*) => {
        $(#[test] fn $name() { merged($folder, $stem); })*
    };
}

merged_files! {
    f16_weights_give_the_vectors_of_the_reference: "tiny_gguf" "tiny-jina-v4-a-retrieval-F16";
    q8_0_weights_give_the_vectors_of_the_reference: "tiny_gguf" "tiny-jina-v4-a-retrieval-Q8_0";
    q4_0_weights_give_the_vectors_of_the_reference: "tiny_gguf" "tiny-jina-v4-a-retrieval-Q4_0";
    q4_1_weights_give_the_vectors_of_the_reference: "tiny_gguf" "tiny-jina-v4-a-retrieval-Q4_1";
    q2_k_weights_give_the_vectors_of_the_reference: "kquant" "tiny-jina-v4-c-retrieval-Q2_K";
    q3_k_weights_give_the_vectors_of_the_reference: "kquant" "tiny-jina-v4-c-retrieval-Q3_K";
    q4_k_weights_give_the_vectors_of_the_reference: "kquant" "tiny-jina-v4-c-retrieval-Q4_K";
    q4_k_m_weights_give_the_vectors_of_the_reference: "kquant" "tiny-jina-v4-c-retrieval-Q4_K_M";
    q5_k_m_weights_give_the_vectors_of_the_reference: "kquant" "tiny-jina-v4-c-retrieval-Q5_K_M";
    q6_k_weights_give_the_vectors_of_the_reference: "kquant" "tiny-jina-v4-c-retrieval-Q6_K";
    iq4_nl_weights_give_the_vectors_of_the_reference: "kquant" "tiny-jina-v4-c-retrieval-IQ4_NL";
    iq4_xs_weights_give_the_vectors_of_the_reference: "kquant" "tiny-jina-v4-c-retrieval-IQ4_XS";
}

#[test]
fn adapters_of_llama_cpp_give_the_vectors_of_the_reference() {
    for task in Task::ALL {
        let stem = "tiny_gguf/tiny-jina-v4-a";
        let files = [
            (Role::Text, fixture(&format!("{stem}-base-Q4_0.gguf"))),
            (
                Role::Adapter(task),
                fixture(&format!("{stem}-lora-{task}-F32.gguf")),
            ),
        ];
        let reference = format!("{stem}-base-Q4_0+lora-{task}.ref.safetensors");
        compare_texts(&files, &reference, task, &format!("adapter {task}"));
    }
}

#[test]
fn an_mmproj_file_of_llama_cpp_gives_the_picture_vectors_of_the_reference() {
    let files = [
        (
            Role::Text,
            fixture("tiny_gguf/tiny-jina-v4-a-retrieval-F16.gguf"),
        ),
        (
            Role::Vision,
            fixture("tiny_gguf/mmproj-tiny-jina-v4-a-BF16.gguf"),
        ),
    ];
    let reference =
        golden("tiny_gguf/mmproj-tiny-jina-v4-a-BF16+text-F16.window112.ref.safetensors");
    let images = json("tiny/golden/image.json");
    let options = EncodeOptions::new("retrieval".parse().expect("a task"));
    for target in targets() {
        let device_name = target.name;
        let embedder = load(&target, &files);
        let mut worst = Worst::new();
        for (name, (_, needed)) in &reference {
            // `tail` is what llama.cpp's own server pools, which is not the model's rule.
            let Some(id) = name.strip_suffix("|single") else {
                continue;
            };
            let image = images
                .as_array()
                .expect("a list")
                .iter()
                .find(|image| image["id"] == id)
                .expect("the image is listed");
            let file = image["file"].as_str().expect("a path");
            let bytes = std::fs::read(fixture(&format!("tiny/golden/{file}"))).expect(file);
            let found = encode(&embedder, Input::Image(bytes), &options);
            worst.add(name, deviation(&found.values, needed));
        }
        worst.check(&format!("mmproj on {device_name}"), MIN_COSINE, MAX_ABS);
    }
}
