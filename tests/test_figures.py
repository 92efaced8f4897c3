"""Figures: numbers from tiny tables, the same bytes each time, and committed ones up to date."""

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from drawn import BLOCKS, EXPECTED, HEADLINE, drawn, rows, write_results
from scipy.optimize import brentq

from study.__main__ import main
from study.engines.torch_engine import Network
from study.figures import FIGURES, Drawing, Missing, Results, draw, save
from study.grid.store import Store, StoreWarning
from study.grid.train import row_of
from study.runs import CURVES
from study.runs.settings import Run

ROOT = Path(__file__).parent.parent
COMMITTED = ("main", "forum", "forum_factorial", "notebook", "dynamics", "devices")


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_results(tmp_path / "results")


@pytest.fixture
def results(folder) -> Results:
    return Results(folder)


def closed(name: str, results: Results) -> Drawing:
    """A drawing whose figure is no longer needed."""
    drawing = draw(name, results)
    plt.close(drawing.figure)
    return drawing


def table_of(name: str, results: Results, index: str, **chosen) -> pd.DataFrame:
    """Rows of a figure's table, by the columns that `index` names."""
    table = closed(name, results).table
    for column, value in chosen.items():
        table = table[table[column] == value]
    return table.set_index(index.split() if " " in index else index)


# --- every figure -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_as_recorded_fits_its_page_and_has_a_short_caption(name, results):
    """After an intended change, `python tests/drawn.py NAME` records the new contents."""
    drawing = draw(name, results)
    figure = drawing.figure
    assert drawn(figure) == (EXPECTED / f"{name}.txt").read_text(encoding="utf-8")
    width, height = figure.get_size_inches()
    figure.canvas.draw()
    box = figure.get_tightbbox()
    assert min(box.x0, box.y0, width - box.x1, height - box.y1) >= 0
    assert re.search(r"\bn = \d", drawing.caption)
    assert "interval" in drawing.caption
    assert len(drawing.caption.split()) <= 85
    assert len(drawing.table)
    plt.close(figure)


@pytest.mark.parametrize("name", FIGURES)
def test_empty_results_raise_missing(name, tmp_path):
    with pytest.raises(Missing, match=r"no run|no block"):
        draw(name, Results(write_results(tmp_path / "empty", {})))


def test_figures_have_the_same_bytes_under_any_matplotlibrc(folder, results, tmp_path):
    words = ["--format", "svg", "--out", str(tmp_path / "there")]
    command = [sys.executable, "-m", "study", "figures", str(folder), *words]
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nsavefig.bbox: tight\n")
    own = {"MPLCONFIGDIR": str(tmp_path), "MPLBACKEND": "nonsense"}
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=os.environ | own)
    with plt.rc_context({"font.size": 20, "axes.grid": True, "savefig.facecolor": "red"}):
        before = dict(matplotlib.rcParams)
        for name in FIGURES:
            save(name, draw(name, results), tmp_path / "here", ["svg"])
        assert dict(matplotlib.rcParams) == before
    made = list((tmp_path / "here").iterdir())
    assert len(made) == 3 * len(FIGURES)
    for path in made:
        assert path.read_bytes() == (tmp_path / "there" / path.name).read_bytes(), path.name


@pytest.mark.parametrize("committed", COMMITTED)
def test_the_committed_figures_follow_from_the_committed_results(committed, tmp_path):
    stored = ROOT / "results" / committed
    assert main(["figures", str(stored), "--out", str(tmp_path), "--format", "svg"]) == 0
    made, kept = (
        {p.name: p.read_text() for p in path.iterdir() if p.suffix in (".csv", ".txt")}
        for path in (tmp_path, stored / "figures")
    )
    assert made == kept


# --- the command --------------------------------------------------------------------------------


def test_bad_input_is_refused(folder, tmp_path, capsys):
    assert main(["figures", str(tmp_path / "none")]) == 2
    assert "holds no results" in capsys.readouterr().err
    assert main(["figures", str(folder), "--only", "convergance"]) == 2
    assert "did you mean 'convergence'" in capsys.readouterr().err
    assert main(["figures", str(folder), "--format", "gif"]) == 2
    assert not (folder / "figures").exists()
    (tmp_path / "file").write_text("")
    assert main(["figures", str(folder), "--out", str(tmp_path / "file")]) == 2
    assert "File exists" in capsys.readouterr().err


