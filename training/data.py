"""Batches: texts as padded ids, pictures as augmented pixels, and the teachers' targets.

E5's vectors are centred for each part (so for each language: its mean is the language, not the meaning) and turned onto
their principal axes; the first 224 become the target space. The last 32 of the 256 numbers are free: see `token_table`.
"""
import json
import math
import random
import re
from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from model import BPE_TOKENS, H, MEAN, PICTURE_PX, STD, VOCAB_ROWS
from prepare_pictures import thing
from sources import DATA, LANGUAGES, PYPI

TARGET = 224
QUERY, PASSAGE = "Query: ", "Passage: "
DECLARATION_TRAINED = 44
SCALE = 16.0  # of the token vectors: beside them, what an early step adds to the stream is small


class Text:
    def __init__(self):
        self.tok = Tokenizer.from_file(str(DATA / "tokenizer.json"))
        self.pad = self.tok.token_to_id("<|endoftext|>")
        one = lambda s: self.tok.encode(s, add_special_tokens=False).ids[0]
        self.special = {"im_start": one("<|im_start|>"), "user": one("user"), "newline": one("\n"),
                        "vision_start": one("<|vision_start|>"), "vision_end": one("<|vision_end|>")}

    def batch(self, texts, prefix, most=64):
        rows = [e.ids[:most] for e in self.tok.encode_batch([prefix + t for t in texts], add_special_tokens=False)]
        width = max(map(len, rows))
        ids = torch.full((len(rows), width), self.pad)
        mask = torch.zeros(len(rows), width)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
            mask[i, : len(row)] = 1
        return ids, mask


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

    def centred(self, name):
        v = np.load(self.parts[name]).astype(np.float32)
        return v - v.mean(0)

    def target(self, name):
        """unit vectors [N, 224]"""
        v = self.centred(name) @ self.axes[:, :TARGET]
        return v / np.linalg.norm(v, axis=1, keepdims=True).clip(1e-6)

    def texts(self, name):
        return json.loads(self.parts[name].with_suffix(".json").read_text())


def meanings(teacher, emoji, languages):
    """[N, 224] and the place of each emoji: the mean of the targets of its names in all languages."""
    place = {c: i for i, c in enumerate(emoji)}
    total = np.zeros((len(place), TARGET), np.float32)
    for lang in languages:
        if "names." + lang in teacher.parts:
            named = [c for c, n in emoji.items() if lang in n]
            total[[place[c] for c in named]] += teacher.target("names." + lang)
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


