use std::io::{IsTerminal, stderr};
use std::path::PathBuf;

use clap::ValueEnum;
use indicatif::{DecimalBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jina_embeddings_web::convert::{self, Options, Progress};

use crate::failure::Failure;

#[derive(clap::Args)]
pub struct Args {
    /// Directory as published: config.json, safetensors shards, adapters/, tokenizer.json
    #[arg(long, value_name = "HF_DIR")]
    from: PathBuf,
    /// Model directory to make
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// How the text model's matrices are stored
    #[arg(long, value_enum)]
    dtype: Dtype,
    /// How the vision tower's matrices are stored [default: q8_0, or f32 with --dtype f32]
    #[arg(long, value_enum)]
    vision_dtype: Option<Dtype>,
    /// Cut the text model into files of about this size (K, M and G are powers of 1000)
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = parse_size)]
    split_size: u64,
    /// Name of the model [default: as in config.json]
    #[arg(long)]
    name: Option<String>,
    /// Replace a model directory that is there already
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Dtype {
    F32,
    F16,
    Bf16,
    #[value(name = "q8_0")]
    Q8_0,
    #[value(name = "q4_0")]
    Q4_0,
}

impl From<Dtype> for convert::Dtype {
    fn from(dtype: Dtype) -> convert::Dtype {
        match dtype {
            Dtype::F32 => convert::Dtype::F32,
            Dtype::F16 => convert::Dtype::F16,
            Dtype::Bf16 => convert::Dtype::Bf16,
            Dtype::Q8_0 => convert::Dtype::Q8_0,
            Dtype::Q4_0 => convert::Dtype::Q4_0,
        }
    }
}

pub fn run(args: Args) -> Result<(), Failure> {
    let default = if args.dtype == Dtype::F32 {
        Dtype::F32
    } else {
        Dtype::Q8_0
    };
    let options = Options {
        from: args.from,
        to: args.to,
        dtype: args.dtype.into(),
        vision_dtype: args.vision_dtype.unwrap_or(default).into(),
        split_bytes: args.split_size,
        name: args.name,
        force: args.force,
    };
    let mut display = Display::new();
    let manifest = convert::convert(&options, &mut |progress| display.show(progress))?;
    display.clear();
    let n_bytes = manifest.files.iter().map(|file| file.n_bytes).sum();
    eprintln!(
        "{}: {} files, {}, space {}",
        options.to.display(),
        manifest.files.len(),
        DecimalBytes(n_bytes),
        manifest.space
    );
    Ok(())
}

/// A bar on a terminal; elsewhere one line per file.
enum Display {
    Bar(ProgressBar),
    Lines { current: String },
}

impl Display {
    fn new() -> Display {
        if !stderr().is_terminal() {
            return Display::Lines {
                current: String::new(),
            };
        }
        let template = "{msg} {wide_bar} {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left";
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        Display::Bar(match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        })
    }

    fn show(&mut self, progress: Progress) {
        match self {
            Display::Bar(bar) => {
                bar.set_length(progress.total_bytes);
                bar.set_position(progress.done_bytes);
                if bar.message() != progress.file {
                    bar.set_message(progress.file.to_owned());
                }
            }
            Display::Lines { current } if current != progress.file => {
                let (done, total) = (progress.done_bytes, progress.total_bytes);
                eprintln!(
                    "{} ({} of {} written)",
                    progress.file,
                    DecimalBytes(done),
                    DecimalBytes(total)
                );
                progress.file.clone_into(current);
            }
            Display::Lines { .. } => {}
        }
    }

    fn clear(&self) {
        if let Display::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// `256M`, `2G`, `500K` or a number of bytes.
fn parse_size(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'K' | 'k')) => (&text[..at], 1_000),
        Some((at, 'M' | 'm')) => (&text[..at], 1_000_000),
        Some((at, 'G' | 'g')) => (&text[..at], 1_000_000_000),
        _ => (text, 1),
    };
    match digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
    {
        Some(n_bytes) if n_bytes > 0 => Ok(n_bytes),
        _ => Err("a size is a positive number, with K, M or G after it if you like".to_owned()),
    }
}
