//! The converted f32 model against every golden of the reference: ids, pixels, positions, every
//! intermediate, single, cut and multi vectors of all tasks, truncation and late chunking, on the
//! CPU device and on the graphics adapter. Tolerances: `tests/fixtures/README.md`.
#![cfg(all(feature = "gpu", feature = "cli"))]

mod common;

use std::{collections::BTreeMap, ops::ControlFlow, path::PathBuf, sync::OnceLock};

use burn::tensor::Tensor;
use common::{Target, Worst, deviation, encode, fixture, golden, json, load, targets, wait};
use jina_embeddings_web::{
    Embedder, EncodeOptions, Input,
    convert::{self, Dtype},
    model::{Observer, Positions, WindowLayout, rope},
    model_files::ModelFiles,
    text::{TaskPrompt, late_chunking::Document},
};

const MIN_COSINE: f64 = 0.999_999_9;
/// Single and cut vectors.
const SINGLE_MAX_ABS: f64 = 1e-5;
/// Rows of multi-vectors.
const MULTI_MAX_ABS: f64 = 2e-5;
/// Intermediates, relative to the largest number of the tensor.
const TRACE_MAX_RELATIVE: f64 = 1e-5;
/// The tower's output, whose numbers go up to about 4.
const VISION_MAX_ABS: f64 = 1e-4;

/// The published layout, converted once per test binary.
fn model() -> ModelFiles {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| {
        let parent = tempfile::tempdir().expect("a temporary directory").keep();
        let (from, to) = (fixture("tiny"), parent.join("tiny-f32"));
        let mut options = convert::Options::new(from, to, Dtype::F32, Dtype::F32);
        // Small enough for several parts.
        options.split_bytes = 1_000_000;
        convert::convert(&options, &mut |_| ControlFlow::Continue(()))
            .expect("the fixture converts");
        options.to
    });
    ModelFiles::find(directory).expect("a model directory")
}

fn open(target: &Target) -> Embedder {
    load(target, model().files())
}

fn task_prompt(task: &str, prompt: &str) -> TaskPrompt {
    let name = match task {
        "text-matching" => task.to_string(),
        task => format!("{task}.{prompt}"),
    };
    name.parse().expect("a task")
}

fn text_of(id: &str) -> String {
    json("tiny/golden/inputs.json")["texts"][id]
        .as_str()
        .expect("a text")
        .to_string()
}

fn str_of<'a>(value: &'a serde_json::Value, key: &str) -> &'a str {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("{key} in {value}"))
}

fn ids_of(value: &serde_json::Value) -> Vec<u32> {
    let ids = value["input_ids"].as_array().expect("ids");
    ids.iter()
        .map(|id| id.as_u64().expect("an id") as u32)
        .collect()
}

#[test]
fn texts_give_the_vectors_of_the_reference_for_every_task_and_length() {
    let golden = golden("tiny/golden/text.safetensors");
    let cases = json("tiny/golden/text.json");
    for target in targets() {
        let device_name = target.name;
        let embedder = open(&target);
        let (mut single, mut multi) = (Worst::new(), Worst::new());
        for case in cases["cases"].as_array().expect("cases") {
            let (id, text_id) = (str_of(case, "id"), str_of(case, "text_id"));
            // The reference pools only the span between the vision tokens of such a text; here
            // text is text (see `text`). Its own test is below.
            if text_id == "hazard_vision_in_text" {
                continue;
            }
            let task = task_prompt(str_of(case, "task"), str_of(case, "prompt_name"));
            let input = || Input::Text(text_of(text_id));
            let options = EncodeOptions::new(task);
            let found = encode(&embedder, input(), &options);
            assert_eq!(
                found.n_tokens as u64,
                case["n_tokens"].as_u64().expect("n_tokens"),
                "{id}"
            );
            single.add(
                id,
                deviation(&found.values, &golden[&format!("{id}|single")].1),
            );
            for dimensions in [16, 32, 64] {
                let name = format!("{id}|dim{dimensions}");
                // Cutting is the host's work: the device gives the same whole vector each time.
                let cut = cut(&found.values, dimensions);
                single.add(&name, deviation(&cut, &golden[&name].1));
            }
            if case["multi_stored"] == true {
                let options = EncodeOptions {
                    multivector: true,
                    ..options
                };
                let found = encode(&embedder, input(), &options);
                let (shape, needed) = &golden[&format!("{id}|multi")];
                assert_eq!([found.rows, found.dimensions], shape[..], "{id}");
                multi.add(id, deviation(&found.values, needed));
            }
        }
        single.check(
            &format!("text vectors on {device_name}"),
            MIN_COSINE,
            SINGLE_MAX_ABS,
        );
        multi.check(
            &format!("text multi-vectors on {device_name}"),
            MIN_COSINE,
            MULTI_MAX_ABS,
        );
    }
}

