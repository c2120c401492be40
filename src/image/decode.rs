//! From the bytes of a file to RGB pixels, by the rules of Pillow's `Image.open(..).convert("RGB")`.
//!
//! 1. The first bytes, not a name, tell the format.
//! 2. The header's width and height are checked against [`Limits`] before any pixel memory is taken.
//! 3. The pixels are decoded and brought to RGB as Pillow does:
//!
//! | stored | becomes |
//! | --- | --- |
//! | gray, any depth to 8 bits, with or without alpha | scaled to 0..=255, on all three channels |
//! | 16-bit gray | clipped to 255, not scaled (Pillow's `I;16` to `RGB`) |
//! | 16-bit gray with alpha, 16-bit RGB and RGBA | the high byte |
//! | palette | its colour; black for an index past its end; transparency ignored |
//! | alpha | dropped |
//! | CMYK (JPEG) | `(255 - K)` scaled by `(255 - C)` and so on |

use std::io::Cursor;

use ::image::codecs::{bmp::BmpDecoder, png::PngDecoder, webp::WebPDecoder};
use ::image::{ColorType, ImageDecoder, ImageError};

use super::rgb::byte_buffer;
use super::{Error, RgbImage, gif, jpeg};

/// How large a picture may be. Both are checked on the header's numbers, before memory is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest side in pixels.
    pub max_side_px: usize,
    /// Most pixels, width times height.
    pub max_pixels_decoded: u64,
}

impl Default for Limits {
    /// 20,000 pixels a side and 100 million pixels: any photograph and any scanned page, and at most
    /// 300 MB of RGB.
    fn default() -> Limits {
        Limits {
            max_side_px: 20_000,
            max_pixels_decoded: 100_000_000,
        }
    }
}

impl Limits {
    /// Fails when a picture of this size is empty or too large.
    pub fn check(&self, width: usize, height: usize) -> Result<(), Error> {
        if width == 0 || height == 0 {
            return Err(Error::ZeroSize { width, height });
        }
        if width.max(height) > self.max_side_px {
            return Err(Error::SideTooLong {
                width,
                height,
                max_side_px: self.max_side_px,
            });
        }
        let n_pixels = (width as u64).saturating_mul(height as u64);
        if n_pixels > self.max_pixels_decoded {
            let max_pixels_decoded = self.max_pixels_decoded;
            return Err(Error::TooManyPixels {
                width,
                height,
                n_pixels,
                max_pixels_decoded,
            });
        }
        Ok(())
    }
}

/// Decodes a PNG, JPEG, WebP, GIF (first frame) or BMP file to RGB.
///
/// Fails with [`Error::UnknownFormat`] for other content, with a size error before memory is taken,
/// and with [`Error::Damaged`] for a file that stops early; nothing is filled in with gray.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, Error> {
    match bytes {
        [] => Err(Error::Empty),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => decode_png(bytes, limits),
        [0xff, 0xd8, 0xff, ..] => jpeg::decode(bytes, limits),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => gif::decode(bytes, limits),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => {
            check_webp_frame_sizes(bytes, limits)?;
            let decoder = WebPDecoder::new(Cursor::new(bytes));
            read(
                decoder.map_err(|error| from_image_error("WebP", error))?,
                "WebP",
                limits,
                false,
            )
        }
        [b'B', b'M', ..] => {
            let decoder = BmpDecoder::new(Cursor::new(bytes));
            let decoder = decoder.map_err(|error| from_image_error("BMP", error))?;
            Ok(as_pillow_widens_16_bits(
                bytes,
                read(decoder, "BMP", limits, false)?,
            ))
        }
        _ => {
            let first_bytes: Vec<String> = bytes
                .iter()
                .take(8)
                .map(|byte| format!("{byte:02x}"))
                .collect();
            Err(Error::UnknownFormat {
                first_bytes: first_bytes.join(" "),
            })
        }
    }
}

fn decode_png(bytes: &[u8], limits: &Limits) -> Result<RgbImage, Error> {
    // Chunks besides the pixels (a compressed colour profile, say) may not swell past this.
    let mut chunk_limits = ::image::Limits::no_limits();
    chunk_limits.max_alloc = Some(64 << 20);
    // The header first, by itself: it is at a fixed place, and nothing else may be read before it.
    if let (b"IHDR", Some(sizes)) = (bytes.get(12..16).unwrap_or_default(), bytes.get(16..24)) {
        let side = |at: usize| {
            u32::from_be_bytes([sizes[at], sizes[at + 1], sizes[at + 2], sizes[at + 3]]) as usize
        };
        limits.check(side(0), side(4))?;
    }
    let decoder = PngDecoder::with_limits(Cursor::new(bytes), chunk_limits);
    let decoder = decoder.map_err(|error| from_image_error("PNG", error))?;
    // Gray pixels with one transparent value arrive with an alpha channel, which Pillow never makes.
    let is_plain_gray = bytes.get(25) == Some(&0);
    read(decoder, "PNG", limits, is_plain_gray)
}

