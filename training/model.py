"""The model: jina-embeddings-v4's architecture (Qwen2.5-VL decoder, window-attention tower, three LoRA
adapters, multi-vector projector) with small numbers, and with the published names of its tensors.

B = texts or pictures, T = tokens, H = hidden size, D = hidden size of the tower, P = patches of a picture.
"""
import functools
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

H, LAYERS, HEADS, KV_HEADS, HEAD_DIM, MLP = 256, 2, 4, 2, 64, 512
MROPE = [8, 12, 12]
THETA = 1e6
BPE_TOKENS, VOCAB_ROWS = 32000, 32032
PROJECTOR = 64
MATRYOSHKA = [32, 64, 128, 256]
TARGET = 224                        # of the 256 numbers: those that a teacher's target has
D, DEPTH, VISION_HEADS, VISION_MLP = 128, 4, 4, 256
PICTURE_PX, PATCH = 84, 14
GRID = PICTURE_PX // PATCH          # patches along a side: 6
TASKS = ["retrieval", "text-matching", "code"]
LORA_R = 8
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])


class Stored(torch.autograd.Function):
    """w [.., K] as `jina-embed convert` stores and reads it, in blocks of 32 along K ("q8_0", "q4_0": src/gguf/quantize/plain.rs);
    the gradient passes as if nothing had happened. test_stored.py holds it against `convert`."""

    @staticmethod
    def forward(_, w, kind):
        block = w.float().reshape(-1, 32)
        if kind == "q8_0":
            d = block.abs().amax(1, keepdim=True) / 127
        else:  # the number of largest magnitude becomes -8 d
            d = block.gather(1, block.abs().argmax(1, keepdim=True)) / -8
        scaled = block * torch.where(d == 0, 0.0, 1 / d)
        if kind == "q8_0":
            whole = scaled.trunc()
            q = whole + scaled.sign() * ((scaled - whole).abs() >= 0.5)
        else:
            q = (scaled + 8.5).trunc().clamp(0, 15) - 8
        return (q * d.half().float()).view(w.shape)

    @staticmethod
    def backward(_, gradient):
        return gradient, None


class Held:
    """Of a module with a `weight`: during a step it may hold what that weight would be when stored."""
    held, kept = None, (None, None)

    def hold(self, kind):
        if kind is None or self.weight.requires_grad:
            self.held = kind and self.rounded(kind)
            return
        now = (kind, self.weight._version)
        if self.kept[0] != now:  # a frozen weight is rounded once
            self.kept = now, self.rounded(kind)
        self.held = self.kept[1]

    def rounded(self, kind):
        w = Stored.apply(self.weight, kind)
        return w if isinstance(self, nn.Embedding) else lowered(w)

    def now(self):
        return self.weight if self.held is None else self.held


class Matrix(Held, nn.Linear):
    def forward(self, x):
        return F.linear(x, self.now(), self.bias)


class Table(Held, nn.Embedding):
    def forward(self, ids):
        return F.embedding(ids, self.now())


def lowered(x):
    """In the type that the products under autocast have, once instead of before each of them."""
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x


class RMSNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return F.rms_norm(x.float(), self.weight.shape, self.weight, 1e-6)


class Linear(Held, nn.Linear):
    """A linear with one low-rank addition for every task; `task` None is the base alone."""

    def __init__(self, inputs, outputs, bias=False, lora=True):
        super().__init__(inputs, outputs, bias=bias)
        if lora:
            self.lora_A = nn.ParameterDict({t: nn.Parameter(torch.randn(LORA_R, inputs) / math.sqrt(inputs)) for t in TASKS})
            self.lora_B = nn.ParameterDict({t: nn.Parameter(torch.zeros(outputs, LORA_R)) for t in TASKS})

    def forward(self, x, task=None):
        y = F.linear(x, self.now(), self.bias)
        return y if task is None else y + F.linear(F.linear(x, self.lora_A[task]), self.lora_B[task])


def rotate(x, cos, sin):
    """x [B, heads, T, d], cos and sin [T, d] or [B, 1, T, d]."""
    first, second = x.chunk(2, -1)
    return x * cos.to(x.dtype) + torch.cat([-second, first], -1) * sin.to(x.dtype)


def attend(q, k, v, causal):
    """Written out for a CPU: in bf16 this is five times as fast there as scaled_dot_product_attention."""
    if q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    s = torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(q.shape[-1])
    if causal:
        s = s + torch.full(s.shape[-2:], -1e30, dtype=v.dtype).triu(1)
    return torch.matmul(s.softmax(-1).to(v.dtype), v)


