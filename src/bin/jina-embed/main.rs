//! `jina-embed`: the native command. Each subcommand has a file of its own and computes nothing
//! itself; the library does.
//!
//! Results go to standard output, progress and errors to standard error. A failure is one line
//! `error[CODE]: message` and exit status 1; a mistake in the arguments is exit status 2.

#[cfg(feature = "gpu")]
mod bench;
mod convert;
#[cfg(feature = "gpu")]
mod encode;
mod failure;
mod inspect;
#[cfg(feature = "gpu")]
mod kernels;
mod memory;
#[cfg(feature = "gpu")]
mod model;
#[cfg(feature = "gpu")]
mod serve;
#[cfg(feature = "gpu")]
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Embed text and images with jina-embeddings-v4, on this machine.
#[derive(Parser)]
#[command(name = "jina-embed", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure how long loading and embedding take on this machine
    #[cfg(feature = "gpu")]
    Bench(bench::Args),
    /// Turn published weights into a model directory of GGUF files
    Convert(convert::Args),
    /// Embed JSON Lines from standard input onto standard output
    #[cfg(feature = "gpu")]
    Encode(encode::Args),
    /// Show what a GGUF file or a model directory holds
    Inspect(inspect::Args),
    #[cfg(feature = "gpu")]
    Serve(serve::Args),
    /// Check that a model directory is whole and computes what it should
    #[cfg(feature = "gpu")]
    Verify(verify::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        #[cfg(feature = "gpu")]
        Command::Bench(args) => bench::run(args),
        Command::Convert(args) => convert::run(args),
        #[cfg(feature = "gpu")]
        Command::Encode(args) => encode::run(args),
        Command::Inspect(args) => inspect::run(args),
        #[cfg(feature = "gpu")]
        Command::Serve(args) => serve::run(args),
        #[cfg(feature = "gpu")]
        Command::Verify(args) => verify::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
