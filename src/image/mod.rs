//! Pictures: from the bytes of a file to the rows of numbers that the vision tower reads.
//!
//! ```text
//! bytes ──► decode ──► RgbImage ──► smart_resize ──► resize_bicubic ──► Patches
//! ```
//!
//! Every step gives the bits that the reference gives (Pillow's `convert("RGB")`, then the fast
//! Qwen2-VL image processor of transformers 4.57 on torchvision), so an embedding differs from the
//! reference's only by the arithmetic of the model itself. In particular, as there:
//! alpha is dropped and not composited, EXIF orientation and colour profiles are ignored, and of an
//! animation the first frame is taken.

mod decode;
mod error;
mod gif;
mod jpeg;
mod patches;
mod preprocessor;
mod resize;
mod rgb;

pub use decode::{Limits, decode};
pub use error::Error;
pub use patches::Patches;
pub use preprocessor::Preprocessor;
pub use resize::resize_bicubic;
pub use rgb::RgbImage;
