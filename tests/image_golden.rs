//! The picture path against the reference's own numbers: decoded bytes, resized bytes, grids, patches.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use jina_embeddings_web::image::{Limits, Preprocessor, RgbImage, decode, resize_bicubic};
use safetensors::SafeTensors;
use serde::Deserialize;
use sha2::{Digest, Sha256};

#[derive(Deserialize)]
struct Case {
    id: String,
    file: String,
    max_pixels: Option<usize>,
    decoded_size_wh: (usize, usize),
    decoded_rgb_sha256: String,
    resized_wh: (usize, usize),
    resized_u8_sha256: String,
    grid_thw: (usize, usize, usize),
    n_patches: usize,
    pixel_row_indices: Vec<usize>,
    pixel_sum: f64,
    pixel_abs_sum: f64,
    pixel_sq_sum: f64,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn read(path: &str) -> Vec<u8> {
    let path = fixtures().join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn cases() -> Vec<Case> {
    let cases: Vec<Case> = serde_json::from_slice(&read("tiny/golden/image.json")).unwrap();
    assert_eq!(cases.len(), 15);
    cases
}

fn preprocessor() -> Preprocessor {
    Preprocessor::from_config_json(&read("tiny/preprocessor_config.json")).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn decoded(case: &Case) -> RgbImage {
    let bytes = read(&format!("tiny/golden/{}", case.file));
    decode(&bytes, &Limits::default()).unwrap_or_else(|error| panic!("{}: {error}", case.id))
}

#[test]
fn decoded_pixels_equal_the_reference_for_every_picture_jpeg_included() {
    for case in cases() {
        let image = decoded(&case);
        assert_eq!(
            (image.width(), image.height()),
            case.decoded_size_wh,
            "{}",
            case.id
        );
        assert_eq!(
            sha256(image.pixels()),
            case.decoded_rgb_sha256,
            "{}",
            case.id
        );
    }
}

#[test]
fn resized_pixels_equal_the_reference_for_every_picture() {
    for case in cases() {
        let resized = preprocessor()
            .resized(&decoded(&case), case.max_pixels)
            .unwrap();
        assert_eq!(
            (resized.width(), resized.height()),
            case.resized_wh,
            "{}",
            case.id
        );
        assert_eq!(
            sha256(resized.pixels()),
            case.resized_u8_sha256,
            "{}",
            case.id
        );
        let expected = fixtures().join(format!("tiny/golden/resized/{}.png", case.id));
        if expected.exists() {
            let expected = decode(&std::fs::read(expected).unwrap(), &Limits::default()).unwrap();
            assert_eq!(resized, expected, "{}", case.id);
        }
    }
}

#[test]
fn patches_equal_the_reference_bit_for_bit() {
    let file = read("tiny/golden/image.safetensors");
    let golden = SafeTensors::deserialize(&file).unwrap();
    for case in cases() {
        let patches = preprocessor()
            .patches(&decoded(&case), case.max_pixels)
            .unwrap();
        assert_eq!(
            (1, patches.n_rows, patches.n_cols),
            case.grid_thw,
            "{}",
            case.id
        );
        assert_eq!(patches.n_patches(), case.n_patches, "{}", case.id);

        let rows = golden.tensor(&format!("{}|pixel_rows", case.id)).unwrap();
        let row_length = rows.shape()[1];
        assert_eq!(
            patches.values.len(),
            case.n_patches * row_length,
            "{}",
            case.id
        );
        let expected: Vec<u32> = rows
            .data()
            .chunks_exact(4)
            .map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap()))
            .collect();
        for (row, expected) in case
            .pixel_row_indices
            .iter()
            .zip(expected.chunks_exact(row_length))
        {
            let found: Vec<u32> = patches.values[row * row_length..(row + 1) * row_length]
                .iter()
                .map(|value| value.to_bits())
                .collect();
            assert_eq!(found, expected, "{} row {row}", case.id);
        }

        let values = || patches.values.iter().map(|value| f64::from(*value));
        // The sums are f64 over up to 3.5 million values; only their order can differ.
        let near =
            |found: f64, expected: f64| (found - expected).abs() <= 1e-9 * case.pixel_abs_sum;
        assert!(near(values().sum(), case.pixel_sum), "{}", case.id);
        assert!(
            near(values().map(f64::abs).sum(), case.pixel_abs_sum),
            "{}",
            case.id
        );
        assert!(
            near(values().map(|v| v * v).sum::<f64>(), case.pixel_sq_sum),
            "{}",
            case.id
        );
    }
}

/// A picture that Pillow decoded, by `scripts/make_pictures.py`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Expected {
    Decoded {
        width: usize,
        height: usize,
        sha256: String,
    },
    Refused {
        error: String,
    },
}

#[test]
fn pictures_of_every_format_decode_as_in_pillow() {
    let expected: HashMap<String, Expected> =
        serde_json::from_slice(&read("pictures/expected.json")).unwrap();
    assert!(expected.len() >= 60);
    let mut wrong = Vec::new();
    for (name, expected) in &expected {
        let found = decode(&read(&format!("pictures/{name}")), &Limits::default());
        match (expected, found) {
            (
                Expected::Decoded {
                    width,
                    height,
                    sha256: hash,
                },
                Ok(image),
            ) => {
                if (image.width(), image.height()) != (*width, *height) {
                    wrong.push(format!("{name}: {image:?} instead of {width} x {height}"));
                } else if sha256(image.pixels()) != *hash {
                    let first = &image.pixels()[..image.pixels().len().min(24)];
                    wrong.push(format!("{name}: other pixels, the first are {first:?}"));
                }
            }
            (Expected::Refused { .. }, Err(_)) => {}
            (Expected::Decoded { .. }, Err(error)) => wrong.push(format!("{name}: {error}")),
            (Expected::Refused { error }, Ok(_)) => {
                wrong.push(format!("{name}: decoded, but Pillow says {error}"));
            }
        }
    }
    wrong.sort();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[derive(Deserialize)]
struct Resize {
    from_wh: (usize, usize),
    to_wh: (usize, usize),
    seed: u64,
    sha256: String,
}

#[test]
fn resizing_noise_equals_an_independent_implementation() {
    let cases: Vec<Resize> = serde_json::from_slice(&read("pictures/resize.json")).unwrap();
    assert!(cases.len() >= 12);
    for Resize {
        from_wh: (width, height),
        to_wh,
        seed,
        sha256: hash,
    } in cases
    {
        // The generator of scripts/make_pictures.py.
        let mut state = seed;
        let pixels = (0..width * height * 3)
            .map(|_| {
                state = state
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                (state >> 56) as u8
            })
            .collect();
        let image = RgbImage::from_rgb(width, height, pixels).unwrap();
        let resized = resize_bicubic(&image, to_wh.0, to_wh.1).unwrap();
        assert_eq!(
            sha256(resized.pixels()),
            hash,
            "{width} x {height} to {to_wh:?}"
        );
    }
}
