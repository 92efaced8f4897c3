"""What the stored runs answer to the post and to the notebook: `python -m study.answers`.

It prints the tables of `ANSWERS` and writes each to RESULTS/answers/NAME.csv; it trains nothing. To add one: write a
function from the runs to a table, and enter it there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from study.analysis import post
from study.analysis.post import NoRuns, columns, paired, runs_of, share_of
from study.command import run_command
from study.errors import BadInput, Problem, command
from study.grid import aligned, atomic_write, folder_in, load_saying
from study.stats import holm

FOLDERS = ("results/forum", "results/forum_factorial", "results/notebook")

# --- the notebook -------------------------------------------------------------------------------

STATE = ["cell", "length", "cue", "start", "state", "cut_every"]


def states(frame: pd.DataFrame) -> pd.DataFrame:
    """The state carried, reset at each step, cut for the gradient, carried across batches, beside always answering 0.

    `gain` is the share solved minus that of the block's runs whose state is carried and not cut, over shared seeds, p
    Holm's over this table; accuracy over t >= 1 as the runs' least, median and most.
    """
    made = []
    for block in ("between_steps", "gradient_cut", "across_batches"):
        rows = runs_of(frame, block)
        carried = (rows["state"] == "carried") & rows["cut_every"].isna()
        for key, group in rows.groupby(STATE, dropna=False):
            same = (rows[["cell", "length", "cue", "start"]] == list(key[:4])).all(axis=1)
            names = {"block": block} | dict(zip(STATE, key, strict=True)) | {"n": len(group)}
            made.append(
                names
                | share_of(group, "solved")
                | _accuracy(group)
                | _gain(group, rows[same & carried])
            )
    table = pd.DataFrame(made)
    return table.assign(p=holm(table["p"].to_numpy()))


def _accuracy(group: pd.DataFrame) -> dict[str, float]:
    length = int(group["length"].iloc[0])
    least, middle, most = group["accuracy"].quantile([0, 0.5, 1])
    found = {"accuracy_least": least, "accuracy_median": middle, "accuracy_most": most}
    return found | {"accuracy_of_always_0": (length // 2) / (length - 1)}


def _gain(group: pd.DataFrame, carried: pd.DataFrame) -> dict[str, float]:
    if set(group["run_id"]) == set(carried["run_id"]):
        return {"gain": np.nan, "gain_low": np.nan, "gain_high": np.nan, "p": np.nan}
    found = paired(group, carried, "solved")
    return columns("gain", found) | {"p": found.p}


# --- the command --------------------------------------------------------------------------------

ANSWERS: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "loops": post.loops,
    "changes": post.changes,
    "zeroing": post.zeroing,
    "momentum": post.momentum,
    "effects": post.effects,
    "combinations": post.combinations,
    "states": states,
}


def answer(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Every table whose runs are in the results."""
    found = {}
    for name, make in ANSWERS.items():
        with suppress(NoRuns):
            found[name] = make(frame)
    return found


def as_text(table: pd.DataFrame) -> str:
    """A table for a terminal, its intervals in brackets."""
    shown = {}
    for name in map(str, table.columns):
        if f"{name}_low" in table:
            bounds = zip(table[name], table[f"{name}_low"], table[f"{name}_high"], strict=True)
            shown[f"{name} [95 %]"] = [
                "" if pd.isna(v) else f"{v:.3g} [{low:.3g}, {high:.3g}]" for v, low, high in bounds
            ]
        elif not name.endswith(("_low", "_high")):
            shown[name] = [_entry(value) for value in table[name]]
    return aligned(pd.DataFrame(shown))


def as_csv(table: pd.DataFrame) -> str:
    """A table as it is stored."""
    return table.to_csv(index=False, float_format="%.6g", lineterminator="\n")


def _entry(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return "" if pd.isna(value) else f"{value:.3g}" if isinstance(value, float) else str(value)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m study.answers",
        description="Print what the stored runs answer to the post and to the notebook, and write each table as CSV.",
        epilog="example:\n  python -m study.answers results/forum",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "results", nargs="*", default=FOLDERS, help=f"folders (default: {' '.join(FOLDERS)})"
    )
    options = parser.parse_args(arguments)
    return command(lambda: _answer_all(options.results))


def _answer_all(folders: Sequence[str]) -> int:
    for folder in map(Path, folders):
        _answer(folder)
    return 0


def _answer(folder: Path) -> None:
    tables = answer(load_saying(folder))
    if not tables:
        raise BadInput(
            [Problem(str(folder), f"has the runs of no answer; they are in {', '.join(FOLDERS)}")]
        )
    for name, table in tables.items():
        path = folder_in(folder, "answers") / f"{name}.csv"
        print(f"{path}\n{as_text(table)}\n")
        atomic_write(path, as_csv(table).encode())


if __name__ == "__main__":
    sys.exit(run_command(main))
