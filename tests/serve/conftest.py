"""A server with the tiny model: the real command, a real socket, a key."""

import os
import pathlib
import subprocess
import threading
import time

import pytest
import requests

COMMAND = os.environ["JINA_EMBED"]
FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures"
KEY = "jina_for_the_tests"
# Far more than the tiny model takes to load.
READY_SECONDS = 60


class Server:
    """Where it listens, and the key that it wants."""

    def __init__(self, base, model):
        self.base = base
        self.url = f"{base}/v1/embeddings"
        self.key = KEY
        self.headers = {"Authorization": f"Bearer {KEY}"}
        self.model = model

    def encode(self, lines, *arguments):
        """What `jina-embed encode` makes of JSON Lines, without HTTP."""
        command = [COMMAND, "encode", "--device", "cpu", "--model", self.model, *arguments]
        return subprocess.run(
            command, input=lines, capture_output=True, text=True, check=True
        ).stdout


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    model = str(tmp_path_factory.mktemp("model") / "tiny")
    convert = [COMMAND, "convert", "--dtype", "f32", "--from", str(FIXTURES / "tiny"), "--to", model]
    subprocess.run(convert, check=True, capture_output=True)
    process = subprocess.Popen(
        [COMMAND, "serve", "--device", "cpu", "--listen", "127.0.0.1:0", "--model", model],
        env={**os.environ, "JINA_EMBED_API_KEY": KEY},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        base = None
        for line in process.stderr:
            if line.startswith("listening on "):
                base = line.split()[-1]
                break
        assert base, "the server did not start"
        # A full pipe would stop it.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        deadline = time.monotonic() + READY_SECONDS
        while requests.get(f"{base}/ready", timeout=10).status_code != 200:
            assert time.monotonic() < deadline, "the model does not load"
            time.sleep(0.05)
        yield Server(base, model)
        assert process.poll() is None, "the server did not live to the end of the tests"
        process.terminate()
        assert process.wait(timeout=60) == 0, "it does not stop cleanly"
    finally:
        process.kill()
        process.wait()
