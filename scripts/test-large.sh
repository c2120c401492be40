#!/usr/bin/env bash
# What takes too long for every day: each step in full, its last results kept in bench/results.
#
#   scripts/test-large.sh [STEP]...       all steps by default; `scripts/test-large.sh --list` names them
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$REPO"

steps=(convert memory soak loss)

describe() {
  case $1 in
    convert) say "converter and checker with files of the published size, 15 GB; results to bench/large and bench/results" ;;
    memory) say "what inputs take of the device at the published widths, against the statement" ;;
    soak) say "2,000 calls on one embedder, 50 embedders one after the other; results to bench/results/soak.md" ;;
    loss) say "the device lost at every submit and refused at every buffer of a load and of a call" ;;
  esac
}

run_convert() {
  cargo build --release --locked --bin jina-embed
  node bench/large/run.mjs --save
}

# The browser tests alone, as `make test` runs them.
browser_tests() {
  cargo test --locked --quiet --no-run --test command
  JINA_EMBED=$CARGO_TARGET_DIR/debug/jina-embed CHROMIUM_PATH=$(find_chromium) \
    npm run --silent test:browser --prefix pkg-config -- "$@"
}

run_memory() {
  local wide
  wide=$(mktemp -d)
  python3 bench/make_wide.py "$wide/published" --layers 1 --vision-layers 1
  cargo test --locked --quiet --no-run --test gpu_memory --test command
  "$CARGO_TARGET_DIR/debug/jina-embed" convert --from "$wide/published" --to "$wide/model" --dtype q4_0
  use_software_vulkan
  JINA_WIDE=$wide/model cargo test --locked --test gpu_memory -- --ignored --nocapture
  rm -rf "$wide"
}

run_soak() {
  local rows
  rows=$(mktemp)
  JINA_SOAK=2000,50 JINA_RECORD=$rows browser_tests soak.spec.ts
  {
    say "# Long use"
    say
    say "Bytes and listeners after a warm-up and at the end: nothing of the graphics device, of WebAssembly's memory or of the listeners may grow ([the test](../../tests/browser/soak.spec.ts)). In workers what they hold ends with them; in the page the runtime keeps about 0.35 MB of WebAssembly's memory for each device that was ([why](../../README.md#memory-and-devices-that-fail)), and nothing else grows. Last run: $(date -u +%F), $("$(find_chromium)" --version 2>/dev/null | tail -1 | sed 's/ *$//'), WebGPU on SwiftShader, f32 test model, by \`scripts/test-large.sh soak\`."
    say
    say "| | GPU before | GPU after | wasm before | wasm after | listeners before | after | JS heap before | after |"
    say "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    cat "$rows"
  } > bench/results/soak.md
  rm -f "$rows"
}

run_loss() { JINA_POINTS=100000 browser_tests loss.spec.ts; }

if [ "${1:-}" = --list ]; then
  for step in "${steps[@]}"; do printf '  %-8s %s\n' "$step" "$(describe "$step")"; done
  exit 0
fi
for step in "$@"; do [ -n "$(describe "$step")" ] || die "no step '$step'; scripts/test-large.sh --list names them"; done
[ $# -eq 0 ] || steps=("$@")

scripts/setup.sh native wasm node browser
. scripts/env.sh # again: set-up may have installed a newer Node or Rust
make --no-print-directory package
node www/demo/build.mjs
for step in "${steps[@]}"; do
  say
  say "== $(describe "$step")"
  "run_$step"
done
