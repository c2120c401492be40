"""Draws the losses of train.py's logs over their seconds, one run behind the other.

usage: python training/curves.py training/curves.svg out/log.jsonl [out2/log.jsonl ...]
"""
import json
import sys

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt

SHOWN = {"debian.en": "descriptions, English", "debian.de": "descriptions, German", "debian.ja": "descriptions, Japanese", "wordnet": "glosses", "names": "names across languages",
         "distil": "teacher's vectors", "pictures": "which emoji is drawn", "pictures and names": "pictures and names", "which name": "which emoji is named", "parallel": "lines of other languages with English ones"}
series = {k: [] for k in SHOWN}
before = last = 0
for log in sys.argv[2:]:
    for line in open(log):
        entry = json.loads(line)
        if entry["stage"] == "base":
            last = before + entry["seconds"]
            for kind, value in entry.get("loss", {}).items():
                if kind in series:
                    series[kind].append((last, value))
    before = last
plt.rcParams.update({"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "curves"})
figure, axis = plt.subplots(figsize=(8, 4.8))
for kind, label in SHOWN.items():
    if series[kind]:
        axis.plot(*zip(*series[kind]), label=label, linewidth=1.4)
axis.set_xlabel("seconds of computing")
axis.set_ylabel("loss (mean of ten seconds)")
axis.set_ylim(0, 10)
axis.grid(alpha=0.3)
figure.legend(ncols=3, loc="lower center", frameon=False)
figure.tight_layout(rect=(0, 0.19, 1, 1))
figure.savefig(sys.argv[1], dpi=110, metadata={"Date": None} if sys.argv[1].endswith(".svg") else None)
