# `make` lists the targets. All work is in scripts/; what is built or fetched lies in
# $JINA_CACHE (~/.cache/jina-embeddings-web), outside the clone.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup wasm package demo test test-large bench bench-search lint fmt clean

wasm_file    := www/lib/wasm/jina_embeddings_web_bg.wasm
edge_file    := www/lib/wasm/jina_embeddings_edge_bg.wasm
wasm_sources := $(shell find src -path src/bin -prune -o '(' -name '*.rs' -o -name '*.wgsl' ')' -print) Cargo.toml Cargo.lock rust-toolchain.toml \
                scripts/wasm-build.sh scripts/env.sh

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what the others need: Rust for wasm32, wasm-bindgen, Node packages, Chromium, software Vulkan
	@scripts/setup.sh

demo: ## build everything, serve the search page and print its address
	@scripts/demo.sh

test: ## format, lints, Rust tests on CPU and Vulkan, TypeScript, wasm, browser tests in Chromium
	@scripts/test.sh

test-large: ## what takes hours: long use, and the device lost at every point (scripts/test-large.sh names single steps)
	@scripts/test-large.sh

bench: ## time on each device, beside other engines, and with long texts (BENCH=--save keeps the tables)
	@scripts/setup.sh
	@$(MAKE) --no-print-directory package
	@bash -c '. scripts/env.sh && cargo build --release --locked --bin jina-embed && exec node scripts/bench.mjs $(BENCH)'

bench-search: ## vector search against its goals and other libraries (BENCH=--save keeps the numbers)
	@scripts/setup.sh native wasm node
	@$(MAKE) --no-print-directory $(edge_file)
	@bash -c '. scripts/env.sh && exec node bench/search/run.mjs $(BENCH)'

wasm: ## the Rust library for browsers, whole and without the model, into www/lib/wasm/, with sizes
	@scripts/setup.sh native wasm node
	@$(MAKE) --no-print-directory $(wasm_file) $(edge_file)

package: wasm ## the npm package, into pkg-config/dist/
	@bash -c '. scripts/env.sh && exec npm run --silent build --prefix pkg-config'

lint: ## clippy and formatting of Rust, types of TypeScript
	@scripts/setup.sh native node
	@bash -c '. scripts/env.sh && cargo fmt --check && cargo clippy --locked --all-targets -- -D warnings && npm run --silent typecheck --prefix pkg-config'

fmt: ## format the Rust code
	@bash -c '. scripts/env.sh && exec cargo fmt'

clean: ## remove what was built here (the cache outside the clone stays; it says where that is)
	@scripts/clean.sh

# Not a target of its own in the list: `make wasm` is, which also looks after the tools.
$(wasm_file): $(wasm_sources)
	@scripts/wasm-build.sh
$(edge_file): $(wasm_sources)
	@scripts/wasm-build.sh edge
