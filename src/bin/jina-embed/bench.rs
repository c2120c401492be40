//! `jina-embed bench`: how long this machine takes to load a model, and to embed a text or a
//! picture of a known length.
//!
//! 1. Open the device, load the model, wait until the device has every byte.
//! 2. For each input: one call apart, which compiles shaders on a GPU, then `--repeats` calls, of
//!    which the shortest and the median are told. A call ends when its vector has been read back.
//!
//! The shortest time is what the machine can do; the distance to the median is what disturbed it.
//!
//! With `--requests` it is driven from outside instead, call by call, by a benchmark in which
//! several engines take turns. With `--profile` it tells what each kernel takes, and what it would
//! take at best.

mod profile;
mod requests;
mod roofline;

use std::io::{Write, stdout};
use std::time::Instant;

use indicatif::DecimalBytes;
use jina_embeddings_web::{
    Code, Device, Embedder, EncodeOptions, Error, Input,
    device::Kind,
    image::RgbImage,
    kernels::Kernels,
    model::{Observer, Stopped},
    text::{Prompt, Task, TaskPrompt, Tokenizer, prompt},
};
use serde::Serialize;

use crate::failure::Failure;
use crate::kernels;
use crate::memory;
use crate::model::{ModelArgs, load};

/// Sides of the picture: a multiple of the 28 pixels of a token, so that nothing is resized.
const PICTURE_PX: usize = 336;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Calls per input that are timed, after the first
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// Lengths of the texts in tokens, the task's prefix included
    #[arg(
        long,
        value_name = "N,N",
        value_delimiter = ',',
        default_value = "16,128,512"
    )]
    tokens: Vec<usize>,
    /// Leave out the picture
    #[arg(long)]
    no_picture: bool,
    /// The form of the model's operations, to compare them [default: what the device runs best]
    #[arg(long, value_enum)]
    kernels: Option<KernelsChoice>,
    /// Answer calls read from standard input, a line of JSON each: {"text": "..."} or
    /// {"picture": [width, height]}
    #[arg(long, conflicts_with_all = ["tokens", "repeats", "no_picture", "json"])]
    requests: bool,
    /// Tell for each kernel its time, and its share of what the adapter can do; needs a GPU
    #[arg(long, conflicts_with_all = ["requests", "no_picture"])]
    profile: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum KernelsChoice {
    /// Burn's own operations
    Portable,
    /// The fixed choice for graphics cards
    Tiled,
    /// The fixed choice for processors that play one
    Direct,
    /// What is measured now to be the fastest here
    Measure,
}

#[derive(Serialize)]
struct Report {
    version: &'static str,
    device: DeviceReport,
    model: ModelReport,
    /// Opening the device.
    open_ms: f64,
    /// From the first byte read to the last byte on the device.
    load_ms: f64,
    measurements: Vec<Measurement>,
    /// Most bytes of memory that the process ever had, where the system tells.
    peak_rss_bytes: Option<u64>,
}

#[derive(Serialize)]
struct DeviceReport {
    kind: &'static str,
    name: String,
    backend: String,
    /// Name and version of the driver; absent on the processor.
    driver: Option<String>,
    is_software: bool,
    threads: usize,
}

#[derive(Serialize)]
struct ModelReport {
    name: String,
    /// Bytes of the files.
    file_bytes: u64,
    /// Bytes of the buffers on a graphics device after loading.
    device_bytes: u64,
    hidden_size: usize,
    layers: usize,
    vision_layers: usize,
}

#[derive(Serialize)]
struct Measurement {
    input: String,
    /// Tokens that the decoder computed.
    tokens: usize,
    first_ms: f64,
    min_ms: f64,
    median_ms: f64,
    n: u32,
    /// Most bytes that the pools of a graphics device held before a layer.
    peak_device_bytes: u64,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let files = args.model.files()?;
    let began = Instant::now();
    let device = args.model.open_device()?;
    let open_ms = milliseconds(began);
    // The choice is made once per adapter, and no part of loading.
    let chosen = match args.kernels {
        None => kernels::choose(&device)?,
        Some(KernelsChoice::Portable) => Kernels::Portable,
        Some(KernelsChoice::Tiled) => Kernels::TILED,
        Some(KernelsChoice::Direct) => Kernels::DIRECT,
        Some(KernelsChoice::Measure) => kernels::measure(&device)?,
    };
    eprintln!("kernels: {chosen}");
    let began = Instant::now();
    let embedder = load(&files, &device)?.with_kernels(chosen);
    // Uploads are only on their way when the loader returns.
    device.burn().sync().map_err(|error| {
        Failure::new(
            Code::GpuError,
            format!("waiting for the weights: {error:?}"),
        )
    })?;
    device.check()?;
    let load_ms = milliseconds(began);
    let options = EncodeOptions::new(passage_task(&embedder)?);
    if args.requests {
        return requests::answer(&embedder, &options);
    }
    if args.profile {
        let profile = profile::run(&embedder, chosen, &options, &args.tokens, args.repeats)?;
        return print(args.json, &profile, profile::table);
    }
    let file_bytes = files
        .files()
        .iter()
        .map(|(_, path)| std::fs::metadata(path).map_or(0, |file| file.len()))
        .sum();
    let model = ModelReport {
        name: files
            .space()
            .or(embedder.name())
            .unwrap_or("unnamed")
            .to_owned(),
        file_bytes,
        device_bytes: device.bytes_in_use(),
        hidden_size: embedder.decoder().config.hidden_size,
        layers: embedder.decoder().config.num_hidden_layers,
        vision_layers: embedder.vision().map_or(0, |vision| vision.config.depth),
    };

