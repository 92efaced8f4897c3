"""The numbers that the paper may name, each with its interval, n and provenance.

A value is a function from the results and the words after its name to a `Value`. In
`paper/source.md`, `{{solved headline lstm sgd}}` stands for
`VALUES["solved"](runs, "headline", "lstm", "sgd")`. To add one, write it and enter it in `VALUES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from study.errors import BadInput, Problem, printable, unknown
from study.grid import CONCLUSIVE, censored_times, load, of_blocks, pooled_settings, solved_share
from study.stats import Estimate, solved_curve, time_to_share
from study.text import decimals_text, estimate_text, minus

BARE = ("cell", "optimizer", "key", "group")  # their values may be written without `column=`


@dataclass(frozen=True)
class Value:
    """A number as the text shows it, and its basis; the bounds, 95 %, are None without a sample."""

    text: str
    estimate: float
    low: float | None
    high: float | None
    n: int
    source: str  # which rows, and a hash of their run ids

    @property
    def bounds(self) -> tuple[float, float]:
        """The interval; NaN, which no comparison passes, where there is none."""
        return (
            np.nan if self.low is None else self.low,
            np.nan if self.high is None else self.high,
        )

    @staticmethod
    def of(found: Estimate, source: str) -> Value:
        """The value of an estimate."""
        text = estimate_text(found.value, found.low, found.high)
        return Value(text, found.value, found.low, found.high, found.n, source)

    @staticmethod
    def counted(number: float, n: int, source: str) -> Value:
        """A count, which has no interval."""
        return Value(f"{number:,.0f}", number, None, None, n, source)


def refusal(where: object, message: str) -> BadInput:
    """An error about one thing."""
    return BadInput([Problem(str(where), message)])


class Runs:
    """A results folder as the paper reads it: runs by block, tables, and the folders beside it."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.folders: dict[str, Runs] = {}  # beside this one, by name

    @cached_property
    def frame(self) -> pd.DataFrame:
        """All stored runs, without curves and weights."""
        return load(self.folder, curves=False)

    @cached_property
    def ended(self) -> pd.DataFrame:
        """The runs that were trained to their end."""
        return self.frame[self.frame["status"].isin(CONCLUSIVE)]

    @cached_property
    def blocks(self) -> dict[str, pd.DataFrame]:
        """The runs of each block that were trained to their end."""
        names = {name for names in self.frame["blocks"] for name in names}
        return {name: of_blocks(self.ended, name) for name in sorted(names)}

    def beside(self, name: str) -> Runs:
        """The results in the folder of that name beside this one."""
        return self.folders.setdefault(name, Runs(self.folder.parent / name))

    def rows(self, block: str, *words: str) -> pd.DataFrame:
        """The runs of a block that were trained to their end and match every word.

        `forum/post` is the block `post` of the results beside these called `forum`. Raises
        `BadInput` if no run matches.
        """
        other, slash, name = block.rpartition("/")
        if slash:
            return self.beside(other).rows(name, *words)
        if name not in self.blocks:
            raise refusal(self.folder, unknown("block", name, self.blocks))
        rows = matching(self.blocks[name], block, words)
        if rows.empty:
            where = " ".join([block, *words])
            raise refusal(where, "matches no run that was trained to its end")
        return rows

    def path(self, table: str) -> Path:
        """Where a table of the results beside these is: `main/audit` is results/main/audit.csv."""
        return self.folder.parent / f"{table}.csv"

    def table(self, name: str, columns: Sequence[str] = ()) -> pd.DataFrame:
        """A table of the results beside these; `BadInput` if it is missing or lacks a column."""
        path = self.path(name)
        if not path.is_file():
            raise refusal(path, "is not there")
        try:
            table = pd.read_csv(path, keep_default_na=False, na_values=[""])
        except (OSError, ValueError) as error:
            raise refusal(path, f"cannot be read: {printable(str(error))}") from error
        for column in columns:
            if column not in table:
                raise refusal(path, unknown("column", column, map(str, table)))
        return table

    def matches(self, table: str, words: Sequence[str]) -> pd.DataFrame:
        """The rows of a table that match every word."""
        return matching(self.table(table), table, words)


def matching(rows: pd.DataFrame, where: str, words: Sequence[str]) -> pd.DataFrame:
    """The rows that match every word.

    A word is `column=value`, with `_` for a space, or just the value of a column in `BARE`.
    """
    for word in words:
        column, equals, wanted = word.partition("=")
        if not equals:
            column, wanted = _column_with(rows, word), word
        elif column not in rows:
            raise refusal(f"{where} {word}", unknown("column", column, map(str, rows)))
        rows = rows[[_as_word(value).lower() == wanted.lower() for value in rows[column]]]
    return rows


def _column_with(rows: pd.DataFrame, value: str) -> str:
    columns = [column for column in BARE if column in rows]
    for column in columns:
        if (rows[column] == value).any():
            return column
    values = [str(known) for column in columns for known in rows[column].unique()]
    raise refusal(value, unknown(" or ".join(columns) or "word", value, values))


def _as_word(value: object) -> str:
    if isinstance(value, bool | np.bool_):
        return str(value)
    return f"{value:g}" if isinstance(value, int | float) else str(value).replace(" ", "_")


# --- the values ---------------------------------------------------------------------------------


def _source(rows: pd.DataFrame, *words: str) -> str:
    digest = blake2b("".join(sorted(rows["run_id"])).encode(), digest_size=5).hexdigest()
    return f"{' '.join(words)}: {len(rows)} runs, {digest}"


def _of_one_kind(runs: Runs, *words: str) -> pd.DataFrame:
    rows = runs.rows(*words)
    if pooled := pooled_settings(rows):
        raise refusal(" ".join(words), f"would pool runs that differ in {', '.join(pooled)}")
    return rows


