#!/usr/bin/env bash
# Everything that is tested, in one run, cheapest first; a summary and `N passed, N failed` at the end.
#
#   scripts/test.sh [STEP]...       all steps by default; `scripts/test.sh --list` names them
#
# Nothing is skipped for want of something: a missing adapter or browser fails. The Rust tests
# compute on the CPU device and on lavapipe (VK_DRIVER_FILES names another Vulkan driver), the
# browser tests in Chromium on SwiftShader.
set -uo pipefail
. "$(dirname "$0")/env.sh"
cd "$REPO" || exit 1

steps=(scripts format licences types typescript clippy documents rust halves serve wasm package consumers audit browser)

describe() {
  case $1 in
    scripts)    say "demo server, documents" ;;
    format)     say "Rust format" ;;
    licences)   say "licences and sources of crates" ;;
    types)      say "TypeScript types" ;;
    typescript) say "TypeScript unit tests" ;;
    clippy)     say "clippy, warnings denied" ;;
    documents)  say "cargo doc, warnings denied" ;;
    rust)       say "Rust tests, CPU and Vulkan" ;;
    halves)     say "weights in halves, Vulkan with shader-f16" ;;
    serve)      say "server, with others' clients" ;;
    wasm)       say "wasm build and size limit" ;;
    package)    say "npm package and search page" ;;
    consumers)  say "package installed: Vite, edge, Node" ;;
    audit)      say "page, audited by Lighthouse" ;;
    browser)    say "browser tests, Chromium" ;;
  esac
}

run_step() {
  case $1 in
    scripts)    node --test scripts/ ;;
    format)     cargo fmt --check ;;
    licences)   "$CLIENTS/bin/cargo-deny" --log-level error --locked check -D warnings licenses bans sources ;;
    types)      npm run --silent typecheck --prefix pkg-config ;;
    typescript) npm test --silent --prefix pkg-config ;;
    clippy)     cargo clippy --locked --all-targets -- -D warnings ;;
    documents)  RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps ;;
    rust)       cargo test --locked --no-fail-fast ;;
    halves)
      # On macOS the adapter itself; on Linux the driver that set-up looked for.
      driver=$(find_lavapipe_f16)
      JINA_NEEDS_SHADER_F16=1 VK_DRIVER_FILES=${driver:-${VK_DRIVER_FILES:-}} VK_ICD_FILENAMES=${driver:-${VK_ICD_FILENAMES:-}} \
        cargo test --locked --lib --test halves -- halves ;;
    serve)
      # JINA_EMBED as for `browser`.
      cargo test --locked --quiet --no-run --test command &&
        PYTHONDONTWRITEBYTECODE=1 "$CLIENTS/bin/python" -m pytest -q -p no:cacheprovider tests/serve ;;
    wasm)       JINA_DENY_WARNINGS=1 make --no-print-directory wasm ;;
    package)
      # The page and the browser tests are checked against the types of the built package.
      npm run --silent build --prefix pkg-config &&
        npm run --silent lint:package --prefix pkg-config &&
        npm run --silent size --prefix pkg-config &&
        node www/demo/build.mjs &&
        pkg-config/node_modules/.bin/tsc --project www/demo/tsconfig.json &&
        pkg-config/node_modules/.bin/tsc --project www/demo/tsconfig.sw.json &&
        pkg-config/node_modules/.bin/tsc --project tests/browser/tsconfig.json ;;
    consumers)
      # What `package` and `rust` built, or now if this step runs alone.
      npm run --silent build --prefix pkg-config && npm run --silent docs --prefix pkg-config &&
        cargo test --locked --quiet --no-run --test command &&
        npm run --silent test:consumers --prefix pkg-config ;;
    audit)
      # The page that `package` built. JINA_EMBED as for `browser`.
      cargo test --locked --quiet --no-run --test command &&
        node --test --test-timeout=240000 tests/page-audit/ ;;
    browser)
      # JINA_EMBED, which converts the test models: built by `rust`, or now if this step runs alone.
      # Through `cargo test`, whose features the dependencies were compiled with.
      cargo test --locked --quiet --no-run --test command &&
        npm run --silent test:browser --prefix pkg-config ;;
    *) return 2 ;;
  esac
}
# The steps whose output holds counts of tests; the others count as one.
has_counts() { case $1 in scripts | typescript | rust | halves | serve | consumers | audit | browser) return 0 ;; *) return 1 ;; esac; }

