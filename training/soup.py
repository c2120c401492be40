"""Mixes parameters of two runs, the second of which began with the first; all else is the second's.

usage: python training/soup.py FIRST SECOND SHARE_OF_SECOND OUT_DIR [END]
FIRST and SECOND: folders with weights-*, or what this wrote; END: of the names of what is mixed (default: the token vectors).
"""
import pathlib
import sys

import torch

from publish import weights

if __name__ == "__main__":
    first, second, share, out = weights(sys.argv[1]), weights(sys.argv[2]), float(sys.argv[3]), pathlib.Path(sys.argv[4])
    end = sys.argv[5] if len(sys.argv) > 5 else "embed_tokens.weight"
    mixed = {n: torch.lerp(first[n], t, share) if n.endswith(end) else t for n, t in second.items()}
    out.mkdir(parents=True, exist_ok=True)
    torch.save({"model": mixed}, out / "last.pt")
