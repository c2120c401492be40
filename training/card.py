"""Writes the figures of evaluate.py into the model card, between its two marks.

usage: python training/card.py training/figures.json models/tiny/README.md
"""
import json
import pathlib
import re
import sys

NAMES = {"en": "English", "de": "German", "fr": "French", "it": "Italian", "es": "Spanish", "ja": "Japanese", "pt": "Portuguese", "ko": "Korean", "pl": "Polish",
         "ru": "Russian", "zh": "Chinese", "ar": "Arabic", "nl": "Dutch, held out", "ca": "Catalan, held out", "sv": "Swedish, held out", "gl": "Galician, held out"}


def table(head, rows):
    line = lambda cells: "| " + " | ".join(str(c) for c in cells) + " |"
    return "\n".join([line(head), line("---" for _ in head), *(line(r) for r in rows)]) + "\n"


def retrieval(f):
    return f"{f['R@1']:.3f}", f"{f['R@10']:.3f}", f"{f['nDCG@10']:.3f}"


def render(d):
    out = []
    add = lambda *parts: out.extend(parts)
    add("**Short line to long description**, Debian's packages, one of each source, none of these sources trained on:\n",
        table(["language", "pairs", "R@1", "R@10", "nDCG@10"], [[NAMES[k], f["n"], *retrieval(f)] for k, f in d["text retrieval"].items()]))
    terms = d["terms to glosses en"]
    add(f"**Term to gloss**, WordNet, {terms['n']} of each: R@1 {terms['R@1']:.3f}, R@10 {terms['R@10']:.3f}, nDCG@10 {terms['nDCG@10']:.3f}.\n")
    key = next(k for k in d if k.startswith("declaration"))
    add("**A paragraph finds its English one**, Declaration of Human Rights, the 16 paragraphs not trained on, R@1 (chance 0.06): "
        + ", ".join(f"{k} {f['R@1']:.2f}" for k, f in d[key].items()) + ".\n")
    add("**Likeness**, task text-matching, Spearman's correlation with a teacher's over pairs of held-out glosses: "
        + ", ".join(f"{k} {f['spearman']:.3f} ({f['pairs']} pairs)" for k, f in d["likeness to the teachers"].items()) + ".\n")
    kinds = {"drawing": "other drawings of known things", "style": "a family of drawings never seen (OpenMoji), known things", "thing": "things never seen in any drawing"}
    add("**Pictures**, 200 emoji of each kind of hold-out (fewer where there are not as many) and their names in CLDR; R@1 / R@10:\n")
    rows = []
    for lang in d["pictures"]["drawing"]:
        row = [NAMES[lang]]
        for kind in kinds:
            f = d["pictures"][kind][lang]
            row += [" / ".join(f"{f[side][k]:.3f}" for k in ("R@1", "R@10")) for side in ("text to picture", "picture to text")]
        rows.append(row)
    n = {k: d["pictures"][k]["en"]["text to picture"]["n"] for k in kinds}
    head = ["language"]
    for kind, words in kinds.items():
        head += [f"{words} ({n[kind]}): text to picture", "back"]
    add(table(head, rows))
    add("**Stamps and photographs** that were not trained on, and their captions; most photographs are cut out, as Tux Paint's stamps are. "
        "What they show may be known from drawings. R@1 / R@10:\n")
    rows = []
    for lang in d["pictures"]["photo"]:
        both = [d["pictures"][kind][lang] for kind in ("photo", "stamp")]
        rows.append([NAMES[lang]] + [" / ".join(f"{f[side][k]:.3f}" for k in ("R@1", "R@10")) for f in both for side in ("text to picture", "picture to text")])
    n = [d["pictures"][kind]["en"]["text to picture"]["n"] for kind in ("photo", "stamp")]
    add(table(["language", f"photographs ({n[0]}): text to picture", "back", f"drawn stamps ({n[1]}): text to picture", "back"], rows))
    first, second = d["Matryoshka, text retrieval en"], d["Matryoshka, text to picture en"]
    add("**Length of the vector**, English, descriptions and other drawings of known things:\n",
        table(["numbers", "text R@1", "text R@10", "picture R@1", "picture R@10"], [[k, *retrieval(first[k])[:2], *retrieval(second[k])[:2]] for k in first]))
    english, four = d["multi-vector, text retrieval en"], d["multi-vector, text retrieval en de fr ja together"]
    add(f"**One vector or one for each token**, 300 descriptions of each language; {four['single']['n']} in English, German, French and Japanese together:\n",
        table(["", "English R@1", "R@10", "nDCG@10", "four languages R@1", "R@10", "nDCG@10"],
              [[words, *retrieval(english[k]), *retrieval(four[k])] for k, words in (("single", "single"), ("multi", "multi-vector"))]))
    key = next(k for k in d if k.startswith("adapters"))
    add("**Each adapter on each task**:\n",
        table(["", "retrieval", "text-matching", "code"], [[k, *(f"{row[t]:.3f}" for t in ("retrieval", "text-matching", "code"))] for k, row in d[key].items()]))
    key = next(k for k in d if k.startswith("ahead"))
    add("An adapter is ahead of the next best at its own task by, in nDCG@10 over the same queries, with half of the interval of 95 %: "
        + ", ".join(f"{what} {by:.3f} ± {half:.3f}" for what, (by, half) in d[key].items()) + ".\n")
    if "stored as" in d:
        add("**How the numbers are stored** (text and tower alike unless said; the committed files are q8_0; `convert --dtype q4_0` keeps the tower in q8_0):\n",
            table(["", "MB", "text R@1", "text R@10", "text nDCG@10", "picture R@1", "picture R@10", "picture nDCG@10", "cosine to f32, texts", "pictures"],
                  [[k, f"{f['bytes'] / 1e6:.1f}", *retrieval(f["text retrieval en"]), *retrieval(f["text to picture en"]), f["mean cosine to f32"]["texts"], f["mean cosine to f32"]["pictures"]]
                   for k, f in d["stored as"].items()]))
        first = next(iter(d["stored as"].values()))
        wide = "text retrieval, nine languages", "text to picture, all languages"
        lost = lambda f, side, k: f"{100 * (1 - f[side][k] / first[side][k]):.1f}"
        add(f"The same with more queries, so with less noise: {first[wide[0]]['n']} lines of nine languages, and {first[wide[1]]['n']} names of the 200 pictures in the 23 languages; "
            "behind them what is lost against f32, in per cent (a minus is a gain):\n",
            table(["", "text R@1", "text R@10", "text nDCG@10", "picture R@1", "picture R@10", "picture nDCG@10", *(f"lost, {side} {m}" for side in ("text", "picture") for m in ("R@1", "R@10", "nDCG@10"))],
                  [[k, *retrieval(f[wide[0]]), *retrieval(f[wide[1]]), *(lost(f, side, m) for side in wide for m in ("R@1", "R@10", "nDCG@10"))] for k, f in d["stored as"].items()]))
    return "\n".join(out)


if __name__ == "__main__":
    card = pathlib.Path(sys.argv[2])
    figures = render(json.loads(pathlib.Path(sys.argv[1]).read_text()))
    text = re.sub(r"(<!-- figures: [^\n]* -->\n).*?(<!-- end of figures -->)", lambda m: f"{m[1]}\n{figures}\n{m[2]}", card.read_text(), flags=re.S)
    card.write_text(text)
