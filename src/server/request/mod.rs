//! The body of `POST /v1/embeddings`, read as `EmbeddingsV4Request` of Jina's OpenAPI file says,
//! with what OpenAI's clients send instead of it: `encoding_format` for `embedding_type`.
//!
//! `null` is the default of every option, unknown fields are ignored, and nothing is coerced. What
//! would be ignored in silence with another result than the sender expects is an error.

use serde_json::{Map, Value};

use super::{
    engine::{Input, Options, Served},
    error::{ApiError, FieldError},
    json, picture,
    response::{Encoding, Encodings},
};
use crate::text::TaskPrompt;

/// How much a request may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Inputs of a request.
    pub inputs: usize,
    /// Bytes of a picture file.
    pub image_bytes: usize,
    /// Numbers of an answer, over all its vectors.
    pub values: usize,
}

impl Default for Limits {
    /// The hosted API's limits where it names them.
    fn default() -> Limits {
        Limits {
            body_bytes: 32 << 20,
            inputs: 2048,
            image_bytes: 8 << 20,
            values: 16 << 20,
        }
    }
}

/// A request that can be computed.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    pub inputs: Vec<Input>,
    pub options: Options,
    /// Length to cut single vectors to.
    pub dimensions: Option<usize>,
    pub encodings: Encodings,
}

impl Request {
    /// Reads a body.
    ///
    /// - `default_task`: for a request that names none
    ///
    /// Fails with 422 where the body breaks the schema or a limit, with 400 where this server or
    /// the loaded model does not do what is asked.
    pub fn parse(
        body: &[u8],
        served: &Served,
        default_task: TaskPrompt,
        limits: &Limits,
    ) -> Result<Request, ApiError> {
        // An input is an object and a text; the rest is for options.
        let max_values = limits.inputs.saturating_mul(2).saturating_add(256);
        let body = json::parse(body, max_values)
            .map_err(|error| FieldError::new("body", "json", error.to_string(), None))?;
        let Value::Object(mut body) = body else {
            return Err(wrong_type("body", "an object", &body));
        };
        check_model(&body, served)?;
        let options = Options {
            task: task(&body, default_task)?,
            multivector: flag(&body, "return_multivector")?,
            late_chunking: flag(&body, "late_chunking")?,
            truncate: flag(&body, "truncate")?,
            tokens: flag(&body, "return_tokenized_input")?,
        };
        let dimensions = dimensions(&body, served)?;
        let encodings = encodings(&body)?;
        check_together(&body, options, dimensions)?;
        check_abilities(options, served)?;
        let inputs = inputs(body.remove("input"), served, limits)?;
        if options.late_chunking {
            let picture = inputs.iter().position(|it| matches!(it, Input::Image(_)));
            if let Some(index) = picture {
                let message = "a picture cannot be a chunk: late_chunking is for texts only";
                return Err(
                    FieldError::new(format!("input.{index}"), "value", message, None).into(),
                );
            }
        }
        Ok(Request {
            inputs,
            options,
            dimensions,
            encodings,
        })
    }
}

fn check_model(body: &Map<String, Value>, served: &Served) -> Result<(), ApiError> {
    match body.get("model") {
        Some(Value::String(name)) if served.is_called(name) => Ok(()),
        Some(Value::String(name)) => {
            let name: String = name.chars().take(64).collect();
            let detail = format!(
                "Model '{name}' not found. Available models: {}",
                served.name
            );
            Err(ApiError::new(400, "INPUT_MODEL_NOT_FOUND", detail))
        }
        Some(other) => Err(wrong_type("model", "a string", other)),
        None => Err(missing("model")),
    }
}

fn task(body: &Map<String, Value>, default_task: TaskPrompt) -> Result<TaskPrompt, ApiError> {
    let Some(value) = given(body, "task") else {
        return Ok(default_task);
    };
    let Value::String(name) = value else {
        return Err(wrong_type("task", "a string or null", value));
    };
    let known = TaskPrompt::ALL.into_iter().find(|it| it.as_str() == name);
    known.ok_or_else(|| {
        let allowed = TaskPrompt::ALL.map(TaskPrompt::as_str).join(", ");
        FieldError::new(
            "task",
            "enum",
            format!("must be one of {allowed}"),
            Some(value),
        )
        .into()
    })
}

fn dimensions(body: &Map<String, Value>, served: &Served) -> Result<Option<usize>, ApiError> {
    let Some(value) = given(body, "dimensions") else {
        return Ok(None);
    };
    // JSON has one kind of number: 128.0 is an integer.
    let number = match value.as_f64() {
        Some(number) if number.fract() == 0.0 => number,
        _ => return Err(wrong_type("dimensions", "an integer or null", value)),
    };
    let whole = served.dimensions;
    match (1.0..=whole as f64).contains(&number) {
        true => Ok(Some(number as usize)),
        false => {
            let message = format!("must be from 1 to {whole}");
            Err(FieldError::new("dimensions", "range", message, Some(value)).into())
        }
    }
}

