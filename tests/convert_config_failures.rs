//! Configuration, preprocessor, tokeniser and `model.json` files that do not fit, one failure each.
#![cfg(feature = "cli")]

mod tiny;

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use jina_embeddings_web::Code;
use jina_embeddings_web::convert::{Dtype, Error, Manifest, convert};
use serde_json::json;
use tiny::{assert_says, copy, edit_json, failure, failure_with, options};

#[test]
fn missing_files_are_named() {
    for name in [
        "config.json",
        "preprocessor_config.json",
        "tokenizer.json",
        "adapters/adapter_config.json",
        "adapters/adapter_model.safetensors",
    ] {
        let error = failure(|hf| fs::remove_file(hf.join(name)).unwrap());
        assert_says(&error, Code::Io, &[name]);
    }
}

#[test]
fn json_that_is_damaged_is_named() {
    for name in [
        "config.json",
        "preprocessor_config.json",
        "tokenizer.json",
        "model.safetensors.index.json",
        "adapters/adapter_config.json",
    ] {
        let error = failure(|hf| fs::write(hf.join(name), "{\"a\": [1, 2").unwrap());
        assert!(matches!(&error, Error::Json { .. }), "{error}");
        assert_says(&error, Code::ModelInvalid, &[name]);
    }
}

#[test]
fn a_configuration_without_a_field_names_it() {
    let error = failure(|hf| {
        edit_json(&hf.join("config.json"), |config| {
            config.as_object_mut().unwrap().remove("matryoshka_dims");
        });
    });
    assert_says(
        &error,
        Code::ModelInvalid,
        &["config.json", "matryoshka_dims"],
    );
}

#[test]
fn fields_of_the_configuration_that_make_no_sense_are_named() {
    for (field, value, words) in [
        (
            "/text_config/num_hidden_layers",
            json!(0),
            &["num_hidden_layers", "0"][..],
        ),
        (
            "/text_config/num_hidden_layers",
            json!(4_000_000_000_u64),
            &["num_hidden_layers", "4000000000"],
        ),
        (
            "/text_config/num_attention_heads",
            json!(3),
            &["num_attention_heads", "3"],
        ),
        (
            "/text_config/num_key_value_heads",
            json!(3),
            &["num_key_value_heads", "3"],
        ),
        (
            "/text_config/rope_scaling/mrope_section",
            json!([4, 6, 7]),
            &["mrope_section", "[4, 6, 7]"],
        ),
        ("/text_config/rms_norm_eps", json!(-1.0), &["rms_norm_eps"]),
        (
            "/vision_config/out_hidden_size",
            json!(64),
            &["out_hidden_size", "64", "128"],
        ),
        (
            "/vision_config/fullatt_block_indexes",
            json!([1, 4]),
            &["fullatt_block_indexes", "4"],
        ),
        (
            "/matryoshka_dims",
            json!([16, 129]),
            &["matryoshka_dims", "129"],
        ),
        (
            "/task_names",
            json!(["../evil"]),
            &["task_names", "../evil"],
        ),
        ("/task_names", json!(["code", "code"]), &["task_names"]),
    ] {
        let error = failure(|hf| {
            edit_json(&hf.join("config.json"), |config| {
                *config.pointer_mut(field).unwrap() = value.clone()
            });
        });
        assert!(matches!(&error, Error::BadField { .. }), "{field}: {error}");
        assert_says(&error, Code::ModelInvalid, words);
    }
}

#[test]
fn what_is_not_computed_here_is_said_to_be_unsupported() {
    for (file, field, value, words) in [
        (
            "config.json",
            "/architectures",
            json!(["BertModel"]),
            &["architectures", "BertModel"][..],
        ),
        (
            "config.json",
            "/text_config/hidden_act",
            json!("gelu"),
            &["hidden_act", "gelu", "silu"],
        ),
        (
            "config.json",
            "/text_config/tie_word_embeddings",
            json!(false),
            &["tie_word_embeddings"],
        ),
        (
            "config.json",
            "/text_config/use_sliding_window",
            json!(true),
            &["use_sliding_window"],
        ),
        (
            "config.json",
            "/vision_config/temporal_patch_size",
            json!(4),
            &["temporal_patch_size", "4"],
        ),
        (
            "config.json",
            "/vision_config/in_channels",
            json!(1),
            &["in_channels"],
        ),
        (
            "adapters/adapter_config.json",
            "/use_dora",
            json!(true),
            &["use_dora"],
        ),
        (
            "adapters/adapter_config.json",
            "/use_rslora",
            json!(true),
            &["use_rslora"],
        ),
    ] {
        let error = failure(|hf| {
            edit_json(&hf.join(file), |config| {
                *config.pointer_mut(field).unwrap() = value.clone()
            });
        });
        assert_says(&error, Code::ModelUnsupported, words);
    }
}

