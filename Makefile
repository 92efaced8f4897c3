# `make main` trains the main grid, and `make test` runs every check; both create .venv first.
PYTHON ?= python3
BIN := .venv/bin
STUDY := $(BIN)/study

.PHONY: main answers mechanism resonance truncation automata test paper docs readme walkthrough lock

# Train the main grid into results/mine, which git ignores. After an interruption, repeat the command.
main: .venv/ready
	$(STUDY) grid experiments/main.yaml --out results/mine
	$(STUDY) figures results/mine
	$(STUDY) compare results/main results/mine --brief

# Find out why the post's network did not learn, and what the notebook's loop does.
answers: .venv/ready
	for name in forum forum_factorial notebook; do $(STUDY) grid experiments/$$name.yaml || exit; done
	$(STUDY) answers
	for name in forum forum_factorial notebook; do $(STUDY) figures results/$$name || exit; done

# Analyse how the state carries the pattern, in the networks whose weights are kept.
mechanism: .venv/ready
	for name in dynamics phase; do $(STUDY) grid experiments/$$name.yaml || exit; done
	for name in main dynamics phase; do $(STUDY) dynamics results/$$name || exit; done
	for name in main dynamics; do $(STUDY) figures results/$$name || exit; done

# Follow networks as they learn a pattern, and test what should predict when they do.
resonance: .venv/ready
	$(STUDY) grid experiments/resonance.yaml
	$(STUDY) dynamics results/resonance
	$(STUDY) figures results/resonance

# Cut gradients every k steps, and find out which k mislead the training.
truncation: .venv/ready
	$(STUDY) grid experiments/truncation.yaml
	$(STUDY) dynamics results/truncation
	$(STUDY) figures results/truncation

# Find out which cells can carry a pattern, and how networks learn when the input decides.
automata: .venv/ready
	$(STUDY) grid experiments/automata.yaml
	$(STUDY) dynamics results/automata
	$(STUDY) figures results/automata

test: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

paper: .venv/ready
	$(STUDY) paper

# Build the README, docs/ and a reference of the package as a site, in the folder site/.
docs: .venv/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "open site/index.html"

# Write the generated parts of the README and of docs/, and the description of the stored tables.
readme: .venv/ready
	$(BIN)/python -m tests.readme
	$(BIN)/python -m tests.datapackage

# Run the notebook again and store its outputs.
walkthrough: .venv/ready
	$(BIN)/python -m tests.walkthrough

# Pin the dependencies again (needs uv), without torch and the packages that only its CUDA builds use.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --extra dev --no-annotate --no-header \
	  --quiet pyproject.toml | awk '/^[a-z]/ {skip = /^(torch|triton|nvidia-|cuda-)/} !skip' > requirements.lock

# Everything is pinned by hash except torch, whose builds differ by platform.
.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@
