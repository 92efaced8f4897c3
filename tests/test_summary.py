"""The summary table and the choice of learning rates, on tables worked out by hand."""

import json
import warnings
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from drawn import rows, write_results

from study.__main__ import main
from study.analysis.tune import as_axis, choose
from study.grid.progress import duration
from study.grid.report import by_block, censored_times, summarise, summary_text
from study.grid.store import Store, StoreWarning, load


def runs(lr, converged, cell="lstm", status=None, budget=100):
    """Rows with the columns that the summary needs; None: unsolved after the budget."""
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


def test_a_diverged_run_is_censored_at_its_whole_budget():
    frame = runs(0.1, [10, None], status=["solved", "diverged"])
    frame.loc[1, "updates"] = 3
    times, solved = censored_times(frame)
    assert times.tolist() == [10, 100]
    assert solved.tolist() == [True, False]


def test_a_run_counts_in_each_of_its_blocks_and_in_none_if_the_grid_dropped_it(tmp_path):
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
    never, skipped = runs(0.1, [None] * 2, cell="gru"), runs(0.1, [None], "rnn", "skipped")
    lines = summary_text(summarise(pd.concat([runs(0.1, [10] * 30), never, skipped]))).splitlines()
    head = "cell optimizer n solved [95 %] median updates [95 %] skipped"
    assert " ".join(lines[0].split()) == head
    assert "1.000 [0.886, 1.000]" in lines[2]
    assert "beyond budget" in lines[1]
    assert lines[3].split() == ["rnn", "adam", "0", "-", "-", "1"]


def test_settings_are_written_as_in_a_grid_file_and_pooling_is_explained():
    frame = runs(0.1, [10, 20]).assign(cut_every=[2, np.nan], lr=[0.1, 1.0])
    text = summary_text(summarise(frame, ["cut_every"]))
    assert [line.split()[0] for line in text.splitlines()] == ["cut_every", "2", "none"]
    assert summary_text(summarise(frame)).endswith(" Such a group has no intervals.")


def test_a_folder_in_which_no_run_is_stored_is_named(tmp_path, capsys):
    with Store(tmp_path / "results") as store:
        store.write_plan({"a": ["not stored yet"]})
    assert main(["summary", str(tmp_path / "results")]) == 2
    assert "results: has no stored runs" in capsys.readouterr().err


@pytest.fixture
def several(tmp_path) -> str:
    """A results folder with a GRU, and an LSTM at two learning rates, in two blocks."""
    made = {"a": [*rows([20, None]), *rows([20, None], cell="gru")], "b": rows([20, 40], lr=0.1)}
    return str(write_results(tmp_path / "results", made))


@pytest.mark.parametrize("form", ["text", "csv", "json", "latex", "markdown"])
def test_the_command_prints_every_format(tmp_path, capsys, form):
    made = {"a": rows([20, None]), "b": rows([20], cell="rnn_tanh", lr=0.1)}
    folder = str(write_results(tmp_path / "results", made))
    assert main(["summary", folder, "--by", "cell,lr", "--block", "a", "--format", form]) == 0
    said = capsys.readouterr().out
    read = {
        "text": lambda: said.splitlines()[1].split()[:3] == ["lstm", "0.01", "2"],
        "csv": lambda: pd.read_csv(StringIO(said))["solved"].tolist() == [0.5],
        "json": lambda: json.loads(said)[0]["n"] == 2,
        "latex": lambda: r"lstm & 0.01 & 2 & 0.5 &" in said and r"solved\_low" in said,
        "markdown": lambda: said.splitlines()[2].startswith("| lstm | 0.01 | 2 | 0.500 [0.0"),
    }
    assert read[form](), said


def test_a_run_of_two_blocks_is_counted_once_unless_grouped_by_block(tmp_path, capsys):
    made = rows([20, None])
    folder = str(write_results(tmp_path / "results", {"a": made, "b": made}))
    for by, counts in (("cell", [2]), ("block", [2, 2])):
        assert main(["summary", folder, "--by", by, "--format", "csv"]) == 0
        assert pd.read_csv(StringIO(capsys.readouterr().out))["n"].tolist() == counts


