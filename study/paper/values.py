"""The numbers that the paper may name, each with its interval, n and provenance.

A function in `VALUES` turns the results and the words of a placeholder into a `Value`: in
`paper/source.md`, `{{solved headline lstm sgd}}` stands for
`VALUES["solved"](results, "headline", "lstm", "sgd")`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from study.errors import BadInput, Problem, unknown
from study.grid import Results, censored_times, conclusive, of_blocks, pooled_settings, solved_share
from study.stats import Estimate, solved_curve, time_to_share
from study.text import decimals_text, estimate_text, minus

BARE = ("cell", "optimizer", "key", "group")  # their values may be written without `column=`


@dataclass(frozen=True)
class Value:
    """A number as the text shows it, its 95 % interval (None without a sample), and its basis."""

    text: str
    estimate: float
    low: float | None
    high: float | None
    n: int
    source: str  # which rows, and a hash of their run ids

    @property
    def bounds(self) -> tuple[float, ...]:
        """The interval; where there is none two NaN, with which every comparison is false."""
        return tuple(np.nan if bound is None else bound for bound in (self.low, self.high))

    @staticmethod
    def of(estimate: Estimate, source: str) -> Value:
        """The value of an estimate."""
        value, low, high, n = estimate.value, estimate.low, estimate.high, estimate.n
        return Value(estimate_text(value, low, high), value, low, high, n, source)

    @staticmethod
    def counted(number: float, n: int, source: str) -> Value:
        """A count, which has no interval."""
        return Value(f"{number:,.0f}", number, None, None, n, source)


# --- rows of results ----------------------------------------------------------------------------


def rows_of(results: Results, block: str, *words: str) -> pd.DataFrame:
    """The runs of a block that were trained to their end and match every word.

    `forum/post` is the block `post` of the results in the neighbouring folder `forum`. Raises
    `BadInput` if no run matches.
    """
    other, slash, name = block.rpartition("/")
    if slash:
        return rows_of(results.beside(other), name, *words)
    if not results.has_block(name):
        raise BadInput.at(str(results.folder), unknown("block", name, sorted(results.planned)))
    rows = matching(of_blocks(conclusive(results.runs), name), block, words)
    if rows.empty:
        raise BadInput.at(" ".join([block, *words]), "no run that was trained to its end matches")
    return rows


def table_path(results: Results, name: str) -> Path:
    """The file of a stored table, by its path from the parent folder.

    `main/audit` is results/main/audit.csv.
    """
    return results.folder.parent / f"{name}.csv"


def read_table(results: Results, name: str, *words: str) -> pd.DataFrame:
    """The rows of a stored table that match every word; `BadInput` if there is no such table."""
    path = table_path(results, name)
    if not path.is_file():
        raise BadInput.at(str(path), "this table does not exist")
    return matching(pd.read_csv(path, keep_default_na=False, na_values=[""]), name, words)


def matching(rows: pd.DataFrame, where: str, words: Sequence[str]) -> pd.DataFrame:
    """The rows that match every word; `where` names them in errors.

    A word is `column=value`, with `_` for a space, or just the value of a column in `BARE`.
    """
    for word in words:
        column, equals, text = word.partition("=")
        if not equals:
            column, text = _column_with(rows, word), word
        elif column not in rows:
            raise BadInput.at(f"{where} {word}", unknown("column", column, map(str, rows)))
        rows = rows[[_as_word(value).lower() == text.lower() for value in rows[column]]]
    return rows


def _column_with(rows: pd.DataFrame, value: str) -> str:
    columns = [column for column in BARE if column in rows]
    for column in columns:
        if (rows[column] == value).any():
            return column
    allowed = [str(known) for column in columns for known in rows[column].unique()]
    raise BadInput.at(value, unknown(" or ".join(columns) or "word", value, allowed))


def _as_word(value: object) -> str:
    if isinstance(value, bool | np.bool_):
        return str(value)
    return f"{value:g}" if isinstance(value, int | float) else str(value).replace(" ", "_")


# --- the values ---------------------------------------------------------------------------------


def _source(rows: pd.DataFrame, *words: str) -> str:
    digest = blake2b("".join(sorted(rows["run_id"])).encode(), digest_size=5).hexdigest()
    return f"{' '.join(words)}: {len(rows)} runs, {digest}"


def _of_one_kind(results: Results, *words: str) -> pd.DataFrame:
    rows = rows_of(results, *words)
    if pooled := pooled_settings(rows):
        raise BadInput.at(" ".join(words), f"would pool runs that differ in {', '.join(pooled)}")
    return rows


def solved(results: Results, block: str, *words: str) -> Value:
    """Share of runs that solved the task within the budget, with Wilson's interval."""
    rows = _of_one_kind(results, block, *words)
    return Value.of(solved_share(rows), _source(rows, block, *words))


