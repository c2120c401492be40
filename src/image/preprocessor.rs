//! The model's preprocessing settings, and the size that they give a picture.

use serde::Deserialize;

use super::{Error, Patches, RgbImage, resize_bicubic};

/// Thinner pictures are refused, as in the reference.
const MAX_ASPECT_RATIO: f64 = 200.0;

/// No picture is resized to more than this, whatever the settings say: 64 Mi pixels are 1.5 GiB of
/// patches. The largest setting known to be used is 37.8 million.
const MAX_RESIZED_PIXELS: usize = 64 << 20;

/// How the model wants its pictures. All of it comes from the model's files.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessor {
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Patches along a side of the block that becomes one token.
    pub merge_size: usize,
    /// Frames that one patch spans; a still picture is repeated.
    pub temporal_patch_size: usize,
    /// A smaller picture is enlarged to at least this many pixels.
    pub min_pixels: usize,
    /// A larger picture is shrunk to at most this many pixels.
    pub max_pixels: usize,
    /// Mean per channel on the scale 0..=1.
    pub image_mean: [f32; 3],
    /// Standard deviation per channel on the scale 0..=1.
    pub image_std: [f32; 3],
}

impl Preprocessor {
    /// Reads a Hugging Face `preprocessor_config.json`.
    ///
    /// Fails when a setting is missing or out of range, or asks for something other than what is
    /// computed here (bicubic resampling, rescaling by 1/255, normalising).
    pub fn from_config_json(json: &[u8]) -> Result<Preprocessor, Error> {
        let file: ConfigFile =
            serde_json::from_slice(json).map_err(|error| Error::BadSettingsFile {
                reason: error.to_string(),
            })?;
        let only = |key, holds: bool, needed, found: String| {
            if holds {
                Ok(())
            } else {
                Err(Error::UnsupportedSetting { key, needed, found })
            }
        };
        for (key, value) in [
            ("do_convert_rgb", file.do_convert_rgb),
            ("do_normalize", file.do_normalize),
            ("do_rescale", file.do_rescale),
            ("do_resize", file.do_resize),
        ] {
            only(key, value, "true", value.to_string())?;
        }
        only(
            "resample",
            file.resample == 3,
            "3 (bicubic)",
            file.resample.to_string(),
        )?;
        let factor = file.rescale_factor;
        only(
            "rescale_factor",
            factor == RESCALE_FACTOR,
            "1/255",
            factor.to_string(),
        )?;
        let (shortest, longest) = match file.size {
            Some(Size {
                shortest_edge,
                longest_edge,
            }) => (shortest_edge, longest_edge),
            None => (None, None),
        };
        let missing = |key| Error::BadSetting {
            key,
            needed: "given",
            found: "missing".to_owned(),
        };
        let preprocessor = Preprocessor {
            patch_size: file.patch_size,
            merge_size: file.merge_size,
            temporal_patch_size: file.temporal_patch_size,
            min_pixels: file
                .min_pixels
                .or(shortest)
                .ok_or_else(|| missing("min_pixels"))?,
            max_pixels: file
                .max_pixels
                .or(longest)
                .ok_or_else(|| missing("max_pixels"))?,
            image_mean: file.image_mean,
            image_std: file.image_std,
        };
        preprocessor.check()?;
        Ok(preprocessor)
    }

    /// Fails when a setting cannot be computed with. Every other method calls this first, so a
    /// `Preprocessor` may be filled from any file.
    pub fn check(&self) -> Result<(), Error> {
        let bad = |key, needed, found: String| Err(Error::BadSetting { key, needed, found });
        // The bounds are far above every model; they keep products of them inside 32 bits.
        for (key, value) in [
            ("patch_size", self.patch_size),
            ("merge_size", self.merge_size),
        ] {
            if !(1..=256).contains(&value) {
                return bad(key, "between 1 and 256", value.to_string());
            }
        }
        if !(1..=16).contains(&self.temporal_patch_size) {
            let found = self.temporal_patch_size.to_string();
            return bad("temporal_patch_size", "between 1 and 16", found);
        }
        if self.min_pixels == 0 {
            return bad("min_pixels", "at least 1", self.min_pixels.to_string());
        }
        if self.max_pixels < self.min_pixels {
            return bad(
                "max_pixels",
                "at least min_pixels",
                self.max_pixels.to_string(),
            );
        }
        if self.image_mean.iter().any(|mean| !mean.is_finite()) {
            return bad(
                "image_mean",
                "three finite numbers",
                format!("{:?}", self.image_mean),
            );
        }
        if self
            .image_std
            .iter()
            .any(|std| !std.is_normal() || *std < 0.0)
        {
            return bad(
                "image_std",
                "three positive numbers",
                format!("{:?}", self.image_std),
            );
        }
        Ok(())
    }

