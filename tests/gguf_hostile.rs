//! Files built to do harm, one failure each. Every one must end in the error that names the thing.

use jina_embeddings_web::Code;
use jina_embeddings_web::gguf::{Error, Header, MAX_HEADER_BYTES, Metadata, Parsed, Value};

/// Builds GGUF files byte by byte, with no regard for the rules.
#[derive(Clone, Default)]
struct File {
    n_tensors: u64,
    n_keys: u64,
    keys: Vec<u8>,
    tensors: Vec<u8>,
    data: Vec<u8>,
}

fn string(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text].concat()
}

impl File {
    fn key(mut self, name: &str, type_id: u32, value: &[u8]) -> File {
        self.n_keys += 1;
        self.keys.extend(string(name.as_bytes()));
        self.keys.extend(type_id.to_le_bytes());
        self.keys.extend(value);
        self
    }

    /// `dimensions` as in the file: innermost first.
    fn tensor(mut self, name: &str, dimensions: &[u64], type_id: u32, offset: u64) -> File {
        self.n_tensors += 1;
        self.tensors.extend(string(name.as_bytes()));
        self.tensors.extend((dimensions.len() as u32).to_le_bytes());
        for n in dimensions {
            self.tensors.extend(n.to_le_bytes());
        }
        self.tensors.extend(type_id.to_le_bytes());
        self.tensors.extend(offset.to_le_bytes());
        self
    }

    fn data(mut self, n_bytes: usize) -> File {
        self.data.resize(n_bytes, 0);
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3_u32.to_le_bytes());
        bytes.extend(self.n_tensors.to_le_bytes());
        bytes.extend(self.n_keys.to_le_bytes());
        bytes.extend(&self.keys);
        bytes.extend(&self.tensors);
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.extend(&self.data);
        bytes
    }

    fn error(&self) -> Error {
        parse_error(&self.bytes())
    }
}

fn parse_error(bytes: &[u8]) -> Error {
    match Header::parse(bytes, Some(bytes.len() as u64)) {
        Err(error) => error,
        Ok(parsed) => panic!("accepted as {parsed:?}"),
    }
}

/// Asserts the variant, the words that its message must have, and the code.
macro_rules! assert_error {
    ($error:expr, $pattern:pat, $code:ident, $($word:expr),* $(,)?) => {{
        let error: Error = $error;
        assert!(matches!(error, $pattern), "{error:?}");
        let message = error.to_string();
        $(assert!(message.contains($word), "`{}` is not in: {message}", $word);)*
        assert_eq!(error.code(), Code::$code);
    }};
}

const F32: u32 = 0;
const Q4_0: u32 = 2;

fn sound() -> File {
    File::default()
        .key("general.architecture", 8, &string(b"qwen2vl"))
        .tensor("a", &[32, 2], Q4_0, 0)
        .tensor("b", &[3], F32, 64)
        .data(64 + 12)
}

#[test]
fn accepts_the_file_that_the_others_here_are_damaged_copies_of() {
    let bytes = sound().bytes();
    let Parsed::Complete(header) = Header::parse(&bytes, Some(bytes.len() as u64)).unwrap() else {
        panic!("incomplete");
    };
    assert_eq!(
        header.metadata.str("general.architecture").unwrap(),
        "qwen2vl"
    );
    assert_eq!(header.tensor("a").unwrap().shape, [2, 32]);
    assert_eq!(header.tensor("a").unwrap().n_bytes, 36);
    assert_eq!(header.tensor("b").unwrap().offset, header.data_offset + 64);
    assert_eq!(header.n_bytes, bytes.len() as u64);
}

#[test]
fn sorts_tensors_by_their_place_in_the_file() {
    let bytes = File::default()
        .tensor("late", &[8], F32, 32)
        .tensor("early", &[8], F32, 0)
        .data(64)
        .bytes();
    let Parsed::Complete(header) = Header::parse(&bytes, None).unwrap() else {
        panic!("incomplete")
    };
    let names: Vec<_> = header
        .tensors
        .iter()
        .map(|tensor| tensor.name.as_str())
        .collect();
    assert_eq!(names, ["early", "late"]);
}

#[test]
fn rejects_a_file_with_another_magic() {
    assert_error!(
        parse_error(b"GGML\x03\0\0\0........................"),
        Error::NotGguf { .. },
        ModelInvalid,
        "GGUF",
        "47, 47, 4d, 4c"
    );
}

