"""Tables from the stored rows: ratios, the bars they should reach, and the choices of `auto`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from benchmarks.store import KEY, MEASURED
from study.model import CELLS, choose

CASE = list(KEY[1:])
SHAPE = {"batch_size": 2, "length": 50}  # for which the bars are set
# Goals set in advance: the least ratio to the fused loop, by peer, cell and hidden size.
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
    """Only the rows that have numbers."""
    return frame[frame["status"] == MEASURED]


def by_peer(frame: pd.DataFrame, column: str = "min_seconds") -> pd.DataFrame:
    """One row per case, one column per peer; NaN where a peer has not measured the case."""
    return measured(frame).pivot_table(index=CASE, columns="peer", values=column, sort=False)


def ratios(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per bar, at SHAPE: microseconds, ratio, bar, and whether the ratio reaches it.

    The ratio is that of the minima. It is NaN, and not reached, where one side was not measured.
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
    """The row of a peer at SHAPE; NaN for every number if there is none."""
    case = {"peer": peer, "cell": cell, "hidden_size": hidden, **SHAPE}
    rows = measured(frame)[(frame[list(case)] == pd.Series(case)).all(axis=1)]
    numbers = ("models", "min_seconds", "q25_seconds", "q75_seconds")
    return {name: rows[name].iloc[0] if len(rows) else np.nan for name in numbers}


def _microseconds(row: dict[str, Any]) -> str:
    """`28.1 [28.3, 29.9]`: the minimum and the quartiles of the repeats."""
    numbers = [1e6 * row[name] for name in ("min_seconds", "q25_seconds", "q75_seconds")]
    least, low, high = (f"{float(f'{number:.3g}'):,g}" for number in numbers)
    return f"{least} [{low}, {high}]" if np.isfinite(numbers[0]) else "not measured"


def as_text(table: pd.DataFrame) -> str:
    """The table of ratios for a terminal."""
    shown = table.assign(reached=np.where(table["reached"], "reached", "NOT reached"))
    return shown.to_string(index=False, float_format="{:.3g}".format)


def auto_choices(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per case that both engines measured: the choice of `auto`, and two verdicts on it.

    `slower`: `auto` chose the fused loop although it is clearly slower than torch, by more than
    NOISE in the minima and with quartiles apart. `missed`: `auto` chose torch although the loop is
    clearly faster.
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
    """The cases where torch is the faster engine by more than NOISE."""
    table = auto_choices(frame)
    return table[table["fused"] > NOISE * table["torch"]]


def shapes_of(table: pd.DataFrame) -> str:
    """`lstm 128×8 (T 50, 200); gru ...`: hidden size × batch size per cell."""
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
