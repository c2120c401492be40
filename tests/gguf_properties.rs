//! What must hold for every input: proptest for generated ones, and every prefix of real files.

use std::path::Path;

use jina_embeddings_web::gguf::{
    Error, Header, Metadata, Parsed, Strings, TensorSpec, TensorType, Value, Writer, dequantize,
    quantize, split,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn fixture(path: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn complete(bytes: &[u8]) -> Header {
    match Header::parse(bytes, Some(bytes.len() as u64)).unwrap() {
        Parsed::Complete(header) => header,
        Parsed::NeedMore { at_least_bytes } => {
            panic!("{at_least_bytes} bytes wanted of {}", bytes.len())
        }
    }
}

/// Writes a file whose tensors hold the bytes 0, 1, 2, ... over and over.
fn write(metadata: &Metadata, tensors: &[TensorSpec]) -> Result<Vec<u8>, Error> {
    let writer = Writer::new(metadata, tensors)?;
    let n_bytes = writer.n_bytes();
    let mut stream = writer.begin(Vec::new())?;
    for tensor in tensors {
        let data: Vec<u8> = (0..tensor.n_bytes()?).map(|index| index as u8).collect();
        for chunk in data.chunks(1000) {
            stream.write(&tensor.name, chunk)?;
        }
    }
    let bytes = stream.finish()?;
    assert_eq!(bytes.len() as u64, n_bytes);
    Ok(bytes)
}

#[test]
fn a_file_truncated_anywhere_is_an_error_and_a_prefix_of_it_wants_more() {
    let mut metadata = Metadata::new();
    metadata.insert("general.architecture", "qwen2vl").unwrap();
    metadata
        .insert("tokens", ["a", "", "Ġthe"].into_iter().collect::<Strings>())
        .unwrap();
    metadata
        .insert("sections", vec![16_i32, 24, 24, 0])
        .unwrap();
    metadata.insert("epsilon", 1e-6_f32).unwrap();
    metadata.insert("flag", true).unwrap();
    let tensors = [
        TensorSpec {
            name: "embd".to_owned(),
            shape: vec![3, 64],
            tensor_type: TensorType::Q4_0,
        },
        TensorSpec {
            name: "norm".to_owned(),
            shape: vec![5],
            tensor_type: TensorType::F32,
        },
    ];
    let bytes = write(&metadata, &tensors).unwrap();
    let header = complete(&bytes);
    // The last bytes are padding, which llama.cpp's own writer adds and which no reader needs.
    for n_bytes in 0..header.n_bytes as usize {
        let prefix = &bytes[..n_bytes];
        Header::parse(prefix, Some(n_bytes as u64)).expect_err("a truncated file was accepted");
        match Header::parse(prefix, Some(bytes.len() as u64)).unwrap() {
            Parsed::NeedMore { at_least_bytes } => {
                assert!(at_least_bytes > n_bytes as u64);
                assert!(
                    at_least_bytes <= header.data_offset,
                    "{at_least_bytes} are more than the header has"
                );
            }
            Parsed::Complete(found) => assert_eq!(found, header),
        }
    }
}

#[test]
fn a_real_file_truncated_at_many_places_is_an_error_and_a_prefix_of_it_wants_more() {
    let bytes = fixture("tiny_gguf/tiny-jina-v4-a-lora-code-F32.gguf");
    let header = complete(&bytes);
    // Every byte of the header and every 997th of the data.
    let data = (header.data_offset as usize..header.n_bytes as usize).step_by(997);
    for n_bytes in (0..header.data_offset as usize).chain(data) {
        let prefix = &bytes[..n_bytes];
        Header::parse(prefix, Some(n_bytes as u64)).expect_err("a truncated file was accepted");
        match Header::parse(prefix, None).unwrap() {
            Parsed::NeedMore { at_least_bytes } => {
                assert!(at_least_bytes > n_bytes as u64 && at_least_bytes <= header.data_offset);
            }
            Parsed::Complete(found) => assert_eq!(found, header),
        }
    }
}

#[test]
fn a_prefix_that_doubles_reaches_the_header_in_a_few_attempts() {
    let bytes = fixture("tiny_gguf/tiny-jina-v4-a-base-Q4_0.gguf");
    let (mut n_bytes, mut attempts) = (0_usize, 0);
    let header = loop {
        attempts += 1;
        match Header::parse(&bytes[..n_bytes], Some(bytes.len() as u64)).unwrap() {
            Parsed::Complete(header) => break header,
            Parsed::NeedMore { at_least_bytes } => {
                n_bytes = (at_least_bytes as usize).max(n_bytes * 2).min(bytes.len());
            }
        }
    };
    assert!(attempts <= 16, "{attempts} attempts");
    assert_eq!(
        header.metadata.strs("tokenizer.ggml.tokens").unwrap().len(),
        4160
    );
    assert_eq!(
        header
            .metadata
            .strs("tokenizer.ggml.merges")
            .unwrap()
            .get(2),
        Some("i n")
    );
    assert_eq!(header.metadata.u32("qwen2vl.block_count").unwrap(), 4);
    assert_eq!(header.metadata.f32("qwen2vl.rope.freq_base").unwrap(), 1e6);
    assert!(
        !header
            .metadata
            .bool("tokenizer.ggml.add_bos_token")
            .unwrap()
    );
    assert_eq!(
        header
            .metadata
            .u32s("qwen2vl.rope.dimension_sections")
            .unwrap(),
        [4, 6, 6, 0]
    );
}

#[test]
fn a_real_file_written_again_is_the_same_file() {
    // The Python package gguf wrote it; same keys, same order, same alignment: same bytes.
    let bytes = fixture("tiny_gguf/tiny-jina-v4-a-base-Q4_0.gguf");
    let header = complete(&bytes);
    let tensors: Vec<_> = header
        .tensors
        .iter()
        .map(|tensor| TensorSpec {
            name: tensor.name.clone(),
            shape: tensor.shape.clone(),
            tensor_type: tensor.tensor_type,
        })
        .collect();
    let mut stream = Writer::new(&header.metadata, &tensors)
        .unwrap()
        .begin(Vec::new())
        .unwrap();
    for tensor in &header.tensors {
        let data = &bytes[tensor.offset as usize..][..tensor.n_bytes as usize];
        stream.write(&tensor.name, data).unwrap();
    }
    assert!(stream.finish().unwrap() == bytes);
}

#[test]
fn a_key_that_is_taken_out_leaves_the_others_in_their_order() {
    let mut metadata = Metadata::new();
    for (key, value) in [("a", 1_u32), ("b", 2), ("c", 3)] {
        metadata.insert(key, value).unwrap();
    }
    assert_eq!(metadata.remove("b"), Some(Value::U32(2)));
    assert_eq!(metadata.remove("b"), None);
    assert_eq!(metadata.u32("c").unwrap(), 3);
    metadata.insert("b", 4_u32).unwrap();
    let keys: Vec<&str> = metadata.iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["a", "c", "b"]);
    assert_eq!(metadata.u32("b").unwrap(), 4);
}

#[test]
fn the_writer_takes_tensors_only_in_order_and_whole() {
    let spec = |name: &str| TensorSpec {
        name: name.to_owned(),
        shape: vec![2],
        tensor_type: TensorType::F32,
    };
    let begin = || {
        Writer::new(&Metadata::new(), &[spec("a"), spec("b")])
            .unwrap()
            .begin(Vec::new())
            .unwrap()
    };
    let message = |result: Result<(), Error>| result.unwrap_err().to_string();
    assert!(message(begin().write("b", &[0; 8])).contains("tensor `a`"));
    assert!(message(begin().write("a", &[0; 9])).contains("at most 8 bytes"));
    let mut stream = begin();
    stream.write("a", &[0; 8]).unwrap();
    assert!(message(stream.write("a", &[0; 1])).contains("tensor `b`"));
    assert!(
        stream
            .finish()
            .unwrap_err()
            .to_string()
            .contains("8 more bytes of tensor `b`")
    );
}

#[test]
fn the_writer_refuses_what_the_reader_would_refuse() {
    let spec = |name: &str, shape: &[usize], tensor_type| TensorSpec {
        name: name.to_owned(),
        shape: shape.to_vec(),
        tensor_type,
    };
    let error = |tensors: &[TensorSpec]| Writer::new(&Metadata::new(), tensors).unwrap_err();
    assert!(matches!(
        error(&[spec("a", &[], TensorType::F32)]),
        Error::BadDimensionCount { .. }
    ));
    assert!(matches!(
        error(&[spec("a", &[0], TensorType::F32)]),
        Error::EmptyTensor { .. }
    ));
    assert!(matches!(
        error(&[spec("a", &[2, 33], TensorType::Q8_0)]),
        Error::RowNotBlocks { .. }
    ));
    assert!(matches!(
        error(&[spec("", &[1], TensorType::F32)]),
        Error::EmptyName { .. }
    ));
    assert!(matches!(
        error(&[spec(&"x".repeat(64), &[1], TensorType::F32)]),
        Error::NameTooLong { .. }
    ));
    let twice = [
        spec("a", &[1], TensorType::F32),
        spec("a", &[1], TensorType::F32),
    ];
    assert!(matches!(error(&twice), Error::DuplicateTensor { .. }));
}

#[test]
fn conversions_refuse_lengths_that_do_not_agree() {
    let error = dequantize(TensorType::Q4_0, &[0; 18], &mut [0.0; 64]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "64 elements of Q4_0 are 36 bytes, but 18 bytes were given"
    );
    let error = dequantize(TensorType::Q6_K, &[0; 210], &mut [0.0; 32]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "32 elements are not a whole number of Q6_K blocks of 256"
    );
    let error = quantize(TensorType::Q8_0, &[0.0; 33], &mut Vec::new()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "33 elements are not a whole number of Q8_0 blocks of 32"
    );
    assert!(matches!(
        quantize(TensorType::Q3_K, &[0.0; 256], &mut Vec::new()),
        Err(Error::CannotQuantize { .. })
    ));
}

#[test]
fn quantisers_refuse_values_they_cannot_hold_and_leave_the_output_alone() {
    for kind in [
        TensorType::F16,
        TensorType::BF16,
        TensorType::Q8_0,
        TensorType::Q4_0,
        TensorType::Q4_1,
        TensorType::Q5_0,
        TensorType::Q5_1,
        TensorType::Q4_K,
        TensorType::Q5_K,
        TensorType::Q6_K,
    ] {
        for bad in [
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            -f32::MAX,
        ] {
            let mut values = [0.5; 256];
            values[40] = bad;
            let mut out = vec![1, 2, 3];
            match quantize(kind, &values, &mut out) {
                Err(Error::NotRepresentable {
                    at_element, value, ..
                }) => {
                    assert_eq!(
                        (at_element, value.to_bits()),
                        (40, bad.to_bits()),
                        "{kind} {bad}"
                    );
                    assert_eq!(out, [1, 2, 3]);
                }
                other => panic!("{kind} {bad}: {other:?}"),
            }
        }
    }
}

#[test]
fn parts_of_a_split_model_must_belong_together() {
    let part = |number: u32, count: u32, n_tensors: u32, names: &[&str]| {
        let mut metadata = Metadata::new();
        split::Split {
            number,
            count,
            n_tensors,
        }
        .insert_into(&mut metadata)
        .unwrap();
        let tensors: Vec<_> = names
            .iter()
            .map(|name| TensorSpec {
                name: (*name).to_owned(),
                shape: vec![1],
                tensor_type: TensorType::F32,
            })
            .collect();
        complete(&write(&metadata, &tensors).unwrap())
    };
    let (first, second) = (part(0, 2, 3, &["a", "b"]), part(1, 2, 3, &["c"]));
    split::check_parts(&[&first, &second]).unwrap();
    let message = |parts: &[&Header]| split::check_parts(parts).unwrap_err().to_string();
    assert!(message(&[&first]).contains("`split.count` 2; 1"));
    assert!(message(&[&second, &first]).contains("part 0 of a split model has `split.no` 1; 0"));
    assert!(message(&[&first, &first]).contains("`split.no` 0; 1"));
    assert!(message(&[&first, &part(1, 2, 4, &["c"])]).contains("`split.tensors.count` 4; 3"));
    assert!(message(&[&first, &part(1, 2, 3, &["b"])]).contains("tensor `b` occurs twice"));
    assert!(
        message(&[&part(0, 2, 9, &["a"]), &part(1, 2, 9, &["c"])])
            .contains("`split.tensors.count` 9; the 2 tensors")
    );
    assert!(message(&[&part(2, 2, 1, &["a"])]).contains("`split.no` 2; a number below"));
    let whole = complete(&write(&Metadata::new(), &[]).unwrap());
    split::check_parts(&[&whole]).unwrap();
}

#[test]
fn part_names_are_those_of_llama_cpp() {
    assert_eq!(split::part_name("text", 0, 3), "text-00001-of-00003.gguf");
    assert_eq!(
        split::parse_part_name("a-b-00002-of-00003.gguf"),
        Some(("a-b", 1, 3))
    );
    for name in [
        "text.gguf",
        "text-00004-of-00003.gguf",
        "text-00000-of-00003.gguf",
        "text-1-of-3.gguf",
        "text-00001-of-00003.bin",
    ] {
        assert_eq!(split::parse_part_name(name), None, "{name}");
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u8>().prop_map(Value::from),
        any::<i16>().prop_map(Value::from),
        any::<u32>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // NaN is not equal to itself, so only ordinary numbers can be compared.
        (-1e30_f32..1e30).prop_map(Value::from),
        (-1e300_f64..1e300).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        vec(any::<i32>(), 0..9).prop_map(Value::from),
        vec(-1e9_f32..1e9, 0..9).prop_map(Value::from),
        vec(any::<bool>(), 0..9).prop_map(Value::from),
        vec(".{0,6}", 0..9).prop_map(|items| Value::from(items.into_iter().collect::<Strings>())),
    ]
}

fn any_tensor() -> impl Strategy<Value = (Vec<usize>, TensorType)> {
    (
        vec(1_usize..4, 0..3),
        1_usize..3,
        prop::sample::select(TensorType::ALL),
    )
        .prop_map(|(mut shape, n_blocks, kind)| {
            shape.push(n_blocks * kind.block_elements());
            (shape, kind)
        })
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..300), file_bytes in any::<Option<u64>>()) {
        let _ = Header::parse(&bytes, file_bytes);
    }

    #[test]
    fn arbitrary_bytes_after_a_sound_beginning_never_panic(
        n_tensors in 0_u64..4, n_keys in 0_u64..4, rest in vec(prop_oneof![Just(0_u8), 0_u8..16, any::<u8>()], 0..300),
    ) {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend(n_tensors.to_le_bytes());
        bytes.extend(n_keys.to_le_bytes());
        bytes.extend(rest);
        let _ = Header::parse(&bytes, Some(bytes.len() as u64));
        let _ = Header::parse(&bytes, None);
    }

    #[test]
    fn a_real_header_with_damaged_bytes_never_panics(at in vec((0_usize..5_000, any::<u8>()), 1..6)) {
        let mut bytes = fixture("tiny_gguf/tiny-jina-v4-a-lora-code-F32.gguf");
        for (at, byte) in at {
            bytes[at] = byte;
        }
        let _ = Header::parse(&bytes[..8192], Some(bytes.len() as u64));
    }

    #[test]
    fn what_is_written_is_read_back(
        values in vec(any_value(), 0..8),
        tensors in vec(any_tensor(), 0..6),
    ) {
        let mut metadata = Metadata::new();
        for (index, value) in values.into_iter().enumerate() {
            metadata.insert(&format!("key.{index}"), value).unwrap();
        }
        let tensors: Vec<_> = tensors
            .into_iter()
            .enumerate()
            .map(|(index, (shape, tensor_type))| TensorSpec { name: format!("tensor.{index}"), shape, tensor_type })
            .collect();
        let bytes = write(&metadata, &tensors).unwrap();
        let header = complete(&bytes);
        prop_assert_eq!(&header.metadata, &metadata);
        prop_assert_eq!(header.tensors.len(), tensors.len());
        for (found, spec) in header.tensors.iter().zip(&tensors) {
            prop_assert_eq!((&found.name, &found.shape, found.tensor_type), (&spec.name, &spec.shape, spec.tensor_type));
            let data = &bytes[found.offset as usize..][..found.n_bytes as usize];
            prop_assert!(data.iter().enumerate().all(|(index, byte)| *byte == index as u8));
        }
    }

    #[test]
    fn quantised_values_stay_within_their_step(values in vec(-100.0_f32..100.0, 64)) {
        // Half a step of the block plus what the f16 scale and minimum lose (2^-11 of each).
        let steps = [(TensorType::Q8_0, 127.0, 0.5), (TensorType::Q4_1, 15.0, 0.5), (TensorType::Q5_1, 31.0, 0.5),
            // These reach -n .. n - 1 steps, so the far end may be one whole step away.
            (TensorType::Q4_0, 8.0, 1.0), (TensorType::Q5_0, 16.0, 1.0)];
        for (kind, n_steps, within) in steps {
            let mut bytes = Vec::new();
            quantize(kind, &values, &mut bytes).unwrap();
            let mut back = vec![0.0; values.len()];
            dequantize(kind, &bytes, &mut back).unwrap();
            for (block, back) in values.chunks(32).zip(back.chunks(32)) {
                let largest = block.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
                let least = block.iter().copied().fold(f32::INFINITY, f32::min);
                let most = block.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let range = if matches!(kind, TensorType::Q4_1 | TensorType::Q5_1) { most - least } else { largest };
                let bound = within * range / n_steps + (range + largest) / 2048.0 + 1e-6;
                for (x, y) in block.iter().zip(back) {
                    prop_assert!((x - y).abs() <= bound, "{kind}: {x} became {y}, bound {bound}");
                }
            }
        }
    }

    #[test]
    fn dequantising_arbitrary_bytes_never_panics(bytes in vec(any::<u8>(), 0..600), n_elements in 0_usize..600) {
        let mut out = vec![0.0; n_elements];
        for kind in TensorType::ALL {
            let _ = dequantize(*kind, &bytes, &mut out);
            let n_blocks = bytes.len() / kind.block_bytes();
            let mut out = vec![0.0; n_blocks * kind.block_elements()];
            dequantize(*kind, &bytes[..n_blocks * kind.block_bytes()], &mut out).unwrap();
        }
    }
}