#[test]
fn rejects_an_empty_file() {
    assert_error!(
        parse_error(b""),
        Error::Truncated { file_bytes: 0, .. },
        ModelInvalid,
        "magic",
        "0"
    );
}

#[test]
fn rejects_version_one_and_versions_to_come() {
    for version in [0_u32, 1, 4, 77] {
        let mut bytes = sound().bytes();
        bytes[4..8].copy_from_slice(&version.to_le_bytes());
        assert_error!(
            parse_error(&bytes),
            Error::UnsupportedVersion { .. },
            ModelUnsupported,
            &version.to_string()
        );
    }
}

#[test]
fn reads_version_two() {
    let mut bytes = sound().bytes();
    bytes[4..8].copy_from_slice(&2_u32.to_le_bytes());
    let Parsed::Complete(header) = Header::parse(&bytes, None).unwrap() else {
        panic!("incomplete")
    };
    assert_eq!(header.version, 2);
}

#[test]
fn says_that_a_file_is_big_endian() {
    let mut bytes = sound().bytes();
    bytes[4..8].copy_from_slice(&3_u32.to_be_bytes());
    assert_error!(
        parse_error(&bytes),
        Error::BigEndian { version: 3 },
        ModelUnsupported,
        "big-endian",
        "3"
    );
}

#[test]
fn rejects_a_tensor_count_that_the_file_cannot_hold() {
    for n_tensors in [3_000, u64::MAX / 33, u64::MAX] {
        let file = File {
            n_tensors,
            ..sound()
        };
        assert_error!(
            file.error(),
            Error::Truncated { .. },
            ModelInvalid,
            "tensors",
            &n_tensors.to_string()
        );
    }
}

#[test]
fn rejects_a_key_count_that_the_file_cannot_hold() {
    for n_keys in [3_000, u64::MAX / 14, u64::MAX] {
        let file = File { n_keys, ..sound() };
        assert_error!(
            file.error(),
            Error::Truncated { .. },
            ModelInvalid,
            "keys",
            &n_keys.to_string()
        );
    }
}

#[test]
fn rejects_absurd_counts_even_when_the_length_of_the_file_is_unknown() {
    let many_tensors = File {
        n_tensors: 1 << 40,
        ..sound()
    }
    .bytes();
    assert_error!(
        Header::parse(&many_tensors, None).unwrap_err(),
        Error::HeaderTooLarge { .. },
        ModelInvalid,
        "tensors"
    );
    let many_keys = File {
        n_keys: u64::MAX,
        ..sound()
    }
    .bytes();
    assert_error!(
        Header::parse(&many_keys, None).unwrap_err(),
        Error::HeaderTooLarge { .. },
        ModelInvalid,
        "keys"
    );
    let long = File::default()
        .key("k", 8, &(1_u64 << 50).to_le_bytes())
        .bytes();
    assert_error!(
        Header::parse(&long, None).unwrap_err(),
        Error::HeaderTooLarge { .. },
        ModelInvalid,
        "`k`"
    );
}

#[test]
fn rejects_a_header_beyond_the_cap_even_when_the_file_is_large_enough() {
    let claim = [
        &4_u32.to_le_bytes()[..],
        &(MAX_HEADER_BYTES / 4).to_le_bytes(),
    ]
    .concat();
    let bytes = File::default().key("k", 9, &claim).bytes();
    let error = Header::parse(&bytes, Some(1 << 40)).unwrap_err();
    assert_error!(
        error,
        Error::HeaderTooLarge { .. },
        ModelInvalid,
        "`k`",
        "67108864"
    );
}

#[test]
fn rejects_a_string_longer_than_the_file() {
    for n_bytes in [1_000, u64::MAX] {
        let file = File::default().key("general.name", 8, &n_bytes.to_le_bytes());
        assert_error!(
            file.error(),
            Error::Truncated { .. },
            ModelInvalid,
            "general.name"
        );
    }
}

