use std::io::{IsTerminal, stderr};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{DecimalBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jina_embeddings_web::convert::{self, Dtype, Options, Progress};
use jina_embeddings_web::text::Task;

use crate::failure::Failure;

#[derive(clap::Args)]
pub struct Args {
    /// Directory as published (config.json, safetensors shards, adapters/, tokenizer.json), one of
    /// Jina's merged ones, or a GGUF text file
    #[arg(long, value_name = "HF_DIR_OR_GGUF")]
    from: PathBuf,
    /// Vision tower, where the source is a GGUF file
    #[arg(long, value_name = "GGUF")]
    mmproj: Option<PathBuf>,
    /// Model directory to make
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// How the text model's matrices are stored: f32, f16, bf16, q8_0, q6_k, q5_k_m, q5_k, q4_k_m,
    /// q4_k, q4_0, or keep; the _m mixtures keep the delicate matrices in 6 bits
    #[arg(long, value_name = "TYPE", value_parser = parse_dtype)]
    dtype: Dtype,
    /// How the vision tower's matrices are stored [default: q8_0, or as --dtype where that is f32
    /// or keep]
    #[arg(long, value_name = "TYPE", value_parser = parse_dtype)]
    vision_dtype: Option<Dtype>,
    /// Importance matrix, from llama.cpp's llama-imatrix
    #[arg(long, value_name = "FILE")]
    imatrix: Option<PathBuf>,
    /// Merge the adapter of this task into the weights, and leave the others out
    #[arg(long, value_name = "TASK")]
    merge: Option<Task>,
    /// The task that is merged into the source, where its name does not say
    #[arg(long, value_name = "TASK")]
    task: Option<Task>,
    /// Cut the text model into files of about this size (K, M and G are powers of 1000)
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = parse_size)]
    split_size: u64,
    /// Name of the model [default: as in config.json]
    #[arg(long)]
    name: Option<String>,
    /// Replace a model directory that is there already
    #[arg(long)]
    force: bool,
    /// Threads that encode [default: all that the machine has]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

fn parse_dtype(text: &str) -> Result<Dtype, String> {
    let found = Dtype::ALL.into_iter().find(|dtype| dtype.as_str() == text);
    found.ok_or_else(|| {
        let names = Dtype::ALL.map(Dtype::as_str).join(", ");
        format!("needed one of {names}")
    })
}

pub fn run(args: Args) -> Result<(), Failure> {
    let default = match args.dtype {
        Dtype::F32 | Dtype::Keep => args.dtype,
        _ => Dtype::Q8_0,
    };
    let options = Options {
        from: args.from,
        mmproj: args.mmproj,
        to: args.to,
        dtype: args.dtype,
        vision_dtype: args.vision_dtype.unwrap_or(default),
        imatrix: args.imatrix,
        merge: args.merge,
        task: args.task,
        split_bytes: args.split_size,
        name: args.name,
        force: args.force,
        threads: args.threads.map(usize::from),
    };
    let stop = stop_on_signal()?;
    let began = Instant::now();
    let mut display = Display::new(began);
    let result = convert::convert(&options, &mut |progress| {
        display.show(progress);
        match stop.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    display.clear();
    let manifest = result?;
    let n_bytes = manifest.files.iter().map(|file| file.n_bytes).sum();
    eprint!(
        "{}: {} files, {}, space {}, {:.1} s",
        options.to.display(),
        manifest.files.len(),
        DecimalBytes(n_bytes),
        manifest.space,
        began.elapsed().as_secs_f64()
    );
    match crate::memory::peak_rss_bytes() {
        Some(n_bytes) => eprintln!(", {} of memory at most", DecimalBytes(n_bytes)),
        None => eprintln!(),
    }
    Ok(())
}

/// A flag that the first Ctrl-C (or SIGTERM) sets; the second ends the process at once.
fn stop_on_signal() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let set = stop.clone();
    let no_signals = |error| {
        Failure::new(
            jina_embeddings_web::Code::Internal,
            format!("signals: {error}"),
        )
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(no_signals)?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            while wait_for_signal().await.is_ok() {
                if set.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
                eprintln!("stopping; what is complete is kept");
            }
        });
    });
    Ok(stop)
}

#[cfg(unix)]
async fn wait_for_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn wait_for_signal() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}

/// A bar on a terminal; elsewhere one line per file.
enum Display {
    Bar(ProgressBar),
    Lines { current: String, began: Instant },
}

impl Display {
    fn new(began: Instant) -> Display {
        if !stderr().is_terminal() {
            return Display::Lines {
                current: String::new(),
                began,
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
                if progress.resumed_bytes > 0 && progress.done_bytes == progress.resumed_bytes {
                    // What was there already says nothing of the rate.
                    bar.set_position(progress.done_bytes);
                    bar.reset_eta();
                }
                bar.set_position(progress.done_bytes);
                if bar.message() != progress.file {
                    bar.set_message(progress.file.to_owned());
                }
            }
            Display::Lines { current, began } if current != progress.file => {
                eprintln!("{}", line(&progress, began.elapsed()));
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

/// What a line of progress says: how much is done, how fast, and how long the rest takes at that rate.
fn line(progress: &Progress, elapsed: Duration) -> String {
    let Progress {
        file,
        done_bytes,
        resumed_bytes,
        total_bytes,
    } = *progress;
    let (done, total) = (DecimalBytes(done_bytes), DecimalBytes(total_bytes));
    let mut text = format!("{file} ({done} of {total} written");
    let rate = (done_bytes - resumed_bytes) as f64 / elapsed.as_secs_f64();
    if rate > 0.0 && rate.is_finite() {
        let left = Duration::from_secs_f64((total_bytes - done_bytes) as f64 / rate);
        let (rate, left) = (DecimalBytes(rate as u64), HumanDuration(left));
        text += &format!(", {rate}/s, {left:#} left");
    }
    text + ")"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_progress_has_a_rate_that_leaves_out_what_was_there_before() {
        let progress = Progress {
            file: "vision.gguf",
            done_bytes: 3_000_000,
            resumed_bytes: 1_000_000,
            total_bytes: 9_000_000,
        };
        let text = line(&progress, Duration::from_secs(2));
        assert_eq!(
            text,
            "vision.gguf (3.00 MB of 9.00 MB written, 1.00 MB/s, 6s left)"
        );
        let nothing_yet = Progress {
            done_bytes: 1_000_000,
            ..progress
        };
        let text = line(&nothing_yet, Duration::from_secs(2));
        assert_eq!(text, "vision.gguf (1.00 MB of 9.00 MB written)");
    }

    #[test]
    fn every_type_is_called_on_the_command_line_what_model_json_calls_it() {
        for dtype in Dtype::ALL {
            assert_eq!(parse_dtype(dtype.as_str()), Ok(dtype));
        }
        assert!(parse_dtype("q2_k").unwrap_err().contains("q4_k_m"));
    }
}
