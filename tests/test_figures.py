"""Figures: what they show from tiny tables, the same bytes each time, and the committed ones up to date."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from study.figures import FIGURES, FORMATS, NotDrawable, Results, draw, save
from study.figures.__main__ import main
from study.runs import Run
from study.store import Store
from study.train import row_of

ROOT = Path(__file__).parent.parent
COMMITTED = ROOT / "results" / "main"


def rows(cell: str, optimizer: str, converged: list[int | None], diverged: int = 0) -> list[dict]:
    """Runs of 100 updates at most: solved at the given updates, unsolved where None, some diverged."""
    made = []
    for seed, update in enumerate([*converged, *[-1] * diverged]):
        run = Run(cell=cell, optimizer=optimizer, seed=seed, max_updates=100)
        results = {"status": "unsolved", "updates": 100, "curve_update": [0, 50, 100], "curve_exact": [0.0, 0.6, 0.6]}
        if update == -1:
            results = {"status": "diverged", "updates": 7, "diverged_update": 7}
            results |= {"curve_update": [0], "curve_exact": [0.0]}
        elif update is not None:
            results = {"status": "solved", "updates": update + 40, "converged_update": update}
            results |= {"curve_update": [0, update, update + 20, update + 40], "curve_exact": [0.0, 1.0, 1.0, 1.0]}
        made.append(row_of(run, results, 1, "test") | {"finished_at": datetime(2026, 1, 1, tzinfo=UTC)})
    return made


ROWS = [
    *rows("lstm", "adam", [20, 20, 40, None]),
    *rows("lstm", "sgd", [None, None], diverged=1),
    *rows("gru", "adam", [20]),
]


@pytest.fixture
def folder(tmp_path) -> Path:
    store = Store(tmp_path / "results").open()
    store.append(ROWS)
    store.write_plan({"headline": [row["run_id"] for row in ROWS]})
    store.close()
    return store.folder


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
    assert sgd["update"].tolist() == [0, 100]  # the diverged run counts as unsolved to the end of its budget
    assert sgd["at_risk"].tolist() == [3, 3]
    assert sgd["solved"].tolist() == [0, 0]
    lstm, gru, at_risk, _ = drawing.figure.axes
    numbers = [text.get_text() for text in at_risk.texts]
    assert numbers == ["adam", "1", "sgd", "3", "at risk"]  # left just before update 100
    assert (lstm.get_title(), gru.get_title()) == ("LSTM", "GRU")
    steps = {line.get_label(): line.get_ydata().tolist() for line in lstm.lines}
    assert steps["adam"] == pytest.approx([0, 0.5, 0.75, 0.75, 0.75])
    plt.close(drawing.figure)


def test_the_caption_has_n_the_interval_and_the_settings(results):
    drawing = draw("convergence", results)
    for text in ("n = 1 to 4", "95 %", "Rothman", "Length 20", "hidden size 6", "LSTM adam 0.01, sgd 0.01"):
        assert text in drawing.caption
    plt.close(drawing.figure)


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_to_draw_says_so(name, tmp_path):
    store = Store(tmp_path / "empty").open()
    store.write_plan({})
    store.close()
    with pytest.raises(NotDrawable, match=r"no run|no block"):
        draw(name, Results(tmp_path / "empty"))


def test_every_figure_in_every_format_is_the_same_bytes_from_another_process(folder, tmp_path):
    command = [sys.executable, "-m", "study.figures", str(folder), "--out"]
    for run in ("one", "two"):
        subprocess.run([*command, str(tmp_path / run)], cwd=ROOT, check=True, capture_output=True)
    names = {path.name for path in (tmp_path / "one").iterdir()}
    drawn = {path.split(".")[0] for path in names}
    assert drawn >= {"convergence", "convergence_times", "thresholds"}
    assert names == {f"{name}.{kind}" for name in drawn for kind in (*FORMATS, "csv", "txt")}
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_no_fonts_are_lost_and_nothing_is_cut(results, tmp_path):
    """All of a figure lies within its canvas: saved tightly it is no larger."""
    drawing = draw("convergence", results)
    width, height = drawing.figure.get_size_inches()
    drawing.figure.canvas.draw()
    box = drawing.figure.get_tightbbox()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= width
    assert box.y1 <= height
    save("convergence", drawing, tmp_path, ["png"])


def test_bad_input(folder, tmp_path, capsys):
    assert main([str(tmp_path / "none")]) == 2
    assert "holds no results" in capsys.readouterr().err
    assert main([str(folder), "--only", "convergance"]) == 2
    assert "did you mean 'convergence'" in capsys.readouterr().err
    assert not (folder / "figures").exists()
    (tmp_path / "taken").write_text("")
    assert main([str(folder), "--out", str(tmp_path / "taken")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_incomplete_results_are_drawn_with_a_note(folder, capsys):
    store = Store(folder).open()
    store.write_plan({"headline": [*(row["run_id"] for row in ROWS), Run(seed=99).run_id]})
    store.close()
    assert main([str(folder), "--format", "png"]) == 0
    assert "1 of 9 planned runs are not stored yet" in capsys.readouterr().err


def test_the_committed_figures_are_those_of_the_committed_results(tmp_path, capsys):
    assert main([str(COMMITTED), "--out", str(tmp_path), "--format", "svg"]) == 0
    for path in tmp_path.iterdir():
        if path.suffix in (".csv", ".txt"):
            assert path.read_text() == (COMMITTED / "figures" / path.name).read_text(), path.name
