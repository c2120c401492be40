"""The teachers' vectors of every text that is distilled: computed once, kept in DATA/teacher/.

usage: TINY_MATERIALS=... python training/prepare_teacher.py
Each part is `NAME.json` (the texts) with `NAME.npy` (f16 [N, 384], unit vectors); parts that exist are kept.
"""
import json
import random
import time

import numpy as np
import torch
from tokenizers import Tokenizer

from sources import DATA, LANGUAGES
from teacher import E5, MiniLM, embed

OUT = DATA / "teacher"
OUT.mkdir(parents=True, exist_ok=True)
torch.set_num_threads(2)


def part(name, teacher, texts, **options):
    if (OUT / f"{name}.npy").exists():
        return
    started = time.time()
    np.save(OUT / f"{name}.npy", embed(teacher, texts, **options))
    (OUT / f"{name}.json").write_text(json.dumps(texts, ensure_ascii=False))
    print(name, len(texts), f"{time.time() - started:.0f} s", flush=True)


if __name__ == "__main__":
    texts = json.loads((DATA / "texts.json").read_text())
    train, rng = texts["train"], random.Random(11)
    e5 = E5()
    tok = Tokenizer.from_file(str(DATA / "tokenizer.json"))
    tokens = [tok.decode([i]) for i in range(32000)]
    part("tokens", e5, [t if "\ufffd" not in t and t.strip() else "" for t in tokens])
    for lang in LANGUAGES:
        part("names." + lang, e5, [n[lang][0] for n in texts["emoji"].values() if lang in n])
    lines = sorted({row[1] for row in train["debian.en"]})
    rng.shuffle(lines)
    glosses = [f"{a}: {b}" for a, b in rng.sample(train["wordnet"], 14000)]
    part("debian.en", e5, lines[:16000], most=40)
    part("wordnet", e5, glosses, most=40)
    part("glosses.minilm", MiniLM(), [b for _, b in rng.sample(train["wordnet"], 14000)], most=40)
