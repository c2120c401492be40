#!/usr/bin/env bash
# Converts tests/fixtures/tiny into a model directory for pages: scripts/test-model.sh CONVERTER MODELS_DIR
#
# Writes MODELS_DIR/tiny, and only if the converter or the weights are newer than what is there.
set -euo pipefail
cd "$(dirname "$0")/.."
converter=$1
models=$2
source=tests/fixtures/tiny
made=$models/tiny

if [ -f "$made/model.json" ] && [ -z "$(find "$converter" "$source" -maxdepth 1 -type f -newer "$made/model.json" 2>/dev/null)" ]; then
  exit 0
fi
mkdir -p "$models"
# Aside first: a page never sees half a model.
staging=$(mktemp -d "$models/.tiny.XXXXXX")
trap 'rm -rf "$staging"' EXIT
"$converter" convert --from "$source" --to "$staging/tiny" --dtype q8_0
rm -rf "$made"
mv "$staging/tiny" "$made"
