# Python >= 3.11, make and a network are all that a machine needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: train test test-all mutants bench gpu tables docs dist clean

train: $(VENV)/installed
	$(BIN)/eqprop train digits

test: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n auto --dist loadfile

test-all: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n auto --dist loadfile -m "long or not long"

mutants: $(VENV)/installed-dev
	$(BIN)/python tests/mutants.py $(if $(ONLY),--only $(ONLY))

bench: $(VENV)/installed-bench
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.frontier
	$(BIN)/python -m benchmarks.oscillators
	$(BIN)/python -m benchmarks.chains
	$(BIN)/python -m benchmarks.graphs
	$(BIN)/python -m benchmarks.dynamics
	$(BIN)/python -m benchmarks.residual
	$(BIN)/python -m benchmarks.weak_feedback
	$(BIN)/python -m benchmarks.levers
	$(BIN)/python -m benchmarks.spiking

gpu: $(VENV)/installed-gpu
	$(BIN)/python -m benchmarks.gpu --minutes $(or $(MINUTES),9) $(if $(PARTS),--parts $(PARTS))

tables: $(VENV)/installed
	$(BIN)/python -m docs.pages

docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

dist: $(VENV)/installed-release
	rm -rf build dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/twine check --strict dist/*

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -c constraints.txt -e .
	touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -c constraints.txt -e ".[dev,tensorboard]"
	touch $@ $(VENV)/installed

$(VENV)/installed-bench: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -c constraints.txt -e ".[bench]"
	touch $@ $(VENV)/installed

$(VENV)/installed-docs: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -c constraints.txt -e ".[docs]"
	touch $@ $(VENV)/installed

$(VENV)/installed-release: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -c constraints.txt -e ".[release]"
	touch $@ $(VENV)/installed

$(VENV)/installed-gpu: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -c constraints.txt -e ".[cuda]"
	touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV)
