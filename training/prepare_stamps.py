"""Reads the stamps of Tux Paint and a few photographs, with their captions in the languages that they have.

usage: TINY_MATERIALS=... python training/prepare_stamps.py      (after prepare_pictures.py)
Writes DATA/stamps.npy (u8 [N, 96, 96, 4], RGBA, not premultiplied) and DATA/stamps.json: {"named": {thing: {language:
[caption, caption without its article]}}, "pictures": [{"name", "set", "char": thing, "split": "train" | "photo" | "stamp"}]}.

Held out are the captions whose hash says so, and whatever shows a thing of which no drawing is trained on
(prepare_pictures.py). "photo" and "stamp" are the two kinds of what is held out: many stamps are cut out of photographs,
and which are is told by the number of their colours. Things are never in both parts, but what a held-out stamp shows may
be known from a drawing.
"""
import io
import json
import pathlib
import re

import numpy as np
from PIL import Image, ImageOps

from prepare_pictures import SIDE, thing
from sources import DATA, HELD_OUT_LANGUAGES, LANGUAGES, MATERIALS, NPM, PYPI, held_out

STAMPS = MATERIALS / "deb/x/usr/share/tuxpaint/stamps"
UNNAMED = re.compile(r"symbols/(alphabets|math|music|chess)|roadsigns|town/flags")  # letters, digits, signs: nothing to know them by
CODES = {"pt": ["pt_BR", "pt"], "zh": ["zh_CN"], "zh-Hant": ["zh_TW"]}
ARTICLE = {"en": "a|an|the|some", "de": "ein|eine|einen|der|die|das", "fr": "un|une|des|le|la|les|du", "es": "un|una|unos|unas|el|la|los|las",
           "it": "un|uno|una|il|lo|la|i|gli|le", "pt": "um|uma|uns|umas|o|a|os|as", "nl": "een|de|het", "sv": "en|ett", "ca": "un|una|uns|unes|el|la",
           "gl": "un|unha|uns|unhas|o|a|os|as", "ro": "un|o", "hu": "egy|a|az", "tr": "bir", "el": "ένα|ένας|μια|μία|το|ο|η", "hi": "एक"}


def called(caption, lang):
    """[caption, caption without its article], the latter where it is another."""
    caption = re.sub(r"\s+", " ", caption)
    caption = re.split(r"(?<=\w)[.!。।—](?:\s|$)", caption.strip())[0].strip(" .!。।¡")
    short = re.sub(rf"^(?:{ARTICLE[lang]})\s+", "", caption, flags=re.I) if lang in ARTICLE else caption
    short = re.sub(r"^(un|l|d)['’]", "", short, flags=re.I) if lang in ("fr", "it", "ca") else short
    return list(dict.fromkeys([caption, short])) if 0 < len(caption) <= 60 else []


def stamps():
    """(path, {language: [caption, ...]})"""
    for path in sorted([*STAMPS.rglob("*.png"), *STAMPS.rglob("*.svg")]):
        told = path.with_suffix(".txt")
        if UNNAMED.search(str(path)) or not told.exists():
            continue
        lines = told.read_text("utf-8", "replace").split("\n")
        of = dict(line.split(".utf8=", 1) for line in lines[1:] if ".utf8=" in line)
        said = {"en": lines[0]} | {lang: of[c] for lang in LANGUAGES + HELD_OUT_LANGUAGES for c in CODES.get(lang, [lang]) if c in of}
        yield path, {lang: names for lang, text in said.items() if (names := called(text, lang))}


def photographs():
    captions = json.loads((pathlib.Path(__file__).parent / "materials/captions.json").read_text())
    for name, said in captions.items():
        yield (NPM if name.startswith("@stdlib") else PYPI) / name, said


def stamp(path):
    if path.suffix == ".svg":
        import resvg_py
        picture = Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=path.read_text("utf-8", "replace"), width=2 * SIDE, height=2 * SIDE, dpi=96))))
    else:
        picture = Image.open(path)
    picture = picture.convert("RGBA")
    picture = picture.crop(picture.getchannel("A").getbbox())
    return ImageOps.pad(picture, (SIDE, SIDE), Image.Resampling.BICUBIC, (0, 0, 0, 0))


def is_photograph(path, drawn):
    seen = np.asarray(drawn)
    seen = seen[seen[..., 3] > 128][:, :3]
    return path.suffix != ".svg" and not re.search("cartoon|toys|symbols", str(path)) and len(np.unique(seen, axis=0)) > 0.4 * len(seen)


if __name__ == "__main__":
    names = json.loads((DATA / "texts.json").read_text())["emoji"]
    plain = {said["en"][0].lower(): char for char, said in names.items() if "en" in said}
    unseen = {thing(e["name"]) for e in json.loads((DATA / "pictures.json").read_text()) if e["split"] == "thing"}
    pixels, pictures, named = [], [], {}

    def add(drawn, of, said, photograph):
        name = said["en"][-1].lower()
        key = thing(name)
        shown = {key, *key.split(), key.removesuffix("s")}
        split = "train"
        if held_out("stamp:" + key, 7) or shown & unseen:
            split = "photo" if photograph else "stamp"
        char = plain.get(name)
        if char is None or split != "train":  # what is held out keeps the captions of the material
            char = f"{of}:{key}" if split == "train" else f"{split}:{key}"
            merged = named.setdefault(char, {})
            for lang, texts in said.items():
                merged[lang] = list(dict.fromkeys([*merged.get(lang, []), *texts]))
        pixels.append(np.asarray(drawn))
        pictures.append({"name": name, "set": of, "char": char, "split": split, "photograph": bool(photograph)})

    for path, said in stamps():
        if "en" in said:
            try:
                drawn = stamp(path)
            except (ValueError, OSError) as error:  # an SVG without a size
                print("left out:", path.name, error)
                continue
            add(drawn, "tuxpaint", said, is_photograph(path, drawn))
    for path, said in photographs():
        whole = Image.open(path).convert("RGBA")
        add(ImageOps.fit(whole, (SIDE, SIDE), Image.Resampling.BICUBIC), "photograph", said, True)
    np.save(DATA / "stamps.npy", np.stack(pixels))
    (DATA / "stamps.json").write_text(json.dumps({"named": named, "pictures": pictures}, ensure_ascii=False))
    count = lambda split, photograph: sum(p["split"] == split and p["photograph"] == photograph for p in pictures)
    print({split: (count(split, True), count(split, False)) for split in ("train", "photo", "stamp")}, "things", len(named))
