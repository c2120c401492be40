//! The model: Qwen2.5-VL with task adapters, written once for every Burn device.
//!
//! `model` knows tensors and sizes, but no files and no browser. Names follow the reference
//! implementation and its checkpoint.

mod config;
mod decoder;
mod linear;
mod mlp;
mod norm;
mod observer;
mod pass;
mod projector;
mod qkv;
pub mod rope;
mod vision;
mod window;

pub use config::{TextConfig, VisionConfig};
pub use decoder::{Decoder, DecoderLayer, SelfAttention};
pub use linear::Linear;
pub use mlp::Mlp;
pub use norm::{RmsNorm, Stream};
pub use observer::{Observer, Stopped};
pub use pass::Pass;
pub use projector::Projector;
pub use rope::Positions;
pub use vision::{Merger, VisionAttention, VisionBlock, VisionTower};
pub use window::WindowLayout;

/// Which low-rank update a forward pass applies: one per task.
pub use crate::text::Task as Adapter;
