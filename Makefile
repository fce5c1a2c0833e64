# What people type. The commands of the program itself are in docs/reference; `make` alone lists what is here.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# Where scripts/setup puts Rust and Node when the machine has none that will do.
export PATH := $(HOME)/.cargo/bin:$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/seawall/node/bin:$(PATH)

.PHONY: help run test test-long bench fuzz fmt generate doc

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## set up what is missing, build, and put Seawall in front of a site: make run ORIGIN=http://127.0.0.1:3000
	@scripts/setup run
	cargo build --release --locked --package seawall
	@exec target/release/seawall up $(if $(ORIGIN),--origin '$(ORIGIN)') $(ARGS)

test: ## set up what is missing, then format, lints and the whole test suite
	@scripts/setup test
	@scripts/test

test-long: ## every loop at full count; writes docs/measured/<date>.md
	@scripts/setup test
	@scripts/test --long

bench: ## Seawall against nginx, HAProxy and a bare relay (JSON=1 for one JSON row per work)
	@scripts/setup bench
	@cargo build --release --locked --package seawall >&2
	@cargo run --quiet --locked --package xtask -- bench $(if $(JSON),--json)

fuzz: ## every reader of foreign bytes against made-up ones: make fuzz [TARGET=h1_request] [SECONDS=60]
	@scripts/setup test
	@scripts/fuzz $(or $(TARGET),all) $(or $(SECONDS),60)

fmt: ## bring all Rust files into the one format
	cargo fmt --all

generate: ## render docs/reference from the tables in the code
	cargo xtask generate

doc: ## build the API documentation of all rooms into target/doc
	cargo doc --workspace --no-deps --locked
