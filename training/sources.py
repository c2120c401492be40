"""Where the materials lie: one folder, filled by fetch.sh."""
import os
import pathlib

MATERIALS = pathlib.Path(os.environ.get("TINY_MATERIALS", pathlib.Path.home() / ".cache/jina-embeddings-web/training"))
NPM = MATERIALS / "npm/node_modules"
PYPI = MATERIALS / "un"
APT = MATERIALS / "apt/lists"
APT_FRESH = MATERIALS / "apt-fresh/lists"
DATA = MATERIALS / "data"
PACK = MATERIALS / "pack"
RUNS = MATERIALS / "runs"

# Languages whose names of pictures, package descriptions and declarations are trained on.
LANGUAGES = ["en", "de", "fr", "it", "es", "pt", "ja", "zh", "ko", "ru", "pl", "tr", "ar", "uk", "cs",
             "fi", "vi", "id", "hi", "el", "hu", "ro", "zh-Hant"]
# Languages that no training text and no name of a picture is in.
HELD_OUT_LANGUAGES = ["nl", "ca", "sv", "gl"]


def held_out(name: str, one_in: int) -> bool:
    """Whether a name belongs to the held-out part: fixed by the name alone, not by order or seed."""
    import hashlib
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % one_in == 0
