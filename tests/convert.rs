//! The converter on the tiny model: what it writes equals what was published, and what others made
//! of the same weights.
#![cfg(feature = "cli")]

mod tiny;

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use jina_embeddings_web::convert::{Dtype, Manifest, Progress, Role, convert};
use jina_embeddings_web::gguf::{self, Header, Parsed, TensorType, Value, split};
use sha2::{Digest, Sha256};
use tiny::{Tensors, convert_to, fixtures, options, read_safetensors};

/// A GGUF file in memory.
struct Gguf {
    header: Header,
    bytes: Vec<u8>,
}

impl Gguf {
    fn open(path: &Path) -> Gguf {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        match Header::parse(&bytes, Some(bytes.len() as u64)) {
            Ok(Parsed::Complete(header)) => Gguf { header, bytes },
            other => panic!("{}: {other:?}", path.display()),
        }
    }

    fn fixture(name: &str) -> Gguf {
        Gguf::open(&fixtures().join("tiny_gguf").join(name))
    }

    fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self
            .header
            .tensors
            .iter()
            .map(|tensor| tensor.name.as_str())
            .collect();
        names.sort_unstable();
        names
    }

    fn data(&self, name: &str) -> &[u8] {
        let tensor = self.header.tensor(name).unwrap();
        &self.bytes[tensor.offset as usize..][..tensor.n_bytes as usize]
    }

    fn kind(&self, name: &str) -> TensorType {
        self.header.tensor(name).unwrap().tensor_type
    }

    fn values(&self, name: &str) -> Vec<f32> {
        let tensor = self.header.tensor(name).unwrap();
        let mut values = vec![0.0; tensor.n_elements()];
        gguf::dequantize(tensor.tensor_type, self.data(name), &mut values).unwrap();
        values
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// llama.cpp's name of a published text tensor.
fn text_name(name: &str) -> Option<String> {
    match name {
        "model.embed_tokens.weight" => return Some("token_embd.weight".to_owned()),
        "model.norm.weight" => return Some("output_norm.weight".to_owned()),
        _ => {}
    }
    let rest = name.strip_prefix("model.layers.")?;
    let rest = [
        (".input_layernorm.", ".attn_norm."),
        (".post_attention_layernorm.", ".ffn_norm."),
        (".self_attn.o_proj.", ".attn_output."),
        (".self_attn.q_proj.", ".attn_q."),
        (".self_attn.k_proj.", ".attn_k."),
        (".self_attn.v_proj.", ".attn_v."),
        (".mlp.gate_proj.", ".ffn_gate."),
        (".mlp.up_proj.", ".ffn_up."),
        (".mlp.down_proj.", ".ffn_down."),
    ]
    .iter()
    .fold(rest.to_owned(), |name, (from, to)| name.replace(from, to));
    Some(format!("blk.{rest}"))
}

fn published() -> Tensors {
    let mut tensors = read_safetensors(&fixtures().join("tiny/model-00001-of-00002.safetensors"));
    tensors.extend(read_safetensors(
        &fixtures().join("tiny/model-00002-of-00002.safetensors"),
    ));
    tensors
}

#[test]
fn an_f32_model_holds_the_published_weights_bit_for_bit() {
    let room = tempfile::tempdir().unwrap();
    convert_to(room.path(), Dtype::F32, Dtype::F32);
    let text = Gguf::open(&room.path().join("model/text-00001-of-00001.gguf"));
    let projector = Gguf::open(&room.path().join("model/projector.gguf"));
    let mut n_compared = 0;
    for (name, tensor) in published() {
        let (file, own_name) = match text_name(&name) {
            Some(own_name) => (&text, own_name),
            None if name.starts_with("multi_vector_projector.") => (&projector, name.clone()),
            None => continue,
        };
        assert_eq!(file.kind(&own_name), TensorType::F32, "{name}");
        assert_eq!(
            file.header.tensor(&own_name).unwrap().shape,
            tensor.shape,
            "{name}"
        );
        assert_eq!(
            bits(&file.values(&own_name)),
            bits(&tensor.values()),
            "{name}"
        );
        n_compared += 1;
    }
    assert_eq!(n_compared, 50 + 2);
    assert_eq!(text.header.tensors.len(), 50);
}

#[test]
fn the_projector_file_holds_the_published_adapters_of_every_task() {
    let room = tempfile::tempdir().unwrap();
    convert_to(room.path(), Dtype::F32, Dtype::F32);
    let projector = Gguf::open(&room.path().join("model/projector.gguf"));
    let adapters = read_safetensors(&fixtures().join("tiny/adapters/adapter_model.safetensors"));
    for task in ["retrieval", "text-matching", "code"] {
        for (letter, own) in [("A", "lora_a"), ("B", "lora_b")] {
            let name =
                format!("base_model.model.multi_vector_projector.lora_{letter}.{task}.weight");
            let own_name = format!("multi_vector_projector.{own}.{task}");
            assert_eq!(
                bits(&projector.values(&own_name)),
                bits(&adapters[&name].values()),
                "{name}"
            );
        }
    }
    assert_eq!(projector.header.tensors.len(), 2 + 6);
    assert_eq!(
        projector
            .header
            .metadata
            .f32("jina.projector.lora.alpha")
            .unwrap(),
        8.0
    );
    assert_eq!(
        projector
            .header
            .metadata
            .str("general.architecture")
            .unwrap(),
        "jina-v4-projector"
    );
}

#[test]
fn a_q4_0_model_has_the_bytes_that_ggml_makes_of_the_same_weights() {
    let room = tempfile::tempdir().unwrap();
    convert_to(room.path(), Dtype::Q4_0, Dtype::Q8_0);
    let own = Gguf::open(&room.path().join("model/text-00001-of-00001.gguf"));
    let reference = Gguf::fixture("tiny-jina-v4-a-base-Q4_0.gguf");
    assert_eq!(own.names(), reference.names());
    for name in own.names() {
        assert_eq!(own.kind(name), reference.kind(name), "{name}");
        assert!(own.data(name) == reference.data(name), "{name}");
    }
}

#[test]
fn text_metadata_equals_that_of_the_reference_file() {
    let room = tempfile::tempdir().unwrap();
    convert_to(room.path(), Dtype::Q4_0, Dtype::Q8_0);
    let own = Gguf::open(&room.path().join("model/text-00001-of-00001.gguf"))
        .header
        .metadata;
    let reference = Gguf::fixture("tiny-jina-v4-a-base-Q4_0.gguf")
        .header
        .metadata;
    for (key, value) in reference.iter().filter(|(key, _)| *key != "general.name") {
        assert_eq!(own.get(key), Some(value), "{key}");
    }
    assert_eq!(own.u32s("jina.matryoshka_dims").unwrap(), [16, 32, 64, 128]);
    assert_eq!(own.u32("jina.max_length").unwrap(), 32768);
    assert_eq!(own.str("general.name").unwrap(), "tiny");
}

#[test]
fn adapters_equal_the_reference_files() {
    let room = tempfile::tempdir().unwrap();
    convert_to(room.path(), Dtype::F32, Dtype::F32);
    for task in ["retrieval", "text-matching", "code"] {
        let own = Gguf::open(&room.path().join(format!("model/adapter-{task}.gguf")));
        let reference = Gguf::fixture(&format!("tiny-jina-v4-a-lora-{task}-F32.gguf"));
        assert_eq!(own.names(), reference.names());
        for name in own.names() {
            assert_eq!(
                own.header.tensor(name).unwrap().shape,
                reference.header.tensor(name).unwrap().shape
            );
            assert!(own.data(name) == reference.data(name), "{task} {name}");
        }
        for (key, value) in reference
            .header
            .metadata
            .iter()
            .filter(|(key, _)| *key != "general.name")
        {
            assert_eq!(own.header.metadata.get(key), Some(value), "{key}");
        }
    }
}

#[test]
fn adapters_of_other_types_are_f16() {
    let room = tempfile::tempdir().unwrap();
    convert_to(room.path(), Dtype::Q8_0, Dtype::Q8_0);
    let own = Gguf::open(&room.path().join("model/adapter-code.gguf"));
    let reference = Gguf::fixture("tiny-jina-v4-a-lora-code-F32.gguf");
    for name in own.names() {
        let rounded: Vec<_> = reference
            .values(name)
            .iter()
            .map(|value| half::f16::from_f32(*value).to_f32())
            .collect();
        assert_eq!(own.kind(name), TensorType::F16);
        assert_eq!(bits(&own.values(name)), bits(&rounded), "{name}");
    }
}

#[test]
fn the_vision_tower_equals_the_reference_file_in_f32_and_bf16() {
    let reference = Gguf::fixture("mmproj-tiny-jina-v4-a-BF16.gguf");
    for dtype in [Dtype::F32, Dtype::Bf16] {
        let room = tempfile::tempdir().unwrap();
        convert_to(room.path(), Dtype::F16, dtype);
        let own = Gguf::open(&room.path().join("model/vision.gguf"));
        assert_eq!(own.names(), reference.names());
        for name in own.names() {
            assert_eq!(
                own.header.tensor(name).unwrap().shape,
                reference.header.tensor(name).unwrap().shape,
                "{name}"
            );
            assert_eq!(
                bits(&own.values(name)),
                bits(&reference.values(name)),
                "{name}"
            );
        }
        for name in ["v.patch_embd.weight", "v.patch_embd.weight.1"] {
            assert_eq!(own.kind(name), TensorType::F32);
        }
        for (key, value) in reference.header.metadata.iter() {
            if !["general.name", "general.file_type"].contains(&key) {
                assert_eq!(own.header.metadata.get(key), Some(value), "{key}");
            }
        }
        assert_eq!(
            own.header.metadata.u32("clip.vision.window_size").unwrap(),
            112
        );
        assert_eq!(
            own.header
                .metadata
                .u32s("clip.vision.fullatt_block_indexes")
                .unwrap(),
            [1, 3]
        );
        assert_eq!(
            own.header
                .metadata
                .u32("clip.vision.image_min_pixels")
                .unwrap(),
            3136
        );
        assert_eq!(
            own.header
                .metadata
                .u32("clip.vision.image_max_pixels")
                .unwrap(),
            602_112
        );
        assert_eq!(
            own.header
                .metadata
                .u32("clip.vision.spatial_merge_size")
                .unwrap(),
            2
        );
        assert_eq!(
            own.header
                .metadata
                .u32("clip.vision.temporal_patch_size")
                .unwrap(),
            2
        );
    }
}

#[test]
fn rows_that_are_not_whole_blocks_fall_back_to_f16_and_vectors_stay_f32() {
    let room = tempfile::tempdir().unwrap();
    convert_to(room.path(), Dtype::Q4_0, Dtype::Q8_0);
    let vision = Gguf::open(&room.path().join("model/vision.gguf"));
    // The rows of this one have 108 elements.
    assert_eq!(vision.kind("v.blk.0.ffn_down.weight"), TensorType::F16);
    assert_eq!(vision.kind("v.blk.0.ffn_up.weight"), TensorType::Q8_0);
    assert_eq!(vision.kind("v.blk.0.ffn_down.bias"), TensorType::F32);
    assert_eq!(vision.kind("v.post_ln.weight"), TensorType::F32);
}

#[test]
fn every_type_is_what_the_quantiser_makes_of_the_published_weights() {
    let weights = published();
    for dtype in [Dtype::F16, Dtype::Bf16, Dtype::Q8_0, Dtype::Q4_0] {
        let room = tempfile::tempdir().unwrap();
        convert_to(room.path(), dtype, Dtype::Q8_0);
        let own = Gguf::open(&room.path().join("model/text-00001-of-00001.gguf"));
        for name in [
            "model.embed_tokens.weight",
            "model.layers.2.mlp.down_proj.weight",
        ] {
            let own_name = text_name(name).unwrap();
            let mut expected = Vec::new();
            gguf::quantize(own.kind(&own_name), &weights[name].values(), &mut expected).unwrap();
            assert_eq!(own.kind(&own_name).name().to_lowercase(), dtype.as_str());
            assert!(own.data(&own_name) == expected, "{name} {}", dtype.as_str());
        }
    }
}

#[test]
fn a_text_model_cut_into_parts_is_the_same_model() {
    let room = tempfile::tempdir().unwrap();
    convert_to(room.path(), Dtype::Q8_0, Dtype::Q8_0);
    let whole = Gguf::open(&room.path().join("model/text-00001-of-00001.gguf"));
    let mut cut = options(
        &fixtures().join("tiny"),
        &room.path().join("cut"),
        Dtype::Q8_0,
        Dtype::Q8_0,
    );
    cut.split_bytes = 200_000;
    let manifest = convert(&cut, &mut |_| ControlFlow::Continue(())).unwrap();
    let parts: Vec<_> = manifest
        .files
        .iter()
        .filter(|file| file.role == Role::Text)
        .map(|file| Gguf::open(&cut.to.join(&file.path)))
        .collect();
    assert!(parts.len() > 2);
    split::check_parts(&parts.iter().map(|part| &part.header).collect::<Vec<_>>()).unwrap();
    for part in &parts[1..] {
        assert_eq!(
            part.header.metadata.len(),
            3,
            "later parts carry only their place"
        );
    }
    for part in &parts {
        let n_bytes: u64 = part
            .header
            .tensors
            .iter()
            .map(|tensor| tensor.n_bytes)
            .sum();
        assert!(n_bytes <= cut.split_bytes || part.header.tensors.len() == 1);
        for name in part.names() {
            assert!(part.data(name) == whole.data(name), "{name}");
        }
    }
    assert_eq!(
        parts
            .iter()
            .map(|part| part.header.tensors.len())
            .sum::<usize>(),
        whole.header.tensors.len()
    );
    assert_eq!(
        parts[0].header.metadata.get("split.no"),
        Some(&Value::U16(0))
    );
}

#[test]
fn model_json_tells_the_hash_of_every_piece_that_a_browser_verifies() {
    let room = tempfile::tempdir().unwrap();
    let manifest = convert_to(room.path(), Dtype::F32, Dtype::F32);
    for file in &manifest.files {
        let bytes = fs::read(room.path().join("model").join(&file.path)).unwrap();
        let pieces = file.pieces.as_ref().unwrap();
        assert_eq!(pieces.n_bytes, 512 << 10);
        let hashes: Vec<String> = bytes
            .chunks(pieces.n_bytes as usize)
            .map(|piece| {
                let hash = Sha256::digest(piece);
                hash.iter().map(|byte| format!("{byte:02x}")).collect()
            })
            .collect();
        assert_eq!(pieces.sha256, hashes, "{}", file.path);
    }
}

#[test]
fn model_json_tells_the_truth_about_every_file() {
    let room = tempfile::tempdir().unwrap();
    let returned = convert_to(room.path(), Dtype::Q4_0, Dtype::Q8_0);
    let directory = room.path().join("model");
    let manifest = Manifest::parse(&fs::read(directory.join("model.json")).unwrap()).unwrap();
    assert_eq!(manifest, returned);
    let mut hashes = String::new();
    for file in &manifest.files {
        let bytes = fs::read(directory.join(&file.path)).unwrap();
        let hash: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            (bytes.len() as u64, &hash),
            (file.n_bytes, &file.sha256),
            "{}",
            file.path
        );
        hashes += &hash;
    }
    let digest: String = Sha256::digest(hashes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(manifest.space, format!("tiny/q4_0/q8_0/{}", &digest[..12]));
    assert_eq!(
        manifest.config.tasks,
        ["retrieval", "text-matching", "code"]
    );
    assert_eq!(manifest.source, "tiny-random-jina-v4-a");
    let mut listed: Vec<_> = manifest
        .files
        .iter()
        .map(|file| file.path.clone())
        .collect();
    listed.push("model.json".to_owned());
    listed.sort();
    let mut found: Vec<_> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(found, listed);
    let tasks: BTreeMap<_, _> = manifest
        .files
        .iter()
        .filter_map(|file| Some((file.task.clone()?, &file.path)))
        .collect();
    assert_eq!(tasks["text-matching"], "adapter-text-matching.gguf");
}

#[test]
fn two_conversions_of_the_same_model_are_the_same_space() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert_eq!(
        convert_to(first.path(), Dtype::F16, Dtype::F16),
        convert_to(second.path(), Dtype::F16, Dtype::F16)
    );
}

