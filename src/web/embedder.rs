//! The embedder as JavaScript sees it.

use std::rc::Rc;

use js_sys::{Array, Float32Array, Function, Promise, Uint8Array};
use serde::Deserialize;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;

use crate::{
    Embedder, Embedding, EncodeOptions, Error, Input, Result,
    image::RgbImage,
    model::{Observer, Stopped},
};

use super::{
    event_loop::{next_turn, now_ms},
    field, misuse, object, rejection,
};

/// A loaded model; see `wasm-face.ts`.
#[wasm_bindgen(js_name = Embedder)]
pub struct WebEmbedder {
    inner: Rc<Embedder>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WebOptions {
    task: String,
    dimensions: Option<usize>,
    multivector: bool,
    late_chunking: bool,
    max_pixels: Option<usize>,
    max_length: Option<usize>,
}

impl WebEmbedder {
    pub(super) fn new(inner: Rc<Embedder>) -> Self {
        Self { inner }
    }
}

#[wasm_bindgen(js_class = Embedder)]
impl WebEmbedder {
    /// The form of the operations.
    pub fn kernels(&self) -> String {
        self.inner.kernels().to_string()
    }

    /// What the model can do.
    pub fn config(&self) -> JsValue {
        let embedder = &*self.inner;
        let text = &embedder.decoder().config;
        let vision = embedder.vision().map(|vision| &vision.config);
        let numbers = |values: &[usize]| -> JsValue {
            values
                .iter()
                .map(|value| JsValue::from(*value as f64))
                .collect::<Array>()
                .into()
        };
        let tasks: Array = embedder
            .tasks()
            .map(|task| JsValue::from(task.as_str()))
            .collect();
        let pixels = |limit: Option<usize>| JsValue::from(limit.unwrap_or(0) as f64);
        let projector = embedder.projector();
        object(&[
            ("hiddenSize", (text.hidden_size as f64).into()),
            ("matryoshkaDims", numbers(&text.matryoshka_dims)),
            (
                "projectorDim",
                projector.map_or(JsValue::NULL, |projector| (projector.dim() as f64).into()),
            ),
            ("tasks", tasks.into()),
            ("hasVision", vision.is_some().into()),
            ("maxPixels", pixels(vision.map(|vision| vision.max_pixels))),
            ("minPixels", pixels(vision.map(|vision| vision.min_pixels))),
            ("maxTokens", (text.max_length as f64).into()),
            (
                "longestText",
                (embedder.scratch().longest_text() as f64).into(),
            ),
            ("architecture", "jina-embeddings-v4".into()),
            (
                "space",
                embedder.name().unwrap_or("jina-embeddings-v4").into(),
            ),
        ])
    }

