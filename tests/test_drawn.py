"""Stored figures are known to be up to date without being drawn, unless anything changed."""

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
    drawn.write(tmp_path, {"task": "The task."})
    return tmp_path


def title(results: Path, name: str = "task") -> str | None:
    return drawn.current_title(results, name, drawn.inputs(results))


def test_a_recorded_figure_is_current(results):
    (results / "figures" / "other.txt").write_text("new\n")
    (results / "manifests").mkdir()
    (results / "manifests" / "one.json").write_text("{}")
    assert title(results) == "The task."
    assert title(results, "other") is None


@pytest.mark.parametrize("name", [*STORED, "rows-1.parquet", "figures/task.csv"])
def test_changed_and_added_files_are_noticed(results, name):
    (results / name).write_text("new\n")
    assert title(results) is None


def test_changed_code_and_libraries_are_noticed(results, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(drawn, "package_versions", lambda names: dict.fromkeys(names, "0"))
        assert title(results) is None
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "changed.py").write_text("x = 1\n")
    monkeypatch.setattr(drawn, "PACKAGE", tmp_path / "code")
    assert title(results) is None


def test_only_a_figure_that_may_have_changed_is_drawn_for_the_paper(tmp_path, monkeypatch):
    folder = write_results(tmp_path / "results")
    only = ["figures", str(folder), "--only", "convergence"]
    assert main([*only, "--format", "png"]) == 0
    assert not (folder / "figures" / drawn.RECORD).exists()  # which is of figures in all formats
    assert main(only) == 0
    floats = Floats(Results(folder), tmp_path, {("figure", "convergence"): 1})
    monkeypatch.setattr(paper_floats, "drawn_again", lambda *_: ("Drawn.", "Anew."))
    caption = (folder / "figures" / "convergence.txt").read_text().strip()
    picture = f"![{caption}](results/figures/convergence.pdf)"
    assert floats.for_print("figure", "convergence").startswith(picture)
    (folder / "plan.parquet").write_bytes(b"")
    changed = Floats(floats.results, tmp_path, floats.numbers)
    assert changed.for_print("figure", "convergence").startswith("![Anew.]")
