//! The loaded model as the server's engine.

use std::collections::BTreeSet;

use jina_embeddings_web::{
    Embedder, EncodeOptions, Error, Input, Result,
    model::{Observer, Stopped},
    server::{self, Engine, Options, Output, Served},
    text::{late_chunking::Document, prompt},
};

/// An embedder that answers the server.
pub struct Local {
    embedder: Embedder,
    max_tokens: usize,
    max_pixels: Option<usize>,
}

impl Local {
    /// - `max_tokens`: most tokens of a text; the model's own limit if that is less
    /// - `max_pixels`: most pixels a picture is resized to, instead of the model's limit
    pub fn new(embedder: Embedder, max_tokens: usize, max_pixels: Option<usize>) -> Local {
        let max_tokens = max_tokens.min(embedder.decoder().config.max_length);
        Local {
            embedder,
            max_tokens,
            max_pixels,
        }
    }

    /// What is told about the model under the name `name`.
    pub fn served(&self, name: String, space: String) -> Served {
        let tasks: BTreeSet<_> = self.embedder.tasks().collect();
        Served {
            name,
            space,
            dimensions: self.embedder.decoder().config.hidden_size,
            max_tokens: self.max_tokens,
            tasks: tasks.into_iter().collect(),
            takes_images: self.embedder.vision().is_some(),
            makes_multivectors: self.embedder.projector().is_some(),
        }
    }

    /// Fails on a text that would be cut.
    fn check_length(&self, text: &str) -> Result<()> {
        let found = self.embedder.tokenizer().encode(text)?.len();
        match found <= self.max_tokens {
            true => Ok(()),
            false => Err(Error::Option {
                option: "truncate",
                needed: format!(
                    "to be true for a text of more than {} tokens",
                    self.max_tokens
                ),
                found: format!("{found} tokens"),
            }),
        }
    }

    /// What stands for an input that is never computed, and why it is not.
    fn check(&self, inputs: &[Input], options: Options) -> Result<Vec<Option<Error>>> {
        if options.truncate {
            return Ok(inputs.iter().map(|_| None).collect());
        }
        if options.late_chunking {
            let texts: Vec<&str> = inputs.iter().filter_map(text).collect();
            let document = Document::new(options.task, &texts)?;
            self.check_length(document.text())?;
            return Ok(inputs.iter().map(|_| None).collect());
        }
        let one = |input: &Input| {
            let text = text(input)?;
            let text = prompt::full_text(options.task, text);
            self.check_length(&text).err()
        };
        Ok(inputs.iter().map(one).collect())
    }

    /// The text of each token of an input, in the order of the rows of its multi-vector.
    ///
    /// - `n_tokens`: how many rows there are
    fn tokens(&self, input: &Input, options: Options, n_tokens: usize) -> Result<Vec<String>> {
        let tokenizer = self.embedder.tokenizer();
        let text = match input {
            Input::Text(text) => prompt::full_text(options.task, text),
            Input::Image(_) | Input::Pixels(_) => {
                let n_around = prompt::image_prompt(tokenizer, 0)?.ids.len();
                prompt::image_text(n_tokens.saturating_sub(n_around))
            }
        };
        let mut tokens = tokenizer.encode(&text)?;
        tokens.truncate(n_tokens)?;
        let spans = tokens.offsets.into_iter();
        let token = |(start, end)| text.get(start..end).unwrap_or_default().to_owned();
        Ok(spans.map(token).collect())
    }
}

fn text(input: &Input) -> Option<&str> {
    match input {
        Input::Text(text) => Some(text),
        Input::Image(_) | Input::Pixels(_) => None,
    }
}

/// Ends a pass of which nobody waits for the result.
struct WhileWanted<'a>(&'a dyn Fn() -> bool);

impl Observer for WhileWanted<'_> {
    fn before_layer(&mut self) -> impl Future<Output = std::result::Result<(), Stopped>> {
        std::future::ready(match (self.0)() {
            true => Ok(()),
            false => Err(Stopped),
        })
    }
}