def rotary(positions):
    """positions [3, T] (time, height, width) -> cos, sin [T, HEAD_DIM]."""
    inverse = THETA ** (-torch.arange(0, HEAD_DIM, 2, device=positions.device).float() / HEAD_DIM)
    angle = torch.cat([positions[i: i + 1].expand(n, -1) for i, n in enumerate(MROPE)]).float().T * inverse
    angle = torch.cat([angle, angle], -1)
    return angle.cos(), angle.sin()


@functools.cache
def rotary_of_text(length, device):
    return rotary(torch.arange(length, device=device).expand(3, -1))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj = Linear(H, HEADS * HEAD_DIM, bias=True)
        self.k_proj = Linear(H, KV_HEADS * HEAD_DIM, bias=True)
        self.v_proj = Linear(H, KV_HEADS * HEAD_DIM, bias=True)
        self.o_proj = Linear(HEADS * HEAD_DIM, H)

    def forward(self, x, rotary, task):
        B, T, _ = x.shape
        three, groups = (self.q_proj, self.k_proj, self.v_proj), HEADS // KV_HEADS
        if task is None:
            y = F.linear(x, torch.cat([m.now() for m in three]), torch.cat([m.bias for m in three]))
        else:
            y = torch.cat([m(x, task) for m in three], -1)
        qk, v = y.view(B, T, HEADS + 2 * KV_HEADS, HEAD_DIM).transpose(1, 2).split([HEADS + KV_HEADS, KV_HEADS], 1)
        q, k = rotate(qk, *rotary).split([HEADS, KV_HEADS], 1)
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        # Padding is on the right: under the causal mask no token that counts ever sees it.
        a = attend(q.to(v.dtype), k.to(v.dtype), v, True)
        return self.o_proj(a.transpose(1, 2).reshape(B, T, -1), task)


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = Linear(H, MLP), Linear(H, MLP), Linear(MLP, H)

    def forward(self, x, task):
        return self.down_proj(F.silu(self.gate_proj(x, task)) * self.up_proj(x, task), task)


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = RMSNorm(H), RMSNorm(H)
        self.self_attn, self.mlp = Attention(), Mlp()

    def forward(self, x, rotary, task):
        x = x + self.self_attn(lowered(self.input_layernorm(x)), rotary, task)
        return x + self.mlp(lowered(self.post_attention_layernorm(x)), task)


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed_tokens = Table(VOCAB_ROWS, H)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = RMSNorm(H)

    def forward(self, x, turned, task):
        """x [B, T, H], cos and sin of the positions -> states after the last norm [B, T, H]"""
        for layer in self.layers:
            x = layer(x, turned, task)
        return self.norm(x)


class VisionAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.proj = Matrix(D, 3 * D), Matrix(D, D)

    def forward(self, x, rotary):
        B, P, _ = x.shape
        qkv = self.qkv(x).view(B, P, 3, VISION_HEADS, -1).permute(2, 0, 3, 1, 4)
        (q, k), v = rotate(qkv[:2], *rotary), qkv[2]
        a = attend(q.to(v.dtype), k.to(v.dtype), v, False)
        return self.proj(a.transpose(1, 2).reshape(B, P, D))


class VisionMlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = Matrix(D, VISION_MLP), Matrix(D, VISION_MLP), Matrix(VISION_MLP, D)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2, self.attn, self.mlp = RMSNorm(D), RMSNorm(D), VisionAttention(), VisionMlp()

    def forward(self, x, rotary):
        x = x + self.attn(lowered(self.norm1(x)), rotary)
        return x + self.mlp(lowered(self.norm2(x)))