WRONG_OPTIONS = {
    ("--by", "cel"): "--by: unknown setting 'cel' (did you mean 'cell'?); allowed: block, task,",
    ("--block", "c"): "--block: unknown block 'c'; allowed: a, b",
    ("--where", "cel=lstm"): "--where: unknown setting 'cel' (did you mean 'cell'?); allowed: task",
    ("--where", "cell=lstn"): "--where: unknown cell 'lstn' (did you mean 'lstm'?); allowed: gru,",
    ("--where", "cue=True"): "--where: unknown cue 'True' (did you mean 'true'?); allowed: true",
    ("--where", "lr=0.5"): "--where: unknown lr '0.5' (did you mean '0.1'?); allowed: 0.01, 0.1",
    ("--where", "lr"): "--where: 'lr' must be SETTING=VALUE,VALUE, such as cell=lstm,gru",
    (
        "--where",
        "cell=gru",
        "--where",
        "lr=0.1",
    ): "--where: unknown lr '0.1' (did you mean '0.01'?); allowed: 0.01\n",
}


@pytest.mark.parametrize("options", WRONG_OPTIONS)
def test_a_wrong_name_or_value_is_named_with_the_nearest_that_exists(several, capsys, options):
    assert main(["summary", several, *options]) == 2
    said = capsys.readouterr()
    assert WRONG_OPTIONS[options] in said.err
    assert said.err.count("error:") == 1
    assert said.out == ""


@pytest.mark.parametrize(
    ("where", "n"),
    [
        (["cell=lstm"], 4),
        (["cell=lstm,gru"], 6),
        (["lr=1e-1"], 2),
        (["lr=0.010", "cell=lstm"], 2),
        (["cut_every=none"], 6),
        (["cue=true", "pattern=10"], 6),
    ],
)
def test_where_keeps_the_runs_that_have_these_values(several, capsys, where, n):
    options = [word for condition in where for word in ("--where", condition)]
    assert main(["summary", several, "--by", "task", "--format", "json", *options]) == 0
    assert [row["n"] for row in json.loads(capsys.readouterr().out)] == [n]


def test_the_chosen_rate_has_the_smallest_restricted_mean():
    """Means within 100 updates: (10 + 10 + 100)/3 for rate 0.3, 35 for 0.1, and 100 for 0.01."""
    frame = pd.concat([runs(0.01, [None] * 3), runs(0.1, [35] * 3), runs(0.3, [10, 10, None])])
    (chosen,) = choose(frame).to_dict("records")
    assert (chosen["lr"], chosen["restricted_mean_update"], chosen["interior"]) == (0.1, 35, True)
    assert as_axis(choose(frame))[-1].strip() == "- [lstm, adam, 0.1]"


def test_the_smaller_of_equal_rates_wins_and_an_end_is_reported():
    (chosen,) = choose(pd.concat([runs(0.3, [10]), runs(0.1, [10])])).to_dict("records")
    assert (chosen["lr"], chosen["interior"]) == (0.1, False)


def test_tune_refuses_a_folder_without_results(tmp_path, capsys):
    assert main(["tune", str(tmp_path), "--block", "tuning"]) == 2
    assert "holds no results" in capsys.readouterr().err


def test_durations():
    said = {0.02: "1 s", 3.4: "3 s", 89: "89 s", 200: "3 min", 5300: "88 min", 12000: "3 h 20 min"}
    assert {seconds: duration(seconds) for seconds in said} == said


def test_without_a_run_trained_to_its_end_the_estimates_are_missing_and_intervals_are_everything():
    (row,) = summarise(runs(0.1, [None], status="failed")).to_dict("records")
    assert row["n"] == 0
    assert np.isnan([row["solved"], row["median_update"]]).all()
    assert (row["solved_low"], row["solved_high"]) == (0, 1)
    assert (row["median_low"], row["median_high"]) == (0, np.inf)
    pooled = pd.concat([runs(0.1, [10] * 3), runs(0.2, [20] * 3)])
    (row,) = summarise(pooled).to_dict("records")
    assert np.isnan([row["solved_low"], row["solved_high"], row["median_low"]]).all()