impl Engine for Local {
    fn encode(
        &mut self,
        inputs: Vec<server::Input>,
        options: Options,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<Vec<Result<Output>>> {
        let to_encode = EncodeOptions {
            multivector: options.multivector,
            late_chunking: options.late_chunking,
            max_pixels: self.max_pixels,
            max_length: Some(self.max_tokens),
            ..EncodeOptions::new(options.task)
        };
        let inputs = inputs.into_iter().map(|input| match input {
            server::Input::Text(text) => Input::Text(text),
            server::Input::Image(bytes) => Input::Image(bytes),
        });
        let inputs: Vec<Input> = inputs.collect();
        let refused = self.check(&inputs, options)?;
        let is_sound = refused.iter().map(Option::is_none);
        let sound: Vec<Input> = inputs
            .into_iter()
            .zip(is_sound)
            .filter_map(|(input, is_sound)| is_sound.then_some(input))
            .collect();
        let observer = &mut WhileWanted(is_wanted);
        let encoding = self
            .embedder
            .encode(&sound, &to_encode, observer, |_, _| ());
        let mut results = pollster::block_on(encoding)?.into_iter().zip(&sound);
        let one = |refused: Option<Error>| {
            if let Some(error) = refused {
                return Err(error);
            }
            // One result for each that was not refused.
            let (result, input) = results.next().ok_or(Error::Aborted)?;
            let embedding = result?;
            let tokens = match options.tokens {
                true => Some(self.tokens(input, options, embedding.rows)?),
                false => None,
            };
            Ok(Output {
                values: embedding.values,
                dimensions: embedding.dimensions,
                n_tokens: embedding.n_tokens,
                tokens,
            })
        };
        Ok(refused.into_iter().map(one).collect())
    }

    fn check(&self) -> Result<()> {
        self.embedder.device().check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jina_embeddings_web::{Code, Device, model_files::ModelFiles};
    use std::{cell::Cell, path::Path};

    fn tiny(max_tokens: usize) -> Local {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let model = fixtures.join("tiny_gguf/tiny-jina-v4-a-retrieval-Q4_0.gguf");
        let files = ModelFiles::find(&model).expect("a model");
        let embedder = files.load(&Device::cpu(), |_| ()).expect("a model");
        Local::new(embedder, max_tokens, None)
    }

    fn options() -> Options {
        Options {
            task: "retrieval.query".parse().expect("a task"),
            multivector: false,
            late_chunking: false,
            truncate: false,
            tokens: false,
        }
    }

    fn texts(texts: &[&str]) -> Vec<server::Input> {
        let text = |text: &&str| server::Input::Text((*text).into());
        texts.iter().map(text).collect()
    }

    #[test]
    fn a_turn_of_which_nobody_waits_ends_before_its_next_layer() {
        let n_asked = Cell::new(0);
        let mut whole = tiny(100);
        let always = || {
            n_asked.set(n_asked.get() + 1);
            true
        };
        let inputs = texts(&["a", "b"]);
        whole
            .encode(inputs.clone(), options(), &always)
            .expect("vectors");
        let n_whole = n_asked.get();
        assert!(n_whole > 2 * 4, "asked {n_whole} times for 2 x 4 layers");

        n_asked.set(0);
        let three_times = || {
            n_asked.set(n_asked.get() + 1);
            n_asked.get() < 3
        };
        let error = whole.encode(inputs, options(), &three_times);
        assert_eq!(error.expect_err("nobody waits").code(), Code::Aborted);
        assert_eq!(n_asked.get(), 3);
    }

    #[test]
    fn a_text_that_is_refused_leaves_the_others_their_vectors() {
        let long = "word ".repeat(50);
        let results = tiny(20).encode(texts(&["a", &long, "b"]), options(), &|| true);
        let results = results.expect("results");
        assert!(results[0].is_ok() && results[2].is_ok());
        let error = results[1].as_ref().expect_err("too long");
        assert!(error.to_string().contains("more than 20 tokens"), "{error}");
        let alone = tiny(20).encode(texts(&["b"]), options(), &|| true);
        assert_eq!(
            results[2].as_ref().ok(),
            alone.expect("results")[0].as_ref().ok()
        );
    }
}
