#!/usr/bin/env bash
# Installs what the other targets need, and nothing that is already there.
#
#   scripts/setup.sh [native] [wasm] [node] [consumers] [audit] [browser] [vulkan] [clients]    all by default
#
# A step that cannot do its work says what is missing and where to get it; the others go on, and
# the script ends with status 1. When everything is in place it takes a fraction of a second.
set -uo pipefail
. "$(dirname "$0")/env.sh"
cd "$REPO" || exit 1

missing=()
lacks() { # WHAT HOW
  missing+=("$1"$'\n'"      $2")
  printf '  missing: %s\n' "$1"
}
announce() { printf 'setup: %s\n' "$*"; }

root=()
[ "$(id -u)" = 0 ] || { have sudo && root=(sudo); }
apt_updated=
# Installs Debian packages; fails where there is no apt-get or no right to use it. apt's talk goes
# to a file, whose end is shown if it fails.
apt_install() {
  have apt-get || return 1
  if [ "$(id -u)" != 0 ] && [ ${#root[@]} = 0 ]; then
    announce "apt-get install $* needs root, and there is no sudo"
    return 1
  fi
  announce "apt-get install $*"
  local log=$JINA_CACHE/setup-apt.log
  if [ -z "$apt_updated" ]; then
    "${root[@]}" apt-get update -qq </dev/null >"$log" 2>&1 || { tail -n 5 "$log" >&2; return 1; }
    apt_updated=yes
  fi
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >"$log" 2>&1 \
    || { tail -n 5 "$log" >&2; return 1; }
}

step_compiler() {
  have cc && have make && have curl && have git && return
  apt_install build-essential ca-certificates curl git pkg-config
  have cc && have make || lacks "a C compiler (cc) and make" "Debian, Ubuntu: apt-get install build-essential · Fedora: dnf group install development-tools · macOS: xcode-select --install"
}

# The only step that runs a downloaded script: rustup's own installer, and only if there is no cargo.
step_rust() {
  (cd "$REPO" && have cargo && rust_is_new_enough) && return
  local channel
  channel=$(pinned_channel)
  if have rustup; then
    announce "rustup toolchain install $channel (at most 10 minutes)"
    bounded 600 rustup toolchain install "$channel" --profile minimal --component rustfmt --component clippy </dev/null >/dev/null
  elif ! have cargo && have curl; then
    announce "rustup (https://rustup.rs)"
    if bounded 20 curl --proto '=https' --tlsv1.2 -sSfL --connect-timeout 10 https://sh.rustup.rs -o "$JINA_CACHE/rustup-init.sh"; then
      bounded 600 sh "$JINA_CACHE/rustup-init.sh" -y --no-modify-path --profile minimal --component rustfmt --component clippy \
        --default-toolchain "$channel" </dev/null >/dev/null && . "$HOME/.cargo/env"
    fi
    rm -f "$JINA_CACHE/rustup-init.sh"
  fi
  (cd "$REPO" && have cargo && rust_is_new_enough) && return
  # Debian's compiler for its browsers is kept current within a stable release.
  if ! have rustup; then
    apt_install rustc-web cargo-web rustfmt-web rust-web-clippy
    hash -r
  fi
  (cd "$REPO" && have cargo && rust_is_new_enough) && return
  local found
  found=$(rustc_version)
  lacks "Rust $(min_rust) or newer (found: ${found:-none})" \
    "https://rustup.rs, then: rustup toolchain install $channel --component rustfmt --component clippy · Debian 12 without that server: apt-get install rustc-web cargo-web rustfmt-web rust-web-clippy"
}

step_wasm_target() {
  [ -n "$(wasm_toolchain)" ] && return
  if have rustup; then
    announce "rustup target add $WASM_TARGET (at most 60 s)"
    # Where its server is out of reach rustup hangs instead of failing.
    bounded 60 rustup target add "$WASM_TARGET" </dev/null >/dev/null 2>&1
    [ -n "$(wasm_toolchain)" ] && return
    announce "rustup's server did not answer; trying Debian's Rust, which builds the standard library from source"
  fi
  if apt_install rustc-web cargo-web rust-web-src; then
    [ -n "$(debian_wasm_linker)" ] || apt_install "lld-$(debian_llvm_major)"
  fi
  [ -n "$(wasm_toolchain)" ] && return
  lacks "Rust's standard library for $WASM_TARGET" \
    "rustup target add $WASM_TARGET · Debian 12 without rustup's server: apt-get install rustc-web cargo-web rust-web-src, and lld of the LLVM that /usr/bin/rustc -vV names"
}

# wasm-bindgen's command and crate must be of one version; the crate's is in Cargo.lock.
step_wasm_bindgen() {
  local version root_dir
  version=$(locked_version wasm-bindgen)
  root_dir=$TOOLS/wasm-bindgen-$version
  [ -x "$root_dir/bin/wasm-bindgen" ] && return
  have cargo || { lacks "wasm-bindgen $version" "install Rust first (above)"; return; }
  announce "wasm-bindgen $version (cargo install, a few minutes)"
  # As its authors locked it; where a registry lacks one of those versions (a mirror that lags
  # behind does), with the newest that it has.
  install_wasm_bindgen "$version" "$root_dir" --locked 2>/dev/null || install_wasm_bindgen "$version" "$root_dir"
  rm -rf "$JINA_CACHE/tools-target"
  [ -x "$root_dir/bin/wasm-bindgen" ] && return
  lacks "wasm-bindgen $version" "cargo install --root '$root_dir' wasm-bindgen-cli --version $version"
}

install_wasm_bindgen() { # VERSION ROOT [--locked]
  # It runs for seconds: a quick build is worth more than a quick program.
  CARGO_TARGET_DIR=$JINA_CACHE/tools-target CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
    cargo install --quiet --root "$2" wasm-bindgen-cli --version "$1" "${@:3}" </dev/null
}

node_is_new_enough() {
  have node && have npm && [ "$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)" -ge "$MIN_NODE_MAJOR" ]
}
step_node() {
  if ! node_is_new_enough; then
    have npm || apt_install nodejs npm
    # Debian 12 has Node 18. npm carries newer builds of Node as packages of their own.
    if ! node_is_new_enough && have npm; then
      local cpu=x64 os=linux
      case $(uname -m) in aarch64 | arm64) cpu=arm64 ;; esac
      [ "$(uname -s)" = Darwin ] && os=darwin
      announce "Node 22 from the npm package node-$os-$cpu"
      npm install --silent --no-audit --no-fund --prefix "$TOOLS/node" "node-$os-$cpu@22" npm@10 </dev/null >/dev/null
      PATH=$TOOLS/node/node_modules/.bin:$PATH
      hash -r
    fi
    node_is_new_enough || {
      lacks "Node $MIN_NODE_MAJOR or newer with npm (found: $(node --version 2>/dev/null || echo none))" "https://nodejs.org · macOS: brew install node"
      return
    }
  fi
  [ -f pkg-config/package-lock.json ] || { lacks "pkg-config/package-lock.json" "it is part of the repository: git checkout pkg-config"; return; }
  # Inside node_modules, so that deleting the folder also forgets the stamp.
  local stamp=pkg-config/node_modules/.installed-for wanted
  wanted="$(cksum < pkg-config/package-lock.json) node $(node --version)"
  [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
  announce "npm ci (pkg-config/package-lock.json)"
  # Browsers come from the distribution: Playwright's own download is not wanted.
  if PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --no-audit --no-fund --loglevel=error --prefix pkg-config </dev/null >/dev/null; then
    printf '%s' "$wanted" > "$stamp"
  else
    lacks "the Node packages of pkg-config/package-lock.json" "npm ci --prefix pkg-config, with the npm registry in reach"
  fi
}

# Large packages that a single step needs, outside the clone.
install_apart() { # FOLDER-OF-TESTS NAME-IN-THE-CACHE WHAT
  local tests=$1 folder=$JINA_CACHE/$2 wanted
  have npm || { lacks "the Node packages of $tests" "install Node first (above)"; return; }
  wanted="$(cksum < "$tests/package-lock.json") node $(node --version)"
  [ "$(cat "$folder/node_modules/.installed-for" 2>/dev/null)" = "$wanted" ] && return
  announce "npm ci ($tests/package-lock.json: $3)"
  mkdir -p "$folder"
  cp "$tests/package.json" "$tests/package-lock.json" "$tests/.npmrc" "$folder"
  if npm ci --no-audit --no-fund --prefer-offline --loglevel=error --prefix "$folder" </dev/null >/dev/null; then
    printf '%s' "$wanted" > "$folder/node_modules/.installed-for"
  else
    lacks "the Node packages of $tests/package-lock.json" "npm ci --prefix '$folder', with the npm registry in reach"
  fi
}
# What the applications that use the package are built with.
step_consumers() { install_apart tests/consumers consumers "Vite, Next.js, miniflare, typedoc; 0.7 GB"; }
# What the page is audited with.
step_audit() { install_apart tests/page-audit audit "Lighthouse; 0.2 GB"; }

step_browser() {
  [ -n "$(find_chromium)" ] && return
  apt_install chromium
  [ -n "$(find_chromium)" ] && return
  lacks "Chromium" "Debian: apt-get install chromium · Fedora: dnf install chromium · macOS: brew install --cask google-chrome · or set CHROMIUM_PATH to a Chrome or Chromium"
}

step_vulkan() {
  # macOS computes on Metal, and an override names its own driver.
  [ "$(uname -s)" = Linux ] || return
  [ -n "${VK_DRIVER_FILES+set}${VK_ICD_FILENAMES+set}" ] && return
  has_vulkan_loader && [ -n "$(find_lavapipe)" ] && return
  apt_install libvulkan1 mesa-vulkan-drivers
  has_vulkan_loader && [ -n "$(find_lavapipe)" ] && return
  lacks "a software Vulkan driver (lavapipe) and the Vulkan loader" \
    "Debian, Ubuntu: apt-get install libvulkan1 mesa-vulkan-drivers · Fedora: dnf install vulkan-loader mesa-vulkan-drivers · or set VK_DRIVER_FILES to another driver's JSON file"
}
# A lavapipe with `shader-f16`, for the tests in halves. Mesa has had it since before 25; Debian 12
# offers that in its backports, of which the one driver is unpacked beside the tools, not installed.
step_halves() {
  [ "$(uname -s)" = Linux ] || return
  local folder=$TOOLS/lavapipe-f16 version library list fetch
  [ -n "$(find_lavapipe_f16)" ] && return
  version=$(dpkg-query -W -f '${Version}' mesa-vulkan-drivers 2>/dev/null)
  if [ -n "$version" ] && version_at_least "${version%%-*}" 25.0; then
    mkdir -p "$folder" && cp "$(find_lavapipe)" "$folder/icd.json"
    return
  fi
  list=$(mktemp -d)
  if have apt-get && [ -r /etc/os-release ]; then
    announce "fetching Mesa's software driver with shader-f16 from the backports"
    mkdir -p "$list/lists/partial" "$list/tree"
    # The same source as the system's own packages.
    awk -v suite="$(. /etc/os-release && printf %s "$VERSION_CODENAME")-backports" '
      /^URIs:/ && !uri { uri = $2 } /^Signed-By:/ && !key { key = $2 }
      END { if (uri) print "deb " (key ? "[signed-by=" key "] " : "") uri " " suite " main" }
    ' /etc/apt/sources.list.d/debian*.sources >"$list/sources.list" 2>/dev/null
    fetch=(apt-get -qq -o "Dir::Etc::sourcelist=$list/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$list/lists" -o APT::Sandbox::User=)
    (cd "$list" && "${fetch[@]}" update && "${fetch[@]}" download mesa-vulkan-drivers && dpkg -x mesa-vulkan-drivers_*.deb tree) </dev/null >"$JINA_CACHE/setup-halves.log" 2>&1
    library=$(ls "$list"/tree/usr/lib/*/libvulkan_lvp.so 2>/dev/null)
    if [ -n "$library" ]; then
      mkdir -p "$folder" && mv "$library" "$folder/" &&
        printf '{ "file_format_version": "1.0.0", "ICD": { "api_version": "1.3.0", "library_path": "%s" } }\n' "$folder/libvulkan_lvp.so" >"$folder/icd.json"
    fi
  fi
  rm -rf "$list"
  [ -n "$(find_lavapipe_f16)" ] && return
  lacks "a software Vulkan driver with shader-f16 (Mesa 25 or newer)" \
    "Debian 12: mesa-vulkan-drivers of bookworm-backports · or put the JSON file of one at $folder/icd.json"
}
has_vulkan_loader() { [ -n "$(ls /usr/lib/*/libvulkan.so.1 /usr/lib*/libvulkan.so.1 2>/dev/null)" ]; }

# Python's venv module and 3.11 or newer, which Debian 12 has.
python_is_ready() {
  have python3 && python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}
# The clients that the server is tested with, in an environment of their own.
step_clients() {
  local stamp=$CLIENTS/.installed-for wanted
  wanted=$(cksum < tests/serve/requirements.txt)
  [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
  python_is_ready || apt_install python3 python3-venv
  if ! python_is_ready; then
    lacks "Python 3.11 or newer with venv" "Debian, Ubuntu: apt-get install python3 python3-venv · macOS: brew install python"
    return
  fi
  announce "Python clients of tests/serve/requirements.txt (a minute)"
  rm -rf "$CLIENTS"
  if python3 -m venv "$CLIENTS" && "$CLIENTS/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: --requirement tests/serve/requirements.txt </dev/null; then
    printf '%s' "$wanted" > "$stamp"
  else
    lacks "the Python packages of tests/serve/requirements.txt" "pip install --requirement tests/serve/requirements.txt, with PyPI in reach"
  fi
}

mkdir -p "$JINA_CACHE" "$TOOLS"
[ $# -gt 0 ] || set -- native wasm node consumers audit browser vulkan clients
for part in "$@"; do
  case $part in
    native) step_compiler; step_rust ;;
    wasm) step_wasm_target; step_wasm_bindgen ;;
    node) step_node ;;
    consumers) step_consumers ;;
    audit) step_audit ;;
    browser) step_browser ;;
    vulkan) step_vulkan; step_halves ;;
    clients) step_clients ;;
    *) die "setup knows native, wasm, node, consumers, audit, browser, vulkan, clients; not '$part'" ;;
  esac
done

if [ ${#missing[@]} -gt 0 ]; then
  printf '\nNot everything could be set up here. Missing, and where to get it:\n'
  printf '  - %s\n' "${missing[@]}"
  exit 1
fi
