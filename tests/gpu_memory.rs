//! What encoding takes on the graphics device beside the weights: counted, and held against the
//! statement made before it begins. `tests/browser/memory.spec.ts` counts the browser's buffers.
#![cfg(all(feature = "gpu", feature = "cli"))]

mod common;

use burn::tensor::Tensor;
use common::{Target, fixture, load, targets, wait};
use jina_embeddings_web::{
    Code, Device, Embedder, EncodeOptions, Input,
    image::RgbImage,
    model::{Observer, Stopped},
    model_files::ModelFiles,
    weights::Role,
};

/// Samples the bytes that tensors hold wherever the model can be watched.
struct Meter {
    device: Device,
    peak: u64,
}

impl Meter {
    fn sample(&mut self) {
        self.peak = self.peak.max(self.device.bytes_reserved());
    }
}

impl Observer for Meter {
    async fn before_layer(&mut self) -> Result<(), Stopped> {
        self.sample();
        Ok(())
    }

    fn tensor(&mut self, _: impl FnOnce() -> String, _: impl FnOnce() -> Tensor<2>) {
        self.sample();
    }
}

/// Words that are a token each, or nearly.
fn text_of(n_words: usize) -> String {
    "a cat sat on the mat and ".repeat(n_words.div_ceil(7))
}

fn parts(name: &str) -> Vec<(Role, std::path::PathBuf)> {
    let text = (
        Role::Text,
        fixture(&format!("tiny_gguf/tiny-jina-v4-a-{name}.gguf")),
    );
    let vision = fixture("tiny_gguf/mmproj-tiny-jina-v4-a-BF16.gguf");
    vec![text, (Role::Vision, vision)]
}

fn gpus() -> [Target; 2] {
    let [_, direct, tiled, _] = targets();
    [direct, tiled]
}

/// Embeds each input alone, and holds what it takes beside the weights against the statement.
fn hold(target: &Target, embedder: &Embedder, inputs: Vec<(&str, Input)>) {
    let options = EncodeOptions::new("retrieval.passage".parse().expect("a task"));
    let device = &target.device;
    for (what, input) in inputs {
        let is_picture = !matches!(input, Input::Text(_));
        device.release_unused();
        let before = device.bytes_reserved();
        let mut meter = Meter {
            device: device.clone(),
            peak: 0,
        };
        let results = wait(embedder.encode(&[input], &options, &mut meter, |_, _| ()));
        let result = results.expect("a call").remove(0).expect("an embedding");
        let held = meter.peak.saturating_sub(before);
        let (scratch, n_tokens) = (embedder.scratch(), result.n_tokens);
        // A token of a picture is four patches; those of the prompt around it are few.
        let stated = match is_picture {
            true => scratch.of_picture(4 * n_tokens, n_tokens),
            false => scratch.of_text(n_tokens),
        };
        let name = target.name;
        println!("{name}: {what}, {n_tokens} tokens: {held} bytes held, {stated} stated");
        assert!(held <= stated, "{name}: {what}");
    }
}

fn text(n_words: usize) -> Input {
    Input::Text(text_of(n_words))
}

#[test]
fn inputs_take_no_more_of_the_device_than_stated_whatever_their_length() {
    let picture = std::fs::read(fixture("tiny/golden/images/cat_crop_168x140.png"));
    let picture = Input::Image(picture.expect("a picture"));
    for target in gpus() {
        let embedder = load(&target, &parts("retrieval-Q4_0"));
        let inputs = vec![
            ("8 words", text(8)),
            ("100 words", text(100)),
            ("700 words", text(700)),
            ("1500 words", text(1500)),
            ("3000 words", text(3000)),
            ("a picture", picture.clone()),
        ];
        hold(&target, &embedder, inputs);
    }
}

#[test]
#[ignore = "needs a model of the published widths: scripts/test-large.sh memory"]
fn at_the_published_widths_inputs_take_no_more_of_the_device_than_stated() {
    let directory = std::env::var("JINA_WIDE").expect("JINA_WIDE names a model directory");
    let files = ModelFiles::find(directory.as_ref()).expect("a model directory");
    // The largest picture that is not scaled down.
    let side = 776;
    let pixels = RgbImage::from_rgba(side, side, &vec![120; side * side * 4]);
    let [direct, _] = gpus();
    let embedder = files.load(&direct.device, |_| ()).expect("a model");
    let inputs = vec![
        ("100 words", text(100)),
        ("1000 words", text(1000)),
        ("a picture", Input::Pixels(pixels.expect("a picture"))),
    ];
    hold(&direct, &embedder, inputs);
}

#[test]
fn a_text_above_the_limit_is_refused_before_it_is_computed_and_the_others_are_not() {
    let options = EncodeOptions::new("retrieval.passage".parse().expect("a task"));
    let [direct, _] = gpus();
    let embedder = load(&direct, &parts("retrieval-Q4_0"));
    let limit = embedder.scratch().of_text(200);
    let embedder = embedder.with_scratch_limit(Some(limit));
    let [short, long] = [50, 2000].map(text);
    let results = wait(embedder.encode(&[long, short], &options, &mut (), |_, _| ()));
    let mut results = results.expect("a call");
    assert!(results.pop().expect("two results").is_ok());
    let refused = results.pop().expect("two results").expect_err("too long");
    assert_eq!(refused.code(), Code::OutOfMemory);
    assert!(refused.to_string().contains("tokens"), "{refused}");
}
