"""schemathesis: requests made from Jina's own description of the API, answers checked against it."""

import base64
import json
import pathlib
import subprocess
import sys

import requests
from narrow import narrow

HERE = pathlib.Path(__file__).parent
PICTURES = HERE.parent / "fixtures" / "tiny" / "golden" / "images"
DESCRIPTION = json.loads((HERE / "openapi.json").read_text())
# The same requests in every run.
SEED = "20261122"
EXAMPLES = "200"


def schemathesis(server, room, description, mode):
    """Runs all its checks on every path; fails with its report."""
    path = room / "openapi.json"
    path.write_text(json.dumps(description))
    command = [
        str(pathlib.Path(sys.executable).with_name("schemathesis")),
        "run", str(path), "--url", server.base,
        "--header", f"Authorization: Bearer {server.key}",
        "--checks", "all", "--phases", "coverage,fuzzing", "--mode", mode,
        "--seed", SEED, "--max-examples", EXAMPLES, "--generation-database", "none", "--no-color",
        "--request-timeout", "60",
    ]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, cwd=room)
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    # A run that found nothing to try is no success.
    assert "6 selected / 6 total" in run.stdout, run.stdout


def test_valid_requests_are_answered_with_what_the_description_says(server, tmp_path):
    png = base64.b64encode((PICTURES / "tiny_20x20.png").read_bytes()).decode()
    narrowed = narrow(DESCRIPTION, 128, [png, f"data:image/png;base64,{png}"])
    schemathesis(server, tmp_path, narrowed, "positive")


def test_invalid_requests_are_refused_with_errors_of_the_description(server, tmp_path):
    schemathesis(server, tmp_path, DESCRIPTION, "negative")


def test_the_answer_to_a_list_of_types_is_an_object_of_them(server):
    types = ["float", "base64", "binary", "ubinary"]
    body = {"model": "jina-embeddings-v4", "input": "a", "embedding_type": types}
    answer = requests.post(server.url, headers=server.headers, json=body, timeout=60).json()
    assert list(answer["data"][0]["embedding"]) == types


def test_what_the_description_allows_and_this_server_does_not_do_is_told_with_a_code(server):
    for document, code in [
        ({"pdf": "https://example.com/sample.pdf"}, "INPUT_PDF_UNSUPPORTED"),
        ({"image": "https://i.ibb.co/nQNGqL0/beach1.jpg"}, "INPUT_IMAGE_URL_UNSUPPORTED"),
    ]:
        body = {"model": "jina-embeddings-v4", "input": document}
        answer = requests.post(server.url, headers=server.headers, json=body, timeout=60)
        assert answer.status_code == 400
        assert answer.json()["code"] == code
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
