"""The answers to the post: tables from tiny results whose numbers are known, and the command."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn import BLOCKS, NEAR, post_rows, write_results

import study
from study.__main__ import main
from study.analysis import answers, post
from study.analysis.answers import states
from study.grid import Missing
from study.runs import CURVES
from study.stats import logistic_effects

ROOT = Path(__file__).parent.parent
COMMITTED = [ROOT / "results" / name for name in ("forum", "forum_factorial", "notebook")]


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_results(tmp_path / "results")


@pytest.fixture
def frame(folder) -> pd.DataFrame:
    return study.load(folder)


def test_each_reading_of_the_loop(frame):
    """Of four runs never zeroed, two solved the task and one of these is wrong again at the end; of
    four zeroed runs, none solved it."""
    table = post.loops(frame).set_index(["step_after", "zeroed"])
    assert list(table.index.get_level_values(0)) == ["all epochs", "epoch", "epoch", "sequence"]
    never = table.loc[("epoch", False)]
    assert (never["n"], never["solved"], never["left"], never["left_at_0.5"]) == (4, 0.5, 0.5, 0.5)
    assert (never["solved_low"], never["solved_high"]) == pytest.approx(
        (0.15004, 0.84996), abs=1e-4
    )
    assert never["left_median_epoch"] == 20
    assert table.loc[("epoch", True), ["n", "solved", "left"]].tolist() == [4, 0, 0]
    assert table.loc[("epoch", True), "left_median_epoch"] == np.inf
    assert (
        table.loc[("sequence", False), "left_median_epoch"] == 20
    )  # update 40, with two per epoch


def test_the_time_on_the_plateau_counts_runs_that_never_leave_it(frame):
    table = post.plateau(frame).set_index(["zeroed", "lr"])
    never, zeroed = table.loc[(False, 0.2)], table.loc[(True, 0.2)]
    assert (never["n"], never["left"], never["left_median_epoch"]) == (3, pytest.approx(2 / 3), 40)
    assert (zeroed["left"], zeroed["left_median_epoch"]) == (pytest.approx(1 / 3), np.inf)


def test_a_change_is_compared_on_the_same_seeds(frame):
    table = post.changes(frame).set_index(["step_after", "zeroed", "change"])
    adam = table.loc[("epoch", True, "Adam rate 0.1")]
    assert (adam["solved"], adam["solved_gain"], adam["verdict"]) == (1, 1, "rescues")
    cueless = table.loc[("epoch", False, "no cue")]
    assert (cueless["solved"], cueless["solved_gain"], cueless["verdict"]) == (1 / 8, -5 / 8, "")
    assert table.loc[("epoch", False, "Adam rate 0.1"), "solved_gain"] == -6 / 8
    assert table.loc[("epoch", False, "as it is"), "verdict"] == ""
    ends = table.loc[("epoch", False, "Adam rate 0.1"), ["ends_near", "ends_below"]]
    assert ends.tolist() == [8, 0]


def test_zeroing_can_hurt_or_help(frame):
    table = post.zeroing(frame).set_index("change")
    assert table["gain"].to_dict() == {"as it is": -6 / 8, "no cue": -1 / 8, "Adam rate 0.1": 1}
    assert table["verdict"].to_dict() == {"as it is": "", "no cue": "", "Adam rate 0.1": "helps"}
    # Six pairs point one way, and Holm's method doubles the second smallest of three p-values.
    assert table.loc["as it is", "p"] == pytest.approx(2 * 2 / 2**6)


def test_momentum_counts_lost_solutions_and_swings_of_the_loss(frame):
    table = post.momentum(frame).set_index(["momentum", "zeroed"])
    assert list(table.index) == [(0.0, True), (0.5, True), (1.0, True), (1.0, False)]
    never = table.loc[(1.0, False)]
    assert (never["lost"], never["swung"], never["right_at_end"]) == (0.5, 0.25, 0.25)
    assert table.loc[(1.0, True), ["lost", "swung"]].tolist() == [0, 0]


def test_a_swing_is_the_largest_rise_above_the_lowest_value_so_far():
    assert post.swing([np.nan, 0.7, 0.3, 0.4, 0.1, 0.8, 0.2]) == pytest.approx(0.7)
    assert post.swing([0.7, 0.5, 0.5]) == 0
    assert np.isnan(post.swing([np.nan]))


def test_effects_are_those_of_the_factors_that_vary(frame):
    table = post.effects(frame)
    assert set(table["epochs"]) == {100}
    assert table["term"].tolist() == ["gradient=zeroed", "cell=GRU", "gradient=zeroed : cell=GRU"]
    counts = {(0, 0): 2, (1, 0): 1, (0, 1): 1, (1, 1): 4}
    zeroed, gru = (np.repeat([key[i] for key in counts], 4) for i in (0, 1))
    solved = np.concatenate([np.arange(4) < k for k in counts.values()])
    expected = logistic_effects({"a": zeroed, "b": gru}, solved)
    np.testing.assert_allclose(table["log_odds_ratio"], expected["log_odds_ratio"], rtol=1e-6)


def test_effects_need_runs_that_solved_the_task_and_runs_that_did_not(frame):
    with pytest.raises(Missing, match="either all solved the task, or none did"):
        post.effects(frame.assign(converged_update=np.nan))


def test_combinations_are_counted(frame):
    table = post.combinations(frame).set_index(["zeroed", "cell"])
    assert list(table.index) == [(zeroed, c) for zeroed in (False, True) for c in ("gru", "lstm")]
    assert table["solved_by_100"].tolist() == [0.25, 0.5, 1, 0.25]


def test_a_run_whose_training_loss_alone_falls_has_memorised(tmp_path):
    made = post_rows([None, 20])
    made[0]["curve_training_loss"] = [NEAR, NEAR, 0.1]
    path = write_results(tmp_path / "memorised", {"headline": BLOCKS["headline"], "post": made})
    rows = post.runs_of(study.load(path), "post").sort_values("seed")
    assert rows["memorised"].tolist() == [True, False]
    assert rows["left"].tolist() == [False, True]
    assert rows["ends"].tolist() == ["near", "solved"]


def test_losses_of_a_task_with_more_labels_are_not_compared_with_ln_2(frame):
    with pytest.raises(Missing, match="needs tasks with two labels, unlike 'cyclic'"):
        post.runs_of(frame.assign(task="cyclic"), "post")


def test_states_are_compared_with_the_carried_one(frame):
    table = states(frame)
    reset = table[table["state"] == "reset"].iloc[0]
    assert (reset["n"], reset["solved"], reset["gain"]) == (3, 0, -1)
    assert reset["accuracy_of_always_0"] == 10 / 20  # the 1s and 0s of t = 1 to 20
    carried = table[(table["block"] == "between_steps") & (table["state"] == "carried")].iloc[0]
    assert np.isnan(carried["gain"])


def test_the_command_prints_and_writes_every_table(folder, capsys):
    assert main(["answers", str(folder)]) == 0
    said = capsys.readouterr().out
    for name in answers.ANSWERS:
        path = folder / "answers" / f"{name}.csv"
        assert f"{path}\n" in said
        assert len(pd.read_csv(path))
    assert "Adam rate 0.1" in said


def test_results_of_another_grid_are_refused(tmp_path, capsys):
    other = write_results(tmp_path / "other", {"headline": BLOCKS["headline"]})
    assert main(["answers", str(other)]) == 2
    assert "has none of the runs needed" in capsys.readouterr().err
    assert main(["answers", str(tmp_path / "none")]) == 2


def test_results_without_curves_are_refused(tmp_path, capsys):
    lean = [row | dict.fromkeys(CURVES) for row in BLOCKS["as_it_is"]]
    folder = write_results(tmp_path / "lean", {"as_it_is": lean})
    assert main(["answers", str(folder)]) == 2
    count = f"the learning curves of {len(lean)} of {len(lean)} runs were not kept; remove"
    assert f"{folder}: {count} `keep_curves: false` from their block" in capsys.readouterr().err


def test_results_without_rows_are_refused(folder, capsys):
    for path in folder.glob("rows-*.parquet"):
        path.unlink()
    assert main(["answers", str(folder)]) == 2
    assert "has none of the runs needed" in capsys.readouterr().err


@pytest.mark.parametrize("committed", COMMITTED, ids=lambda path: path.name)
def test_the_committed_answers_follow_from_the_committed_results(committed):
    tables = answers.answer(study.load(committed))
    assert {path.stem for path in (committed / "answers").iterdir()} == set(tables)
    for name, table in tables.items():
        assert answers.as_csv(table) == (committed / "answers" / f"{name}.csv").read_text(), name


def test_a_categorical_factor_keeps_its_order():
    levels = pd.Categorical(np.repeat(["lstm", "gru"], 40), categories=["lstm", "gru", "unused"])
    table = logistic_effects(
        {"cell": levels}, np.tile([True, False, False, False], 20) | (levels == "gru")
    )
    assert table["term"].tolist() == ["cell=gru"]
    assert table["log_odds_ratio"].iloc[0] > 0


def test_a_median_that_too_few_runs_reached_is_called_beyond_budget():
    table = pd.DataFrame({"left": [np.inf], "left_low": [380.0], "left_high": [np.inf]})
    assert answers.as_text(table).splitlines()[1] == "beyond budget [380, beyond budget]"