def test_incomplete_results_are_drawn_and_marked(folder, capsys):
    with Store(folder) as store:
        store.append([row_of(Run(seed=98), {"status": "failed", "reason": "-"}, 1, "test")])
        ids = [*(row["run_id"] for row in HEADLINE), Run(seed=98).run_id, Run(seed=99).run_id]
        store.write_plan({"headline": ids}, figures={"headline": ["convergence"]})
    assert main(["figures", str(folder), "--format", "png"]) == 0
    notes = capsys.readouterr().err
    assert "1 of 10 planned runs are not stored yet" in notes
    assert {path.name for path in (folder / "figures").glob("*.png")} == {"convergence.png"}
    with pytest.warns(StoreWarning, match="1 of 10"):
        drawing = closed("convergence", Results(folder))
    assert (
        drawing.figure.get_suptitle() == "Of 10 planned runs, 1 had yet to be trained and 1 failed."
    )
    assert drawing.caption.endswith(drawing.figure.get_suptitle())


def test_the_name_of_a_block_decides_nothing(results, tmp_path):
    as_named = Results(
        write_results(tmp_path / "x", {"x": HEADLINE}, {"x": ["convergence", "task"]})
    )
    for name in ("convergence", "task"):
        expected, found = closed(name, results), closed(name, as_named)
        pd.testing.assert_frame_equal(found.table, expected.table)
        assert found.caption == expected.caption
    general = write_results(tmp_path / "general", {"headline": HEADLINE}, {})
    assert main(["figures", str(general), "--format", "svg"]) == 0
    assert [path.name for path in (general / "figures").glob("*.svg")] == ["block_headline.svg"]
    assert main(["figures", str(general), "--only", "block_headlin"]) == 2


def test_a_block_may_be_shown_by_no_figure_or_name_an_unknown_one(tmp_path, capsys):
    blocks = {"a": HEADLINE[:2], "b": HEADLINE[2:]}
    folder = write_results(tmp_path / "none", blocks, {"a": [], "b": ["convergance"]})
    assert main(["figures", str(folder)]) == 2
    said = capsys.readouterr().err
    assert "unknown figure 'convergance' (did you mean 'convergence'?)" in said
    assert "block 'b' names it; correct the grid file and run the grid again" in said
    assert (
        main(["figures", str(write_results(tmp_path / "empty", blocks, {"a": [], "b": []}))]) == 1
    )


def test_the_name_of_a_block_leads_nowhere(tmp_path):
    folder = write_results(tmp_path / "a" / "b", {"x/../../../out": HEADLINE, "y": HEADLINE}, {})
    (folder / "figures" / "block_x").mkdir(parents=True)
    assert main(["figures", str(folder), "--format", "svg"]) == 0
    assert [path.name for path in tmp_path.rglob("*.svg")] == ["block_y.svg"]


def test_a_check_names_the_figures_that_differ_and_writes_nothing(folder, capsys):
    words = ["figures", str(folder), "--only", "convergence", "--only", "solved_map"]
    assert main([*words, "--format", "svg", "--check"]) == 1
    assert not (folder / "figures").exists()
    assert main(words) == 0
    capsys.readouterr()
    assert main([*words, "--check"]) == 0
    assert capsys.readouterr().out.startswith("2 of 2 figures are as stored")
    caption = folder / "figures" / "solved_map.txt"
    caption.write_text("Other words.")
    before = {path: path.read_bytes() for path in (folder / "figures").iterdir()}
    assert main([*words, "--check"]) == 1
    said = capsys.readouterr().out
    assert said.startswith(
        "solved_map differs from the stored figure (.txt)\n1 of 2 figures are as"
    )
    assert {path: path.read_bytes() for path in (folder / "figures").iterdir()} == before


# --- the general figure of a block --------------------------------------------------------------


def general(tmp_path: Path, made: list[dict]) -> Drawing:
    folder = write_results(tmp_path / f"{len(made)}", {"any": made}, {})
    return closed("block_any", Results(folder))


def test_one_varied_setting_gives_curves(tmp_path):
    made = [*rows([20, 40], cell="gru", lr=0.1), *rows([20, None], cell="mgu", lr=0.2)]
    drawing = general(tmp_path, made)  # the learning rate follows from the cell
    table = drawing.table.set_index(["cell", "update"])["solved"]
    assert table.to_dict() == {
        ("gru", 0): 0, ("gru", 20): 0.5, ("gru", 40): 1,
        ("mgu", 0): 0, ("mgu", 20): 0.5, ("mgu", 100): 0.5,
    }  # fmt: skip
    (legend,) = drawing.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["GRU", "MGU"]
    assert "“any”" in drawing.caption
    assert "n = 2 runs per cell" in drawing.caption
    assert len(general(tmp_path, rows([20, 40, None])).table) == 4  # nothing varies: one curve