class PatchEmbed(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(3 * PATCH * PATCH, D, bias=False)  # both moments of a picture are equal: see `publish.py`


class Merger(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_q = RMSNorm(D)
        self.mlp = nn.Sequential(Matrix(4 * D, 4 * D), nn.GELU(), Matrix(4 * D, H))


class Tower(nn.Module):
    """A picture of 84 x 84 px lies within one window, so that window attention is full attention here."""

    def __init__(self):
        super().__init__()
        self.patch_embed, self.blocks, self.merger = PatchEmbed(), nn.ModuleList(Block() for _ in range(DEPTH)), Merger()
        rows = torch.arange(GRID).view(GRID // 2, 1, 2, 1).expand(GRID // 2, GRID // 2, 2, 2)
        columns = torch.arange(GRID).view(1, GRID // 2, 1, 2).expand(GRID // 2, GRID // 2, 2, 2)
        width = D // VISION_HEADS
        inverse = 10000.0 ** (-torch.arange(0, width // 2, 2).float() / (width // 2))
        angle = torch.cat([rows.reshape(-1, 1) * inverse, columns.reshape(-1, 1) * inverse], -1)
        angle = torch.cat([angle, angle], -1)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def forward(self, pixels):
        """pixels [B, 3, 84, 84], normalised -> [B, P / 4, H]; the four patches of a 2 x 2 block are adjacent."""
        B, g = len(pixels), GRID // 2
        x = pixels.view(B, 3, g, 2, PATCH, g, 2, PATCH).permute(0, 2, 5, 3, 6, 1, 4, 7).reshape(B, GRID * GRID, -1)
        x = self.patch_embed.proj(x)
        for block in self.blocks:
            x = block(x, (self.cos, self.sin))
        return self.merger.mlp(self.merger.ln_q(x).view(B, g * g, 4 * D))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.model, self.visual = Decoder(), Tower()
        self.multi_vector_projector = Linear(H, PROJECTOR, bias=True)
        self.register_buffer("frame", torch.zeros(5, dtype=torch.long), persistent=False)  # the tokens around a picture: set by `frame_of`
        n, g = GRID * GRID // 4, GRID // 2
        grid = torch.stack([torch.zeros(n), torch.arange(n) // g, torch.arange(n) % g]) + 4
        self.register_buffer("positions", torch.cat([torch.arange(4).expand(3, -1), grid, torch.full((3, 1), 4 + g)], 1), persistent=False)

    def frame_of(self, tokens):
        self.frame.copy_(torch.tensor([tokens[k] for k in ("im_start", "user", "newline", "vision_start", "vision_end")]))

    def start(self):
        """Residual branches begin as zero: the untrained decoder is the mean of its token vectors."""
        for name, p in self.named_parameters():
            if "lora" in name:
                continue
            if name.endswith(("o_proj.weight", "down_proj.weight", "attn.proj.weight")):
                nn.init.zeros_(p)
            elif "embed_tokens" not in name and p.dim() == 2:
                nn.init.normal_(p, std=1 / math.sqrt(p.shape[1]))
            elif name.endswith("bias"):
                nn.init.zeros_(p)

    def store(self, text=None, tower=None):
        """From here on the matrices are as `convert --dtype TEXT --vision-dtype TOWER` stores them: "q8_0", "q4_0", or None as
        they are. The patch kernels stay in f32 there, the projector and the adapters in f16. A tensor that is trained is
        rounded at this moment: call it before every step."""
        for part, kind in ((self.model, text), (self.visual, tower)):
            for module in part.modules():
                if isinstance(module, Held):
                    module.hold(kind)

    @torch.no_grad()
    def whiten(self, pixels):
        """The patch kernels begin as the principal components of patches, each of unit variance. Random kernels see little
        but the ground behind the drawing, which is most of a patch's variance."""
        g = GRID
        x = pixels.view(len(pixels), 3, g, PATCH, g, PATCH).permute(0, 2, 4, 1, 3, 5).reshape(-1, 3 * PATCH * PATCH)
        x = x - x.mean(0)
        values, vectors = torch.linalg.eigh(x.T @ x / len(x))
        self.visual.patch_embed.proj.weight.copy_((vectors[:, -D:] / (values[-D:] + 0.02).sqrt()).T)

    def states(self, ids, task=None, drop=0.0):
        """ids [B, T] -> [B, T, H]; a share `drop` of the token vectors is left out."""
        x = self.model.embed_tokens(ids)
        if drop:
            x = x * (torch.rand(ids.shape, device=ids.device) >= drop)[..., None]
        return self.model(x, rotary_of_text(ids.shape[1], ids.device), task)

    def text(self, ids, mask, task=None):
        """-> pooled states [B, H], not normalised; mask [B, T] is 1 for tokens."""
        s = self.states(ids, task)
        return (s * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)

    def picture_states(self, pixels, task=None):
        """-> states of vision_start, the picture's tokens and vision_end [B, n + 2, H]. What stands behind
        vision_end in the prompt is not computed: the mask is causal and pooling ends there."""
        seen = self.visual(pixels)
        B, n, _ = seen.shape
        head, tail = self.model.embed_tokens(self.frame).split([4, 1])
        x = torch.cat([head.expand(B, -1, -1), seen.to(head.dtype), tail.expand(B, -1, -1)], 1)
        return self.model(x, rotary(self.positions), task)[:, 3:]

    def picture(self, pixels, task=None):
        return self.picture_states(pixels, task).mean(1)

    def multi(self, states, task):
        return F.normalize(self.multi_vector_projector(states, task).float(), dim=-1)