def solved(runs: Runs, block: str, *words: str) -> Value:
    """Share of runs that solved the task within the budget, with Wilson's interval."""
    rows = _of_one_kind(runs, block, *words)
    return Value.of(solved_share(rows), _source(rows, block, *words))


def median(runs: Runs, block: str, *words: str) -> Value:
    """Median convergence time in updates (Kaplan-Meier) with its interval."""
    rows = _of_one_kind(runs, block, *words)
    time = time_to_share(solved_curve(*censored_times(rows)))
    found = (time.value, time.low, time.high)
    text = "{} [{}, {}]".format(
        *(decimals_text(x) if np.isfinite(x) else "beyond budget" for x in found)
    )
    return Value(text, *found, time.n, _source(rows, block, *words))


def count_runs(runs: Runs, *words: str) -> Value:
    """Number of runs, of all results or of a block and the words after it, without skipped ones."""
    rows = runs.rows(*words) if words else runs.ended
    return Value.counted(len(rows), len(rows), _source(rows, *(words or ("all",))))


def count_seeds(runs: Runs, block: str) -> Value:
    """Number of seeds of a block."""
    rows = runs.rows(block)
    return Value.counted(rows["seed"].nunique(), len(rows), _source(rows, block))


def setting(runs: Runs, column: str, block: str, *words: str) -> Value:
    """The values that a setting has in some runs, smallest first."""
    rows = runs.rows(block, *words)
    if column not in rows:
        raise refusal(column, unknown("setting", column, map(str, rows)))
    found = sorted(rows[column].dropna().unique())
    numeric = int | float | np.number
    text = ", ".join(minus(f"{x:,g}") if isinstance(x, numeric) else str(x) for x in found)
    return Value(text, float(len(found)), None, None, len(rows), _source(rows, block, *words))


def accuracy(runs: Runs, block: str, *words: str) -> Value:
    """Median and range over runs of the final accuracy over t >= 1; the range is no interval."""
    rows = runs.rows(block, *words)
    low, middle, high = np.quantile(rows["accuracy"].dropna(), [0, 0.5, 1])
    text = "{} (runs from {} to {})".format(*(decimals_text(x, 3) for x in (middle, low, high)))
    return Value(text, float(middle), None, None, len(rows), _source(rows, block, *words))


def constant_answer(runs: Runs, block: str) -> Value:
    """Accuracy over t >= 1 of always answering 0 at the block's length."""
    (length,) = runs.rows(block)["length"].unique()
    value = (length // 2) / (length - 1)
    return Value(decimals_text(value, 3), value, None, None, 0, f"(T/2)/(T-1) at T = {length}")


def entry(runs: Runs, table: str, column: str, *words: str) -> Value:
    """A number of the one row of a stored table that matches, with its interval and n if any.

    `estimate` and `log_odds_ratio` have their bounds in `low` and `high`, other columns in their
    own.
    """
    row, source = _row(runs, table, words)
    if column not in row:
        raise refusal(column, unknown("column", column, map(str, row.index)))
    prefix = "" if column in ("estimate", "log_odds_ratio") else f"{column}_"
    ends: list[Any] = [row.get(f"{prefix}{end}") for end in ("low", "high")]
    try:
        value = float(row[column])
        low, high = map(float, ends) if pd.notna(ends).all() else (None, None)
        n = int(row["n"]) if pd.notna(row.get("n")) else 0
    except (OverflowError, ValueError) as error:
        raise refusal(f"{table}.csv", f"has no number where one is wanted: {error}") from error
    digest = blake2b(runs.path(table).read_bytes(), digest_size=5).hexdigest()
    return Value(estimate_text(value, low, high), value, low, high, n, f"{source}: {digest}")


def count_of(runs: Runs, table: str, *words: str) -> Value:
    """Number of networks out of how many: `count` and `n` of the one row that matches."""
    row, source = _row(runs, table, words)
    count, n = int(row["count"]), int(row["n"])
    return Value(f"{count:,} of {n:,}", float(count), None, None, n, source)


def count_rows(runs: Runs, table: str, *words: str) -> Value:
    """Number of rows of a stored table that match every word."""
    n = len(runs.matches(table, words))
    return Value.counted(float(n), n, f"{table}.csv {' '.join(words)}")


def _row(runs: Runs, table: str, words: Sequence[str]) -> tuple[pd.Series, str]:
    """The one row that matches, and where it stands."""
    rows = runs.matches(table, words)
    if len(rows) != 1:
        where = " ".join([table, *words])
        raise refusal(where, f"matches {len(rows)} rows where one is wanted")
    return rows.iloc[0], f"{table}.csv {' '.join(words)}"


VALUES: dict[str, Callable[..., Value]] = {
    "solved": solved,
    "median": median,
    "runs": count_runs,
    "seeds": count_seeds,
    "setting": setting,
    "accuracy": accuracy,
    "constant_answer": constant_answer,
    "entry": entry,
    "count": count_of,
    "rows": count_rows,
}


def value_of(runs: Runs, call: str) -> Value:
    """The value of a placeholder; `BadInput` for an unknown name or runs that are not there."""
    name, *words = call.split()
    if name not in VALUES:
        raise refusal(f"{{{{{call}}}}}", unknown("value", name, VALUES))
    try:
        signature(VALUES[name]).bind(runs, *words)
    except TypeError as error:
        raise refusal(f"{{{{{call}}}}}", str(error)) from error
    try:
        return VALUES[name](runs, *words)
    except BadInput as error:
        where = f"{{{{{call}}}}} at"
        raise BadInput(Problem(f"{where} {p.where}", p.message) for p in error.problems) from error
