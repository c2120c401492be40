//! `jina-embed encode`: JSON Lines of inputs in, JSON Lines of vectors out, one by one, so that a
//! pipe of any length runs in the same memory.

use std::io::{BufRead, BufWriter, IsTerminal, Write, stderr, stdin, stdout};
use std::path::PathBuf;

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jina_embeddings_web::{
    Code, Embedder, Embedding, EncodeOptions, Error, Input, text::TaskPrompt,
};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::model::{ModelArgs, load};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// retrieval.query, retrieval.passage, text-matching, code.query or code.passage
    #[arg(long)]
    task: TaskPrompt,
    /// Length of the vectors, one of the model's Matryoshka lengths [default: whole]
    #[arg(long, value_name = "N")]
    dimensions: Option<usize>,
    /// One vector per token
    #[arg(long)]
    multivector: bool,
    /// Read all lines as chunks of one document
    #[arg(long)]
    late_chunking: bool,
    /// Most pixels a picture is resized to [default: the model's]
    #[arg(long, value_name = "N")]
    max_pixels: Option<usize>,
    /// Most tokens of a text; the rest is cut off [default: the model's]
    #[arg(long, value_name = "N")]
    max_length: Option<usize>,
}

/// One line of standard input.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Text(String),
    Image(PathBuf),
}

/// One line of standard output.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer<'a> {
    Single {
        index: usize,
        embedding: &'a [f32],
    },
    Multi {
        index: usize,
        embeddings: Vec<&'a [f32]>,
    },
    Failed {
        index: usize,
        error: AnswerError,
    },
}

#[derive(Serialize)]
struct AnswerError {
    code: &'static str,
    message: String,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let device = args.model.open_device()?;
    let embedder = load(&args.model.files()?, &device)?;
    let options = EncodeOptions {
        task: args.task,
        dimensions: args.dimensions,
        multivector: args.multivector,
        late_chunking: args.late_chunking,
        max_pixels: args.max_pixels,
        max_length: args.max_length,
    };
    // Options that do not fit the model fail here, before a line is waited for.
    encode(&embedder, &[], &options)?;
    let mut writer = Writer::new(options.multivector);
    match options.late_chunking {
        true => encode_document(&embedder, &options, &mut writer)?,
        false => encode_lines(&embedder, &options, &mut writer)?,
    }
    writer.finish()
}

fn encode_lines(
    embedder: &Embedder,
    options: &EncodeOptions,
    writer: &mut Writer,
) -> Result<(), Failure> {
    for (index, line) in stdin().lock().split(b'\n').enumerate() {
        let result = match read_line(&read(line)?) {
            Ok(input) => encode(embedder, &[input], options)?
                .pop()
                .unwrap_or(Err(Error::Aborted)),
            Err(error) => Err(error),
        };
        writer.write(index, &result)?;
    }
    Ok(())
}

fn encode_document(
    embedder: &Embedder,
    options: &EncodeOptions,
    writer: &mut Writer,
) -> Result<(), Failure> {
    let mut inputs = Vec::new();
    for (index, line) in stdin().lock().split(b'\n').enumerate() {
        let input = read_line(&read(line)?).map_err(|source| Error::Input {
            index,
            source: Box::new(source),
        })?;
        inputs.push(input);
    }
    for (index, result) in encode(embedder, &inputs, options)?.iter().enumerate() {
        writer.write(index, result)?;
    }
    Ok(())
}

fn encode(
    embedder: &Embedder,
    inputs: &[Input],
    options: &EncodeOptions,
) -> Result<Vec<Result<Embedding, Error>>, Error> {
    pollster::block_on(embedder.encode(inputs, options, &mut (), |_, _| ()))
}

fn read(line: std::io::Result<Vec<u8>>) -> Result<Vec<u8>, Failure> {
    line.map_err(|error| Failure::new(Code::Io, format!("standard input: {error}")))
}

/// One line, which need not even be UTF-8: what is wrong with it harms no other.
fn read_line(line: &[u8]) -> Result<Input, Error> {
    let line: Line = serde_json::from_slice(line).map_err(|error| Error::Option {
        option: "line",
        needed: r#"{"text": "..."} or {"image": "path"}"#.into(),
        found: error.to_string(),
    })?;
    match line {
        Line::Text(text) => Ok(Input::Text(text)),
        Line::Image(path) => match std::fs::read(&path) {
            Ok(bytes) => Ok(Input::Image(bytes)),
            Err(source) => Err(Error::Io {
                path: path.display().to_string(),
                source,
            }),
        },
    }
}

/// Writes answers and counts those that failed.
struct Writer {
    out: BufWriter<std::io::Stdout>,
    n_written: u64,
    n_failed: u64,
    shown: ProgressBar,
    multivector: bool,
}

impl Writer {
    fn new(multivector: bool) -> Writer {
        // The count moves on a terminal; elsewhere the summary at the end is enough.
        let target = match stderr().is_terminal() && !stdout().is_terminal() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let shown = ProgressBar::with_draw_target(None, target);
        let style = ProgressStyle::with_template("{human_pos} inputs, {per_sec}");
        let shown = style.map_or(shown.clone(), |style| shown.with_style(style));
        Writer {
            out: BufWriter::new(stdout()),
            n_written: 0,
            n_failed: 0,
            shown,
            multivector,
        }
    }

    fn write(&mut self, index: usize, result: &Result<Embedding, Error>) -> Result<(), Failure> {
        let answer = match result {
            Ok(embedding) if !self.multivector => Answer::Single {
                index,
                embedding: &embedding.values,
            },
            Ok(embedding) => Answer::Multi {
                index,
                embeddings: embedding.values.chunks(embedding.dimensions).collect(),
            },
            Err(error) => {
                self.n_failed += 1;
                let (code, message) = (error.code().as_str(), error.to_string());
                Answer::Failed {
                    index,
                    error: AnswerError { code, message },
                }
            }
        };
        self.n_written += 1;
        self.shown.inc(1);
        let output = |error| Failure::new(Code::Io, format!("standard output: {error}"));
        let line = serde_json::to_string(&answer)
            .map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
        writeln!(self.out, "{line}").map_err(output)?;
        // A reader at the other end of the pipe gets each answer when it is there.
        self.out.flush().map_err(output)
    }

    fn finish(self) -> Result<(), Failure> {
        self.shown.finish_and_clear();
        match self.n_failed {
            0 => Ok(()),
            n_failed => Err(Failure::new(
                Code::InputInvalid,
                format!(
                    "{} of {} inputs failed; their lines say why",
                    HumanCount(n_failed),
                    HumanCount(self.n_written)
                ),
            )),
        }
    }
}
