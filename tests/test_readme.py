"""The README is true: its numbers come from the results, its examples run, its tree is the tree."""

import re
from pathlib import Path

import numpy as np
import pytest
from readme import SECTIONS, section
from ruamel.yaml import YAML

from study.__main__ import app
from study.grid.file import expand, read_grid
from study.grid.train import train_run
from study.model.cells import CELLS, Cell
from study.model.optimizers import OPTIMIZERS, Optimizer
from study.model.tasks import TASKS, Task

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CODE = re.findall(r"```python\n(.*?)```", README, flags=re.S)


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_is_what_the_code_and_the_results_give(name):
    assert section(name) == SECTIONS[name](), "`make readme` brings it up to date"


def test_every_module_is_in_the_tree():
    tree = README.split("## What is where")[1].split("```")[1]
    for path in (ROOT / "study").rglob("*.py"):
        if not path.stem.startswith("__"):
            assert re.search(rf"\b{path.stem}\b", tree), path.stem


def test_the_example_grid_expands(tmp_path):
    (example,) = re.findall(r"```yaml\n(.*?)```", README, flags=re.S)
    (tmp_path / "example.yaml").write_text(example)
    assert len(expand(read_grid(tmp_path / "example.yaml"))) == 3 * 5 * 30


def test_the_examples_of_other_pages_are_well_formed():
    text = "\n".join(page.read_text() for page in (ROOT / "docs").glob("*.md"))
    for code in re.findall(r"```python\n(.*?)```", text, flags=re.S):
        compile(code, "an example", "exec")
    (resource,) = re.findall(r"```yaml\n(.*?)```", text, flags=re.S)
    spec = YAML(typ="safe").load(resource)["spec"]
    assert spec["worker"]["spec"]["containers"][0]["args"][:4] == [
        "dask",
        "worker",
        "--nthreads",
        "1",
    ]
    for words in re.findall(r"study (grid experiments/\S+(?: --\S+ \S+)*)", text):
        app.parse_args(words.split(), exit_on_error=False)


def test_the_notebook_example_runs(monkeypatch):
    monkeypatch.chdir(ROOT)
    exec(CODE[0], {})


@pytest.mark.parametrize(
    ("kind", "registry", "settings"),
    [
        ("cell", CELLS, {"cell": "leaky"}),
        ("optimizer", OPTIMIZERS, {"optimizer": "adam_long"}),
        ("task", TASKS, {"task": "echo"}),
    ],
)
def test_an_extension_trains_as_written(kind, registry, settings, quick, monkeypatch):
    before = dict(registry)
    (name,) = settings.values()
    (example,) = [code for code in CODE if f'["{name}"]' in code]
    names = {"CELLS": CELLS, "Cell": Cell, "OPTIMIZERS": OPTIMIZERS, "Optimizer": Optimizer}
    try:
        exec(example, names | {"TASKS": TASKS, "Task": Task, "np": np})
        row = train_run(quick(**settings))
    finally:
        for added in set(registry) - set(before):
            del registry[added]
    assert row["status"] in ("solved", "unsolved"), row.get("reason")
    assert 0 <= row["accuracy"] <= 1
