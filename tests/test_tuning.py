"""Optimizers at an equal tuning budget: fair comparisons by hand, unfair ones refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

import study
from study.analysis.tune import compare_optimizers, tuning_rows
from study.errors import BadInput

MAIN = Path(__file__).parent.parent / "results" / "main"


def runs(optimizer, lr, converged, first_seed):
    """Rows of one cell, optimizer and rate on seeds from `first_seed`; None: unsolved after 100."""
    return pd.DataFrame(
        {
            "cell": "gru",
            "optimizer": optimizer,
            "lr": lr,
            "seed": range(first_seed, first_seed + len(converged)),
            "status": ["unsolved" if update is None else "solved" for update in converged],
            "converged_update": [np.nan if update is None else update for update in converged],
            "updates": 100,
            "max_updates": 100,
        }
    )


def tuning():
    """Adam is best at 0.1, inside its list; sgd is best at 1, the end of its list."""
    speeds = [("adam", 0.01, 50), ("adam", 0.1, 20), ("adam", 1.0, 70)]
    speeds += [("sgd", 0.1, 90), ("sgd", 0.3, 60), ("sgd", 1.0, 40)]
    return pd.concat([runs(name, lr, [update] * 2, 1000) for name, lr, update in speeds])


REPORTING = pd.concat(
    [runs("adam", 0.1, [10, 30, 20, None], 0), runs("sgd", 1.0, [40, 50, 60, 70, 80], 0)]
)


def test_a_pair_by_hand():
    """On the four shared seeds: (10 + 30 + 20 + 100)/4 - (40 + 50 + 60 + 70)/4 = -15 updates."""
    (row,) = compare_optimizers(tuning(), REPORTING, np.random.default_rng(0)).to_dict("records")
    assert (row["a"], row["b"], row["n"], row["updates_difference"]) == ("adam", "sgd", 4, -15)
    assert row["updates_low"] < -15 < row["updates_high"]
    assert row["solved_difference"] == -0.25
    assert row["z"] < 0
    assert row["p_holm"] == row["p"] > 0.05
    # Adam's share of those at risk at each time.
    left = [4 / 8, 3 / 7, 2 / 6, 1 / 5, 1 / 4, 1 / 3, 1 / 2]
    statistic = (3 - sum(left)) ** 2 / sum(share * (1 - share) for share in left)
    assert row["logrank_p"] == pytest.approx(chi2.sf(statistic, 1))
    assert not row["interior"]


def same(rows):
    return rows


@pytest.mark.parametrize(
    ("tune", "report", "message"),
    [
        (lambda rows: rows.assign(seed=rows["seed"] - 1000), same, "2 seeds serve both tuning"),
        (
            lambda rows: rows[rows["lr"] != 0.3],
            same,
            r"equal \(gru with adam: 3 rates, 6 runs; gru with sgd: 2",
        ),
        (same, lambda rows: rows.assign(lr=1.0), "gru with adam is .* rates 1, but 0.1 was chosen"),
        (lambda rows: rows[rows["optimizer"] == "sgd"], same, "gru with adam has no tuning runs"),
        (same, lambda rows: rows.assign(hidden_size=range(9)), "runs differ in hidden_size, but"),
    ],
)
def test_an_unfair_comparison_is_refused(tune, report, message):
    with pytest.raises(BadInput, match=message):
        compare_optimizers(tune(tuning()), report(REPORTING), np.random.default_rng(0))


def test_tuning_needs_a_run_that_did_not_fail():
    failed = runs("adam", 0.1, [None, None], 0).assign(status="failed", blocks=[("a",)] * 2)
    with pytest.raises(BadInput, match="has no run that finished training"):
        tuning_rows(failed, ["a"])


def test_the_committed_results_give_a_fair_comparison():
    frame = study.load(MAIN, curves=False)
    tuned = tuning_rows(frame, ["tuning_sgd", "tuning_adaptive"])
    table = compare_optimizers(tuned, tuning_rows(frame, ["headline"]), np.random.default_rng(0))
    assert len(table) == 4 * 6
    assert (table["n"] == 200).all()
    assert table["interior"].all()
    assert (table["p"] <= table["p_holm"]).all()
    stored = pd.read_csv(MAIN / "contrasts.csv")
    pd.testing.assert_frame_equal(stored, table, rtol=1e-5, check_dtype=False)
