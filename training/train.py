"""Trains the model from a pack: the base (decoder, token vectors, tower), then on the frozen base the three adapters and the
multi-vector projector.

usage: python training/train.py --pack PACK --run DIR --out DIR (--seconds 3000 | --deadline 540) [--device cuda]
--seconds is what the steps take altogether; --deadline is when, after the start, everything has been written, whatever
the preparation took. DIR of --run keeps a checkpoint, from which the same command goes on; DIR of --out gets the weights in
pieces (weights-1 ..., joined by cat), and log.jsonl. What a stage that fails had reached before is kept.
"""
import argparse
import contextlib
import copy
import io
import json
import math
import pathlib
import shutil
import signal
import sys
import time
import traceback

STARTED = time.time()

import numpy as np
import torch
import torch.nn.functional as F

from bank import Bank
from losses import TEMPERATURE, alike, classified, contrastive, distil, late_interaction, recall
from model import TARGET, TASKS, Model

DEBIAN = {"en": 0.33, "de": 0.13, "fr": 0.13, "it": 0.12, "ja": 0.09, "pt": 0.05, "ko": 0.05, "ru": 0.04, "pl": 0.04, "es": 0.02}
# Share of the time of each stage.
SHARES = {"base": 0.76, "retrieval": 0.13, "text-matching": 0.06, "code": 0.05}
# Of the base, this last part is trained with some steps as if stored in few bits; the adapters' stages are throughout.
STORED_FROM, STORED_SHARE = 0.66, 0.5
HARD = 0.04  # the temperature among hard negatives
LATE_MOST = 512  # pairs of one late interaction: their likenesses are [B, B, tokens, tokens]
PIECE = 15_000_000


class Step:
    """The texts of one step: asked for first, then encoded together, those of like length in one go."""
    WIDTHS = (8, 16, 32, 64)

    def __init__(self, trainer, task=None, drop=0.0):
        self.t, self.task, self.drop, self.groups = trainer, task, drop, {}
        self.few = 256 if trainer.device != "cpu" else 64  # so few rows are no batch of their own

    def want(self, store, rows, prefix, most, tokens=False):
        """Where the vectors will be found; with `tokens` the states of all tokens are kept as well."""
        group = self.groups.setdefault((store, tokens), [])
        group.append((np.asarray(rows), np.repeat(self.t.bank.prefix[prefix][None], len(rows), 0), np.full(len(rows), most)))
        return (store, tokens), len(group) - 1

    def encode(self):
        bank, self.parts = self.t.bank, {}
        for key, group in self.groups.items():
            store, tokens = key
            index, prefix, most = (np.concatenate(x) for x in zip(*group))
            n, first = bank.stores[store].n[index], np.zeros(len(index), np.int64)
            if store == "L" and self.drop:  # a long text begins somewhere, so that no part of it is learnt by heart
                first = np.where(bank.rng.random(len(index)) < 0.4, (bank.rng.random(len(index)) * 0.4 * n).astype(np.int64), 0)
            sizes = [len(rows) for rows, _, _ in group]
            if tokens:
                pooled, states, mask = self.forward(store, index, prefix, most, first)
                for i, part in enumerate(zip(pooled.split(sizes), states.split(sizes), mask.split(sizes))):
                    self.parts[key, i] = part
                continue
            width = np.minimum(n - first, most) + (prefix >= 0).sum(1)
            bucket = np.searchsorted(self.WIDTHS, width)
            for b in range(len(self.WIDTHS)):
                if (bucket == b).sum() < self.few:
                    bucket[bucket == b] = b + 1
            order = np.argsort(bucket, kind="stable")
            out = [self.forward(store, index[r], prefix[r], most[r], first[r])[0] for r in np.split(order, np.flatnonzero(np.diff(bucket[order])) + 1)]
            pooled = torch.cat(out)[bank.to(np.argsort(order))]
            for i, part in enumerate(pooled.split(sizes)):
                self.parts[key, i] = (part,)

    def forward(self, store, index, prefix, most, first):
        ids, mask = self.t.bank.stores[store].rows(index, prefix, most, first)
        states = self.t.model.states(ids, self.task, self.drop if store == "L" else 0.0)
        return ((states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)).float(), states, mask

    def __getitem__(self, wanted):
        return self.parts[wanted][0]

    def tokens(self, wanted, n):
        """states and mask of the first n of a request"""
        _, states, mask = self.parts[wanted]
        return states[:n], mask[:n]


