"""The figures of the model card, computed with `jina-embed encode` on converted model directories.

usage: TINY_MATERIALS=... python training/evaluate.py --jina-embed PATH --model models/tiny [--published DIR] [--out FILE.json]

--published DIR is what publish.py wrote: it is converted to f32, f16, q8_0 and q4_0 (the tower in q8_0, as `convert` does it unless
told otherwise, and in q4_0) and each is measured. Everything is held out: see
prepare_text.py and prepare_pictures.py. R@k: share of queries whose own document is among the first k.
"""
import argparse
import json
import pathlib
import random
import subprocess
import tempfile

import numpy as np
from PIL import Image

from data import DECLARATION_TRAINED
from prepare_pictures import thing
from sources import DATA, HELD_OUT_LANGUAGES, LANGUAGES

DIMENSIONS = [32, 64, 128, 256]


class Encoder:
    def __init__(self, command, model):
        self.command, self.model = command, str(model)

    def __call__(self, items, task, *options):
        lines = "\n".join(json.dumps(i, ensure_ascii=False) for i in items)
        run = subprocess.run([self.command, "encode", "--model", self.model, "--task", task, "--device", "cpu", *options],
                             input=lines, capture_output=True, text=True)
        if run.returncode:
            raise SystemExit(run.stderr)
        rows = [json.loads(line) for line in run.stdout.strip().split("\n")]
        key = "embeddings" if "--multivector" in options else "embedding"
        return [np.array(r[key], np.float32) for r in rows] if "embeddings" == key else np.array([r[key] for r in rows], np.float32)

    def texts(self, texts, task, *options):
        return self([{"text": t} for t in texts], task, *options)


class As:
    """An encoder whose texts are all taken for one task's."""

    def __init__(self, encode, task):
        self.encode, self.task = encode, task

    def texts(self, texts, _task):
        return self.encode.texts(texts, self.task)


def ranks(scores):
    """scores [N, N] -> place of each query's own document, 0 the first"""
    return (scores > np.diagonal(scores)[:, None]).sum(1)


def figures(scores):
    return of_ranks(ranks(scores))


def of_ranks(r):
    return {"R@1": round(float((r < 1).mean()), 3), "R@10": round(float((r < 10).mean()), 3),
            "nDCG@10": round(float(gains(r).mean()), 3), "n": len(r)}


def gains(r):
    return np.where(r < 10, 1 / np.log2(r + 2), 0)


def ahead(a, b):
    """How far places `a` are ahead of places `b` of the same queries, in nDCG@10, and half of the interval of 95 %"""
    d = gains(a) - gains(b)
    return [round(float(d.mean()), 4), round(float(1.96 * d.std() / np.sqrt(len(d))), 4)]


def descriptions(test, lang, most=600):
    rows, seen = [], set()
    for row in test["debian." + lang]:
        if row[0] not in seen:
            seen.add(row[0])
            rows.append(row)
    random.Random(17).shuffle(rows)
    return rows[:most]


def shown(entries, names, split, most=200):
    """One drawing for each held-out thing that has a name in English."""
    rows, seen = [], set()
    order = [i for i, e in enumerate(entries) if e["split"] == split and e["set"] != "openclipart"]
    random.Random(19).shuffle(order)
    for i in order:
        e = entries[i]
        char = e["char"] and (e["char"] if e["char"] in names else e["char"].replace("\ufe0f", ""))
        if char in names and "en" in names[char] and thing(e["name"]) not in seen:
            seen.add(thing(e["name"]))
            rows.append((i, char))
    return rows[:most]


def in_languages(encode, rows, names, languages):
    """{language: (places among `rows` of those that are named in it, vectors of their names)}"""
    found = {}
    for lang in languages:
        said = [(i, names[c][lang][0]) for i, (_, c) in enumerate(rows) if lang in names[c]]
        if said:
            found[lang] = [i for i, _ in said], encode.texts([n for _, n in said], "retrieval.query")
    return found


def together(said, z):
    """Places of the pictures `z` under all names of all languages, each language among the pictures that it names."""
    return np.concatenate([ranks(t @ z[of].T) for of, t in said.values()])


def spearman(a, b):
    order = lambda x: np.argsort(np.argsort(x)).astype(float)
    return round(float(np.corrcoef(order(a), order(b))[0, 1]), 3)


def likeness(encode, test, teacher_name):
    """Spearman's correlation of our likeness with a teacher's over pairs of held-out glosses, near and far ones alike"""
    from teacher import E5, MiniLM, embed
    texts = [r[1] for r in random.Random(23).sample(test["wordnet"], 600)]
    v = embed(MiniLM() if teacher_name == "MiniLM" else E5(), texts).astype(np.float32)
    v -= v.mean(0)
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    s = v @ v.T
    rng = np.random.default_rng(29)
    pairs = set()
    for i in range(len(texts)):
        order = np.argsort(-s[i])
        for j in [order[1], order[2], order[5], order[20], rng.integers(len(texts)), rng.integers(len(texts))]:
            if i != j:
                pairs.add((min(i, int(j)), max(i, int(j))))
    left, right = np.array(sorted(pairs)).T
    z = encode.texts(texts, "text-matching")
    return {"spearman": spearman((z[left] * z[right]).sum(1), s[left, right]), "pairs": len(left)}


