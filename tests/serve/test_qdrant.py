"""Qdrant's guide to Jina Embeddings: post the texts, index the vectors, search. Only the address,
the key and the length of the vectors (the tiny model's) differ from what it shows.

https://qdrant.tech/documentation/embeddings/jina-embeddings/
"""

import base64
import json

import numpy
import requests
from conftest import FIXTURES
from qdrant_client import QdrantClient
from qdrant_client.models import (
    Batch,
    Distance,
    MultiVectorComparator,
    MultiVectorConfig,
    VectorParams,
)

MODEL = "jina-embeddings-v4"
EMBEDDING_SIZE = 128
TEXTS = ["Bread rises in a warm room.", "The comet comes back in 2061.", "A cat sleeps."]


def embed(server, inputs, task, **options):
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {server.key}"}
    data = {"input": inputs, "model": MODEL, "task": task, **options}
    response = requests.post(server.url, headers=headers, json=data, timeout=60)
    response.raise_for_status()
    key = "embeddings" if options.get("return_multivector") else "embedding"
    return [item[key] for item in response.json()["data"]]


def test_the_guides_program_indexes_and_finds(server):
    passages = embed(server, TEXTS, "retrieval.passage", dimensions=EMBEDDING_SIZE)
    client = QdrantClient(":memory:")
    client.create_collection(
        collection_name="MyCollection",
        vectors_config=VectorParams(size=EMBEDDING_SIZE, distance=Distance.DOT),
    )
    client.upsert(
        collection_name="MyCollection",
        points=Batch(
            ids=list(range(len(passages))),
            vectors=passages,
            payloads=[{"text": text} for text in TEXTS],
        ),
    )
    [query] = embed(server, ["a comet"], "retrieval.query", dimensions=EMBEDDING_SIZE)
    hits = client.query_points(collection_name="MyCollection", query=query, limit=3).points
    # The weights are random: the order proves nothing, its scores are those of numpy.
    expected = sorted((numpy.dot(query, passage) for passage in passages), reverse=True)
    numpy.testing.assert_allclose([hit.score for hit in hits], expected, atol=1e-6)


def test_pictures_and_texts_are_in_one_collection(server):
    picture = (FIXTURES / "tiny/golden/images/cat_crop_168x140.png").read_bytes()
    inputs = [{"image": base64.b64encode(picture).decode()}, {"text": TEXTS[2]}]
    vectors = embed(server, inputs, "retrieval.passage")
    client = QdrantClient(":memory:")
    client.create_collection("Both", VectorParams(size=EMBEDDING_SIZE, distance=Distance.COSINE))
    client.upsert("Both", Batch(ids=[0, 1], vectors=vectors))
    for index, vector in enumerate(vectors):
        [hit] = client.query_points("Both", query=vector, limit=1).points
        assert hit.id == index
        assert abs(hit.score - 1) < 1e-6


def test_multi_vectors_are_scored_by_late_interaction(server):
    passages = embed(server, TEXTS, "retrieval.passage", return_multivector=True)
    [query] = embed(server, ["a comet"], "retrieval.query", return_multivector=True)
    size = len(query[0])
    client = QdrantClient(":memory:")
    client.create_collection(
        "Multi",
        VectorParams(
            size=size,
            distance=Distance.DOT,
            multivector_config=MultiVectorConfig(comparator=MultiVectorComparator.MAX_SIM),
        ),
    )
    client.upsert("Multi", Batch(ids=[0, 1, 2], vectors=passages))
    hits = client.query_points("Multi", query=query, limit=3).points
    scores = {hit.id: hit.score for hit in hits}
    for index, passage in enumerate(passages):
        expected = numpy.max(numpy.array(query) @ numpy.array(passage).T, axis=1).sum()
        assert abs(scores[index] - expected) < 1e-4


def test_the_vectors_are_those_of_the_command(server):
    lines = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS)
    found = embed(server, TEXTS, "retrieval.passage")
    for line in server.encode(lines, "--task", "retrieval.passage").splitlines():
        answer = json.loads(line)
        assert found[answer["index"]] == answer["embedding"]


def test_signs_are_those_of_numpy_packbits(server):
    [float_vector] = embed(server, [TEXTS[0]], "text-matching")
    [ubinary] = embed(server, [TEXTS[0]], "text-matching", embedding_type="ubinary")
    [binary] = embed(server, [TEXTS[0]], "text-matching", embedding_type="binary")
    packed = numpy.packbits(numpy.array(float_vector) > 0)
    assert ubinary == packed.tolist()
    # As LangChain and LlamaIndex unpack it.
    assert (numpy.array(binary) + 128).astype("uint8").tolist() == packed.tolist()