/// What `dimensions` must give, from the whole vector, in f64.
fn cut(whole: &[f32], dimensions: usize) -> Vec<f32> {
    let head = &whole[..dimensions];
    let norm = head
        .iter()
        .map(|v| f64::from(*v).powi(2))
        .sum::<f64>()
        .sqrt();
    head.iter().map(|v| (f64::from(*v) / norm) as f32).collect()
}

#[test]
fn the_dimensions_option_cuts_and_scales_like_the_reference() {
    let golden = golden("tiny/golden/text.safetensors");
    let embedder = open(&Target::cpu());
    let mut worst = Worst::new();
    for dimensions in [16, 32, 64, 128] {
        let options = EncodeOptions {
            dimensions: Some(dimensions),
            ..EncodeOptions::new(task_prompt("retrieval", "passage"))
        };
        let found = encode(&embedder, Input::Text(text_of("short")), &options);
        assert_eq!(found.dimensions, dimensions);
        let name = match dimensions {
            128 => "short|retrieval|passage|single".to_string(),
            _ => format!("short|retrieval|passage|dim{dimensions}"),
        };
        worst.add(&name, deviation(&found.values, &golden[&name].1));
    }
    worst.check("dimensions", MIN_COSINE, SINGLE_MAX_ABS);
}

#[test]
fn a_text_that_holds_vision_tokens_is_pooled_like_any_other_text() {
    let golden = golden("tiny/golden/text.safetensors");
    let embedder = open(&Target::cpu());
    let options = EncodeOptions::new(task_prompt("retrieval", "query"));
    let found = encode(
        &embedder,
        Input::Text(text_of("hazard_vision_in_text")),
        &options,
    );
    assert_eq!(found.n_tokens, 11);
    // The reference's vector is the mean of a part of the tokens, so this one is another.
    let span = &golden["hazard_vision_in_text|retrieval|query|single"].1;
    assert!(deviation(&found.values, span).cosine < 0.999);
    // The multi-vector pools nothing and is the reference's; its mean is over all tokens.
    let options = EncodeOptions {
        multivector: true,
        ..options
    };
    let rows = encode(
        &embedder,
        Input::Text(text_of("hazard_vision_in_text")),
        &options,
    );
    let needed = &golden["hazard_vision_in_text|retrieval|query|multi"].1;
    assert!(deviation(&rows.values, needed).max_abs <= MULTI_MAX_ABS);
}

#[test]
fn long_texts_are_cut_from_the_right_like_the_reference() {
    let golden = golden("tiny/golden/text.safetensors");
    for target in targets() {
        let device_name = target.name;
        let embedder = open(&target);
        let (mut single, mut multi) = (Worst::new(), Worst::new());
        for max_length in [8, 32] {
            let options = EncodeOptions {
                max_length: Some(max_length),
                ..EncodeOptions::new(task_prompt("retrieval", "passage"))
            };
            let found = encode(&embedder, Input::Text(text_of("long")), &options);
            let name = format!("long|maxlen{max_length}|single");
            single.add(&name, deviation(&found.values, &golden[&name].1));
            let options = EncodeOptions {
                multivector: true,
                ..options
            };
            let found = encode(&embedder, Input::Text(text_of("long")), &options);
            let name = format!("long|maxlen{max_length}|multi");
            assert_eq!(found.rows, max_length);
            multi.add(&name, deviation(&found.values, &golden[&name].1));
        }
        single.check(
            &format!("truncation on {device_name}"),
            MIN_COSINE,
            SINGLE_MAX_ABS,
        );
        multi.check(
            &format!("truncated multi-vectors on {device_name}"),
            MIN_COSINE,
            MULTI_MAX_ABS,
        );
    }
}