/// Jina's field, or OpenAI's where that is absent.
fn encodings(body: &Map<String, Value>) -> Result<Encodings, ApiError> {
    let (field, value) = match given(body, "embedding_type") {
        Some(value) => ("embedding_type", value),
        None => match given(body, "encoding_format") {
            Some(value) => ("encoding_format", value),
            None => return Ok(Encodings::default()),
        },
    };
    let one = |value: &Value| match value {
        Value::String(name) => Encoding::of_name(name).ok_or_else(|| {
            let allowed = Encoding::ALL.map(Encoding::as_str).join(", ");
            let message = format!("must be one of {allowed}, or a list of them");
            ApiError::from(FieldError::new(field, "enum", message, Some(value)))
        }),
        other => Err(wrong_type(field, "a string or a list of strings", other)),
    };
    match value {
        Value::Array(list) => Ok(Encodings::new(
            list.iter().map(one).collect::<Result<_, _>>()?,
        )),
        value => Ok(Encodings::new(vec![one(value)?])),
    }
}

/// Options that exclude or need each other.
fn check_together(
    body: &Map<String, Value>,
    options: Options,
    dimensions: Option<usize>,
) -> Result<(), ApiError> {
    let conflict = |field, message| Err(FieldError::new(field, "value", message, None).into());
    if options.multivector && dimensions.is_some() {
        return conflict(
            "dimensions",
            "cannot be used with return_multivector, whose vectors are never cut",
        );
    }
    if options.multivector && options.late_chunking {
        return conflict(
            "late_chunking",
            "cannot be used with return_multivector, which gives every token already",
        );
    }
    if options.tokens && !options.multivector {
        return conflict(
            "return_tokenized_input",
            "requires return_multivector to be true",
        );
    }
    // A field of other models; v4 has it not, and its vectors always have length one.
    if given(body, "normalized") == Some(&Value::Bool(false)) {
        return conflict(
            "normalized",
            "cannot be false: the vectors of this model always have length one",
        );
    }
    Ok(())
}

/// Fails where the loaded files cannot compute what is asked.
fn check_abilities(options: Options, served: &Served) -> Result<(), ApiError> {
    let lacks = |detail: String| Err(ApiError::new(400, "INPUT_TASK_UNAVAILABLE", detail));
    let task = options.task.task();
    if !served.tasks.contains(&task) {
        let found: Vec<&str> = served.tasks.iter().map(|task| task.as_str()).collect();
        return lacks(format!(
            "the task {} needs the adapter `{task}`; the loaded model has {}",
            options.task,
            found.join(", ")
        ));
    }
    if options.multivector && !served.makes_multivectors {
        return lacks(
            "return_multivector needs a multi-vector projector; the loaded model has none".into(),
        );
    }
    Ok(())
}

fn inputs(value: Option<Value>, served: &Served, limits: &Limits) -> Result<Vec<Input>, ApiError> {
    match value {
        None => Err(missing("input")),
        Some(Value::Array(list)) => {
            let (found, max) = (list.len(), limits.inputs);
            if found > max {
                let message = format!("has {found} items; at most {max} are taken");
                return Err(FieldError::new("input", "range", message, None).into());
            }
            let one = |(index, value)| input(format!("input.{index}"), value, served, limits);
            list.into_iter().enumerate().map(one).collect()
        }
        Some(value) => Ok(vec![input("input".into(), value, served, limits)?]),
    }
}

const INPUT_FORMS: &str = r#"a string, {"text": string} or {"image": string}"#;

/// - `field`: where it stands, for errors
fn input(field: String, value: Value, served: &Served, limits: &Limits) -> Result<Input, ApiError> {
    let mut object = match value {
        Value::String(text) => return Ok(Input::Text(text)),
        Value::Object(object) => object,
        Value::Number(_) => {
            let message = format!("must be {INPUT_FORMS}; token ids are not taken");
            return Err(FieldError::new(field, "type", message, None).into());
        }
        other => return Err(wrong_type(field, INPUT_FORMS, &other)),
    };
    let kinds = ["text", "image", "pdf"];
    let mut found = kinds.into_iter().filter(|kind| object.contains_key(*kind));
    let (Some(kind), None) = (found.next(), found.next()) else {
        let message = format!("must be {INPUT_FORMS}, and hold exactly one of these");
        return Err(FieldError::new(field, "type", message, None).into());
    };
    let content = match object.remove(kind) {
        Some(Value::String(content)) => content,
        Some(other) => return Err(wrong_type(format!("{field}.{kind}"), "a string", &other)),
        None => return Err(missing(field)),
    };
    match kind {
        "text" => Ok(Input::Text(content)),
        "image" if !served.takes_images => Err(ApiError::new(
            400,
            "INPUT_TASK_UNAVAILABLE",
            format!("{field}: pictures need a vision tower; the loaded model has none"),
        )),
        "image" => {
            picture::read(&format!("{field}.image"), &content, limits.image_bytes).map(Input::Image)
        }
        _ => Err(ApiError::new(
            400,
            "INPUT_PDF_UNSUPPORTED",
            format!("{field}: this server does not read PDF; send its pages as pictures"),
        )),
    }
}

/// The value of an option, unless absent or `null`.
fn given<'a>(body: &'a Map<String, Value>, field: &str) -> Option<&'a Value> {
    body.get(field).filter(|value| !value.is_null())
}

fn flag(body: &Map<String, Value>, field: &str) -> Result<bool, ApiError> {
    match given(body, field) {
        None => Ok(false),
        Some(Value::Bool(value)) => Ok(*value),
        Some(other) => Err(wrong_type(field, "true, false or null", other)),
    }
}

fn missing(field: impl Into<String>) -> ApiError {
    FieldError::new(field, "missing", "is required", None).into()
}

fn wrong_type(field: impl Into<String>, needed: &str, found: &Value) -> ApiError {
    FieldError::new(field, "type", format!("must be {needed}"), Some(found)).into()
}

#[cfg(test)]
mod tests;