#[test]
fn a_preprocessor_that_contradicts_the_model_is_an_error() {
    let path = |hf: &Path| hf.join("preprocessor_config.json");
    let error = failure(|hf| edit_json(&path(hf), |config| config["patch_size"] = json!(16)));
    assert_says(&error, Code::ModelInvalid, &["patch_size", "14", "16"]);
    let error = failure(|hf| edit_json(&path(hf), |config| config["max_pixels"] = json!(1)));
    assert_says(&error, Code::ModelInvalid, &["max_pixels", "3136"]);
    let error = failure(|hf| {
        edit_json(&path(hf), |config| {
            config["image_std"] = json!([0.2, 0.0, 0.2])
        })
    });
    assert_says(&error, Code::ModelInvalid, &["image_std"]);
}

#[test]
fn a_tokeniser_with_more_tokens_than_embeddings_is_an_error() {
    let error = failure(|hf| {
        edit_json(&hf.join("tokenizer.json"), |tokenizer| {
            tokenizer["added_tokens"][0]["id"] = json!(4160)
        });
    });
    assert_says(&error, Code::ModelInvalid, &["<|endoftext|>", "4160"]);
}

#[test]
fn a_tokeniser_with_two_tokens_of_one_id_is_an_error() {
    let error = failure(|hf| {
        edit_json(&hf.join("tokenizer.json"), |tokenizer| {
            tokenizer["added_tokens"][0]["id"] = json!(7)
        });
    });
    assert_says(&error, Code::ModelInvalid, &["<|endoftext|>", "id 7"]);
}

#[test]
fn a_tokeniser_of_another_kind_is_an_error() {
    let error = failure(|hf| {
        edit_json(&hf.join("tokenizer.json"), |tokenizer| {
            tokenizer["model"]["type"] = json!("WordLevel")
        });
    });
    assert_says(&error, Code::ModelInvalid, &["BPE", "WordLevel"]);
}

#[test]
fn a_name_with_a_slash_is_refused() {
    for name in ["", "  ", "a/b"] {
        let error = failure_with(|_| {}, |options| options.name = Some(name.to_owned()));
        assert_says(&error, Code::InputInvalid, &["name"]);
    }
}

#[test]
fn the_licence_is_taken_from_the_front_matter_of_the_readme() {
    for (readme, licence) in [
        (
            "---\nlicense: other\nlicense_name: \"qwen-research\"\n---\n# Model\n",
            "qwen-research",
        ),
        ("---\nlicense: cc-by-nc-4.0\n---\n", "cc-by-nc-4.0"),
        ("# Model\nlicense: mit\n", "unknown"),
    ] {
        let room = tempfile::tempdir().unwrap();
        let hf = copy(room.path());
        fs::write(hf.join("README.md"), readme).unwrap();
        let options = options(&hf, &room.path().join("model"), Dtype::Q8_0, Dtype::Q8_0);
        assert_eq!(
            convert(&options, &mut |_| ControlFlow::Continue(()))
                .unwrap()
                .licence,
            licence
        );
    }
}

#[test]
fn a_manifest_that_reaches_outside_its_directory_is_refused() {
    let room = tempfile::tempdir().unwrap();
    let mut manifest = tiny::convert_to(room.path(), Dtype::Q8_0, Dtype::Q8_0);
    for path in ["../text.gguf", "/etc/passwd", "..", "", "c:\\text.gguf"] {
        manifest.files[0].path = path.to_owned();
        let error = Manifest::parse(&serde_json::to_vec(&manifest).unwrap()).unwrap_err();
        assert_says(&error, Code::ModelInvalid, &["path"]);
    }
    manifest.format_version = 2;
    let error = Manifest::parse(&serde_json::to_vec(&manifest).unwrap()).unwrap_err();
    assert_says(&error, Code::ModelInvalid, &["format_version", "2"]);
    let error = Manifest::parse(b"{").unwrap_err();
    assert_says(&error, Code::ModelInvalid, &["model.json"]);
}
