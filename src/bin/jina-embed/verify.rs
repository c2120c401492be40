//! `jina-embed verify`: whether a model directory is whole and computes what it should.
//!
//! What was found goes to standard output, a line for each check; a check that fails makes the
//! command fail at the end.

use std::io::{Write, stdout};
use std::path::PathBuf;

use indicatif::DecimalBytes;
use jina_embeddings_web::{
    Code, Device, Embedder,
    model_files::ModelFiles,
    self_test::SelfTest,
    verify::{self, FileChecks, published},
};

use crate::failure::Failure;
use crate::model::{DeviceChoice, load};

#[derive(clap::Args)]
pub struct Args {
    /// Model directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Where to compute; auto is the GPU unless there is none but a software one
    #[arg(long, value_enum, default_value = "auto")]
    device: DeviceChoice,
    /// Check the files alone, and compute nothing
    #[arg(long, conflicts_with = "write_self_test")]
    files_only: bool,
    /// Compute the vectors of the self-test on the processor and keep them in the directory, for
    /// every later load to compare with
    #[arg(long)]
    write_self_test: bool,
}

/// Counts what fails, and prints.
#[derive(Default)]
struct Report {
    n_failed: usize,
}

impl Report {
    fn line(&mut self, passed: bool, text: &str) -> Result<(), Failure> {
        self.n_failed += usize::from(!passed);
        let verdict = if passed { "ok" } else { "FAILED" };
        self.note(&format!("{verdict:6}  {text}"))
    }

    fn note(&self, text: &str) -> Result<(), Failure> {
        writeln!(stdout(), "{text}")
            .map_err(|error| Failure::new(Code::Io, format!("standard output: {error}")))
    }

    fn end(self) -> Result<(), Failure> {
        match self.n_failed {
            0 => Ok(()),
            n_failed => Err(Failure::new(
                Code::ModelInvalid,
                format!("{n_failed} checks failed; their lines say how"),
            )),
        }
    }
}

pub fn run(args: Args) -> Result<(), Failure> {
    let mut report = Report::default();
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    let files = verify::check_files(&args.directory, n_threads)?;
    report_files(&mut report, &files)?;
    if args.files_only || report.n_failed > 0 {
        // Nothing is worth computing with damaged files.
        return report.end();
    }
    let device = match args.write_self_test {
        true => DeviceChoice::Cpu.open()?,
        false => args.device.open()?,
    };
    // A tensor that is missing or has another shape ends this.
    let embedder = load(&ModelFiles::find(&args.directory)?, &device)?;
    report.line(true, "every tensor that the model needs is there")?;
    match args.write_self_test {
        true => write_self_test(&mut report, &args, files, &embedder)?,
        false => {
            report_self_test(&mut report, &args, &files, &embedder)?;
            report_published(&mut report, &files, &embedder)?;
        }
    }
    report.end()
}

fn report_files(report: &mut Report, checks: &FileChecks) -> Result<(), Failure> {
    for file in &checks.files {
        let size = DecimalBytes(file.n_bytes);
        match &file.problem {
            None => report.line(true, &format!("{}: {size}, SHA-256 as promised", file.path))?,
            Some(problem) => report.line(false, &format!("{}: {problem}", file.path))?,
        }
    }
    match &checks.parts_problem {
        Some(problem) => report.line(false, &format!("parts of the text model: {problem}")),
        None => Ok(()),
    }
}

fn write_self_test(
    report: &mut Report,
    args: &Args,
    files: FileChecks,
    embedder: &Embedder,
) -> Result<(), Failure> {
    let computed_by = computed_by(embedder.device());
    let self_test = verify::make_self_test(embedder, &files.manifest.space, &computed_by)?;
    let n_cases = self_test.cases.len();
    let manifest = files.manifest.add_self_test(&args.directory, &self_test)?;
    let file = manifest.self_test.map_or(0, |file| file.n_bytes);
    let size = DecimalBytes(file);
    report.line(
        true,
        &format!("self-test: {n_cases} vectors written, {size}"),
    )
}

fn computed_by(device: &Device) -> String {
    let info = device.info();
    format!("jina-embed {}, {}", env!("CARGO_PKG_VERSION"), info.backend)
}

fn report_self_test(
    report: &mut Report,
    args: &Args,
    files: &FileChecks,
    embedder: &Embedder,
) -> Result<(), Failure> {
    let Some(file) = &files.manifest.self_test else {
        let hint = "-       self-test: this directory has none; --write-self-test makes one";
        return report.note(hint);
    };
    let path = args.directory.join(&file.path);
    let json = std::fs::read(&path).map_err(Failure::io(&path))?;
    let self_test = SelfTest::parse(&json, &files.manifest.space);
    let self_test = self_test.map_err(jina_embeddings_web::Error::from)?;
    let found = verify::check_self_test(embedder, &self_test)?;
    for (case, found) in self_test.cases.iter().zip(found) {
        match found {
            Ok(cosine) => {
                let (name, least) = (&case.name, case.min_cosine);
                report.line(
                    true,
                    &format!("self-test {name}: cosine {cosine:.7}, needed {least}"),
                )?;
            }
            Err(mismatch) => report.line(false, &mismatch.to_string())?,
        }
    }
    Ok(())
}

/// Weights of so many bits give the published figures but for noise; below, the figures say how
/// much was lost, and the order of the documents must hold.
fn keeps_figures(dtype: &str) -> bool {
    ["f32", "f16", "bf16", "q8_0"].contains(&dtype)
}

fn report_published(
    report: &mut Report,
    files: &FileChecks,
    embedder: &Embedder,
) -> Result<(), Failure> {
    if let Some(reason) = published::why_not(&files.text_headers, embedder) {
        let text = format!("-       published figures do not apply to these files: {reason}");
        return report.note(&text);
    }
    let found = published::compute(embedder, |_, _| ())?;
    let dtype = &files.manifest.dtype;
    let is_gated = keeps_figures(dtype);
    let title = format!(
        "{:44} {:>12} {:>12} {:>12}",
        "", "published", "found", "difference"
    );
    report.note(&title)?;
    for figure in &found.figures {
        let difference = figure.found - figure.published;
        let text = format!(
            "{:44} {:12.6} {:12.6} {difference:+12.6}",
            figure.name, figure.published, figure.found
        );
        match is_gated {
            true => report.line(figure.is_within(), &text)?,
            false => report.note(&format!("        {text}"))?,
        }
    }
    let tolerance = published::TOLERANCE;
    let rule = match is_gated {
        true => format!("tolerance {tolerance}, the noise of bf16"),
        false => format!("no tolerance: {dtype} loses more than the {tolerance} of bf16"),
    };
    report.note(&format!("        {rule}"))?;
    let agree = found.best_documents_agree;
    report.line(
        agree,
        "each query finds the document that it found as published",
    )?;
    for name in published::NEED_DATA {
        report.note(&format!(
            "-       {name}: not computed, it needs the data set"
        ))?;
    }
    Ok(())
}
