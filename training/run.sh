#!/usr/bin/env bash
# Trains from packed parts, wherever there is Python with PyTorch and NumPy: nothing else is read.
#
#   training/run.sh FOLDER_OF_PARTS [arguments of train.py]
#
# The weights in pieces and the log go to $OUT (default: out), checkpoints to $RUN (default: a folder under /tmp).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
parts=$1; shift
out=${OUT:-out}
mkdir -p "$out"
export PYTHONUNBUFFERED=1 PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True
python3 "$here/train.py" --pack "$parts" --run "${RUN:-${TMPDIR:-/tmp}/training-run}" --out "$out" "$@" 2>&1 | tee "$out/output.txt"
