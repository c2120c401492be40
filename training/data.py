"""What a pack is made from: the tokenizer, the teacher's targets, the first token vectors.

E5's vectors are centred for each part (so for each language: its mean is the language, not the meaning) and turned onto
their principal axes; the first 224 become the target space. The last 32 of the 256 numbers are free: see `token_table`.
"""
import json
import math

import numpy as np
import torch
from tokenizers import Tokenizer

from model import BPE_TOKENS, H, TARGET, VOCAB_ROWS
from sources import DATA, PYPI

QUERY, PASSAGE = "Query: ", "Passage: "
DECLARATION_TRAINED = 44  # paragraphs; the others are for evaluation, in every language
SCALE = 16.0  # of the token vectors: beside them, what an early step adds to the stream is small


class Text:
    def __init__(self):
        self.tok = Tokenizer.from_file(str(DATA / "tokenizer.json"))
        self.pad = self.tok.token_to_id("<|endoftext|>")
        one = lambda s: self.tok.encode(s, add_special_tokens=False).ids[0]
        self.special = {"im_start": one("<|im_start|>"), "user": one("user"), "newline": one("\n"),
                        "vision_start": one("<|vision_start|>"), "vision_end": one("<|vision_end|>")}
        # The colon ends a word, so that what follows it is cut alike behind either prefix.
        self.prefixes = {p: self.tok.encode(p.strip(), add_special_tokens=False).ids for p in (QUERY, PASSAGE)}

    def behind(self, texts, most):
        """The ids that follow a prefix and a space."""
        skip = len(self.prefixes[QUERY])
        return [e.ids[skip: skip + most] for e in self.tok.encode_batch([QUERY + t for t in texts], add_special_tokens=False)]


class Teacher:
    """Texts with their targets, and the axes that the targets are on."""

    def __init__(self):
        folder = DATA / "teacher"
        self.parts = {p.stem: p for p in sorted(folder.glob("*.npy")) if not p.stem.endswith("minilm") and len(np.load(p, mmap_mode="r"))}
        axes = DATA / "axes.npy"
        if not axes.exists():
            rows = [self.centred(n)[::3] for n in self.parts if n.startswith("names.")] + [self.centred("tokens")[::4]]
            rows = np.concatenate(rows)
            _, vectors = np.linalg.eigh(rows.T @ rows)
            np.save(axes, vectors[:, ::-1].copy())
        self.axes = np.load(axes)

    def centred(self, name, like=None):
        v, mean = (np.load(self.parts[n]).astype(np.float32) for n in (name, like or name))
        return v - mean.mean(0)

    def target(self, name, like=None):
        """unit vectors [N, 224]; `like` is the part whose mean is the language's, where the part is too small to have one"""
        v = self.centred(name, like) @ self.axes[:, :TARGET]
        return v / np.linalg.norm(v, axis=1, keepdims=True).clip(1e-6)

    def texts(self, name):
        return json.loads(self.parts[name].with_suffix(".json").read_text())


def stamps():
    """{thing: {language: [caption, ...]}} of the stamps and photographs that are trained on"""
    named = json.loads((DATA / "stamps.json").read_text())["named"]
    return {thing: said for thing, said in named.items() if not thing.startswith(("photo:", "stamp:"))}


def meanings(teacher, emoji, stamps, languages):
    """[N, 224] and the place of each emoji, and of each stamp behind them: the mean of the targets of its names in all languages."""
    place = {c: i for i, c in enumerate([*emoji, *stamps])}
    total = np.zeros((len(place), TARGET), np.float32)
    for part, things in (("names.", emoji), ("stamps.", stamps)):
        for lang in languages:
            if part + lang in teacher.parts:
                named = [c for c, n in things.items() if lang in n]
                total[[place[c] for c in named]] += teacher.target(part + lang, "names." + lang)
    return total / np.linalg.norm(total, axis=1, keepdims=True).clip(1e-6), place


def token_table(text, teacher, counts, special_weight=0.25):
    """[VOCAB_ROWS, H]: the start of the token embedding.

    Numbers 0..223 are the token's meaning (E5's vector of the token's text, for English joined with wordllama's),
    as long as its weight a / (a + frequency). RMSNorm would undo that length, so that numbers 224..255 hold a constant
    that makes all rows equally long; the last norm's weight starts at zero there.
    """
    from safetensors.numpy import load_file
    u = teacher.target("tokens")
    words = teacher.texts("tokens")
    table = load_file(str(PYPI / "wordllama/weights/l2_supercat_256.safetensors"))
    table = next(iter(table.values())).astype(np.float32)
    llama = Tokenizer.from_file(str(next((PYPI / "wordllama/tokenizers").glob("l2_supercat*"))))
    llama.no_padding(); llama.no_truncation()
    ids = [e.ids for e in llama.encode_batch([w.strip() for w in words], add_special_tokens=False)]
    english = np.array([bool(w.strip()) and w.isascii() and w.strip().isalpha() and 1 <= len(i) <= 2 for w, i in zip(words, ids)])
    static = np.stack([table[i].mean(0) if len(i) else np.zeros(256) for i in ids])
    static = static / np.linalg.norm(static, axis=1, keepdims=True).clip(1e-6)
    left, _, right = np.linalg.svd(static[english].T @ u[english], full_matrices=False)
    u[english] += (static @ left @ right)[english]
    u /= np.linalg.norm(u, axis=1, keepdims=True).clip(1e-6)
    blank = np.array([not w.strip() for w in words])
    rng = np.random.default_rng(5)
    u[blank] = rng.standard_normal((blank.sum(), TARGET)) / math.sqrt(TARGET)
    total = sum(counts.values())
    frequency = np.array([counts.get(i, 0) / total for i in range(BPE_TOKENS)])
    weight = 1e-3 / (1e-3 + frequency)
    weight[blank] *= 0.4
    share = (frequency * weight)[:, None]
    for _ in range(3):  # what the mean text has in common with all others says nothing: it starts at zero
        u -= (share * u).sum(0) / share.sum()
        u /= np.linalg.norm(u, axis=1, keepdims=True).clip(1e-6)
    rows = np.zeros((VOCAB_ROWS, H), np.float32)
    rows[:BPE_TOKENS, :TARGET] = u * weight[:, None]
    rows[BPE_TOKENS:, :TARGET] = rng.standard_normal((VOCAB_ROWS - BPE_TOKENS, TARGET)) * special_weight / math.sqrt(TARGET)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    rows[:, TARGET:] = np.sqrt(1.5 ** 2 - length ** 2) / math.sqrt(H - TARGET)
    return torch.from_numpy(rows * SCALE)
