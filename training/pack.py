"""Packs everything that is trained on into a few files: texts as ids of tokens, pictures as numbers, the teachers.

usage: TINY_MATERIALS=... python training/pack.py [--parts 3]
Writes PACK/part-1 ...: train.py needs nothing else, and of libraries only PyTorch and NumPy.

A part is the length of its index (8 bytes), the index as JSON ([{"name", "dtype", "shape", "first", "offset", "bytes"}]) and
the pieces, rows of arrays under LZMA: a loader can unpack all of them at once. Four stores of texts are packed: S and L,
short and long ones to train with, V and W, short and long ones to evaluate with.
"""
import argparse
import collections
import json
import lzma
import multiprocessing
import pathlib
import random
import re
import unicodedata

import numpy as np
from PIL import Image

from data import DECLARATION_TRAINED, PASSAGE, QUERY, SCALE, Teacher, Text, meanings, stamps, token_table
from model import PICTURE_PX, TARGET
from prepare_pictures import thing
from sources import DATA, LANGUAGES, PACK

SHORT, LONG, TEACHER_MOST = 40, 120, 48
SHOWN_LANGUAGES = ["en", "de", "fr", "ja", "zh", "ru", "nl"]
# What is looked for among the search page's pictures while training goes on: shown, never trained on.
PAGE_QUERIES = [("a happy face", "A happy face"), ("Hund", "Dog"), ("機械", "Robot|Gear|Factory"), ("machine", "Robot|Gear|Factory"), ("犬", "Dog"), ("火山", "Volcano"),
                ("casa", "House"), ("volcan", "Volcano"), ("Gitarre", "Guitar"), ("chien", "Dog"), ("perro", "Dog"), ("собака", "Dog"), ("吉他", "Guitar"),
                ("いちご", "Strawberry"), ("Fahrrad", "Bicycle"), ("papillon", "Butterfly"), ("horse", "A horse"), ("猫", "Chelsea the cat"),
                ("Katze", "Chelsea the cat"), ("cheval", "A horse"), ("Schmetterling", "Butterfly"), ("fraise", "Strawberry"), ("企鹅", "Penguin"), ("Kuchen", "Birthday cake"),
                ("ロケット", "Falcon 9 rocket on the pad"), ("parapluie", "Umbrella in the rain"), ("bicicleta", "Bicycle"), ("кофе", "A cup of coffee")]


class Store:
    """Texts, each once, with the part of the teacher's targets that it belongs to."""

    def __init__(self, most):
        self.most, self.place, self.group = most, {}, []

    def add(self, text, group=""):
        if text not in self.place:
            self.place[text] = len(self.place)
            self.group.append(group)
        return self.place[text]

    def many(self, texts, group=""):
        return np.array([self.add(t, group) for t in texts], np.int32)


def flat(rows, dtype):
    return np.fromiter((i for row in rows for i in row), dtype), np.array([len(row) for row in rows], np.uint8)


def words(texts, most=20000, least=3):
    """The words of a language by frequency; a run of one script is one word, so that languages without spaces have some."""
    def script(c):
        return "word" if not c.isalpha() else unicodedata.name(c, "?").split()[0]
    found = collections.Counter()
    for text in texts:
        for run in re.findall(r"[^\W\d_]{2,}", text):
            parts, last = [], None
            for c in run:
                kind = script(c)
                if kind == last or (last and kind.startswith("KATAKANA") and last.startswith("KATAKANA")):
                    parts[-1] += c
                else:
                    parts.append(c)
                last = kind
            found.update({p if p.isupper() else p.lower() for p in parts if len(p) > 1})
    return [w for w, n in found.most_common(most) if n >= least and len(w) < 24]


