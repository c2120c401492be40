//! What encoding takes on the graphics device beside the weights: counted, and held against the
//! statement made before it begins. `tests/browser/memory.spec.ts` counts the browser's buffers.
#![cfg(feature = "gpu")]

mod common;

use burn::tensor::Tensor;
use common::{Target, fixture, load, targets, wait};
use jina_embeddings_web::{
    Code, Device, EncodeOptions, Input,
    model::{Observer, Stopped},
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

#[test]
fn inputs_take_no_more_of_the_device_than_stated_whatever_their_length() {
    let options = EncodeOptions::new("retrieval.passage".parse().expect("a task"));
    for target in gpus() {
        let embedder = load(&target, &parts("retrieval-Q4_0"));
        let device = &target.device;
        let mut inputs: Vec<(String, Input)> = [8, 100, 700, 1500, 3000]
            .map(|n| (format!("{n} words"), Input::Text(text_of(n))))
            .into();
        let picture = std::fs::read(fixture("tiny/golden/images/cat_crop_168x140.png"));
        inputs.push((
            "a picture".into(),
            Input::Image(picture.expect("a picture")),
        ));
        for (what, input) in inputs {
            device.release_unused();
            let before = device.bytes_reserved();
            let mut meter = Meter {
                device: device.clone(),
                peak: 0,
            };
            let results = wait(embedder.encode(&[input], &options, &mut meter, |_, _| ()));
            let result = results.expect("a call").remove(0).expect("an embedding");
            let held = meter.peak.saturating_sub(before);
            let scratch = embedder.scratch();
            let stated = match what.as_str() {
                "a picture" => scratch.of_picture(120, result.n_tokens),
                _ => scratch.of_text(result.n_tokens),
            };
            println!(
                "{}: {what}, {} tokens: {held} bytes held, {stated} stated, {} without the fixed part",
                target.name,
                result.n_tokens,
                stated - scratch.of_text(0),
            );
            assert!(held <= stated, "{}: {what}", target.name);
        }
    }
}

#[test]
fn a_text_above_the_limit_is_refused_before_it_is_computed_and_the_others_are_not() {
    let options = EncodeOptions::new("retrieval.passage".parse().expect("a task"));
    let [direct, _] = gpus();
    let embedder = load(&direct, &parts("retrieval-Q4_0"));
    let limit = embedder.scratch().of_text(200);
    let embedder = embedder.with_scratch_limit(Some(limit));
    let [short, long] = [50, 2000].map(|n| Input::Text(text_of(n)));
    let results = wait(embedder.encode(&[long, short], &options, &mut (), |_, _| ()));
    let mut results = results.expect("a call");
    assert!(results.pop().expect("two results").is_ok());
    let refused = results.pop().expect("two results").expect_err("too long");
    assert_eq!(refused.code(), Code::OutOfMemory);
    assert!(refused.to_string().contains("tokens"), "{refused}");
}
