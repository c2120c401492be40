"""Draws the losses of train.py's output over its minutes.

usage: python training/curves.py OUTPUT_OF_TRAIN.txt training/curves.svg     (needs matplotlib)
"""
import ast
import re
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

SHOWN = {"debian.en": "descriptions, English", "debian.de": "descriptions, German", "wordnet": "glosses", "names": "names across languages", "distil": "teacher's vectors",
         "pictures": "pictures"}
series, offset, last = {k: [] for k in SHOWN}, 0.0, 0.0
for line in open(sys.argv[1]):
    if found := re.match(r"(\d+) ([\d.]+) (\{.*\})$", line.strip()):
        minutes = float(found[2])
        for kind, values in ast.literal_eval(found[3]).items():
            if kind in series:
                series[kind].append((minutes, sum(values) / len(values)))
plt.rcParams.update({"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "curves"})
figure, axis = plt.subplots(figsize=(8, 4.2))
for kind, label in SHOWN.items():
    if series[kind]:
        x, y = zip(*series[kind])
        axis.plot(x, y, label=label, linewidth=1.4)
axis.set_xlabel("minutes of computing")
axis.set_ylabel("loss, mean of the last three steps of its kind")
axis.set_ylim(0, 10)
axis.grid(alpha=0.3)
axis.legend(ncols=3, loc="upper right")
figure.tight_layout()
figure.savefig(sys.argv[2], metadata={"Date": None})
