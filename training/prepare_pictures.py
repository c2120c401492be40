"""Draws the pictures that are trained and measured with: emoji of several families, icons, clip art.

usage: TINY_MATERIALS=... python training/prepare_pictures.py
Writes DATA/pictures.npy (u8 [N, 96, 96, 4], RGBA, not premultiplied) and DATA/pictures.json, one entry each:
{"name", "set", "char": emoji or null, "split": "train" | "drawing" | "thing" | "style"}.

What is held out, and why there are three kinds:
- "drawing": this drawing is not trained on, but other drawings of the same thing are.
- "thing":   no drawing of this thing, in any family, is trained on.
- "style":   the whole family (OpenMoji) is not trained on; its things are known from other families.
"""
import io
import json
import pathlib
import re

import numpy as np

from PIL import Image

from sources import DATA, MATERIALS, NPM, held_out

SIDE = 96
FAMILIES = ["noto", "noto-v1", "twemoji", "fluent-emoji-flat", "fluent-emoji", "emojione", "fxemoji", "streamline-emojis",
            "flat-color-icons", "openmoji"]
GENDER = {"man", "woman", "person", "men", "women", "people", "boy", "girl", "persons", "male", "female"}


def thing(name: str) -> str:
    """The thing that a name is of: drawings of a man, a woman and a person running are one thing."""
    words = [w for w in re.split(r"[^\w]+", name.lower()) if w and w not in GENDER]
    return " ".join(words) or name.lower()


def draw(svg: str):
    import resvg_py  # here: training reads this file's names without drawing
    png = resvg_py.svg_to_bytes(svg_string=svg, width=SIDE * 2, height=SIDE * 2)
    picture = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
    picture.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
    canvas = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0))
    canvas.paste(picture, ((SIDE - picture.width) // 2, (SIDE - picture.height) // 2))
    return np.asarray(canvas)


def families():
    load = lambda family, file: json.loads((NPM / f"@iconify-json/{family}/{file}.json").read_text())
    char_of = {}
    for family in ("openmoji", "fluent-emoji-flat", "twemoji", "noto"):
        for code, name in load(family, "chars").items():
            char_of[name] = "".join(chr(int(c, 16)) for c in code.split("-"))
    squeezed = {name.replace("-", ""): name for name in char_of}
    for family in FAMILIES:
        icons = load(family, "icons")
        for name, icon in icons["icons"].items():
            if "skin-tone" in name or re.search(r"-(low|high|off)-?\w*$", name) or icon.get("hidden"):
                continue
            plain = re.sub(r"-\d+$", "", name)
            plain = plain if plain in char_of else squeezed.get(plain.replace("-", ""), plain)
            width, height = icon.get("width", icons.get("width", 16)), icon.get("height", icons.get("height", 16))
            svg = (f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
                   f'viewBox="{icon.get("left", 0)} {icon.get("top", 0)} {width} {height}">{icon["body"]}</svg>')
            yield family, plain.replace("-", " "), char_of.get(plain), svg


def clip_art():
    for path in sorted((MATERIALS / "deb/x/usr/share/openclipart/svg").rglob("*.svg")):
        if path.parent.name == "stars" or path.stat().st_size > 200_000:
            continue
        svg = path.read_text("utf-8", "replace")
        title = re.search(r"<dc:title>([^<]{3,80})</dc:title>", svg)
        name = re.sub(r"[\W_]+|\d+", " ", title[1] if title else path.stem).strip().lower()
        subjects = re.findall(r"<rdf:li>([^<]{2,30})</rdf:li>", svg)
        if len(name) >= 3:
            yield "openclipart", ", ".join(dict.fromkeys([name, *(s.lower() for s in subjects[:4])])), None, svg


if __name__ == "__main__":
    pixels, entries, failed = [], [], 0
    for family, name, char, svg in [*families(), *clip_art()]:
        try:
            drawn = draw(svg)
        except Exception:  # a file that resvg does not read: left out and counted
            failed += 1
            continue
        if (drawn[..., 3] > 16).mean() < 0.02:
            failed += 1
            continue
        key = thing(name.split(",")[0])
        if family == "openmoji":
            split = "style" if not held_out("thing:" + key, 12) else "thing"
        elif held_out("thing:" + key, 12):
            split = "thing"
        elif family in ("noto", "twemoji", "fluent-emoji-flat") and held_out(f"drawing:{family}:{key}", 8):
            split = "drawing"
        else:
            split = "train"
        pixels.append(drawn)
        entries.append({"name": name, "set": family, "char": char, "split": split})
        if len(entries) % 2000 == 0:
            print(len(entries), family, flush=True)
    np.save(DATA / "pictures.npy", np.stack(pixels))
    (DATA / "pictures.json").write_text(json.dumps(entries, ensure_ascii=False))
    import collections
    print("failed", failed, collections.Counter((e["set"], e["split"]) for e in entries))
