# make demo   the whole loop on this machine, from prompts to a blind verdict
# make test   the tests; everything that they need is installed first
# make lint   formatting, lint and types
# make bench  the benchmarks; tables in benchmarks/README.md
# make clean  removes what make made here
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
CHROMIUM ?= /usr/bin/chromium
WORKERS ?= 2

.PHONY: demo test lint bench clean chromium
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# //p' Makefile

# the stamp is written last, so its existence means that the install completed
$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "palate needs Python 3.11 or newer; found $$($(PYTHON) --version). Set PYTHON=…"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "Making $(VENV) failed. On Debian: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  -e '.[train,spaces,hub,dev]'
	@touch $@

chromium:
	@test -x $(CHROMIUM) || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing Chromium for the browser tests"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; \
	  else \
	    echo "The browser tests need Chromium at $(CHROMIUM): sudo apt-get install chromium"; exit 1; \
	  fi; }

demo: $(VENV)/installed $(if $(findstring --hosted,$(ARGS)),chromium)
	@$(BIN)/palate demo $(ARGS)

test: $(VENV)/installed chromium
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(ARGS)

lint: $(VENV)/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/ty check palate

bench: $(VENV)/installed chromium
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script $(ARGS) || exit 1; done

clean:
	rm -rf $(VENV) .palate .pytest_cache .ruff_cache .hypothesis dist build
	find . -name __pycache__ -prune -exec rm -rf {} +