class Pairs:
    """Pairs for contrastive training: debian.<language>, wordnet, names, declaration, code."""

    def __init__(self, rng):
        texts = json.loads((DATA / "texts.json").read_text())
        self.train, self.test, self.rng = texts["train"], texts["test"], rng
        # A name is kept in the languages of training only: the held-out ones are for evaluation.
        self.emoji = {c: {k: v for k, v in n.items() if k in LANGUAGES} for c, n in texts["emoji"].items() if "en" in n}
        self.held = texts["emoji"]
        self.declaration = {k: v for k, v in texts["declaration"].items() if k in LANGUAGES}
        self.order = {}

    def next(self, kind, n):
        """n rows of a kind, in an order that visits all before it repeats"""
        rows = self.train[kind]
        order = self.order.setdefault(kind, [])
        if len(order) < n:
            order[:] = self.rng.sample(range(len(rows)), len(rows)) + order
        return [rows[order.pop()] for _ in range(min(n, len(rows)))]

    def descriptions(self, lang, n):
        seen, rows = set(), []
        for row in self.next("debian." + lang, n + n // 3):
            if row[0] not in seen:  # a source once in a batch: its packages share their text
                seen.add(row[0]); rows.append(row)
        return [r[1] for r in rows[:n]], [r[2] for r in rows[:n]]

    def parallel(self, n):
        """A line in some language and one in English of the same package, where its source has one package alone."""
        if not hasattr(self, "joined"):
            alone = lambda rows: {k: v[0] for k, v in self.by_source(rows).items() if len(v) == 1}
            english = alone(self.train["debian.en"])
            self.joined = {lang: [(row, english[source]) for source, row in alone(self.train["debian." + lang]).items() if source in english]
                           for lang in ("de", "fr", "it", "ja", "es", "pt", "ru", "ko", "pl", "zh")}
        # Every language alike would repeat the small ones too often.
        lang = self.rng.choices(list(self.joined), [math.sqrt(len(v)) for v in self.joined.values()])[0]
        rows = self.rng.sample(self.joined[lang], min(n, len(self.joined[lang])))
        return [a[1] for a, _ in rows], [b[1 if i % 2 else 2] for i, (_, b) in enumerate(rows)]

    @staticmethod
    def by_source(rows):
        found = {}
        for row in rows:
            found.setdefault(row[0], []).append(row)
        return found

    def glosses(self, n):
        rows = self.next("wordnet", n)
        return [r[0] for r in rows], [r[1] for r in rows]

    def code(self, n):
        rows = self.next("code", n)
        return [r[1] for r in rows], [r[2] for r in rows]

    def name(self, names, english=0.35):
        """a random name, keyword or both, in a random language, English more often"""
        lang = "en" if self.rng.random() < english else self.rng.choice(list(names))
        words = names[lang]
        dice = self.rng.random()
        if dice < 0.55 or len(words) == 1:
            return words[0]
        if dice < 0.85:
            return self.rng.choice(words[1:])
        return ", ".join([words[0]] + self.rng.sample(words[1:], min(3, len(words) - 1)))

    def names(self, n):
        chars = self.rng.sample(list(self.emoji), n)
        return [self.name(self.emoji[c]) for c in chars], [self.name(self.emoji[c]) for c in chars], [self.emoji[c]["en"][0] for c in chars]

    def translations(self, n):
        a, b = [], []
        # The paragraphs from DECLARATION_TRAINED on are for evaluation, in every language.
        count = DECLARATION_TRAINED
        for i in self.rng.sample(range(count), min(n, count)):
            x, y = self.rng.sample([k for k, v in self.declaration.items() if len(v) == 60], 2)
            a.append(self.declaration[x][i]); b.append(self.declaration[y][i])
        return a, b


class Pictures:
    def __init__(self, pairs):
        self.pixels = np.load(DATA / "pictures.npy", mmap_mode="r")
        self.entries = json.loads((DATA / "pictures.json").read_text())
        self.pairs = pairs
        for e in self.entries:
            # CLDR writes some characters without the selector for colour.
            char = e["char"] and (e["char"] if e["char"] in pairs.held else e["char"].replace("\ufe0f", ""))
            e["char"] = char if char in pairs.held else None
            e["thing"] = thing(e["name"].split(",")[0])
        # Tones of skin are left out, and so is clip art without a title of its own.
        tone = re.compile(r"\b(medium|light|dark)$|^part of|^$|layer|icon")
        self.train = [i for i, e in enumerate(self.entries) if e["split"] == "train" and not (e["char"] is None and tone.search(e["name"].split(",")[0]))]
        # Clip art's titles are loose: seldom.
        self.weights = [0.15 if self.entries[i]["set"] == "openclipart" else (1.5 if self.entries[i]["char"] else 0.4) for i in self.train]

    def text(self, entry):
        if entry["char"] and self.pairs.rng.random() < 0.93:
            return self.pairs.name(self.pairs.emoji[entry["char"]], 0.55) if entry["char"] in self.pairs.emoji else entry["name"]
        return entry["name"].split(",")[0] if self.pairs.rng.random() < 0.6 else entry["name"]

    def batch(self, n):
        rows = sorted(set(self.pairs.rng.choices(self.train, self.weights, k=n)))
        entries = [self.entries[i] for i in rows]
        rgba = torch.from_numpy(np.stack([self.pixels[i] for i in rows])).float().permute(0, 3, 1, 2) / 255
        return self.augment(rgba, entries), [self.text(e) for e in entries], entries

    def augment(self, rgba, entries):
        B, rng = len(rgba), self.pairs.rng
        backs = torch.empty(B, 3, 1, 1)
        for i in range(B):
            dice = rng.random()
            backs[i, :, 0, 0] = torch.ones(3) if dice < 0.45 else torch.zeros(3) if dice < 0.75 else torch.rand(3)
        flat = torch.cat([rgba[:, :3] * rgba[:, 3:], rgba[:, 3:]], 1)
        scale = torch.empty(B).uniform_(0.85, 1.35)
        turn = torch.empty(B).uniform_(-0.15, 0.15)
        flip = torch.tensor([-1.0 if rng.random() < 0.3 and not any(w in e["name"] for w in ("left", "right", "letter", "flag", "arrow")) else 1.0 for e in entries])
        shift = torch.empty(B, 2).uniform_(-0.1, 0.1)
        theta = torch.stack([torch.stack([scale * turn.cos() * flip, -scale * turn.sin(), shift[:, 0]], 1),
                             torch.stack([scale * turn.sin() * flip, scale * turn.cos(), shift[:, 1]], 1)], 1)
        moved = F.grid_sample(flat, F.affine_grid(theta, [B, 4, PICTURE_PX, PICTURE_PX], align_corners=False), align_corners=False)
        rgb = moved[:, :3] + backs * (1 - moved[:, 3:])
        rgb = rgb * torch.empty(B, 3, 1, 1).uniform_(0.85, 1.15) + torch.empty(B, 1, 1, 1).uniform_(-0.06, 0.06)
        return self.normalise(rgb.clamp(0, 1))

    @staticmethod
    def normalise(rgb):
        return (rgb - MEAN[:, None, None]) / STD[:, None, None]

    def still(self, rows):
        """Pixels for evaluation: on white, without augmentation."""
        rgba = torch.from_numpy(np.stack([self.pixels[i] for i in rows])).float().permute(0, 3, 1, 2) / 255
        rgb = rgba[:, :3] * rgba[:, 3:] + 1 - rgba[:, 3:]
        return self.normalise(F.interpolate(rgb, (PICTURE_PX, PICTURE_PX), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1))
