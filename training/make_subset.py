"""Writes the small evaluation set that is committed with the model: pictures and glosses whose licences allow it.

usage: TINY_MATERIALS=... python training/make_subset.py models/tiny/evaluation
pairs.json beside them is written by hand.
"""
import json
import pathlib
import random
import sys

import numpy as np
from PIL import Image

from evaluate import shown
from sources import DATA

PICTURES, GLOSSES, SIDE = 48, 80, 84
LICENCES = {"noto": "Apache-2.0", "twemoji": "CC-BY-4.0", "fluent-emoji-flat": "MIT"}
LANGUAGES = ["en", "de", "fr", "ja"]

if __name__ == "__main__":
    out = pathlib.Path(sys.argv[1])
    (out / "pictures").mkdir(parents=True, exist_ok=True)
    texts = json.loads((DATA / "texts.json").read_text())
    entries = json.loads((DATA / "pictures.json").read_text())
    pixels = np.load(DATA / "pictures.npy", mmap_mode="r")
    listed = []
    for i, char in shown(entries, texts["emoji"], "drawing", PICTURES):
        e, drawn = entries[i], Image.fromarray(pixels[i])
        picture = Image.new("RGB", drawn.size, (255, 255, 255))
        picture.paste(drawn, mask=drawn.getchannel("A"))
        file = f"{e['name'].replace(' ', '-')}.png"
        picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC).quantize(128, dither=Image.Dither.NONE).save(out / "pictures" / file, optimize=True)
        listed.append({"file": file, "set": e["set"], "licence": LICENCES[e["set"]], "names": {k: texts["emoji"][char][k][0] for k in LANGUAGES}})
    write = lambda name, value: (out / name).write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
    write("pictures.json", {"note": "Drawings that the model was not trained on, of things that it knows from other drawings. Names: Unicode CLDR (Unicode-3.0).",
                            "pictures": listed})
    rows = random.Random(41).sample(texts["test"]["wordnet"], GLOSSES)
    write("glosses.json", {"note": "Terms and glosses of WordNet 3.1 that the model was not trained on. Licence: the WordNet licence.",
                           "en": [[a, b] for a, b in rows]})
