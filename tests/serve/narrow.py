"""Jina's description of the API, narrowed to requests that this server must answer with 200.

The description allows what it forbids in prose, and what no server can answer with vectors: options
that exclude each other, a picture that is no picture, a chunk in which no token begins. So that such
a refusal can be told from a defect:

- `dimensions` ends at the model's own length;
- a picture is one of a few real ones, since no generator makes a picture from "a string";
- PDF is left out: answered 400, tested elsewhere;
- `return_multivector`, `late_chunking` and the rest are three requests, each with the options that
  go together;
- chunks are words, so that a token begins in each;
- the answer to a list of several `embedding_type`s, which is not described there, is described.
"""

import copy

NOT = {"enum": [False, None]}
TYPES = ["float", "base64", "binary", "ubinary"]


def narrow(description, dimensions, pictures):
    """A copy of `description` for a model of `dimensions`; `pictures` are base64 texts."""
    description = copy.deepcopy(description)
    schemas = description["components"]["schemas"]
    schemas["ImageDoc"]["properties"]["image"] = {"enum": pictures}
    del schemas["PDFDoc"]

    request = schemas.pop("EmbeddingsV4Request")
    properties = request["properties"]
    forms = properties["input"]["anyOf"]
    properties["input"]["anyOf"] = [form for form in forms if "PDFDoc" not in form.get("$ref", "")]
    # Requests of thousands of inputs test patience only.
    properties["input"]["anyOf"][-1]["maxItems"] = 4
    properties["dimensions"]["anyOf"][0]["maximum"] = dimensions
    for item, key in [("SingleEmbeddingData", "embedding"), ("MultiEmbeddingData", "embeddings")]:
        forms = schemas[item]["properties"][key]["anyOf"]
        types = {name: {"anyOf": copy.deepcopy(forms)} for name in TYPES}
        forms.append({"type": "object", "properties": types, "additionalProperties": False})

    def variant(**changes):
        one = copy.deepcopy(request)
        one["properties"].update(changes)
        return one

    word = {"type": "string", "pattern": "^ [a-z]{1,12}$"}
    variants = {
        "Single": variant(
            return_multivector=NOT, return_tokenized_input=NOT, late_chunking=NOT
        ),
        "Multi": variant(
            return_multivector={"const": True}, late_chunking=NOT, dimensions={"type": "null"}
        ),
        "Late": variant(
            return_multivector=NOT,
            return_tokenized_input=NOT,
            late_chunking={"const": True},
            input={"type": "array", "items": word, "minItems": 1, "maxItems": 4},
        ),
    }
    variants["Multi"]["required"] = request["required"] + ["return_multivector"]
    variants["Late"]["required"] = request["required"] + ["late_chunking"]
    schemas.update(variants)
    body = description["paths"]["/v1/embeddings"]["post"]["requestBody"]
    references = [{"$ref": f"#/components/schemas/{name}"} for name in variants]
    body["content"]["application/json"]["schema"] = {"anyOf": references}

    model_id = description["paths"]["/v1/models/{model_id}"]["get"]["parameters"][0]
    model_id["schema"] = {"enum": ["jina-embeddings-v4", "jina-ai/jina-embeddings-v4"]}
    return description