#[test]
fn rejects_an_array_longer_than_the_file() {
    for (type_id, n_items) in [
        (4_u32, 1_000_u64),
        (12, u64::MAX),
        (8, u64::MAX / 8),
        (8, 100),
        (7, 1 << 60),
    ] {
        let file = File::default().key(
            "k",
            9,
            &[&type_id.to_le_bytes()[..], &n_items.to_le_bytes()].concat(),
        );
        assert_error!(
            file.error(),
            Error::Truncated { .. },
            ModelInvalid,
            "`k`",
            &n_items.to_string()
        );
    }
}

#[test]
fn rejects_an_array_of_arrays() {
    let file = File::default().key(
        "k",
        9,
        &[&9_u32.to_le_bytes()[..], &1_u64.to_le_bytes(), &[0; 64]].concat(),
    );
    assert_error!(
        file.error(),
        Error::NestedArray { .. },
        ModelUnsupported,
        "`k`"
    );
}

#[test]
fn rejects_a_value_type_outside_the_format() {
    assert_error!(
        File::default().key("k", 13, &[0; 8]).error(),
        Error::UnknownValueType { found: 13, .. },
        ModelInvalid,
        "`k`",
        "13"
    );
    let array = [&99_u32.to_le_bytes()[..], &1_u64.to_le_bytes(), &[0; 8]].concat();
    assert_error!(
        File::default().key("k", 9, &array).error(),
        Error::UnknownValueType { found: 99, .. },
        ModelInvalid,
        "`k`",
        "99"
    );
}

#[test]
fn rejects_a_boolean_that_is_neither_true_nor_false() {
    assert_error!(
        File::default().key("k", 7, &[2]).error(),
        Error::BadBool { found: 2, .. },
        ModelInvalid,
        "`k`",
        "2"
    );
    let array = [&7_u32.to_le_bytes()[..], &3_u64.to_le_bytes(), &[0, 1, 255]].concat();
    assert_error!(
        File::default().key("k", 9, &array).error(),
        Error::BadBool { found: 255, .. },
        ModelInvalid,
        "`k`",
        "255"
    );
}

#[test]
fn rejects_strings_that_are_not_utf8() {
    let value = File::default().key("k", 8, &string(b"ab\xff"));
    assert_error!(
        value.error(),
        Error::NotUtf8 { at_byte: 2, .. },
        ModelInvalid,
        "`k`"
    );
    let mut key = File {
        n_keys: 1,
        ..File::default()
    };
    key.keys = [&string(b"\xc0\x80")[..], &[0; 32]].concat();
    assert_error!(key.error(), Error::NotUtf8 { .. }, ModelInvalid, "key 0");
    let item = [
        &8_u32.to_le_bytes()[..],
        &2_u64.to_le_bytes(),
        &string(b"ok"),
        &string(b"\x80"),
    ]
    .concat();
    assert_error!(
        File::default().key("k", 9, &item).error(),
        Error::NotUtf8 { .. },
        ModelInvalid,
        "string 1",
        "`k`"
    );
}

#[test]
fn rejects_empty_and_endless_names() {
    assert_error!(
        File::default().key("", 7, &[1]).data(32).error(),
        Error::EmptyName { .. },
        ModelInvalid,
        "key 0"
    );
    assert_error!(
        sound().tensor("", &[1], F32, 128).data(256).error(),
        Error::EmptyName { .. },
        ModelInvalid,
        "tensor 2"
    );
    let long = "x".repeat(65_536);
    assert_error!(
        File::default().key(&long, 7, &[1]).error(),
        Error::NameTooLong { .. },
        ModelInvalid,
        "key 0",
        "65536",
        "65535"
    );
}

#[test]
fn rejects_a_key_that_occurs_twice() {
    let file = File::default().key("k", 7, &[1]).key("k", 7, &[1]).data(32);
    assert_error!(
        file.error(),
        Error::DuplicateKey { .. },
        ModelInvalid,
        "`k`"
    );
}

#[test]
fn rejects_an_alignment_that_is_no_power_of_two() {
    for alignment in [0_u32, 24, 33, u32::MAX] {
        let file = sound().key("general.alignment", 4, &alignment.to_le_bytes());
        assert_error!(
            file.error(),
            Error::BadAlignment { .. },
            ModelInvalid,
            "general.alignment",
            &alignment.to_string()
        );
    }
    let text = sound().key("general.alignment", 8, &string(b"32"));
    assert_error!(
        text.error(),
        Error::KeyType { .. },
        ModelInvalid,
        "general.alignment",
        "integer",
        "string"
    );
}

