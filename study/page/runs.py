"""Gather every run of a results folder, with its settings and its outcome."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from study.errors import BadInput
from study.grid import CONCLUSIVE, FOLLOWING, Results, censored_times, run_of
from study.model import TASK_SETTINGS
from study.runs import Run

STATUSES = ("solved", "unsolved", "diverged", "failed", "skipped")
DERIVED = (
    "optimizer_settings", "momentum", "test_length", "epoch_sequences", "init_value", "engine",
    *TASK_SETTINGS,
)  # fmt: skip


def runs_in(results: Results) -> dict[str, Any]:
    """Return the settings of a folder's runs, each combination once, and one entry per run.

    `settings` has what varies between the runs, as lists of one value per combination, and
    `constant` what does not. `calls` are the arguments of `study.Run` that make the combination,
    but for the seed, or None if the run belongs to another version of the code. The arrays have one
    entry per run: the number of its combination, its seed, the number of its list of blocks, its
    status, and its censored time in updates.
    """
    rows = results.runs.sort_values("run_id", ignore_index=True)
    names = [name for name in Run.model_fields if name in rows and name != "seed"]
    texts = rows[names].astype(object).where(rows[names].notna(), "none").astype(str)
    combination, _ = pd.factorize(pd.MultiIndex.from_frame(texts))
    is_first = ~pd.Series(combination).duplicated()
    first = rows.loc[is_first]
    varying = [name for name in names if len(set(texts.loc[is_first, name])) > 1]
    blocks, block_lists = pd.factorize(rows["blocks"].map(", ".join))
    times, solved = censored_times(rows)
    is_done = rows["status"].isin(CONCLUSIVE).to_numpy()
    digits = "".join(rows["run_id"])
    return {
        "name": results.folder.resolve().name,
        "settings": {name: [_value(x) for x in first[name]] for name in varying},
        "constant": {name: _value(first[name].iloc[0]) for name in names if name not in varying},
        "calls": [_call(row) for _, row in first.iterrows()],
        "following": [*FOLLOWING],
        "of_task": [*TASK_SETTINGS],
        "blocks": list(block_lists),
        "statuses": [*STATUSES],
        "combination": combination.astype(np.int32),
        "seed": rows["seed"].to_numpy(np.int32),
        "block": blocks.astype(np.uint8),
        "status": rows["status"].map(STATUSES.index).to_numpy(np.uint8),
        "time": np.where(is_done, times, 0).astype(np.int32),
        "solved": (solved & is_done).astype(np.uint8),
        "ids": np.frombuffer(bytes.fromhex(digits), np.uint8),
    }


def _value(value: Any) -> Any:
    """Return a setting's value for JSON, with whole numbers as integers and missing ones as None.

    pandas turns integers into floats in a column with missing values.
    """
    if value is None or value != value:
        return None
    value = value.item() if isinstance(value, np.generic) else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _call(row: pd.Series) -> str | None:
    """Return the arguments of `study.Run` that make this run, without its seed, such as `lr=0.1`.

    Settings that follow from the others are left out.
    """
    try:
        run = run_of(row)
    except BadInput:
        return None
    given = {
        name: value
        for name, value in run.model_dump().items()
        if name != "seed" and value != Run.model_fields[name].default
    }
    for name in DERIVED:
        rest = {key: value for key, value in given.items() if key != name}
        if name in given and _makes(rest, run):
            given = rest
    return ", ".join(f"{name}={value!r}" for name, value in given.items())


def _makes(settings: dict[str, Any], run: Run) -> bool:
    try:
        return Run(**settings, seed=run.seed).run_id == run.run_id
    except ValueError:
        return False
