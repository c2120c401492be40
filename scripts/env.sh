# Sourced by every script: where things are kept, which tools are used, how a message looks.
# Each value can be given from outside; nothing here installs or changes anything.
#
#   JINA_CACHE            built and downloaded things        ~/.cache/jina-embeddings-web
#   CARGO_TARGET_DIR      cargo's output                     $JINA_CACHE/target
#   JINA_WASM_TOOLCHAIN   rustup | debian                    whichever can reach wasm32
#   CHROMIUM_PATH         the browser of the tests           found by name
#   VK_DRIVER_FILES       the Vulkan drivers of the tests    lavapipe

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export JINA_CACHE=${JINA_CACHE:-$HOME/.cache/jina-embeddings-web}
# Outside the clone, so that Burn (14 minutes on two cores) is built once, not once per clone.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$JINA_CACHE/target}
TOOLS=$JINA_CACHE/tools
# Python packages of the server's tests.
CLIENTS=$TOOLS/clients
WASM_TARGET=wasm32-unknown-unknown
MIN_NODE_MAJOR=20

[ -f "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"
# Node from npm's own packages, where the distribution's is too old (scripts/setup.sh puts it there).
[ -d "$TOOLS/node/node_modules/.bin" ] && PATH=$TOOLS/node/node_modules/.bin:$PATH
export PATH

say()  { printf '%s\n' "$*"; }
die()  { printf 'error: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# Runs a command for at most some seconds. `timeout` is GNU's; macOS has it only with coreutils.
bounded() {
  local seconds=$1; shift
  if have timeout; then timeout "$seconds" "$@"; elif have gtimeout; then gtimeout "$seconds" "$@"; else "$@"; fi
}

# version_at_least 1.96.0 1.95
version_at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# The crate's own minimum, read from its manifest so that it is stated once.
min_rust()  { sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$REPO/Cargo.toml"; }
# The release that rust-toolchain.toml pins, or else the minimum.
pinned_channel() {
  local channel
  channel=$(sed -n 's/^channel *= *"\(.*\)"/\1/p' "$REPO/rust-toolchain.toml" 2>/dev/null)
  say "${channel:-$(min_rust)}"
}
rustc_version() { "${1:-rustc}" --version 2>/dev/null | awk '{print $2}'; }
rust_is_new_enough() { local v; v=$(rustc_version "${1:-rustc}"); [ -n "$v" ] && version_at_least "$v" "$(min_rust)"; }

# `locked_version wasm-bindgen`: the version that Cargo.lock holds.
locked_version() {
  awk -v name="$1" '$0 == "name = \"" name "\"" { getline; gsub(/version = |"/, ""); print; exit }' "$REPO/Cargo.lock"
}

# rust-toolchain.toml pins a release by number. A machine may hold that release only under another
# name (`stable`) with no way to download: use what is there when it is new enough.
if have rustup && [ -z "${RUSTUP_TOOLCHAIN:-}" ]; then
  if ! ls -d "${RUSTUP_HOME:-$HOME/.rustup}/toolchains/$(pinned_channel)"-* >/dev/null 2>&1; then
    installed=$(cd / && rustup default 2>/dev/null | awk '{print $1}')
    if [ -n "$installed" ] && version_at_least "$(RUSTUP_TOOLCHAIN=$installed rustc_version)" "$(min_rust)"; then
      export RUSTUP_TOOLCHAIN=$installed
    fi
    unset installed
  fi
fi

# Which toolchain compiles for wasm32: prints `rustup`, `debian`, or nothing.
#   rustup   the installed rustc has the target's standard library
#   debian   Debian's rustc-web, which builds that library from rust-web-src
wasm_toolchain() {
  if [ -n "${JINA_WASM_TOOLCHAIN:-}" ]; then say "$JINA_WASM_TOOLCHAIN"; return; fi
  local libdir
  libdir=$(cd "$REPO" && rustc --print target-libdir --target "$WASM_TARGET" 2>/dev/null)
  if rust_is_new_enough && ls "$libdir"/libstd-*.rlib >/dev/null 2>&1; then say rustup
  elif rust_is_new_enough /usr/bin/rustc && [ -x /usr/bin/cargo ] && [ -d /usr/lib/rustlib/src/rust/library ] && [ -n "$(debian_wasm_linker)" ]; then say debian
  fi
}

# rustc asks for `rust-lld`, which Debian has only as a link in one of its packages; any LLVM's
# wasm-ld of the same generation does the same work.
debian_wasm_linker() {
  local major
  if [ -x /usr/bin/rust-lld ]; then say /usr/bin/rust-lld; return; fi
  major=$(debian_llvm_major)
  [ -n "$major" ] && [ -x "/usr/bin/wasm-ld-$major" ] && say "/usr/bin/wasm-ld-$major"
}
debian_llvm_major() { /usr/bin/rustc -vV 2>/dev/null | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p'; }

find_chromium() {
  local name
  [ -n "${CHROMIUM_PATH:-}" ] && { say "$CHROMIUM_PATH"; return; }
  for name in chromium chromium-browser google-chrome-stable google-chrome; do
    have "$name" && { command -v "$name"; return; }
  done
  name="/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
  [ -x "$name" ] && say "$name"
}

# `ls` fails for the one place of the two that it is not in, which would end a script with `pipefail`.
find_lavapipe() { { ls /usr/share/vulkan/icd.d/lvp_icd*.json /usr/local/share/vulkan/icd.d/lvp_icd*.json 2>/dev/null || true; } | head -n 1; }

# A lavapipe with `shader-f16`, where scripts/setup.sh found or fetched one.
find_lavapipe_f16() { ls "$TOOLS"/lavapipe-f16/icd.json 2>/dev/null || true; }

# The same driver on every machine, so that a test's numbers do not depend on who runs it. Any
# override, also an empty one (= every driver of the system), is respected.
use_software_vulkan() {
  [ "$(uname -s)" = Linux ] || return 0
  [ -n "${VK_DRIVER_FILES+set}${VK_ICD_FILENAMES+set}" ] && return 0
  local driver; driver=$(find_lavapipe)
  # Two names of one setting: loaders before 1.3.207 know only the second.
  [ -n "$driver" ] && export VK_DRIVER_FILES=$driver VK_ICD_FILENAMES=$driver
  return 0
}
