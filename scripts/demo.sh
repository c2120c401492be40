#!/usr/bin/env bash
# Builds the search page and what it needs, serves it and prints its address.
#
#   scripts/demo.sh [--port N] [--mount /PATH=DIR]...     options of scripts/serve.mjs
#
# JINA_MODELS is the folder served at /models/ (default: models/ in the cache).
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$REPO"

scripts/setup.sh native wasm node
. scripts/env.sh # again: set-up may have installed a newer Node or Rust

make --no-print-directory wasm package
node www/demo/build.mjs

# The converter alone, without Burn: a minute instead of a quarter of an hour. In a folder of its
# own, so that it does not take the place of a jina-embed that can also compute.
say "converter: jina-embed (a minute the first time)"
cargo build --locked --quiet --no-default-features --features cli --bin jina-embed --target-dir "$CARGO_TARGET_DIR/converter"
converter=$CARGO_TARGET_DIR/converter/debug/jina-embed
models=${JINA_MODELS:-$JINA_CACHE/models}
# Converted anew when the converter or the weights are newer than what is there.
made=$models/tiny
if [ ! -f "$made/model.json" ] || [ -n "$(find "$converter" tests/fixtures/tiny -maxdepth 1 -type f -newer "$made/model.json")" ]; then
  mkdir -p "$models"
  # Aside first: a page never sees half a model.
  staging=$(mktemp -d "$models/.tiny.XXXXXX")
  trap 'rm -rf "$staging"' EXIT
  # By this name the page knows that its rankings mean nothing, and says so.
  "$converter" convert --from tests/fixtures/tiny --to "$staging/tiny" --name tiny-random-jina-v4-a --dtype q8_0
  rm -rf "$made"
  mv "$staging/tiny" "$made"
  rm -rf "$staging"
  trap - EXIT
fi

cat <<TEXT

The page opens with a tiny model of random weights: everything runs, the ranking means nothing.
With the real one:
  jina-embed convert --from HUGGING_FACE_DIRECTORY --to '$models/v4' --dtype q4_0
  and add ?model=/models/v4 to the address. Ctrl-C ends the server.

TEXT
exec node scripts/serve.mjs www/demo/dist --mount /models="$models" --quiet "$@"
