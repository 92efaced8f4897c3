"""Write the phrases that several captions share."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from study.grid import setting_text
from study.runs import settings_in
from study.text import cell_name, optimizer_name

RESTRICTED = "In this restricted mean, an unsolved run counts as taking all updates allowed."
PLAIN_NAMES = {"lr": "learning rate", "accumulate": "gradient", "start": "start state"}
PLAIN_NAMES |= {"cut_every": "gradient cut every"}
PLAIN_VALUES = {
    ("cue", "true"): "cue",
    ("cue", "false"): "no cue",
    ("accumulate", "true"): "gradient never zeroed",
    ("accumulate", "false"): "gradient zeroed",
    ("cut_every", "none"): "gradient not cut",
}
MOST_VALUES = 8  # if a setting has more numbers as values, only the first and the last are named


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


def evaluations(rows: pd.DataFrame) -> str:
    """Return a sentence that says how often runs were evaluated during training.

    An example is `Runs are evaluated every 20 updates.` No update at which runs solve the task is
    known more exactly than that.
    """
    every = size_range(rows["eval_every"])
    return f"Runs are evaluated every {'update' if every == '1' else f'{every} updates'}."


def settings_of(rows: pd.DataFrame) -> str:
    """Return all settings of the runs with their values, such as `cell: gru, lstm; lr: 0.01; …`.

    If a setting has many numbers as values, the text says from which to which. If each cell and
    optimizer has its own learning rate, the text says which one, such as `lr: gru adam 0.1, …`.
    Settings that no run has are left out.
    """
    texts = {name: _values(rows[name]) for name in settings_in(rows) if rows[name].notna().any()}
    rates = rows[["cell", "optimizer", "lr"]].drop_duplicates()
    varies = (rates["lr"] != rates["lr"].iloc[0]).any()
    if varies and not rates.duplicated(["cell", "optimizer"]).any():
        each = rates.sort_values(["cell", "optimizer"]).to_numpy(object)
        texts["lr"] = ", ".join(" ".join(map(setting_text, row)) for row in each)
    return "; ".join(f"{name}: {text}" for name, text in texts.items())


def _values(column: pd.Series) -> str:
    values = column.drop_duplicates().sort_values()
    if len(values) > MOST_VALUES and pd.api.types.is_numeric_dtype(values.dropna()):
        return f"{setting_text(values.min())} to {setting_text(values.max())}"
    return ", ".join(map(setting_text, values))


def value_words(setting: str, value: str) -> str:
    """Return the value of a setting for readers, such as `tanh RNN` or `hidden size 6`.

    The value is a text (see `study.grid.setting_text`).
    """
    names = {"cell": cell_name, "optimizer": optimizer_name}
    if setting in names:
        return names[setting](value)
    words = f"{setting_words(setting)} {value.replace('_', ' ')}"
    return PLAIN_VALUES.get((setting, value), words)


def setting_words(setting: str) -> str:
    """Return the name of a setting for readers, such as `learning rate` for `lr`."""
    return PLAIN_NAMES.get(setting, setting.replace("_", " "))
