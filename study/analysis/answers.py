"""Show why the networks in a forum post and in a notebook do not learn.

The networks should learn the pattern 1, 0, 1, 0, ..., but fail. The tables in `ANSWERS` show why.
The command `study answers results/forum` makes the tables from stored runs, prints them, and writes
each table to RESULTS/answers/NAME.csv. The command trains nothing. To add a table, write a function
that makes the table from the runs, and enter the function in `ANSWERS`.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from study.analysis import post
from study.analysis.post import paired, runs_of, shares_of
from study.command import command
from study.errors import BadInput, echo
from study.grid import Missing, aligned, atomic_write, folder_in, lacking_curves, load_saying
from study.stats import holm, median

FOLDERS = (Path("results/forum"), Path("results/forum_factorial"), Path("results/notebook"))
STATE = ["cell", "length", "cue", "start", "state", "cut_every"]


def states(frame: pd.DataFrame) -> pd.DataFrame:
    """Show how often networks solve the task if their state is reset or its gradient is cut.

    `frame` has one row per stored run. The state of a network is carried from step to step, reset
    at each step, or carried across batches. If the setting `cut_every` is a number n, the state is
    carried, but its gradient is cut after every n steps (truncated backpropagation).

    The runs come from three blocks. A block is a named part of a grid, the list of runs to train.
    The table has one row per block and combination of the settings in `STATE`, with these columns:

    - n: the number of runs;
    - solved: the share of runs that solved the task, with its interval;
    - accuracy_least, accuracy_median, accuracy_most: the lowest, median and highest accuracy of the
      runs at steps t >= 1, the median with its interval;
    - accuracy_of_always_0: the accuracy of a network that answers 0 at every step;
    - gain: a difference, with its interval. It is the share of these runs that solved the task,
      minus the share of the usual runs that solved the task. The usual runs have the same block,
      cell, length, cue and start state, but they carry their state and their gradient is not cut.
      Only seeds that both groups have count;
    - p: the p-value of the gain, corrected by Holm's method over all rows of the table.
    """
    found = []
    for block in ("between_steps", "gradient_cut", "across_batches"):
        rows = runs_of(frame, block)
        carried = rows[(rows["state"] == "carried") & rows["cut_every"].isna()]
        for key, group in rows.groupby(STATE, dropna=False):
            row: dict[str, Any] = {"block": block} | dict(zip(STATE, key, strict=True))
            usual = carried[(carried[STATE[:4]] == list(key[:4])).all(axis=1)]
            least, most = group["accuracy"].agg(["min", "max"])
            middle = median(group["accuracy"].to_numpy(float)).columns("accuracy_median")
            row |= {"n": len(group)} | shares_of(group, "solved")
            row |= {"accuracy_least": least, **middle, "accuracy_most": most}
            row["accuracy_of_always_0"] = (row["length"] // 2) / (row["length"] - 1)
            if set(group["run_id"]) != set(usual["run_id"]):
                gain = paired(group, usual, "solved")
                row |= gain.columns("gain") | {"p": gain.p}
            found.append(row)
    table = pd.DataFrame(found)
    return table.assign(p=holm(table["p"].to_numpy()))


ANSWERS: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "loops": post.loops,
    "plateau": post.plateau,
    "changes": post.changes,
    "zeroing": post.zeroing,
    "momentum": post.momentum,
    "effects": post.effects,
    "combinations": post.combinations,
    "states": states,
}


def answer(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Make the tables in `ANSWERS` from the runs in `frame`, and return them by name.

    `frame` has one row per stored run. A table is left out if `frame` has none of its runs.
    """
    tables = {}
    for name, make in ANSWERS.items():
        with suppress(Missing):
            tables[name] = make(frame)
    return tables


def as_csv(table: pd.DataFrame) -> str:
    """Return a table as the text of a CSV file."""
    return table.to_csv(index=False, float_format="%.6g", lineterminator="\n")


def as_text(table: pd.DataFrame) -> str:
    """Return a table as text for a terminal, with each interval in brackets after its number."""
    columns = {}
    for name in map(str, table.columns):
        if f"{name}_low" in table:
            bounds = zip(table[name], table[f"{name}_low"], table[f"{name}_high"], strict=True)
            columns[f"{name} [95 %]"] = [
                f"{_entry(value)} [{_entry(low)}, {_entry(high)}]" * pd.notna(value)
                for value, low, high in bounds
            ]
        elif not name.endswith(("_low", "_high")):
            columns[name] = [_entry(value) for value in table[name]]
    return aligned(pd.DataFrame(columns))


def _entry(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if value == np.inf:  # a median time, if fewer than half of the runs got there
        return "beyond budget"
    return "" if pd.isna(value) else f"{value:.3g}" if isinstance(value, float) else str(value)


app = command("answers", "study answers results/forum")


@app.default
def answers(*results: Path) -> None:
    """Print tables that show why the forum post's network did not learn, and write each as CSV.

    Parameters
    ----------
    results
        The results folders to read. Without any, the command reads results/forum,
        results/forum_factorial and results/notebook.
    """
    for folder in results or FOLDERS:
        frame = load_saying(folder)
        if lacking := lacking_curves(frame):
            raise BadInput.at(str(folder), lacking)
        tables = answer(frame)
        if not tables:
            where = ", ".join(map(str, FOLDERS))
            raise BadInput.at(str(folder), f"has none of the runs needed for a table; use {where}")
        for name, table in tables.items():
            path = folder_in(folder, "answers") / f"{name}.csv"
            echo(f"{path}\n{as_text(table)}\n")
            atomic_write(path, as_csv(table).encode())
