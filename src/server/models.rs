//! `GET /v1/models`: the one loaded model, as `ModelInfo` of Jina's OpenAPI file with the fields that
//! OpenAI's clients read.

use serde_json::{Value, json};

use super::engine::Served;

/// The published model that a file of these weights comes from.
const PUBLISHED: &str = "jina-embeddings-v4";

/// `ModelListResponse`
pub fn list(served: &Served) -> Value {
    json!({ "object": "list", "data": [info(served)] })
}

/// `ModelInfo`, and beside it `space`, which names the loaded weights.
pub fn info(served: &Served) -> Value {
    let mut input_modalities = vec!["text"];
    if served.takes_images {
        input_modalities.push("image");
    }
    let tasks: Vec<&str> = served.tasks.iter().map(|task| task.as_str()).collect();
    let mut features = Vec::new();
    if served.makes_multivectors {
        features.push("multivector");
    }
    json!({
        "id": served.name,
        "object": "model",
        "owned_by": "local",
        // Unknown: nothing in the files tells.
        "created": 0,
        "hugging_face_id": match served.name == PUBLISHED {
            true => format!("jinaai/{PUBLISHED}"),
            false => String::new(),
        },
        "name": served.name,
        "description": format!("{}, computed on this machine; tasks: {}", served.name, tasks.join(", ")),
        "input_modalities": input_modalities,
        "output_modalities": ["embeddings"],
        "quantization": "",
        "context_length": served.max_tokens,
        "max_output_length": served.dimensions,
        "pricing": {
            "prompt": "0",
            "completion": "0",
            "image": "0",
            "request": "0",
            "input_cache_read": "0",
            "input_cache_write": "0",
        },
        "supported_sampling_parameters": [],
        "supported_features": features,
        "datacenters": [],
        "space": served.space,
    })
}
