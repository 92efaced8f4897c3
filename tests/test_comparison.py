"""Cells matched by their settings, and what changed in them: on tables worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from study.analysis.comparison import OUTCOMES, differing_settings, judge, match
from study.errors import BadInput
from study.grid.train import row_of
from study.runs.settings import Run


def rows(converged, first_seed=0, bits=None, **settings) -> pd.DataFrame:
    """Rows of one cell on seeds from `first_seed`; a converged update each, None: unsolved after 100."""
    found = []
    for seed, update in enumerate(converged, start=first_seed):
        run = Run(seed=seed, max_updates=100, engine="torch", **settings)
        status = "unsolved" if update is None else "solved"
        results = {
            "status": status,
            "converged_update": update,
            "updates": 100,
            "long_exact": float(update is not None),
        }
        found.append(row_of(run, results, 1, "test") | {"bits": hash((seed, update, bits))})
    return pd.DataFrame(found).assign(
        converged_update=lambda frame: frame["converged_update"].astype(float)
    )


def judged(a, b) -> pd.DataFrame:
    cells, _ = match(a, b)
    return judge(cells, np.random.default_rng(0))


def test_same_bits_need_no_statistics():
    a = rows([10, 20, None])
    (cell,), _ = match(a, rows([10, 20, None]))
    assert (cell.same, cell.is_same) == (3, True)
    assert judged(a, a).empty


def test_a_pair_of_cells_by_hand():
    """Shared seeds as pairs: shares 3/4 and 2/4, restricted means (10 + 20 + 30 + 100)/4 and 5 updates more each."""
    table = judged(rows([10, 20, 30, None]), rows([15, 25, None, None])).set_index("outcome")
    assert list(table.index) == list(OUTCOMES)
    assert table["paired"].all()
    assert table.loc["share solved", ["a", "b", "difference"]].tolist() == [0.75, 0.5, -0.25]
    assert table.loc["updates", ["a", "b", "difference"]].tolist() == [40, 60, 20]
    assert table.loc["exact at 10 T", ["a", "b"]].tolist() == [0.75, 0.5]
    assert (table["p_holm"] >= table["p"]).all()
    assert (table["low"] <= table["difference"]).all()
    assert (table["difference"] <= table["high"]).all()


@pytest.mark.parametrize("first_seed", [0, 1000])
def test_a_real_change_is_found_in_pairs_and_apart(first_seed):
    table = judged(
        rows([10, 15, 20, 25] * 10), rows([40, 45, None, 55] * 10, first_seed)
    ).set_index("outcome")
    assert table["paired"].all() == (first_seed == 0)
    assert table.loc["updates", "p_holm"] < 1e-4
    assert table.loc["share solved", "difference"] == -0.25


def test_shares_that_are_all_alike_are_no_change_apart():
    table = judged(rows([10, 15] * 5), rows([15, 10] * 5, 1000)).set_index("outcome")
    assert table.loc["exact at 10 T", "p"] == 1
    assert table.loc["share solved", "p"] == 1


def test_budgets_that_differ_are_followed_to_the_shorter():
    """Within 50 updates, B's run at 80 is not solved: restricted means (10 + 50)/2 and (10 + 50)/2."""
    a, b = rows([10, None]).assign(max_updates=50, updates=50), rows([10, 80])
    (cell,), _ = match(a, b, ["max_updates"])
    table = judge([cell], np.random.default_rng(0)).set_index("outcome")
    assert table.loc["updates", ["a", "b"]].tolist() == [30, 30]
    assert table.loc["share solved", ["a", "b"]].tolist() == [0.5, 0.5]


def test_other_bits_within_chance():
    table = judged(rows([10, 20, 30]), rows([10, 20, 30], bits="other"))
    assert table["p"].tolist() == [1, 1, 1]


def test_cells_are_named_by_what_tells_them_apart():
    a = pd.concat([rows([10] * 3), rows([10], hidden_size=8), rows([10], cell="gru", lr=0.1)])
    cells, usual = match(a, a)
    assert {cell.label for cell in cells} == {
        "cell=lstm",
        "cell=lstm hidden_size=8",
        "cell=gru lr=0.1",
    }
    assert usual == "hidden_size=6 lr=0.01"


def test_one_value_here_and_another_there_is_matched_across():
    a, b = rows([10, 20]), rows([10, 20], eval_sequences=128)
    (found,) = differing_settings(a, b)
    assert (found.name, found.only_a, found.only_b, found.is_crossed) == (
        "eval_sequences",
        ("64",),
        ("128",),
        True,
    )
    (cell,), _ = match(a, b, [found.name])
    assert len(cell.shared) == 2


def test_values_of_an_axis_that_only_one_side_has_keep_cells_apart():
    a, b = pd.concat([rows([10]), rows([10], lr=0.1)]), pd.concat([rows([10]), rows([10], lr=0.2)])
    (found,) = differing_settings(a, b)
    assert (found.only_a, found.only_b, found.is_crossed) == (("0.1",), ("0.2",), False)
    assert sorted(len(cell.shared) for cell in match(a, b)[0]) == [0, 0, 1]


def test_across_a_setting_that_would_pool_is_refused():
    a = pd.concat([rows([10]), rows([10], lr=0.1)])
    with pytest.raises(BadInput, match="matched across lr, A has a seed more than once"):
        match(a, a, ["lr"])
    with pytest.raises(BadInput, match=r"unknown setting 'lrr' \(did you mean 'lr'\?\)"):
        differing_settings(a, a, ["lrr"])
