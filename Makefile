PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test check deep bench torture docs lint clean

run: .venv/installed  ## install, then draw the tickets of the quick study
	$(BIN)/tombola run quick

test: .venv/installed lint  ## linters, types, layers, tests: seven minutes once installed
	$(BIN)/pytest -n 2 --dist worksteal

check: test docs .venv/checked  ## the documentation, as on a processor without AVX-512, then the slow tests: under an hour
	$(BIN)/python tests/held_down.py avx2 -n 2 --dist worksteal
	$(BIN)/pytest -m slow

deep: .venv/fuzzed  ## long simulations, what tests err in and intervals cover; then readers of files are fuzzed
	$(BIN)/pytest -m deep -rP
	$(BIN)/python -m fuzz 20

bench: .venv/installed  ## engines beside baselines, at most five minutes; leave the machine alone meanwhile
	$(BIN)/python benchmarks/run.py

torture: .venv/installed  ## kill, fill and damage runs for a quarter of an hour; goes on where it was stopped
	OMP_NUM_THREADS=1 $(BIN)/python tests/torture.py torture 900

docs: .venv/documented  ## the site, into build/site: its tutorials are run, its links followed; minutes, then seconds
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build  # quiet, it would not count its warnings, and none would fail it
	@echo built build/site/index.html

lint: .venv/installed
	$(BIN)/ruff check src tests benchmarks docs_build fuzz
	$(BIN)/ruff format --check src tests benchmarks docs_build fuzz
	$(BIN)/mypy
	$(BIN)/lint-imports

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("tombola needs Python 3.11 or newer; set PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

.venv/checked: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[images,onnx,tensorboard,mlflow,wandb,ray,slurm,s3]' 'moto[server]' onnxruntime pandas
	touch $@

.venv/fuzzed: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz,images]'
	touch $@

.venv/documented: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

clean:  ## remove the virtual environment and caches, never runs/
	rm -rf .venv build .docs_cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
