"""Figures: what they show from tiny tables, the same bytes each time, and the committed ones up to date."""

import math
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from drawn import BLOCKS, EXPECTED, HEADLINE, drawn, rows, write_results
from scipy.optimize import brentq

from study.engines.torch_engine import Network
from study.figures import FIGURES, FORMATS, NotDrawable, OtherGrid, Results, draw
from study.figures.__main__ import main
from study.grid.store import Store, StoreWarning
from study.grid.train import row_of
from study.runs.settings import Run

ROOT = Path(__file__).parent.parent
COMMITTED = [
    ROOT / "results" / name
    for name in ("main", "forum", "forum_factorial", "notebook", "dynamics", "devices")
]


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_results(tmp_path / "results")


@pytest.fixture
def results(folder) -> Results:
    return Results(folder)


def test_convergence_shows_the_share_solved(results):
    drawing = draw("convergence", results)
    table = drawing.table.set_index(["cell", "optimizer"])
    adam = table.loc[("lstm", "adam")]
    assert adam["update"].tolist() == [0, 20, 40, 100]
    assert adam["solved"].tolist() == pytest.approx([0, 0.5, 0.75, 0.75])
    assert adam["at_risk"].tolist() == [4, 4, 2, 1]
    assert adam["median_update"].iloc[0] == 20
    sgd = table.loc[("lstm", "sgd")]
    assert sgd["update"].tolist() == [
        0,
        100,
    ]  # the diverged run counts as unsolved to the end of its budget
    assert sgd["at_risk"].tolist() == [3, 3]
    assert sgd["solved"].tolist() == [0, 0]
    lstm, gru, at_risk, _ = drawing.figure.axes
    numbers = [text.get_text() for text in at_risk.texts]
    assert numbers == ["Adam", "1", "SGD", "3", "at risk"]  # left just before update 100
    assert (lstm.get_title(), gru.get_title()) == ("LSTM", "GRU")
    steps = {line.get_label(): line.get_ydata().tolist() for line in lstm.lines}
    assert steps["adam"] == pytest.approx([0, 0.5, 0.75, 0.75, 0.75])
    plt.close(drawing.figure)


def test_the_caption_has_n_the_interval_and_the_settings(results):
    drawing = draw("convergence", results)
    for text in (
        "n = 1 to 4",
        "95 %",
        "Rothman",
        "Length 20",
        "hidden size 6",
        "LSTM Adam 0.01, SGD 0.01",
    ):
        assert text in drawing.caption
    plt.close(drawing.figure)


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_to_draw_says_so(name, tmp_path):
    with Store(tmp_path / "empty") as store:
        store.write_plan({})
    with pytest.raises(NotDrawable, match=r"no run|no block"):
        draw(name, Results(tmp_path / "empty"))


def test_every_figure_in_every_format_is_the_same_bytes_from_another_process(folder, tmp_path):
    command = [sys.executable, "-m", "study.figures", str(folder), "--out"]
    for run in ("one", "two"):
        subprocess.run([*command, str(tmp_path / run)], cwd=ROOT, check=True, capture_output=True)
    names = {path.name for path in (tmp_path / "one").iterdir()}
    assert names == {f"{name}.{kind}" for name in FIGURES for kind in (*FORMATS, "csv", "txt")}
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), (
            name
        )


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_draws_what_it_did_and_nothing_is_cut(name, results):
    """Its lines, bars, images and words are those on record (`python tests/drawn.py NAME` after a wanted change)."""
    figure = draw(name, results).figure
    assert drawn(figure) == (EXPECTED / f"{name}.txt").read_text(encoding="utf-8")
    width, height = figure.get_size_inches()
    figure.canvas.draw()
    box = figure.get_tightbbox()
    assert min(box.x0, box.y0) >= 0
    assert box.x1 <= width
    assert box.y1 <= height
    plt.close(figure)


@pytest.mark.parametrize("name", FIGURES)
def test_every_caption_says_n_and_the_interval(name, results):
    drawing = draw(name, results)
    assert re.search(r"\bn = \d", drawing.caption)
    assert "interval" in drawing.caption
    assert len(drawing.table)
    plt.close(drawing.figure)


def table_of(name: str, results: Results, **chosen) -> pd.DataFrame:
    drawing = draw(name, results)
    plt.close(drawing.figure)
    table = drawing.table
    for column, value in chosen.items():
        table = table[table[column] == value]
    return table


