//! Which model and which device: the options that every computing subcommand shares, and the
//! loading behind them.

use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use indicatif::{DecimalBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jina_embeddings_web::{
    Code, Device, Embedder,
    model_files::{ModelFiles, Progress},
    text::{Error as TextError, Task},
    weights::Role,
};

use crate::{failure::Failure, kernels};

#[derive(clap::Args)]
pub struct ModelArgs {
    /// Model directory, or a GGUF text file [default: models/tiny of the checkout around the working directory]
    #[arg(long, value_name = "DIR_OR_GGUF")]
    model: Option<PathBuf>,
    /// Vision tower, where the model is a GGUF file
    #[arg(long, value_name = "GGUF")]
    mmproj: Option<PathBuf>,
    /// Adapter of a task, where the model is a GGUF file; may be repeated
    #[arg(long, value_name = "TASK=GGUF", value_parser = parse_adapter)]
    lora: Vec<(Task, PathBuf)>,
    /// Where to compute; auto is the GPU unless there is none but a software one
    #[arg(long, value_enum, default_value = "auto")]
    device: DeviceChoice,
}

/// Where the small trained model lies in a checkout of this project.
const OWN_MODEL: &str = "models/tiny";

/// [`OWN_MODEL`] in the working directory or the nearest folder above that has it.
fn own_model() -> Result<PathBuf, Failure> {
    let here = std::env::current_dir().map_err(Failure::io(Path::new(".")))?;
    here.ancestors()
        .map(|folder| folder.join(OWN_MODEL))
        .find(|model| model.join("model.json").is_file())
        .ok_or_else(|| {
            let message = format!(
                "no --model is given, and neither {} nor a folder above it has {OWN_MODEL}",
                here.display()
            );
            Failure::new(Code::InputInvalid, message)
        })
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum DeviceChoice {
    Auto,
    Gpu,
    Cpu,
}

impl DeviceChoice {
    /// Opens the device, and names it on standard error.
    pub fn open(self) -> Result<Device, Failure> {
        let device = match self {
            DeviceChoice::Cpu => Device::cpu(),
            DeviceChoice::Gpu => pollster::block_on(Device::gpu())?,
            DeviceChoice::Auto => match pollster::block_on(Device::gpu()) {
                Ok(device) if !device.info().is_software => device,
                Ok(_) => Device::cpu(),
                Err(error) => {
                    eprintln!("computing on the processor: {error}");
                    Device::cpu()
                }
            },
        };
        eprintln!("device: {} ({})", device.info().name, device.info().backend);
        Ok(device)
    }
}

impl ModelArgs {
    /// Opens the device that was asked for, and names it on standard error.
    pub fn open_device(&self) -> Result<Device, Failure> {
        self.device.open()
    }

    /// The files that make the model.
    pub fn files(&self) -> Result<ModelFiles, Failure> {
        let mut files = match &self.model {
            Some(model) => ModelFiles::find(model)?,
            None => ModelFiles::find(&own_model()?)?,
        };
        for path in self.mmproj.iter().cloned() {
            files = files.with(Role::Vision, path);
        }
        for (task, path) in self.lora.iter().cloned() {
            files = files.with(Role::Adapter(task), path);
        }
        Ok(files)
    }
}

/// Loads a model with a bar on a terminal, and names it on standard error.
pub fn load(files: &ModelFiles, device: &Device) -> Result<Embedder, Failure> {
    load_watched(files, device, |_| ())
}

/// As [`load`], and tells somebody else as well how far it has come.
pub fn load_watched(
    files: &ModelFiles,
    device: &Device,
    mut on_progress: impl FnMut(Progress),
) -> Result<Embedder, Failure> {
    let target = match stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(None, target);
    let template = "loading {wide_bar} {decimal_bytes} of {decimal_total_bytes}, {eta} left";
    let bar =
        ProgressStyle::with_template(template).map_or(bar.clone(), |style| bar.with_style(style));
    let mut total_bytes = 0;
    let embedder = files.load(device, |progress| {
        total_bytes = progress.total_bytes;
        bar.set_length(progress.total_bytes);
        bar.set_position(progress.done_bytes);
        on_progress(progress);
    })?;
    bar.finish_and_clear();
    eprintln!(
        "model: {} ({})",
        files.space().or(embedder.name()).unwrap_or("unnamed"),
        DecimalBytes(total_bytes)
    );
    Ok(embedder.with_kernels(kernels::choose(device)?))
}

/// `retrieval=path`
fn parse_adapter(text: &str) -> Result<(Task, PathBuf), String> {
    let (task, path) = text
        .split_once('=')
        .ok_or("an adapter is given as TASK=GGUF")?;
    let task = task.parse().map_err(|error: TextError| error.to_string())?;
    Ok((task, PathBuf::from(path)))
}