/// Reads the pixels of a decoder whose header is read, and brings them to RGB.
///
/// - `alpha_is_made_up`: the file itself has gray pixels without alpha
fn read(
    decoder: impl ImageDecoder,
    format: &'static str,
    limits: &Limits,
    alpha_is_made_up: bool,
) -> Result<RgbImage, Error> {
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    limits.check(width, height)?;
    let color_type = decoder.color_type();
    let n_bytes = decoder.total_bytes();
    let n_bytes = usize::try_from(n_bytes).map_err(|_| Error::OutOfMemory { n_bytes })?;
    let mut samples = byte_buffer(n_bytes)?;
    decoder
        .read_image(&mut samples)
        .map_err(|error| from_image_error(format, error))?;

    let high = |sample: &[u8]| (u16::from_ne_bytes([sample[0], sample[1]]) >> 8) as u8;
    let clipped = |sample: &[u8]| u16::from_ne_bytes([sample[0], sample[1]]).min(255) as u8;
    let pixels = match color_type {
        ColorType::Rgb8 => samples,
        ColorType::Rgba8 => in_place(samples, 4, |pixel| [pixel[0], pixel[1], pixel[2]]),
        ColorType::Rgb16 | ColorType::Rgba16 => {
            let n_bytes = usize::from(color_type.bytes_per_pixel());
            in_place(samples, n_bytes, |pixel| {
                [high(pixel), high(&pixel[2..]), high(&pixel[4..])]
            })
        }
        ColorType::L8 => from_gray(&samples, 1, |pixel| pixel[0])?,
        ColorType::La8 => from_gray(&samples, 2, |pixel| pixel[0])?,
        ColorType::L16 => from_gray(&samples, 2, clipped)?,
        ColorType::La16 if alpha_is_made_up => from_gray(&samples, 4, clipped)?,
        ColorType::La16 => from_gray(&samples, 4, high)?,
        other => {
            return Err(Error::Unsupported {
                format,
                feature: format!("the pixel form {other:?}"),
            });
        }
    };
    RgbImage::from_rgb(width, height, pixels)
}

/// Turns pixels of `n_bytes` >= 3 bytes into RGB within the same buffer, as large pictures should
/// not need memory twice.
fn in_place(mut samples: Vec<u8>, n_bytes: usize, rgb: impl Fn(&[u8]) -> [u8; 3]) -> Vec<u8> {
    let n_pixels = samples.len() / n_bytes;
    for at in 0..n_pixels {
        let pixel = rgb(&samples[at * n_bytes..(at + 1) * n_bytes]);
        samples[at * 3..at * 3 + 3].copy_from_slice(&pixel);
    }
    samples.truncate(n_pixels * 3);
    samples
}

/// Repeats one gray value per pixel of `n_bytes` bytes on three channels.
fn from_gray(samples: &[u8], n_bytes: usize, gray: impl Fn(&[u8]) -> u8) -> Result<Vec<u8>, Error> {
    let mut pixels = byte_buffer(samples.len() / n_bytes * 3)?;
    for (rgb, pixel) in pixels
        .chunks_exact_mut(3)
        .zip(samples.chunks_exact(n_bytes))
    {
        rgb.fill(gray(pixel));
    }
    Ok(pixels)
}

/// Widens the 5- and 6-bit values of a 16-bit BMP as Pillow does, rounding down; the decoder rounds
/// to nearest, from which the stored value can be told.
fn as_pillow_widens_16_bits(bytes: &[u8], image: RgbImage) -> RgbImage {
    let (header_bytes, bits, compression) = (bytes.get(14), bytes.get(28), bytes.get(30));
    if header_bytes.is_none_or(|n_bytes| *n_bytes < 40) || bits != Some(&16) {
        return image;
    }
    let green_has_6_bits = match (compression, bytes.get(58..62)) {
        (Some(3), Some([0xe0, 0x07, 0, 0])) => true,
        (Some(3), Some([0xe0, 0x03, 0, 0])) | (Some(0), _) => false,
        _ => return image,
    };
    let highest = [31, if green_has_6_bits { 63 } else { 31 }, 31];
    image.map_values(|channel, value| {
        let highest: u32 = highest[channel];
        let stored = (u32::from(value) * highest + 127) / 255;
        (stored * 255 / highest) as u8
    })
}

/// Checks every size that a WebP file states, not only that of its canvas: the frames inside carry
/// sizes of their own, and the decoder takes memory for them before it compares.
fn check_webp_frame_sizes(bytes: &[u8], limits: &Limits) -> Result<(), Error> {
    let u24 = |payload: &[u8], at: usize| {
        payload
            .get(at..at + 3)
            .map(|b| usize::from(b[0]) | usize::from(b[1]) << 8 | usize::from(b[2]) << 16)
    };
    // (start, end) of runs of chunks; an ANMF chunk holds another run.
    let mut runs = vec![(12, bytes.len())];
    while let Some((mut at, end)) = runs.pop() {
        while let Some(header) = bytes[..end].get(at..at + 8) {
            let n_bytes = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
            let payload_end = (at + 8).saturating_add(n_bytes).min(end);
            let payload = &bytes[at + 8..payload_end];
            let size = match &header[..4] {
                b"VP8 " => payload.get(6..10).map(|b| {
                    let side =
                        |low: u8, high: u8| usize::from(u16::from_le_bytes([low, high]) & 0x3fff);
                    (side(b[0], b[1]), side(b[2], b[3]))
                }),
                b"VP8L" => payload.get(1..5).map(|b| {
                    let packed = u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize;
                    ((packed & 0x3fff) + 1, (packed >> 14 & 0x3fff) + 1)
                }),
                b"VP8X" => u24(payload, 4)
                    .zip(u24(payload, 7))
                    .map(|(w, h)| (w + 1, h + 1)),
                b"ANMF" => {
                    runs.push((at + 24, payload_end));
                    u24(payload, 6)
                        .zip(u24(payload, 9))
                        .map(|(w, h)| (w + 1, h + 1))
                }
                _ => None,
            };
            if let Some((width, height)) = size {
                limits.check(width, height)?;
            }
            at = payload_end.saturating_add(n_bytes % 2);
        }
    }
    Ok(())
}

fn from_image_error(format: &'static str, error: ImageError) -> Error {
    match error {
        ImageError::Unsupported(error) => Error::Unsupported {
            format,
            feature: error.to_string(),
        },
        error => Error::Damaged {
            format,
            reason: error.to_string(),
        },
    }
}
