//! Pictures at the edges: bombs, strips, broken files, odd settings.

use std::path::Path;

use jina_embeddings_web::Code;
use jina_embeddings_web::image::{Error, Limits, Preprocessor, RgbImage, decode};
use proptest::prelude::*;

fn fixture(path: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn preprocessor() -> Preprocessor {
    Preprocessor::from_config_json(&fixture("tiny/preprocessor_config.json")).unwrap()
}

fn error_of(bytes: &[u8]) -> Error {
    decode(bytes, &Limits::default()).unwrap_err()
}

/// The header of a PNG; no chunk behind it, and a check sum that is wrong if `sizes` differ from the
/// ones it was made for, since sizes are refused before anything else is read.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(height.to_be_bytes());
    bytes.extend(b"\x08\x02\0\0\0\0\0\0\0");
    bytes
}

#[test]
fn a_side_of_30_000_pixels_is_refused_from_the_header_in_every_format() {
    let (w, h) = (30_000_u16, 30_000_u16);
    let mut jpeg = b"\xff\xd8\xff\xc0\0\x11\x08".to_vec();
    jpeg.extend(h.to_be_bytes());
    jpeg.extend(w.to_be_bytes());
    jpeg.extend(b"\x03\x01\x11\0\x02\x11\0\x03\x11\0");
    let mut gif = b"GIF89a".to_vec();
    gif.extend(w.to_le_bytes());
    gif.extend(h.to_le_bytes());
    gif.extend(b"\x80\0\0\0\0\0\xff\xff\xff\x2c\0\0\0\0");
    gif.extend(w.to_le_bytes());
    gif.extend(h.to_le_bytes());
    gif.extend(b"\0\x02\0\x3b");
    let mut bmp = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    bmp.extend(30_000_u32.to_le_bytes());
    bmp.extend(30_000_u32.to_le_bytes());
    bmp.extend(b"\x01\0\x18\0");
    bmp.resize(80, 0);
    let mut webp = b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0".to_vec();
    webp.extend(b"\x2f\x75\0\x2f\x75\0\0\0\0\0\0\0");
    for (format, bytes) in [
        ("PNG", png_header(30_000, 30_000)),
        ("JPEG", jpeg),
        ("GIF", gif),
        ("BMP", bmp),
        ("WebP", webp),
    ] {
        let error = error_of(&bytes);
        assert!(
            matches!(
                error,
                Error::SideTooLong {
                    width: 30_000,
                    height: 30_000,
                    max_side_px: 20_000
                }
            ),
            "{format}: {error}"
        );
        assert_eq!(error.code(), Code::InputInvalid);
    }
}

