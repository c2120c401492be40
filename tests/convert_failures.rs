//! Weights that are missing, damaged or misshapen, and destinations that cannot be used, one
//! failure each. Whatever fails, nothing is left behind that looks like a model.
#![cfg(feature = "cli")]

mod tiny;

use std::fs;

use std::ops::ControlFlow;

use jina_embeddings_web::Code;
use jina_embeddings_web::convert::{Dtype, Error, Manifest, convert};
use serde_json::json;
use tiny::{
    Tensor, assert_says, copy, edit_adapters, edit_base, edit_json, failure, failure_with,
    fixtures, options,
};

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
    let error = convert(&options, &mut |_| ControlFlow::Continue(())).unwrap_err();
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
    let error = convert(&options, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert_says(&error, Code::InputInvalid, &["not a model directory"]);
    assert_eq!(fs::read(to.join("holiday.jpg")).unwrap(), b"precious");

    fs::write(to.join("model.json"), "{}").unwrap();
    convert(&options, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(!to.join("holiday.jpg").exists());
    Manifest::parse(&fs::read(to.join("model.json")).unwrap()).unwrap();
    assert_eq!(fs::read_dir(room.path()).unwrap().count(), 1);
}

#[test]
fn a_failed_forced_run_leaves_the_old_model_in_place() {
    let room = tempfile::tempdir().unwrap();
    let (hf, to) = (copy(room.path()), room.path().join("model"));
    let mut options = options(&hf, &to, Dtype::F16, Dtype::F16);
    let before = convert(&options, &mut |_| ControlFlow::Continue(())).unwrap();
    edit_base(&hf, |tensors| {
        let damaged = tensors["model.norm.weight"].with_value(0, f32::NAN);
        tensors.insert("model.norm.weight".to_owned(), damaged);
    });
    options.force = true;
    convert(&options, &mut |_| ControlFlow::Continue(())).unwrap_err();
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
        &mut |_| ControlFlow::Continue(()),
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
        &mut |_| ControlFlow::Continue(()),
    )
    .unwrap();
    let other = tempfile::tempdir().unwrap();
    assert_eq!(
        renamed,
        tiny::convert_to(other.path(), Dtype::Q8_0, Dtype::Q8_0)
    );
}