def median(results: Results, block: str, *words: str) -> Value:
    """Median convergence time in updates (Kaplan-Meier) with its interval."""
    rows = _of_one_kind(results, block, *words)
    time = time_to_share(solved_curve(*censored_times(rows)))
    numbers = (time.value, time.low, time.high)
    texts = [decimals_text(x) if np.isfinite(x) else "beyond budget" for x in numbers]
    return Value("{} [{}, {}]".format(*texts), *numbers, time.n, _source(rows, block, *words))


def count_runs(results: Results, *words: str) -> Value:
    """Number of runs trained to their end: all of them, or those that the words pick."""
    rows = rows_of(results, *words) if words else conclusive(results.runs)
    return Value.counted(len(rows), len(rows), _source(rows, *(words or ("all",))))


def count_seeds(results: Results, block: str) -> Value:
    """Number of seeds of a block."""
    rows = rows_of(results, block)
    return Value.counted(rows["seed"].nunique(), len(rows), _source(rows, block))


def setting(results: Results, column: str, block: str, *words: str) -> Value:
    """The distinct values of a setting, smallest first."""
    rows = rows_of(results, block, *words)
    if column not in rows:
        raise BadInput.at(column, unknown("setting", column, map(str, rows)))
    values = sorted(rows[column].dropna().unique())
    numeric = int | float | np.number
    text = ", ".join(minus(f"{x:,g}") if isinstance(x, numeric) else str(x) for x in values)
    return Value(text, float(len(values)), None, None, len(rows), _source(rows, block, *words))


def accuracy(results: Results, block: str, *words: str) -> Value:
    """Median and range over runs of the final accuracy over t >= 1; the range is no interval."""
    rows = rows_of(results, block, *words)
    low, middle, high = np.quantile(rows["accuracy"].dropna(), [0, 0.5, 1])
    text = "{} (runs from {} to {})".format(*(decimals_text(x, 3) for x in (middle, low, high)))
    return Value(text, float(middle), None, None, len(rows), _source(rows, block, *words))


def constant_answer(results: Results, block: str) -> Value:
    """Accuracy over t >= 1 of always answering 0 at the block's length."""
    (length,) = rows_of(results, block)["length"].unique()
    value = (length // 2) / (length - 1)
    return Value(decimals_text(value, 3), value, None, None, 0, f"(T/2)/(T-1) at T = {length}")


def entry(results: Results, table: str, column: str, *words: str) -> Value:
    """A number from the only row of a stored table that matches the words.

    Its interval and n are given where the table has them. The bounds of `estimate` and of
    `log_odds_ratio` are in the columns `low` and `high`, those of `solved` in `solved_low` and
    `solved_high`, and likewise for other columns.
    """
    row, source = _row(results, table, words)
    if column not in row:
        raise BadInput.at(column, unknown("column", column, map(str, row.index)))
    prefix = "" if column in ("estimate", "log_odds_ratio") else f"{column}_"
    bounds: list[Any] = [row.get(f"{prefix}{end}") for end in ("low", "high")]
    value, n = float(row[column]), int(row["n"]) if pd.notna(row.get("n")) else 0
    low, high = map(float, bounds) if pd.notna(bounds).all() else (None, None)
    digest = blake2b(table_path(results, table).read_bytes(), digest_size=5).hexdigest()
    return Value(estimate_text(value, low, high), value, low, high, n, f"{source}: {digest}")


def count_of(results: Results, table: str, *words: str) -> Value:
    """How many networks out of how many: `count` and `n` of the only row that matches."""
    row, source = _row(results, table, words)
    count, n = int(row["count"]), int(row["n"])
    return Value(f"{count:,} of {n:,}", float(count), None, None, n, source)


def count_rows(results: Results, table: str, *words: str) -> Value:
    """Number of rows of a stored table that match every word."""
    n = len(read_table(results, table, *words))
    return Value.counted(float(n), n, f"{table}.csv {' '.join(words)}")


def _row(results: Results, table: str, words: Sequence[str]) -> tuple[pd.Series, str]:
    """The only row that matches, and its source; `BadInput` if none or several match."""
    rows = read_table(results, table, *words)
    if len(rows) != 1:
        raise BadInput.at(" ".join([table, *words]), f"matches {len(rows)} rows instead of one")
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


def value_of(results: Results, call: str) -> Value:
    """The value of a placeholder; `BadInput` if its name is unknown or the results lack it."""
    name, *words = call.split()
    where = f"{{{{{call}}}}}"
    if name not in VALUES:
        raise BadInput.at(where, unknown("value", name, VALUES))
    try:
        return VALUES[name](results, *words)
    except BadInput as error:
        problems = [Problem(f"{where} at {p.where}", p.message) for p in error.problems]
        raise BadInput(problems) from error
    except (TypeError, ValueError) as error:  # too few words, or text where a number belongs
        raise BadInput.at(where, str(error)) from error
