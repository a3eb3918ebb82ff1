# Two commands do all the set-up on a bare machine with Python 3.11 or newer: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test slow mutants docs lint types imports clean

demo: $(VENV)/.core
	$(BIN)/attometer plan llama-3.1-8b --on h100-sxm --context 131072
	@echo
	@echo "Next, type (or 'source $(BIN)/activate' once, then plain attometer):"
	@echo "  $(BIN)/attometer plan YOUR-config.json --on rtx-4090 --context 32k --mode decode"
	@echo "  $(BIN)/attometer list models          # and machines, mechanisms, masks, engines, formats"
	@echo "  $(BIN)/attometer show softmax         # what a mechanism costs, in symbols"
	@echo "  $(BIN)/attometer plan --help          # docs/tutorial.md takes ten minutes"

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto --dist worksteal -q

slow: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto --dist worksteal -q -m slow

mutants: $(VENV)/.dev
	$(BIN)/mutmut run

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

# A virtual environment made by another Python, or half made, is rebuilt rather than trusted.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "attometer needs Python 3.11 or newer; set PYTHON=python3.11"; exit 2; }
	$(PYTHON) -m venv --clear $(VENV)

$(VENV)/.core: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.core

$(VENV)/.docs: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@ $(VENV)/.core

clean:
	rm -rf $(VENV) site .pytest_cache .mypy_cache .ruff_cache .hypothesis