    /// The height and width to which a picture is resized: multiples of `patch_size * merge_size`
    /// near the original ones, between `min_pixels` and `max_pixels` in all where that is possible.
    ///
    /// Python's rounding (halves to even), and no lower bound on a side, as in transformers 4.57.
    /// Fails when the longer side is more than 200 times the shorter.
    pub fn smart_resize(&self, height: usize, width: usize) -> Result<(usize, usize), Error> {
        self.smart_resize_to(height, width, self.max_pixels)
    }

    /// [`Preprocessor::smart_resize`] under another limit than the model's.
    pub fn smart_resize_to(
        &self,
        height: usize,
        width: usize,
        max_pixels: usize,
    ) -> Result<(usize, usize), Error> {
        self.check()?;
        if width == 0 || height == 0 {
            return Err(Error::ZeroSize { width, height });
        }
        if max_pixels == 0 {
            return Err(Error::MaxPixels { found: max_pixels });
        }
        let ratio = height.max(width) as f64 / height.min(width) as f64;
        if ratio > MAX_ASPECT_RATIO {
            return Err(Error::AspectRatio {
                width,
                height,
                ratio,
                max_ratio: MAX_ASPECT_RATIO,
            });
        }
        let factor = (self.patch_size * self.merge_size) as f64;
        let (h, w) = (height as f64, width as f64);
        let rounded = |side: f64| (side / factor).round_ties_even() * factor;
        let (mut to_h, mut to_w) = (rounded(h), rounded(w));
        if to_h * to_w > max_pixels as f64 {
            let beta = (h * w / max_pixels as f64).sqrt();
            let shrunk = |side: f64| ((side / beta / factor).floor() * factor).max(factor);
            (to_h, to_w) = (shrunk(h), shrunk(w));
        } else if to_h * to_w < self.min_pixels as f64 {
            let beta = (self.min_pixels as f64 / (h * w)).sqrt();
            let grown = |side: f64| (side * beta / factor).ceil() * factor;
            (to_h, to_w) = (grown(h), grown(w));
        }
        let (to_height, to_width) = (to_h as usize, to_w as usize);
        if to_h * to_w > MAX_RESIZED_PIXELS as f64 {
            let max = MAX_RESIZED_PIXELS;
            return Err(Error::ResizedTooLarge {
                width,
                height,
                to_width,
                to_height,
                max,
            });
        }
        Ok((to_height, to_width))
    }

    /// Resizes a picture and cuts it into normalised patches.
    ///
    /// - `max_pixels`: replaces the model's own limit for this call
    ///
    /// Fails on an aspect ratio above 200, on `max_pixels` 0, and when there is no memory.
    pub fn patches(&self, image: &RgbImage, max_pixels: Option<usize>) -> Result<Patches, Error> {
        Patches::new(self, &self.resized(image, max_pixels)?)
    }

    /// The picture as [`Preprocessor::patches`] cuts it: resized, still 8-bit RGB.
    pub fn resized(&self, image: &RgbImage, max_pixels: Option<usize>) -> Result<RgbImage, Error> {
        let max_pixels = max_pixels.unwrap_or(self.max_pixels);
        let (height, width) = self.smart_resize_to(image.height(), image.width(), max_pixels)?;
        resize_bicubic(image, width, height)
    }

    /// For each channel, the normalised value of every 8-bit value.
    ///
    /// `(u8 - mean / rescale) / (std / rescale)` in f32, the fused form of the reference, which
    /// differs in the last bits from normalising `u8 / 255`.
    pub(super) fn normalised(&self) -> [[f32; 256]; 3] {
        let unscale = (1.0 / RESCALE_FACTOR) as f32;
        std::array::from_fn(|channel| {
            let mean = self.image_mean[channel] * unscale;
            let std = self.image_std[channel] * unscale;
            std::array::from_fn(|value| (value as f32 - mean) / std)
        })
    }
}

/// 1/255 as `preprocessor_config.json` spells it.
const RESCALE_FACTOR: f64 = 0.00392156862745098;

#[derive(Deserialize)]
struct ConfigFile {
    patch_size: usize,
    merge_size: usize,
    temporal_patch_size: usize,
    min_pixels: Option<usize>,
    max_pixels: Option<usize>,
    size: Option<Size>,
    image_mean: [f32; 3],
    image_std: [f32; 3],
    #[serde(default = "yes")]
    do_convert_rgb: bool,
    #[serde(default = "yes")]
    do_normalize: bool,
    #[serde(default = "yes")]
    do_rescale: bool,
    #[serde(default = "yes")]
    do_resize: bool,
    #[serde(default = "bicubic")]
    resample: u32,
    #[serde(default = "rescale_factor")]
    rescale_factor: f64,
}

#[derive(Deserialize)]
struct Size {
    shortest_edge: Option<usize>,
    longest_edge: Option<usize>,
}

fn yes() -> bool {
    true
}

fn bicubic() -> u32 {
    3
}

fn rescale_factor() -> f64 {
    RESCALE_FACTOR
}
