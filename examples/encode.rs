//! Ranks texts and pictures for a query, on this machine:
//!
//! ```text
//! cargo run --release --example encode -- MODEL "a sleeping cat" cat.jpg "Bread rises." horse.jpg
//! ```
//!
//! MODEL is a directory that `jina-embed convert` wrote, or a GGUF file. What is the name of a file is
//! read as a picture, anything else is a text.

use std::{error::Error, path::Path};

use jina_embeddings_web::{Device, Embedder, EncodeOptions, Input, model_files::ModelFiles};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, query, candidates @ ..] = arguments.as_slice() else {
        return Err("usage: encode MODEL QUERY CANDIDATE...".into());
    };
    for (score, candidate) in rank(Path::new(model), query, candidates)? {
        println!("{score:.4}  {candidate}");
    }
    Ok(())
}

/// The candidates with their similarity to the query, the best first.
pub fn rank(
    model: &Path,
    query: &str,
    candidates: &[String],
) -> Result<Vec<(f32, String)>, Box<dyn Error>> {
    let embedder = ModelFiles::find(model)?.load(&device(), |progress| {
        let percent = 100 * progress.done_bytes / progress.total_bytes.max(1);
        eprint!("\rloading {percent} %");
    })?;
    eprintln!();
    // A query and what is searched have different prefixes, and the same adapter.
    let query = [Input::Text(query.into())];
    let query = embed(&embedder, &query, "retrieval.query")?;
    let inputs = candidates.iter().map(|candidate| input(candidate));
    let inputs = inputs.collect::<std::io::Result<Vec<Input>>>()?;
    let vectors = embed(&embedder, &inputs, "retrieval.passage")?;
    let mut ranked: Vec<(f32, String)> = vectors
        .iter()
        .map(|vector| dot(&query[0], vector))
        .zip(candidates.iter().cloned())
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    Ok(ranked)
}

/// The graphics adapter, or the processor where there is none but a software one.
fn device() -> Device {
    match pollster::block_on(Device::gpu()) {
        Ok(gpu) if !gpu.info().is_software => gpu,
        _ => Device::cpu(),
    }
}

fn input(candidate: &str) -> std::io::Result<Input> {
    Ok(match Path::new(candidate).is_file() {
        true => Input::Image(std::fs::read(candidate)?),
        false => Input::Text(candidate.into()),
    })
}

/// One vector of length one for each input; the first input that is no good fails all.
fn embed(
    embedder: &Embedder,
    inputs: &[Input],
    task: &str,
) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
    let options = EncodeOptions::new(task.parse()?);
    // An observer could stop the call between layers; nobody does here.
    let mut observer = ();
    let results = embedder.encode(inputs, &options, &mut observer, |_done, _total| ());
    let vectors = pollster::block_on(results)?.into_iter();
    Ok(vectors
        .map(|result| result.map(|embedding| embedding.values))
        .collect::<Result<_, _>>()?)
}

/// The cosine, for vectors of length one.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
