//! Text and pictures in, vectors out.

mod memory;
mod options;

use std::collections::BTreeSet;

use burn::tensor::{Tensor, TensorData};

pub use memory::Scratch;
pub use options::EncodeOptions;

use crate::{
    Device, Error, Result,
    image::{self, Patches, Preprocessor, RgbImage},
    kernels::Kernels,
    model::{Decoder, Observer, Pass, Positions, Projector, VisionTower},
    pooling,
    text::{Task, Tokenizer, Tokens, late_chunking::Document, prompt, prompt::ImagePrompt},
    weights::Loaded,
};

/// One thing to embed.
#[derive(Debug, Clone)]
pub enum Input {
    /// Any text. Strings of special tokens in it are tokenised as such, as in the reference, but
    /// never change how the text is pooled: that follows the kind of input.
    Text(String),
    /// A PNG, JPEG, WebP, GIF (first frame) or BMP file.
    Image(Vec<u8>),
    /// A decoded picture.
    Pixels(RgbImage),
}

/// What became of one input.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// `[rows, dimensions]`, each row of length one
    pub values: Vec<f32>,
    /// One, or the number of tokens in a multi-vector.
    pub rows: usize,
    pub dimensions: usize,
    /// Tokens that were computed.
    pub n_tokens: usize,
}

/// A loaded model that embeds.
pub struct Embedder {
    device: Device,
    decoder: Decoder,
    vision: Option<VisionTower>,
    projector: Option<Projector>,
    tokenizer: Tokenizer,
    tasks: BTreeSet<Task>,
    kernels: Kernels,
    name: Option<String>,
    limits: image::Limits,
    scratch: Scratch,
}

/// An input on its way into the model.
enum Prepared {
    Text(Tokens),
    Image {
        patches: Patches,
        prompt: ImagePrompt,
    },
}

impl Embedder {
    /// An embedder of a loaded model.
    pub fn new(device: Device, loaded: Loaded) -> Self {
        let Loaded {
            decoder,
            vision,
            projector,
            tokenizer,
            tasks,
            name,
        } = loaded;
        let limits = image::Limits::default();
        let kernels = device.kernels();
        let scratch = Scratch::new(&device, &decoder, vision.as_ref());
        Self {
            device,
            decoder,
            vision,
            projector,
            tokenizer,
            tasks,
            kernels,
            name,
            limits,
            scratch,
        }
    }

    /// The same embedder with another form of its operations, to compare them.
    pub fn with_kernels(mut self, kernels: Kernels) -> Self {
        self.kernels = kernels;
        self
    }

    /// The same embedder, which refuses inputs that need more memory than this.
    ///
    /// - `limit`: bytes of the graphics device that encoding may use beside the weights
    pub fn with_scratch_limit(mut self, limit: Option<u64>) -> Self {
        self.scratch = self.scratch.limited(limit);
        self
    }

