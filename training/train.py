"""Trains the base: decoder, token vectors and tower together, without adapters.

usage: TINY_MATERIALS=... python training/train.py --minutes 60 [--run NAME]
Continues from RUNS/NAME/last.pt where there is one; SIGTERM and SIGINT save before the end.
"""
import argparse
import json
import math
import random
import signal
import time
from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F

from data import PASSAGE, QUERY, TARGET, Pairs, Pictures, Teacher, Text, meanings, token_table
from model import MATRYOSHKA, Model
from sources import DATA, LANGUAGES, RUNS

TEMPERATURE = 0.05
DEBIAN = {"en": 0.38, "it": 0.16, "fr": 0.14, "de": 0.12, "ja": 0.07, "es": 0.03, "pt": 0.04, "ru": 0.02, "ko": 0.02, "pl": 0.02}


def contrastive(a, b, same=None):
    """Symmetric InfoNCE at every length of Matryoshka; `same` [B, B] marks pairs that are no negatives."""
    loss, labels = 0, torch.arange(len(a))
    for d in MATRYOSHKA:
        s = F.normalize(a[:, :d], dim=-1) @ F.normalize(b[:, :d], dim=-1).T / TEMPERATURE
        if same is not None:
            s = s.masked_fill(same & ~torch.eye(len(a), dtype=torch.bool), -1e4)
        loss = loss + (F.cross_entropy(s, labels) + F.cross_entropy(s.T, labels)) / 2
    return loss / len(MATRYOSHKA)


def distil(z, t):
    """z [B, H], t [B, 224] unit: the same direction at every length, and the same likeness among each other."""
    loss, t = 0, F.pad(t, (0, z.shape[1] - t.shape[1]))
    for d in MATRYOSHKA:
        loss = loss + (1 - F.cosine_similarity(z[:, :d], t[:, :d], dim=-1)).mean() / len(MATRYOSHKA)
    off = ~torch.eye(len(z), dtype=torch.bool)
    zn = F.normalize(z, dim=-1)
    return loss + 4 * ((zn @ zn.T - t @ t.T)[off] ** 2).mean()


def recall(queries, documents, at=(1, 10)):
    """Share of queries i whose document i is among the first."""
    s = F.normalize(queries, dim=-1) @ F.normalize(documents, dim=-1).T
    rank = (s > s.diagonal()[:, None]).sum(1)
    return [round((rank < k).float().mean().item(), 3) for k in at]


class Evaluation:
    """Quick figures while training; the figures of the card come from evaluate.py."""

    def __init__(self, text, pairs, pictures):
        self.text, self.pictures = text, pictures
        self.sets = {}
        for lang in ("en", "de", "fr", "it", "ja"):
            rows, seen = [], set()
            for row in pairs.test["debian." + lang]:
                if row[0] not in seen:
                    seen.add(row[0]); rows.append(row)
            random.Random(3).shuffle(rows)
            self.sets[lang] = rows[:300]
        self.shown = {}
        if pictures:
            for split in ("drawing", "thing", "style"):
                rows, seen = [], set()
                order = [i for i, e in enumerate(pictures.entries) if e["split"] == split and e["char"] and e["set"] != "openclipart"]
                random.Random(4).shuffle(order)
                for i in order:
                    if pictures.entries[i]["thing"] not in seen:
                        seen.add(pictures.entries[i]["thing"]); rows.append(i)
                self.shown[split] = rows[:200]

    @torch.no_grad()
    def __call__(self, model, task=None):
        model.eval()
        out = {}
        encode = lambda texts, prefix: torch.cat([model.text(*self.text.batch(texts[i: i + 100], prefix, 128), task).float() for i in range(0, len(texts), 100)])
        with torch.autocast("cpu", torch.bfloat16):
            for lang, rows in self.sets.items():
                out[lang] = recall(encode([r[1] for r in rows], QUERY), encode([r[2] for r in rows], PASSAGE))
            for split, rows in self.shown.items():
                seen = model.picture(self.pictures.still(rows), task).float()
                entries = [self.pictures.entries[i] for i in rows]
                for lang in ("en", "de", "ja", "nl"):
                    names = [self.pictures.pairs.held[e["char"]].get(lang, [e["name"]])[0] for e in entries]
                    out[f"{split}.{lang}"] = recall(encode(names, QUERY), seen)
        model.train()
        return out


def optimiser(model, rate):
    table, matrices, vectors, tower = [], [], [], []
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        (table if "embed_tokens" in name else tower if "visual" in name else matrices if p.dim() > 1 else vectors).append(p)
    groups = [{"params": table, "lr": rate * 4, "weight_decay": 0.0}, {"params": matrices, "lr": rate, "weight_decay": 0.02},
              {"params": vectors, "lr": rate, "weight_decay": 0.0},
              {"params": tower, "lr": rate * 4, "weight_decay": 0.01}]  # begins from nothing, unlike the rest
    for g in groups:
        g["base"] = g["lr"]
    return torch.optim.AdamW([g for g in groups if g["params"]], betas=(0.9, 0.98), fused=True)


