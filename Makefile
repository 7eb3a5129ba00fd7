# Everything from one clone: `make demo`, `make test`. `make help` lists the rest.
# The set-up goes into .venv, step by step; a stamp file per step remembers that it is done.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
# pip's warnings about its own configuration are noise here; its errors are not.
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -qq
TASK := Write a function is_palindrome(s) that returns True if the string s reads the same backwards. is_palindrome('level') == True, is_palindrome('leaf') == False
PACKAGES := runtime agents quant benchmarks

say = @echo '== '$(1)

.PHONY: help setup demo test lint format clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1  \t\2/p' Makefile

demo: setup ## solve the README's task with the embedded model
	$(call say,'leafwise solve')
	@$(BIN)/leafwise solve "$(TASK)"

test: setup $(STAMPS)/yardsticks $(STAMPS)/chromium ## run all tests
	@$(BIN)/python -m pytest $(ARGS)

lint: setup ## ruff and mypy over every file
	$(call say,'ruff')
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	$(call say,'mypy')
	@mkdir -p .typing && ln -sfn .. .typing/leafwise
	@$(BIN)/mypy $(PACKAGES:%=-p leafwise.%)
	@$(BIN)/mypy tests

format: setup ## let ruff rewrite what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean: ## remove .venv, caches and build outputs
	rm -rf $(VENV) .typing .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup: $(STAMPS)/packages $(STAMPS)/bubblewrap ## create .venv and install everything

$(STAMPS)/venv:
	$(call say,'Python environment in $(VENV)')
	@for python in python3 python3.11 python3.12 python3.13 python3.14; do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo 'error: no Python 3.11 or newer (tried python3, python3.11 ... python3.14)' >&2; \
	  echo 'hint: apt-get install python3 python3-venv, dnf install python3.12, or https://www.python.org/downloads' >&2; \
	  exit 2; \
	fi; \
	$$found -m venv --clear $(VENV) || { \
	  echo 'error: this Python can not create virtual environments' >&2; \
	  echo 'hint: apt-get install python3-venv' >&2; rm -rf $(VENV); exit 2; }
	@$(PIP) install --upgrade pip setuptools
	@mkdir -p $(STAMPS) && touch $@

# Without dependencies first: llama-cpp-python must be there, built for this machine, before pip looks for it.
$(STAMPS)/native: $(STAMPS)/venv runtime/native_build.py runtime/cpu.py runtime/toolchain.py
	$(call say,'llama.cpp for this machine (minutes the first time and then from the cache)')
	@$(PIP) install --no-deps -e .
	@$(BIN)/python -m leafwise.runtime.native_build
	@touch $@

$(STAMPS)/packages: $(STAMPS)/native pyproject.toml constraints.txt
	$(call say,'leafwise and its dependencies')
	@$(PIP) install -c constraints.txt -e '.[starter,dev]'
	@touch $@

$(STAMPS)/yardsticks: $(STAMPS)/packages
	$(call say,'torch and transformers (for the tests of conversions)')
	@$(PIP) install -c constraints.txt -e '.[yardsticks]'
	@touch $@

$(STAMPS)/bubblewrap: $(STAMPS)/venv
	@if ! command -v bwrap >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo '== bubblewrap (for the full sandbox)'; \
	  { apt-get install -y -qq bubblewrap || { apt-get update -qq && apt-get install -y -qq bubblewrap; }; } \
	    </dev/null >/dev/null 2>&1 || true; \
	fi; \
	command -v bwrap >/dev/null || [ "$$(uname)" != Linux ] || echo 'bubblewrap is not installed: programs run at the Landlock level; to get the full level: apt-get install bubblewrap (or dnf, pacman -S), then make setup'
	@if command -v bwrap >/dev/null; then touch $@; fi

# Only one test needs it: the one that looks at a report in a browser; it is skipped, saying so, where there is none.
$(STAMPS)/chromium: $(STAMPS)/venv
	@if ! command -v chromium >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo '== chromium (for the test of the report page)'; \
	  { apt-get install -y -qq --no-install-recommends chromium || \
	    { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; }; } \
	    </dev/null >/dev/null 2>&1 || true; \
	fi; \
	if command -v chromium >/dev/null; then touch $@; fi