    /// What encoding takes on the device beside the weights.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// The form of its operations.
    pub fn kernels(&self) -> Kernels {
        self.kernels
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    pub fn vision(&self) -> Option<&VisionTower> {
        self.vision.as_ref()
    }

    pub fn projector(&self) -> Option<&Projector> {
        self.projector.as_ref()
    }

    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// `general.name` of the text file.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Tasks that can be computed.
    pub fn tasks(&self) -> impl Iterator<Item = Task> {
        self.tasks.iter().copied()
    }

    /// Embeds each input; a bad one leaves the others unharmed.
    ///
    /// - `observer`: may stop the call between layers; then the whole call fails with `ABORTED`
    /// - `on_done`: called with the number of inputs done and their total
    /// - returns: one result per input, in order; no inputs give no results
    ///
    /// The outer error is one of the call: options that do not fit the model, a failed device.
    pub async fn encode<O: Observer>(
        &self,
        inputs: &[Input],
        options: &EncodeOptions,
        observer: &mut O,
        on_done: impl FnMut(usize, usize),
    ) -> Result<Vec<Result<Embedding>>> {
        let pass = self.check_options(options)?;
        let results = self
            .device
            .watched(async {
                match options.late_chunking {
                    true => {
                        self.encode_chunks(inputs, options, pass, observer, on_done)
                            .await
                    }
                    false => {
                        self.encode_each(inputs, options, pass, observer, on_done)
                            .await
                    }
                }
            })
            .await;
        self.release(observer);
        results
    }

    /// Returns to the platform what no tensor uses.
    fn release<O: Observer>(&self, observer: &mut O) {
        self.device.release_unused();
        observer.released();
    }

    async fn encode_each<O: Observer>(
        &self,
        inputs: &[Input],
        options: &EncodeOptions,
        pass: Pass,
        observer: &mut O,
        mut on_done: impl FnMut(usize, usize),
    ) -> Result<Vec<Result<Embedding>>> {
        let mut results = Vec::with_capacity(inputs.len());
        let mut held = 0;
        for input in inputs {
            observer.before_layer().await?;
            observer.began();
            results.push(match self.prepare(input, options) {
                Ok((prepared, needed)) => {
                    observer.prepared();
                    // Pages of shorter inputs are of no use to a longer one; kept, those of many
                    // lengths would add up.
                    if needed > held {
                        if held > 0 {
                            self.release(observer);
                        }
                        held = needed;
                    }
                    match self.encode_one(&prepared, options, pass, observer).await {
                        Err(error) if error.is_of_one_input() => Err(error),
                        other => Ok(other?),
                    }
                }
                Err(error) => Err(error),
            });
            on_done(results.len(), inputs.len());
        }
        Ok(results)
    }

    /// Everything up to the first tensor, and the bytes that the rest takes on the device.
    fn prepare(&self, input: &Input, options: &EncodeOptions) -> Result<(Prepared, u64)> {
        let image = match input {
            Input::Text(text) => {
                let text = prompt::full_text(options.task, text);
                let mut tokens = self.tokenizer.encode(&text)?;
                tokens.truncate(options.max_length.unwrap_or(self.decoder.config.max_length))?;
                let needed = self.scratch.check_text(tokens.ids.len())?;
                return Ok((Prepared::Text(tokens), needed));
            }
            Input::Image(bytes) => &image::decode(bytes, &self.limits)?,
            Input::Pixels(image) => image,
        };
        let vision = self.vision.as_ref().ok_or_else(|| Error::TaskUnavailable {
            needed: "vision tower".into(),
            found: "none in the loaded files".into(),
        })?;
        let patches = preprocessor(vision).patches(image, options.max_pixels)?;
        let n_units = patches.n_rows * patches.n_cols / vision.config.merge_unit();
        let prompt = prompt::image_prompt(&self.tokenizer, n_units)?;
        let max_length = self.decoder.config.max_length;
        if prompt.ids.len() > max_length {
            return Err(Error::Option {
                option: "maxPixels",
                needed: format!("a picture of at most {max_length} tokens"),
                found: format!("{} tokens", prompt.ids.len()),
            });
        }
        let n_patches = patches.n_rows * patches.n_cols;
        let needed = self.scratch.check_picture(n_patches, prompt.ids.len())?;
        Ok((Prepared::Image { patches, prompt }, needed))
    }

    async fn encode_one<O: Observer>(
        &self,
        prepared: &Prepared,
        options: &EncodeOptions,
        pass: Pass,
        observer: &mut O,
    ) -> Result<Embedding> {
        let (hidden_states, pooled) = match prepared {
            Prepared::Text(tokens) => (
                self.hidden_states_of_text(&tokens.ids, pass, observer)
                    .await?,
                0..tokens.ids.len(),
            ),
            Prepared::Image { patches, prompt } => (
                self.hidden_states_of_image(patches, prompt, pass, observer)
                    .await?,
                prompt.pooled.clone(),
            ),
        };
        let n_tokens = hidden_states.dims()[0];
        if options.multivector {
            let projector = self
                .projector
                .as_ref()
                .ok_or_else(|| Error::TaskUnavailable {
                    needed: "multi-vector projector".into(),
                    found: "none in the loaded files".into(),
                })?;
            let dimensions = projector.dim();
            let rows = projector.forward(hidden_states, pass);
            let mut values = self.read(rows).await?;
            values.chunks_mut(dimensions).for_each(pooling::normalize);
            return Ok(Embedding {
                values,
                rows: n_tokens,
                dimensions,
                n_tokens,
            });
        }
        let mean = mean_of_rows(hidden_states, pooled);
        let mean = self.read(mean).await?;
        Ok(self.single_vector(mean, options, n_tokens))
    }

    /// Embeds the inputs as chunks of one document (spec section 8).
    async fn encode_chunks<O: Observer>(
        &self,
        inputs: &[Input],
        options: &EncodeOptions,
        pass: Pass,
        observer: &mut O,
        mut on_done: impl FnMut(usize, usize),
    ) -> Result<Vec<Result<Embedding>>> {
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        let mut chunks = Vec::with_capacity(inputs.len());
        for (index, input) in inputs.iter().enumerate() {
            match input {
                Input::Text(text) => chunks.push(text.as_str()),
                Input::Image(_) | Input::Pixels(_) => {
                    return Err(Error::Input {
                        index,
                        source: Box::new(Error::Option {
                            option: "lateChunking",
                            needed: "inputs that are all text".into(),
                            found: "a picture".into(),
                        }),
                    });
                }
            }
        }
        let max_length = options.max_length.unwrap_or(self.decoder.config.max_length);
        let document = Document::new(options.task, &chunks)?;
        let mut tokens = self.tokenizer.encode(document.text())?;
        let spans = document.token_spans(&tokens, max_length)?;
        tokens.truncate(max_length)?;
        self.scratch
            .check_text(tokens.ids.len())
            .map_err(|source| Error::Input {
                // The document is all of them; the last is where it is too long.
                index: inputs.len().saturating_sub(1),
                source: Box::new(source),
            })?;
        observer.prepared();
        let hidden_states = self
            .hidden_states_of_text(&tokens.ids, pass, observer)
            .await?;
        let means = spans
            .iter()
            .map(|span| mean_of_rows(hidden_states.clone(), span.clone()))
            .collect();
        let means = self.read(Tensor::cat(means, 0)).await?;
        let results = means
            .chunks(self.decoder.config.hidden_size)
            .zip(&spans)
            .map(|(mean, span)| Ok(self.single_vector(mean.to_vec(), options, span.len())))
            .collect();
        on_done(inputs.len(), inputs.len());
        Ok(results)
    }

    /// - returns: `[ids.len(), hidden_size]`
    async fn hidden_states_of_text<O: Observer>(
        &self,
        ids: &[u32],
        pass: Pass,
        observer: &mut O,
    ) -> Result<Tensor<2>> {
        let embeddings = self.decoder.embed(ids);
        observer.tensor(|| "text.embed_tokens".into(), || embeddings.clone());
        let positions = Positions::text(ids.len());
        Ok(self
            .decoder
            .forward(embeddings, &positions, pass, observer)
            .await?)
    }

    /// - returns: `[prompt.ids.len(), hidden_size]`
    async fn hidden_states_of_image<O: Observer>(
        &self,
        patches: &Patches,
        prompt: &ImagePrompt,
        pass: Pass,
        observer: &mut O,
    ) -> Result<Tensor<2>> {
        let vision = self.vision.as_ref().ok_or_else(|| Error::TaskUnavailable {
            needed: "vision tower".into(),
            found: "none in the loaded files".into(),
        })?;
        let config = &vision.config;
        let n_patches = patches.n_rows * patches.n_cols;
        let [n_rows, n_cols] =
            [patches.n_rows, patches.n_cols].map(|n| n / config.spatial_merge_size);
        let data = TensorData::new(patches.values.clone(), [n_patches, config.patch_elements()]);
        let patches = Tensor::<2>::from_data(data, self.device.burn());
        let units = vision
            .forward(patches, n_rows, n_cols, pass.kernels, observer)
            .await?;

        let embeddings = self.decoder.embed(&prompt.ids);
        observer.tensor(|| "text.embed_tokens".into(), || embeddings.clone());
        let span = prompt.image_tokens.clone();
        let n_after = prompt.ids.len() - span.end;
        let embeddings = Tensor::cat(
            vec![
                embeddings.clone().narrow(0, 0, span.start),
                units,
                embeddings.narrow(0, span.end, n_after),
            ],
            0,
        );
        let positions = Positions::with_image(prompt.ids.len(), span.start, n_rows, n_cols);
        Ok(self
            .decoder
            .forward(embeddings, &positions, pass, observer)
            .await?)
    }

    fn single_vector(
        &self,
        mut mean: Vec<f32>,
        options: &EncodeOptions,
        n_tokens: usize,
    ) -> Embedding {
        pooling::normalize(&mut mean);
        let dimensions = options.dimensions.unwrap_or(mean.len());
        let values = pooling::truncate(mean, dimensions);
        Embedding {
            values,
            rows: 1,
            dimensions,
            n_tokens,
        }
    }

    /// The numbers of a tensor; a number that is not finite is an error, not a result.
    async fn read(&self, tensor: Tensor<2>) -> Result<Vec<f32>> {
        let data = tensor
            .into_data_async()
            .await
            .map_err(|error| self.device.execution_error(error))?;
        let values: Vec<f32> = data
            .try_to_vec()
            .map_err(|error| self.device.execution_error(error))?;
        // A device that failed leaves zeros or old numbers behind: its error comes first.
        self.device.check()?;
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(element) => Err(Error::NotFinite { element }),
        }
    }
}

/// The mean of rows `span` of `[rows, width]`, as `[1, width]`.
fn mean_of_rows(x: Tensor<2>, span: std::ops::Range<usize>) -> Tensor<2> {
    x.narrow(0, span.start, span.len()).mean_dim(0)
}

/// The picture preprocessing that belongs to a vision tower.
fn preprocessor(vision: &VisionTower) -> Preprocessor {
    let config = &vision.config;
    Preprocessor {
        patch_size: config.patch_size,
        merge_size: config.spatial_merge_size,
        temporal_patch_size: config.temporal_patch_size,
        min_pixels: config.min_pixels,
        max_pixels: config.max_pixels,
        image_mean: config.image_mean,
        image_std: config.image_std,
    }
}
