"""What is trained on, as packed by pack.py, resident on the device: texts as padded ids, pictures, targets; and batches of them.

Which rows a batch has is drawn on the host with NumPy, which costs a few tenths of a millisecond; everything else happens
on the device.
"""
import concurrent.futures
import json
import lzma
import os
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

from model import BPE_TOKENS, H, MEAN, PICTURE_PX, STD, TARGET, VOCAB_ROWS

SCALE = 16.0  # as in data.py


def read_pack(folder):
    """{name: array} and what else is told of them."""
    arrays, jobs = {}, []
    for part in sorted(pathlib.Path(folder).glob("part-*")):
        with open(part, "rb") as f:
            size = int.from_bytes(f.read(8), "little")
            for entry in json.loads(f.read(size)):
                if entry["name"] not in arrays:
                    arrays[entry["name"]] = np.empty(entry["shape"], entry["dtype"])
                jobs.append((part, 8 + size, entry))
    if not jobs:
        raise SystemExit(f"no part-* in {folder}")

    def unpack(job):
        part, start, entry = job
        with open(part, "rb") as f:
            f.seek(start + entry["offset"])
            raw = lzma.decompress(f.read(entry["bytes"]))
        target = arrays[entry["name"]]
        rows = np.frombuffer(raw, target.dtype).reshape(entry["rows"], *target.shape[1:])
        target[entry["first"]: entry["first"] + entry["rows"]] = rows

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:  # LZMA runs outside the interpreter's lock
        list(pool.map(unpack, jobs))
    return arrays, json.loads(arrays.pop("meta").tobytes())


class Ring:
    """Pinned memory that is allocated once: for each array anew it took 1.4 milliseconds in a virtual machine.
    Its end is reached after dozens of steps, and the device is waited for every 25."""
    BYTES = 1 << 28

    def __init__(self):
        self.memory, self.at = torch.empty(self.BYTES, dtype=torch.uint8).pin_memory(), 0

    def hold(self, tensor):
        n = (tensor.nbytes + 63) // 64 * 64
        if self.at + n > self.BYTES:
            torch.cuda.synchronize()
            self.at = 0
        part = self.memory[self.at: self.at + tensor.nbytes].view(tensor.dtype).view(tensor.shape)
        self.at += n
        return part.copy_(tensor)


ring = None


def moved(array, device):
    """To the device without waiting for what it is doing: that takes pinned memory."""
    global ring
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if device != "cpu" and 0 < tensor.nbytes < 1 << 22:
        ring = ring or Ring()
        tensor = ring.hold(tensor)
    return tensor.to(device, non_blocking=True)


class Store:
    """Texts as ids behind their prefix, [N, most] padded."""

    def __init__(self, flat, n, pad, device):
        self.n = n.astype(np.int64)
        inside = np.arange(int(n.max())) < self.n[:, None]
        ids = np.full(inside.shape, pad, np.int16)
        ids[inside] = flat.astype(np.int16)
        self.ids, self.device, self.pad = torch.from_numpy(ids).to(device), device, pad

    def rows(self, told, lead, T):
        """told [4, B] on the device: the text's number, its tokens from where it begins, that place, its prefix (a row of `lead`
        [2, 2..], ids and -1 behind their end) -> ids [B, T], mask [B, T]"""
        index, n, first, prefix = told
        own, before = self.ids[index].long(), lead[prefix]
        at = torch.arange(T, device=self.device)[None, :] - (before >= 0).sum(1, keepdim=True)
        mask = at < n[:, None]
        ids = own.gather(1, (at + first[:, None]).clamp(0, own.shape[1] - 1)).masked_fill(~mask, self.pad)
        return torch.where(at < 0, F.pad(before, (0, max(0, T - before.shape[1])))[:, :T], ids), mask.float()


