#!/usr/bin/env bash
# Builds the search page and what it needs, serves it and prints its address.
#
#   scripts/demo.sh [--port N] [--mount /PATH=DIR]...     options of scripts/serve.mjs
#
# At /models/ it serves the repository's models/ and, for what is not there, the folder JINA_MODELS
# (default: models/ in the cache).
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$REPO"

scripts/setup.sh native wasm node
. scripts/env.sh # again: set-up may have installed a newer Node or Rust

make --no-print-directory wasm package
node www/demo/build.mjs

models=${JINA_MODELS:-$JINA_CACHE/models}
mkdir -p "$models"

cat <<TEXT

The page opens with the small trained model of models/tiny, which knows emoji, clip art and short texts.
With the real one:
  jina-embed convert --from HUGGING_FACE_DIRECTORY --to '$models/v4' --dtype q4_k_m
  and add ?model=/models/v4 to the address. Ctrl-C ends the server.

TEXT
exec node scripts/serve.mjs www/demo/dist --mount /models=models --mount /models="$models" --quiet "$@"
