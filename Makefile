# `make main` (environment and main grid) and `make test` do everything; `make answers` trains the three small grids.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: main answers mechanism test fuzz figures paper readme walkthrough lock
main: .venv/ready
	$(BIN)/python -m study.grid experiments/main.yaml
	$(BIN)/python -m study.figures results/main

# Why the post's network did not learn, and what the notebook's loop does.
answers: .venv/ready
	for name in forum forum_factorial notebook; do $(BIN)/python -m study.grid experiments/$$name.yaml || exit; done
	$(BIN)/python -m study.answers
	for name in forum forum_factorial notebook; do $(BIN)/python -m study.figures results/$$name || exit; done

# How the state carries the pattern: the networks of the main grid whose weights are kept, and those of a grid beside it.
mechanism: .venv/ready
	$(BIN)/python -m study.grid experiments/dynamics.yaml
	for name in main dynamics; do $(BIN)/python -m study.dynamics results/$$name || exit; done
	for name in main dynamics; do $(BIN)/python -m study.figures results/$$name || exit; done

test: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/python -m pytest -n 2 --dist loadfile

# Grid files, overrides and results of every kind of wrong, before every command; some 15 minutes.
fuzz: .venv/ready
	$(BIN)/python -m tests.fuzz --examples 20000 --json results/fuzz.json

figures: .venv/ready
	$(BIN)/python -m study.figures results/main

paper: .venv/ready
	$(BIN)/python -m study.paper

readme: .venv/ready
	$(BIN)/python -m tests.readme

walkthrough: .venv/ready
	$(BIN)/python -m tests.walkthrough

# After a change of dependencies (needs uv). What only a CUDA build of torch wants, torch pins itself.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --extra dev --no-annotate --no-header \
	  --quiet pyproject.toml | awk '/^[a-z]/ {skip = /^(torch|triton|nvidia-|cuda-)/} !skip' > requirements.lock

# torch comes without a hash, since its builds differ by platform; all else is pinned by hash.
.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@