def test_many_values_of_one_setting_give_a_forest(tmp_path):
    rates = [0.5, 1.0, *(2.0**-k for k in range(2, 12))]
    made = [row for rate in rates for row in rows([20, None], lr=rate, optimizer="sgd")]
    drawing = general(tmp_path, made)
    table = drawing.table[drawing.table["measure"] == "restricted_mean_update"]
    assert table["lr"].astype(float).tolist() == sorted(rates)
    assert table["estimate"].tolist() == [60] * 12
    labels = [label.get_text() for label in drawing.figure.axes[0].get_yticklabels()]
    assert labels[-2:] == ["learning rate 0.5", "learning rate 1"]


def test_several_varied_settings_give_a_heat_map(tmp_path):
    """Only the settings that tell runs apart count, and a combination without runs is empty."""
    made = [
        row
        for cell, noise, size, converged in (
            ("lstm", 0.0, 1, [20, 40]), ("lstm", 1.0, 1, [20, None]), ("gru", 1.0, 1, [None, None]),
            ("lstm", 0.0, 10, [20, 40]), ("gru", 1.0, 2, [20, 20]),
        )
        for row in rows(converged, cell=cell, noise=noise, hidden_size=size, lr=0.1 * size)
    ]  # fmt: skip
    drawing = general(tmp_path, made)
    axis = drawing.figure.axes[0]
    down, across = ([t.get_text() for t in getattr(axis, f"get_{x}ticklabels")()] for x in "yx")
    assert (down, across) == (["noise 0, LSTM", "noise 1, LSTM", "noise 1, GRU"], ["1", "2", "10"])
    shares = axis.images[0].get_array().filled(np.nan)
    none = np.nan
    np.testing.assert_array_equal(shares, [[1, none, 1], [0.5, none, none], [0, 1, none]])
    assert [text.get_text() for text in axis.texts][:3] == ["1.00", "–", "1.00"]


def test_a_figure_that_fits_on_no_page_is_refused(tmp_path):
    made = [row for k in range(101) for row in rows([20], lr=k + 1.0, optimizer="sgd")]
    with pytest.raises(Missing, match="has room for 100 lines, not for 101; `study summary`"):
        general(tmp_path, made)


# --- training -----------------------------------------------------------------------------------


def test_convergence_shows_the_share_solved(results):
    drawing = closed("convergence", results)
    table = drawing.table.set_index(["cell", "optimizer"])
    adam, sgd = table.loc[("lstm", "adam")], table.loc[("lstm", "sgd")]
    assert adam["update"].tolist() == [0, 20, 40, 100]
    assert adam["solved"].tolist() == pytest.approx([0, 0.5, 0.75, 0.75])
    assert adam["at_risk"].tolist() == [4, 4, 2, 1]
    assert adam["median_update"].iloc[0] == 20
    assert sgd["update"].tolist() == [0, 100]  # a diverged run is unsolved to the end of its budget
    assert sgd["at_risk"].tolist() == [3, 3]
    assert sgd["solved"].tolist() == [0, 0]
    lstm, gru, at_risk, _ = drawing.figure.axes
    numbers = [text.get_text() for text in at_risk.texts]
    assert numbers == ["Adam", "1", "SGD", "3", "at risk"]  # just before update 100
    assert (lstm.get_title(), gru.get_title()) == ("LSTM", "GRU")
    for words in ("n = 1 to 4 runs", "95 % intervals (Rothman)", "evaluated every 20 updates"):
        assert words in drawing.caption
    head, columns, *_ = drawing.csv().splitlines()
    for words in ("# task: alternating; ", "length: 20; ", "seed: 0, 1, 2, 3", "lr: 0.01; "):
        assert words in head
    assert columns.startswith("cell,optimizer,n,update,")


def test_convergence_times_count_every_run(results):
    table = table_of("convergence_times", results, "cell optimizer").loc["lstm"]
    counts = table[["n", "solved", "unsolved", "diverged", "estimate"]]
    assert counts.loc["adam"].tolist() == [4, 3, 1, 0, 20]
    assert counts.loc["sgd"].tolist() == [3, 0, 2, 1, np.inf]


def test_runs_that_solved_the_task_before_any_update_are_drawn(tmp_path):
    at_once = [*rows([0, 20], cell="lstm", optimizer="adam")]
    folder = write_results(tmp_path / "at_once", {"headline": at_once})
    drawing = closed("convergence_times", Results(folder))
    lowest = drawing.figure.axes[0].get_xlim()[0]
    bars = [bar for axis in drawing.figure.axes for bar in axis.patches]
    assert min(bar.get_x() for bar in bars) == lowest
    assert "before any update" in drawing.caption


