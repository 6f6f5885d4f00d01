# make demo   train, record, replay, report: the main job on bundled images
# make test   lint, types, tests

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?= digits

.PHONY: demo test

demo: $(VENV)/.installed
	$(BIN)/dfs-hw demo --data $(DATA) --out out/demo

test: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@
