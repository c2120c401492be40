"""Draws the pictures of the search page: Noto emoji (Apache-2.0), 128 x 128 px, on white.

The published preprocessing drops alpha, so that a transparent ground is black to the model, whatever it is to a person.

usage: TINY_MATERIALS=... python training/make_samples.py www/demo/public/samples
"""
import io
import json
import pathlib
import sys

import resvg_py
from PIL import Image

from sources import NPM

SHOWN = ["smiling-face-with-smiling-eyes", "dog-face", "penguin", "octopus", "butterfly", "gear", "robot", "factory", "bicycle", "sailboat", "guitar",
         "house", "birthday-cake", "strawberry", "umbrella-with-rain-drops", "volcano"]

if __name__ == "__main__":
    out = pathlib.Path(sys.argv[1])
    icons = json.loads((NPM / "@iconify-json/noto/icons.json").read_text())
    for name in SHOWN:
        svg = (f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 128 128">'
               f'{icons["icons"][name]["body"]}</svg>')
        png = resvg_py.svg_to_bytes(svg_string=svg, width=128, height=128)
        drawn = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
        ground = Image.new("RGBA", drawn.size, (255, 255, 255, 255))
        ground.alpha_composite(drawn)
        ground.convert("RGB").quantize(192).save(out / f"{name}.png", optimize=True)
