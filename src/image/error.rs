use crate::error::Code;

/// What can be wrong with a picture, or with the file that says how pictures are prepared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing to decode.
    #[error("the picture is empty (0 bytes)")]
    Empty,
    /// The content is no picture format that is read here, whatever the file is called.
    #[error(
        "the picture is none of PNG, JPEG, WebP, GIF, BMP: it starts with the bytes {first_bytes}"
    )]
    UnknownFormat {
        /// The first bytes in hexadecimal.
        first_bytes: String,
    },
    /// The file breaks its format's rules or stops early.
    #[error("the {format} picture is damaged: {reason}")]
    Damaged {
        /// The format that its first bytes announce.
        format: &'static str,
        /// What the decoder met.
        reason: String,
    },
    /// The file is sound, but uses a variant that is not read here.
    #[error("the {format} picture uses {feature}, which is not supported")]
    Unsupported {
        /// The format that its first bytes announce.
        format: &'static str,
        /// The variant it uses.
        feature: String,
    },
    /// One of the sides has no pixels.
    #[error("the picture is {width} x {height} pixels; each side needs at least 1")]
    ZeroSize {
        /// Width in pixels, as the header says.
        width: usize,
        /// Height in pixels, as the header says.
        height: usize,
    },
    /// A side is longer than allowed. Known from the header, before pixel memory is taken.
    #[error("the picture is {width} x {height} pixels; a side may have at most {max_side_px}")]
    SideTooLong {
        /// Width in pixels, as the header says.
        width: usize,
        /// Height in pixels, as the header says.
        height: usize,
        /// The limit that was broken.
        max_side_px: usize,
    },
    /// There are more pixels than allowed. Known from the header, before pixel memory is taken.
    #[error(
        "the picture is {width} x {height} = {n_pixels} pixels; at most {max_pixels_decoded} are decoded"
    )]
    TooManyPixels {
        /// Width in pixels, as the header says.
        width: usize,
        /// Height in pixels, as the header says.
        height: usize,
        /// Their product.
        n_pixels: u64,
        /// The limit that was broken.
        max_pixels_decoded: u64,
    },
    /// Raw pixels whose number does not fit the stated size.
    #[error(
        "a picture of {width} x {height} pixels with {n_channels} bytes each needs {needed} bytes, but {found} were given"
    )]
    WrongPixelCount {
        /// Stated width.
        width: usize,
        /// Stated height.
        height: usize,
        /// Bytes per pixel.
        n_channels: usize,
        /// width x height x n_channels.
        needed: u64,
        /// What was given.
        found: usize,
    },
    /// Too thin for the model, as in the reference.
    #[error(
        "the picture is {width} x {height} pixels, an aspect ratio of {ratio:.1}; the model takes at most {max_ratio}"
    )]
    AspectRatio {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// Longer side through shorter side.
        ratio: f64,
        /// The reference's limit.
        max_ratio: f64,
    },
    /// `max_pixels` of a call is not a size one can resize to.
    #[error("max_pixels must be at least 1, but is {found}")]
    MaxPixels {
        /// What was given.
        found: usize,
    },
    /// The resized picture would be larger than anything the model is made for.
    #[error(
        "a picture of {width} x {height} pixels would be resized to {to_width} x {to_height}, more than {max} pixels"
    )]
    ResizedTooLarge {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// Width after resizing.
        to_width: usize,
        /// Height after resizing.
        to_height: usize,
        /// The limit that was broken.
        max: usize,
    },
    /// The model's preprocessing settings cannot be computed with.
    #[error("preprocessor setting `{key}` must be {needed}, but is {found}")]
    BadSetting {
        /// Name as in `preprocessor_config.json`.
        key: &'static str,
        /// The rule.
        needed: &'static str,
        /// What the file holds.
        found: String,
    },
    /// The model's preprocessing settings ask for something that is not computed here.
    #[error("preprocessor setting `{key}` is {found}; only {needed} is supported")]
    UnsupportedSetting {
        /// Name as in `preprocessor_config.json`.
        key: &'static str,
        /// What is computed here.
        needed: &'static str,
        /// What the file holds.
        found: String,
    },
    /// The settings file is no JSON object of the expected form.
    #[error("preprocessor_config.json cannot be read: {reason}")]
    BadSettingsFile {
        /// What the JSON parser met.
        reason: String,
    },
    /// The memory for the pixels could not be had.
    #[error("no memory for the {n_bytes} bytes of a picture")]
    OutOfMemory {
        /// How much was asked for.
        n_bytes: u64,
    },
}

impl Error {
    /// The stable code of this error.
    pub fn code(&self) -> Code {
        match self {
            Error::BadSetting { .. } | Error::BadSettingsFile { .. } => Code::ModelInvalid,
            Error::UnsupportedSetting { .. } => Code::ModelUnsupported,
            Error::OutOfMemory { .. } => Code::OutOfMemory,
            _ => Code::InputInvalid,
        }
    }
}