#[test]
fn too_many_pixels_are_refused_though_each_side_is_allowed() {
    let error = error_of(&png_header(20_000, 20_000));
    assert!(
        matches!(
            error,
            Error::TooManyPixels {
                n_pixels: 400_000_000,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(
        error.to_string(),
        "the picture is 20000 x 20000 = 400000000 pixels; at most 100000000 are decoded"
    );
    let limits = Limits {
        max_side_px: 100,
        max_pixels_decoded: 1000,
    };
    let picture = fixture("tiny/golden/images/emoji_alpha_64.png");
    assert!(matches!(
        decode(&picture, &limits),
        Err(Error::TooManyPixels { n_pixels: 4096, .. })
    ));
}

/// A small canvas around a frame that claims to be huge.
#[test]
fn a_webp_frame_larger_than_its_canvas_is_refused_before_it_is_decoded() {
    let mut webp = b"RIFF\x30\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x1f\0\0\x1f\0\0".to_vec();
    webp.extend(b"VP8 \x12\0\0\0\x10\0\0\x9d\x01\x2a\xff\x3f\xff\x3f\0\0\0\0\0\0\0\0");
    let error = error_of(&webp);
    assert!(
        matches!(
            error,
            Error::TooManyPixels {
                width: 16_383,
                height: 16_383,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn content_that_is_no_picture_says_what_it_starts_with() {
    assert!(matches!(error_of(b""), Error::Empty));
    assert_eq!(
        error_of(b"This is a text").to_string(),
        "the picture is none of PNG, JPEG, WebP, GIF, BMP: it starts with the bytes 54 68 69 73 20 69 73 20"
    );
    assert!(matches!(error_of(b"\x89PNG"), Error::UnknownFormat { .. }));
    assert!(matches!(
        error_of(&png_header(0, 3)),
        Error::ZeroSize {
            width: 0,
            height: 3
        }
    ));
}

#[test]
fn files_cut_off_anywhere_are_errors_or_whole() {
    for name in [
        "pictures/progressive_420.jpg",
        "pictures/restart.jpg",
        "pictures/cmyk.jpg",
        "pictures/interlaced.png",
        "pictures/animated.gif",
        "pictures/lossy_alpha.webp",
        "pictures/animated_lossy.webp",
        "pictures/palette.bmp",
    ] {
        let whole = fixture(name);
        let expected = decode(&whole, &Limits::default()).unwrap();
        for n_bytes in 0..whole.len() {
            match decode(&whole[..n_bytes], &Limits::default()) {
                // What is missing was not part of the picture.
                Ok(image) => assert_eq!(image, expected, "{name} at {n_bytes}"),
                Err(error) => assert_eq!(error.code(), Code::InputInvalid, "{name} at {n_bytes}"),
            }
        }
    }
}

#[test]
fn sizes_follow_the_reference() {
    let preprocessor = preprocessor();
    for ((height, width), expected) in [
        ((100, 200), (112, 196)),
        ((4000, 3000), (896, 672)),
        ((20, 20), (56, 56)),
        ((28, 4000), (28, 4004)),
        ((48, 64), (56, 56)),
        ((107, 1009), (112, 1008)),
        ((799, 1013), (672, 868)),
        ((240, 320), (252, 308)),
        ((224, 224), (224, 224)),
        ((1, 1), (56, 56)),
        // 14/28 and 42/28 are halves, which go to the even neighbour: 0 and 2.
        ((42, 70), (56, 56)),
        ((70, 14), (140, 28)),
        ((1, 200), (28, 812)),
    ] {
        assert_eq!(
            preprocessor.smart_resize(height, width).unwrap(),
            expected,
            "{height} x {width}"
        );
    }
}

#[test]
fn a_strip_of_1_by_5000_is_refused_and_a_single_pixel_is_not() {
    let strip = RgbImage::from_rgb(5000, 1, vec![7; 15_000]).unwrap();
    let error = preprocessor().patches(&strip, None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the picture is 5000 x 1 pixels, an aspect ratio of 5000.0; the model takes at most 200"
    );
    assert_eq!(error.code(), Code::InputInvalid);

    let pixel = decode(&fixture("pictures/one.png"), &Limits::default()).unwrap();
    let patches = preprocessor().patches(&pixel, None).unwrap();
    assert_eq!((patches.n_rows, patches.n_cols), (4, 4));
    assert_eq!(patches.values[0], patches.values[195]);
}

#[test]
fn max_pixels_of_a_call_replaces_the_models_and_may_not_be_zero() {
    let image = RgbImage::from_rgb(300, 200, vec![9; 180_000]).unwrap();
    let size = |max_pixels| {
        let resized = preprocessor().resized(&image, max_pixels).unwrap();
        (resized.width(), resized.height())
    };
    assert_eq!(size(None), (308, 196));
    assert_eq!(size(Some(10_000)), (112, 56));
    // Below one block nothing is left to shrink, as in the reference.
    assert_eq!(size(Some(1)), (28, 28));
    let error = preprocessor().patches(&image, Some(0)).unwrap_err();
    assert!(matches!(error, Error::MaxPixels { found: 0 }), "{error}");
}

#[test]
fn canvas_pixels_lose_their_alpha_and_must_fit_their_size() {
    let image = RgbImage::from_rgba(2, 1, &[1, 2, 3, 0, 4, 5, 6, 255]).unwrap();
    assert_eq!(image.pixels(), [1, 2, 3, 4, 5, 6]);
    let error = RgbImage::from_rgba(2, 2, &[0; 15]).unwrap_err();
    assert!(
        matches!(
            error,
            Error::WrongPixelCount {
                needed: 16,
                found: 15,
                ..
            }
        ),
        "{error}"
    );
    assert!(RgbImage::from_rgba(0, 2, &[]).is_err());
    assert!(RgbImage::from_rgb(usize::MAX, usize::MAX, vec![]).is_err());
}

#[test]
fn settings_that_cannot_be_computed_with_are_named() {
    let original: serde_json::Value =
        serde_json::from_slice(&fixture("tiny/preprocessor_config.json")).unwrap();
    let with = |key: &str, value: serde_json::Value| {
        let mut json = original.clone();
        json[key] = value;
        Preprocessor::from_config_json(json.to_string().as_bytes()).unwrap_err()
    };
    for (key, value, code) in [
        ("patch_size", 0.into(), Code::ModelInvalid),
        ("patch_size", 1_000_000_000_u64.into(), Code::ModelInvalid),
        ("merge_size", 0.into(), Code::ModelInvalid),
        ("temporal_patch_size", 0.into(), Code::ModelInvalid),
        ("min_pixels", 0.into(), Code::ModelInvalid),
        ("max_pixels", 1.into(), Code::ModelInvalid),
        (
            "image_std",
            serde_json::json!([0.5, 0.0, 0.5]),
            Code::ModelInvalid,
        ),
        ("resample", 2.into(), Code::ModelUnsupported),
        ("do_resize", false.into(), Code::ModelUnsupported),
        ("rescale_factor", 1.0.into(), Code::ModelUnsupported),
    ] {
        let error = with(key, value);
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(key), "{error}");
    }
    assert_eq!(with("patch_size", "x".into()).code(), Code::ModelInvalid);

    // A setting that would blow every picture up is met when a picture is resized.
    let mut huge = preprocessor();
    (huge.min_pixels, huge.max_pixels) = (usize::MAX, usize::MAX);
    let image = RgbImage::from_rgb(1, 1, vec![0; 3]).unwrap();
    assert!(matches!(
        huge.patches(&image, None),
        Err(Error::ResizedTooLarge { .. })
    ));
}

/// Small files of every format, to be damaged.
const SEEDS: [&str; 14] = [
    "pictures/s420_17x33.jpg",
    "pictures/progressive_422.jpg",
    "pictures/restart_rows.jpg",
    "pictures/ycck.jpg",
    "pictures/gray2.png",
    "pictures/interlaced.png",
    "pictures/palette_trns.png",
    "pictures/moved_transparent.gif",
    "pictures/animated.gif",
    "pictures/lossless_alpha.webp",
    "pictures/lossy_alpha.webp",
    "pictures/animated_lossy.webp",
    "pictures/rgb565_top_down.bmp",
    "pictures/palette.bmp",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn damaged_files_never_panic(
        seed in 0..SEEDS.len(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        is_cut in prop::bool::weighted(0.2),
    ) {
        let mut bytes = fixture(SEEDS[seed]);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        // Small limits keep a changed size from costing the test its time.
        let limits = Limits { max_side_px: 2000, max_pixels_decoded: 500_000 };
        if let Ok(image) = decode(&bytes, &limits) {
            prop_assert_eq!(image.pixels().len(), image.width() * image.height() * 3);
        }
    }

    #[test]
    fn arbitrary_bytes_behind_a_signature_never_panic(
        signature in prop::sample::select(vec![
            &b""[..], b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR", b"\xff\xd8\xff", b"GIF89a", b"BM", b"RIFF\x40\0\0\0WEBPVP8 ",
            b"RIFF\x40\0\0\0WEBPVP8L", b"RIFF\x40\0\0\0WEBPVP8X",
        ]),
        rest in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let bytes = [signature, &rest].concat();
        let limits = Limits { max_side_px: 2000, max_pixels_decoded: 500_000 };
        let _ = decode(&bytes, &limits);
    }

    #[test]
    fn every_size_is_refused_or_becomes_whole_blocks_within_the_limits(
        height in 1_usize..30_000,
        width in 1_usize..30_000,
        max_pixels in 3136_usize..2_000_000,
    ) {
        let mut settings = preprocessor();
        settings.max_pixels = max_pixels;
        match settings.smart_resize(height, width) {
            Ok((h, w)) => {
                prop_assert!(h > 0 && w > 0 && h % 28 == 0 && w % 28 == 0);
                // The reference may pass the limit where a side cannot shrink below one block.
                prop_assert!(h * w <= max_pixels || h == 28 || w == 28);
            }
            Err(error) => prop_assert!(matches!(error, Error::AspectRatio { .. }), "{error}"),
        }
    }
}