# Prints "PASSED FAILED SKIPPED" from the closing lines of cargo test, node --test, pytest and Playwright.
count_tests() {
  sed 's/\x1b\[[0-9;]*[A-Za-z]//g' "$1" | awk '
    /^test result: / {
      for (i = 2; i <= NF; i++) {
        if ($i ~ /^passed/) passed += $(i - 1)
        if ($i ~ /^failed/) failed += $(i - 1)
        if ($i ~ /^ignored/) skipped += $(i - 1)
      }
    }
    /^(#|ℹ) (pass|fail|cancelled|skipped|todo) [0-9]+$/ {
      if ($2 == "pass") passed += $3
      else if ($2 == "fail" || $2 == "cancelled") failed += $3
      else skipped += $3
    }
    /^[0-9]+ (passed|failed|skipped|error|xfailed).* in [0-9.]+s/ {
      for (i = 2; i <= NF; i++) {
        if ($i ~ /^passed/) passed += $(i - 1)
        if ($i ~ /^(failed|error)/) failed += $(i - 1)
        if ($i ~ /^(skipped|xfailed)/) skipped += $(i - 1)
      }
    }
    /^ +[0-9]+ (passed|failed|flaky|skipped|interrupted|did not run)( \(.*\))?$/ {
      if ($2 == "passed") passed += $1
      else if ($2 == "skipped") skipped += $1
      else failed += $1
    }
    END { print passed + 0, failed + 0, skipped + 0 }'
}

if [ "${1:-}" = --list ]; then
  for step in "${steps[@]}"; do printf '  %-11s %s\n' "$step" "$(describe "$step")"; done
  exit 0
fi
for step in "$@"; do [ -n "$(describe "$step")" ] || die "no step '$step'; scripts/test.sh --list names them"; done
[ $# -eq 0 ] || steps=("$@")

began=$SECONDS
if ! scripts/setup.sh; then
  say
  say "The set-up failed, so no test was run."
  say "0 passed, 1 failed"
  exit 1
fi
. scripts/env.sh # again: set-up may have installed a newer Node or Rust
use_software_vulkan
CHROMIUM_PATH=$(find_chromium)
logs=$JINA_CACHE/test-logs
mkdir -p "$logs"
export CHROMIUM_PATH JINA_EMBED=$CARGO_TARGET_DIR/debug/jina-embed
export CARGO_TERM_COLOR=never CARGO_TERM_PROGRESS_WHEN=never NO_COLOR=1
unset FORCE_COLOR

clock() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }
passed=0 failed=0 skipped=0 rows=()
rows+=("$(printf '  %-6s %-30s %26s  %6s' ok "set-up" "" "$(clock $((SECONDS - began)))")")
for step in "${steps[@]}"; do
  say
  say "== $(describe "$step")"
  step_began=$SECONDS
  run_step "$step" </dev/null 2>&1 | tee "$logs/$step.log"
  status=${PIPESTATUS[0]}
  if has_counts "$step"; then
    read -r step_passed step_failed step_skipped < <(count_tests "$logs/$step.log")
    # A crash, a failed build, or a runner that found no test.
    if [ "$step_failed" = 0 ] && { [ "$status" != 0 ] || [ "$step_passed" = 0 ]; }; then step_failed=1; status=1; fi
    detail="$step_passed passed, $step_failed failed"
    [ "$step_skipped" = 0 ] || detail="$detail, $step_skipped skipped"
  else
    step_passed=$((status == 0)) step_failed=$((status != 0)) step_skipped=0 detail=
  fi
  # Only cargo's #[ignore] is a choice written in the source; elsewhere a skip means something is missing.
  if [ "$step_skipped" != 0 ] && [ "$step" != rust ]; then step_failed=$((step_failed + step_skipped)) step_skipped=0; fi
  passed=$((passed + step_passed)) failed=$((failed + step_failed)) skipped=$((skipped + step_skipped))
  verdict=ok
  [ "$status" = 0 ] && [ "$step_failed" = 0 ] || verdict=FAILED
  rows+=("$(printf '  %-6s %-30s %26s  %6s' "$verdict" "$(describe "$step")" "$detail" "$(clock $((SECONDS - step_began)))")")
done

say
say "== Summary ($(clock $((SECONDS - began))) minutes; output of each step in $logs)"
printf '%s\n' "${rows[@]}"
say
if [ "$skipped" = 0 ]; then say "$passed passed, $failed failed"; else say "$passed passed, $failed failed, $skipped skipped"; fi
[ "$failed" = 0 ]
