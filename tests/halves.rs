//! Decoded weights in halves, in the whole model. On an adapter without `shader-f16` such a choice must
//! not be made; the step `halves` of `make test` runs this on one that has it.
#![cfg(all(feature = "gpu", feature = "cli"))]

mod common;

use common::{Worst, deviation, encode, fixture, golden, json, load, targets};
use jina_embeddings_web::{EncodeOptions, Input, kernel_choice, weights::Role};

/// The gate of quantised weights.
const MIN_COSINE: f64 = 0.999_9;
const MAX_ABS: f64 = 1e-3;

const HALVES: &str = "registers-4x2x8x16,registers-4x2x8x16,registers-8x1x8x16,tiles-4-f16,tiles-8-f16,attention-tiles,norm-256";

#[test]
fn a_model_computed_in_halves_gives_the_vectors_of_the_reference() {
    let [_, _, mut target, _] = targets();
    let has_halves = target.device.info().shader_f16;
    if std::env::var_os("JINA_NEEDS_SHADER_F16").is_some() {
        assert!(has_halves, "needed an adapter with shader-f16");
    }
    let halves = kernel_choice::recalled(&target.device, HALVES);
    assert_eq!(halves.is_some(), has_halves);
    let Some(kernels) = halves else {
        return;
    };
    target.kernels = kernels;
    let stem = "kquant/tiny-jina-v4-c-retrieval-Q4_K_M";
    let embedder = load(&target, &[(Role::Text, fixture(&format!("{stem}.gguf")))]);
    let texts = json("tiny/golden/inputs.json");
    let mut worst = Worst::new();
    for (name, (_, needed)) in &golden(&format!("{stem}.ref.safetensors")) {
        let (text_id, prompt) = name.split_once('|').expect("a name with its prompt");
        let text = texts["texts"][text_id]
            .as_str()
            .expect("a text")
            .to_string();
        let task = format!("retrieval.{prompt}").parse().expect("a task");
        let found = encode(&embedder, Input::Text(text), &EncodeOptions::new(task));
        worst.add(name, deviation(&found.values, needed));
    }
    worst.check("halves", MIN_COSINE, MAX_ABS);
}
