"""A stored figure counts as current until its data, its code, its libraries or its files change."""

import shutil
from pathlib import Path

import pytest
from drawn import write_results

from study.__main__ import main
from study.figures import drawn
from study.grid import Results
from study.paper import floats as paper_floats
from study.paper.floats import Floats

STORED = ["plan.parquet", "dynamics/slips.parquet", "figures/task.pdf", "figures/task.txt"]


@pytest.fixture
def results(tmp_path) -> Path:
    """A results folder with one figure on record, and one that is not."""
    for name in (*STORED, "figures/other.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{name}\n")
    drawn.write(tmp_path, ["task"])
    return tmp_path


def is_current(results: Path, name: str = "task") -> bool:
    return drawn.is_current(results, name, drawn.inputs(results))


def test_a_recorded_figure_is_current_whatever_happens_to_other_files(results):
    (results / "figures" / "other.txt").write_text("new\n")
    (results / "manifests").mkdir()
    (results / "manifests" / "one.json").write_text("{}")
    assert is_current(results)
    assert not is_current(results, "other")


@pytest.mark.parametrize("name", [*STORED, "rows-1.parquet", "figures/task.csv"])
def test_changed_and_added_files_are_noticed(results, name):
    (results / name).write_text("new\n")
    assert not is_current(results)


def test_changed_libraries_are_noticed(results, monkeypatch):
    monkeypatch.setattr(drawn, "package_versions", lambda names: dict.fromkeys(names, "0"))
    assert not is_current(results)


@pytest.mark.parametrize(
    ("module", "old", "new", "expected"),
    [
        ("figures/task.py", "LENGTHS = 2", "LENGTHS = 3", False),
        ("stats/survival.py", "import numpy as np", "import numpy as np\n\nEXTRA = 1", False),
        ("engines/fused/gates.py", "return o * t, c_next", "return t * o, c_next", False),
        ("text.py", "SMALLEST = 1e-3", "SMALLEST = 1e-3  # a new comment", True),
        ("figures/task.py", '"""Draw one sequence', '"""Sketch one sequence', True),
        ("grid/yaml.py", "import", "import os\nimport", True),
    ],
)
def test_changed_code_is_noticed_only_where_a_figure_may_depend_on_it(
    results, monkeypatch, tmp_path, module, old, new, expected
):
    package = tmp_path / "package"
    shutil.copytree(drawn.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    text = (package / module).read_text()
    assert old in text
    (package / module).write_text(text.replace(old, new, 1))
    monkeypatch.setattr(drawn, "PACKAGE", package)
    assert is_current(results) == expected


def test_the_paper_draws_only_a_figure_that_may_have_changed(tmp_path, monkeypatch):
    folder = write_results(tmp_path / "results")
    only = ["figures", str(folder), "--only", "convergence"]
    assert main([*only, "--format", "png"]) == 0
    assert not (folder / "figures" / drawn.RECORD).exists()  # only figures in all formats count
    assert main(only) == 0
    floats = Floats(Results(folder), tmp_path, {("figure", "convergence"): 1})
    monkeypatch.setattr(paper_floats, "drawn_again", lambda *_: ("Drawn.", "Anew."))
    caption = (folder / "figures" / "convergence.txt").read_text().strip()
    picture = f"![{caption}](results/figures/convergence.pdf)"
    assert floats.for_print("figure", "convergence").startswith(picture)
    (folder / "plan.parquet").write_bytes(b"")
    changed = Floats(floats.results, tmp_path, floats.numbers)
    assert changed.for_print("figure", "convergence").startswith("![Anew.]")
