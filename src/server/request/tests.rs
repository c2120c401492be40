use super::*;
use crate::text::Task;
use serde_json::json;

fn served() -> Served {
    Served {
        name: "jina-embeddings-v4".into(),
        space: "s".into(),
        dimensions: 16,
        max_tokens: 100,
        tasks: Task::ALL.to_vec(),
        takes_images: true,
        makes_multivectors: true,
    }
}

fn parse_for(served: &Served, body: &str) -> Result<Request, ApiError> {
    let limits = Limits {
        inputs: 3,
        image_bytes: 5,
        ..Limits::default()
    };
    let default_task = "text-matching".parse().unwrap();
    Request::parse(body.as_bytes(), served, default_task, &limits)
}

/// With `model` and `input` where the body has none.
fn parse(mut body: Value) -> Result<Request, ApiError> {
    for (field, value) in [("model", "jina-embeddings-v4"), ("input", "a")] {
        if body.get(field).is_none() {
            body[field] = value.into();
        }
    }
    parse_for(&served(), &body.to_string())
}

#[test]
fn every_form_of_input_is_read_in_order() {
    let input = json!(["a", {"text": "b"}, {"image": "aGVsbG8="}]);
    let needed = [
        Input::Text("a".into()),
        Input::Text("b".into()),
        Input::Image(b"hello".to_vec()),
    ];
    assert_eq!(parse(json!({ "input": input })).unwrap().inputs, needed);
    for (index, one) in input.as_array().unwrap().iter().enumerate() {
        let found = parse(json!({ "input": one })).unwrap().inputs;
        assert_eq!(found, needed[index..=index], "{one}");
    }
    assert_eq!(parse(json!({ "input": [] })).unwrap().inputs, []);
}

#[test]
fn null_and_absent_are_the_default_of_every_option() {
    let null = parse(json!({
        "task": null, "dimensions": null, "embedding_type": null, "late_chunking": null,
        "truncate": null, "return_multivector": null, "return_tokenized_input": null,
        "encoding_format": null, "normalized": null,
    }));
    let absent = parse(json!({})).unwrap();
    assert_eq!(null.unwrap(), absent);
    assert_eq!(absent.options.task.as_str(), "text-matching");
    assert_eq!(absent.encodings, Encodings::default());
    assert_eq!(absent.dimensions, None);
}

#[test]
fn options_are_read_and_what_is_unknown_is_ignored() {
    let found = parse(json!({
        "task": "code.passage", "dimensions": 7.0, "embedding_type": ["binary", "float"],
        "truncate": true, "late_chunking": true, "user": "me", "normalized": true,
    }))
    .unwrap();
    assert_eq!(found.options.task.as_str(), "code.passage");
    assert!(found.options.truncate && found.options.late_chunking);
    assert_eq!(found.dimensions, Some(7));
    let needed = Encodings::new(vec![Encoding::Binary, Encoding::Float]);
    assert_eq!(found.encodings, needed);
}

#[test]
fn the_format_of_openai_counts_where_jinas_is_absent() {
    let base64 = Encodings::new(vec![Encoding::Base64]);
    let found = parse(json!({ "encoding_format": "base64" })).unwrap();
    assert_eq!(found.encodings, base64);
    let both = json!({ "encoding_format": "base64", "embedding_type": "float" });
    assert_eq!(parse(both).unwrap().encodings, Encodings::default());
}

#[test]
fn a_model_may_be_named_with_its_organisation_and_another_is_400() {
    for name in ["jinaai/jina-embeddings-v4", "jina-ai/jina-embeddings-v4"] {
        assert!(parse(json!({ "model": name })).is_ok(), "{name}");
    }
    for name in ["jina-embeddings-v3", "", "other/jina-embeddings-v4"] {
        let error = parse(json!({ "model": name })).unwrap_err();
        let found = (error.status, error.code);
        assert_eq!(found, (400, "INPUT_MODEL_NOT_FOUND"), "{name}");
    }
}