def texts_arrays(out, meta, text):
    texts = json.loads((DATA / "texts.json").read_text())
    train, test, emoji = texts["train"], texts["test"], texts["emoji"]
    S, L, V, W = Store(SHORT), Store(LONG), Store(SHORT), Store(LONG)
    teacher = Teacher()
    meaning, place = meanings(teacher, emoji, stamps(), LANGUAGES)
    out["meanings"] = meaning.astype(np.float16)
    emoji |= stamps()
    chars = list(place)

    # Names: of each emoji in each language one, and behind it what else it is called.
    rng = random.Random(13)
    name, also, also_at, labels = np.full((len(chars), len(LANGUAGES)), -1, np.int32), [], [0], collections.defaultdict(set)
    for i, char in enumerate(chars):
        for j, lang in enumerate(LANGUAGES):
            called = emoji[char].get(lang, [])
            if called:
                name[i, j] = S.add(called[0], "names." + lang)
                more = list(called[1:])
                if len(called) > 2:
                    more.append(", ".join([called[0]] + rng.sample(called[1:], min(3, len(called) - 1))))
                    more.append(" ".join(rng.sample(called[1:], 2)))
                if lang == "en":
                    more.append("a " + called[0])
                for t in called + more:
                    labels[S.add(t, "names." + lang)].add(i)
                also += [S.add(t) for t in more]
            also_at.append(len(also))
    named = sorted(labels)
    out |= {"names.name": name, "names.also": np.array(also, np.int32), "names.also_at": np.array(also_at, np.int32), "names.all": np.array(named, np.int32),
            "names.label": np.array([c for s in named for c in sorted(labels[s])], np.int16), "names.label_n": np.array([len(labels[s]) for s in named], np.uint16)}

    # Descriptions: the lines, the descriptions, and the source that neither is a negative of.
    sources, alone = {}, {}
    for kind in [k for k in train if k.startswith("debian.")]:
        lang, rows = kind[7:], train[kind]
        out[f"{kind}.short"] = S.many([r[1] for r in rows], kind)
        out[f"{kind}.long"] = L.many([r[2] for r in rows])
        out[f"{kind}.source"] = np.array([sources.setdefault(r[0], len(sources)) for r in rows], np.int32)
        n = collections.Counter(r[0] for r in rows)
        alone[lang] = {r[0]: i for i, r in enumerate(rows) if n[r[0]] == 1}
    for lang in alone:
        if lang != "en":  # a line and the English one of the same package, where its source has one package alone
            both = [(i, alone["en"][s]) for s, i in alone[lang].items() if s in alone["en"]]
            i, j = np.array(both).T
            out[f"parallel.{lang}"] = np.stack([out[f"debian.{lang}.short"][i], out["debian.en.short"][j], out["debian.en.long"][j]])
    rows = train["wordnet"]
    out["wordnet.short"], out["wordnet.long"] = S.many([r[0] for r in rows], "wordnet"), L.many([r[1] for r in rows], "glosses")
    out["code.short"], out["code.long"] = L.many([r[1] for r in train["code"]]), L.many([r[2] for r in train["code"]])
    declared = [lang for lang in LANGUAGES if len(texts["declaration"].get(lang, [])) == 60]
    out["declaration"] = np.stack([L.many(texts["declaration"][lang][:DECLARATION_TRAINED], "declaration." + lang) for lang in declared])
    for kind in [k for k in train if k.startswith("debian.")]:
        said = [t for r in train[kind] for t in r[1:]] + ([g for _, g in train["wordnet"]] if kind == "debian.en" else [])
        S.many(words(said), "words." + kind[7:])
    for lang in LANGUAGES:  # those of names are of other things than those of software
        S.many(words([t for n in emoji.values() for t in n.get(lang, [])], least=2), "names." + lang)

    # What is looked at while training goes on.
    for lang in ("en", "de", "fr", "it", "ja"):
        rows, seen = [], set()
        for row in test["debian." + lang]:
            if row[0] not in seen:
                seen.add(row[0]); rows.append(row)
        random.Random(3).shuffle(rows)
        out[f"eval.{lang}"] = np.stack([V.many([r[1] for r in rows[:300]]), W.many([r[2] for r in rows[:300]])])
    rows = random.Random(3).sample(test["code"], 300)
    out["eval.code"] = np.stack([W.many([r[1] for r in rows]), W.many([r[2] for r in rows])])
    out["eval.page"] = V.many([q for q, _ in PAGE_QUERIES])
    meta["page"] = PAGE_QUERIES
    return S, L, V, W, emoji, chars


