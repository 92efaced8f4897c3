"""The end table and the choice of learning rates, on tables worked out by hand."""

import warnings

import numpy as np
import pandas as pd
import pytest
from drawn import rows

from study.__main__ import main
from study.analysis.tune import as_axis
from study.analysis.tuning import choose
from study.grid.progress import duration
from study.grid.report import by_block, censored_times, summarise, summary_text
from study.grid.store import Store, StoreWarning, load


def runs(lr, converged, cell="lstm", status=None, budget=100):
    """Rows with what the summary needs; None: unsolved after the budget."""
    solved = [update is not None for update in converged]
    return pd.DataFrame(
        {
            "cell": cell,
            "optimizer": "adam",
            "lr": lr,
            "status": status or ["solved" if s else "unsolved" for s in solved],
            "converged_update": [np.nan if update is None else update for update in converged],
            "updates": [budget if update is None else update + 10 for update in converged],
            "max_updates": budget,
        }
    )


def test_summary_by_hand():
    frame = pd.concat([runs(0.1, [10, 20, 30, None]), runs(0.1, [None], status="failed")])
    (row,) = summarise(frame).to_dict("records")
    assert (row["n"], row["solved"], row["median_update"], row["failed"]) == (4, 0.75, 20, 1)
    assert row["solved_low"] == pytest.approx(0.3006, abs=1e-4)  # Wilson's, of 3 in 4
    assert row["solved_high"] == pytest.approx(0.9544, abs=1e-4)


def test_a_diverged_run_is_unsolved_to_the_end_of_its_budget():
    frame = runs(0.1, [10, None], status=["solved", "diverged"])
    frame.loc[1, "updates"] = 3
    times, solved = censored_times(frame)
    assert times.tolist() == [10, 100]
    assert solved.tolist() == [True, False]


def test_runs_are_counted_in_each_of_their_blocks_and_what_has_left_the_grid_in_none(tmp_path):
    made = [row | {"run_id": f"{seed:020x}"} for seed, row in enumerate(rows([20, None, 40]))]
    with Store(tmp_path / "results") as store:
        store.append(made)
        first, second, _ = (row["run_id"] for row in made)
        store.write_plan({"a": [first, second], "b": [second, "not stored yet"]})
    with warnings.catch_warnings(action="ignore", category=StoreWarning):
        blocks = by_block(load(store.folder))
    assert sorted(zip(blocks["block"], blocks["run_id"], strict=True)) == [
        ("a", first),
        ("a", second),
        ("b", second),
    ]
    found = summarise(blocks, ("block", "cell"))[["block", "n", "solved"]].to_numpy().tolist()
    assert found == [["a", 2, 0.5], ["b", 1, 0.0]]


def test_summary_as_text():
    frame = pd.concat(
        [
            runs(0.1, [10] * 30),
            runs(0.1, [None] * 2, cell="gru"),
            runs(0.1, [None], "rnn", "skipped"),
        ]
    )
    lines = summary_text(summarise(frame)).splitlines()
    assert lines[0].split() == [
        "cell",
        "optimizer",
        "n",
        "solved",
        "[95",
        "%]",
        "median",
        "updates",
        "[95",
        "%]",
        "skipped",
    ]
    assert "1.000 [0.886, 1.000]" in lines[2]
    assert "beyond budget" in lines[1]
    assert lines[3].split() == ["rnn", "adam", "0", "-", "-", "1"]


def test_the_chosen_rate_has_the_smallest_restricted_mean():
    """Means within 100 updates: (10 + 10 + 100)/3 = 40 for 0.3; (35 + 35 + 35)/3 = 35 for 0.1; 100 for 0.01."""
    frame = pd.concat([runs(0.01, [None] * 3), runs(0.1, [35] * 3), runs(0.3, [10, 10, None])])
    (chosen,) = choose(frame).to_dict("records")
    assert (chosen["lr"], chosen["restricted_mean_update"], chosen["interior"]) == (0.1, 35, True)
    assert as_axis(choose(frame)).splitlines()[-1].strip() == "- [lstm, adam, 0.1]"


def test_of_equal_rates_the_smaller_and_ends_are_reported():
    (chosen,) = choose(pd.concat([runs(0.3, [10]), runs(0.1, [10])])).to_dict("records")
    assert (chosen["lr"], chosen["interior"]) == (0.1, False)


def test_tune_refuses_what_is_not_there(tmp_path, capsys):
    assert main(["tune", str(tmp_path), "--block", "tuning"]) == 2
    assert "holds no results" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.02, "1 s"),
        (3.4, "3 s"),
        (89, "89 s"),
        (200, "3 min"),
        (5300, "88 min"),
        (12000, "3 h 20 min"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text
