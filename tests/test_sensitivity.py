"""Other definitions of *solved*, on curves whose answers are worked out by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import study
from study.analysis.sensitivity import convergence, sensitivity
from study.grid import Missing
from study.grid.report import CONCLUSIVE, censored_times

MAIN = Path(__file__).parent.parent / "results" / "main"


def run(exact, status="unsolved", stored=None, budget=30, **settings):
    """A row whose curve is evaluated every 10 updates; `stored` is its convergence update."""
    curve = None if exact is None else np.array(exact, float)
    return {
        "cell": "gru",
        "optimizer": "adam",
        "seed": 0,
        "status": status,
        "curve_exact": curve,
        "curve_update": None if exact is None else np.arange(len(exact)) * 10,
        "updates": np.nan if exact is None else (len(exact) - 1) * 10,
        "converged_update": np.nan if stored is None else stored,
        "max_updates": budget,
        "stop_when_solved": True,
        "solved_evaluations": 2,
    } | settings


ROWS = pd.DataFrame(
    [
        run([0, 0.9, 1, 1], "solved", stored=20),  # trained to its budget
        run([0, 1, 1], "solved", stored=10),  # stopped before its budget
        run([0, 0.9, 0.9, 0]),
        run([0, 0], "diverged"),
        run(None, "failed"),
    ]
)


@pytest.mark.parametrize(
    ("threshold", "consecutive", "times", "solved", "lost", "is_open"),
    [
        (1.0, 2, [20, 10, 30, 30, 0], [1, 1, 0, 0, 0], [None] * 5, [0, 0, 0, 0, 0]),
        (
            0.9,
            2,
            [10, 10, 10, 30, 0],
            [1, 1, 1, 0, 0],
            [None, None, 30, None, None],
            [0, 0, 0, 0, 0],
        ),
        (1.0, 3, [30, 20, 30, 30, 0], [0, 0, 0, 0, 0], [None] * 5, [0, 1, 0, 0, 0]),
        (0.9, 3, [10, 20, 30, 30, 0], [1, 0, 0, 0, 0], [None] * 5, [0, 1, 0, 0, 0]),
    ],
)
def test_convergence_under_another_definition(threshold, consecutive, times, solved, lost, is_open):
    found = convergence(ROWS, threshold, consecutive)
    assert found["time"].tolist() == times
    assert found["is_solved"].tolist() == list(map(bool, solved))
    assert (
        found["lost_update"].astype(object).where(found["lost_update"].notna(), None).tolist()
        == lost
    )
    assert found["is_open"].tolist() == list(map(bool, is_open))


def test_rows_without_any_curve():
    found = convergence(ROWS[ROWS["status"] == "failed"])
    assert not found["is_solved"].any()


def test_table_by_hand():
    """Of 4 conclusive runs, 2 are solved by the stored definition, 3 by the looser one."""
    table = sensitivity(ROWS, np.random.default_rng(0), thresholds=[0.9, 1.0], consecutive=[2, 3])
    table = table.set_index(["threshold", "consecutive"])
    assert table["is_stored"].tolist() == [False, False, True, False]
    stored, looser, unknown = table.loc[(1.0, 2)], table.loc[(0.9, 2)], table.loc[(1.0, 3)]
    assert (stored["n"], stored["solved"], looser["solved"]) == (4, 0.5, 0.75)
    assert stored["restricted_mean_update"] == (20 + 10 + 30 + 30) / 4
    assert (stored["median_update"], looser["median_update"]) == (20, 10)
    assert unknown["open"] == 1
    assert np.isnan(
        [unknown["solved"], unknown["median_update"], unknown["restricted_mean_update"]]
    ).all()
    assert unknown["solved_low"] == 0
    assert unknown["solved_high"] == pytest.approx(0.6994, abs=1e-4)  # Wilson's, of 1 in 4


def test_a_group_that_pools_has_no_interval():
    rows = pd.DataFrame([run([0, 1, 1], "solved", stored=10, lr=lr) for lr in (0.1, 0.2)])
    (row,) = sensitivity(rows, np.random.default_rng(0), thresholds=[1.0], consecutive=[2]).to_dict(
        "records"
    )
    assert (row["solved"], row["pooled_over"]) == (1, "lr")
    assert np.isnan(row["solved_low"])


def test_runs_whose_curves_were_not_kept_are_refused():
    rows = pd.DataFrame([run([0, 1, 1], "solved", stored=10), run(None), run(None, "failed")])
    message = "the learning curves of 1 of 2 runs were not kept; remove `keep_curves: false` from"
    with pytest.raises(Missing, match=message):
        convergence(rows)


def test_the_stored_definition_gives_the_stored_convergence():
    frame = study.load(MAIN)
    frame = frame[frame["status"].isin(CONCLUSIVE)]
    for consecutive, rows in frame.groupby("solved_evaluations"):
        times, solved = censored_times(rows)
        found = convergence(rows, threshold=1.0, consecutive=consecutive)
        assert (found["time"] == times).all()
        assert (found["is_solved"] == solved).all()
        assert not found["is_open"].any()