def picture_arrays(out, S, V, emoji, chars):
    pixels, entries = list(np.load(DATA / "pictures.npy", mmap_mode="r")), json.loads((DATA / "pictures.json").read_text())
    stamped = json.loads((DATA / "stamps.json").read_text())
    emoji, entries, pixels = stamped["named"] | emoji, entries + stamped["pictures"], pixels + list(np.load(DATA / "stamps.npy"))
    place = {c: i for i, c in enumerate(chars)}
    things = {}
    for e in entries:
        # CLDR writes some characters without the selector for colour.
        char = e["char"] and (e["char"] if e["char"] in emoji else e["char"].replace("\ufe0f", ""))
        e["char"] = char if char in emoji else None
        e["thing"] = thing(e["name"].split(",")[0])
    # Tones of skin are left out, and so is clip art without a title of its own.
    tone = re.compile(r"\b(medium|light|dark)$|^part of|^$|layer|icon")
    train = [i for i, e in enumerate(entries) if e["split"] == "train" and not (e["char"] is None and tone.search(e["name"].split(",")[0]))]
    shown = {}
    for split in ("drawing", "thing", "style", "photo", "stamp"):
        rows, seen = [], set()
        order = [i for i, e in enumerate(entries) if e["split"] == split and e["char"] and e["set"] != "openclipart"]
        random.Random(4).shuffle(order)
        for i in order:
            if entries[i]["thing"] not in seen:
                seen.add(entries[i]["thing"]); rows.append(i)
        shown[split] = rows[:200]

    def drawn(rows):
        """u8 [N, 4, 96, 96] of six bits; what cannot be seen is zero"""
        x = np.stack([pixels[i] for i in rows])
        x[x[..., 3] == 0] = 0
        return np.ascontiguousarray((x >> 2).transpose(0, 3, 1, 2))

    of = [entries[i] for i in train]
    out["pictures.pixels"] = drawn(train)
    out["pictures.char"] = np.array([place.get(e["char"], -1) for e in of], np.int16)
    out["pictures.thing"] = np.array([things.setdefault(e["thing"], len(things)) for e in of], np.int32)
    # Clip art's titles are loose: seldom. Stamps and photographs are few: often.
    often = {"openclipart": 0.15, "tuxpaint": 2.0, "photograph": 3.5}
    out["pictures.weight"] = np.array([3.5 if e.get("photograph") else often.get(e["set"], 1.5 if e["char"] else 0.4) for e in of], np.float32)
    out["pictures.whole"] = np.array([e["set"] == "photograph" for e in of])
    out["pictures.mirror"] = np.array([not any(w in e["name"] for w in ("left", "right", "letter", "flag", "arrow")) for e in of])
    out["pictures.said"] = np.stack([S.many([e["name"].split(",")[0] for e in of], "names.en"), S.many([e["name"] for e in of], "names.en")], 1)
    for split, rows in shown.items():
        out[f"eval.{split}.pixels"] = drawn(rows)
        for lang in SHOWN_LANGUAGES:
            out[f"eval.{split}.{lang}"] = V.many([emoji[entries[i]["char"]].get(lang, [entries[i]["name"]])[0] for i in rows])


def page_arrays(out, meta):
    source = pathlib.Path(__file__).resolve().parent.parent / "www/demo"
    listed = re.findall(r"\{ file: '([^']+)', title: '([^']+)'", (source / "src/collection.ts").read_text())
    seen = []
    for file, _ in listed:
        picture = Image.open(source / "public/samples" / file).convert("RGBA")
        ground = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        ground.alpha_composite(picture)
        seen.append(np.asarray(ground.convert("RGB").resize((PICTURE_PX, PICTURE_PX), Image.Resampling.BICUBIC)).transpose(2, 0, 1))
    out["eval.page.pixels"] = np.stack(seen)
    meta["page titles"] = [title for _, title in listed]