#[test]
fn late_chunking_gives_the_vectors_of_the_reference() {
    let golden = golden("tiny/golden/text.safetensors");
    let case = json("tiny/golden/text.json")["late_chunking"].clone();
    let chunks: Vec<String> = case["chunks"]
        .as_array()
        .expect("chunks")
        .iter()
        .map(|chunk| chunk.as_str().expect("a text").to_string())
        .collect();
    let task = task_prompt(str_of(&case, "task"), "passage");
    for target in targets() {
        let device_name = target.name;
        let embedder = open(&target);
        let document = Document::new(task, &chunks).expect("a document");
        let tokens = embedder
            .tokenizer()
            .encode(document.text())
            .expect("tokens");
        assert_eq!(tokens.ids, ids_of(&case));
        let inputs: Vec<Input> = chunks.iter().cloned().map(Input::Text).collect();
        let options = EncodeOptions {
            late_chunking: true,
            ..EncodeOptions::new(task)
        };
        let results =
            wait(embedder.encode(&inputs, &options, &mut (), |_, _| ())).expect("the call");
        let mut worst = Worst::new();
        for (index, result) in results.iter().enumerate() {
            let found = result.as_ref().expect("a chunk");
            let name = format!("late|chunk{index}");
            worst.add(&name, deviation(&found.values, &golden[&name].1));
        }
        assert_eq!(worst.n, 3);
        worst.check(
            &format!("late chunking on {device_name}"),
            MIN_COSINE,
            SINGLE_MAX_ABS,
        );
    }
}

#[test]
fn pictures_give_the_vectors_of_the_reference_for_every_task_and_length() {
    let golden = golden("tiny/golden/image.safetensors");
    let images = json("tiny/golden/image.json");
    for target in targets() {
        let device_name = target.name;
        let embedder = open(&target);
        let (mut single, mut multi) = (Worst::new(), Worst::new());
        for image in images.as_array().expect("images") {
            let id = str_of(image, "id");
            let file = str_of(image, "file");
            let bytes = std::fs::read(fixture(&format!("tiny/golden/{file}"))).expect(file);
            let max_pixels = image["max_pixels"].as_u64().map(|n| n as usize);
            for task in image["tasks"].as_array().expect("tasks") {
                let task = task.as_str().expect("a task");
                let options = EncodeOptions {
                    max_pixels,
                    ..EncodeOptions::new(task_prompt(task, "passage"))
                };
                let found = encode(&embedder, Input::Image(bytes.clone()), &options);
                assert_eq!(
                    found.n_tokens as u64,
                    image["n_tokens"].as_u64().expect("n_tokens")
                );
                let name = format!("{id}|{task}");
                single.add(
                    &name,
                    deviation(&found.values, &golden[&format!("{name}|single")].1),
                );
                for dimensions in [16, 32, 64] {
                    let name = format!("{name}|dim{dimensions}");
                    single.add(
                        &name,
                        deviation(&cut(&found.values, dimensions), &golden[&name].1),
                    );
                }
                if let Some((shape, needed)) = golden.get(&format!("{name}|multi")) {
                    let options = EncodeOptions {
                        multivector: true,
                        ..options
                    };
                    let found = encode(&embedder, Input::Image(bytes.clone()), &options);
                    assert_eq!([found.rows, found.dimensions], shape[..], "{id}");
                    multi.add(&name, deviation(&found.values, needed));
                }
            }
        }
        single.check(
            &format!("picture vectors on {device_name}"),
            MIN_COSINE,
            SINGLE_MAX_ABS,
        );
        multi.check(
            &format!("picture multi-vectors on {device_name}"),
            MIN_COSINE,
            MULTI_MAX_ABS,
        );
    }
}