#[test]
fn honours_another_alignment() {
    let file = File::default()
        .key("general.alignment", 4, &64_u32.to_le_bytes())
        .tensor("a", &[1], F32, 64);
    let bytes = file.data(256).bytes();
    let Parsed::Complete(header) = Header::parse(&bytes, Some(bytes.len() as u64)).unwrap() else {
        panic!("incomplete")
    };
    assert_eq!((header.alignment, header.data_offset % 64), (64, 0));
}

#[test]
fn rejects_a_tensor_without_dimensions_or_with_too_many() {
    assert_error!(
        File::default().tensor("a", &[], F32, 0).data(64).error(),
        Error::BadDimensionCount { found: 0, .. },
        ModelInvalid,
        "`a`",
        "0"
    );
    assert_error!(
        File::default()
            .tensor("a", &[1; 5], F32, 0)
            .data(64)
            .error(),
        Error::BadDimensionCount { found: 5, .. },
        ModelInvalid,
        "`a`",
        "5"
    );
    let mut absurd = File::default().tensor("a", &[1], F32, 0).data(64);
    absurd.tensors[9..13].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_error!(
        absurd.error(),
        Error::BadDimensionCount {
            found: u32::MAX,
            ..
        },
        ModelInvalid,
        "`a`"
    );
}

#[test]
fn rejects_a_tensor_without_elements() {
    assert_error!(
        File::default().tensor("a", &[4, 0, 2], F32, 0).error(),
        Error::EmptyTensor { .. },
        ModelInvalid,
        "`a`",
        "[2, 0, 4]"
    );
}

#[test]
fn rejects_a_shape_whose_product_overflows() {
    for shape in [
        &[1 << 32, 1 << 32, 1, 1][..],
        &[u64::MAX],
        &[1 << 63, 2],
        &[1 << 62],
    ] {
        assert_error!(
            File::default().tensor("a", shape, F32, 0).error(),
            Error::TensorTooLarge { .. },
            ModelInvalid,
            "`a`"
        );
    }
}

#[test]
fn rejects_an_unknown_type_id() {
    assert_error!(
        File::default().tensor("a", &[32], 4_000, 0).error(),
        Error::UnknownTensorType { found: 4_000, .. },
        ModelInvalid,
        "`a`",
        "4000"
    );
}

#[test]
fn names_a_type_of_ggml_that_is_not_supported() {
    for (id, name) in [
        (16, "IQ2_XXS"),
        (19, "IQ1_S"),
        (24, "I8"),
        (28, "F64"),
        (39, "MXFP4"),
    ] {
        assert_error!(
            File::default().tensor("a", &[256], id, 0).error(),
            Error::UnsupportedTensorType { .. },
            ModelUnsupported,
            "`a`",
            name,
            "Q4_0"
        );
    }
}

#[test]
fn rejects_rows_that_are_not_whole_blocks() {
    assert_error!(
        File::default().tensor("a", &[48, 2], Q4_0, 0).error(),
        Error::RowNotBlocks { .. },
        ModelInvalid,
        "`a`",
        "48",
        "Q4_0",
        "32"
    );
    assert_error!(
        File::default().tensor("a", &[128, 2], 12, 0).error(),
        Error::RowNotBlocks { .. },
        ModelInvalid,
        "`a`",
        "128",
        "Q4_K",
        "256"
    );
}

#[test]
fn rejects_an_offset_that_is_not_aligned() {
    assert_error!(
        File::default().tensor("a", &[4], F32, 16).data(64).error(),
        Error::Misaligned { offset: 16, .. },
        ModelInvalid,
        "`a`",
        "16",
        "32"
    );
}

#[test]
fn rejects_a_tensor_that_runs_past_the_end_of_the_file() {
    let mut bytes = sound().bytes();
    bytes.pop();
    assert_error!(
        parse_error(&bytes),
        Error::TensorOutOfBounds { .. },
        ModelInvalid,
        "`b`",
        "12",
        &bytes.len().to_string()
    );
    assert_error!(
        File::default().tensor("a", &[1 << 40], F32, 0).error(),
        Error::TensorOutOfBounds { .. },
        ModelInvalid,
        "`a`"
    );
    assert_error!(
        File::default()
            .tensor("a", &[1], F32, u64::MAX - 31)
            .error(),
        Error::TensorOutOfBounds { .. },
        ModelInvalid,
        "`a`"
    );
}

