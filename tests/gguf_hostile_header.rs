//! Headers built to do harm: counts, strings, keys and values. Every one must end in the error that
//! names the thing.

mod hostile;

use hostile::{F32, File, assert_error, parse_error, sound, string};
use jina_embeddings_web::gguf::{Error, Header, MAX_HEADER_BYTES, Metadata, Parsed, Value};

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
