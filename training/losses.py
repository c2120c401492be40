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


@functools.cache
def cuts(lengths, width, device):
    """[lengths, 1, width]: 1 for the numbers that a vector of each length has"""
    return (torch.arange(width, device=device) < torch.tensor(lengths, device=device)[:, None])[:, None].float()


def at_lengths(x, lengths):
    """x [B, width] -> [lengths, B, width]: the unit vectors of its first numbers, zero behind. All lengths in one go:
    a step is thousands of small operations, and starting them is what takes time."""
    return F.normalize(x * cuts(tuple(lengths), x.shape[1], x.device), dim=-1)


@exact
def contrastive(a, b, same=None, lengths=MATRYOSHKA):
    """Symmetric InfoNCE at every length of Matryoshka; `same` [B, B] marks pairs that are no negatives."""
    s = at_lengths(a, lengths) @ at_lengths(b, lengths).mT / TEMPERATURE
    if same is not None:
        s = s.masked_fill(same & ~torch.eye(len(a), dtype=torch.bool, device=a.device), -1e4)
    return ((s.logsumexp(-1) + s.logsumexp(-2)) / 2 - s.diagonal(dim1=-2, dim2=-1)).mean()


@exact
def classified(z, share, meanings):
    """Which of all things is it? share [B, things], meanings [things, 224] unit."""
    lengths = (32, 64, 128, TARGET)
    s = at_lengths(z[:, :TARGET], lengths) @ at_lengths(meanings, lengths).mT / TEMPERATURE
    return (s.logsumexp(-1) - (share * s).sum(-1)).mean()


@exact
def distil(z, t):
    """z [B, H], t [B, 224] unit: the same direction at every length, nearer to the own target than to the others', and
    the same likeness among each other."""
    wide, like = F.pad(t, (0, z.shape[1] - t.shape[1])), t @ t.T
    loss = 1 - (at_lengths(z, MATRYOSHKA) * at_lengths(wide, MATRYOSHKA)).sum(-1).mean()
    zn = F.normalize(z, dim=-1)
    loss = loss + 4 * (zn @ zn.T - like).pow(2).mean()
    s = at_lengths(z[:, :TARGET], (64, TARGET)) @ at_lengths(t, (64, TARGET)).mT / TEMPERATURE
    s = s.masked_fill((like > 0.95).fill_diagonal_(False), -1e4)
    return loss + 0.3 * (s.logsumexp(-1) - s.diagonal(dim1=-2, dim2=-1)).mean()


@exact
def alike(z, t):
    """z [B, H], t [B, 384] unit: the same likeness among each other, above all among the near ones."""
    t = t @ t.T
    own = torch.eye(len(t), dtype=torch.bool, device=t.device)
    zl = at_lengths(z, MATRYOSHKA)
    s = zl @ zl.mT
    wanted = (t / 0.1).masked_fill(own, -1e4).softmax(-1)
    near = F.kl_div((s / 0.1).masked_fill(own, -1e4).log_softmax(-1), wanted.expand_as(s), reduction="sum") / (len(s) * len(t))
    return 20 * (s - t).pow(2).masked_fill(own, 0).mean() + near


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