    /// Embeds inputs; see `wasm-face.ts`.
    pub fn encode(
        &self,
        inputs: Array,
        options: JsValue,
        on_progress: Function,
        is_aborted: Function,
        on_released: Function,
    ) -> Promise {
        let embedder = self.inner.clone();
        future_to_promise(async move {
            let options = encode_options(options)?;
            let mut prepared = Vec::with_capacity(inputs.length() as usize);
            for input in inputs.iter() {
                prepared.push(read_input(&input)?);
            }
            // A picture whose pixels do not fit its sides is one bad input among others.
            let (sound, positions): (Vec<Input>, Vec<usize>) = prepared
                .iter()
                .enumerate()
                .filter_map(|(index, input)| Some((input.as_ref().ok()?.clone(), index)))
                .unzip();
            let mut observer = WebObserver::new(is_aborted, on_released);
            let on_done = |done: usize, total: usize| {
                // The caller's function is not ours to fail for.
                let _ = on_progress.call2(&JsValue::NULL, &done.into(), &total.into());
            };
            let results = embedder
                .encode(&sound, &options, &mut observer, on_done)
                .await
                .map_err(|error| rejection(&error))?;
            observer.turn_over();
            let mut items: Vec<JsValue> = prepared
                .iter()
                .map(|input| input.as_ref().err().map_or(JsValue::UNDEFINED, failed_item))
                .collect();
            let mut dimensions = 0;
            for (result, index) in results.iter().zip(positions) {
                items[index] = match result {
                    Ok(embedding) => {
                        dimensions = embedding.dimensions;
                        item(embedding)
                    }
                    Err(error) => failed_item(error),
                };
            }
            Ok(object(&[
                ("dimensions", (dimensions as f64).into()),
                ("items", items.into_iter().collect::<Array>().into()),
                (
                    "timings",
                    object(&[
                        ("preprocess_ms", observer.preprocess_ms.into()),
                        ("compute_ms", observer.compute_ms.into()),
                    ]),
                ),
            ]))
        })
    }
}

fn encode_options(options: JsValue) -> Result<EncodeOptions, JsValue> {
    let options: WebOptions = serde_wasm_bindgen::from_value(options).map_err(misuse)?;
    let task = options
        .task
        .parse()
        .map_err(|error| rejection(&Error::Text(error)))?;
    Ok(EncodeOptions {
        task,
        dimensions: options.dimensions,
        multivector: options.multivector,
        late_chunking: options.late_chunking,
        max_pixels: options.max_pixels,
        max_length: options.max_length,
    })
}

/// `{text}`, `{image}` or `{width, height, rgba}`
fn read_input(input: &JsValue) -> Result<Result<Input>, JsValue> {
    if let Some(text) = field(input, "text").as_string() {
        return Ok(Ok(Input::Text(text)));
    }
    if let Ok(bytes) = field(input, "image").dyn_into::<Uint8Array>() {
        return Ok(Ok(Input::Image(bytes.to_vec())));
    }
    let rgba = field(input, "rgba");
    let size = ["width", "height"].map(|name| field(input, name).as_f64());
    match (size, rgba.is_object()) {
        ([Some(width), Some(height)], true) => {
            let rgba = Uint8Array::new(&field(&rgba, "buffer"))
                .subarray(offset(&rgba, 0.0), offset(&rgba, 1.0))
                .to_vec();
            let image = RgbImage::from_rgba(width as usize, height as usize, &rgba);
            Ok(image.map(Input::Pixels).map_err(Error::from))
        }
        _ => Err(misuse("an input is neither text nor a picture")),
    }
}

/// Where a typed array begins (`end` 0) or ends (`end` 1) in its buffer.
fn offset(array: &JsValue, end: f64) -> u32 {
    let number = |name| field(array, name).as_f64().unwrap_or(0.0);
    (number("byteOffset") + end * number("byteLength")) as u32
}

fn item(embedding: &Embedding) -> JsValue {
    object(&[
        (
            "values",
            Float32Array::from(embedding.values.as_slice()).into(),
        ),
        ("rows", (embedding.rows as f64).into()),
        ("tokens", (embedding.n_tokens as f64).into()),
    ])
}

fn failed_item(error: &Error) -> JsValue {
    object(&[("error", rejection(error))])
}

/// Gives the event loop its turn between layers, asks whether to stop, and keeps the time.
struct WebObserver {
    is_aborted: Function,
    on_released: Function,
    mark_ms: f64,
    preprocess_ms: f64,
    compute_ms: f64,
    computing: bool,
}

impl WebObserver {
    fn new(is_aborted: Function, on_released: Function) -> Self {
        let mark_ms = now_ms();
        Self {
            is_aborted,
            on_released,
            mark_ms,
            preprocess_ms: 0.0,
            compute_ms: 0.0,
            computing: false,
        }
    }

    /// Adds the time since the last mark to what was going on.
    fn turn_over(&mut self) {
        let now = now_ms();
        let elapsed = now - self.mark_ms;
        match self.computing {
            true => self.compute_ms += elapsed,
            false => self.preprocess_ms += elapsed,
        }
        self.mark_ms = now;
    }
}

impl Observer for WebObserver {
    fn began(&mut self) {
        self.turn_over();
        self.computing = false;
    }

    fn prepared(&mut self) {
        self.turn_over();
        self.computing = true;
    }

    fn released(&mut self) {
        // What it throws is no reason to withhold a result.
        let _ = self.on_released.call0(&JsValue::NULL);
    }

    async fn before_layer(&mut self) -> Result<(), Stopped> {
        next_turn().await;
        // A function that throws has lost its caller: nobody waits for the result.
        let answer = self.is_aborted.call0(&JsValue::NULL);
        match answer.is_ok_and(|answer| answer.is_falsy()) {
            true => Ok(()),
            false => Err(Stopped),
        }
    }
}