class Bank:
    def __init__(self, folder, device, seed=1):
        self.a, self.meta = a, meta = read_pack(folder)
        self.device, self.rng = device, np.random.default_rng(seed)
        self.stores = {s: Store(a.pop(f"{s}.ids"), a.pop(f"{s}.n"), meta["pad"], device) for s in "SLVWXY" if f"{s}.ids" in a}
        width = max(len(meta["query"]), len(meta["passage"]))
        self.prefix = {"query": 0, "passage": 1}
        self.lead = torch.tensor([meta[p] + [-1] * (width - len(meta[p])) for p in self.prefix], device=device)
        self.lead_n = np.array([len(meta[p]) for p in self.prefix])
        self.languages = meta["languages"]
        self.meanings = self.to(a["meanings"]).float()
        self.also_at, self.also = a["names.also_at"], a["names.also"]
        self.label_at = np.concatenate([[0], np.cumsum(a["names.label_n"].astype(np.int64))])
        # The languages that each emoji has a name in, in front.
        self.spoken, self.spoken_n = np.argsort(a["names.name"] < 0, axis=1, kind="stable"), (a["names.name"] >= 0).sum(1)
        self.pixels = self.to(a.pop("pictures.pixels"))
        self.may_mirror, self.is_whole = self.to(a.pop("pictures.mirror")), self.to(a.pop("pictures.whole"))
        self.shown = {k: self.to(a.pop(f"eval.{k}.pixels")) for k in ("drawing", "thing", "style", "photo", "stamp", "page")}
        self.cumulated = np.cumsum(a["pictures.weight"].astype(np.float64))
        self.cumulated /= self.cumulated[-1]
        self.orders = {}

    def to(self, array):
        return moved(array, self.device)

    def table(self):
        """The first token vectors [VOCAB_ROWS, H]: see data.token_table."""
        rows = torch.zeros(VOCAB_ROWS, H)
        rows[:, :TARGET] = torch.from_numpy(self.a["table"]).float() * torch.from_numpy(self.a["table.scale"])[:, None]
        rows[:, TARGET:] = ((1.5 ** 2 - rows.pow(2).sum(1, keepdim=True)).clamp(min=0) ** 0.5) / (H - TARGET) ** 0.5
        return rows * SCALE

    def next(self, kind, size, n):
        """n of `size` rows of a kind, in an order that visits all before it repeats"""
        order, at = self.orders.get(kind, (None, size))
        if at + n > size:
            order, at = self.rng.permutation(size), 0
        self.orders[kind] = order, at + n
        return order[at: at + n]

    # Names of emoji.

    def language(self, chars, english):
        lang = self.spoken[chars, (self.rng.random(len(chars)) * self.spoken_n[chars]).astype(np.int64)]
        return np.where(self.rng.random(len(chars)) < english, 0, lang)

    def name(self, chars, english):
        """A name, or what else it is called, of each emoji in some language: rows of S, and whether it is the name itself."""
        rng = self.rng
        lang = self.language(chars, english)
        cell = chars * len(self.languages) + lang
        first, n = self.also_at[cell], self.also_at[cell + 1] - self.also_at[cell]
        other = self.also[np.minimum(first + (rng.random(len(chars)) * n).astype(np.int64), len(self.also) - 1)]
        own = self.a["names.name"][chars, lang]
        itself = (rng.random(len(chars)) < 0.5) | (n == 0)
        return np.where(itself, own, other), itself

    def named(self, n):
        """Names and whatever emoji are called, with the share of each emoji in what is meant [n, emoji]."""
        rng, count = self.rng, len(self.meanings)
        chars = rng.integers(0, count, n // 2)
        lang = self.language(chars, 0.15)
        any_ = rng.integers(0, len(self.a["names.all"]), n - n // 2)
        rows = np.concatenate([self.a["names.name"][chars, lang], self.a["names.all"][any_]])
        at, many = self.label_at[any_], self.a["names.label_n"][any_].astype(np.int64)
        flat = np.repeat(at - np.concatenate([[0], np.cumsum(many)[:-1]]), many) + np.arange(many.sum())
        row = np.concatenate([np.arange(len(chars)), len(chars) + np.repeat(np.arange(len(any_)), many)])
        column = np.concatenate([chars, self.a["names.label"][flat].astype(np.int64)])
        share = np.concatenate([np.ones(len(chars)), np.repeat(1 / many, many)]).astype(np.float32)
        target = torch.zeros(n, count, device=self.device)
        row, column = self.to(np.stack([row, column]))
        target[row, column] = self.to(share)
        return rows, target

    # Pictures.

    def pictures(self, n, english):
        """(augmented pixels, emoji or -1 [n], thing [n], rows of S that name them)"""
        rng = self.rng
        rows = np.searchsorted(self.cumulated, rng.random(n)).clip(0, len(self.cumulated) - 1)
        char, thing = self.a["pictures.char"][rows].astype(np.int64), self.a["pictures.thing"][rows]
        said = self.a["pictures.said"][rows, (rng.random(n) < 0.4).astype(np.int64)]
        known = (char >= 0) & (rng.random(n) < 0.95)
        if known.any():
            said = said.copy()
            said[known] = self.name(char[known], english)[0]
        rows = self.to(rows)
        return self.augment(rows, self.may_mirror[rows], self.is_whole[rows]), char, thing, said

    def unpacked(self, pixels):
        x = pixels.int()
        return ((x << 2) | (x >> 4)).float() / 255

    def exact(self):
        return torch.autocast(torch.device(self.device).type, enabled=False)

    @torch.no_grad()
    def augment(self, rows, mirror, whole):
        with self.exact():
            return self.augmented(rows, mirror, whole)

    def augmented(self, rows, mirror, whole):
        """`mirror` [B]: which may be; `whole` [B]: photographs that fill the square, of which a part is taken"""
        rgba, B, dev = self.unpacked(self.pixels[rows]), len(rows), self.device
        uniform = lambda low, high, *shape: torch.empty(B, *shape, device=dev).uniform_(low, high)
        # Sometimes a silhouette: one colour, mostly dark.
        paint = uniform(0, 1, 3, 1, 1) * torch.where(uniform(0, 1, 1, 1, 1) < 0.6, 0.1, 1.0)
        plain = (uniform(0, 1, 1, 1, 1) < 0.08) & ~whole[:, None, None, None]
        flat = torch.cat([torch.where(plain, paint, rgba[:, :3]) * rgba[:, 3:], rgba[:, 3:]], 1)
        scale, turn, shift = uniform(0.82, 1.4), uniform(-0.22, 0.22), uniform(-0.12, 0.12, 2)
        # Of a drawing sometimes a part is taken, of a whole photograph always.
        scale = torch.where(whole | (uniform(0, 1) < 0.08), uniform(0.5, 0.95), scale)
        wide = uniform(0.88, 1.14)
        flip = torch.where((uniform(0, 1) < 0.3) & mirror, -1.0, 1.0)
        theta = torch.stack([torch.stack([scale * wide * turn.cos() * flip, -scale * turn.sin(), shift[:, 0]], 1),
                             torch.stack([scale * wide * turn.sin() * flip, scale * turn.cos(), shift[:, 1]], 1)], 1)
        moved = F.grid_sample(flat, F.affine_grid(theta, [B, 4, PICTURE_PX, PICTURE_PX], align_corners=False), align_corners=False)
        dice, ground = uniform(0, 1, 1, 1, 1), uniform(0, 1, 3, 1, 1)
        ground = torch.where(dice < 0.55, torch.ones_like(ground), torch.where(dice < 0.72, torch.zeros_like(ground), ground))
        # A ground that is not even, as behind what is photographed.
        blotches = F.interpolate(uniform(0, 1, 3, 4, 4), (PICTURE_PX, PICTURE_PX), mode="bilinear", align_corners=False)
        ground = torch.where(dice > 0.88, blotches, ground.expand_as(blotches))
        rgb = moved[:, :3] + ground * (1 - moved[:, 3:])
        # Colours: mixed a little among each other, seldom none; brightness and contrast; sometimes blurred.
        mix = torch.eye(3, device=dev) * uniform(0.85, 1.15, 3, 1) + 0.05 * torch.randn(B, 3, 3, device=dev)
        mix = torch.where(uniform(0, 1, 1, 1) < 0.08, torch.full_like(mix, 1 / 3), mix)
        rgb = torch.einsum("bij,bjhw->bihw", mix, rgb)
        rgb = (rgb - 0.5) * uniform(0.85, 1.15, 1, 1, 1) + 0.5 + uniform(-0.07, 0.07, 1, 1, 1)
        soft = F.avg_pool2d(F.pad(rgb, (1, 1, 1, 1), mode="replicate"), 3, 1)
        rgb = torch.where(uniform(0, 1, 1, 1, 1) < 0.12, soft, rgb)
        # Sometimes a part is hidden.
        at, half = uniform(0, PICTURE_PX, 2), uniform(4, 16, 2)
        line = torch.arange(PICTURE_PX, device=dev)
        hidden = [((line - at[:, i: i + 1]).abs() < half[:, i: i + 1]) for i in (0, 1)]
        hidden = (hidden[0][:, None, :, None] & hidden[1][:, None, None, :]) & (uniform(0, 1, 1, 1, 1) < 0.35)
        rgb = torch.where(hidden, uniform(0, 1, 3, 1, 1), rgb)
        return self.normalise(rgb.clamp(0, 1))

    def normalise(self, rgb):
        return (rgb - MEAN.to(self.device)[:, None, None]) / STD.to(self.device)[:, None, None]

    def still(self, split):
        """Pixels for evaluation: on white, without augmentation."""
        if split == "page":
            return self.normalise(self.shown[split].float() / 255)
        rgba = self.unpacked(self.shown[split])
        rgb = rgba[:, :3] * rgba[:, 3:] + 1 - rgba[:, 3:]
        return self.normalise(F.interpolate(rgb, (PICTURE_PX, PICTURE_PX), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1))

    # The teachers' targets.

    def teach(self, most=None, within=None, log=print):
        """Computes E5's targets of the short texts, glosses and paragraphs, and MiniLM's vectors of the glosses, on the device.
        `most` texts of each at most, and until `within()` is False: the others are not distilled."""
        from teacher import E5, Bert
        a = self.a
        e5 = Bert(E5.tensors({n[3:]: a.pop(n) for n in list(a) if n.startswith("e5:")}), E5.heads, E5.eps, self.device)
        flat, n = a.pop("e5.low").astype(np.int64) | a.pop("e5.high").astype(np.int64) << 8, a.pop("e5.n")
        rows = np.split(flat, np.cumsum(n.astype(np.int64))[:-1])
        short = len(self.stores["S"].n)
        group, long = a.pop("e5.group"), a.pop("e5.long")
        keep = np.arange(len(rows)) if most is None or most >= len(rows) else np.sort(self.rng.choice(len(rows), most, replace=False))
        size = 8192 if self.device == "cpu" else 1 << 17
        v = e5.embed([rows[i] for i in keep], self.meta["e5 pad"], size, within).float()
        done = v.abs().sum(1) > 0
        g = self.to(group[keep].astype(np.int64))
        mean = torch.zeros(len(self.meta["groups"]), v.shape[1], device=self.device).index_add_(0, g[done], v[done])
        mean /= torch.bincount(g[done], minlength=len(mean)).clamp(min=1)[:, None]
        v = F.normalize((v - mean[g]) @ self.to(a["axes"]), dim=-1).masked_fill(~done[:, None], 0).half()
        done = done.cpu().numpy()
        self.target = {"S": (keep[(keep < short) & done], v[self.to((keep < short) & done)]),
                       "L": (long[keep[(keep >= short) & done] - short], v[self.to((keep >= short) & done)])}
        log(f"E5: {done.sum()} of {len(rows)} texts")
        stored = {n[7:]: torch.from_numpy(a.pop(n).astype(np.float32)) for n in list(a) if n.startswith("minilm:")}
        for n in list(stored):
            if f"minilm/{n}" in a:
                stored[n] *= torch.from_numpy(a.pop(f"minilm/{n}"))[:, None]
        rows = np.split(a.pop("minilm.ids").astype(np.int64), np.cumsum(a.pop("minilm.n").astype(np.int64))[:-1])
        keep = np.arange(len(rows)) if most is None or most >= len(rows) else np.sort(self.rng.choice(len(rows), most, replace=False))
        v = Bert(stored, 12, 1e-12, self.device).embed([rows[i] for i in keep], 0, size, within).float()
        done = (v.abs().sum(1) > 0).cpu().numpy()
        v = v[self.to(done)]
        self.alike = F.normalize(v - v.mean(0), dim=-1)
        self.alike_rows = a["minilm.long"][keep[done]]
        near = [(part @ self.alike.T).topk(min(12, len(v))).indices for part in self.alike.split(2048)]
        self.nearest = torch.cat(near).cpu().numpy()
        log(f"MiniLM: {len(v)} glosses")