def maxsim(queries, documents):
    out = np.zeros((len(queries), len(documents)), np.float32)
    for j, d in enumerate(documents):
        for i, q in enumerate(queries):
            out[i, j] = (q @ d.T).max(1).sum()
    return out


MULTI = ("en", "de", "fr", "ja")
ADAPTERS = (("retrieval", "retrieval.query", "retrieval.passage"), ("text-matching", "text-matching", "text-matching"), ("code", "code.query", "code.passage"))


def multi_places(encode, pairs, left, right, most=300):
    """Places of descriptions under their lines by late interaction, for each of the languages MULTI."""
    places = []
    for lang in MULTI:
        rows = pairs[lang][0][:most]
        places.append(ranks(maxsim(encode.texts([r[1] for r in rows], left, "--multivector"), encode.texts([r[2] for r in rows], right, "--multivector"))))
    return places


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--jina-embed", default="jina-embed")
    p.add_argument("--model", default="models/tiny")
    p.add_argument("--published")
    p.add_argument("--out")
    a = p.parse_args()
    texts = json.loads((DATA / "texts.json").read_text())
    test, names = texts["test"], texts["emoji"]
    stamps = json.loads((DATA / "stamps.json").read_text())
    names = names | stamps["named"]
    entries = json.loads((DATA / "pictures.json").read_text()) + stamps["pictures"]
    pixels = [*np.load(DATA / "pictures.npy", mmap_mode="r"), *np.load(DATA / "stamps.npy")]
    encode = Encoder(a.jina_embed, a.model)
    out = {"model": json.loads(pathlib.Path(a.model, "model.json").read_text()).get("space")}

    out["text retrieval"], pairs = {}, {}
    for lang in ("en", "de", "fr", "it", "ja", "pt", "ko", "pl", "ru"):
        rows = descriptions(test, lang)
        q, d = encode.texts([r[1] for r in rows], "retrieval.query"), encode.texts([r[2] for r in rows], "retrieval.passage")
        out["text retrieval"][lang] = figures(q @ d.T)
        pairs[lang] = rows, q, d
    rows, q, d = english = pairs["en"]

    cut = lambda v, n: v[:, :n] / np.linalg.norm(v[:, :n], axis=1, keepdims=True)
    out["Matryoshka, text retrieval en"] = {n: figures(cut(q, n) @ cut(d, n).T) for n in DIMENSIONS}
    single = [ranks(q[:300] @ d[:300].T) for _, q, d in (pairs[lang] for lang in MULTI)]
    multi = multi_places(encode, pairs, "retrieval.query", "retrieval.passage")
    out["multi-vector, text retrieval en"] = {"single": of_ranks(single[0]), "multi": of_ranks(multi[0])}
    out["multi-vector, text retrieval en de fr ja together"] = {"single": of_ranks(np.concatenate(single)), "multi": of_ranks(np.concatenate(multi))}

    out["terms to glosses en"] = {}
    glosses = random.Random(31).sample(test["wordnet"], 600)
    out["terms to glosses en"] = figures(encode.texts([r[0] for r in glosses], "retrieval.query") @ encode.texts([r[1] for r in glosses], "retrieval.passage").T)
    out["declaration, language to English (paragraphs not trained on)"] = {}
    whole = {k: v for k, v in texts["declaration"].items() if len(v) == 60}
    for lang in whole:
        if lang != "en":
            x, y = (encode.texts(whole[k][DECLARATION_TRAINED:], "text-matching") for k in (lang, "en"))
            out["declaration, language to English (paragraphs not trained on)"][lang] = {k: v for k, v in figures(x @ y.T).items() if k in ("R@1", "n")}
    out["likeness to the teachers"] = {t: likeness(encode, test, t) for t in ("MiniLM", "E5")}

    with tempfile.TemporaryDirectory() as folder:
        kinds = {}
        for split in ("drawing", "style", "thing", "photo", "stamp"):
            rows = shown(entries, names, split)
            items = []
            for i, _ in rows:
                picture = Image.new("RGB", (96, 96), (255, 255, 255))
                drawn = Image.fromarray(pixels[i])
                picture.paste(drawn, mask=drawn.getchannel("A"))
                picture.save(f"{folder}/{i}.png")
                items.append({"image": f"{folder}/{i}.png"})
            kinds[split] = rows, items
        measured = {}
        for split, (rows, items) in kinds.items():
            z = encode(items, "retrieval.passage")
            measured[split] = {}
            for lang, (of, t) in in_languages(encode, rows, names, ["en", "de", "fr", "es", "ja", "zh", "ru", "ar", *HELD_OUT_LANGUAGES]).items():
                s = t @ z[of].T
                measured[split][lang] = {"text to picture": figures(s), "picture to text": figures(s.T)}
            if split == "drawing":
                t = encode.texts([names[c]["en"][0] for _, c in rows], "retrieval.query")
                out["Matryoshka, text to picture en"] = {n: figures(cut(t, n) @ cut(z, n).T) for n in DIMENSIONS}
                keep = rows, items
        out["pictures"] = measured

        code = random.Random(37).sample(test["code"], 400)
        english_rows = english[0][:400]
        out["adapters (rows: task measured, columns: adapter used)"] = table = {}
        table["retrieval: short line to description, R@1"] = {}
        table["retrieval: the same in all nine languages together, nDCG@10"] = {}
        table["retrieval: the same by multi-vector, four languages, nDCG@10"] = {}
        table["retrieval: term to gloss, nDCG@10"] = {}
        table["retrieval: name to drawing, 23 languages, nDCG@10"] = {}
        table["code: documentation to function, R@1"] = {}
        table["text-matching: likeness to MiniLM, Spearman"] = {}
        kept = {}
        for name, left, right in ADAPTERS:
            s = encode.texts([r[1] for r in english_rows], left) @ encode.texts([r[2] for r in english_rows], right).T
            table["retrieval: short line to description, R@1"][name] = figures(s)["R@1"]
            places = []
            for lang in out["text retrieval"]:
                rows = pairs[lang][0]
                places.append(ranks(encode.texts([r[1] for r in rows], left) @ encode.texts([r[2] for r in rows], right).T))
            places = np.concatenate(places)
            kept["descriptions", name] = places
            table["retrieval: the same in all nine languages together, nDCG@10"][name] = round(float(gains(places).mean()), 3)
            kept["descriptions by multi-vector", name] = places = np.concatenate(multi if name == "retrieval" else multi_places(encode, pairs, left, right))
            table["retrieval: the same by multi-vector, four languages, nDCG@10"][name] = round(float(gains(places).mean()), 3)
            s = encode.texts([r[0] for r in glosses], left) @ encode.texts([r[1] for r in glosses], right).T
            kept["glosses", name] = ranks(s)
            table["retrieval: term to gloss, nDCG@10"][name] = figures(s)["nDCG@10"]
            kept["names of drawings", name] = places = together(in_languages(As(encode, left), keep[0], names, LANGUAGES), encode(keep[1], right))
            table["retrieval: name to drawing, 23 languages, nDCG@10"][name] = round(float(gains(places).mean()), 3)
            s = encode.texts([r[1] for r in code], left) @ encode.texts([r[2] for r in code], right).T
            kept["code", name] = ranks(s)
            table["code: documentation to function, R@1"][name] = figures(s)["R@1"]
            # Both sides as this task's query.
            table["text-matching: likeness to MiniLM, Spearman"][name] = likeness(As(encode, left), test, "MiniLM")["spearman"]

        out["ahead of the next adapter at its own task, nDCG@10 (half of the interval of 95 %)"] = {
            what: min((ahead(kept[what, own], kept[what, other]) for other in table["code: documentation to function, R@1"] if other != own), key=lambda d: d[0])
            for what, own in (("descriptions", "retrieval"), ("descriptions by multi-vector", "retrieval"), ("glosses", "retrieval"), ("names of drawings", "retrieval"), ("code", "code"))}
        if a.published:
            out["stored as"] = {}
            base = None
            for dtype, tower in (("f32", "f32"), ("f16", "f16"), ("q8_0", "q8_0"), ("q4_0", "q8_0"), ("q4_0", "q4_0")):
                stored = dtype if tower == dtype else f"{dtype}, tower {tower}"
                to = f"{folder}/{dtype}-{tower}"
                subprocess.run([a.jina_embed, "convert", "--from", a.published, "--to", to, "--dtype", dtype, "--vision-dtype", tower], check=True, capture_output=True)
                e = Encoder(a.jina_embed, to)
                q, d = e.texts([r[1] for r in english[0]], "retrieval.query"), e.texts([r[2] for r in english[0]], "retrieval.passage")
                places = [ranks(q @ d.T)]
                for lang in [k for k in pairs if k != "en"]:
                    x = e.texts([r[1] for r in pairs[lang][0]], "retrieval.query")
                    places.append(ranks(x @ e.texts([r[2] for r in pairs[lang][0]], "retrieval.passage").T))
                z, said = e(keep[1], "retrieval.passage"), in_languages(e, keep[0], names, LANGUAGES)
                t = said["en"][1]
                base = base or (q, d, z)
                out["stored as"][stored] = {
                    "bytes": sum(f.stat().st_size for f in pathlib.Path(to).iterdir()),
                    "text retrieval en": figures(q @ d.T), "text to picture en": figures(t @ z.T),
                    "text retrieval, nine languages": of_ranks(np.concatenate(places)), "text to picture, all languages": of_ranks(together(said, z)),
                    "mean cosine to f32": {"texts": round(float((d * base[1]).sum(1).mean()), 5), "pictures": round(float((z * base[2]).sum(1).mean()), 5)}}
    shown_as = json.dumps(out, indent=1, ensure_ascii=False)
    print(shown_as)
    if a.out:
        pathlib.Path(a.out).write_text(shown_as + "\n")


if __name__ == "__main__":
    main()