#[test]
fn progress_runs_from_nothing_to_everything() {
    let room = tempfile::tempdir().unwrap();
    let mut seen: Vec<(String, u64, u64)> = Vec::new();
    let options = options(
        &fixtures().join("tiny"),
        &room.path().join("model"),
        Dtype::F16,
        Dtype::F16,
    );
    let manifest = convert(&options, &mut |progress: Progress| {
        seen.push((
            progress.file.to_owned(),
            progress.done_bytes,
            progress.total_bytes,
        ));
        ControlFlow::Continue(())
    })
    .unwrap();
    let total: u64 = manifest.files.iter().map(|file| file.n_bytes).sum();
    assert_eq!(seen[0], ("text-00001-of-00001.gguf".to_owned(), 0, total));
    assert!(seen.is_sorted_by_key(|(_, done, _)| *done));
    assert_eq!(seen.last().unwrap().1, total);
}

#[test]
fn the_final_name_and_model_json_appear_only_when_every_file_is_written() {
    let room = tempfile::tempdir().unwrap();
    let (to, partial) = (room.path().join("model"), room.path().join("model.partial"));
    let mut n_calls = 0;
    let options = options(&fixtures().join("tiny"), &to, Dtype::F16, Dtype::F16);
    convert(&options, &mut |_| {
        n_calls += 1;
        assert!(!to.exists() && !partial.join("model.json").exists());
        assert!(partial.is_dir());
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(n_calls > 100 && to.join("model.json").is_file() && !partial.exists());
}