def teacher_arrays(out, meta, S, L):
    """The teachers themselves, E5 with the pieces alone that occur, and the texts in their ids."""
    from teacher import E5, MiniLM
    e5 = E5()
    distilled = [i for i, g in enumerate(L.group) if g]
    long = list(L.place)
    ids = e5.ids(list(S.place) + [long[i] for i in distilled], most=TEACHER_MOST)
    used = np.array(sorted({i for row in ids for i in row} | {e5.pad}))
    new = {int(old): i for i, old in enumerate(used)}
    flat_ids, n = flat([[new[i] for i in row] for row in ids], np.int32)
    out |= {"e5.low": (flat_ids & 255).astype(np.uint8), "e5.high": (flat_ids >> 8).astype(np.uint16), "e5.n": n, "e5.long": np.array(distilled, np.int32)}
    meta["e5 pad"] = new[e5.pad]
    groups = sorted(set(S.group) | {L.group[i] for i in distilled})
    number = {g: i for i, g in enumerate(groups)}
    meta["groups"] = groups
    out["e5.group"] = np.array([number[g] for g in S.group] + [number[L.group[i]] for i in distilled], np.uint8)
    for name, array in e5.stored.items():
        out["e5:" + name] = array.reshape(-1, 384 // 32 * 18)[used] if name == "emb.word" else np.array(array)
    axes = Teacher().axes[:, :TARGET]
    out["axes"] = axes.astype(np.float32)
    mini = MiniLM()
    glosses = [i for i in distilled if L.group[i] == "glosses"]
    rows = mini.ids([long[i] for i in glosses], most=TEACHER_MOST)
    out["minilm.ids"], out["minilm.n"] = flat(rows, np.uint16)
    out["minilm.long"] = np.array(glosses, np.int32)
    for name, t in mini.stored.items():
        t = t.numpy()
        if t.ndim == 2:  # eight bits and a scale for each row
            scale = np.abs(t).max(1, keepdims=True) / 127
            out["minilm:" + name], out["minilm/" + name] = np.round(t / scale.clip(1e-9)).astype(np.int8), scale[:, 0].astype(np.float32)
        else:
            out["minilm:" + name] = t.astype(np.float32)


def start_arrays(out, text, S, L):
    """The first token vectors: their 224 numbers in eight bits with a scale for each row; the others follow from them."""
    counts = collections.Counter()
    rng = random.Random(1)
    for store, prefix in ((S, QUERY), (L, PASSAGE)):
        for row in text.behind(rng.sample(list(store.place), min(30000, len(store.place))), 64):
            counts.update(row)
            counts.update(text.prefixes[prefix])
    table = token_table(text, Teacher(), counts).numpy()[:, :TARGET] / SCALE
    scale = np.abs(table).max(1, keepdims=True) / 127
    out["table"], out["table.scale"] = np.round(table / scale.clip(1e-12)).astype(np.int8), scale[:, 0].astype(np.float32)


def squeeze(piece):
    return lzma.compress(piece, preset=6)


def write(out, parts):
    """The arrays in parts of about the same size: PACK/part-NAME for each name of `parts`."""
    index, raw = [], []
    for name, array in out.items():
        array = np.ascontiguousarray(array)
        step = max(1, 8_000_000 // max(1, array[:1].nbytes))
        for first in range(0, len(array), step):
            piece = array[first: first + step]
            index.append({"name": name, "dtype": str(array.dtype), "shape": array.shape, "first": first, "rows": len(piece)})
            raw.append(piece.tobytes())
    with multiprocessing.Pool(2) as pool:
        squeezed = pool.map(squeeze, raw, chunksize=1)
    order = sorted(range(len(squeezed)), key=lambda i: -len(squeezed[i]))
    shares = [[] for _ in parts]
    for i in order:
        min(shares, key=lambda share: sum(len(squeezed[j]) for j in share)).append(i)
    for n, share in zip(parts, shares):
        entries, at = [], 0
        for i in share:
            entries.append({**index[i], "offset": at, "bytes": len(squeezed[i])})
            at += len(squeezed[i])
        head = json.dumps(entries).encode()
        with open(PACK / f"part-{n}", "wb") as f:
            f.write(len(head).to_bytes(8, "little") + head)
            for i in share:
                f.write(squeezed[i])
        print(f"part-{n}", (PACK / f"part-{n}").stat().st_size)
    size = collections.Counter()
    for entry, s in zip(index, squeezed):
        size[re.split(r"[.:/]", entry["name"])[0]] += len(s)
    print(dict(size.most_common()))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--parts", type=int, default=3)
    a = p.parse_args()
    out, meta, text = {}, {}, Text()
    for t in ("Foo bar", "(x", "3D", "機械", "été"):
        for prefix, ids in text.prefixes.items():
            whole = text.tok.encode(prefix + t, add_special_tokens=False).ids
            assert whole == ids + text.behind([t], 99)[0], (prefix, t)
    S, L, V, W, emoji, chars = texts_arrays(out, meta, text)
    picture_arrays(out, S, V, emoji, chars)
    page_arrays(out, meta)
    print("texts", {n: len(s.place) for n, s in (("S", S), ("L", L), ("V", V), ("W", W))}, "pictures", len(out["pictures.char"]), flush=True)
    start_arrays(out, text, S, L)
    for name, store in (("S", S), ("L", L), ("V", V), ("W", W)):
        out[f"{name}.ids"], out[f"{name}.n"] = flat(text.behind(list(store.place), store.most), np.uint16)
    teacher_arrays(out, meta, S, L)
    meta |= {"special": text.special, "pad": text.pad, "query": text.prefixes[QUERY], "passage": text.prefixes[PASSAGE], "languages": LANGUAGES}
    print("arrays", sum(a.nbytes for a in out.values()) / 1e6, "MB", flush=True)
    out["meta"] = np.frombuffer(json.dumps(meta, ensure_ascii=False).encode(), np.uint8)
    PACK.mkdir(parents=True, exist_ok=True)
    for old in PACK.glob("part-*"):
        old.unlink()
    write(out, range(1, a.parts + 1))


if __name__ == "__main__":
    main()
