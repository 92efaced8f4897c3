"""Make tables from the stored rows: compare peers, and check which engine `auto` chooses.

A *bar* is a goal set in advance: the smallest acceptable ratio of a peer's time to the time of the
fused loop. A case is a network and the shape of its batches. The setting `engine: auto` lets the
study choose between the fused loop and torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.peers import FEW, FEW_CELLS, FUSED_CELLS, GRID_SIZES, MAIN, PEERS, cases
from benchmarks.problem import Case
from benchmarks.store import KEY, MEASURED
from study.model import CELLS, choose

CASE = list(KEY[1:])
# Each bar: the peer, where its time is compared, the cases, and the smallest acceptable ratio.
BARS = [("jax", f"`{cell}`, H = 6", cases([cell], (6,), (MAIN,)), 10) for cell in FEW_CELLS]
BARS += [("torch", "all cells, H = 1 to 32", cases(FUSED_CELLS, GRID_SIZES, (MAIN,)), 1)]
NOISE = 1.1  # smaller ratios count as equal, since two processes may differ by some per cent


def measured(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of measurements that succeeded."""
    return frame[frame["status"] == MEASURED]


def by_peer(frame: pd.DataFrame, column: str = "min_seconds") -> pd.DataFrame:
    """Return the values of `column` as a table with one row per case and one column per peer.

    If a peer was not measured in a case, the value is NaN.
    """
    return measured(frame).pivot_table(index=CASE, columns="peer", values=column, sort=False)


def peer_ratios(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per case in `FEW`: each peer's minimum time divided by the fused loop's.

    All times are per model. `fused` is the fused loop's time in microseconds as a text. In the
    column `floor`, the fused loop's time is divided by the floor, a lower bound, instead. A ratio
    is NaN if one of the two was not measured.
    """
    least, low, high = (_of_cases(frame, FEW, f"{name}_seconds") for name in ("min", "q25", "q75"))
    table = least.div(least["fused"], axis=0)
    spread = zip(least["fused"], low["fused"], high["fused"], strict=True)
    table["fused"] = [_microseconds(*times) for times in spread]
    table["floor"] = 1 / table["floor"]
    return table.reset_index()


def bars(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per bar in `BARS`: the least ratio in its cases, and whether it is reached.

    `ratio` is the peer's minimum time divided by the fused loop's minimum time. If one of the two
    was not measured in a case, `ratio` is NaN and `reached` is false.
    """
    rows = []
    for peer, where, of_bar, bar in BARS:
        times = _of_cases(frame, of_bar)
        ratio = (times[peer] / times["fused"]).min(skipna=False)
        rows.append({"peer": peer, "where": where, "bar": bar, "ratio": ratio})
    return pd.DataFrame(rows).assign(reached=lambda table: table["ratio"] >= table["bar"])


def lone_costs(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the least and the greatest ratio of the time of `alone` to `fused`, by batch size.

    Both are times per model: that of a network trained alone, and beside others.
    """
    times = by_peer(frame).reindex(columns=["alone", "fused"])
    ratios = (times["alone"] / times["fused"]).dropna()
    return ratios.groupby("batch_size").agg(["min", "max"])


def _of_cases(
    frame: pd.DataFrame, wanted: Iterable[Case], column: str = "min_seconds"
) -> pd.DataFrame:
    """Return the values of `column` as `by_peer` does, with a row for each of the wanted cases."""
    index = pd.MultiIndex.from_tuples(map(astuple, wanted), names=CASE)
    return by_peer(frame, column).reindex(index=index, columns=list(PEERS))


def _microseconds(*seconds: float) -> str:
    """Return the minimum and quartile times in microseconds, such as `28.1 [28.3, 29.9]`."""
    least, low, high = (f"{float(f'{1e6 * each:.3g}'):,g}" for each in seconds)
    return f"{least} [{low}, {high}]" if np.isfinite(seconds[0]) else "not measured"


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
