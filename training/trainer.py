"""What a step of each stage asks of the model: which texts and pictures, which losses; the mining of hard negatives; and what is
looked at meanwhile.
"""
import copy
import math
import time

import numpy as np
import torch
import torch.nn.functional as F

from losses import TEMPERATURE, alike, classified, contrastive, distil, late_interaction, recall

DEBIAN = {"en": 0.26, "de": 0.13, "fr": 0.15, "it": 0.20, "ja": 0.09, "pt": 0.06, "ko": 0.04, "ru": 0.03, "pl": 0.03, "es": 0.01}
LONG = "LY"  # the stores of long texts
LATE_MOST = 512  # pairs of one late interaction: their likenesses are [B, B, tokens, tokens]


class Step:
    """The texts of one step: asked for first, then encoded together, those of like length in one go."""
    def __init__(self, trainer, task=None, drop=0.0, model=None):
        self.t, self.task, self.drop, self.groups, self.model = trainer, task, drop, {}, model or trainer.model
        # On a GPU starting an operation takes longer than the operation: few batches, whatever is padded in them.
        self.widths = (8, 16, 32, 64) if trainer.device == "cpu" else (14, 48)
        self.few = 64 if trainer.device == "cpu" else 400  # so few rows are no batch of their own

    def want(self, store, rows, prefix, most, tokens=False):
        """Where the vectors will be found; with `tokens` the states of all tokens are kept as well."""
        group = self.groups.setdefault((store, tokens), [])
        group.append((np.asarray(rows), np.full(len(rows), self.t.bank.prefix[prefix]), np.full(len(rows), most)))
        return (store, tokens), len(group) - 1

    def encode(self):
        bank, self.parts = self.t.bank, {}
        for key, group in self.groups.items():
            store, tokens = key
            index, prefix, most = (np.concatenate(x) for x in zip(*group))
            n, first = bank.stores[store].n[index], np.zeros(len(index), np.int64)
            if store in LONG and self.drop:  # a long text begins somewhere, so that no part of it is learnt by heart
                first = np.where(bank.rng.random(len(index)) < 0.4, (bank.rng.random(len(index)) * 0.4 * n).astype(np.int64), 0)
            n = np.minimum(n - first, most)
            width = n + bank.lead_n[prefix]
            bucket = np.zeros(len(width), np.int64) if tokens else np.searchsorted(self.widths, width)
            for b in range(len(self.widths)):
                if (bucket == b).sum() < self.few:
                    bucket[bucket == b] = b + 1
            order = np.argsort(bucket, kind="stable")
            back = np.argsort(order)
            told = bank.to(np.stack([index[order], n[order], first[order], prefix[order], back]))
            ends, out = np.flatnonzero(np.diff(bucket[order], append=-1)) + 1, []
            for start, end in zip([0, *ends[:-1]], ends):
                T = int(width[order[start: end]].max() + 7) // 8 * 8
                out.append(self.forward(store, told[:4, start: end], T))
            sizes = [len(rows) for rows, _, _ in group]
            if tokens:
                self.parts |= {(key, i): part for i, part in enumerate(zip(*(x.split(sizes) for x in out[0])))}
            else:
                pooled = torch.cat([pooled for pooled, _, _ in out])[told[4]]
                self.parts |= {(key, i): (part,) for i, part in enumerate(pooled.split(sizes))}

    def forward(self, store, told, T):
        ids, mask = self.t.bank.stores[store].rows(told, self.t.bank.lead, T)
        states = self.model.states(ids, self.task, self.drop if store in LONG else 0.0)
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
        self.begun = False  # with weights that know something
        self.extras = True  # steps as if stored, hard negatives: left out after an error in them
        self.near = {}
        self.words = np.flatnonzero(bank.stores["S"].n <= 5)  # and other texts as short
        self.before = None  # the model as it was when `fresh` began
        fresh = {k[:-6]: len(a[k]) ** 0.5 for k in a if k.startswith("fresh.") and k.endswith(".short")}
        self.fresh_kinds, self.fresh_share = list(fresh), np.array(list(fresh.values())) / sum(fresh.values())

    def remember(self, state=None):
        """What `fresh` is to keep: the model as it is, or as it was when an interrupted run began that stage."""
        self.before = copy.deepcopy(self.model).requires_grad_(False)
        if state:
            self.before.load_state_dict(state, strict=False)

    def size(self, n, most=1 << 30):
        return max(8, min(int(n * self.scale), most))

    def same(self, *keys):
        """[B, B]: rows that are equal in one of the keys"""
        k = self.bank.to(np.stack(keys))
        return (k[:, :, None] == k[:, None, :]).any(0)

    # What can be asked of a step: each returns a function that gives the loss after the texts have been encoded.

    def pairs(self, step, kind, size, widths, prefixes=("query", "passage"), late=0):
        a, n = self.bank.a, len(self.bank.a[f"{kind}.short"])
        hard = self.extras and kind in self.near
        rows = self.bank.next(kind, n, self.size(size, n))
        if hard:  # some neighbourhoods in front, where the late interaction is, and the others at random
            near = self.neighbours(kind, len(rows) // 4)
            rows = np.concatenate([near, rows[~np.isin(rows, near)][: len(rows) - len(near)]])
        stores = "LL" if kind == "code" else "XY" if kind.startswith("fresh.") else "SL"
        said, told = a[f"{kind}.short"][rows], a[f"{kind}.long"][rows]
        q = step.want(stores[0], said, prefixes[0], widths[0], late > 0)
        d = step.want(stores[1], told, prefixes[1], widths[1], late > 0)
        keys = [said, told] + ([a[f"{kind}.source"][rows]] if f"{kind}.source" in a else [])
        return lambda: self.both(step, q, d, self.same(*keys), late)

    def both(self, step, q, d, same, late):
        loss = contrastive(step[q], step[d], same)
        if not late:
            return loss
        model, n = self.model, self.size(late, min(LATE_MOST, len(step[q])))
        (sq, mq), (sd, md) = step.tokens(q, n), step.tokens(d, n)
        scores = late_interaction(model.multi(sq, step.task), mq, model.multi(sd, step.task), md) / TEMPERATURE
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
        rows, lead = np.asarray(rows), self.bank.prefix[prefix]
        n = np.minimum(self.bank.stores[store].n[rows], most)
        order = np.argsort(n, kind="stable")
        out, size = [], 4096 if self.device != "cpu" else 256
        for part in np.split(order, range(size, len(order), size)):
            told = self.bank.to(np.stack([rows[part], n[part], np.zeros_like(part), np.full(len(part), lead)]))
            ids, mask = self.bank.stores[store].rows(told, self.bank.lead, int(n[part].max() + self.bank.lead_n[lead] + 7) // 8 * 8)
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

    def kept(self, step, words, drawings):
        """Single words and pictures stay where the adapter had them: what a change for descriptions does to them is chance."""
        rows = self.bank.rng.choice(self.words, self.size(words))
        then = Step(self, step.task, model=self.before)
        z, was = (x.want("S", rows, "query", 24) for x in (step, then))
        pixels = self.bank.pictures(self.size(drawings), 0.2)[0]

        def loss():
            with torch.no_grad():
                then.encode()
                seen = self.before.picture(pixels, step.task).float()
            now = self.model.picture(pixels, step.task).float()
            return 2 - F.cosine_similarity(step[z], then[was]).mean() - F.cosine_similarity(now, seen).mean()
        return loss

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

    def language(self):
        """One of Debian's: those with few descriptions seldom, or they would be learnt by heart."""
        return self.bank.rng.choice(list(DEBIAN), p=np.array(list(DEBIAN.values())) / sum(DEBIAN.values()))

    def base(self, part, count):
        step = Step(self, None, drop=0.08)
        lang = self.language()
        # A tower that knows nothing would teach the texts to be all alike, which is the quickest way down: it learns alone
        # at first, the decoder's weights join later, the names' side last.
        drawn, said = self.pictures(step, 1024, 0.2, self.begun or part > 0.12, not self.begun and part < 0.04)
        asked = [("pictures", 1.5, drawn), ("pictures and names", 1.2, said), ("which name", 1.0, self.names(step, 3072))]
        asked.append(("debian." + lang, 0.4, self.pairs(step, "debian." + lang, 1024, (32, 96))))
        if count % 2:
            asked.append(("wordnet", 0.7, self.pairs(step, "wordnet", 1024, (24, 48))))
            asked.append(("names", 0.6, self.across(step, 1536)))
        else:
            asked.append(("parallel", 0.5, self.parallel(step, 512)))
            asked.append(("distil", 1.0, self.taught(step, "S", 2048, 32)))
            asked.append(("distil long", 0.7, self.taught(step, "L", 512, 64)))
            asked.append(("translations", 0.2, self.declaration(step)))
        return step, asked

    def retrieval(self, part, count):
        """Descriptions and terms in turns: many drawn at random, as what is searched is, and a quarter among neighbours."""
        step = Step(self, "retrieval", drop=0.08)
        if count % 2:
            asked = [("wordnet", 1.0, self.pairs(step, "wordnet", 1536, (24, 48), late=320))]
            asked.append(("which name", 0.4, self.names(step, 1536)))
        else:
            lang = self.language()
            asked = [("debian." + lang, 1.0, self.pairs(step, "debian." + lang, 1536, (32, 96), late=320))]
            drawn, said = self.pictures(step, 768, 0.2)
            asked += [("pictures", 0.7, drawn), ("pictures and names", 0.7, said)]
        return step, asked

    def fresh(self, part, count):
        """The retrieval adapter again, with descriptions that the base has not learnt: see pack_fresh.py."""
        step = Step(self, "retrieval", drop=0.08)
        one, other = self.bank.rng.choice(self.fresh_kinds, 2, p=self.fresh_share)
        drawn, said = self.pictures(step, 512, 0.2)
        asked = [(one, 1.0, self.pairs(step, one, 1280, (32, 96))), ("pictures", 1.0, drawn), ("pictures and names", 1.0, said),
                 ("which name", 0.4, self.names(step, 1536)), ("as before", 10.0, self.kept(step, 2048, 320))]
        if count % 2:
            asked.append(("wordnet", 1.0, self.pairs(step, "wordnet", 1536, (24, 48))))
        else:
            asked.append((other + " by tokens", 1.0, self.pairs(step, other, 320, (32, 96), late=320)))
        return step, asked

    def matching(self, part, count):
        step = Step(self, "text-matching")
        asked = [("likeness", 1.0, self.likeness(step, 1536))]
        if count % 2:
            asked.append(("distil long", 0.25, self.taught(step, "L", 512, 48, "query")))
        else:
            asked.append(("distil", 0.25, self.taught(step, "S", 1024, 32, "query")))
        if count % 4 == 0:
            asked.append(("parallel", 0.2, self.parallel(step, 384, ("query", "query"))))
            asked.append(("translations", 0.2, self.declaration(step, ("query", "query"))))
        if count % 4 == 2:
            asked.append(("names", 0.2, self.across(step, 768, late=128)))
            drawn, said = self.pictures(step, 384, 0.3)
            asked += [("pictures", 0.15, drawn), ("pictures and names", 0.15, said)]
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
            for kind in self.fresh_kinds:
                short, long = bank.a["eval." + kind]
                out[kind] = recall(encode("X", short, "query"), encode("Y", long, "passage"))
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
