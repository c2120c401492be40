"""What a step is to make small: contrast at every length of Matryoshka, classification by the teacher's vectors, distillation,
likeness, late interaction; and the recall that is looked at meanwhile.

B = rows of a batch, H = hidden size.
"""
import functools

import torch
import torch.nn.functional as F

from model import MATRYOSHKA, TARGET

TEMPERATURE = 0.05


def exact(loss):
    """Likenesses are divided by a small temperature: bf16 is too coarse for them."""
    @functools.wraps(loss)
    def in_f32(z, *rest, **named):
        with torch.autocast(z.device.type, enabled=False):
            return loss(z, *rest, **named)
    return in_f32


@exact
def contrastive(a, b, same=None, lengths=MATRYOSHKA):
    """Symmetric InfoNCE at every length of Matryoshka; `same` [B, B] marks pairs that are no negatives."""
    loss, labels = 0, torch.arange(len(a), device=a.device)
    if same is not None:
        same = same & ~torch.eye(len(a), dtype=torch.bool, device=a.device)
    for d in lengths:
        s = F.normalize(a[:, :d], dim=-1) @ F.normalize(b[:, :d], dim=-1).T / TEMPERATURE
        if same is not None:
            s = s.masked_fill(same, -1e4)
        loss = loss + (F.cross_entropy(s, labels) + F.cross_entropy(s.T, labels)) / 2
    return loss / len(lengths)


@exact
def classified(z, share, meanings):
    """Which of all emoji is it? share [B, emoji], meanings [emoji, 224] unit."""
    loss = 0
    for d in (32, 64, 128, TARGET):
        s = F.normalize(z[:, :d], dim=-1) @ F.normalize(meanings[:, :d], dim=-1).T / TEMPERATURE
        loss = loss - (share * s.log_softmax(-1)).sum(1).mean() / 4
    return loss


@exact
def distil(z, t):
    """z [B, H], t [B, 224] unit: the same direction at every length, nearer to the own target than to the others', and
    the same likeness among each other."""
    loss, wide = 0, F.pad(t, (0, z.shape[1] - t.shape[1]))
    for d in MATRYOSHKA:
        loss = loss + (1 - F.cosine_similarity(z[:, :d], wide[:, :d], dim=-1)).mean() / len(MATRYOSHKA)
    zn = F.normalize(z, dim=-1)
    like = t @ t.T
    loss = loss + 4 * (zn @ zn.T - like).pow(2).mean()
    labels = torch.arange(len(z), device=z.device)
    for d in (64, TARGET):
        s = F.normalize(z[:, :d], dim=-1) @ F.normalize(t[:, :d], dim=-1).T / TEMPERATURE
        twins = (like > 0.95).fill_diagonal_(False)
        loss = loss + 0.15 * F.cross_entropy(s.masked_fill(twins, -1e4), labels)
    return loss


@exact
def alike(z, t):
    """z [B, H], t [B, 384] unit: the same likeness among each other, above all among the near ones."""
    t = t @ t.T
    own = torch.eye(len(t), dtype=torch.bool, device=t.device)
    loss = 0
    for d in MATRYOSHKA:
        zd = F.normalize(z[:, :d], dim=-1)
        s = zd @ zd.T
        near = F.kl_div((s / 0.1).masked_fill(own, -1e4).log_softmax(-1), (t / 0.1).masked_fill(own, -1e4).softmax(-1), reduction="batchmean")
        loss = loss + (20 * (s - t).pow(2).masked_fill(own, 0).mean() + near) / len(MATRYOSHKA)
    return loss


@exact
def late_interaction(q, q_mask, d, d_mask):
    """q [B, Tq, P], d [B, Td, P] unit rows -> scores [B, B]: for each token of the query its best of the document, averaged"""
    s = torch.einsum("qtp,dup->qdtu", q, d).masked_fill(d_mask[None, :, None, :] == 0, -1.0).max(-1).values
    return (s * q_mask[:, None]).sum(-1) / q_mask.sum(1)[:, None]


def recall(queries, documents, at=(1, 10)):
    """Share of queries i whose document i is among the first."""
    s = F.normalize(queries, dim=-1) @ F.normalize(documents, dim=-1).T
    rank = (s > s.diagonal()[:, None]).sum(1)
    return [round((rank < k).float().mean().item(), 3) for k in at]