    let mut measurements = Vec::new();
    for n_tokens in &args.tokens {
        let text = text_of(embedder.tokenizer(), options.task, *n_tokens)?;
        let input = Input::Text(text);
        measurements.push(measure(&embedder, "text", &input, &options, args.repeats)?);
    }
    if embedder.vision().is_some() && !args.no_picture {
        let input = Input::Pixels(picture([PICTURE_PX; 2])?);
        let name = format!("picture {PICTURE_PX}x{PICTURE_PX}");
        measurements.push(measure(&embedder, &name, &input, &options, args.repeats)?);
    }
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        device: device_report(&device),
        model,
        open_ms,
        load_ms,
        measurements,
        peak_rss_bytes: memory::peak_rss_bytes(),
    };
    print(args.json, &report, table)
}

/// Writes a report to standard output, as JSON or for people.
fn print<T: Serialize>(
    as_json: bool,
    report: &T,
    table: impl FnOnce(&T) -> String,
) -> Result<(), Failure> {
    let text = match as_json {
        true => serde_json::to_string_pretty(report)
            .map_err(|error| Failure::new(Code::Internal, error.to_string()))?,
        false => table(report),
    };
    writeln!(stdout(), "{text}")
        .map_err(|error| Failure::new(Code::Io, format!("standard output: {error}")))
}

/// Passages of the first task that the model has.
fn passage_task(embedder: &Embedder) -> Result<TaskPrompt, Failure> {
    let task = embedder.tasks().next().ok_or_else(|| {
        Failure::new(
            Code::TaskUnavailable,
            "the model needs an adapter, or a task merged into it, but has none",
        )
    })?;
    let prompt = match task {
        Task::TextMatching => Prompt::Query,
        Task::Retrieval | Task::Code => Prompt::Passage,
    };
    Ok(TaskPrompt::new(task, prompt))
}

/// A text that has exactly `n_tokens` tokens with its prefix.
fn text_of(tokenizer: &Tokenizer, task: TaskPrompt, n_tokens: usize) -> Result<String, Failure> {
    // What a vocabulary makes of a word differs; each of these is one token in some.
    const WORDS: [&str; 4] = [" the", " of", " a", "."];
    let count = |text: &str| -> Result<usize, Error> {
        Ok(tokenizer.encode(&prompt::full_text(task, text))?.ids.len())
    };
    let mut text = String::from("A");
    let mut found = count(&text)?;
    // As many words at once as tokens are missing, or half of them, where they come out as more.
    let mut n_words = n_tokens.saturating_sub(found);
    'longer: while found < n_tokens && n_words > 0 {
        for word in WORDS {
            let longer = format!("{text}{}", word.repeat(n_words));
            let n_longer = count(&longer)?;
            if (found + 1..=n_tokens).contains(&n_longer) {
                (text, found) = (longer, n_longer);
                n_words = n_tokens - found;
                continue 'longer;
            }
        }
        n_words /= 2;
    }
    match found == n_tokens {
        true => Ok(text),
        false => Err(Failure::new(
            Code::InputInvalid,
            format!("needed a text of {n_tokens} tokens with its prefix, found one of {found}"),
        )),
    }
}

/// A picture with something in every patch, the same every time.
///
/// - `size`: width and height in pixels
fn picture([width, height]: [usize; 2]) -> Result<RgbImage, Failure> {
    let mut pixels = Vec::with_capacity(width.saturating_mul(height).saturating_mul(3));
    for y in 0..height {
        for x in 0..width {
            pixels.extend([x, y, x ^ y].map(|value| (value % 256) as u8));
        }
    }
    Ok(RgbImage::from_rgb(width, height, pixels).map_err(Error::from)?)
}

/// Watches how much memory the pools of a graphics device hold. They never shrink during a pass,
/// and all layers need the same: what the last layer finds is what the pass needs.
struct PeakBytes<'a> {
    device: &'a Device,
    peak: u64,
}