def test_convergence_times_count_every_run(results):
    table = table_of("convergence_times", results).set_index(["cell", "optimizer"])
    assert table.loc[("lstm", "adam"), ["n", "solved", "unsolved", "diverged"]].tolist() == [
        4,
        3,
        1,
        0,
    ]
    assert table.loc[("lstm", "sgd"), ["n", "solved", "unsolved", "diverged"]].tolist() == [
        3,
        0,
        2,
        1,
    ]
    assert table.loc[("lstm", "adam"), "estimate"] == 20
    assert table.loc[("lstm", "sgd"), "estimate"] == np.inf


def test_a_lower_threshold_solves_more(results):
    """An unsolved curve is 0, .6, .6: at .5 two evaluations in a row are there from update 50, never three."""
    table = table_of("thresholds", results, cell="lstm", optimizer="adam", measure="share_solved")
    shares = table.set_index(["consecutive", "threshold"])["estimate"]
    assert shares[1, 0.5] == 1
    assert shares[3, 0.5] == 0.75
    assert shares[1, 1.0] == shares[3, 1.0] == 0.75
    mean = table_of(
        "thresholds", results, cell="lstm", optimizer="adam", measure="restricted_mean_update"
    )
    means = mean.set_index(["consecutive", "threshold"])["estimate"]
    assert means[1, 0.5] == (20 + 20 + 40 + 50) / 4
    assert means[3, 1.0] == (20 + 20 + 40 + 100) / 4


def test_learning_rates_mark_the_chosen_one(results):
    table = table_of("learning_rates", results, measure="restricted_mean_update").set_index("lr")
    assert table["estimate"].to_dict() == {0.1: 30, 1.0: 60}
    assert table["chosen"].to_dict() == {0.1: True, 1.0: False}


def test_the_map_has_shares_and_a_boundary(results):
    shares = table_of("solved_map", results, measure="share_solved").set_index(
        ["hidden_size", "length"]
    )["estimate"]
    assert shares.to_dict() == {(1, 10): 0.25, (2, 10): 0.5, (4, 10): 0.75, (4, 20): 1.0}
    (boundary,) = table_of("solved_map", results, measure="half_solved_size", length=10)["estimate"]
    assert boundary == pytest.approx(2)  # the shares are symmetric about size 2 on a log axis


def test_rankings_are_by_restricted_mean(results):
    table = table_of(
        "variants", results, measure="restricted_mean_update", hidden_size=6
    ).set_index("cell")
    assert table["estimate"].to_dict() == {
        "lstm": 30,
        "mgu": 30,
        "minlstm": 100,
    }  # the LSTM: runs of another block
    drawing = draw("initialisations", results)
    labels = [label.get_text() for label in drawing.figure.axes[0].get_yticklabels()]
    assert labels == ["default", "identity 1"]
    plt.close(drawing.figure)


def test_tuning_runs_are_not_ranked(folder, results):
    more = BLOCKS | {"tuning_adaptive": rows([80, 80], first_seed=1000, optimizer="adam", lr=0.03)}
    other = Results(write_results(folder.parent / "more", more))
    pd.testing.assert_frame_equal(table_of("variants", results), table_of("variants", other))


def test_slips_and_the_bound_without_any(results):
    table = table_of("length_generalisation", results, measure="mean_slips_per_step").set_index(
        "cell"
    )
    assert table.loc["lstm", ["n", "slipping", "slips", "steps"]].tolist() == [2, 1, 4, 4000]
    assert table.loc["lstm", "estimate"] == pytest.approx((0 / 1000 + 4 / 3000) / 2)
    assert table.loc["gru", "estimate"] == 0
    assert table.loc["gru", "high"] == pytest.approx(-np.log(0.05) / 1000)  # the rule of three
    shares = table_of("length_generalisation", results, measure="share_slipping").set_index("cell")[
        "estimate"
    ]
    assert shares.to_dict() == {"lstm": 0.5, "gru": 0}


def test_the_task_shows_the_run_of_median_convergence(results):
    drawing = draw("task", results)
    plt.close(drawing.figure)
    assert (
        "LSTM, hidden size 6, Adam at learning rate 0.01, seed 0. It converged at update 20"
        in drawing.caption
    )
    assert drawing.table["label"].tolist() == [1, 0] * 20
    logits = evaluate(
        Run(seed=0, max_updates=100, cell="lstm", optimizer="adam"),
        drawing.table["input"].to_numpy(),
    )
    np.testing.assert_allclose(drawing.table["p_one"], logits, atol=1e-6)


