#!/usr/bin/env bash
# Rust -> www/lib/wasm/: cargo, wasm-bindgen, wasm-opt, then the size against its limit.
#
#   scripts/wasm-build.sh [FEATURES] [OUT_DIR]        defaults: web  www/lib/wasm
#
# FEATURES `web` is the model, jina_embeddings_web; `edge` is what needs no model (search, tokeniser,
# pictures), jina_embeddings_edge.
#
# Two toolchains lead to the same file (JINA_WASM_TOOLCHAIN chooses; see env.sh):
#   rustup   rustc with the target's ready-made standard library
#   debian   Debian's rustc-web, which compiles the standard library as part of the build
# JINA_DENY_WARNINGS=1 turns warnings of this crate (not of its dependencies) into errors.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$REPO"

features=${1-web}
out_dir=${2-www/lib/wasm}
library=jina_embeddings_web
# Goals for the download of a program; the weights are apart.
case $features in
  edge)
    name=jina_embeddings_edge profile=wasm-edge max_gzip_bytes=$((1000 * 1000))
    # The search compares on SIMD everywhere; the model's matrix products ask for it themselves.
    rustc_flags=(-C target-feature=+simd128) ;;
  *)
    name=jina_embeddings_web profile=wasm max_gzip_bytes=$((5 * 1000 * 1000))
    rustc_flags=() ;;
esac

build=(rustc --locked --lib --crate-type cdylib --profile "$profile" --target "$WASM_TARGET" --no-default-features --features "$features")
[ -z "${JINA_DENY_WARNINGS:-}" ] || rustc_flags+=(-D warnings)
[ ${#rustc_flags[@]} = 0 ] || rustc_flags=(-- "${rustc_flags[@]}")

toolchain=$(wasm_toolchain)
case $toolchain in
  rustup)
    cargo "${build[@]}" ${rustc_flags[@]+"${rustc_flags[@]}"} ;;
  debian)
    # RUSTC_BOOTSTRAP: -Zbuild-std is an unstable option of a stable compiler. The paths are
    # absolute, because rustup's proxies come first in PATH where both are installed.
    env -u RUSTUP_TOOLCHAIN RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
      CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$(debian_wasm_linker)" \
      /usr/bin/cargo "${build[@]}" -Zbuild-std=std,panic_abort ${rustc_flags[@]+"${rustc_flags[@]}"} ;;
  *)
    die "no Rust toolchain here compiles for $WASM_TARGET; run: make setup" ;;
esac

# Built aside and moved at the end: an interrupted build leaves the last good one.
staging=$(mktemp -d "${TMPDIR:-/tmp}/jina-wasm.XXXXXX")
trap 'rm -rf "$staging"' EXIT

wasm_bindgen=$TOOLS/wasm-bindgen-$(locked_version wasm-bindgen)/bin/wasm-bindgen
"$wasm_bindgen" --target web --remove-name-section --remove-producers-section --out-dir "$staging" --out-name "$name" \
  "$CARGO_TARGET_DIR/$WASM_TARGET/$profile/$library.wasm"

# Exactly what rustc emits for this target plus the SIMD of the matrix products. Every feature that
# is allowed here may be used by the optimiser: --all-features yields files that Chromium refuses.
pkg-config/node_modules/.bin/wasm-opt -Oz \
  --enable-simd --enable-bulk-memory --enable-nontrapping-float-to-int --enable-sign-ext \
  --enable-mutable-globals --enable-reference-types --enable-multivalue \
  "$staging/${name}_bg.wasm" -o "$staging/optimised.wasm"
mv "$staging/optimised.wasm" "$staging/${name}_bg.wasm"

node scripts/wasm-size.mjs "$staging/${name}_bg.wasm" "$max_gzip_bytes"

mkdir -p "$out_dir"
rm -f "$out_dir/$name"*
# The .wasm last: make takes its time for that of the whole build.
find "$staging" -maxdepth 1 -type f ! -name '*_bg.wasm' -exec mv {} "$out_dir/" \;
mv "$staging/${name}_bg.wasm" "$out_dir/"
touch "$out_dir/${name}_bg.wasm"
say "wasm: $out_dir/${name}_bg.wasm ($toolchain toolchain, features: ${features:-none})"
