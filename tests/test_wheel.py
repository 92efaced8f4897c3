"""The examples of docs/extending.md, from an empty folder, with the wheel and no sources."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from test_readme import example_of

ROOT = Path(__file__).parent.parent
PARTS = {"leaky": "cell", "lion": "optimizer", "recall": "task", "shrunk_inputs": "init"}
GRID = """
name: mine
defaults:
  {hidden_size: 4, length: 6, max_updates: 20, eval_every: 5, final_sequences: 9, long_sequences: 4}
blocks:
  cells:
    figures: [losses]
    vary:
      cell: [leaky, gru]
      seed: {range: [0, 2]}
  parts:
    fixed: {cell: leaky, optimizer: lion, task: recall, init: shrunk_inputs}
    vary:
      task.gap: [1, 2]
      seed: {range: [0, 2]}
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A function that runs Python in an empty folder, with the wheel; returns what it prints."""
    wheels, site, empty = (tmp_path_factory.mktemp(name) for name in ("wheels", "site", "empty"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    tree = tmp_path_factory.mktemp("tree") / "sources"  # where a build may leave files
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in listed.stdout.decode().split("\0")[:-1]:
        if name.startswith(("study/", "experiments/", "paper/")) or "/" not in name:
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes((ROOT / name).read_bytes())
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(tree)]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = wheels.iterdir()
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True)
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("study/")}
    names = listed.stdout.decode().split("\0")
    shared = {f"study/share/{n}" for n in names if re.match(r"experiments/|paper/[rsth]", n)}
    assert packed == {name for name in names if name.startswith("study/")} | shared
    known = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}

    def run(*words: str) -> str:
        command = [sys.executable, "-P", *words]
        environment = known | {"PYTHONPATH": str(site)}
        done = subprocess.run(
            command, cwd=empty, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = Path(run("-c", "import study; print(study.__file__)").strip())
    assert where.is_relative_to(site)
    run.folder = empty
    return run


def test_every_command_can_be_loaded(python):
    names = python("-c", "from study.__main__ import COMMANDS; print(*COMMANDS)").split()
    code = f"from study.__main__ import main\nfor name in {names}: main([name, '--help'])"
    assert python("-c", code).count("Usage:") == len(names)


def test_the_extensions_are_trained_drawn_and_compared(python):
    use = []
    for name in (*PARTS, "losses"):
        (python.folder / f"my_{name}.py").write_text(example_of(name), encoding="utf-8")
        use += ["--use", f"my_{name}.py"]
    (python.folder / "mine.yaml").write_text(GRID)
    said = python("-m", "study", "grid", "mine.yaml", "--jobs", "2", *use)
    for name, kind in PARTS.items():
        assert f"{name!r} is from my_{name}.py:" in said, kind
    table = python("-m", "study", "summary", "results/mine", "--by", "cell,task.gap", *use)
    assert "failed" not in table
    drawn = python("-m", "study", "figures", "results/mine", "--format", "svg", *use)
    assert [Path(line).name for line in drawn.splitlines() if line.endswith(".svg")] == [
        "losses.svg", "block_parts.svg",
    ]  # fmt: skip
    between = ["--block", "cells", "--between", "cell=leaky,gru"]
    assert "leaky minus gru" in python("-m", "study", "contrast", "results/mine", *between, *use)
    code = "import my_leaky, study; print(len(study.load('results/mine')))"
    assert python("-c", f"import sys; sys.path.append('.'); {code}") == "8\n"


def test_what_a_new_user_gets_runs(python):
    python("-m", "study", "new", "first")
    plan = python("-m", "study", "grid", "first.yaml", "--use", "first.py", "--dry-run")
    assert "cell 'first' is from first.py:" in plan


def test_the_experiments_come_with_the_package(python):
    plan = python("-m", "study", "grid", "smoke", "--dry-run").splitlines()[0]
    assert re.fullmatch(r"/.*/study/share/experiments/smoke.yaml: .* -> results/smoke", plan)