class Run:
    """Steps until the minutes are used up; what a pause of the machine took is not counted."""

    def __init__(self, folder, minutes, model, rate, resume=True):
        self.folder, self.seconds, self.model = folder, minutes * 60, model
        folder.mkdir(parents=True, exist_ok=True)
        self.opt, self.used, self.step, self.stop = optimiser(model, rate), 0.0, 0, False
        if resume and (folder / "last.pt").exists():
            state = torch.load(folder / "last.pt", weights_only=False)
            model.load_state_dict(state["model"])
            self.opt.load_state_dict(state["opt"])
            self.used, self.step = state["used"], state["step"]
        for s in (signal.SIGTERM, signal.SIGINT):
            signal.signal(s, lambda *_: setattr(self, "stop", True))

    def save(self):
        torch.save({"model": self.model.state_dict(), "opt": self.opt.state_dict(), "used": self.used, "step": self.step}, self.folder / "new.pt")
        (self.folder / "new.pt").replace(self.folder / "last.pt")

    def log(self, **values):
        line = json.dumps({"time": time.strftime("%H:%M:%S"), "step": self.step, "minutes": round(self.used / 60, 2), **values})
        print(line, flush=True)
        with open(self.folder / "log.jsonl", "a") as f:
            f.write(line + "\n")

    def run(self, losses, evaluate, every=420):
        """losses(): (name, loss) of one step"""
        sums, last_eval = {}, self.used
        while self.used < self.seconds and not self.stop:
            began = time.time()
            part = min(1.0, self.used / self.seconds)
            factor = min(1.0, (self.step + 1) / 60) * (0.03 + 0.97 * (1 + math.cos(math.pi * part)) / 2)
            for g in self.opt.param_groups:
                g["lr"] = g["base"] * factor
            with torch.autocast("cpu", torch.bfloat16):
                name, loss = losses()
            self.opt.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_([p for p in self.model.parameters() if p.requires_grad], 1.0)
            self.opt.step()
            sums.setdefault(name, []).append(loss.item())
            self.step += 1
            self.used += min(time.time() - began, 15.0)
            if self.step % 25 == 0:
                print(self.step, round(self.used / 60, 2), {k: [round(x, 2) for x in v[-3:]] for k, v in sorted(sums.items())}, flush=True)
            if self.used - last_eval > every:
                last_eval = self.used
                self.log(loss={k: round(sum(v) / len(v), 3) for k, v in sorted(sums.items())}, eval=evaluate())
                sums = {}
                self.save()
        if not self.stop:
            self.log(eval=evaluate(), end=True)
        self.save()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--minutes", type=float, default=60)
    p.add_argument("--run", default="base")
    p.add_argument("--rate", type=float, default=5e-4)
    p.add_argument("--pictures", type=float, default=0.7, help="share of steps on pictures")
    p.add_argument("--second", action="store_true", help="the second part: begins where the first ended, mostly with names")
    p.add_argument("--no-pictures", action="store_true", help="texts alone: while the pictures are still being drawn")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    folder = RUNS / a.run
    resumed = (folder / "last.pt").exists()
    seed = a.seed + (int(time.time()) if resumed else 0)
    torch.manual_seed(seed)
    rng = random.Random(seed)
    text, teacher, pairs = Text(), Teacher(), Pairs(rng)
    pictures = None if a.no_pictures else Pictures(pairs)
    model = Model()
    model.tokens = text.special
    if not resumed:
        model.start()
        counts = Counter()
        for kind, rows in pairs.train.items():
            for row in rng.sample(rows, min(3000, len(rows))):
                for e in text.tok.encode_batch([QUERY + row[-2], PASSAGE + row[-1]], add_special_tokens=False):
                    counts.update(e.ids)
        with torch.no_grad():
            model.model.embed_tokens.weight.copy_(token_table(text, teacher, counts))
            if pictures:
                model.whiten(torch.cat([pictures.batch(256)[0] for _ in range(4)]))
            for name, parameter in model.model.named_parameters():
                if "norm" in name:
                    parameter[TARGET:] = 0  # nothing reads the constant at first
    for name, parameter in model.named_parameters():
        parameter.requires_grad = "lora" not in name and "multi_vector" not in name
    targets = [(n, teacher.texts(n), torch.from_numpy(teacher.target(n))) for n in teacher.parts if n != "tokens"]
    sizes = [math.sqrt(len(t[1])) * (3 if "." not in t[0] or t[0].endswith(".en") else 1) for t in targets]
    meaning, place = meanings(teacher, {c: n for c, n in pairs.held.items()}, LANGUAGES)
    name_of = {n["en"][0]: torch.from_numpy(meaning[place[c]]) for c, n in pairs.emoji.items()}
    named, meant = list(pairs.emoji), torch.from_numpy(meaning)
    if pictures:
        chars = sorted({pictures.entries[i]["char"] for i in pictures.train} - {None})
        drawn, drawn_place = torch.from_numpy(meaning[[place[c] for c in chars]]), {c: i for i, c in enumerate(chars)}
    evaluation = Evaluation(text, pairs, pictures)
    run = Run(folder, a.minutes, model, a.rate)
    if a.second and not (folder / "second").exists():
        (folder / "second").touch()
        run.used, run.step = 0.0, 0
        run.opt.param_groups[0]["base"] = 1e-2  # tokens of other languages are seen seldom, so each time must count
    encode = lambda texts, prefix, most: model.text(*text.batch(texts, prefix, most)).float()

    def same(xs):
        index = {}
        key = torch.tensor([index.setdefault(x, len(index)) for x in xs])
        return key[:, None] == key[None, :]

    def pictures_step():
        # A tower that knows nothing would teach the texts to be all alike, which is the quickest way down: it learns
        # alone at first, the decoder's weights join later, the names' side last.
        part = 1.0 if a.second else run.used / run.seconds
        pixels, words, entries = pictures.batch(192)
        model.model.requires_grad_(part > 0.25)
        seen = model.picture(pixels).float()
        model.model.requires_grad_(True)
        # Which of all emoji is it? Asked of the teacher's vectors of their names, which do not move.
        known = [i for i, e in enumerate(entries) if e["char"] in drawn_place]
        right = torch.tensor([drawn_place[entries[i]["char"]] for i in known])
        loss = 0
        for d in (64, 128, TARGET):
            loss = loss + F.cross_entropy(F.normalize(seen[known][:, :d], dim=-1) @ F.normalize(drawn[:, :d], dim=-1).T / TEMPERATURE, right) / 3
        if part > 0.72:
            alike = same([e["thing"] for e in entries]) | same(words)
            loss = loss + 0.7 * contrastive(seen, encode(words, QUERY, 16), alike)
        return "pictures", loss

    def losses():
        if pictures and rng.random() < a.pictures:
            return pictures_step()
        dice = rng.random()
        if a.second and rng.random() < 0.35:
            q, d = pairs.parallel(160)
            return "parallel", contrastive(encode(q, QUERY, 24), encode(d, PASSAGE, 40))
        if a.second and rng.random() < 0.75:
            # Which of all emoji is named? As for pictures.
            chars = rng.sample(named, 384)
            z = encode([pairs.name(pairs.emoji[c], 0.15) for c in chars], QUERY, 24)
            loss = 0
            for d in (32, 64, 128, TARGET):
                s = F.normalize(z[:, :d], dim=-1) @ F.normalize(meant[:, :d], dim=-1).T / TEMPERATURE
                loss = loss + F.cross_entropy(s, torch.tensor([place[c] for c in chars])) / 4
            return "which name", loss
        if dice < 0.46:
            lang = rng.choices(list(DEBIAN), DEBIAN.values())[0]
            q, d = pairs.descriptions(lang, 160)
            return "debian." + lang, contrastive(encode(q, QUERY, 24), encode(d, PASSAGE, 48))
        if dice < 0.56:
            q, d = pairs.glosses(224)
            return "wordnet", contrastive(encode(q, QUERY, 16), encode(d, PASSAGE, 40))
        if dice < 0.68:
            q, d, english = pairs.names(256)
            t = torch.stack([name_of[e] for e in english])
            q, d, alike = encode(q, QUERY, 24), encode(d, rng.choice([QUERY, PASSAGE]), 24), same(q) | same(d)
            return "names", 0.5 * contrastive(q, d, alike) + 0.7 * (distil(q, t) + distil(d, t))
        if dice < 0.71:
            q, d = pairs.translations(48)
            return "translations", contrastive(encode(q, QUERY, 48), encode(d, PASSAGE, 48))
        name, words, vectors = rng.choices(targets, sizes)[0]
        rows = rng.sample(range(len(words)), min(224, len(words)))
        z = encode([words[i] for i in rows], rng.choice([QUERY, PASSAGE]), 40)
        return "distil", distil(z, vectors[rows])

    print("parameters", sum(p.numel() for p in model.parameters()), "trained", sum(p.numel() for p in model.parameters() if p.requires_grad),
          "targets", sum(len(t[1]) for t in targets), flush=True)
    if not resumed:
        run.log(eval=evaluation(model), start=True)
    run.run(losses, lambda: evaluation(model))


if __name__ == "__main__":
    main()
