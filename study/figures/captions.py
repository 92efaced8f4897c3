"""Words that several captions need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from study.text import optimizer_name

SETTINGS = {
    "length": "length",
    "hidden_size": "hidden size",
    "noise": "noise",
    "batch_size": "batch size",
}
BUDGET_WORDS = "An unsolved or diverged run counts with its whole budget."


def n_of(rows: pd.DataFrame, by: Sequence[str]) -> str:
    """How many rows the groups have: `n = 50`, or `n = 30 to 50`."""
    return f"n = {size_range(rows.groupby(list(by), dropna=False).size())}"


def size_range(sizes: Iterable[int]) -> str:
    """The smallest and the largest size: `30 to 50`, or `50` where they are one; `0` of none."""
    low, high = min(sizes := list(sizes), default=0), max(sizes, default=0)
    return f"{low}" if low == high else f"{low} to {high}"


def setting_words(rows: pd.DataFrame) -> str:
    """The settings that all runs share: `Length 20, hidden size 6.` A figure shows the others."""
    values = {name: rows[name].dropna().unique() for name in SETTINGS if name in rows}
    said = [f"{SETTINGS[name]} {v[0]:,g}" for name, v in values.items() if len(v) == 1]
    return f"{', '.join(said)}.".capitalize()


def rate_words(rows: pd.DataFrame) -> str:
    """The optimizer and its learning rate, where there is one of each."""
    pairs = rows[["optimizer", "lr"]].drop_duplicates()
    if len(pairs) > 1:
        return "Each cell and optimizer has its own learning rate."
    optimizer, lr = pairs.iloc[0]
    return f"{optimizer_name(optimizer)} at learning rate {lr:g}."