def test_learning_rates_mark_the_chosen_one(results):
    table = table_of("learning_rates", results, "lr", measure="restricted_mean_update")
    assert table["estimate"].to_dict() == {0.1: 30, 1.0: 60}
    assert table["chosen"].to_dict() == {0.1: True, 1.0: False}


def test_the_map_has_shares_and_boundaries(results):
    shares = table_of("solved_map", results, "hidden_size length", measure="share_solved")
    expected = {(1, 10): 0.25, (2, 10): 0.5, (4, 10): 0.75, (4, 20): 1.0}
    assert shares["estimate"].to_dict() == expected
    sizes = table_of("solved_map", results, "length", measure="half_solved_size")["estimate"]
    assert sizes[10] == pytest.approx(2)  # shares are symmetric about size 2 on a log axis


def test_rankings_follow_the_restricted_mean(results, folder):
    chosen = {"measure": "restricted_mean_update", "hidden_size": 6}
    table = table_of("variants", results, "cell", **chosen)
    assert table["estimate"].to_dict() == {"lstm": 30, "mgu": 30, "minlstm": 100}  # LSTM beside
    axis = closed("initialisations", results).figure.axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["default", "identity 1"]
    tuning = rows([60, 60], first_seed=1000, optimizer="adam", lr=0.03)  # never shown
    other = Results(write_results(folder.parent / "more", BLOCKS | {"tuning_adaptive": tuning}))
    pd.testing.assert_frame_equal(table, table_of("variants", other, "cell", **chosen))


def test_seconds_come_from_runs_timed_alone(results, tmp_path):
    row = table_of("seconds", results, "device_engine").loc["cpu, torch"]
    assert (row["cell"], row["n"]) == ("gru", 2)
    assert row["estimate"] == pytest.approx((1000 / 50 + 1000 / 100) / 2)  # each took 1 s
    shared = [row | {"runs_at_once": 2} for row in BLOCKS["devices"]]
    folder = write_results(tmp_path / "shared", {"headline": HEADLINE, "devices": shared})
    with pytest.raises(Missing, match=r"no run was timed alone \(2 were trained 2 at a time\)"):
        draw("seconds", Results(folder))


# --- trained networks ---------------------------------------------------------------------------


def test_the_task_shows_the_run_of_median_convergence(results):
    drawing = closed("task", results)
    assert "Adam at learning rate 0.01, seed 0" in drawing.caption
    assert "solved the task at update 20" in drawing.caption
    assert drawing.table["label"].tolist() == [1, 0] * 20
    run = Run(seed=0, max_updates=100, cell="lstm", optimizer="adam")
    network = Network(run)  # has the initial weights, which the tiny results keep
    inputs = torch.tensor(drawing.table["input"].to_numpy()[:, None, None], dtype=torch.float32)
    with torch.no_grad():
        logits, _ = network(inputs, network.start_state(1, None))
    expected = torch.softmax(logits[:, 0], 1)[:, 1].numpy()
    np.testing.assert_allclose(drawing.table["p_one"], expected, atol=1e-6)


def test_slip_rates_and_their_bound_without_a_slip(results):
    table = table_of("length_generalisation", results, "cell measure")
    rates, shares = (table.xs(m, level=1) for m in ("mean_slips_per_step", "share_slipping"))
    assert rates.loc["lstm", ["n", "slipping", "slips", "steps"]].tolist() == [2, 1, 4, 4000]
    assert rates.loc["lstm", "estimate"] == pytest.approx((0 / 1000 + 4 / 3000) / 2)
    assert rates.loc["gru", "estimate"] == 0
    assert rates.loc["gru", "high"] == pytest.approx(-np.log(0.05) / 1000)  # the rule of three
    assert shares["estimate"].to_dict() == {"lstm": 0.5, "gru": 0}


def test_a_portrait_shows_the_cycle_the_saddle_and_both_basins(results):
    """ALTERNATES has a cycle at h1 = ±0.99 and a saddle near 0; each basin is a half plane."""
    table = table_of("portrait", results, "what", cell="rnn_tanh")
    h1 = brentq(lambda h: h - math.tanh(-3 * math.tanh(-3 * h + 0.05) + 0.05), 0.5, 1)
    assert table.loc["label 1", "x"] == pytest.approx(h1, abs=1e-9)
    assert table.loc["label 0", "x"] == pytest.approx(math.tanh(-3 * h1 + 0.05), abs=1e-9)
    assert table.loc["flip saddle", "x"] == pytest.approx(0.05 / 4, abs=1e-4)
    assert table.loc["flip saddle", "estimate"] == pytest.approx(-3, abs=0.01)
    shares = [table.loc[f"share of the picture: basin of label {n}", "estimate"] for n in (1, 0)]
    assert sum(shares) == 1
    assert shares[0] == pytest.approx(0.5, abs=0.05)


