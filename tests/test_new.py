"""`study new` writes files that run as they stand, and overwrites none."""

import shlex
import sys
from pathlib import Path

import pytest

from study.__main__ import main
from study.grid.file import expand, read_grid
from study.model import use
from tests.forgetting import forget
from tests.grids import statuses

COMMANDS = ["grid", "grid", "tune", "grid", "contrast", "figures"]
TINY = ["--set", "tuning.lr=[0.03, 0.1]", "--set", "tuning.seed=[1000]"]
TINY += ["--set", "comparison.seed=[0, 1]"]


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    yield
    forget(tmp_path)


def test_what_it_writes_is_trained_tuned_compared_and_drawn(capsys):
    """The commands are those that it prints, with fewer runs."""
    assert main(["new", "mine"]) == 0
    lines = [line.partition("#")[0] for line in capsys.readouterr().out.splitlines()]
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("    study ")]
    assert [words[0] for words in commands] == COMMANDS
    for words in commands:
        tiny = [*TINY, "--jobs", "1", "--out", "results/mine"] if words[0] == "grid" else []
        only_pictures = ["--format", "svg"] if words[0] == "figures" else []
        assert main([*words, *tiny, *only_pictures]) == 0, words
    assert set(statuses(Path("results/mine"))) == {"solved"}
    out, err = capsys.readouterr()
    assert "mine minus gru [95 %]" in out
    assert "not loaded" not in err
    drawn = {path.name for path in Path("results/mine/figures").glob("*.svg")}
    assert drawn == {"block_tuning.svg", "block_comparison.svg"}


def test_the_whole_grid_expands():
    main(["new", "mine"])
    use(["mine.py"])
    blocks = {name: len(ids) for name, ids in expand(read_grid("mine.yaml")).blocks.items()}
    assert blocks == {"tuning": 100, "comparison": 60}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("lstm", "'lstm' is the name of a cell"),
        ("parity", "'parity' is the name of a task"),
        ("json", "'json' is the name of a module"),
        ("My-cell", "must consist of lower-case letters, digits and underscores"),
        ("class", "no keyword of Python"),
        ("../mine", "must consist of lower-case letters"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(name, why, capsys):
    assert main(["new", name]) == 2
    assert why in capsys.readouterr().err
    assert not [*Path().iterdir()]


@pytest.mark.parametrize("name", ["mine.py", "mine.yaml"])
def test_no_file_is_overwritten(name, capsys):
    Path(name).write_text("mine")
    assert main(["new", "mine"]) == 2
    assert f"{name}: exists already; choose another name" in capsys.readouterr().err
    assert [(path.name, path.read_text()) for path in Path().iterdir()] == [(name, "mine")]
