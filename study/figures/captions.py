"""Phrases that several captions share."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from study.text import optimizer_name

SETTINGS = {
    "length": "length",
    "hidden_size": "hidden size",
    "noise": "noise",
    "batch_size": "batch size",
}
BUDGET_WORDS = "Unsolved and diverged runs count with their whole budget."


def n_of(rows: pd.DataFrame, by: Sequence[str]) -> str:
    """The sizes of the groups: `n = 50`, or `n = 30 to 50`."""
    return f"n = {size_range(rows.groupby(list(by), dropna=False).size())}"


def size_range(sizes: pd.Series) -> str:
    """The smallest and the largest size: `30 to 50`, or `50` where they are equal; `0` of none."""
    low, high = min(sizes, default=0), max(sizes, default=0)
    return f"{low}" if low == high else f"{low} to {high}"


def setting_words(rows: pd.DataFrame) -> str:
    """The settings that all runs share, such as `Length 20, hidden size 6.`"""
    values = {words: rows[name].dropna().unique() for name, words in SETTINGS.items()}
    shared = [f"{words} {v[0]:,g}" for words, v in values.items() if len(v) == 1]
    return f"{', '.join(shared)}.".capitalize()


def rate_words(rows: pd.DataFrame) -> str:
    """The optimizer and its learning rate, if all runs share them."""
    pairs = rows[["optimizer", "lr"]].drop_duplicates()
    if len(pairs) > 1:
        return "Each cell and optimizer has its own learning rate."
    optimizer, lr = pairs.iloc[0]
    return f"{optimizer_name(optimizer)} at learning rate {lr:g}."
