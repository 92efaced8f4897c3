"""Make tables from the stored rows: compare peers, and check which engine `auto` chooses.

A *bar* is a goal set in advance: the smallest acceptable ratio of a peer's time to the time of the
fused loop. A case is a network and the shape of its batches. The setting `engine: auto` lets the
study choose between the fused loop and torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from benchmarks.store import KEY, MEASURED
from study.model import CELLS, choose

CASE = list(KEY[1:])
SHAPE = {"batch_size": 2, "length": 50}  # for which the bars are set
# The smallest acceptable ratio of times, peer to fused loop, by peer, cell and hidden size.
BARS: dict[tuple[str, str, int], float] = {
    ("torch", "lstm", 6): 30, ("torch", "lstm", 32): 8,
    ("torch", "rnn_tanh", 6): 100, ("torch", "rnn_tanh", 32): 25,
    ("torch", "gru", 6): 250, ("torch", "gru", 32): 60,
    ("jax", "lstm", 6): 2, ("jax", "lstm", 32): 2,
    ("jax", "rnn_tanh", 6): 2, ("jax", "rnn_tanh", 32): 2,
    ("jax", "gru", 6): 2, ("jax", "gru", 32): 2,
}  # fmt: skip
NOISE = 1.1  # smaller ratios count as equal, since two processes may differ by some per cent


def measured(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of measurements that succeeded."""
    return frame[frame["status"] == MEASURED]


def by_peer(frame: pd.DataFrame, column: str = "min_seconds") -> pd.DataFrame:
    """Return the values of `column` as a table with one row per case and one column per peer.

    If a peer was not measured in a case, the value is NaN.
    """
    return measured(frame).pivot_table(index=CASE, columns="peer", values=column, sort=False)


def ratios(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per bar in `BARS`: times, their ratio, and whether the ratio is high enough.

    All times are in microseconds, at the batch size and length of `SHAPE`. `ratio` is the peer's
    minimum time divided by the fused loop's minimum time. `reached` says whether the ratio is at
    least `bar`. If one of the two was not measured, `ratio` is NaN and `reached` is false.
    `over_floor` is the fused loop's minimum time divided by the floor, a lower bound.
    """
    rows = []
    for (peer, cell, hidden), bar in BARS.items():
        ours, theirs, floor = (_row(frame, name, cell, hidden) for name in ("fused", peer, "floor"))
        ratio = theirs["min_seconds"] / ours["min_seconds"]
        row = {"cell": cell, "hidden_size": hidden, "peer": peer, "models": theirs["models"]}
        row |= {"fused": _microseconds(ours), "peer_time": _microseconds(theirs), "ratio": ratio}
        over_floor = ours["min_seconds"] / floor["min_seconds"]
        rows.append(row | {"bar": bar, "reached": bool(ratio >= bar), "over_floor": over_floor})
    return pd.DataFrame(rows)


def _row(frame: pd.DataFrame, peer: str, cell: str, hidden: int) -> dict[str, Any]:
    """Return a peer's numbers for a cell and hidden size; NaN if they were not measured.

    The batch size and the length are given by `SHAPE`.
    """
    case = {"peer": peer, "cell": cell, "hidden_size": hidden, **SHAPE}
    rows = measured(frame)[(frame[list(case)] == pd.Series(case)).all(axis=1)]
    numbers = ("models", "min_seconds", "q25_seconds", "q75_seconds")
    return {name: rows[name].iloc[0] if len(rows) else np.nan for name in numbers}


def _microseconds(row: dict[str, Any]) -> str:
    """Return the minimum and quartile times in microseconds, such as `28.1 [28.3, 29.9]`."""
    numbers = [1e6 * row[name] for name in ("min_seconds", "q25_seconds", "q75_seconds")]
    least, low, high = (f"{float(f'{number:.3g}'):,g}" for number in numbers)
    return f"{least} [{low}, {high}]" if np.isfinite(numbers[0]) else "not measured"


def as_text(table: pd.DataFrame) -> str:
    """Return the table from `ratios` as text for a terminal."""
    shown = table.assign(reached=np.where(table["reached"], "reached", "NOT reached"))
    return shown.to_string(index=False, float_format="{:.3g}".format)


def auto_choices(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per case with the engine that `auto` chooses and two verdicts on this choice.

    Only cases in which both engines were measured have a row. `slower` means that `auto` chose the
    fused loop although it is clearly slower than torch. `missed` means that `auto` chose torch
    although the fused loop is clearly faster. A difference is clear if the minima differ by more
    than the factor `NOISE` and the interquartile ranges do not overlap.
    """
    least, low, high = (
        by_peer(frame, f"{name}_seconds")[["fused", "torch"]].dropna()
        for name in ("min", "q25", "q75")
    )
    table = least.reset_index()
    table["engine"] = [_chosen(row) for row in table.itertuples()]
    for verdict, chosen, other in (("slower", "fused", "torch"), ("missed", "torch", "fused")):
        clear = (least[chosen] > NOISE * least[other]) & (low[chosen] > high[other])
        table[verdict] = (table["engine"] == chosen) & clear.to_numpy()
    return table


def _chosen(case: Any) -> str:
    shape = (case.length, case.batch_size, case.hidden_size)
    return choose(CELLS[case.cell], case.cell, "SGD", "cpu", shape)


def torch_wins(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `auto_choices` where torch is faster by more than the factor `NOISE`."""
    table = auto_choices(frame)
    return table[table["fused"] > NOISE * table["torch"]]


def shapes_of(table: pd.DataFrame) -> str:
    """Return the cases of a table as text, such as `lstm 128×8 (T 50, 200); gru ...`.

    Here 128 is the hidden size, 8 is the batch size, and 50 and 200 are the sequence lengths T.
    """
    if table.empty:
        return "nowhere"
    cells = []
    for cell, rows in table.groupby("cell", sort=False):
        shapes = [
            f"{hidden}×{batch} (T {', '.join(map(str, sorted(some['length'])))})"
            for (hidden, batch), some in rows.groupby(["hidden_size", "batch_size"])
        ]
        cells.append(f"`{cell}` {', '.join(shapes)}")
    return "; ".join(cells)
