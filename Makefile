# make demo   set up, build, capture both embedded models, show where their sinks float
# make test   set up, lint, build, run every test
SWIFT ?= swift
# Programs are built for speed, unit tests with every check on.
BUILD := $(SWIFT) build -c release
BINARY = $(shell $(BUILD) --show-bin-path)/attntrace
PYTHON := .venv/bin/python

.PHONY: help setup setup-test build demo test lint format unit interop parity bench train clean

help:
	@echo "make demo    capture two small models and see where their attention sinks float"
	@echo "make test    lint, build, every test"
	@echo "make build   the command, at .build/release/attntrace"
	@echo "make bench   speed against peers, written to out/bench.json"
	@echo "make parity  recompute the fixtures of numbers with the installed PyTorch and NumPy, and compare"
	@echo "make train   train the embedded models again (hours)"
	@echo "make format  swift format, in place"

setup:
	@scripts/setup.sh build

setup-test:
	@scripts/setup.sh test

build: setup
	$(BUILD) --product attntrace

demo: setup-test
	$(BUILD) --product attntrace
	@ATTNTRACE=$(BINARY) PYTHON=$(PYTHON) scripts/demo.sh

test: lint unit interop

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

parity:
	@scripts/setup.sh peers
	.venv-peers/bin/python scripts/parity.py

bench:
	@scripts/setup.sh peers
	$(BUILD)
	ATTNTRACE=$(BINARY) .venv-peers/bin/python Benchmarks/bench.py

train:
	models/training/train_all.sh

clean:
	rm -rf .build out .venv .venv-peers
