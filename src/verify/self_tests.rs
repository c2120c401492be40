//! The vectors that are kept beside a model: made, and made again.

use ::image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};

use crate::self_test::{Case, CaseInput, Mismatch, SelfTest};
use crate::text::{Prompt, Task, TaskPrompt};
use crate::{Embedder, Embedding, EncodeOptions, Error, Input, Result};

/// For each task a text that meets every kind of token: words, digits, code, other scripts.
const TEXTS: [(Task, &str); 3] = [
    (
        Task::Retrieval,
        "How do 3 honey bees find their way home after rain? 蜜蜂怎么回家",
    ),
    (
        Task::TextMatching,
        "The old bridge was closed in 1987; today a ferry crosses the river every 20 minutes.",
    ),
    (
        Task::Code,
        "for (let i = 0; i < n; i++) total += prices[i] * 1.19;",
    ),
];

/// Two devices that compute alike differ by a hundredth of this; a wrong one by much more than it.
const MIN_COSINE_TEXT: f64 = 0.999;
/// A picture passes the tower too, and every step of it rounds.
const MIN_COSINE_PICTURE: f64 = 0.995;

/// Five by four tokens: windows of the tower that are whole and windows that are not.
const PICTURE_PX: [u32; 2] = [140, 112];

/// Computes the vectors of a model, to be kept beside it.
///
/// - `space`: the model's, from `model.json`
/// - `computed_by`: program and device
///
/// Fails as [`Embedder::encode`] does.
pub fn make_self_test(embedder: &Embedder, space: &str, computed_by: &str) -> Result<SelfTest> {
    let mut cases = Vec::new();
    let tasks: Vec<_> = embedder.tasks().collect();
    for (task, text) in TEXTS.into_iter().filter(|(task, _)| tasks.contains(task)) {
        let input = CaseInput::Text(text.to_owned());
        let prompt = TaskPrompt::new(task, Prompt::Query);
        cases.push(compute(
            embedder,
            task.as_str(),
            prompt,
            input,
            MIN_COSINE_TEXT,
        )?);
    }
    if let (Some(_), Some(task)) = (embedder.vision(), tasks.first()) {
        let input = CaseInput::Image(picture()?);
        let prompt = TaskPrompt::new(*task, Prompt::Passage);
        cases.push(compute(
            embedder,
            "picture",
            prompt,
            input,
            MIN_COSINE_PICTURE,
        )?);
    }
    Ok(SelfTest {
        space: space.to_owned(),
        computed_by: computed_by.to_owned(),
        cases,
    })
}

/// Computes each case once more; the cosine, or how it fails.
///
/// Fails if the device does.
pub fn check_self_test(
    embedder: &Embedder,
    self_test: &SelfTest,
) -> Result<Vec<Result<f64, Mismatch>>> {
    let check = |case: &Case| {
        let found = encode(embedder, case.task, &case.input)?;
        Ok(case.check(&found.values, found.n_tokens))
    };
    self_test.cases.iter().map(check).collect()
}

fn compute(
    embedder: &Embedder,
    name: &str,
    task: TaskPrompt,
    input: CaseInput,
    min_cosine: f64,
) -> Result<Case> {
    let found = encode(embedder, task, &input)?;
    Ok(Case {
        name: name.to_owned(),
        task,
        input,
        n_tokens: found.n_tokens,
        min_cosine,
        embedding: found.values,
    })
}

fn encode(embedder: &Embedder, task: TaskPrompt, input: &CaseInput) -> Result<Embedding> {
    let input = match input {
        CaseInput::Text(text) => Input::Text(text.clone()),
        CaseInput::Image(png) => Input::Image(png.clone()),
    };
    encode_one(embedder, task, input)
}

/// The vector of one input.
pub(super) fn encode_one(embedder: &Embedder, task: TaskPrompt, input: Input) -> Result<Embedding> {
    let (inputs, options) = ([input], EncodeOptions::new(task));
    let mut observer = ();
    let results = pollster::block_on(embedder.encode(&inputs, &options, &mut observer, |_, _| ()));
    // One input has one result.
    results?.pop().unwrap_or(Err(Error::Aborted))
}

/// A PNG with edges, a gradient and a texture.
fn picture() -> Result<Vec<u8>> {
    let [width, height] = PICTURE_PX;
    let mut pixels = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let disc = (x as i32 - 50).pow(2) + (y as i32 - 60).pow(2) < 900;
            let stripe = (x / 7 + y / 5) % 2 == 0;
            pixels.extend([
                if disc { 220 } else { (x * 255 / width) as u8 },
                (y * 255 / height) as u8,
                if stripe { 200 } else { 40 },
            ]);
        }
    }
    let mut png = Vec::new();
    PngEncoder::new(&mut png)
        .write_image(&pixels, width, height, ExtendedColorType::Rgb8)
        .map_err(|error| Error::Device {
            code: crate::Code::Internal,
            message: format!("the picture of the self-test: {error}"),
        })?;
    Ok(png)
}
