//! How many launches a model takes: what a graphics card spends most on with short texts.
#![cfg(feature = "gpu")]

mod common;

use common::{Target, encode, fixture, load, targets};
use jina_embeddings_web::{
    EncodeOptions, Input,
    kernels::{Launch, begin_count, end_count},
    text::TaskPrompt,
    weights::Role,
};

/// Launches that a layer may take, of the decoder and of the vision tower, with an adapter too.
const MOST_OF_A_LAYER: usize = 8;

fn launches(
    target: &Target,
    files: &[(Role, std::path::PathBuf)],
    input: Input,
    task: &str,
) -> Vec<Launch> {
    let embedder = load(target, files);
    let task: TaskPrompt = task.parse().expect("a task");
    begin_count();
    encode(&embedder, input, &EncodeOptions::new(task));
    end_count()
}

#[test]
fn a_layer_takes_at_most_eight_launches_with_its_adapter() {
    let [_, direct, tiled, _] = targets();
    let base = (
        Role::Text,
        fixture("tiny_gguf/tiny-jina-v4-a-base-Q4_0.gguf"),
    );
    let adapter = (
        Role::Adapter(
            "retrieval.query"
                .parse::<TaskPrompt>()
                .expect("a task")
                .task(),
        ),
        fixture("tiny_gguf/tiny-jina-v4-a-lora-retrieval-F32.gguf"),
    );
    let merged = (
        Role::Text,
        fixture("kquant/tiny-jina-v4-c-retrieval-Q4_K_M.gguf"),
    );
    for target in [direct, tiled] {
        for (what, n_layers, files) in [
            ("with an adapter", 4, vec![base.clone(), adapter.clone()]),
            ("of mixed types", 2, vec![merged.clone()]),
        ] {
            for text in [
                "a",
                "Seven launches make a layer, however many tokens there are.",
            ] {
                let all = launches(
                    &target,
                    &files,
                    Input::Text(text.to_string()),
                    "retrieval.query",
                );
                let name = target.name;
                // Beside the layers: the rows of the tokens, and the last norm.
                let of_layers = all.len() - 2;
                println!(
                    "{name}, {what}: {} launches, {of_layers} of {n_layers} layers",
                    all.len()
                );
                assert!(
                    of_layers <= MOST_OF_A_LAYER * n_layers,
                    "{name}, {what}: {all:#?}"
                );
                assert_eq!(
                    all.iter()
                        .filter(|launch| launch.kernel == "attention")
                        .count(),
                    n_layers
                );
                // No product left the kernels for the portable form.
                assert_eq!(
                    all.iter()
                        .filter(|launch| launch.kernel == "linear")
                        .count(),
                    4 * n_layers
                );
            }
        }
    }
}

#[test]
fn a_layer_of_the_vision_tower_takes_at_most_eight_launches() {
    let [_, direct, tiled, _] = targets();
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
    let picture =
        std::fs::read(fixture("tiny/golden/images/cat_crop_168x140.png")).expect("a picture");
    for target in [direct, tiled] {
        let input = Input::Image(picture.clone());
        let all = launches(&target, &files, input, "retrieval.query");
        let attention = all.iter().filter(|launch| launch.kernel == "attention");
        // Four layers of the tower, some over windows, and four of the decoder.
        let n_layers = 8;
        assert_eq!(attention.count(), n_layers, "{all:#?}");
        // Beside them: patches, the norm and the two products of the merger, rows, the last norm.
        let of_layers = all.len() - 6;
        println!(
            "{}: {} launches, {of_layers} of {n_layers} layers",
            target.name,
            all.len()
        );
        assert!(of_layers <= MOST_OF_A_LAYER * n_layers, "{all:#?}");
    }
}
