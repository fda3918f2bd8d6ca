# make demo   set up, build, capture both embedded models, show where their sinks float
# make test   set up, lint, build, run every test
SWIFT ?= swift
# Programs are built for speed, unit tests with every check on.
BUILD := $(SWIFT) build -c release
BINARY = $(shell $(BUILD) --show-bin-path)/attntrace
PYTHON := .venv/bin/python

# Files of `make fuzz`.
FILES ?= 20000

.PHONY: help setup setup-demo setup-test build demo pictures test lint format unit interop python crash fuzz parity bench bench-large peers train clean

help:
	@echo "make demo    capture two small models, see where their attention sinks float, and write it all as a page"
	@echo "make test    lint, build, every test"
	@echo "make pictures  those of the README, of the demo's traces"
	@echo "make crash   end a capture at every one of its writes (a sample of them is in make test)"
	@echo "make fuzz    read mutated traces; FILES=20000 of them"
	@echo "make build   the command, at .build/release/attntrace"
	@echo "make bench   speed against peers, written to out/bench.json"
	@echo "make bench-large  one step of a model of LLaDA-8B's shape; LARGE_LAYERS=32 takes 16 GB of disk (and memory)"
	@echo "make parity  recompute the fixtures of numbers with the installed PyTorch and NumPy, and compare"
	@echo "make peers   numbers and speed against llama.cpp, which is built from source first (minutes)"
	@echo "make train   train the embedded models again (hours)"
	@echo "make format  swift format, in place"

setup:
	@scripts/setup.sh build

setup-demo:
	@scripts/setup.sh demo

setup-test:
	@scripts/setup.sh test

build: setup
	$(BUILD) --product attntrace

demo: setup-demo
	$(BUILD) --product attntrace
	@ATTNTRACE=$(BINARY) PYTHON=$(PYTHON) scripts/demo.sh

pictures: setup-test demo
	PYTHONPATH=python/src $(PYTHON) scripts/pictures.py out/demo docs/images

test: lint unit interop python

lint: setup-test
	$(SWIFT) format lint --strict --recursive --parallel Package.swift Sources Tests examples Benchmarks

format:
	$(SWIFT) format --in-place --recursive --parallel Package.swift Sources Tests examples Benchmarks

unit: setup-test
	$(SWIFT) build --build-tests
	$(SWIFT) test --skip-build

interop: setup-test
	$(BUILD)
	ATTNTRACE=$(BINARY) $(PYTHON) -m pytest -q Tests/Interop

# The Python package on the newest and on the oldest versions that it supports.
python: setup-test
	$(BUILD) --product attntrace
	cd python && ../$(PYTHON) -m mypy
	ATTNTRACE=$(BINARY) $(PYTHON) -m pytest -q python/tests
	ATTNTRACE=$(BINARY) .venv-oldest/bin/python -m pytest -q python/tests

crash: setup-test
	$(BUILD) --product attntrace
	CRASH_POINTS=all ATTNTRACE=$(BINARY) $(PYTHON) -m pytest -q Tests/Interop/test_crash.py --durations=20

fuzz: setup-test
	$(BUILD) --product attntrace
	cd Tests/Interop && ATTNTRACE=$(BINARY) $(CURDIR)/$(PYTHON) -m fuzzing $(FILES)

parity:
	@scripts/setup.sh peers
	.venv-peers/bin/python scripts/parity.py

bench:
	@scripts/setup.sh peers
	$(BUILD)
	ATTNTRACE=$(BINARY) .venv-peers/bin/python Benchmarks/bench.py

peers:
	@scripts/setup.sh llama
	$(BUILD)
	.venv-peers/bin/python Benchmarks/llama/compare.py --bin $(dir $(BINARY))

bench-large:
	@scripts/setup.sh peers
	$(BUILD) --product capture-bench
	.venv-peers/bin/python Benchmarks/large/run.py --binary $(dir $(BINARY))capture-bench

train:
	models/training/train_all.sh

clean:
	rm -rf .build out .venv .venv-oldest .venv-peers
