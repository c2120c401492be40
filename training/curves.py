"""Draws the losses of train.py's output over its minutes.

usage: python training/curves.py OUTPUT_OF_TRAIN.txt... training/curves.svg
Of several outputs each begins where the one before ended.
"""
import ast
import re
import sys

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt

SHOWN = {"debian.en": "descriptions, English", "debian.de": "descriptions, German", "wordnet": "glosses", "names": "names across languages", "distil": "teacher's vectors",
         "pictures": "pictures", "which name": "which emoji is named", "parallel": "lines of other languages with English ones"}
series, minutes = {k: [] for k in SHOWN}, 0.0
for path in sys.argv[1:-1]:
    offset = minutes
    for line in open(path):
        if found := re.match(r"(\d+) ([\d.]+) (\{.*\})$", line.strip()):
            minutes = offset + float(found[2])
            for kind, values in ast.literal_eval(found[3]).items():
                if kind in series:
                    series[kind].append((minutes, sum(values) / len(values)))
plt.rcParams.update({"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "curves"})
figure, axis = plt.subplots(figsize=(8, 4.8))
for kind, label in SHOWN.items():
    if series[kind]:
        x, y = zip(*series[kind])
        axis.plot(x, y, label=label, linewidth=1.4)
axis.set_xlabel("minutes of computing")
axis.set_ylabel("loss (last three steps of its kind)")
axis.set_ylim(0, 10)
axis.grid(alpha=0.3)
figure.legend(ncols=3, loc="lower center", frameon=False)
figure.tight_layout(rect=(0, 0.14, 1, 1))
figure.savefig(sys.argv[-1], dpi=110, metadata={"Date": None} if sys.argv[-1].endswith(".svg") else None)
