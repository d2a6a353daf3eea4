# Everything a newcomer and a developer need. `make demo` and `make test` stand alone on a fresh machine.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PORT ?= 8000
BIN := .venv/bin
MANAGE := $(BIN)/python manage.py
TORCH := torch==2.13.0
# make setup TORCH_INDEX=https://download.pytorch.org/whl/cpu   the CPU build from PyTorch's own index
# make setup GPU=1                                              the CUDA build, several gigabytes
TORCH_INDEX ?=
GPU ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test setup setup-dev upgrade run worker lint format e2e screenshots bench chaos starter-model clean

help:
	@echo "make demo           install, start everything, draw the Zodiac set, serve on port $(PORT)"
	@echo "make test           the test suite (slow=1: with the learning runs and the long kill tests)"
	@echo "make setup          .venv with everything that is needed to run"
	@echo "make upgrade        after git pull: stops the workers, installs, migrates, starts again; may be repeated at any time"
	@echo "make run | worker   the web server; both workers (after make setup, for development)"
	@echo "make lint | format | e2e | bench | chaos | starter-model"

demo: .venv/.installed
	@$(MANAGE) demo --port $(PORT)

setup: .venv/.installed

setup-dev: .venv/.installed-dev

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; name it with PYTHON=…")'
	$(PYTHON) -m venv .venv

# Torch first and by itself: whatever is installed after it finds its need met and pulls no other build.
.venv/.torch: | .venv/bin/python
	@echo "Installing about 1 GB into .venv, which takes some minutes the first time."
	@if $(BIN)/python -c 'import importlib.metadata as m; assert m.version("torch").startswith("2.13.0")' 2>/dev/null; then \
	  echo "PyTorch is there."; \
	elif [ -n "$(GPU)" ]; then $(BIN)/pip install --progress-bar off "$(TORCH)"; \
	elif [ -n "$(TORCH_INDEX)" ]; then $(BIN)/pip install --progress-bar off --index-url "$(TORCH_INDEX)" "$(TORCH)"; \
	elif $(BIN)/pip install -q --progress-bar off "$(TORCH)+cpu" 2>/dev/null; then echo "Installed PyTorch, CPU build."; \
	elif [ "$$(uname)" = Linux ]; then \
	  echo "No CPU build of PyTorch is on your package index, so its default build comes, with CUDA: several gigabytes."; \
	  echo "Rather the small one? Stop this and run: make $(firstword $(MAKECMDGOALS)) TORCH_INDEX=https://download.pytorch.org/whl/cpu"; \
	  sleep 5; $(BIN)/pip install --progress-bar off "$(TORCH)"; \
	else $(BIN)/pip install --progress-bar off "$(TORCH)"; fi
	@touch $@

.venv/.installed: requirements.txt .venv/.torch
	$(BIN)/pip install -q --progress-bar off -c <(echo "$(TORCH)") -r requirements.txt
	@touch $@

.venv/.installed-dev: requirements-dev.txt .venv/.installed
	$(BIN)/pip install -q --progress-bar off -c <(echo "$(TORCH)") -r requirements-dev.txt
	@touch $@

# Settings are the installation's own: the DJANGO_DEBUG below is for development. A line that names MAKE itself would run
# under `make -n` too.
upgrade:
	@test -e .venv/.installed || $(MAKE_COMMAND) setup
	@$(if $(filter file,$(origin DJANGO_DEBUG)),env -u DJANGO_DEBUG) MAKE="$(MAKE_COMMAND)" $(BIN)/python -m imagineer.upgrade $(args)

# ---- Development

export DJANGO_DEBUG ?= 1

run: .venv/.installed
	$(MANAGE) migrate --noinput -v 0 && $(MANAGE) seed_templates && $(MANAGE) runserver $(PORT)

worker: .venv/.installed
	$(MANAGE) migrate --noinput -v 0
	@trap 'kill 0' EXIT; $(MANAGE) work default & $(MANAGE) work gpu & wait

# Many tests wait for clusters, so three share two cores; the longest files come first. jobs=0 runs them in one process,
# where a debugger can be used.
jobs ?= 3

test: .venv/.installed-dev
	$(BIN)/python -m pytest -q -n $(jobs) --dist loadfile --no-loadscope-reorder -m "not e2e$(if $(slow),, and not slow)" $(args)

e2e: .venv/.installed-dev
	$(BIN)/python -m pytest -q -m e2e $(args)

screenshots: .venv/.installed-dev
	$(BIN)/python -m tests.e2e.photograph

lint: .venv/.installed-dev
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

format: .venv/.installed-dev
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

bench: .venv/.installed-dev
	$(BIN)/python -m bench $(if $(only),--only $(only)) $(if $(full),--full)

chaos: .venv/.installed-dev
	$(BIN)/python -m bench.chaos $(if $(short),--short) $(args)

starter-model: .venv/.installed-dev
	$(BIN)/python -m imagineer.starter_model.build $(args)

clean:
	rm -rf .venv build
