"""`python -m study.compare` as a user sees it: what it says, and its exit codes."""

import pandas as pd
import pytest
from drawn import whole

from study.analysis.compare import main
from study.grid.store import Store
from study.grid.train import row_of
from study.runs.settings import Run


def result_set(folder, converged, planned=(), missing=(), statuses=None, **settings):
    """A results folder with a run a seed; a converged update each, None: unsolved after 100."""
    with Store(folder) as store:
        made = []
        for seed, update in enumerate(converged):
            run = Run(seed=seed, max_updates=100, engine="torch", **settings)
            status = (statuses or {}).get(seed, "unsolved" if update is None else "solved")
            results = {"status": status, "converged_update": update, "updates": 100}
            trained = {"long_exact": 1.0, "curve_exact": [0.0, seed / 100]}
            results |= (
                {"reason": "Traceback\nMemoryError: 3 GiB"} if status == "failed" else trained
            )
            made.append(whole(row_of(run, results, 1, "test"), 0.0))
        store.append([row for row in made if row["seed"] not in missing])
        store.write_plan({"only": [row["run_id"] for row in made]})
    return str(folder)


UPDATES = [10, 15, 20, 25, None] * 6


@pytest.fixture
def a(tmp_path):
    return result_set(tmp_path / "a", UPDATES)


def test_a_set_and_itself(a, capsys):
    assert main([a, a, "--strict"]) == 0
    said = capsys.readouterr().out
    assert "30 of 30 planned runs are stored" in said
    assert "settings: the same values on both sides, defaults included" in said
    assert "30 trained to their end on both sides, 30 of them the same to the last bit" in said
    assert (
        "1 on both sides: 1 the same to the last bit, 0 different within chance, 0 changed" in said
    )


def test_a_change_beyond_chance(a, tmp_path, capsys):
    b = result_set(tmp_path / "b", [None if update is None else update + 20 for update in UPDATES])
    assert main([a, b]) == 0
    assert main([a, b, "--strict", "--out", str(tmp_path / "tests.csv")]) == 1
    said = capsys.readouterr().out
    assert "0 the same to the last bit, 0 different within chance, 1 changed" in said
    assert "p below 0.05 after Holm's correction over 3 tests (3 outcomes of 1 cell)" in said
    (line,) = {line for line in said.splitlines() if " pairs " in line}
    assert line.split()[:7] == ["the", "usual", "settings", "updates", "30", "pairs", "34"]
    assert "+16 [" in line  # 20 more in four runs of five
    assert pd.read_csv(tmp_path / "tests.csv")["outcome"].tolist() == [
        "share solved",
        "updates",
        "exact at 10 T",
    ]


def test_other_bits_within_chance_are_no_change(a, tmp_path, capsys):
    b = result_set(tmp_path / "b", [15, *UPDATES[1:]])
    assert main([a, b, "--strict"]) == 0
    said = capsys.readouterr().out
    assert "29 of them the same to the last bit" in said
    assert "1 different within chance, 0 changed" in said


def test_missing_and_failed_runs_are_named_and_are_a_change(a, tmp_path, capsys):
    b = result_set(tmp_path / "b", UPDATES, missing={7, 8}, statuses={3: "failed"})
    assert main([a, b, "--strict"]) == 1
    said = capsys.readouterr().out
    assert "28 of 30 planned runs are stored (1 failed); missing: only 2" in said
    assert "27 trained to their end on both sides, 27 of them the same" in said
    assert "missing in B: 2 runs\n    the usual settings: 2 of 30" in said
    assert "failed in B only: 1 run\n    the usual settings: seed 3: MemoryError: 3 GiB" in said


def test_runs_that_failed_on_both_sides_are_no_change(tmp_path, capsys):
    one, other = (result_set(tmp_path / name, UPDATES, statuses={3: "failed"}) for name in "ab")
    assert main([one, other, "--strict"]) == 0
    assert "failed or skipped on both sides: 1 run" in capsys.readouterr().out


def test_a_default_that_changed_is_said_and_matched_across(a, tmp_path, capsys):
    b = result_set(tmp_path / "b", UPDATES, eval_sequences=128)
    assert main([a, b, "--strict"]) == 1
    said = capsys.readouterr().out
    assert "eval_sequences: only A: 64; only B: 128 (cells are matched across it)" in said
    assert "30 of them the same to the last bit" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{a}", "{tmp}/damagd"], "damagd: holds no results (did you mean 'damaged'?)"),
        (["{a}", "{tmp}/a/plan.parquet"], "is a file"),
        (
            ["{a}", "{tmp}/empty"],
            "empty: has no runs to compare: 0 of 1 planned runs are stored; missing: only 1",
        ),
        (
            ["{a}", "{tmp}/damaged"],
            "has no runs to compare: 0 of 30 planned runs are stored; missing: only 30; 1 damaged",
        ),
        (["{a}", "{a}", "--across", "enigne"], "unknown setting 'enigne' (did you mean 'engine'?)"),
    ],
)
def test_bad_input(a, tmp_path, capsys, arguments, message):
    with Store(tmp_path / "empty") as store:
        store.write_plan({"only": [Run().run_id]})
    result_set(tmp_path / "damaged", UPDATES)
    for part in (tmp_path / "damaged").glob("rows-*"):
        part.write_bytes(b"")
    assert main([text.format(a=a, tmp=tmp_path) for text in arguments]) == 2
    assert message in capsys.readouterr().err
