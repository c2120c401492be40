//! Everything that can be wrong with a source or a destination, one failure each. Whatever fails,
//! nothing is left behind that looks like a model.
#![cfg(feature = "cli")]

mod tiny;

use std::fs;
use std::path::Path;

use jina_embeddings_web::Code;
use jina_embeddings_web::convert::{Dtype, Error, Manifest, Options, convert};
use serde_json::json;
use tiny::{Tensor, copy, edit_adapters, edit_base, edit_json, fixtures, options};

/// Converts a damaged copy and returns the error, after checking that nothing was left.
fn failure(damage: impl FnOnce(&Path)) -> Error {
    failure_with(damage, |_| {})
}

fn failure_with(damage: impl FnOnce(&Path), adjust: impl FnOnce(&mut Options)) -> Error {
    let room = tempfile::tempdir().unwrap();
    let hf = copy(room.path());
    damage(&hf);
    let mut options = options(&hf, &room.path().join("model"), Dtype::F16, Dtype::F16);
    adjust(&mut options);
    let error = convert(&options, &mut |_| {}).expect_err("a damaged model was converted");
    let left: Vec<_> = fs::read_dir(room.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["hf"], "left behind");
    error
}

/// Asserts the code, and words that the message must have.
#[track_caller]
fn assert_says(error: &Error, code: Code, words: &[&str]) {
    let message = error.to_string();
    assert_eq!(error.code(), code, "{message}");
    for word in words {
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
}

#[test]
fn a_missing_shard_is_named() {
    let error = failure(|hf| fs::remove_file(hf.join("model-00002-of-00002.safetensors")).unwrap());
    assert_says(&error, Code::Io, &["model-00002-of-00002.safetensors"]);
}

#[test]
fn a_directory_without_weights_is_an_error() {
    let error = failure(|hf| fs::remove_file(hf.join("model.safetensors.index.json")).unwrap());
    assert_says(&error, Code::Io, &["model.safetensors.index.json"]);
}

#[test]
fn a_truncated_shard_is_named_with_both_sizes() {
    let error = failure(|hf| {
        let path = hf.join("model-00001-of-00002.safetensors");
        let bytes = fs::read(&path).unwrap();
        fs::write(path, &bytes[..bytes.len() - 1000]).unwrap();
    });
    assert!(
        matches!(&error, Error::ShardSize { needed_bytes, found_bytes, .. } if needed_bytes - found_bytes == 1000)
    );
    assert_says(
        &error,
        Code::ModelInvalid,
        &["model-00001-of-00002.safetensors"],
    );
}

#[test]
fn a_shard_truncated_inside_its_header_is_an_error() {
    for n_bytes in [0, 7, 8, 100] {
        let error = failure(|hf| {
            let path = hf.join("model-00001-of-00002.safetensors");
            let bytes = fs::read(&path).unwrap();
            fs::write(path, &bytes[..n_bytes]).unwrap();
        });
        assert!(matches!(&error, Error::BadShard { .. }), "{error}");
        assert_says(
            &error,
            Code::ModelInvalid,
            &["model-00001-of-00002.safetensors"],
        );
    }
}

#[test]
fn a_shard_with_an_absurd_header_length_is_an_error() {
    let error = failure(|hf| {
        let path = hf.join("model-00001-of-00002.safetensors");
        let mut bytes = fs::read(&path).unwrap();
        bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        fs::write(path, bytes).unwrap();
    });
    assert_says(&error, Code::ModelInvalid, &["18446744073709551615"]);
}

#[test]
fn a_shard_whose_header_is_not_json_is_an_error() {
    let error = failure(|hf| {
        let path = hf.join("model-00001-of-00002.safetensors");
        let mut bytes = fs::read(&path).unwrap();
        bytes[9] = b'}';
        fs::write(path, bytes).unwrap();
    });
    assert!(matches!(&error, Error::BadShard { .. }), "{error}");
}

#[test]
fn an_index_that_promises_a_tensor_its_shard_lacks_is_an_error() {
    let error = failure(|hf| {
        edit_json(&hf.join("model.safetensors.index.json"), |index| {
            index["weight_map"]["model.norm.weight"] = json!("model-00001-of-00002.safetensors");
        });
    });
    assert_says(
        &error,
        Code::ModelInvalid,
        &["`model.norm.weight`", "model-00001-of-00002.safetensors"],
    );
}

#[test]
fn an_index_that_points_outside_the_directory_is_an_error() {
    let error = failure(|hf| {
        edit_json(&hf.join("model.safetensors.index.json"), |index| {
            index["weight_map"]["model.norm.weight"] = json!("../model.safetensors");
        });
    });
    assert_says(
        &error,
        Code::ModelInvalid,
        &["weight_map", "../model.safetensors"],
    );
}

#[test]
fn a_missing_tensor_is_named_with_the_shape_it_needs() {
    let error = failure(|hf| {
        edit_base(hf, |tensors| {
            drop(tensors.remove("model.layers.3.mlp.up_proj.weight"))
        })
    });
    assert!(
        matches!(&error, Error::TensorMissing { needed, .. } if needed == &[352, 128]),
        "{error}"
    );
    assert_says(
        &error,
        Code::ModelInvalid,
        &["`model.layers.3.mlp.up_proj.weight`", "[352, 128]"],
    );
}

#[test]
fn a_missing_vision_tensor_is_named() {
    let error = failure(|hf| {
        edit_base(hf, |tensors| {
            drop(tensors.remove("visual.merger.ln_q.weight"))
        })
    });
    assert_says(
        &error,
        Code::ModelInvalid,
        &["`visual.merger.ln_q.weight`", "[64]"],
    );
}

#[test]
fn a_tensor_that_the_model_does_not_have_is_named() {
    let error = failure(|hf| {
        edit_base(hf, |tensors| {
            let norm = tensors["model.norm.weight"].clone();
            tensors.insert("lm_head.weight".to_owned(), norm);
        });
    });
    assert!(
        matches!(&error, Error::TensorUnexpected { n_unknown: 1, .. }),
        "{error}"
    );
    assert_says(&error, Code::ModelInvalid, &["`lm_head.weight`"]);
}

#[test]
fn a_tensor_of_another_shape_is_named_with_both_shapes() {
    let error = failure(|hf| {
        edit_base(hf, |tensors| {
            tensors
                .get_mut("model.layers.0.self_attn.k_proj.weight")
                .unwrap()
                .shape = vec![128, 64];
        });
    });
    assert_says(
        &error,
        Code::ModelInvalid,
        &[
            "`model.layers.0.self_attn.k_proj.weight`",
            "[64, 128]",
            "[128, 64]",
        ],
    );
}

#[test]
fn a_tensor_of_integers_is_named_with_its_type() {
    let error = failure(|hf| {
        edit_base(hf, |tensors| {
            tensors.get_mut("model.norm.weight").unwrap().dtype = safetensors::Dtype::I16;
        });
    });
    assert_says(
        &error,
        Code::ModelUnsupported,
        &["`model.norm.weight`", "I16"],
    );
}

#[test]
fn the_same_tensor_under_both_spellings_is_an_error() {
    let error = failure(|hf| {
        edit_base(hf, |tensors| {
            let norm = tensors["model.norm.weight"].clone();
            tensors.insert("model.language_model.norm.weight".to_owned(), norm);
        });
    });
    assert_says(
        &error,
        Code::ModelInvalid,
        &["`model.norm.weight`", "`model.language_model.norm.weight`"],
    );
}

#[test]
fn a_weight_that_is_not_a_number_is_named_with_its_place() {
    let edit = |tensors: &mut tiny::Tensors, value| {
        let name = "visual.blocks.1.attn.qkv.weight";
        let damaged: Tensor = tensors[name].with_value(5000, value);
        tensors.insert(name.to_owned(), damaged);
    };
    for value in [f32::NAN, f32::INFINITY] {
        let error = failure(|hf| edit_base(hf, |tensors| edit(tensors, value)));
        assert_says(
            &error,
            Code::ModelInvalid,
            &["`visual.blocks.1.attn.qkv.weight`", "5000", "finite"],
        );
    }
    let error = failure(|hf| edit_base(hf, |tensors| edit(tensors, 1e6)));
    assert_says(
        &error,
        Code::ModelInvalid,
        &["`v.blk.1.attn_k.weight`", "F16", "1000000"],
    );
}

#[test]
fn a_task_without_adapter_is_named() {
    let error = failure(|hf| {
        edit_adapters(hf, |tensors| {
            tensors.retain(|name, _| !name.contains(".code."))
        })
    });
    let words = [
        "`base_model.model.multi_vector_projector.lora_A.code.weight`",
        "[8, 128]",
    ];
    assert_says(&error, Code::ModelInvalid, &words);
}

#[test]
fn a_single_missing_adapter_matrix_is_named() {
    let name =
        "base_model.model.model.language_model.layers.2.mlp.down_proj.lora_B.text-matching.weight";
    let error = failure(|hf| edit_adapters(hf, |tensors| drop(tensors.remove(name))));
    assert_says(&error, Code::ModelInvalid, &[name, "[128, 8]"]);
}

#[test]
fn an_adapter_of_a_task_that_the_configuration_does_not_name_is_an_error() {
    let error = failure(|hf| {
        edit_json(&hf.join("config.json"), |config| {
            config["task_names"] = json!(["retrieval", "code"])
        });
    });
    assert!(
        matches!(&error, Error::TensorUnexpected { n_unknown: 58, .. }),
        "{error}"
    );
    assert_says(&error, Code::ModelInvalid, &["text-matching"]);
}

#[test]
fn an_adapter_of_another_rank_than_configured_is_an_error() {
    let error = failure(|hf| {
        edit_json(&hf.join("adapters/adapter_config.json"), |config| {
            config["r"] = json!(16)
        })
    });
    assert_says(
        &error,
        Code::ModelInvalid,
        &["lora_A", "[16, 128]", "[8, 128]"],
    );
}

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
fn a_destination_below_a_file_is_an_error() {
    let error = failure_with(
        |_| {},
        |options| options.to = options.from.join("config.json/model"),
    );
    assert_says(&error, Code::Io, &["config.json"]);
}

#[test]
fn an_existing_destination_is_refused_and_untouched() {
    let room = tempfile::tempdir().unwrap();
    let to = room.path().join("model");
    fs::create_dir(&to).unwrap();
    fs::write(to.join("model.json"), "precious").unwrap();
    let options = options(&fixtures().join("tiny"), &to, Dtype::F16, Dtype::F16);
    let error = convert(&options, &mut |_| {}).unwrap_err();
    assert_says(&error, Code::InputInvalid, &["exists already", "--force"]);
    assert_eq!(fs::read(to.join("model.json")).unwrap(), b"precious");
    assert_eq!(fs::read_dir(room.path()).unwrap().count(), 1);
}

#[test]
fn force_replaces_a_model_directory_whole_and_nothing_else() {
    let room = tempfile::tempdir().unwrap();
    let to = room.path().join("model");
    fs::create_dir(&to).unwrap();
    fs::write(to.join("holiday.jpg"), "precious").unwrap();
    let mut options = options(&fixtures().join("tiny"), &to, Dtype::F16, Dtype::F16);
    options.force = true;
    let error = convert(&options, &mut |_| {}).unwrap_err();
    assert_says(&error, Code::InputInvalid, &["not a model directory"]);
    assert_eq!(fs::read(to.join("holiday.jpg")).unwrap(), b"precious");

    fs::write(to.join("model.json"), "{}").unwrap();
    convert(&options, &mut |_| {}).unwrap();
    assert!(!to.join("holiday.jpg").exists());
    Manifest::parse(&fs::read(to.join("model.json")).unwrap()).unwrap();
    assert_eq!(fs::read_dir(room.path()).unwrap().count(), 1);
}

#[test]
fn a_failed_forced_run_leaves_the_old_model_in_place() {
    let room = tempfile::tempdir().unwrap();
    let (hf, to) = (copy(room.path()), room.path().join("model"));
    let mut options = options(&hf, &to, Dtype::F16, Dtype::F16);
    let before = convert(&options, &mut |_| {}).unwrap();
    edit_base(&hf, |tensors| {
        let damaged = tensors["model.norm.weight"].with_value(0, f32::NAN);
        tensors.insert("model.norm.weight".to_owned(), damaged);
    });
    options.force = true;
    convert(&options, &mut |_| {}).unwrap_err();
    let after = Manifest::parse(&fs::read(to.join("model.json")).unwrap()).unwrap();
    assert_eq!(before, after);
    assert!(!room.path().join("model.partial").exists());
}

#[test]
fn what_an_interrupted_run_left_is_replaced() {
    let room = tempfile::tempdir().unwrap();
    let partial = room.path().join("model.partial");
    fs::create_dir(&partial).unwrap();
    fs::write(partial.join("text-00009-of-00009.gguf"), "half a file").unwrap();
    let to = room.path().join("model");
    convert(
        &options(&fixtures().join("tiny"), &to, Dtype::F16, Dtype::F16),
        &mut |_| {},
    )
    .unwrap();
    assert!(!partial.exists());
    assert!(!to.join("text-00009-of-00009.gguf").exists());
}

#[test]
fn names_as_renamed_on_load_and_a_single_file_give_the_same_model() {
    let room = tempfile::tempdir().unwrap();
    let hf = copy(room.path());
    edit_base(&hf, |tensors| {
        let renamed = |name: String| match name.split_once('.') {
            Some(("visual", _)) => format!("model.{name}"),
            Some(("model", rest)) => format!("model.language_model.{rest}"),
            _ => name,
        };
        *tensors = std::mem::take(tensors)
            .into_iter()
            .map(|(name, tensor)| (renamed(name), tensor))
            .collect();
        assert!(tensors.contains_key("model.language_model.layers.0.mlp.up_proj.weight"));
        assert!(tensors.contains_key("model.visual.merger.ln_q.weight"));
    });
    edit_adapters(&hf, |tensors| {
        let renamed =
            |name: String| name.replace("model.model.language_model.layers", "model.model.layers");
        *tensors = std::mem::take(tensors)
            .into_iter()
            .map(|(name, tensor)| (renamed(name), tensor))
            .collect();
        assert!(
            tensors.contains_key("base_model.model.model.layers.0.mlp.up_proj.lora_A.code.weight")
        );
    });
    let renamed = convert(
        &options(&hf, &room.path().join("model"), Dtype::Q8_0, Dtype::Q8_0),
        &mut |_| {},
    )
    .unwrap();
    let other = tempfile::tempdir().unwrap();
    assert_eq!(
        renamed,
        tiny::convert_to(other.path(), Dtype::Q8_0, Dtype::Q8_0)
    );
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
        assert_eq!(convert(&options, &mut |_| {}).unwrap().licence, licence);
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
