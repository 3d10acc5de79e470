# make demo    install into .venv and fit the earthquakes model; writes earthquakes.png
# make test    install what the tests need and run them, but for the slow ones
# PYTHON=python3.13 make test    the same with another Python, in an environment of its own

PYTHON ?= python3
INTERPRETER := $(shell bash tools/find-python $(PYTHON))
ifeq ($(origin PYTHON),file)
VENV := .venv
else
VENV := .venv-$(shell $(or $(INTERPRETER),false) -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
endif
BIN := $(VENV)/bin

# Passed on to pytest: make test PYTEST_ARGS=tests/ops
PYTEST_ARGS ?=
# Passed on to the scoreboard: make scoreboard SCOREBOARD_ARGS="--only gradient"
SCOREBOARD_ARGS ?=
# Test files run side by side; each worker needs up to 2 GB of memory.
PYTEST_WORKERS ?= 2
# In the order of the files: sorted by how many tests they hold, those with one long test come last.
PYTEST = $(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow coverage lint types bench scoreboard clean

help:
	@echo "make demo    fit a hidden Markov model to the earthquake counts and draw it"
	@echo "make test    run the tests that are fast"
	@echo "make test-slow    run those that sample or compile for long"
	@echo "make lint    check style        make types    check types"
	@echo "make coverage     run the tests and list the lines that none of them reaches"
	@echo "make bench   run the benchmarks make clean    remove environments and caches"
	@echo "make scoreboard   measure every claim of correctness; fails if one misses its target"
	@echo "PYTHON=python3.13 make ...      use another Python"

demo: $(VENV)/.installed-plots
	@$(BIN)/python examples/earthquakes.py

test: $(VENV)/.installed-test
	@$(PYTEST) -m "not slow" $(PYTEST_ARGS)

test-slow: $(VENV)/.installed-test
	@$(PYTEST) -m slow $(PYTEST_ARGS)

coverage: $(VENV)/.installed-test
	@rm -f .coverage .coverage.*
	@HYPOTHESIS_PROFILE=coverage $(BIN)/python -m coverage run -m pytest -n $(PYTEST_WORKERS) --dist loadfile $(PYTEST_ARGS)
	@$(BIN)/python -m coverage combine --quiet
	@$(BIN)/python -m coverage report

lint: $(VENV)/.installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	@$(BIN)/mypy

bench: $(VENV)/.installed-bench
	@set -e; for script in benchmarks/*.py; do echo "$$script"; $(BIN)/python "$$script"; done

scoreboard: $(VENV)/.installed-test
	@$(BIN)/python -m tests.scoreboard $(SCOREBOARD_ARGS)

clean:
	@rm -rf .venv .venv-* build dist .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find pymc_jaxdist tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment is made again only when pyproject.toml changed.
$(VENV)/.made: pyproject.toml
	@test -n "$(INTERPRETER)" || { echo "No Python to work with; see the message above."; exit 1; }
	@echo "Making $(VENV) with $$($(INTERPRETER) --version)"
	@$(INTERPRETER) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.installed-%: $(VENV)/.made
	@echo "Installing pymc-jaxdist[$*] into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[$*]"
	@touch $@
