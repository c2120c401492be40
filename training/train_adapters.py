"""Trains the three adapters and the multi-vector projector on a frozen base.

usage: TINY_MATERIALS=... python training/train_adapters.py --base RUNS/base/last.pt [--minutes 5 5 4] [--run adapters]
The projector's own weight is trained with the retrieval adapter and frozen for the other two, which have their
low-rank additions to it. What is trained for each task:
  retrieval      short line -> description in eleven languages, term -> gloss, name -> picture; late interaction on the same
  text-matching  both sides with "Query: ": the teachers' likenesses (MiniLM for English, E5 for the rest), names and translations
  code           a function's documentation -> the function without it; late interaction on the same
"""
import argparse
import json
import pathlib
import random

import numpy as np
import torch
import torch.nn.functional as F

from data import PASSAGE, QUERY, Pairs, Pictures, Teacher, Text
from model import MATRYOSHKA, TASKS, Model
from sources import DATA, RUNS
from train import DEBIAN, TEMPERATURE, Evaluation, Run, contrastive, distil, recall


def late_interaction(q, q_mask, d, d_mask):
    """q [B, Tq, P], d [B, Td, P] unit rows -> scores [B, B]: for each token of the query its best of the document, averaged"""
    s = torch.einsum("qtp,dup->qdtu", q, d).masked_fill(d_mask[None, :, None, :] == 0, -1.0).max(-1).values
    return (s * q_mask[:, None]).sum(-1) / q_mask.sum(1)[:, None]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--base", default=str(RUNS / "base/last.pt"))
    p.add_argument("--run", default="adapters")
    p.add_argument("--minutes", type=float, nargs=3, default=[5, 5, 4])
    p.add_argument("--rate", type=float, default=2e-3)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--tasks", nargs="+", default=TASKS)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(2)
    rng = random.Random(2)
    text, teacher, pairs = Text(), Teacher(), Pairs(rng)
    pictures = Pictures(pairs)
    model = Model()
    model.tokens = text.special
    source = RUNS / a.run / "done.pt"
    model.load_state_dict(torch.load(source if source.exists() else a.base, weights_only=False)["model"])
    evaluation = Evaluation(text, pairs, pictures)
    parts = [n for n in teacher.parts if n != "tokens"]
    targets = {n: (teacher.texts(n), torch.from_numpy(teacher.target(n))) for n in parts}
    # The English teacher's likeness, and for each gloss those that it finds nearest: among gloss drawn at random hardly
    # two are alike.
    glosses = json.loads((DATA / "teacher/glosses.minilm.json").read_text())
    likeness = torch.from_numpy(np.load(DATA / "teacher/glosses.minilm.npy").astype(np.float32))
    likeness = F.normalize(likeness - likeness.mean(0), dim=-1)
    nearest = torch.cat([(rows @ likeness.T).topk(8).indices for rows in likeness.split(1000)])

    def same(xs):
        index = {}
        key = torch.tensor([index.setdefault(x, len(index)) for x in xs])
        return key[:, None] == key[None, :]

    for task, minutes in zip(TASKS, a.minutes):
        if task not in a.tasks:
            continue
        for name, parameter in model.named_parameters():
            parameter.requires_grad = (".lora_" in name and name.endswith("." + task)) or (task == "retrieval" and name.startswith("multi_vector_projector.") and "lora" not in name)
        if task != "retrieval":  # the additions begin where retrieval's projector ended
            with torch.no_grad():
                model.multi_vector_projector.lora_A[task].copy_(model.multi_vector_projector.lora_A["retrieval"])
                model.multi_vector_projector.lora_B[task].copy_(model.multi_vector_projector.lora_B["retrieval"])

        def encode(texts, prefix, most):
            ids, mask = text.batch(texts, prefix, most)
            states = model.states(ids, task)
            return (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True), states, mask

        def both(q, d, most, alike=None, prefixes=(QUERY, PASSAGE), part=48):
            zq, sq, mq = encode(q, prefixes[0], 24 if task != "text-matching" else most)
            zd, sd, md = encode(d, prefixes[1], most)
            loss = contrastive(zq.float(), zd.float(), alike)
            scores = late_interaction(model.multi(sq[:part], task), mq[:part], model.multi(sd[:part], task), md[:part]) / TEMPERATURE
            if alike is not None:
                scores = scores.masked_fill(alike[:part, :part] & ~torch.eye(len(scores), dtype=torch.bool), -1e4)
            labels = torch.arange(len(scores))
            return loss + 0.5 * (F.cross_entropy(scores, labels) + F.cross_entropy(scores.T, labels)) / 2

        def seen_and_said():
            pixels, words, entries = pictures.batch(160)
            alike = same([e["thing"] for e in entries]) | same(words)
            return contrastive(model.picture(pixels, task).float(), encode(words, QUERY, 24)[0].float(), alike)

        def retrieval():
            dice = rng.random()
            if dice < 0.25:
                return "pictures", seen_and_said()
            if dice < 0.38:
                return "wordnet", both(*pairs.glosses(128), 40)
            lang = rng.choices(list(DEBIAN), DEBIAN.values())[0]
            return "debian", both(*pairs.descriptions(lang, 112), 56)

        def matching():
            dice = rng.random()
            if dice < 0.08:
                return "pictures", seen_and_said()
            if dice < 0.16:
                q, d, _ = pairs.names(160)
                return "names", both(q, d, 24, same(q) | same(d), (QUERY, QUERY))
            if dice < 0.28:
                return "parallel", both(*pairs.parallel(112), 40, None, (QUERY, QUERY))
            if dice < 0.88:
                anchors = rng.sample(range(len(glosses)), 64)
                rows = list(dict.fromkeys(anchors + [int(nearest[i][rng.randrange(1, 8)]) for i in anchors for _ in range(3)]))
                z = encode([glosses[i] for i in rows], QUERY, 40)[0].float()
                t = likeness[rows] @ likeness[rows].T
                off = ~torch.eye(len(rows), dtype=torch.bool)
                loss = 0
                for d in MATRYOSHKA:
                    zd = F.normalize(z[:, :d], dim=-1)
                    s = zd @ zd.T
                    near = F.kl_div((s / 0.1).masked_fill(~off, -1e4).log_softmax(-1), (t / 0.1).masked_fill(~off, -1e4).softmax(-1), reduction="batchmean")
                    loss = loss + (20 * ((s - t)[off] ** 2).mean() + near) / len(MATRYOSHKA)
                return "likeness", loss
            words, vectors = targets[rng.choice(parts)]
            rows = rng.sample(range(len(words)), min(192, len(words)))
            return "distil", distil(encode([words[i] for i in rows], QUERY, 40)[0].float(), vectors[rows])

        def code():
            return "code", both(*pairs.code(112), 96)

        step = {"retrieval": retrieval, "text-matching": matching, "code": code}[task]
        run = Run(RUNS / a.run / task, minutes, model, a.rate, resume=False)

        @torch.no_grad()
        def measure():
            if task == "text-matching":
                return None
            if task == "retrieval":
                return evaluation(model, task)
            model.eval()
            rows = random.Random(3).sample(pairs.test["code"], 300)
            with torch.autocast("cpu", torch.bfloat16):
                out = {which: recall(model.text(*text.batch([r[1] for r in rows], QUERY, 32), which).float(), model.text(*text.batch([r[2] for r in rows], PASSAGE, 128), which).float())
                       for which in ("retrieval", "code")}
            model.train()
            return out

        run.log(task=task, start=True)
        run.run(lambda: step(), measure, every=10_000)
        torch.save({"model": model.state_dict()}, source)
        if run.stop:
            break


if __name__ == "__main__":
    main()
