"""Holds the rounding of training against the files that `convert` writes: the same numbers, for every matrix of the decoder and the tower.

usage: python training/test_stored.py --jina-embed jina-embed --published DIR      (DIR is what publish.py wrote)
"""
import argparse
import pathlib
import re
import struct
import subprocess
import tempfile

import numpy as np
import torch
from safetensors.torch import load_file

from model import Stored
from teacher import unpack4

PARTS = {"token_embd": "model.embed_tokens", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
         "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}


def read_gguf(path):
    """{name: (type, shape, bytes)} of a GGUF file, version 3"""
    data, at = path.read_bytes(), 24
    tensors, keys = struct.unpack_from("<QQ", data, 8)

    def take(form):
        nonlocal at
        value = struct.unpack_from("<" + form, data, at)[0]
        at += struct.calcsize("<" + form)
        return value

    def text():
        nonlocal at
        n = take("Q")
        at += n
        return data[at - n: at].decode()

    def value(kind):
        if kind == 8:
            return text()
        if kind == 9:
            of, n = take("I"), take("Q")
            return [value(of) for _ in range(n)]
        return take("BbHhIif?"[kind] if kind < 8 else {10: "Q", 11: "q", 12: "d"}[kind])

    told = {}
    for _ in range(keys):
        name = text()
        told[name] = value(take("I"))
    found = []
    for _ in range(tensors):
        name = text()
        shape = [take("Q") for _ in range(take("I"))][::-1]
        found.append((name, shape, take("I"), take("Q")))
    align = told.get("general.alignment", 32)
    start = (at + align - 1) // align * align
    sizes = {0: 4, 1: 2, 8: 34 / 32, 2: 18 / 32}
    return {name: (kind, shape, data[start + offset: start + offset + int(np.prod(shape) * sizes[kind])]) for name, shape, kind, offset in found}


def numbers(kind, shape, raw):
    if kind == 8:
        block = np.frombuffer(raw, np.uint8).reshape(-1, 34)
        values = block[:, 2:].view(np.int8).astype(np.float32) * block[:, :2].copy().view(np.float16).astype(np.float32)
    else:
        values = unpack4(np.frombuffer(raw, np.uint8))
    return values.reshape(shape)


def source(name):
    """The published name of a matrix of a GGUF file, or of the whole that it is a third of."""
    if found := re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", name):
        return f"model.layers.{found[1]}.{PARTS[found[2]]}.weight"
    if found := re.fullmatch(r"v\.blk\.(\d+)\.(\w+)\.weight", name):
        part = {"attn_q": "attn.qkv", "attn_k": "attn.qkv", "attn_v": "attn.qkv", "attn_out": "attn.proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}[found[2]]
        return f"visual.blocks.{found[1]}.{part}.weight"
    return {"token_embd.weight": "model.embed_tokens.weight", "mm.0.weight": "visual.merger.mlp.0.weight", "mm.2.weight": "visual.merger.mlp.2.weight"}[name]


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--jina-embed", default="jina-embed")
    p.add_argument("--published", required=True)
    a = p.parse_args()
    weights = load_file(pathlib.Path(a.published) / "model-00001-of-00001.safetensors")
    for dtype, number in (("q8_0", 8), ("q4_0", 2)):
        compared = set()
        with tempfile.TemporaryDirectory() as folder:
            to = f"{folder}/model"
            subprocess.run([a.jina_embed, "convert", "--from", a.published, "--to", to, "--dtype", dtype, "--vision-dtype", dtype], check=True, capture_output=True)
            for file in ("text-00001-of-00001.gguf", "vision.gguf"):
                for name, (kind, shape, raw) in read_gguf(pathlib.Path(to) / file).items():
                    if kind == number:
                        own = Stored.apply(weights[source(name)], dtype).numpy()
                        if len(own) == 3 * shape[0]:
                            own = np.split(own, 3)["qkv".index(name.split(".")[-2][-1])]
                        assert np.array_equal(own, numbers(kind, shape, raw)), (dtype, name, np.abs(own - numbers(kind, shape, raw)).max())
                        compared.add(source(name))
                    else:
                        assert kind == 0, (name, kind)
        from model import Held, Model
        model = Model()
        rounded = {f"{n}.weight" for part in ("model", "visual") for n, m in ((f"{part}.{n}", m) for n, m in getattr(model, part).named_modules()) if isinstance(m, Held)}
        assert rounded == compared, rounded ^ compared
        print(f"{dtype}: {len(compared)} matrices are rounded in training as they are stored")
