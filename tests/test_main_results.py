"""The committed results are those of the committed grid, whose learning rates were tuned on it."""

from pathlib import Path

import pytest

from study.__main__ import main
from study.analysis.tune import choose, tuning_rows
from study.grid.file import expand, read_grid
from study.grid.store import load, read_plan, run_of

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def grid():
    return expand(read_grid(ROOT / "experiments" / "main.yaml"))


@pytest.fixture(scope="module")
def frame():
    return load(ROOT / "results" / "main", curves=False)


def test_every_run_of_the_grid_has_its_row(grid, frame):
    assert set(frame["run_id"]) == set(grid.sources)
    assert not (frame["status"] == "failed").any()
    plan = read_plan(ROOT / "results" / "main")
    assert {name: len(ids) for name, ids in grid.blocks.items()} == plan.groupby(
        "block"
    ).size().to_dict()


@pytest.mark.parametrize(
    "folder", sorted(p.parent for p in ROOT.glob("results/*/plan.parquet")), ids=lambda p: p.name
)
def test_every_stored_row_is_found_by_its_settings(folder):
    rows = load(folder, curves=False, unplanned=True)
    sample = rows.sample(min(len(rows), 300), random_state=0)
    assert [run_of(row).run_id for _, row in sample.iterrows()] == sample["run_id"].tolist()


def test_headline_learning_rates_are_the_tuned_ones(frame):
    tuning = tuning_rows(frame, ["tuning_sgd", "tuning_adaptive"])
    chosen = choose(tuning)
    used = tuning_rows(frame, ["headline"]).groupby(["cell", "optimizer"])["lr"].unique()
    assert {key: rates.tolist() for key, rates in used.items()} == {
        (row.cell, row.optimizer): [row.lr] for row in chosen.itertuples()
    }
    assert chosen["interior"].all()


def test_tuning_and_reporting_seeds_are_apart(frame):
    tuning = tuning_rows(frame, ["tuning_sgd", "tuning_adaptive"])
    rest = frame.drop(tuning.index)
    assert not set(tuning["seed"]) & set(rest["seed"])


@pytest.mark.parametrize(
    "path", sorted((ROOT / "experiments").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_committed_grid_expands(path):
    assert len(expand(read_grid(path))) > 0


def test_the_command_writes_the_committed_learning_rates(frame, tmp_path, capsys):
    committed = (ROOT / "experiments" / "main.yaml").read_text()
    spoilt = committed.replace("- [gru, sgd, 3]", "- [gru, sgd, 9]").replace(
        "        - [lstm, adam, 0.03]\n", ""
    )
    assert spoilt != committed
    note = "        # the rate of the first entry\n        - [gru, adam, 0.1]  # tuned"
    committed, spoilt = (
        text.replace("        - [gru, adam, 0.1]", note) for text in (committed, spoilt)
    )
    (tmp_path / "real.yaml").write_text(spoilt)
    (tmp_path / "real.yaml").chmod(0o640)
    path = tmp_path / "main.yaml"
    path.symlink_to("real.yaml")
    blocks = ["--block", "tuning_sgd", "--block", "tuning_adaptive"]
    assert main(["tune", str(ROOT / "results" / "main"), *blocks, "--write", str(path)]) == 0
    assert path.read_text() == committed
    assert path.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert "now has the chosen learning rates" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\n", "needs exactly one axis `cell, optimizer, lr:`"),
        (
            "blocks: {a: {vary: {'cell, optimizer, lr': [[gru, sgd, 1]]}}}\n",
            "with one line per entry",
        ),
        ("a:\n  cell, optimizer, lr:\n    - [gru, sgd, 1]\n    -\n", "one line per entry"),
    ],
)
def test_a_grid_file_without_such_an_axis_is_refused(frame, tmp_path, capsys, text, message):
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    assert (
        main(
            ["tune", str(ROOT / "results" / "main"), "--block", "tuning_sgd", "--write", str(path)]
        )
        == 2
    )
    assert message in capsys.readouterr().err
    assert path.read_text() == text
