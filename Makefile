# The commands a developer needs. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PATH := $(PATH):$(HOME)/.cargo/bin
CARGO ?= cargo
# Built together, so that no crate is built twice with other features.
PROGRAMS := -p provado -p provado-agent -p provado-controller -p provado-integration-tests

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Build, start a real PostgreSQL with real data, show the whole story
	scripts/setup
	$(CARGO) build --release --locked --bins $(PROGRAMS)
	. scripts/env && scripts/demo

.PHONY: test
test: ## Every test, against real servers
	scripts/setup test
	$(CARGO) build --workspace --bins --locked --quiet
	. scripts/env && $(CARGO) nextest run --workspace --locked
	. scripts/env && $(CARGO) test --workspace --locked --doc --quiet

.PHONY: lint
lint: ## Format, clippy, licences, banned and doubled crates
	scripts/setup lint
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) deny --locked check licenses bans sources

.PHONY: bench
bench: ## The figures of docs/benchmarks.md, measured on this machine
	scripts/setup
	$(CARGO) build --profile dist --locked --bins $(PROGRAMS)
	. scripts/env && "$${CARGO_TARGET_DIR:-target}/dist/bench"

.PHONY: setup
setup: ## Install what is missing for the rest, which run it by themselves
	scripts/setup test
