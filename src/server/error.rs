//! What goes wrong between a request and its answer, in the shapes of Jina's OpenAPI file:
//! `{detail, code, request_id}`, and for a request that breaks the schema
//! `{detail, errors: [{field, message, type, input}]}` with the same two more. Beside them stands
//! `error`, which is all that OpenAI's clients look at.

use serde_json::{Value, json};

use crate::{Code, Error};

/// An answer that is not 200.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// Machine-readable, stable.
    pub code: &'static str,
    /// For a person.
    pub detail: String,
    /// The fields at fault, with status 422.
    pub errors: Vec<FieldError>,
    /// Seconds after which a retry makes sense.
    pub retry_after_s: Option<u64>,
}

/// One field of a request that breaks the schema or a limit.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldError {
    /// `input.3.image`
    pub field: String,
    pub message: String,
    /// `missing`, `type`, `enum`, `range`, `value`
    pub kind: &'static str,
    /// The value, where it is short: a picture is not sent back.
    pub input: Option<Value>,
}

/// Longest text that an error repeats, in bytes.
const MAX_ECHO_BYTES: usize = 64;

impl FieldError {
    pub fn new(
        field: impl Into<String>,
        kind: &'static str,
        message: impl Into<String>,
        input: Option<&Value>,
    ) -> FieldError {
        let input = input.filter(|value| match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => true,
            Value::String(text) => text.len() <= MAX_ECHO_BYTES,
            Value::Array(_) | Value::Object(_) => false,
        });
        FieldError {
            field: field.into(),
            message: message.into(),
            kind,
            input: input.cloned(),
        }
    }
}

impl From<FieldError> for ApiError {
    fn from(error: FieldError) -> ApiError {
        ApiError {
            detail: format!("{}: {}", error.field, error.message),
            errors: vec![error],
            ..ApiError::new(422, "INPUT_INVALID", "")
        }
    }
}

impl ApiError {
    pub fn new(status: u16, code: &'static str, detail: impl Into<String>) -> ApiError {
        ApiError {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after_s: None,
        }
    }

    /// 503: not now, but later.
    pub fn unavailable(detail: impl Into<String>, retry_after_s: u64) -> ApiError {
        ApiError {
            retry_after_s: Some(retry_after_s),
            ..ApiError::new(503, "SERVICE_UNAVAILABLE", detail)
        }
    }

    /// What an error of the model means to the sender of the request.
    ///
    /// - `index`: the input at fault, where it is one of a request
    pub fn of_model(index: Option<usize>, error: &Error) -> ApiError {
        let (index, error) = match error {
            Error::Input { index, source } => (Some(*index), &**source),
            other => (index, other),
        };
        let field = match index {
            Some(index) => format!("input.{index}"),
            None => "input".to_owned(),
        };
        match error.code() {
            Code::InputInvalid => FieldError::new(field, "value", error.to_string(), None).into(),
            Code::TaskUnavailable => {
                ApiError::new(400, "INPUT_TASK_UNAVAILABLE", error.to_string())
            }
            Code::NotFinite => {
                let detail = format!("{field}: {error}, so it is withheld");
                ApiError::new(500, "INTERNAL_ERROR", detail)
            }
            Code::OutOfMemory => {
                let detail = format!("{field}: {error}; a smaller picture or text needs less");
                ApiError::unavailable(detail, 1)
            }
            code => {
                // Paths and devices of this machine are for its log, not for the sender.
                log::error!("{code}: {error}");
                let detail = format!("the model could not be computed ({code})");
                ApiError::new(500, "INTERNAL_ERROR", detail)
            }
        }
    }

    /// The body.
    pub fn body(&self, request_id: &str) -> Value {
        let mut body = json!({
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
            "error": {
                "message": self.detail,
                "code": self.code,
                "type": match self.status {
                    500.. => "server_error",
                    _ => "invalid_request_error",
                },
                "param": self.errors.first().map(|error| &error.field),
            },
        });
        if self.status == 422 {
            let errors = self.errors.iter().map(|error| {
                let mut field = json!({
                    "field": error.field,
                    "message": error.message,
                    "type": error.kind,
                });
                if let Some(input) = &error.input {
                    field["input"] = input.clone();
                }
                field
            });
            body["errors"] = errors.collect();
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_at_fault_is_named_with_its_value_if_that_is_short() {
        let short = Value::from("abacus");
        let error = ApiError::from(FieldError::new("task", "enum", "is unknown", Some(&short)));
        assert_eq!(
            error.body("1"),
            json!({
                "detail": "task: is unknown",
                "code": "INPUT_INVALID",
                "request_id": "1",
                "error": {
                    "message": "task: is unknown",
                    "code": "INPUT_INVALID",
                    "type": "invalid_request_error",
                    "param": "task",
                },
                "errors": [{"field": "task", "message": "is unknown", "type": "enum", "input": "abacus"}],
            })
        );
        let long = Value::from("x".repeat(65));
        let error = FieldError::new("task", "enum", "is unknown", Some(&long));
        assert_eq!(error.input, None);
    }

    #[test]
    fn an_input_at_fault_is_422_and_what_the_model_lacks_is_400() {
        let blanks = crate::text::Error::MaxLength { found: 0 };
        let error = ApiError::of_model(Some(3), &blanks.into());
        assert_eq!((error.status, error.code), (422, "INPUT_INVALID"));
        assert_eq!(error.errors[0].field, "input.3");
        let lacking = Error::TaskUnavailable {
            needed: "code".into(),
            found: "retrieval".into(),
        };
        let error = ApiError::of_model(None, &lacking);
        assert_eq!((error.status, error.code), (400, "INPUT_TASK_UNAVAILABLE"));
    }

    #[test]
    fn paths_of_this_machine_are_not_told_to_the_sender() {
        let error = Error::Io {
            path: "/home/me/weights".into(),
            source: std::io::ErrorKind::NotFound.into(),
        };
        let error = ApiError::of_model(None, &error);
        assert_eq!(error.status, 500);
        assert!(!error.detail.contains("/home"), "{}", error.detail);
    }
}
