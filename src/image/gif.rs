//! The first frame of a GIF, as Pillow shows it.
//!
//! 1. The canvas is the logical screen, grown where the frame reaches beyond it.
//! 2. Where the frame does not cover the canvas lies the transparent index, or index 0.
//! 3. Every index becomes its colour, the transparent one as well; nothing is composited.

use ::gif::{ColorOutput, DecodeOptions, DecodingError, MemoryLimit};

use super::rgb::byte_buffer;
use super::{Error, Limits, RgbImage};

/// Decodes the first frame. The caller has seen the signature.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, Error> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    // The sizes are checked below, before the decoder is asked for pixels.
    options.set_memory_limit(MemoryLimit::Unlimited);
    let mut decoder = options.read_info(bytes).map_err(damaged)?;
    let screen = (usize::from(decoder.width()), usize::from(decoder.height()));

    let frame = decoder
        .next_frame_info()
        .map_err(damaged)?
        .ok_or_else(|| Error::Damaged {
            format: "GIF",
            reason: "it holds no frame".to_owned(),
        })?;
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let (frame_width, frame_height) = (usize::from(frame.width), usize::from(frame.height));
    let transparent = frame.transparent;
    let width = screen.0.max(left + frame_width);
    let height = screen.1.max(top + frame_height);
    limits.check(width, height)?;
    limits.check(frame_width, frame_height)?;

    let mut indices = byte_buffer(frame_width * frame_height)?;
    decoder.read_into_buffer(&mut indices).map_err(damaged)?;
    // An index past the end of the palette is black.
    let mut palette = [[0; 3]; 256];
    let colours = decoder.palette().map_err(damaged)?;
    for (entry, colour) in palette.iter_mut().zip(colours.chunks_exact(3)) {
        entry.copy_from_slice(colour);
    }

    let uncovered = palette[usize::from(transparent.unwrap_or(0))];
    let mut pixels = byte_buffer(width * height * 3)?;
    pixels
        .chunks_exact_mut(3)
        .for_each(|pixel| pixel.copy_from_slice(&uncovered));
    for (y, row) in indices.chunks_exact(frame_width).enumerate() {
        let start = ((top + y) * width + left) * 3;
        let pixels = &mut pixels[start..start + frame_width * 3];
        for (pixel, index) in pixels.chunks_exact_mut(3).zip(row) {
            pixel.copy_from_slice(&palette[usize::from(*index)]);
        }
    }
    RgbImage::from_rgb(width, height, pixels)
}

fn damaged(error: DecodingError) -> Error {
    Error::Damaged {
        format: "GIF",
        reason: error.to_string(),
    }
}
