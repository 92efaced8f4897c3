"""`study dynamics` on a tiny trained grid: its tables, resuming, and errors."""

import inspect
import re
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
from drawn import rows, write_results
from test_readme import example_of

from study.__main__ import main
from study.dynamics import ANALYSES, SURVEYS, build, existence, slips, tables
from study.dynamics.__main__ import analysable
from study.engines import fused
from study.grid import Missing
from study.grid.store import load
from tests.forgetting import forget

GRID = """
name: tiny
defaults: {cell: rnn_tanh, hidden_size: 2, length: 10, optimizer: adam, lr: 0.1, max_updates: 100,
  eval_every: 5}
blocks:
  headline:
    keep_weights: true
    fixed: {engine: fused}
    vary: {seed: {range: [0, 4]}}
  variants:
    fixed: {cell: diagonal_positive, max_updates: 15, noise: 0.0, engine: torch}
    vary: {seed: {range: [0, 2]}}
"""

FOLLOWED = """
name: tiny
defaults: {hidden_size: 2, length: 10, optimizer: sgd, max_updates: 60, eval_every: 20}
blocks:
  resonance:
    vary: {"cell, lr": [[rnn_tanh, 0.05], [gru, 0.3]], seed: [200]}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A grid of four networks with kept weights, and two without."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tiny.yaml").write_text(GRID)
    assert (
        main(["grid", str(folder / "tiny.yaml"), "--out", str(folder / "results"), "--jobs", "1"])
        == 0
    )
    return folder / "results"


@pytest.fixture
def folder(trained, tmp_path, monkeypatch) -> Path:
    """A copy of the grid, and an analysis that takes seconds: few steps and guesses."""
    monkeypatch.setattr(slips, "STEPS", 2000)
    monkeypatch.setattr(existence, "GUESSES", 20)
    monkeypatch.setattr(existence, "BUILT_SEEDS", 2)
    return Path(shutil.copytree(trained, tmp_path / "results"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "dynamics").iterdir()}


def analyse(folder: Path, *options: str) -> int:
    return main(["dynamics", str(folder), "--jobs", "1", *options])


def test_every_table_and_the_verdicts_are_written_once(folder, capsys):
    assert analyse(folder) == 0
    written = contents(folder)
    names = ({*ANALYSES} - {"false_signals", "words"}) | {*SURVEYS}  # no run is of these grids
    assert set(written) == {f"{name}.parquet" for name in names} | {"verdicts.csv"}
    cycles = tables.read(folder, "cycles")
    assert set(cycles.groupby("run_id").size()) == {5}
    assert cycles["run_id"].nunique() == 4
    assert cycles["run_id"].is_monotonic_increasing
    assert len(tables.read(folder, "bound")) == 2
    verdicts = pd.read_csv(folder / "dynamics" / "verdicts.csv")
    judged = {f"H{number}" for number in (6, 7, 9, 10, 11, 13, 15, 17)} | {"P1"}  # no LSTM for 12
    assert set(verdicts["hypothesis"]) == judged
    capsys.readouterr()
    assert analyse(folder) == 0
    assert capsys.readouterr().err.count(": already stored") == len(written) - 1
    assert contents(folder) == written


def test_a_command_that_was_stopped_resumes_at_the_table_it_was_making(folder, monkeypatch, capsys):
    only = ["--only", "exponents", "--only", "margins"]
    assert analyse(folder, *only) == 0
    whole = contents(folder)
    shutil.rmtree(folder / "dynamics")

    def stopped(network):
        raise OSError

    with monkeypatch.context() as patch:
        patch.setitem(ANALYSES, "margins", ANALYSES["margins"]._replace(of=stopped))
        assert analyse(folder, *only) == 2
    assert set(contents(folder)) == {"exponents.parquet"}
    capsys.readouterr()
    assert analyse(folder, *only) == 0
    assert "exponents: already stored" in capsys.readouterr().err
    assert contents(folder) == whole


def test_runs_are_followed_again_if_the_code_of_their_cell_has_changed(tmp_path, capsys):
    (tmp_path / "tiny.yaml").write_text(FOLLOWED)
    assert main(["grid", str(tmp_path / "tiny.yaml"), "--out", str(tmp_path / "r")]) == 0
    assert analyse(tmp_path / "r", "--only", "crossings") == 0
    whole = contents(tmp_path / "r")
    table = tables.read(tmp_path / "r", "crossings")
    table.loc[table["cell"] == "gru", ["code", "crossing"]] = "other", -1
    rows = [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    tables.write(tmp_path / "r", "crossings", rows)
    assert contents(tmp_path / "r") != whole
    capsys.readouterr()
    assert analyse(tmp_path / "r", "--only", "crossings") == 0
    assert "crossings: wrote 2 of 2 rows" in capsys.readouterr().err
    assert contents(tmp_path / "r") == whole
    assert analyse(tmp_path / "r", "--only", "crossings") == 0
    assert "crossings: already stored" in capsys.readouterr().err


def test_a_damaged_table_is_named_and_made_again(folder, capsys):
    assert analyse(folder, "--only", "exponents") == 0
    whole = contents(folder)
    for damage in (lambda old: old[: len(old) // 2], lambda old: old[:20] + b"\0" * 20 + old[40:]):
        table = folder / "dynamics" / "exponents.parquet"
        table.write_bytes(damage(table.read_bytes()))
        with pytest.raises(Missing, match=r"is damaged; .*--only exponents"):
            tables.read(folder, "exponents")
        assert analyse(folder, "--only", "exponents") == 0
        assert f"{table} is damaged; recomputing it" in capsys.readouterr().err
        assert contents(folder) == whole


def test_cells_without_gates_and_those_that_are_not_loaded_are_left_out(
    folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    Path("leaky.py").write_text(example_of("leaky"), encoding="utf-8")
    block = "  own: {keep_weights: true, fixed: {cell: leaky}}\n"
    Path("tiny.yaml").write_text(GRID.replace("blocks:\n", f"blocks:\n{block}"))
    use = ["--use", "leaky.py"]
    assert main(["grid", "tiny.yaml", "--out", str(folder), "--jobs", "1", *use]) == 0
    capsys.readouterr()
    said = []
    for words in (use, []):
        assert analyse(folder, "--only", "cycles", *words) == 0
        said.append(capsys.readouterr().err)
        assert "4 networks to analyse" in said[-1]
        assert tables.read(folder, "cycles")["run_id"].nunique() == 4
        forget(tmp_path)
    assert "note: leaving out 1 run of cell 'leaky', since the analysis needs gates" in said[0]
    assert "cell 'leaky' of 1 stored run is not loaded; --use FILE.py loads your own" in said[1]


def test_a_cell_of_ones_own_is_followed_while_it_learns(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    Path("leaky.py").write_text(example_of("leaky"), encoding="utf-8")
    fixed = "{cell: leaky, optimizer: sgd, lr: 1.0, max_updates: 20, eval_every: 5}"
    block = f"  resonance_own: {{keep_curves: false, fixed: {fixed}}}\n"
    Path("tiny.yaml").write_text(GRID[: GRID.index("blocks:")] + f"blocks:\n{block}")
    use = ["--use", "leaky.py"]
    assert main(["grid", "tiny.yaml", "--out", "own", "--jobs", "1", *use]) == 0
    assert analyse(Path("own"), *use) == 0
    row = tables.read(Path("own"), "crossings").iloc[0]
    assert row["cell"] == "leaky"
    assert row["last_update"] == 20
    assert 0 < row["first_radius"] < 1
    assert Path("own/dynamics/verdicts.csv").exists()
    forget(tmp_path)


@pytest.mark.parametrize("weight", [1e300, float("inf"), float("nan")])
def test_networks_whose_weights_overflow_are_left_out(folder, weight):
    rows = load(folder, curves=False, weights=True)
    first, *others = analysable(rows, folder)["run_id"]
    pairs = zip(rows["run_id"], rows["weights"], strict=True)
    spoilt = rows.assign(weights=[w * weight if run_id == first else w for run_id, w in pairs])
    assert analysable(spoilt, folder)["run_id"].tolist() == others


def test_a_digest_covers_the_networks_weights_and_the_gates(folder, monkeypatch):
    rows = analysable(load(folder, curves=False, weights=True), folder)
    moved = rows.assign(weights=[weights + 1e-7 for weights in rows["weights"]])
    digest_of, gates_of = ANALYSES["probes"].digest, fused.gates_of
    digests = {digest_of(some) for some in (rows, moved, rows.iloc[:-1])}
    build.source.cache_clear()
    monkeypatch.setattr(fused, "gates_of", lambda cell: gates_of(cell).replace("d = dh", "d = -dh"))
    digests.add(digest_of(rows))
    build.source.cache_clear()
    assert len(digests) == 4


def test_a_digest_does_not_cover_layout():
    code = '"""Doc."""\nimport math\n\ndef f(x):\n    """Doc."""\n    return x+1  # comment\n'
    assert tables.bare(code) == tables.bare("def f(x):\n    return (x +\n        1)")
    assert tables.bare(code) != tables.bare(code.replace("1", "2"))


def test_bad_input(folder, tmp_path, capsys):
    for words, message in (
        ([str(tmp_path / "none")], "holds no results"),
        ([str(folder), "--only", "cycle"], "did you mean 'cycles'"),
        ([str(folder), "--jobs", "0"], "--jobs"),
    ):
        assert main(["dynamics", *words]) == 2
        assert message in capsys.readouterr().err
    assert not (folder / "dynamics").exists()


def test_a_damaged_part_is_noted_and_a_folder_with_no_other_part_refused(folder, capsys):
    (part,) = folder.glob("rows-*.parquet")
    part.write_bytes(part.read_bytes()[:-100])
    assert analyse(folder) == 2
    said = capsys.readouterr().err
    assert f"{part} is damaged (" in said
    assert "no weights to analyse; train a block of its grid with `keep_weights: true`" in said


def test_networks_of_another_task_are_not_analysed(tmp_path, capsys):
    rows_of_cyclic = {"only": rows([20], task="cyclic", weights=True)}
    assert main(["dynamics", str(write_results(tmp_path / "cyclic", rows_of_cyclic))]) == 2
    assert "`keep_weights: true` and task 'alternating'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ANALYSES)
def test_a_table_depends_on_every_module_of_the_analysis_that_its_code_imports(name):
    """Otherwise an edit of such a module would leave the table as it is."""
    modules = {module.__name__.rpartition(".")[2] for module in ANALYSES[name].modules}
    for module in ANALYSES[name].modules:
        text = inspect.getsource(module)
        lines = re.findall(r"^from study\.dynamics import (.*)$", text, flags=re.M)
        names = {part for line in lines for part in line.split(", ")}
        names |= set(re.findall(r"^from study\.dynamics\.(\w+) import", text, flags=re.M))
        assert names <= modules | {"network", "tables"}
