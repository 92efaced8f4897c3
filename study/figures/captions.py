"""Write the phrases that several captions share."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from study.text import cell_name, optimizer_name

SETTING_WORDS = {
    "length": "sequence length",
    "hidden_size": "hidden size",
    "noise": "noise",
    "batch_size": "batch size",
}
RESTRICTED = (
    "In this restricted mean, a run without a solution counts as taking all updates allowed."
)


def n_of(rows: pd.DataFrame, by: Sequence[str]) -> str:
    """Return a phrase with the number of rows per group, such as `n = 50` or `n = 30 to 50`.

    The columns `by` define the groups.
    """
    return f"n = {size_range(rows.groupby(list(by), dropna=False).size())}"


def size_range(sizes: pd.Series) -> str:
    """Return the smallest and the largest size as a phrase, such as `30 to 50`.

    The phrase is `50` if all sizes are 50, and `0` if there are no sizes.
    """
    low, high = min(sizes, default=0), max(sizes, default=0)
    return f"{low}" if low == high else f"{low} to {high}"


def setting_words(rows: pd.DataFrame) -> str:
    """Return a sentence with the settings that all runs share.

    An example is `All runs have sequence length 20, noise 1.` Only the settings in `SETTING_WORDS`
    are considered. If the runs share none of them, an empty string is returned.
    """
    values = {words: rows[name].dropna().unique() for name, words in SETTING_WORDS.items()}
    shared = [f"{words} {v[0]:,g}" for words, v in values.items() if len(v) == 1]
    return f"All runs have {', '.join(shared)}." if shared else ""


def value_words(setting: str, value: str) -> str:
    """Return the value of a setting for readers, such as `tanh RNN` or `hidden size 6`.

    The value is a text (see `study.grid.setting_text`).
    """
    names = {"cell": cell_name, "optimizer": optimizer_name}
    return names[setting](value) if setting in names else f"{setting.replace('_', ' ')} {value}"


def rate_words(rows: pd.DataFrame) -> str:
    """Return a sentence with the optimizer and learning rate that all runs share.

    If the optimizer or the learning rate differs between runs, the sentence says that each
    combination of cell and optimizer has its own learning rate.
    """
    pairs = rows[["optimizer", "lr"]].drop_duplicates()
    if len(pairs) > 1:
        return "Each combination of cell and optimizer has its own learning rate."
    optimizer, lr = pairs.iloc[0]
    return f"All runs were trained with {optimizer_name(optimizer)} at learning rate {lr:g}."