impl Observer for PeakBytes<'_> {
    async fn before_layer(&mut self) -> Result<(), Stopped> {
        self.peak = self.peak.max(self.device.bytes_reserved());
        Ok(())
    }
}

fn measure(
    embedder: &Embedder,
    name: &str,
    input: &Input,
    options: &EncodeOptions,
    n: u32,
) -> Result<Measurement, Failure> {
    let inputs = std::slice::from_ref(input);
    let mut observer = PeakBytes {
        device: embedder.device(),
        peak: 0,
    };
    let mut call = || -> Result<(f64, usize), Failure> {
        let began = Instant::now();
        let results =
            pollster::block_on(embedder.encode(inputs, options, &mut observer, |_, _| ()))?;
        let took = milliseconds(began);
        let mut tokens = 0;
        for result in results {
            tokens += result?.n_tokens;
        }
        Ok((took, tokens))
    };
    let (first_ms, tokens) = call()?;
    let mut times = (0..n)
        .map(|_| call().map(|(took, _)| took))
        .collect::<Result<Vec<_>, _>>()?;
    times.sort_by(f64::total_cmp);
    Ok(Measurement {
        input: name.to_owned(),
        tokens,
        first_ms,
        min_ms: times[0],
        median_ms: median(&times),
        n,
        peak_device_bytes: observer.peak,
    })
}

/// Of sorted times, at least one.
fn median(times: &[f64]) -> f64 {
    (times[(times.len() - 1) / 2] + times[times.len() / 2]) / 2.0
}

fn device_report(device: &Device) -> DeviceReport {
    let info = device.info();
    let driver = device.setup().map(|setup| {
        let adapter = setup.adapter.get_info();
        format!("{} {}", adapter.driver, adapter.driver_info)
            .trim()
            .to_owned()
    });
    DeviceReport {
        kind: match info.kind {
            Kind::Gpu => "gpu",
            Kind::Cpu => "cpu",
        },
        name: info.name.clone(),
        backend: info.backend.clone(),
        driver,
        is_software: info.is_software,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
    }
}

fn milliseconds(since: Instant) -> f64 {
    // To the microsecond: further digits are noise.
    (since.elapsed().as_secs_f64() * 1e6).round() / 1e3
}

fn table(report: &Report) -> String {
    let (device, model) = (&report.device, &report.model);
    let driver = device
        .driver
        .as_ref()
        .map_or(String::new(), |driver| format!(", {driver}"));
    let mut text = format!(
        "device    {} ({}{driver}), {} threads\nmodel     {}, {} + {} layers, {} on disk, {} on the device\nopen      {:.1} ms\nload      {:.1} ms\n",
        device.name,
        device.backend,
        device.threads,
        model.name,
        model.layers,
        model.vision_layers,
        DecimalBytes(model.file_bytes),
        DecimalBytes(model.device_bytes),
        report.open_ms,
        report.load_ms,
    );
    if let Some(n_bytes) = report.peak_rss_bytes {
        text += &format!("memory    {} at most\n", DecimalBytes(n_bytes));
    }
    text += &format!(
        "\n{:18} {:>6}  {:>11}  {:>11}  {:>11}  {:>3}\n",
        "input", "tokens", "first, ms", "min, ms", "median, ms", "n"
    );
    for each in &report.measurements {
        text += &format!(
            "{:18} {:>6}  {:>11.1}  {:>11.1}  {:>11.1}  {:>3}\n",
            each.input, each.tokens, each.first_ms, each.min_ms, each.median_ms, each.n
        );
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_exactly_the_tokens_that_were_asked_for() {
        let json = include_bytes!("../../../tests/fixtures/tiny/tokenizer.json");
        let tokenizer = Tokenizer::from_tokenizer_json(json).unwrap();
        for task in TaskPrompt::ALL {
            for n_tokens in [16, 17, 128, 512] {
                let text = text_of(&tokenizer, task, n_tokens).unwrap();
                let full = prompt::full_text(task, &text);
                assert_eq!(tokenizer.encode(&full).unwrap().ids.len(), n_tokens);
            }
        }
    }

    #[test]
    fn a_text_shorter_than_its_prefix_is_an_error_that_names_both_lengths() {
        let json = include_bytes!("../../../tests/fixtures/tiny/tokenizer.json");
        let tokenizer = Tokenizer::from_tokenizer_json(json).unwrap();
        let task = TaskPrompt::new(Task::Retrieval, Prompt::Query);
        let failure = text_of(&tokenizer, task, 1).unwrap_err();
        assert!(failure.message().starts_with("needed a text of 1 tokens"));
    }

    #[test]
    fn the_median_of_an_even_number_of_times_lies_between_the_middle_two() {
        assert_eq!(median(&[1.0]), 1.0);
        assert_eq!(median(&[1.0, 2.0, 9.0]), 2.0);
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), 3.0);
    }
}