class Trainer:
    def __init__(self, bank, model, scale):
        self.bank, self.model, self.scale = bank, model, scale
        a = bank.a
        self.joined = {k[9:]: a[k] for k in a if k.startswith("parallel.")}
        roots = np.array([math.sqrt(v.shape[1]) for v in self.joined.values()])
        self.joined_share = roots / roots.sum()
        self.device = bank.device
        self.extras = True  # steps as if stored, hard negatives: left out after an error in them
        self.near = {}

    def size(self, n, most=1 << 30):
        return max(8, min(int(n * self.scale), most))

    def same(self, *keys):
        """[B, B]: rows that are equal in one of the keys"""
        out = None
        for key in keys:
            k = self.bank.to(np.asarray(key))
            equal = k[:, None] == k[None, :]
            out = equal if out is None else out | equal
        return out

    # What can be asked of a step: each returns a function that gives the loss after the texts have been encoded.

    def pairs(self, step, kind, size, widths, prefixes=("query", "passage"), late=0):
        a, n = self.bank.a, len(self.bank.a[f"{kind}.short"])
        hard = self.extras and kind in self.near
        rows = self.neighbours(kind, self.size(size, n)) if hard else self.bank.next(kind, n, self.size(size, n))
        code = kind == "code"
        said, told = a[f"{kind}.short"][rows], a[f"{kind}.long"][rows]
        q = step.want("L" if code else "S", said, prefixes[0], widths[0], late > 0)
        d = step.want("L", told, prefixes[1], widths[1], late > 0)
        keys = [said, told] + ([a[f"{kind}.source"][rows]] if f"{kind}.source" in a else [])
        return lambda: self.both(step, q, d, self.same(*keys), late, HARD if hard else TEMPERATURE)

    def both(self, step, q, d, same, late, temperature=TEMPERATURE):
        loss = contrastive(step[q], step[d], same, temperature=temperature)
        if not late:
            return loss
        model, n = self.model, self.size(late, min(LATE_MOST, len(step[q])))
        (sq, mq), (sd, md) = step.tokens(q, n), step.tokens(d, n)
        scores = late_interaction(model.multi(sq, step.task), mq, model.multi(sd, step.task), md) / temperature
        scores = scores.masked_fill(same[:n, :n].clone().fill_diagonal_(False), -1e4)
        labels = torch.arange(n, device=scores.device)
        return loss + (F.cross_entropy(scores, labels) + F.cross_entropy(scores.T, labels)) / 2

    def neighbours(self, kind, size):
        """Pairs of a kind with some of their neighbours, which are each other's hard negatives; each neighbourhood together."""
        anchors, near = self.near[kind]
        pick = self.bank.next("near." + kind, len(anchors), min(len(anchors), max(2, size // 4)))
        some = near[pick[:, None], self.bank.rng.integers(0, near.shape[1], (len(pick), 3))]
        rows = np.concatenate([anchors[pick][:, None], some], 1).reshape(-1)
        return rows[np.sort(np.unique(rows, return_index=True)[1])]

    @torch.no_grad()
    def mine(self, most=None, seconds=25.0, keep=8):
        """For each pair the `keep` others of its kind, of other sources, whose long texts the base finds nearest to its short one."""
        bank, began = self.bank, time.time()
        self.model.eval()
        for kind in ["debian." + lang for lang in DEBIAN] + ["wordnet"]:
            a = {part: bank.a[f"{kind}.{part}"] for part in ("short", "long", "source") if f"{kind}.{part}" in bank.a}
            n = len(a["short"])
            rows = np.arange(n) if most is None or n <= most else np.sort(bank.rng.choice(n, most, replace=False))
            if time.time() - began > seconds or len(rows) < 64:
                continue
            with self.autocast():
                q = F.normalize(self.encode("S", a["short"][rows], "query", 32), dim=-1)
                d = F.normalize(self.encode("L", a["long"][rows], "passage", 96), dim=-1)
            keys = [bank.to(a[part][rows]) for part in a]
            near = []
            for part in torch.arange(len(rows), device=self.device).split(2048):
                s = q[part] @ d.T
                s[d[part] @ d.T > 0.97] = -1  # the same text in other words is no negative
                for key in keys:
                    s[key[part][:, None] == key[None, :]] = -1
                near.append(s.topk(keep).indices)
            self.near[kind] = rows, rows[torch.cat(near).cpu().numpy()]
        self.model.train()
        return {kind: len(rows) for kind, (rows, _) in self.near.items()}

    def encode(self, store, rows, prefix, most, task=None):
        """Pooled states [N, H] of any number of texts, those of like length together."""
        order = np.argsort(self.bank.stores[store].n[rows], kind="stable")
        out, size = [], 4096 if self.device != "cpu" else 256
        for part in np.split(order, range(size, len(order), size)):
            ids, mask = self.bank.stores[store].rows(np.asarray(rows)[part], np.repeat(self.bank.prefix[prefix][None], len(part), 0), most)
            out.append(self.model.text(ids, mask, task).float())
        return torch.cat(out)[self.bank.to(np.argsort(order))]

    def parallel(self, step, size, prefixes=("query", "passage")):
        lang = self.bank.rng.choice(list(self.joined), p=self.joined_share)
        table = self.joined[lang]
        rows = self.bank.next("parallel." + lang, table.shape[1], self.size(size, table.shape[1]))
        foreign, line, told = table[:, rows]
        half = len(rows) // 2
        a = step.want("S", foreign, prefixes[0], 32)
        b, c = step.want("S", line[:half], prefixes[1], 32), step.want("L", told[half:], prefixes[1], 96)
        same = self.same(foreign, line)
        return lambda: contrastive(step[a], torch.cat([step[b], step[c]]), same)

    def declaration(self, step, prefixes=("query", "passage")):
        table = self.bank.a["declaration"]
        i, j = self.bank.rng.choice(len(table), 2, replace=False)
        a, b = step.want("L", table[i], prefixes[0], 96), step.want("L", table[j], prefixes[1], 96)
        return lambda: contrastive(step[a], step[b])

    def names(self, step, size):
        rows, share = self.bank.named(self.size(size))
        z = step.want("S", rows, "query", 24)
        return lambda: classified(step[z], share, self.bank.meanings)

    def across(self, step, size, prefixes=("query", "query"), late=0):
        """Two names of one emoji, in whatever languages."""
        chars = self.bank.rng.permutation(len(self.bank.meanings))[: self.size(size, len(self.bank.meanings))]
        one, two = self.bank.name(chars, 0.2)[0], self.bank.name(chars, 0.2)[0]
        a, b = step.want("S", one, prefixes[0], 24, late > 0), step.want("S", two, prefixes[1], 24, late > 0)
        same = self.same(one, two)
        return lambda: self.both(step, a, b, same, late)

    def taught(self, step, store, size, most, prefix=None):
        rows, vectors = self.bank.target[store]
        if not len(rows):
            return None
        pick = self.bank.rng.integers(0, len(rows), self.size(size))
        z = step.want(store, rows[pick], prefix or ("query", "passage")[int(self.bank.rng.integers(2))], most)
        return lambda: distil(step[z], vectors[self.bank.to(pick)].float())

    def pictures(self, step, size, english, contrast=True, frozen=False):
        """Which of all emoji is drawn, by the teacher's vectors of their names, which do not move; and which of the names
        in the batch is its own, by the model's vectors. Two losses."""
        pixels, char, thing, said = self.bank.pictures(self.size(size), english)
        z = step.want("S", said, "query", 24) if contrast else None
        same = self.same(thing, said)

        def loss():
            joined = [p for p in self.model.model.parameters() if p.requires_grad] if frozen else []
            for p in joined:
                p.requires_grad = False
            seen = self.model.picture(pixels, step.task).float()
            for p in joined:
                p.requires_grad = True
            known = self.bank.to(np.flatnonzero(char >= 0))
            share = torch.zeros(len(known), len(self.bank.meanings), device=self.device).scatter_(1, self.bank.to(char[char >= 0])[:, None], 1.0)
            step.seen = seen
            return classified(seen[known], share, self.bank.meanings)
        return loss, (lambda: contrastive(step.seen, step[z], same)) if contrast else None

    def likeness(self, step, size):
        """MiniLM's likeness among glosses and those that it finds nearest: among glosses drawn at random hardly two are alike."""
        bank, n = self.bank, self.size(size)
        if not len(bank.alike_rows):
            return None
        anchors = bank.rng.integers(0, len(bank.alike_rows), max(2, n // 4))
        near = bank.nearest[np.repeat(anchors, 3), bank.rng.integers(1, bank.nearest.shape[1], 3 * len(anchors))]
        pick = np.unique(np.concatenate([anchors, near]))
        z = step.want("L", bank.alike_rows[pick], "query", 48)

        def loss():
            return alike(step[z], bank.alike[bank.to(pick)])
        return loss

    # One step of each stage: [(name, weight, loss of the encoded step)].

    def languages(self, n):
        return self.bank.rng.choice(list(DEBIAN), n, replace=False, p=np.array(list(DEBIAN.values())) / sum(DEBIAN.values()))

    def base(self, part, count):
        step = Step(self, None, drop=0.08)
        asked = []
        for lang in self.languages(2):
            asked.append(("debian." + lang, 0.5, self.pairs(step, "debian." + lang, 768 if lang == "en" else 512, (32, 96))))
        asked.append(("which name", 1.0, self.names(step, 3072)))
        asked.append(("distil", 1.0, self.taught(step, "S", 1536, 32)))
        # A tower that knows nothing would teach the texts to be all alike, which is the quickest way down: it learns alone
        # at first, the decoder's weights join later, the names' side last.
        drawn, said = self.pictures(step, 768, 0.2, part > 0.12, part < 0.04)
        asked += [("pictures", 1.0, drawn), ("pictures and names", 1.0, said)]
        if count % 2:
            asked.append(("wordnet", 0.7, self.pairs(step, "wordnet", 768, (24, 48))))
            asked.append(("names", 0.5, self.across(step, 1024)))
        else:
            asked.append(("parallel", 0.7, self.parallel(step, 512)))
            asked.append(("translations", 0.3, self.declaration(step)))
            asked.append(("distil long", 0.7, self.taught(step, "L", 512, 64)))
        return step, asked

    def retrieval(self, part, count):
        step = Step(self, "retrieval")
        lang = self.languages(1)[0]
        asked = [("debian." + lang, 1.0, self.pairs(step, "debian." + lang, 640, (32, 96), late=384))]
        drawn, said = self.pictures(step, 512, 0.3)
        asked += [("pictures", 0.7, drawn), ("pictures and names", 0.7, said)]
        asked.append(("which name", 0.4, self.names(step, 1536)))
        if count % 2:
            asked.append(("wordnet", 0.6, self.pairs(step, "wordnet", 640, (24, 48), late=384)))
        else:
            asked.append(("parallel", 0.3, self.parallel(step, 384)))
        return step, asked

    def matching(self, part, count):
        step = Step(self, "text-matching")
        asked = [("likeness", 1.0, self.likeness(step, 1024))]
        asked.append(("distil long", 0.25, self.taught(step, "L", 512, 48, "query")))
        asked.append(("distil", 0.25, self.taught(step, "S", 1024, 32, "query")))
        if count % 2:
            asked.append(("names", 0.2, self.across(step, 768, late=128)))
            drawn, said = self.pictures(step, 384, 0.3)
            asked += [("pictures", 0.15, drawn), ("pictures and names", 0.15, said)]
        else:
            asked.append(("parallel", 0.2, self.parallel(step, 384, ("query", "query"))))
            asked.append(("translations", 0.2, self.declaration(step, ("query", "query"))))
        return step, asked

    def code(self, part, count):
        step = Step(self, "code")
        return step, [("code", 1.0, self.pairs(step, "code", 512, (48, 120), late=128))]

    # What is looked at.

    @torch.no_grad()
    def evaluate(self, task=None):
        bank, model = self.bank, self.model
        model.eval()

        encode = lambda store, rows, prefix: self.encode(store, rows, prefix, 120, task)
        out = {}
        with self.autocast():
            if task == "code":
                docs, functions = bank.a["eval.code"]
                return {task: recall(encode("W", docs, "query"), encode("W", functions, "passage"))}
            for lang in ("en", "de", "fr", "it", "ja"):
                short, long = bank.a["eval." + lang]
                out[lang] = recall(encode("V", short, "query"), encode("W", long, "passage"))
            for split in ("drawing", "thing", "style", "photo", "stamp"):
                seen = model.picture(bank.still(split), task).float()
                for key in [k for k in bank.a if k.startswith(f"eval.{split}.")]:
                    out[key[5:]] = recall(encode("V", bank.a[key], "query"), seen)
            seen = F.normalize(model.picture(bank.still("page"), task).float(), dim=-1)
            said = F.normalize(encode("V", bank.a["eval.page"], "query"), dim=-1)
            order = (said @ seen.T).argsort(1, descending=True).tolist()
            titles, places = bank.meta["page titles"], {}
            for (query, wanted), row in zip(bank.meta["page"], order):
                ranked = [titles[i] for i in row]
                places[query] = min(ranked.index(w) for w in wanted.split("|")) + 1
            out["page"] = places
        model.train()
        return out

    def autocast(self):
        return torch.autocast(torch.device(self.device).type, torch.bfloat16)


def optimiser(model, rates):
    table, matrices, vectors, tower = [], [], [], []
    for name, p in model.named_parameters():
        if p.requires_grad:
            (table if "embed_tokens" in name else tower if "visual" in name else matrices if p.dim() > 1 else vectors).append(p)
    groups = [{"params": table, "lr": rates["table"], "weight_decay": 0.0}, {"params": matrices, "lr": rates["matrices"], "weight_decay": 0.02},
              {"params": vectors, "lr": rates["matrices"], "weight_decay": 0.0},
              {"params": tower, "lr": rates["tower"], "weight_decay": 0.05}]
    for g in groups:
        g["base"] = g["lr"]
    return torch.optim.AdamW([g for g in groups if g["params"]], betas=(0.9, 0.98), fused=True)


class Run:
    """The stages, one behind the other, each for its share of the seconds."""

    def __init__(self, folder, out, trainer, arguments):
        # The projector that all tasks share learns with retrieval, unless the others' additions to it are to stay as they are.
        self.projector = len(arguments.stages) > 1
        self.folder, self.out, self.t, self.model, self.arguments = pathlib.Path(folder), pathlib.Path(out), trainer, trainer.model, arguments
        self.folder.mkdir(parents=True, exist_ok=True)
        self.out.mkdir(parents=True, exist_ok=True)
        self.stop, self.stage, self.used, self.step, self.looking = False, arguments.stages[0], 0.0, 0, 0.0
        for s in (signal.SIGTERM, signal.SIGINT):
            signal.signal(s, lambda *_: setattr(self, "stop", True))

    def log(self, **values):
        line = json.dumps({"at": round(time.time() - STARTED, 1), "stage": self.stage, "step": self.step, "seconds": round(self.used, 1), **values}, ensure_ascii=False)
        print(line, flush=True)
        with open(self.out / "log.jsonl", "a") as f:
            f.write(line + "\n")

    def look(self, **more):
        """Logs the evaluation, unless one takes too much of the time that there is."""
        if self.arguments.deadline and self.looking > 0.02 * self.arguments.deadline:
            return
        began = time.time()
        found = self.t.evaluate(None if self.stage == "base" else self.stage)
        self.looking = time.time() - began
        self.log(**more, eval=found)

    def state(self):
        return {"model": self.model.state_dict(), "stage": self.stage, "used": self.used, "step": self.step}

    def save(self, opt):
        torch.save({**self.state(), "opt": opt.state_dict()}, self.folder / "new.pt")
        (self.folder / "new.pt").replace(self.folder / "last.pt")
        self.export()

    def export(self):
        """The weights for --out, in f32 and in pieces; each replaced at once."""
        whole = io.BytesIO()
        torch.save({k: v.detach().cpu() for k, v in self.model.state_dict().items()}, whole)
        data = whole.getvalue()
        pieces = [data[i: i + PIECE] for i in range(0, len(data), PIECE)]
        for n, piece in enumerate(pieces, 1):
            (self.folder / f"piece-{n}").write_bytes(piece)
        for n in range(1, len(pieces) + 1):
            shutil.move(self.folder / f"piece-{n}", self.out / f"weights-{n}")

    def trained(self, stage):
        """Which parameters a stage trains."""
        for name, p in self.model.named_parameters():
            if stage == "base":
                p.requires_grad = "lora" not in name and "multi_vector" not in name
            else:
                p.requires_grad = (".lora_" in name and name.endswith("." + stage)) or (
                    self.projector and stage == "retrieval" and name.startswith("multi_vector_projector.") and "lora" not in name)

    def stored(self, part):
        """How the matrices are held during this step: (text, tower), None as they are."""
        rng = self.t.bank.rng
        if not self.t.extras or (self.stage == "base" and part < STORED_FROM) or rng.random() >= STORED_SHARE:
            return None, None
        return "q4_0", "q4_0" if rng.random() < 0.33 else "q8_0"

    def losses(self, ask, part):
        with self.t.autocast():
            self.model.store(*self.stored(part))
            step, asked = ask(part, self.step)
            asked = [x for x in asked if x[2] is not None]
            step.encode()
            values = [(name, weight, loss()) for name, weight, loss in asked]
        return sum(weight * value for _, weight, value in values), [(name, value.detach()) for name, _, value in values]

    def run(self, stage, seconds, losses, rates, resumed, looks, save_every, end_at):
        self.stage = stage
        self.trained(stage)
        opt = optimiser(self.model, rates)
        if resumed:
            opt.load_state_dict(resumed["opt"])
            self.used, self.step = resumed["used"], resumed["step"]
        else:
            self.used, self.step = 0.0, 0
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        good, good_opt, slow = copy.deepcopy(self.model.state_dict()), copy.deepcopy(opt.state_dict()), 1.0
        sums, count, saved, reported = {}, {}, time.time(), time.time()
        looked = sum(self.used >= f * seconds for f in looks)
        # What a pause of the machine took is not counted, so that no step counts as more than 15 seconds.
        while self.used < seconds and not self.stop and not (end_at and time.time() > end_at):
            began = time.time()
            part = min(1.0, self.used / seconds)
            factor = slow * min(1.0, (self.step + 1) / 100) * (0.01 + 0.99 * (1 + math.cos(math.pi * part)) / 2)
            for g in opt.param_groups:
                g["lr"] = g["base"] * factor
            opt.zero_grad(set_to_none=True)
            try:
                total, values = self.losses(losses, part)
                total.backward()
            except torch.cuda.OutOfMemoryError:
                total = values = None
                torch.cuda.empty_cache()
                self.t.scale *= 0.7
                self.log(note=f"too little memory: batches of {self.t.scale:.2f}")
                self.used += min(time.time() - began, 15.0)
                continue
            except Exception:
                if not self.t.extras:
                    raise
                self.t.extras = False  # without what is newest, rather than not at all
                self.log(note="on without steps as if stored and hard negatives", error=traceback.format_exc())
                continue
            finally:
                self.model.store()
            for name, value in values:
                sums[name], count[name] = sums.get(name, 0) + value, count.get(name, 0) + 1
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            opt.step()
            self.step += 1
            if self.step % 25 == 0 or self.t.device == "cpu":
                value = total.item()  # waits for the device: the clock is honest at these steps
                if not math.isfinite(value):
                    self.model.load_state_dict(good)
                    opt.load_state_dict(good_opt)
                    slow *= 0.5
                    self.log(note="the loss is not finite: back to the last good state, half the rate")
                    sums, count = {}, {}
                elif self.step % 500 == 0:
                    good, good_opt = copy.deepcopy(self.model.state_dict()), copy.deepcopy(opt.state_dict())
            self.used += min(time.time() - began, 15.0)
            if time.time() - reported > 10:
                reported = time.time()
                self.log(loss={k: round((v / count[k]).item(), 3) for k, v in sorted(sums.items())})
                sums, count = {}, {}
            if looked < len(looks) and self.used >= looks[looked] * seconds:
                looked += 1
                self.look()
            if time.time() - saved > save_every:
                saved = time.time()
                self.save(opt)
        self.log(end=not self.stop, loss={k: round((v / count[k]).item(), 3) for k, v in sorted(sums.items())})
        self.save(opt)
        if not self.stop:
            self.look()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--pack", required=True)
    p.add_argument("--run", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--seconds", type=float, default=10_000)
    p.add_argument("--deadline", type=float, help="seconds after the start at which all is written")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--scale", type=float, help="of the batches; 1 on a GPU, 0.2 on a CPU")
    p.add_argument("--rate", type=float, default=1e-3)
    p.add_argument("--adapter-rate", type=float, default=2e-3)
    p.add_argument("--teach", type=int, help="how many texts are distilled at most")
    p.add_argument("--threads", type=int, default=2, help="on a CPU")
    p.add_argument("--save-every", type=float, default=60)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--begin", help="weights of an earlier run (a state dict in f32 or f16, or weights-* joined by cat) to begin with, instead of afresh")
    p.add_argument("--stages", nargs="+", choices=SHARES, default=list(SHARES), help="with --begin; the others stay as they are")
    a = p.parse_args()
    cuda = a.device.startswith("cuda")
    if cuda:
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cuda.enable_cudnn_sdp(False)  # it makes a plan for every new shape, which takes 50 times the attention's time
    else:
        torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    last = pathlib.Path(a.run) / "last.pt"
    resumed = torch.load(last, weights_only=False, map_location=a.device) if last.exists() else None
    say = lambda text: print(f"{time.time() - STARTED:6.1f} s  {text}", flush=True)
    say(f"torch {torch.__version__}, {torch.cuda.get_device_name() if cuda else 'cpu'}")
    bank = Bank(a.pack, a.device, a.seed + (resumed["step"] if resumed else 0))
    say("unpacked")
    bank.teach(a.teach, log=say)
    model = Model()
    model.frame_of(bank.meta["special"])
    model.to(a.device)
    trainer = Trainer(bank, model, a.scale or (1.0 if cuda else 0.2))
    if resumed:
        model.load_state_dict(resumed["model"])
    elif a.begin:
        model.start()
        model.load_state_dict({k: v.float() for k, v in torch.load(a.begin, map_location=a.device).items()})
    else:
        model.start()
        with torch.no_grad():
            model.model.embed_tokens.weight.copy_(bank.table())
            rows = torch.from_numpy(bank.rng.integers(0, len(bank.pixels), 1024)).to(a.device)
            model.whiten(bank.augment(rows, torch.ones(len(rows), dtype=torch.bool, device=a.device), torch.zeros(len(rows), dtype=torch.bool, device=a.device)))
            for name, parameter in model.model.named_parameters():
                if "norm" in name:
                    parameter[TARGET:] = 0  # nothing reads the constant at first
    run = Run(a.run, a.out, trainer, a)
    with run_errors(run):
        run.look(start=True, device=torch.cuda.get_device_name() if cuda else "cpu", torch=torch.__version__, arguments=vars(a),
                 parameters=sum(q.numel() for q in model.parameters()))
    seconds, end = a.seconds, None
    if a.deadline:
        end = STARTED + a.deadline - 12
    steps = {"base": trainer.base, "retrieval": trainer.retrieval, "text-matching": trainer.matching, "code": trainer.code}
    shares = {s: SHARES[s] / sum(SHARES[s] for s in a.stages) for s in SHARES if s in a.stages}
    done = list(shares).index(resumed["stage"]) if resumed else 0
    for n, (stage, share) in enumerate(shares.items()):
        if n < done or run.stop:
            continue
        if stage in ("text-matching", "code") and not (resumed and n == done):
            with torch.no_grad():  # the additions begin where retrieval's projector ended
                for lora in (model.multi_vector_projector.lora_A, model.multi_vector_projector.lora_B):
                    lora[stage].copy_(lora["retrieval"])
        rates = {"table": 5 * a.rate, "matrices": a.rate, "tower": 2 * a.rate} if stage == "base" else dict.fromkeys(("table", "matrices", "tower"), a.adapter_rate)
        looks = (0.1, 0.3, 0.6) if stage == "base" else ()
        if stage == "retrieval":
            with run_errors(run):
                run.stage = stage
                run.log(mined=trainer.mine(None if cuda else 1500, 0.045 * (a.deadline or a.seconds)))
        spent = seconds * share
        if end:  # what is left is shared by the stages that are left; each looks and writes for a few seconds as well
            left = sum(list(shares.values())[n:])
            spent = max(1.0, min(spent, (end - time.time() - 12 * share - 3 * (len(shares) - n)) * share / left))
        with run_errors(run):
            run.run(stage, spent, steps[stage], rates, resumed if resumed and n == done else None, looks, a.save_every, end)
    with run_errors(run):
        run.export()
        run.log(finished=not run.stop)


@contextlib.contextmanager
def run_errors(run):
    """An error ends its stage alone; what was reached is written."""
    try:
        yield
    except Exception:
        run.log(error=traceback.format_exc())
        try:
            run.export()
        except Exception:
            traceback.print_exc()


if __name__ == "__main__":
    main()