#[test]
fn rejects_tensors_that_share_bytes() {
    let file = File::default()
        .tensor("a", &[16], F32, 0)
        .tensor("b", &[8], F32, 32)
        .data(64);
    assert_error!(
        file.error(),
        Error::Overlap { .. },
        ModelInvalid,
        "`a`",
        "`b`"
    );
    let same = File::default()
        .tensor("a", &[8], F32, 0)
        .tensor("b", &[8], F32, 0)
        .data(64);
    assert_error!(
        same.error(),
        Error::Overlap { .. },
        ModelInvalid,
        "`a`",
        "`b`"
    );
}

#[test]
fn rejects_a_tensor_name_that_occurs_twice() {
    let file = File::default()
        .tensor("a", &[8], F32, 0)
        .tensor("a", &[8], F32, 32)
        .data(64);
    assert_error!(
        file.error(),
        Error::DuplicateTensor { .. },
        ModelInvalid,
        "`a`"
    );
}

#[test]
fn names_a_tensor_that_is_missing_and_a_shape_that_is_wrong() {
    let bytes = sound().bytes();
    let Parsed::Complete(header) = Header::parse(&bytes, None).unwrap() else {
        panic!("incomplete")
    };
    assert_error!(
        header.tensor("c").unwrap_err(),
        Error::TensorMissing { .. },
        ModelInvalid,
        "`c`"
    );
    let error = header
        .tensor("a")
        .unwrap()
        .expect_shape(&[32, 2])
        .unwrap_err();
    assert_error!(
        error,
        Error::WrongShape { .. },
        ModelInvalid,
        "`a`",
        "[32, 2]",
        "[2, 32]"
    );
}

#[test]
fn getters_name_the_key_what_was_needed_and_what_was_found() {
    let mut metadata = Metadata::new();
    metadata.insert("text", "words").unwrap();
    metadata.insert("negative", -1_i32).unwrap();
    metadata.insert("wide", 1_u64 << 32).unwrap();
    metadata.insert("negatives", vec![1_i32, -5]).unwrap();
    assert_error!(
        metadata.u32("absent").unwrap_err(),
        Error::KeyMissing { .. },
        ModelInvalid,
        "`absent`",
        "integer"
    );
    assert_error!(
        metadata.u32("text").unwrap_err(),
        Error::KeyType { .. },
        ModelInvalid,
        "`text`",
        "integer",
        "string"
    );
    assert_error!(
        metadata.u32("negative").unwrap_err(),
        Error::KeyRange { .. },
        ModelInvalid,
        "`negative`",
        "-1"
    );
    assert_error!(
        metadata.u32("wide").unwrap_err(),
        Error::KeyRange { .. },
        ModelInvalid,
        "`wide`",
        "4294967296"
    );
    assert_error!(
        metadata.u32s("negatives").unwrap_err(),
        Error::KeyRange { .. },
        ModelInvalid,
        "`negatives`",
        "-5"
    );
    assert_error!(
        metadata.f32("negative").unwrap_err(),
        Error::KeyType { .. },
        ModelInvalid,
        "`negative`",
        "floating-point",
        "i32"
    );
    assert_error!(
        metadata.strs("text").unwrap_err(),
        Error::KeyType { .. },
        ModelInvalid,
        "`text`",
        "array of strings",
        "string"
    );
    assert_error!(
        metadata.opt_bool("text").unwrap_err(),
        Error::KeyType { .. },
        ModelInvalid,
        "`text`",
        "boolean"
    );
    assert_eq!(metadata.opt_bool("absent").unwrap(), None);
}

#[test]
fn integers_of_any_width_are_read_where_they_fit() {
    let mut metadata = Metadata::new();
    let values: [Value; 8] = [
        7_u8.into(),
        7_i8.into(),
        7_u16.into(),
        7_i16.into(),
        7_u32.into(),
        7_i32.into(),
        7_u64.into(),
        7_i64.into(),
    ];
    for (index, value) in values.into_iter().enumerate() {
        let key = index.to_string();
        metadata.insert(&key, value).unwrap();
        assert_eq!(metadata.u32(&key).unwrap(), 7, "{key}");
    }
}