def evaluate(run: Run, inputs: np.ndarray) -> np.ndarray:
    """Probability of a 1 by torch's own network with the initial weights, which the tiny results keep."""
    network = Network(run)
    with torch.no_grad():
        logits, _ = network(
            torch.tensor(inputs[:, None, None], dtype=torch.float32), network.start_state(1, None)
        )
    return torch.softmax(logits[:, 0], 1)[:, 1].numpy()


def test_seconds_refuse_timings_that_were_not_measured_alone(tmp_path):
    shared = [row | {"runs_at_once": 2} for row in BLOCKS["devices"]]
    folder = write_results(tmp_path / "shared", {"headline": HEADLINE, "devices": shared})
    with pytest.raises(NotDrawable, match=r"no timing was measured alone \(2 with 2 at once\)"):
        draw("seconds", Results(folder))


def test_seconds_are_by_device_and_engine(results):
    (row,) = table_of("seconds", results, device_engine="cpu, torch").to_dict("records")
    assert (row["cell"], row["n"]) == ("gru", 2)
    assert row["estimate"] == pytest.approx(
        (1000 / 50 + 1000 / 100) / 2
    )  # a second for 50 updates, and for 100


def test_a_portrait_shows_the_cycle_the_saddle_and_which_states_lead_where(results):
    """h' = tanh(-3 h1 + x/10, -h1 + h2/2): a cycle of h1 = ±0.99, the saddle near the origin, halves of the plane."""
    table = table_of("portrait", results, cell="rnn_tanh").set_index("what")
    h1 = brentq(lambda h: h - math.tanh(-3 * math.tanh(-3 * h + 0.05) + 0.05), 0.5, 1)
    assert table.loc["label 1", "x"] == pytest.approx(h1, abs=1e-9)
    assert table.loc["label 0", "x"] == pytest.approx(math.tanh(-3 * h1 + 0.05), abs=1e-9)
    assert table.loc["flip saddle", "x"] == pytest.approx(0.05 / 4, abs=1e-4)
    assert table.loc["flip saddle", "estimate"] == pytest.approx(-3, abs=0.01)
    shares = [
        table.loc[f"share of the picture: basin of label {label}", "estimate"] for label in (1, 0)
    ]
    assert sum(shares) == 1
    assert shares[0] == pytest.approx(0.5, abs=0.05)


def test_spectra_take_the_stable_cycle_and_the_smallest_eigenvalue_of_each_network(results):
    table = table_of("spectra", results).set_index(["cell", "measure"])["estimate"]
    assert (
        table[("lstm", "share_with_stable_cycle")] == 0.5
    )  # the other one's cycle has a multiplier of 1.5
    assert table[("lstm", "median_rho")] == pytest.approx(
        abs(0.5 + 0.1j)
    )  # of the more stable one of two
    assert table[("lstm", "median_flip_eigenvalue")] == -2.5  # the lower one of -2.5 and -0.5
    assert table[("lstm", "share_flip")] == 0.5
    assert table[("gru", "median_rho")] == pytest.approx(0.1)


def test_a_lag_counts_from_the_crossing_and_is_none_without_one(results):
    table = table_of("flip", results).set_index(["cell", "measure"])
    assert table.loc[("lstm", "share_loss_first"), ["n", "estimate"]].tolist() == [2, 0.5]
    assert table.loc[("lstm", "median_lag"), "estimate"] == -1
    assert table.loc[("lstm", "share_cycle_at_leaving"), "estimate"] == 0.5
    assert table.loc[("gru", "median_lag"), "estimate"] == -np.inf
    assert table.loc[("gru", "share_never_crossed"), "estimate"] == 1


def test_flips_are_shares_over_networks(results):
    table = table_of("flips", results, measure="share_flipped").set_index(
        ["cell", "intervention", "part"]
    )
    assert table.loc[("lstm", "opposite donor", "all"), ["n", "estimate"]].tolist() == [2, 0.5]
    assert table.loc[("lstm", "same donor", "all"), "estimate"] == 0.125
    assert table.loc[("lstm", "opposite donor", "c"), "estimate"] == 0
    assert 0 < table.loc[("lstm", "opposite donor", "c"), "high"] < 1


def test_a_network_that_never_recovers_is_counted(results):
    table = table_of("recovery", results, measure="share_never_noisy").set_index("cell")["estimate"]
    assert table.to_dict() == {"lstm": 0.5, "gru": 0}


