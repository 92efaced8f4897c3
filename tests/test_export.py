"""The flat table of all stored runs."""

import json
from io import StringIO
from pathlib import Path

import pandas as pd
from drawn import rows, write_results

from study.__main__ import main
from study.grid import load
from study.grid.store import Store

MAIN = Path(__file__).parent.parent / "results" / "main"


def test_every_stored_run_has_a_row_without_lists(tmp_path, capsys):
    made = rows([20, None], diverged=1, weights=True)
    folder = write_results(tmp_path / "results", {"a": made, "b": made[:1]})
    with Store(folder) as store:
        store.append(rows([40], cell="gru"))  # a run that the grid no longer has
    assert main(["export", str(folder)]) == 0
    text = capsys.readouterr().out
    table = pd.read_csv(StringIO(text), dtype=str, keep_default_na=False)
    assert table["run_id"].is_monotonic_increasing
    found = table.sort_values(["cell", "seed"])
    assert found["blocks"].tolist() == ["", "a b", "a", "a"]
    assert found["status"].tolist() == ["solved", "solved", "unsolved", "diverged"]
    assert found["converged_update"].tolist() == ["40", "20", "", ""]
    assert json.loads(found["optimizer_settings"].iloc[0])["eps"] == 1e-8
    assert not [name for name in table if name.startswith("curve_") or name == "weights"]
    assert main(["export", str(folder), "--out", str(tmp_path / "all.csv")]) == 0
    assert (tmp_path / "all.csv").read_text() == text
    assert capsys.readouterr().err.endswith("all.csv: 4 runs\n")


def test_the_numbers_of_the_main_grid_are_exported_to_the_last_bit(tmp_path):
    assert main(["export", str(MAIN), "--out", str(tmp_path / "main.csv")]) == 0
    table, stored = pd.read_csv(tmp_path / "main.csv"), load(MAIN, curves=False)
    names = ["lr", "noise", "converged_update", "loss", "long_loss", "train_seconds"]
    pd.testing.assert_frame_equal(table[names], stored[names], check_exact=True)
