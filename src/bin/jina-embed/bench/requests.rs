//! Calls driven from outside: one line of JSON in, one line of JSON out.
//!
//! The first line written is `{"notes": [...]}`, once the model is loaded. Then every line read is
//! answered with `{"ms": ..., "vector": [...]}`, or with `{"error": "..."}`.

use std::io::{BufRead, Write, stdin, stdout};
use std::time::Instant;

use jina_embeddings_web::{Code, Embedder, EncodeOptions, Input};
use serde::{Deserialize, Serialize};

use super::{device_report, milliseconds, picture};
use crate::failure::Failure;

/// One call; what it does not need of a line is ignored.
#[derive(Deserialize)]
struct Request {
    text: Option<String>,
    /// Tokens that the text has to have, its prefix included.
    ids: Option<Vec<u32>>,
    /// Width and height in pixels.
    picture: Option<[usize; 2]>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Failed {
    Error(String),
}

#[derive(Serialize)]
struct Notes {
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Answer {
    ms: f64,
    vector: Vec<f32>,
}

/// Answers until standard input ends.
pub fn answer(embedder: &Embedder, options: &EncodeOptions) -> Result<(), Failure> {
    let device = device_report(embedder.device());
    let driver = device
        .driver
        .map_or(String::new(), |driver| format!(", {driver}"));
    let note = format!("{} ({}{driver})", device.name, device.backend);
    write(&Notes { notes: vec![note] })?;
    for line in stdin().lock().lines() {
        let line =
            line.map_err(|error| Failure::new(Code::Io, format!("standard input: {error}")))?;
        match call(embedder, options, &line) {
            Ok(answer) => write(&answer)?,
            Err(failure) => write(&Failed::Error(failure.message().to_owned()))?,
        }
    }
    Ok(())
}

fn call(embedder: &Embedder, options: &EncodeOptions, line: &str) -> Result<Answer, Failure> {
    let request: Request = serde_json::from_str(line)
        .map_err(|error| Failure::new(Code::InputInvalid, format!("a request: {error}")))?;
    let input = match (request.text, request.picture) {
        (Some(text), None) => Input::Text(text),
        (None, Some(size)) => Input::Pixels(picture(size)?),
        _ => {
            let needed = "a request needs either `text` or `picture`";
            return Err(Failure::new(Code::InputInvalid, needed));
        }
    };
    let began = Instant::now();
    let results = pollster::block_on(embedder.encode(&[input], options, &mut (), |_, _| ()))?;
    let ms = milliseconds(began);
    let embedding = results
        .into_iter()
        .next()
        .ok_or_else(|| Failure::new(Code::Internal, "one input gave no result"))??;
    match request.ids {
        Some(ids) if ids.len() != embedding.n_tokens => Err(Failure::new(
            Code::InputInvalid,
            format!("needed {} tokens, found {}", ids.len(), embedding.n_tokens),
        )),
        _ => Ok(Answer {
            ms,
            vector: embedding.values,
        }),
    }
}

fn write(line: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(line)
        .map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
    let mut out = stdout();
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .map_err(|error| Failure::new(Code::Io, format!("standard output: {error}")))
}
