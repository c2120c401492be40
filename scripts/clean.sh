#!/usr/bin/env bash
# Removes what the build left in the clone; tells what lies outside it and how to remove that.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$REPO"
rm -rf www/lib/wasm www/demo/dist pkg-config/dist pkg-config/dist-docs pkg-config/node_modules target/browser-tests target/browser-models test-results playwright-report
if [ -d "$JINA_CACHE" ]; then
  say "Kept: $JINA_CACHE ($(du -sh "$JINA_CACHE" | cut -f1): compiled dependencies, tools, models)."
  say "To remove it too: rm -rf '$JINA_CACHE'"
fi
