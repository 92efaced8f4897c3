"""Stored figures are known to be up to date without being drawn, and known not to be when anything changed."""

from pathlib import Path

import pytest
from drawn import write_results

from study.figures import drawn
from study.figures.__main__ import main
from study.paper import floats as paper_floats
from study.paper.floats import Floats
from study.paper.values import Runs


@pytest.fixture
def results(tmp_path) -> Path:
    """A results folder with one figure, recorded."""
    (tmp_path / "figures").mkdir()
    (tmp_path / "dynamics").mkdir()
    for name in (
        "plan.parquet",
        "dynamics/slips.parquet",
        "figures/task.pdf",
        "figures/task.txt",
        "figures/other.txt",
    ):
        (tmp_path / name).write_text(f"{name}\n")
    drawn.write(tmp_path, {"task": "The task."})
    return tmp_path


def title(results: Path, name: str = "task") -> str | None:
    return drawn.current_title(results, name, drawn.inputs(results))


def test_a_recorded_figure_is_current(results):
    assert title(results) == "The task."
    assert title(results, "other") is None
    (results / "figures" / "other.txt").write_text("new\n")
    (results / "manifests").mkdir()
    (results / "manifests" / "one.json").write_text("{}")
    assert title(results) == "The task."


@pytest.mark.parametrize(
    "changed", ["plan.parquet", "dynamics/slips.parquet", "figures/task.pdf", "figures/task.txt"]
)
def test_changed_results_and_a_changed_file_are_noticed(results, changed):
    (results / changed).write_text("new\n")
    assert title(results) is None


@pytest.mark.parametrize("added", ["rows-1.parquet", "dynamics/flips.parquet", "figures/task.csv"])
def test_added_files_are_noticed(results, added):
    (results / added).write_text("new\n")
    assert title(results) is None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"task": 1}', '{"task": {"title": "The task."}}'])
def test_a_damaged_record_is_none(results, text):
    (results / "figures" / drawn.RECORD).write_text(text)
    assert title(results) is None


def test_changed_code_and_packages_are_noticed(results, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(drawn, "package_versions", lambda names: dict.fromkeys(names, "0"))
        assert title(results) is None
    code = [*drawn.sources("study.figures")]
    changed = tmp_path / code[-1].name
    changed.write_bytes(code[-1].read_bytes() + b"\n")
    monkeypatch.setattr(drawn, "sources", lambda _: (*code[:-1], changed))
    assert title(results) is None


def test_sources_are_all_that_a_module_imports():
    names = {
        path.relative_to(Path(drawn.__file__).parent).as_posix()
        for path in drawn.sources("study.figures")
    }
    assert {
        "figures/__init__.py",
        "figures/task.py",
        "figures/theme.py",
        "stats/intervals.py",
        "cells.py",
    } <= names
    assert {"__init__.py", "dynamics/__init__.py", "dynamics/cycles.py", "post.py"} <= names
    assert not {"paper.py", "cluster.py", "grid.py", "claims/__init__.py"} & names


def test_the_command_records_what_it_drew_in_all_formats(tmp_path):
    folder = write_results(tmp_path / "results")
    record = folder / "figures" / drawn.RECORD
    assert main([str(folder), "--only", "convergence", "--format", "png"]) == 0
    assert not record.exists()
    assert main([str(folder), "--only", "convergence"]) == 0
    expected = "Share of runs solved against updates, a panel for each cell and a curve for each optimizer."
    assert title(folder, "convergence") == expected
    assert main([str(folder), "--only", "task"]) == 0
    assert title(folder, "convergence") == expected
    assert title(folder, "task")


def test_only_a_figure_that_may_have_changed_is_drawn_for_the_paper(tmp_path, monkeypatch):
    folder = write_results(tmp_path / "results")
    main([str(folder), "--only", "convergence"])
    floats = Floats(Runs(folder), tmp_path, {("figure", "convergence"): 1})
    monkeypatch.setattr(paper_floats, "drawn_again", lambda *_: ("Drawn.", "Anew."))
    caption = (folder / "figures" / "convergence.txt").read_text().strip()
    assert floats.for_print("figure", "convergence").startswith(
        f"![{caption}](results/figures/convergence.pdf)"
    )
    (folder / "plan.parquet").write_bytes(b"")
    changed = Floats(floats.runs, tmp_path, floats.numbers)
    assert changed.for_print("figure", "convergence").startswith("![Anew.]")
