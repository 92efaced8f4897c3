# `make main` trains the main grid and `make test` tests everything; both first make .venv.
PYTHON ?= python3
BIN := .venv/bin
STUDY := $(BIN)/study

.PHONY: main answers mechanism test figures paper readme walkthrough lock

# The whole main grid into results/mine, which git ignores; repeat it to go on after an interruption.
main: .venv/ready
	$(STUDY) grid experiments/main.yaml --out results/mine
	$(STUDY) figures results/mine
	$(STUDY) compare results/main results/mine --brief

# Why the post's network did not learn, and what the notebook's loop does.
answers: .venv/ready
	for name in forum forum_factorial notebook; do $(STUDY) grid experiments/$$name.yaml || exit; done
	$(STUDY) answers
	for name in forum forum_factorial notebook; do $(STUDY) figures results/$$name || exit; done

# How the state carries the pattern: the networks whose weights are kept, analysed.
mechanism: .venv/ready
	$(STUDY) grid experiments/dynamics.yaml
	for name in main dynamics; do $(STUDY) dynamics results/$$name || exit; done
	for name in main dynamics; do $(STUDY) figures results/$$name || exit; done

test: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/python -m pytest -n 2 --dist loadfile

figures: .venv/ready
	$(STUDY) figures results/main

paper: .venv/ready
	$(STUDY) paper

# The generated parts of the README and of docs/.
readme: .venv/ready
	$(BIN)/python -m tests.readme

# The notebook, run again and stored with its outputs.
walkthrough: .venv/ready
	$(BIN)/python -m tests.walkthrough

# After a change of dependencies (needs uv). torch pins the packages that only its CUDA builds want.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --extra dev --no-annotate --no-header \
	  --quiet pyproject.toml | awk '/^[a-z]/ {skip = /^(torch|triton|nvidia-|cuda-)/} !skip' > requirements.lock

# torch comes without a hash, since its builds differ by platform; everything else is pinned by hash.
.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@
