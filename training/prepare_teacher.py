"""The multilingual teacher's vectors of the tokens and of the names of emoji and stamps: the start of the token vectors, the axes of
the target space, and what each emoji means. Computed once, kept in DATA/teacher/; those of all other texts are computed by
train.py where it runs.

usage: TINY_MATERIALS=... python training/prepare_teacher.py
Each part is `NAME.json` (the texts) with `NAME.npy` (f16 [N, 384], unit vectors); parts that exist are kept.
"""
import json
import time

import numpy as np
import torch
from tokenizers import Tokenizer

from data import stamps
from sources import DATA, LANGUAGES
from teacher import E5, embed

OUT = DATA / "teacher"
OUT.mkdir(parents=True, exist_ok=True)
torch.set_num_threads(2)


def part(name, teacher, texts):
    if (OUT / f"{name}.npy").exists():
        return
    started = time.time()
    np.save(OUT / f"{name}.npy", embed(teacher, texts))
    (OUT / f"{name}.json").write_text(json.dumps(texts, ensure_ascii=False))
    print(name, len(texts), f"{time.time() - started:.0f} s", flush=True)


if __name__ == "__main__":
    emoji = json.loads((DATA / "texts.json").read_text())["emoji"]
    e5 = E5()
    tok = Tokenizer.from_file(str(DATA / "tokenizer.json"))
    tokens = [tok.decode([i]) for i in range(32000)]
    part("tokens", e5, [t if "\ufffd" not in t and t.strip() else "" for t in tokens])
    for lang in LANGUAGES:
        part("names." + lang, e5, [n[lang][0] for n in emoji.values() if lang in n])
        part("stamps." + lang, e5, [n[lang][0] for n in stamps().values() if lang in n])
