"""OpenAI's Python client, pointed at this server, for the shapes that both APIs share."""

import numpy
import openai
import pytest
import requests

MODEL = "jina-embeddings-v4"


@pytest.fixture
def client(server):
    with openai.OpenAI(api_key=server.key, base_url=f"{server.base}/v1", max_retries=0) as client:
        yield client


def floats(server, texts, **options):
    body = {"model": MODEL, "input": texts, **options}
    answer = requests.post(server.url, headers=server.headers, json=body, timeout=60)
    return [item["embedding"] for item in answer.json()["data"]]


def test_its_default_of_base64_gives_the_same_vectors_as_json(server, client):
    texts = ["a red bicycle", "une bicyclette rouge"]
    answer = client.embeddings.create(model=MODEL, input=texts)
    assert (answer.object, answer.model) == ("list", MODEL)
    assert [item.index for item in answer.data] == [0, 1]
    found = [item.embedding for item in answer.data]
    numpy.testing.assert_array_equal(numpy.float32(found), numpy.float32(floats(server, texts)))
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0


def test_dimensions_formats_and_its_own_fields_are_taken(server, client):
    answer = client.embeddings.create(
        model=MODEL,
        input="a red bicycle",
        dimensions=16,
        encoding_format="float",
        user="someone",
        extra_body={"task": "retrieval.query"},
    )
    [expected] = floats(server, "a red bicycle", dimensions=16, task="retrieval.query")
    assert answer.data[0].embedding == expected


def test_models_are_listed_and_retrieved(client):
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL


def test_errors_are_of_the_classes_that_their_status_means(server, client):
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        client.embeddings.create(model=MODEL, input="a", dimensions=4096)
    assert "must be from 1 to 128" in str(caught.value)
    assert (caught.value.code, caught.value.param) == ("INPUT_INVALID", "dimensions")
    assert caught.value.request_id
    with pytest.raises(openai.UnprocessableEntityError):
        client.embeddings.create(model=MODEL, input=[1, 2, 3])
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model="text-embedding-3-small", input="a")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("text-embedding-3-small")
    stranger = openai.OpenAI(api_key="wrong", base_url=f"{server.base}/v1", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        stranger.embeddings.create(model=MODEL, input="a")
