"""Gather the losses and outcomes of the forum post's training loop, and of changes to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from study.analysis import post
from study.grid import Results

# In the first blocks, one setting differs from the post's. The last one varies several at once.
BLOCKS = ("post", "rates", "optimizers", "more_epochs")
FACTORIAL = "post_factorial"
SWITCHES = ["step_after", "zeroed", "optimizer", "lr", "epochs"]
CURVES = 40  # runs of one setting whose losses are drawn
FINEST = 1e4  # losses are rounded to this many parts of a nat
MISSING = 2**16 - 1  # stands for a loss that is missing, or too large


def post_in(results: Results) -> list[dict[str, Any]]:
    """Return one entry per setting of the switches, or an empty list for another grid.

    An entry counts the runs, those that solved the task and those whose loss left the plateau, and
    has the losses of the first CURVES runs at the epochs `epochs_shown`.
    """
    if all(map(results.has_block, BLOCKS)):
        rows = pd.concat([post.runs_of(results.runs, block) for block in BLOCKS])
    elif results.has_block(FACTORIAL):
        rows = post.runs_of(results.runs, FACTORIAL)
        rows = rows[rows["cue"].astype(bool) & (rows["data"] == "fixed") & (rows["cell"] == "lstm")]
    else:
        return []
    groups = rows.drop_duplicates("run_id").groupby(SWITCHES, sort=True)
    return [_entry(dict(zip(SWITCHES, key, strict=True)), group) for key, group in groups]


def plateau_in(results: Results) -> list[dict[str, Any]]:
    """Return when the loss of the post's loop left the plateau, one entry per rate and zeroing.

    These runs have budgets long enough to leave it. The list is empty for another grid.
    """
    if not results.has_block("plateau"):
        return []
    names = ["zeroed", "lr", "epochs"]
    groups = post.runs_of(results.runs, "plateau").groupby(names, sort=True)
    return [
        dict(zip(names, key, strict=True)) | {"n": len(rows), "left": _left(rows)}
        for key, rows in groups
    ]


def _left(rows: pd.DataFrame) -> np.ndarray:
    """Return the sorted epochs at which the loss of runs left the plateau."""
    return np.sort(rows["left_epoch"].dropna().to_numpy(np.float32))


def _entry(switches: dict[str, Any], rows: pd.DataFrame) -> dict[str, Any]:
    rows = rows.sort_values("seed")
    first = rows.head(CURVES)
    longest = max(first["curve_update"], key=len)
    per_epoch = float((rows["max_updates"] / rows["epochs"]).iloc[0])
    return {
        **switches,
        "n": len(rows),
        "solved": int(rows["solved"].sum()),
        "left": _left(rows),
        "solved_by": rows["solved"].to_numpy(bool)[: len(first)].astype(np.uint8),
        "epochs_shown": (np.asarray(longest, float) / per_epoch).astype(np.float32),
        "losses": np.concatenate([_rounded(curve, len(longest)) for curve in first["curve_loss"]]),
    }


def _rounded(losses: Any, n: int) -> np.ndarray:
    """Return a curve as n whole numbers; MISSING follows where the run ended before others."""
    values = np.round(np.asarray(losses, float) * FINEST)
    whole = np.full(n, MISSING, np.uint16)
    whole[: len(values)] = np.where(values < MISSING, values, MISSING)  # NaN is missing too
    return whole