def test_spectra_take_the_stable_cycle_and_the_smallest_eigenvalue_of_each_network(results):
    table = table_of("spectra", results, "cell measure")["estimate"]
    assert table["lstm", "share_with_stable_cycle"] == 0.5  # one cycle has a multiplier of 1.5
    assert table["lstm", "median_rho"] == pytest.approx(abs(0.5 + 0.1j))  # the more stable of two
    assert table["lstm", "median_flip_eigenvalue"] == -2.5  # the lower one of -2.5 and -0.5
    assert table["lstm", "share_flip"] == 0.5
    assert table["gru", "median_rho"] == pytest.approx(0.1)


def test_flips_are_shares_over_networks(results):
    table = table_of("flips", results, "intervention part", measure="share_flipped", cell="lstm")
    assert table.loc[("opposite donor", "all"), ["n", "estimate"]].tolist() == [2, 0.5]
    assert table.loc[("same donor", "all"), "estimate"] == 0.125
    assert table.loc[("opposite donor", "c"), "estimate"] == 0
    assert 0 < table.loc[("opposite donor", "c"), "high"] < 1


def test_networks_that_never_recover_are_counted(results):
    table = table_of("recovery", results, "cell", measure="share_never_noisy")
    assert table["estimate"].to_dict() == {"lstm": 0.5, "gru": 0}


def test_prefixes_are_compared_with_the_bound(results):
    table = table_of("prefix", results, "cell hidden_size", measure="longest_prefix")
    found = table[["estimate", "bound", "over", "censored"]]
    assert found.loc[("mingru", 2)].tolist() == [3, 3, 0, 0]
    assert found.loc[("diagonal_signed", 2)].tolist() == [199, 3, 2, 1]
    assert "which 0 of 3 such networks exceed" in closed("prefix", results).caption


# --- what is missing ----------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["spectra", "recovery", "flips interventions", "prefix bound"])
def test_a_figure_of_the_dynamics_needs_its_table_with_networks_in_it(words, folder):
    name, *_, table = words.split() * 2
    path = folder / "dynamics" / f"{table}.parquet"
    pd.DataFrame().to_parquet(path)
    with pytest.raises(Missing, match="has no"):
        draw(name, Results(folder))
    path.unlink()
    with pytest.raises(Missing, match=rf"{table}\.parquet does not exist"):
        draw(name, Results(folder))


@pytest.mark.parametrize("name", ["wandering", "predictions", "collapse", "contour", "square_root"])
def test_a_figure_waits_until_all_of_its_runs_are_followed(name, folder):
    path = folder / "dynamics" / "crossings.parquet"
    pd.read_parquet(path).iloc[::2].to_parquet(path)
    with pytest.raises(Missing, match=r"has \d+ of \d+ runs of the blocks .*study dynamics"):
        draw(name, Results(folder))


def test_a_missing_block_or_missing_weights_are_named(tmp_path):
    bare = {n: [r | {"weights": None} for r in BLOCKS[n]] for n in ("headline", "sizes")}
    results = Results(write_results(tmp_path / "bare", bare))
    for name in ("task", "portrait"):
        with pytest.raises(Missing, match="keep_weights: true"):
            draw(name, results)
    with pytest.raises(Missing, match=r"no block .* names .*: add `figures: \[solved_map]`"):
        draw("solved_map", results)


def test_figures_that_need_curves_say_so(tmp_path):
    lean = {n: [r | dict.fromkeys(CURVES) for r in block] for n, block in BLOCKS.items()}
    results = Results(write_results(tmp_path / "lean", lean))
    for name in (name for name in FIGURES if name.startswith(("post", "note"))):
        with pytest.raises(Missing, match=r"the learning curves of (\d+) of \1 runs were not kept"):
            draw(name, results)
    assert len(closed("convergence", results).table)


def test_the_task_figure_needs_a_task_with_two_labels(tmp_path):
    several = {"headline": rows([20], task="cyclic", weights=True)}
    with pytest.raises(Missing, match="one layer, a start state of zeros and two labels"):
        draw("task", Results(write_results(tmp_path / "several", several)))


def test_convergence_refuses_to_pool_different_settings(tmp_path):
    mixed = {"rates": [*rows([20, 40], lr=0.01), *rows([20, 40], lr=0.03)]}
    folder = write_results(tmp_path / "mixed", mixed, {"rates": ["convergence"]})
    with pytest.raises(Missing, match="its runs differ in lr"):
        draw("convergence", Results(folder))
