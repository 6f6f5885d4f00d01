# make demo    train, record, replay, report: the main job on bundled images
# make test    lint, types, all tests
# make docs    the pages as a site: out/site/index.html
# make check   lint, types, the quick tests: what to run before a commit

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?= digits
# Tests of a module stay in one process, so what they share is made once; the slow modules, which
# tests/conftest.py puts first, also start first.
PYTEST := $(BIN)/pytest --numprocesses=logical --maxprocesses=8 --dist=loadscope --no-loadscope-reorder

.PHONY: demo docs test check ready lint kernels types blocks

# On one thread, which is as fast: sums of two threads round otherwise, and training goes another way.
demo: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/dfs-hw demo --data $(DATA) --out out/demo

docs: $(VENV)/.installed
	$(BIN)/sphinx-build --fail-on-warning --fresh-env --quiet -c docs . out/site

test: ready
	$(PYTEST)

check: ready
	$(PYTEST) -m 'not slow'

# What would otherwise be done in turn, or by every process of the tests.
ready: lint
	$(MAKE) --no-print-directory --jobs=2 kernels types blocks

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/mypy
	$(BIN)/mypy --platform win32 --cache-dir .mypy_cache/win32

kernels: $(VENV)/.installed
	$(BIN)/python tests/helpers/compile_kernels.py search replay datapath

blocks: $(VENV)/.installed
	$(BIN)/python tests/helpers/compile_kernels.py blocks

# Modules are compiled when they are first imported: most of PyTorch's never are, and to compile all
# takes twice the processor time of all else here.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[dev]'
	touch $@