/// Keeps the tensors of a forward pass.
#[derive(Default)]
struct Recorder(BTreeMap<String, Tensor<2>>);

impl Observer for Recorder {
    fn tensor(&mut self, name: impl FnOnce() -> String, tensor: impl FnOnce() -> Tensor<2>) {
        self.0.insert(name(), tensor());
    }
}

fn values(tensor: Tensor<2>) -> Vec<f32> {
    wait(tensor.into_data_async())
        .expect("a read")
        .try_to_vec()
        .expect("f32")
}

/// Compares every tensor of a trace that the forward pass shows, each relative to its scale.
fn compare_trace(embedder: &Embedder, input: Input, trace: &str, what: &str) {
    let golden = golden(trace);
    let mut recorder = Recorder::default();
    let options = EncodeOptions::new(task_prompt("retrieval", "query"));
    let results =
        wait(embedder.encode(&[input], &options, &mut recorder, |_, _| ())).expect("the call");
    let single = &results[0].as_ref().expect("the input").values;
    let mut worst = Worst::new();
    worst.add("single", deviation(single, &golden["single"].1));
    let mut compared = vec!["single".to_string()];
    for (name, (_, needed)) in &golden {
        let Some(tensor) = recorder.0.get(name) else {
            continue;
        };
        let found = values(tensor.clone());
        let mut deviation = deviation(&found, needed);
        deviation.max_abs /= deviation.scale;
        worst.add(name, deviation);
        compared.push(name.clone());
    }
    // The layers add to the residual stream in the same step: what they added is the difference.
    for (name, after, before) in [
        (
            "text.layer0.o_proj",
            "text.layer0.attn_residual",
            "text.layer0.input",
        ),
        (
            "text.layer0.mlp",
            "text.layer0.output",
            "text.layer0.attn_residual",
        ),
        (
            "vision.block0.attn",
            "vision.block0.attn_residual",
            "vision.block0.input",
        ),
        (
            "vision.block0.mlp",
            "vision.block0.output",
            "vision.block0.attn_residual",
        ),
    ] {
        let Some((_, needed)) = golden.get(name) else {
            continue;
        };
        let [after, before] = [after, before].map(|name| recorder.0[name].clone());
        let mut deviation = deviation(&values(after - before), needed);
        deviation.max_abs /= deviation.scale;
        worst.add(name, deviation);
        compared.push(name.into());
    }
    // Queries, keys and values are one tensor in the reference and three layers here.
    if let Some((shape, needed)) = golden.get("vision.block0.qkv") {
        let width = shape[1] / 3;
        for (third, name) in ["q", "k", "v"].into_iter().enumerate() {
            let found = values(recorder.0[&format!("vision.block0.{name}")].clone());
            let needed: Vec<f32> = needed
                .chunks(shape[1])
                .flat_map(|row| row[third * width..(third + 1) * width].to_vec())
                .collect();
            let mut deviation = deviation(&found, &needed);
            deviation.max_abs /= deviation.scale;
            worst.add(name, deviation);
        }
        compared.push("vision.block0.qkv".into());
    }
    // Compared elsewhere: what the host makes (below), ids and multi-vectors (above).
    let elsewhere = [
        "input_ids",
        "multi",
        "text.rope_cos",
        "text.rope_sin",
        "text.rope_cos_3axes",
        "text.rope_sin_3axes",
        "text.rope_position_ids",
        "vision.rope_cos",
        "vision.rope_sin",
        "vision.window_index",
        "vision.cu_window_seqlens",
        "vision.pixel_values_first8",
    ];
    for name in golden.keys() {
        assert!(
            compared.contains(name) || elsewhere.contains(&name.as_str()),
            "{name} is in the golden and compared nowhere"
        );
    }
    worst.check(what, MIN_COSINE, TRACE_MAX_RELATIVE);
}

#[test]
fn every_intermediate_of_a_text_equals_the_reference() {
    for target in targets() {
        let device_name = target.name;
        let input = Input::Text(text_of("question"));
        let what = format!("text trace on {device_name}");
        compare_trace(
            &open(&target),
            input,
            "tiny/golden/trace_text.safetensors",
            &what,
        );
    }
}

