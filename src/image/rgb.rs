use super::Error;

/// A picture of 8-bit RGB pixels. Neither side is 0, and `pixels` holds exactly
/// `height * width * 3` bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct RgbImage {
    width: usize,
    height: usize,
    /// `[height, width, 3]`
    pixels: Vec<u8>,
}

impl RgbImage {
    /// Takes RGB bytes, `[height, width, 3]`.
    ///
    /// Fails when a side is 0 or when the number of bytes does not fit.
    pub fn from_rgb(width: usize, height: usize, pixels: Vec<u8>) -> Result<RgbImage, Error> {
        check_pixel_count(width, height, 3, pixels.len())?;
        Ok(RgbImage {
            width,
            height,
            pixels,
        })
    }

    /// Takes RGBA bytes as a canvas gives them, `[height, width, 4]`, and drops alpha without
    /// compositing, as Pillow's `convert("RGB")` does.
    ///
    /// Fails when a side is 0 or when the number of bytes does not fit.
    pub fn from_rgba(width: usize, height: usize, rgba: &[u8]) -> Result<RgbImage, Error> {
        check_pixel_count(width, height, 4, rgba.len())?;
        let mut pixels = byte_buffer(rgba.len() / 4 * 3)?;
        for (rgb, rgba) in pixels.chunks_exact_mut(3).zip(rgba.chunks_exact(4)) {
            rgb.copy_from_slice(&rgba[..3]);
        }
        Ok(RgbImage {
            width,
            height,
            pixels,
        })
    }

    /// Replaces every value by a function of its channel and itself.
    pub(super) fn map_values(mut self, map: impl Fn(usize, u8) -> u8) -> RgbImage {
        for pixel in self.pixels.chunks_exact_mut(3) {
            for (channel, value) in pixel.iter_mut().enumerate() {
                *value = map(channel, *value);
            }
        }
        self
    }

    /// Width in pixels, at least 1.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels, at least 1.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The pixels, `[height, width, 3]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }
}

impl std::fmt::Debug for RgbImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RgbImage({} x {})", self.width, self.height)
    }
}

fn check_pixel_count(
    width: usize,
    height: usize,
    n_channels: usize,
    found: usize,
) -> Result<(), Error> {
    if width == 0 || height == 0 {
        return Err(Error::ZeroSize { width, height });
    }
    let needed = (width as u64)
        .saturating_mul(height as u64)
        .saturating_mul(n_channels as u64);
    if needed != found as u64 {
        return Err(Error::WrongPixelCount {
            width,
            height,
            n_channels,
            needed,
            found,
        });
    }
    Ok(())
}

/// A zeroed buffer, or an error where a plain `vec!` would end the program.
pub(super) fn byte_buffer(n_bytes: usize) -> Result<Vec<u8>, Error> {
    let mut buffer = Vec::new();
    buffer
        .try_reserve_exact(n_bytes)
        .map_err(|_| Error::OutOfMemory {
            n_bytes: n_bytes as u64,
        })?;
    buffer.resize(n_bytes, 0);
    Ok(buffer)
}
