//! What the server needs of a model, and nothing of how it computes.

use crate::{
    Result,
    text::{Task, TaskPrompt},
};

/// One thing to embed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    Text(String),
    /// A picture file, as it was sent.
    Image(Vec<u8>),
}

/// How to embed; inputs of equal options may be computed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    pub task: TaskPrompt,
    /// One vector per token.
    pub multivector: bool,
    /// The inputs are chunks of one document.
    pub late_chunking: bool,
    /// Cut a text that is longer than the model reads, instead of refusing it.
    pub truncate: bool,
    /// Tell the tokens as well.
    pub tokens: bool,
}

/// What became of an input.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Output {
    /// `[rows, dimensions]`, each row of length one
    pub values: Vec<f32>,
    /// Whole: single vectors are cut by the server.
    pub dimensions: usize,
    /// Tokens that were computed.
    pub n_tokens: usize,
    /// One text per row, if [`Options::tokens`] asks for them.
    pub tokens: Option<Vec<String>>,
}

/// A model that embeds, called from one thread.
pub trait Engine {
    /// Embeds inputs, one result each, in order.
    ///
    /// - `is_wanted`: asked between layers; once it is false nobody waits any more, and the call
    ///   may end with `ABORTED`
    ///
    /// The outer error is one of all inputs together.
    fn encode(
        &mut self,
        inputs: Vec<Input>,
        options: Options,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<Vec<Result<Output>>>;

    /// Fails once nothing will ever be computed again, such as after the loss of the device.
    fn check(&self) -> Result<()>;
}

/// What is told about the loaded model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The name that requests give.
    pub name: String,
    /// Names the weights: only vectors of one space may be compared.
    pub space: String,
    /// Length of whole single vectors.
    pub dimensions: usize,
    /// Most tokens of a text, prefix included.
    pub max_tokens: usize,
    /// Tasks that can be computed.
    pub tasks: Vec<Task>,
    pub takes_images: bool,
    pub makes_multivectors: bool,
}

impl Served {
    /// Whether a request for the model `name` means this one; its organisation may stand before it.
    pub fn is_called(&self, name: &str) -> bool {
        let short = ["jinaai/", "jina-ai/"]
            .iter()
            .find_map(|organisation| name.strip_prefix(organisation));
        name == self.name || short == Some(&self.name)
    }
}