#[test]
fn what_breaks_the_schema_or_a_limit_is_422_and_names_the_field() {
    for (body, field, said) in [
        (json!({ "model": 5 }), "model", "a string"),
        (json!({ "input": null }), "input", "a string"),
        (json!({ "input": true }), "input", "a string"),
        (json!({ "input": [[1, 2]] }), "input.0", "a string"),
        (json!({ "input": [1, 2] }), "input.0", "token ids"),
        (json!({ "input": ["a", {}] }), "input.1", "exactly one"),
        (
            json!({ "input": {"text": "a", "image": "b"} }),
            "input",
            "exactly one",
        ),
        (json!({ "input": {"text": 5} }), "input.text", "a string"),
        (
            json!({ "input": [{"image": "?"}] }),
            "input.0.image",
            "base64",
        ),
        (
            json!({ "input": [{"image": "aGVsbG8h"}] }),
            "input.0.image",
            "at most 5",
        ),
        (json!({ "input": ["", "", "", ""] }), "input", "at most 3"),
        (json!({ "task": "retrieval" }), "task", "retrieval.query"),
        (json!({ "task": ["retrieval.query"] }), "task", "a string"),
        (json!({ "dimensions": 0 }), "dimensions", "1 to 16"),
        (json!({ "dimensions": 17 }), "dimensions", "1 to 16"),
        (json!({ "dimensions": 1e300 }), "dimensions", "1 to 16"),
        (json!({ "dimensions": 1.5 }), "dimensions", "an integer"),
        (json!({ "dimensions": "16" }), "dimensions", "an integer"),
        (
            json!({ "embedding_type": "int8" }),
            "embedding_type",
            "float, base64",
        ),
        (
            json!({ "embedding_type": ["float", 1] }),
            "embedding_type",
            "a string",
        ),
        (
            json!({ "encoding_format": "int8" }),
            "encoding_format",
            "float, base64",
        ),
        (json!({ "truncate": "yes" }), "truncate", "true, false"),
        (json!({ "normalized": false }), "normalized", "length one"),
        (
            json!({ "return_tokenized_input": true }),
            "return_tokenized_input",
            "requires",
        ),
        (
            json!({ "return_multivector": true, "dimensions": 8 }),
            "dimensions",
            "cannot be used",
        ),
        (
            json!({ "return_multivector": true, "late_chunking": true }),
            "late_chunking",
            "cannot be used",
        ),
        (
            json!({ "late_chunking": true, "input": ["a", {"image": "aGVsbG8="}] }),
            "input.1",
            "texts only",
        ),
    ] {
        let error = parse(body.clone()).unwrap_err();
        assert_eq!(error.status, 422, "{body}");
        assert_eq!(error.errors[0].field, field, "{body}");
        assert!(error.detail.contains(said), "{body}: {}", error.detail);
    }
}

#[test]
fn a_body_that_is_no_object_or_lacks_a_field_is_422() {
    for (body, field) in [
        ("", "body"),
        ("{", "body"),
        ("[]", "body"),
        ("null", "body"),
        (r#"{"model": "\ud800"}"#, "body"),
        (r#"{"input": "a"}"#, "model"),
        (r#"{"model": "jina-embeddings-v4"}"#, "input"),
    ] {
        let error = parse_for(&served(), body).unwrap_err();
        let found = (error.status, error.errors[0].field.as_str());
        assert_eq!(found, (422, field), "{body}");
    }
}

#[test]
fn what_this_server_or_model_does_not_do_is_400_with_a_code_of_its_own() {
    let poor = Served {
        tasks: vec![Task::Retrieval],
        takes_images: false,
        makes_multivectors: false,
        ..served()
    };
    let rich = served();
    for (served, body, code) in [
        (
            &rich,
            json!({"input": {"pdf": "a"}}),
            "INPUT_PDF_UNSUPPORTED",
        ),
        (
            &rich,
            json!({"input": [{"image": "https://a.example/b"}]}),
            "INPUT_IMAGE_URL_UNSUPPORTED",
        ),
        (&poor, json!({"input": "a"}), "INPUT_TASK_UNAVAILABLE"),
        (
            &poor,
            json!({"input": {"image": "aGVsbG8="}, "task": "retrieval.query"}),
            "INPUT_TASK_UNAVAILABLE",
        ),
        (
            &poor,
            json!({"input": "a", "task": "retrieval.query", "return_multivector": true}),
            "INPUT_TASK_UNAVAILABLE",
        ),
    ] {
        let mut body = body;
        body["model"] = "jina-embeddings-v4".into();
        let error = parse_for(served, &body.to_string()).unwrap_err();
        assert_eq!((error.status, error.code), (400, code), "{body}");
    }
}