def test_prefixes_are_held_against_the_bound(results):
    table = table_of("prefix", results, measure="longest_prefix").set_index(["cell", "hidden_size"])
    assert table.loc[("mingru", 2), ["estimate", "bound", "over", "censored"]].tolist() == [
        3,
        3,
        0,
        0,
    ]
    assert table.loc[
        ("diagonal_signed", 2), ["estimate", "bound", "over", "censored"]
    ].tolist() == [199, 3, 2, 1]
    assert "0 of 3 such networks do" in draw("prefix", results).caption


@pytest.mark.parametrize("name", ["spectra", "flip", "flips", "recovery", "prefix"])
def test_a_figure_of_the_mechanism_needs_its_table_and_networks_in_it(name, folder):
    needs = {"flip": "learning", "flips": "interventions", "prefix": "bound"}.get(name, name)
    path = folder / "dynamics" / f"{needs}.parquet"
    pd.DataFrame().to_parquet(path)
    with pytest.raises(NotDrawable, match="has n"):
        draw(name, Results(folder))
    path.unlink()
    with pytest.raises(NotDrawable, match=rf"{needs}\.parquet: is not there; `study dynamics"):
        draw(name, Results(folder))


def test_a_portrait_needs_weights(tmp_path):
    bare = [row | {"weights": None} for row in BLOCKS["sizes"]]
    with pytest.raises(NotDrawable, match="keep_weights: true"):
        draw("portrait", Results(write_results(tmp_path / "bare", {"sizes": bare})))


def test_what_a_figure_needs_is_named(tmp_path):
    no_weights = [row | {"weights": None} for row in HEADLINE]
    results = Results(write_results(tmp_path / "bare", {"headline": no_weights}))
    with pytest.raises(NotDrawable, match="keep_weights: true"):
        draw("task", results)
    (results.folder / "dynamics" / "slips.parquet").unlink()
    with pytest.raises(NotDrawable, match="study dynamics"):
        draw("length_generalisation", results)
    with pytest.raises(OtherGrid, match="no block 'factorial'"):
        draw("solved_map", results)


def test_bad_input(folder, tmp_path, capsys):
    assert main([str(tmp_path / "none")]) == 2
    assert "holds no results" in capsys.readouterr().err
    assert main([str(folder), "--only", "convergance"]) == 2
    assert "did you mean 'convergence'" in capsys.readouterr().err
    assert not (folder / "figures").exists()
    (tmp_path / "taken").write_text("")
    assert main([str(folder), "--out", str(tmp_path / "taken")]) == 2
    assert "File exists" in capsys.readouterr().err


def test_incomplete_results_are_drawn_and_marked(folder, capsys):
    with Store(folder) as store:
        store.append([row_of(Run(seed=98), {"status": "failed", "reason": "-"}, 1, "test")])
        ids = [*(row["run_id"] for row in HEADLINE), Run(seed=98).run_id, Run(seed=99).run_id]
        store.write_plan({"headline": ids})
    assert main([str(folder), "--format", "png"]) == 0
    said = capsys.readouterr().err
    assert "1 of 10 planned runs are not stored yet" in said
    assert "not of this grid: learning_rates, solved_map, variants, initialisations" in said
    with pytest.warns(StoreWarning, match="1 of 10"):
        drawing = draw("convergence", Results(folder))
    assert drawing.caption.endswith("Of 10 planned runs, 1 not stored and 1 failed.")
    assert drawing.figure.get_suptitle() == "Of 10 planned runs, 1 not stored and 1 failed."
    plt.close(drawing.figure)


@pytest.mark.parametrize("committed", COMMITTED, ids=lambda path: path.name)
def test_the_committed_figures_are_those_of_the_committed_results(committed, tmp_path, capsys):
    assert main([str(committed), "--out", str(tmp_path), "--format", "svg"]) == 0
    made = [path for path in tmp_path.iterdir() if path.suffix in (".csv", ".txt")]
    assert {path.name for path in made} == {
        p.name for p in (committed / "figures").iterdir() if p.suffix in (".csv", ".txt")
    }
    for path in made:
        assert path.read_text() == (committed / "figures" / path.name).read_text(), path.name


def test_convergence_refuses_to_pool_kinds_of_runs(folder):
    """Without a headline block all runs are shown, but not where a curve would mix learning rates."""
    mixed = {"rates": [*rows([20, 40], lr=0.01), *rows([20, 40], lr=0.03)]}
    with pytest.raises(OtherGrid, match="its runs differ in lr"):
        draw("convergence", Results(write_results(folder.parent / "mixed", mixed)))
