"""`python -m study.dynamics` on a tiny trained grid: its tables, its way of going on, and what it says of bad input."""

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from study.__main__ import main as study
from study.dynamics import __main__ as command
from study.dynamics import existence, slips, tables
from study.dynamics.__main__ import main
from study.dynamics.analyses import ANALYSES, WHOLE
from study.grid.store import load

GRID = """
name: tiny
defaults: {cell: rnn_tanh, hidden_size: 2, length: 10, optimizer: adam, lr: 0.1, max_updates: 100, eval_every: 5}
blocks:
  headline:
    keep_weights: true
    fixed: {engine: fused}
    vary: {seed: {range: [0, 4]}}
  variants:
    fixed: {cell: diagonal_positive, max_updates: 15, noise: 0.0, engine: torch}
    vary: {seed: {range: [0, 2]}}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A grid of four networks whose weights are kept, and two that are read from their rows alone."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tiny.yaml").write_text(GRID)
    assert (
        study(["grid", str(folder / "tiny.yaml"), "--out", str(folder / "results"), "--jobs", "1"])
        == 0
    )
    return folder / "results"


@pytest.fixture
def folder(trained, tmp_path, monkeypatch) -> Path:
    """A copy of the grid, and an analysis that takes seconds: two networks a parcel, few steps and guesses."""
    for module, name, value in (
        (command, "PARCEL", 2), (slips, "STEPS", 2000), (existence, "GUESSES", 20), (existence, "BUILT_SEEDS", 2),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)
    (tmp_path / "results").mkdir()
    for path in trained.iterdir():
        if path.is_file():
            (tmp_path / "results" / path.name).write_bytes(path.read_bytes())
    return tmp_path / "results"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in (folder / "dynamics").iterdir() if path.is_file()
    }


def analyse(folder: Path, *options: str) -> int:
    return main([str(folder), "--jobs", "1", *options])


@pytest.fixture
def done(monkeypatch) -> Counter:
    """How often each analysis was done on each network."""
    counts = Counter()
    parcel = command._parcel

    def counted(rows: pd.DataFrame, wanted: dict[str, set], keys: dict[str, str]) -> tuple:
        counts.update((name, run_id) for name, ids in wanted.items() for run_id in ids)
        return parcel(rows, wanted, keys)

    monkeypatch.setattr(command, "_parcel", counted)
    return counts


def test_every_table_and_the_verdicts_are_written_once(folder, done, capsys):
    assert analyse(folder) == 0
    written = contents(folder)
    assert set(written) == {f"{name}.parquet" for name in (*ANALYSES, *WHOLE)} | {"verdicts.csv"}
    assert not (folder / "dynamics" / ".parts").exists()
    cycles = tables.read(folder, "cycles")
    assert set(cycles.groupby("run_id").size()) == {5}
    assert cycles["run_id"].nunique() == 4
    assert len(tables.read(folder, "bound")) == 2
    verdicts = pd.read_csv(folder / "dynamics" / "verdicts.csv")
    assert set(verdicts["hypothesis"]) == {6, 7, 8, 9, 10, 11, 13, 15, 17}  # no LSTM for 12 and 14
    once = dict(done)
    assert set(once.values()) == {1}
    capsys.readouterr()
    assert analyse(folder) == 0
    assert dict(done) == once
    assert "nothing to do" in capsys.readouterr().err
    assert contents(folder) == written


def test_an_interrupted_analysis_goes_on_and_ends_with_the_same_bytes(folder, done, monkeypatch):
    names = ("cycles", "spectra", "exponents", "slips")
    only = [word for name in names for word in ("--only", name)]
    assert analyse(folder, *only) == 0
    whole = contents(folder)
    for path in (folder / "dynamics").glob("*.parquet"):
        path.unlink()
    (parts,) = [folder / "dynamics" / ".parts"]
    for path in parts.iterdir():
        path.unlink()
    done.clear()
    write, written = tables.Tables.write_part, []

    def interrupted(self, name, key, frame):
        if len(written) == 5:  # a parcel, and one table of the other
            raise KeyboardInterrupt
        written.append(name)
        write(self, name, key, frame)

    monkeypatch.setattr(tables.Tables, "write_part", interrupted)
    with pytest.raises(KeyboardInterrupt):
        analyse(folder, *only)
    assert not contents(folder)
    monkeypatch.setattr(tables.Tables, "write_part", write)
    assert analyse(folder, *only) == 0
    again = Counter(name for (name, _), times in done.items() if times == 2)
    assert again == {
        name: 2 for name in names if name != written[-1]
    }  # two networks, in the tables not yet written
    assert contents(folder) == whole


def test_a_damaged_part_or_table_is_made_again(folder, done, capsys):
    assert analyse(folder, "--only", "exponents") == 0
    whole = contents(folder)
    for damage in (lambda old: old[: len(old) // 2], lambda old: old[:20] + b"\0" * 20 + old[40:]):
        part = sorted((folder / "dynamics" / ".parts").iterdir())[0]
        part.write_bytes(damage(part.read_bytes()))
        table = folder / "dynamics" / "exponents.parquet"
        table.write_bytes(damage(table.read_bytes()))
        done.clear()
        capsys.readouterr()
        assert analyse(folder, "--only", "exponents") == 0
        assert sorted(done.values()) == [1, 1]  # the two networks of the part
        said = capsys.readouterr().err
        assert f"{part} is damaged and made again" in said
        assert f"{table} is damaged and made again" in said
        assert contents(folder) == whole


@pytest.mark.parametrize("weight", [1e300, float("inf"), float("nan")])
def test_weights_that_no_map_can_be_made_of_are_left_out(folder, weight):
    rows = load(folder, curves=False, weights=True)
    some = command.kept(rows, str(folder))
    pairs = zip(rows["run_id"], rows["weights"], strict=True)
    spoilt = rows.assign(
        weights=[w * weight if run_id == some["run_id"][0] else w for run_id, w in pairs]
    )
    assert command.kept(spoilt, str(folder))["run_id"].tolist() == some["run_id"].tolist()[1:]


def test_a_table_rests_on_its_networks_weights(folder):
    rows = command.kept(load(folder, curves=False, weights=True), str(folder))
    moved = rows.assign(weights=[weights + 1e-7 for weights in rows["weights"]])
    fewer = rows.iloc[:-1]
    assert len({tables.digest(some, ANALYSES["exponents"]) for some in (rows, moved, fewer)}) == 3


def test_bad_input(folder, tmp_path, capsys):
    assert analyse(tmp_path / "none") == 2
    assert "holds no results" in capsys.readouterr().err
    assert analyse(folder, "--only", "cycle") == 2
    assert "did you mean 'cycles'" in capsys.readouterr().err
    assert not (folder / "dynamics").exists()


def test_results_without_weights_say_how_to_keep_them(tmp_path, capsys):
    (tmp_path / "bare.yaml").write_text(
        GRID.replace("    keep_weights: true\n", "").replace("100, eval", "15, eval")
    )
    assert (
        study(["grid", str(tmp_path / "bare.yaml"), "--out", str(tmp_path / "bare"), "--jobs", "1"])
        == 0
    )
    capsys.readouterr()
    assert analyse(tmp_path / "bare") == 2
    assert (
        "has no weights; give a block `keep_weights: true`, and train it" in capsys.readouterr().err
    )


def test_damaged_results_are_noted_and_without_others_refused(folder, capsys):
    (part,) = folder.glob("rows-*.parquet")
    part.write_bytes(part.read_bytes()[:-100])
    assert analyse(folder) == 2
    said = capsys.readouterr().err
    assert f"{part} is damaged and left out" in said
    assert "has no weights" in said


def test_a_damaged_table_is_named_where_the_verdicts_read_it(folder):
    (folder / "dynamics").mkdir()
    (folder / "dynamics" / "slips.parquet").write_bytes(b"PAR1")
    with pytest.raises(command.BadInput, match=r"is damaged; .*--only slips"):
        tables.read(folder, "slips")
