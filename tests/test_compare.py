"""`study compare`: groups matched by settings, changes worked out by hand, and the report."""

import numpy as np
import pandas as pd
import pytest
from drawn import whole

import study
from study.__main__ import main
from study.analysis.compare import bits_of, differing_settings, headline, judge, kinds, match
from study.errors import BadInput
from study.grid.store import Store
from study.grid.train import row_of
from study.runs import CURVES
from study.runs.settings import Run


def rows(converged, first_seed=0, bits=None, **settings) -> pd.DataFrame:
    """Rows of one group on seeds from `first_seed`, by converged update (None: unsolved)."""
    found = []
    for seed, update in enumerate(converged, start=first_seed):
        run = Run(seed=seed, max_updates=100, engine="torch", **settings)
        solved = update is not None
        results = {"status": "solved" if solved else "unsolved", "converged_update": update}
        results |= {"updates": 100, "long_exact": float(solved)}
        found.append(
            row_of(run, results, 1, "test") | {"bits": hash((seed, update, bits)), "curve_bits": 1}
        )
    frame = pd.DataFrame(found)
    return frame.assign(converged_update=frame["converged_update"].astype(float))


def judged(a, b, crossed=()) -> pd.DataFrame:
    first, second, _ = match(a, b, crossed)
    return judge(first, second, np.random.default_rng(0)).set_index("outcome")


# --- groups ---------------------------------------------------------------------------------------


def test_equal_bits_are_not_tested_and_other_bits_may_be_due_to_chance():
    a = rows([10, 20, None])
    assert judged(a, rows([10, 20, None])).empty
    assert judged(a, rows([10, 20, None], bits="other"))["p"].tolist() == [1, 1, 1]


def test_a_pair_of_cells_by_hand():
    """Pairs of shared seeds: shares 3/4 and 2/4, restricted means (10 + 20 + 30 + 100)/4 and 60."""
    table = judged(rows([10, 20, 30, None]), rows([15, 25, None, None]))
    assert table["paired"].all()
    assert table.loc["share solved", ["a", "b", "difference"]].tolist() == [0.75, 0.5, -0.25]
    assert table.loc["updates", ["a", "b", "difference"]].tolist() == [40, 60, 20]
    assert table.loc["exact at 10 T", ["a", "b"]].tolist() == [0.75, 0.5]
    assert (table["p_holm"] >= table["p"]).all()
    assert table["difference"].between(table["low"], table["high"]).all()


