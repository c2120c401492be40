//! Tensor tables built to do harm: shapes, types, offsets, names. Every one must end in the error
//! that names the tensor.

mod hostile;

use hostile::{F32, File, Q4_0, assert_error, parse_error, sound, string};
use jina_embeddings_web::gguf::{Error, Header, Parsed};

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
