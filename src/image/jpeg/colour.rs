//! From component planes to RGB.
//!
//! YCbCr by libjpeg's tables of 16-bit fractions. CMYK by Pillow's rule: the file's values are taken
//! as Adobe writes them, inverted, and `R = (255 - C) * (255 - K) / 255` of the values so corrected.

use super::Error;
use super::header::{Frame, Tables};
use super::scan::DecodedPlanes;
use super::upsample::Upsampler;
use crate::image::RgbImage;
use crate::image::rgb::byte_buffer;

/// What the components mean.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    Gray,
    Rgb,
    YCbCr,
    Cmyk,
    Ycck,
}

impl Space {
    /// libjpeg's guess: the markers first, then the components' names.
    pub(super) fn of(frame: &Frame, tables: &Tables) -> Space {
        let ids: Vec<u8> = frame
            .components
            .iter()
            .map(|component| component.id)
            .collect();
        match (ids.as_slice(), tables.has_jfif, tables.adobe_transform) {
            ([_], _, _) => Space::Gray,
            ([_, _, _], true, _) => Space::YCbCr,
            ([_, _, _], false, Some(0)) => Space::Rgb,
            ([_, _, _], false, Some(_)) => Space::YCbCr,
            ([b'R', b'G', b'B'], false, None) => Space::Rgb,
            ([_, _, _], false, None) => Space::YCbCr,
            (_, _, None | Some(0)) => Space::Cmyk,
            (_, _, Some(_)) => Space::Ycck,
        }
    }
}

/// What Cb and Cr add to the luminance, by their value.
struct ChromaTables {
    cr_to_r: [i32; 256],
    cb_to_b: [i32; 256],
    /// With 16 bits of fraction.
    cr_to_g: [i32; 256],
    cb_to_g: [i32; 256],
}

impl ChromaTables {
    fn new() -> ChromaTables {
        let fix = |value: f64| (value * 65536.0 + 0.5) as i32;
        let half = 1 << 15;
        let by_value =
            |entry: &dyn Fn(i32) -> i32| std::array::from_fn(|at| entry(at as i32 - 128));
        ChromaTables {
            cr_to_r: by_value(&|x| (fix(1.40200) * x + half) >> 16),
            cb_to_b: by_value(&|x| (fix(1.77200) * x + half) >> 16),
            cr_to_g: by_value(&|x| -fix(0.71414) * x),
            cb_to_g: by_value(&|x| -fix(0.34414) * x + half),
        }
    }

    fn rgb(&self, y: u8, cb: u8, cr: u8) -> [u8; 3] {
        let (y, cb, cr) = (i32::from(y), usize::from(cb), usize::from(cr));
        let green = y + ((self.cb_to_g[cb] + self.cr_to_g[cr]) >> 16);
        [y + self.cr_to_r[cr], green, y + self.cb_to_b[cb]].map(|value| value.clamp(0, 255) as u8)
    }
}

/// Upsamples the planes row by row and converts them.
pub(super) fn to_rgb(decoded: &DecodedPlanes, space: Space) -> Result<RgbImage, Error> {
    let DecodedPlanes {
        width,
        height,
        planes,
    } = decoded;
    let chroma = ChromaTables::new();
    let mut pixels = byte_buffer(width * height * 3)?;
    let mut upsamplers: Vec<Upsampler> = planes.iter().map(Upsampler::new).collect();
    let mut rows = Vec::with_capacity(planes.len());
    for plane in planes {
        rows.push(byte_buffer(plane.width * plane.h_expand)?);
    }
    for (y, out) in pixels.chunks_exact_mut(width * 3).enumerate() {
        for (upsampler, row) in upsamplers.iter_mut().zip(&mut rows) {
            upsampler.row(y, row);
        }
        let out = out.chunks_exact_mut(3).enumerate();
        match (space, rows.as_slice()) {
            (Space::Gray, [gray, ..]) => out.for_each(|(x, pixel)| pixel.fill(gray[x])),
            (Space::Rgb, [r, g, b, ..]) => {
                out.for_each(|(x, pixel)| pixel.copy_from_slice(&[r[x], g[x], b[x]]));
            }
            (Space::YCbCr, [y, cb, cr, ..]) => {
                out.for_each(|(x, pixel)| pixel.copy_from_slice(&chroma.rgb(y[x], cb[x], cr[x])));
            }
            (Space::Cmyk, [c, m, y, k]) => out.for_each(|(x, pixel)| {
                pixel.copy_from_slice(&from_inverted_cmyk([c[x], m[x], y[x]], k[x]));
            }),
            (Space::Ycck, [y, cb, cr, k]) => out.for_each(|(x, pixel)| {
                // YCC is the complement of CMY.
                let cmy = chroma.rgb(y[x], cb[x], cr[x]).map(|value| 255 - value);
                pixel.copy_from_slice(&from_inverted_cmyk(cmy, k[x]));
            }),
            // `Space::of` looked at the number of components.
            _ => return Err(super::damaged("its components have no colour space")),
        }
    }
    RgbImage::from_rgb(*width, *height, pixels)
}

/// Pillow's CMYK to RGB on values that are stored inverted, so 255 is no ink.
fn from_inverted_cmyk(cmy: [u8; 3], k: u8) -> [u8; 3] {
    cmy.map(|value| {
        let product = u32::from(255 - value) * u32::from(k) + 128;
        k.saturating_sub((((product >> 8) + product) >> 8) as u8)
    })
}
