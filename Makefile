# Every way to build, run and check Martlet. `make help` lists the targets; the work itself is in Scripts/.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# One configuration for everything, so that all of it shares its objects (Docs/decisions/0003-one-build.md).
SWIFT ?= swift
SWIFT_FLAGS ?= -c release -Xswiftc -enforce-exclusivity=unchecked
# Where `make run` listens.
PORT ?= 8000
SIM_PORT ?= 9900

export SWIFT SWIFT_FLAGS PORT SIM_PORT

.PHONY: help build run test test-swift test-python bench bench-peers bench-functions bench-instructions fuzz fuzz-corpus fuzz-coverage soak soak-short format lint clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Install what the build needs and build the release binary
	@Scripts/build

run: ## Build, start the simulator and Martlet, and print a first call (PORT=8000 SIM_PORT=9900)
	@exec Scripts/run

test: ## Install what the tests need, build, and run every test
	@exec Scripts/test all

test-swift: ## The Swift tests alone
	@exec Scripts/test swift

test-python: ## The client and scenario suites alone, against the release binary
	@exec Scripts/test python

# PARTS=plain,stream,large,idle,memory ROUNDS=7 SECONDS=6 RECORD=1 choose what the benchmarks do; Docs/benchmarks.md.
bench_options = $(if $(PARTS),--parts $(PARTS)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(RECORD),--record)

bench: ## Martlet and nginx in turns: plain, streamed, large prompts, idle streams, memory
	@exec Scripts/bench $(bench_options)

bench-peers: ## The same with sglang-router, vllm-router and LiteLLM from PyPI: plain and streamed
	@exec Scripts/bench --peers $(bench_options)

bench-functions: ## Instructions of functions of the hot path against their thresholds (UPDATE=1 rewrites those)
	@exec Scripts/bench-functions $(if $(UPDATE),--update)

bench-instructions: ## Instructions of whole calls through the binary against their thresholds (UPDATE=1; FUNCTIONS=30)
	@exec Scripts/bench-instructions $(if $(UPDATE),--update) $(if $(FUNCTIONS),--functions $(FUNCTIONS))

# TIME (seconds a target) or RUNS, TARGETS=head,request choose what is fuzzed; Docs/testing.md.
fuzz_options = $(if $(TARGETS),--targets $(TARGETS)) $(if $(TIME),--time $(TIME)) $(if $(RUNS),--runs $(RUNS)) $(if $(JOBS),--jobs $(JOBS))

fuzz: ## Fuzz whatever reads bytes from outside: ten minutes a target (TIME=3600, RUNS=1000000, TARGETS=head,stream)
	@exec Scripts/fuzz long $(fuzz_options)

fuzz-corpus: ## Take what `make fuzz` has found to reach more into the corpus in the repository
	@exec Scripts/fuzz corpus $(fuzz_options)

fuzz-coverage: ## Which lines of the parsers that corpus reaches
	@exec Scripts/fuzz coverage $(fuzz_options)

# The rate is in calls a second; at 100 the clients take more than the gateway.
soak: ## Mixed load for hours; memory, files, connections and journal must stay flat (HOURS=24 RATE=100)
	@exec Scripts/soak --hours $(or $(HOURS),1) $(if $(RATE),--rate $(RATE))

soak-short: ## The same in ten minutes
	@exec Scripts/soak --hours 0.16667 $(if $(RATE),--rate $(RATE))

format: ## Format the Swift sources
	@$(SWIFT) format format --in-place --parallel --recursive Sources Tests Benchmarks Package.swift

lint: ## Check format, shell scripts and the boundaries between targets
	@exec Scripts/lint

clean: ## Remove what was built and what `make run` and `make test` made (not ./data)
	@rm -rf .build .build-fuzz .build-fuzz.log .build-fuzz-coverage .build-fuzz-coverage.log .fuzz .soak .venv .bench-venvs .run .pytest_cache