#[test]
fn every_intermediate_of_a_picture_equals_the_reference() {
    for target in targets() {
        let device_name = target.name;
        let path = fixture("tiny/golden/images/cat_crop_168x140.png");
        let input = Input::Image(std::fs::read(path).expect("the picture"));
        let what = format!("picture trace on {device_name}");
        compare_trace(
            &open(&target),
            input,
            "tiny/golden/trace_image.safetensors",
            &what,
        );
    }
}

#[test]
fn the_towers_output_equals_the_reference_for_every_picture() {
    let golden = golden("tiny/golden/image.safetensors");
    let images = json("tiny/golden/image.json");
    for target in targets() {
        let device_name = target.name;
        let embedder = open(&target);
        let mut worst = Worst::new();
        for image in images.as_array().expect("images") {
            let (id, file) = (str_of(image, "id"), str_of(image, "file"));
            let bytes = std::fs::read(fixture(&format!("tiny/golden/{file}"))).expect(file);
            let mut recorder = Recorder::default();
            let options = EncodeOptions {
                max_pixels: image["max_pixels"].as_u64().map(|n| n as usize),
                ..EncodeOptions::new(task_prompt("retrieval", "query"))
            };
            let inputs = [Input::Image(bytes)];
            wait(embedder.encode(&inputs, &options, &mut recorder, |_, _| ())).expect("the call");
            let output = recorder.0.remove("vision.output").expect("the tower ran");
            let width = output.dims()[1];
            let step = image["vision_row_step"].as_u64().expect("a step") as usize;
            let rows: Vec<f32> = values(output)
                .chunks(width)
                .step_by(step)
                .flatten()
                .copied()
                .collect();
            worst.add(id, deviation(&rows, &golden[&format!("{id}|vision")].1));
        }
        worst.check(
            &format!("vision output on {device_name}"),
            MIN_COSINE,
            VISION_MAX_ABS,
        );
    }
}

#[test]
fn positions_and_rotary_tables_equal_the_reference() {
    let text = golden("tiny/golden/trace_text.safetensors");
    let image = golden("tiny/golden/trace_image.safetensors");
    let embedder = open(&Target::cpu());
    let config = &embedder.decoder().config;
    // cat_crop: 5 x 6 merged units after im_start, user, newline and vision_start.
    let cases = [
        (&text, Positions::text(14)),
        (&image, Positions::with_image(43, 4, 5, 6)),
    ];
    let mut worst = Worst::new();
    for (golden, positions) in cases {
        let axes = [&positions.time, &positions.height, &positions.width];
        let found: Vec<f32> = axes.into_iter().flatten().map(|p| *p as f32).collect();
        assert_eq!(found, golden["text.rope_position_ids"].1);
        let table = rope::mrope(
            &positions,
            config.rope_theta,
            config.mrope_section,
            config.head_dim,
        );
        worst.add(
            "text cos",
            deviation(&table.cos, &golden["text.rope_cos"].1),
        );
        worst.add(
            "text sin",
            deviation(&table.sin, &golden["text.rope_sin"].1),
        );
    }
    let vision = &embedder.vision().expect("a tower").config;
    let layout = WindowLayout::new(5, 6, vision.window_units());
    let table = rope::vision(&layout.patch_positions(6, 2), vision.head_dim());
    worst.add(
        "vision cos",
        deviation(&table.cos, &image["vision.rope_cos"].1),
    );
    worst.add(
        "vision sin",
        deviation(&table.sin, &image["vision.rope_sin"].1),
    );
    // One unit in the last place of an angle of up to 12 radians.
    worst.check("rotary tables", MIN_COSINE, 1.5e-6);
    let order: Vec<f32> = layout.unit_order.iter().map(|unit| *unit as f32).collect();
    assert_eq!(order, image["vision.window_index"].1);
    let mut ends = vec![0.0];
    for n_units in &layout.window_lengths {
        ends.push(ends.last().expect("one") + (n_units * vision.merge_unit()) as f32);
    }
    assert_eq!(ends, image["vision.cu_window_seqlens"].1);
}
