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
    first, second = d["Matryoshka, text retrieval en"], d["Matryoshka, text to picture en"]
    add("**Length of the vector**, English, descriptions and other drawings of known things:\n",
        table(["numbers", "text R@1", "text R@10", "picture R@1", "picture R@10"], [[k, *retrieval(first[k])[:2], *retrieval(second[k])[:2]] for k in first]))
    multi = d["multi-vector, text retrieval en"]
    add("**One vector or one for each token**, English descriptions, 300 pairs:\n",
        table(["", "R@1", "R@10", "nDCG@10"], [["single", *retrieval(multi["single"])], ["multi-vector", *retrieval(multi["multi"])]]))
    key = next(k for k in d if k.startswith("adapters"))
    add("**Each adapter on each task**:\n",
        table(["", "retrieval", "text-matching", "code"], [[k, *(f"{row[t]:.3f}" for t in ("retrieval", "text-matching", "code"))] for k, row in d[key].items()]))
    if "stored as" in d:
        add("**How the numbers are stored** (text and tower alike unless said; the committed files are q8_0; `convert --dtype q4_0` keeps the tower in q8_0):\n",
            table(["", "MB", "text R@1", "text R@10", "text nDCG@10", "picture R@1", "picture R@10", "picture nDCG@10", "cosine to f32, texts", "pictures"],
                  [[k, f"{f['bytes'] / 1e6:.1f}", *retrieval(f["text retrieval en"]), *retrieval(f["text to picture en"]), f["mean cosine to f32"]["texts"], f["mean cosine to f32"]["pictures"]]
                   for k, f in d["stored as"].items()]))
    return "\n".join(out)


if __name__ == "__main__":
    card = pathlib.Path(sys.argv[2])
    figures = render(json.loads(pathlib.Path(sys.argv[1]).read_text()))
    text = re.sub(r"(<!-- figures: [^\n]* -->\n).*?(<!-- end of figures -->)", lambda m: f"{m[1]}\n{figures}\n{m[2]}", card.read_text(), flags=re.S)
    card.write_text(text)
