"""Packs descriptions of Debian's other releases, of sources that the base has not learnt from, for the retrieval adapter: what
the base has learnt by heart tells an adapter little.

usage: TINY_MATERIALS=... python training/pack_fresh.py      (behind pack.py)
Writes PACK/part-fresh: two stores of texts, X and Y, short and long ones; for each language the pairs `fresh.LANG`, and
`eval.fresh.LANG`, which are not trained on either, to choose by.
"""
import collections
import json
import re

import numpy as np

from data import Text
from pack import LONG, SHORT, Store, flat, write
from prepare_text import debian
from sources import APT_FRESH, DATA, held_out

MOST_OF_A_SOURCE, FEWEST = 4, 1000


def stem(source):
    """A source's name without its version: what is held out stays so as llvm-19 as well."""
    return re.sub(r"[\d.+~-]+", "", source)


def plain(text):
    return re.sub(r"[\W\d_]+", " ", text.lower()).strip()[:150]


def fresh():
    """{language: [(source, short line, long description)]} of sources that are neither trained on in this language nor held
    out, by name or by text"""
    texts = json.loads((DATA / "texts.json").read_text())
    kinds = [k for k in texts["train"] if k.startswith("debian.")]
    held = [row for k in kinds for row in texts["test"][k]]
    held_stems, held_texts = {stem(row[0]) for row in held}, {plain(t) for row in held for t in row[1:]}
    found = {}
    for lang, rows in debian(APT_FRESH, "").items():
        known = texts["train"]["debian." + lang]
        sources, said = {row[0] for row in known}, {plain(t) for row in known for t in row[1:]}
        of = collections.Counter()
        found[lang] = []
        for row in rows:
            source, both = row[0], {plain(t) for t in row[1:]}
            if held_out("debian:" + source, 10) or stem(source) in held_stems or both & held_texts or source in sources or both & said:
                continue
            of[source] += 1
            if of[source] <= MOST_OF_A_SOURCE:
                found[lang].append(row)
    return {lang: rows for lang, rows in found.items() if len(rows) >= FEWEST}


if __name__ == "__main__":
    out, X, Y, text, number = {}, Store(SHORT), Store(LONG), Text(), {}
    for lang, rows in fresh().items():
        chosen = [[row for row in rows if held_out("fresh:" + row[0], 10) == apart] for apart in (False, True)]
        for kind, part in zip((f"fresh.{lang}", f"eval.fresh.{lang}"), chosen):
            short, long = X.many([r[1] for r in part]), Y.many([r[2] for r in part])
            if kind.startswith("eval"):
                first = np.unique([r[0] for r in part], return_index=True)[1]
                out[kind] = np.stack([short, long])[:, first]
            else:
                out |= {f"{kind}.short": short, f"{kind}.long": long, f"{kind}.source": np.array([number.setdefault(r[0], len(number)) for r in part], np.int32)}
        print(lang, len(chosen[0]), out[f"eval.fresh.{lang}"].shape[1], flush=True)
    for name, store in (("X", X), ("Y", Y)):
        out[f"{name}.ids"], out[f"{name}.n"] = flat(text.behind(list(store.place), store.most), np.uint16)
    write(out, ["fresh"])