@pytest.mark.parametrize("first_seed", [0, 1000])
@pytest.mark.parametrize("converged", [[None], [10, None, 20]])
def test_a_diverged_run_whose_bits_differ_is_judged(first_seed, converged):
    a, b = rows(converged), rows(converged, first_seed, bits="other")
    for frame in (a, b):
        frame["long_exact"] = frame["long_exact"].astype(object)
        frame.loc[converged.index(None), ["status", "long_exact"]] = ["diverged", None]
    table = judged(a, b)
    assert table["p"].tolist() == [1, 1, 1]
    assert table["difference"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("first_seed", [0, 1000])
def test_groups_that_all_solved_at_one_time_are_judged(first_seed):
    table = judged(rows([10] * 5), rows([10] * 5, first_seed, bits="other"))
    assert table["p"].tolist() == [1, 1, 1]
    assert table.loc["updates", "low"] < 0 < table.loc["updates", "high"]


@pytest.mark.parametrize("first_seed", [0, 1000])
def test_a_real_change_is_found_with_and_without_pairs(first_seed):
    table = judged(rows([10, 15, 20, 25] * 10), rows([40, 45, None, 55] * 10, first_seed))
    assert table["paired"].all() == (first_seed == 0)
    assert table.loc["updates", "p_holm"] < 1e-4
    assert table.loc["share solved", "difference"] == -0.25


def test_equal_shares_without_pairs_are_no_change():
    table = judged(rows([10, 15] * 5), rows([15, 10] * 5, 1000))
    assert table.loc[["exact at 10 T", "share solved"], "p"].tolist() == [1, 1]


def test_runs_are_followed_to_the_shorter_of_two_budgets():
    """Within 50 updates, B's run at 80 is not solved: both restricted means are (10 + 50)/2."""
    a, b = rows([10, None]).assign(max_updates=50, updates=50), rows([10, 80])
    table = judged(a, b, ["max_updates"])
    assert table.loc["updates", ["a", "b"]].tolist() == [30, 30]
    assert table.loc["share solved", ["a", "b"]].tolist() == [0.5, 0.5]


def test_cells_are_named_by_the_settings_that_distinguish_them():
    a = pd.concat([rows([10] * 3), rows([10], hidden_size=8), rows([10], cell="gru", lr=0.1)])
    matched, _, usual = match(a, a)
    labels = {"cell=lstm", "cell=lstm hidden_size=8", "cell=gru lr=0.1"}
    assert set(matched.index.get_level_values(0)) == labels
    assert usual == "hidden_size=6 lr=0.01"
    engines, _, _ = match(rows([10]), rows([10]).assign(engine="fused"))
    assert engines.index.get_level_values(0)[0] in ("engine=torch", "most common settings")


def test_a_setting_with_a_single_value_in_each_set_is_reported_as_single():
    found = differing_settings(rows([10, 20]), rows([10, 20], eval_sequences=128))
    assert found == {"eval_sequences": (["64"], ["128"], True)}


def test_cells_with_an_axis_value_that_only_one_set_has_are_not_matched():
    a, b = pd.concat([rows([10]), rows([10], lr=0.1)]), pd.concat([rows([10]), rows([10], lr=0.2)])
    assert differing_settings(a, b) == {"lr": (["0.1"], ["0.2"], False)}
    kind = kinds(*match(a, b)[:2])["kind"]
    assert sorted(kind) == ["missing in A", "missing in B", "same"]


def test_matching_across_a_setting_with_several_values_is_refused():
    a = pd.concat([rows([10]), rows([10], lr=0.1)])
    with pytest.raises(BadInput, match="if lr is ignored, A has two runs with the same seed"):
        match(a, a, ["lr"])


def test_a_run_without_its_device_is_no_difference():
    """A skipped one run because its device was not available; B lacks two runs on other devices."""
    a = rows([10, 20, 30]).assign(device=["cpu", "mps", "cuda"])
    a.loc[2, "status"] = "skipped"
    found = kinds(*match(a, rows([10, 25, 30])[:1].assign(device="cpu"), ["device"])[:2])
    assert found["kind"].tolist() == ["same", "unavailable", "unavailable"]
    assert headline(found) == (
        "1 of 3 runs are the same to the last bit. None differ. 2 could not be compared, "
        "because cuda and mps were not available to at least one set; "
        "this does not count as a difference."
    )


def test_the_first_line_names_the_engines_of_runs_that_differ():
    a = pd.concat([rows([10, 20, 30]), rows([10, 20], 3)])
    a["engine"] = ["torch"] * 3 + ["fused"] * 2

    def said(b) -> str:
        return headline(kinds(*match(a, b, ["engine"])[:2])).partition(". ")[2]

    b = a.assign(bits=range(5))
    note = "(the last bits of torch results depend on the processor)."
    assert said(b) == f"5 differ: 2 trained by fused and 3 trained by torch {note}"
    assert said(pd.concat([b[:3], a[3:]])) == f"3 differ, all trained by torch {note}"
    assert said(pd.concat([b[:1], a[1:]])) == f"1 differs, trained by torch {note}"
    assert said(pd.concat([a[:3], b[3:]])) == "2 differ, all trained by fused."
    assert said(b.assign(engine="fused")[:1]) == (
        "1 differs, trained by torch and fused; 4 are missing in B."
    )


# --- the command ----------------------------------------------------------------------------------


def result_set(folder, converged, missing=(), statuses=None, row=lambda row: row, **settings):
    """A results folder with one run per seed, by converged update; None: unsolved after 100."""
    made = []
    for seed, update in enumerate(converged):
        run = Run(seed=seed, max_updates=100, engine="torch", **settings)
        status = (statuses or {}).get(seed, "unsolved" if update is None else "solved")
        results = {"status": status, "converged_update": update, "updates": 100}
        trained = {"long_exact": 1.0, "curve_exact": [0.0, seed / 100]}
        results |= {"reason": "Traceback\nMemoryError: 3 GiB"} if status in OUT else trained
        made.append(row(whole(row_of(run, results, 1, "test"), 0.0)))
    with Store(folder) as store:
        store.append([row for row in made if row["seed"] not in missing])
        store.write_plan({"only": [row["run_id"] for row in made]})
    return str(folder)


OUT = ("failed", "skipped")
UPDATES = [10, 15, 20, 25, None] * 6


@pytest.fixture
def a(tmp_path):
    return result_set(tmp_path / "a", UPDATES)


def test_a_set_is_the_same_as_itself(a, capsys):
    assert main(["compare", a, a, "--strict"]) == 0
    said = capsys.readouterr().out
    first = "30 of 30 runs are the same to the last bit. None differ."
    assert said.splitlines()[0] == first
    assert "settings: the same" in said
    assert "groups in both sets: 1 (1 the same to the last bit, 0 different within" in said
    assert main(["compare", a, a, "--brief"]) == 0
    assert capsys.readouterr().out == f"{first}\n"


def test_a_number_differs_from_none_but_nan_equals_nan(a):
    frame = study.load(a).assign(long_loss=np.nan)
    other = frame.assign(first_error=[0.0, *frame["first_error"][1:]], long_loss=-np.nan)
    assert [x == y for x, y in zip(bits_of(frame), bits_of(other), strict=True)] == [False] + [
        True
    ] * 29


def test_curves_are_compared_where_both_sets_kept_them(a, tmp_path, capsys):
    def lean(row):
        return row | dict.fromkeys(CURVES) if row["seed"] < 10 else row

    def other(row):
        return row | {"curve_loss": [0.0, 0.1]} if row["seed"] in (5, 15) else row

    b = result_set(tmp_path / "b", UPDATES, row=lean)
    note = "The learning curves of 10 of these were not compared, because at least one set did not"
    for pair in ((a, b), (b, a), (b, b)):
        assert main(["compare", *pair, "--strict"]) == 0
        said = capsys.readouterr().out
        assert said.startswith("30 of 30 runs are the same to the last bit. None differ. ")
        assert note in said
    c = result_set(tmp_path / "c", UPDATES, row=other)
    assert main(["compare", a, c, "--brief"]) == 0
    assert capsys.readouterr().out.startswith("28 of 30 runs are the same")
    assert main(["compare", b, c, "--brief"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("29 of 30 runs are the same to the last bit. 1 differs, ")
    assert note in said


def test_a_change_beyond_chance(a, tmp_path, capsys):
    b = result_set(tmp_path / "b", [None if update is None else update + 20 for update in UPDATES])
    assert main(["compare", a, b]) == 0
    assert main(["compare", a, b, "--strict", "--out", str(tmp_path / "tests.csv")]) == 1
    said = capsys.readouterr().out
    assert "24 differ, all trained by torch (the last bits of torch results depend on" in said
    assert "0 the same to the last bit, 0 different within chance, 1 changed" in said
    assert "p below 0.05 after Holm's correction over 3 tests" in said
    (line,) = {line for line in said.splitlines() if " pairs " in line}
    assert line.split()[:7] == ["most", "common", "settings", "updates", "30", "pairs", "34"]
    assert "+16 [" in line  # 20 more in four runs of five
    outcomes = ["share solved", "updates", "exact at 10 T"]
    assert pd.read_csv(tmp_path / "tests.csv")["outcome"].tolist() == outcomes


def test_a_difference_within_chance_is_no_change(a, tmp_path, capsys):
    b = result_set(tmp_path / "b", [15, *UPDATES[1:]])
    assert main(["compare", a, b, "--strict"]) == 0
    said = capsys.readouterr().out
    assert "29 of 30 runs are the same" in said
    assert "1 different within chance, 0 changed" in said


def test_missing_and_failed_runs_are_named_and_count_as_a_change(a, tmp_path, capsys):
    b = result_set(tmp_path / "b", UPDATES, missing={7, 8}, statuses={3: "failed"})
    assert main(["compare", a, b, "--strict"]) == 1
    said = capsys.readouterr().out
    assert "28 of 30 planned runs are stored (1 failed); missing by block: only 2" in said
    first = "27 of 30 runs are the same to the last bit. None differ;"
    assert said.startswith(f"{first} 2 are missing in {b}; 1 failed only in {b}.\n")
    assert f"missing in {b}: most common settings (number of runs: 2; first seeds: 7, 8)" in said
    failed = f"failed only in {b}: most common settings (number of runs: 1; first seeds: 3): Memory"
    assert failed in said


def test_runs_that_failed_or_were_skipped_in_both_sets_are_no_change(tmp_path, capsys):
    statuses = {3: "failed", 4: "skipped"}
    one, other = (result_set(tmp_path / name, UPDATES, statuses=statuses) for name in "ab")
    assert main(["compare", one, other, "--strict"]) == 0
    said = capsys.readouterr().out
    assert "None differ; 1 failed on both sides. 1 could not be compared, because cpu was" in said


def test_a_changed_default_is_reported_and_cells_are_matched_across_it(a, tmp_path, capsys):
    b = result_set(tmp_path / "b", UPDATES, eval_sequences=128)
    assert main(["compare", a, b, "--strict"]) == 1
    said = capsys.readouterr().out
    assert "eval_sequences: only A: 64; only B: 128 (ignored when groups are matched)" in said
    assert "30 of 30 runs are the same to the last bit" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{a}", "{tmp}/emty"], "emty: holds no results (did you mean 'empty'?)"),
        (["{a}", "{tmp}/empty"], "empty: has no runs to compare: 0 of 1 planned runs are stored"),
        (["{a}", "{a}", "--across", "enigne"], "unknown setting 'enigne' (did you mean 'engine'?)"),
    ],
)
def test_bad_input(a, tmp_path, capsys, arguments, message):
    with Store(tmp_path / "empty") as store:
        store.write_plan({"only": [Run().run_id]})
    assert main(["compare", *(text.format(a=a, tmp=tmp_path) for text in arguments)]) == 2
    assert message in capsys.readouterr().err
