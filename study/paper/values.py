"""Compute the numbers in the paper's text from stored results.

A placeholder in `paper/source.md` names a function in `VALUES` and the arguments for it. For
example, `{{solved headline lstm sgd}}` is replaced by the text of the result of

    VALUES["solved"](results, "headline", "lstm", "sgd")

Each function returns a `Value`, which is a number with its interval, its sample size n and its
source. The first argument is usually a block, which is a named part of the grid of runs, such as
`headline`. The other arguments are words that pick some of the block's runs (see `matching`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from study.errors import BadInput, Problem, unknown
from study.grid import Results, censored_times, conclusive, of_blocks, pooled_settings, solved_share
from study.stats import Estimate, share, solved_curve, time_to_share
from study.text import decimals_text, estimate_text, minus

# Columns whose values may be written without `column=`.
BARE = ("cell", "optimizer", "key", "group")


@dataclass(frozen=True)
class Value:
    """A number computed from results, with its text in the paper, 95 % interval, n and source.

    `low` and `high` are None if the number has no interval.
    """

    text: str
    estimate: float
    low: float | None
    high: float | None
    n: int
    source: str  # the words that picked the rows, and a hash of the rows

    @property
    def bounds(self) -> tuple[float, ...]:
        """Return the ends of the interval, or two NaN if there is no interval.

        Every comparison with NaN is false, so a test of a missing interval fails.
        """
        return tuple(np.nan if bound is None else bound for bound in (self.low, self.high))

    @staticmethod
    def of(estimate: Estimate, source: str) -> Value:
        """Make the `Value` of an estimate, with its interval and n."""
        value, low, high, n = estimate.value, estimate.low, estimate.high, estimate.n
        return Value(estimate_text(value, low, high), value, low, high, n, source)

    @staticmethod
    def counted(number: float, n: int, source: str) -> Value:
        """Make the `Value` of a count, which has no interval."""
        return Value(f"{number:,.0f}", number, None, None, n, source)


# --- rows of results ----------------------------------------------------------------------------


def rows_of(results: Results, block: str, *words: str) -> pd.DataFrame:
    """Return the runs of a block, but only runs that finished training and match every word.

    `matching` explains the words. The block `forum/post` is the block `post` of the results in the
    folder `forum`, which lies beside this results folder. Raises `BadInput` if no run matches.
    """
    other, slash, name = block.rpartition("/")
    if slash:
        return rows_of(results.beside(other), name, *words)
    if not results.has_block(name):
        raise BadInput.at(str(results.folder), unknown("block", name, sorted(results.planned)))
    rows = matching(_trained(results, name), block, words)
    if rows.empty:
        raise BadInput.at(" ".join([block, *words]), "matches no run that finished training")
    return rows


@lru_cache(maxsize=64)
def _trained(results: Results, name: str) -> pd.DataFrame:
    """Return the runs of a block that finished training.

    The result is cached, since a build asks for the runs of each block many times.
    """
    return of_blocks(conclusive(results.runs), name)


def table_path(results: Results, name: str) -> Path:
    """Return the path of a stored table, such as results/main/audit.csv for `main/audit`.

    The name is relative to the folder that contains `results.folder`, so it can also name a table
    of another results folder.
    """
    return results.folder.parent / f"{name}.csv"


def read_table(results: Results, name: str, *words: str) -> pd.DataFrame:
    """Return the rows of a stored table that match every word (see `matching`).

    Raises `BadInput` if the table does not exist.
    """
    path = table_path(results, name)
    if not path.is_file():
        raise BadInput.at(str(path), "does not exist; run the study command that writes it")
    return matching(_table(path, path.stat().st_mtime_ns), name, words)


@lru_cache(maxsize=64)
def _table(path: Path, time_ns: int) -> pd.DataFrame:
    """Read a stored table, and cache it until the file's time of writing `time_ns` changes."""
    return pd.read_csv(path, keep_default_na=False, na_values=[""], comment="#")


def matching(rows: pd.DataFrame, where: str, words: Sequence[str]) -> pd.DataFrame:
    """Return the rows of a table that match every word.

    A word is `column=value`. For a column in `BARE`, the value alone is enough, so `lstm` means
    `cell=lstm`. In a word, `_` stands for a space. `where` names the rows in error messages. Raises
    `BadInput` if the table has no such column, or if a value alone matches nothing.
    """
    for word in words:
        column, equals, text = word.partition("=")
        if not equals:
            column, text = _column_with(rows, word), word
        elif column not in rows:
            raise BadInput.at(f"{where} {word}", unknown("column", column, map(str, rows)))
        values = rows[column].unique().tolist()
        rows = rows[rows[column].isin([v for v in values if _as_word(v).lower() == text.lower()])]
    return rows


def _column_with(rows: pd.DataFrame, value: str) -> str:
    columns = [column for column in BARE if column in rows]
    for column in columns:
        if value in {_as_word(known) for known in rows[column]}:
            return column
    allowed = [_as_word(known) for column in columns for known in rows[column].unique()]
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
        raise BadInput.at(
            " ".join(words),
            f"would pool runs that differ in {', '.join(pooled)}; pick runs with equal settings",
        )
    return rows


def solved(results: Results, block: str, *words: str) -> Value:
    """Return the share of runs that solved the task within the budget, with Wilson's interval.

    The block and the words pick the runs, as in `rows_of`. Raises `BadInput` if the runs differ in
    settings other than the seed.
    """
    rows = _of_one_kind(results, block, *words)
    return Value.of(solved_share(rows), _source(rows, block, *words))


def nearly(results: Results, block: str, *words: str) -> Value:
    """Return the share of runs that end with at least nine in ten sequences right, with Wilson's.

    Runs are picked as in `solved`. A sequence is right if all its labels are.
    """
    rows = _of_one_kind(results, block, *words)
    return Value.of(
        share(int((rows["exact"] >= 0.9).sum()), len(rows)), _source(rows, block, *words)
    )


def median(results: Results, block: str, *words: str) -> Value:
    """Return the median convergence time in updates (Kaplan-Meier), with its interval.

    Runs are picked as in `solved`. The budget is the largest number of updates. A time
    beyond the budget is infinite, and its text is `beyond budget`.
    """
    rows = _of_one_kind(results, block, *words)
    time = time_to_share(solved_curve(*censored_times(rows)))
    numbers = (time.value, time.low, time.high)
    texts = [decimals_text(x) if np.isfinite(x) else "beyond budget" for x in numbers]
    return Value("{} [{}, {}]".format(*texts), *numbers, time.n, _source(rows, block, *words))


def count_runs(results: Results, *words: str) -> Value:
    """Return the number of runs that finished training.

    The words pick the runs, as in `rows_of`. Without words, all runs are counted.
    """
    rows = rows_of(results, *words) if words else conclusive(results.runs)
    return Value.counted(len(rows), len(rows), _source(rows, *(words or ("all",))))


def count_seeds(results: Results, block: str) -> Value:
    """Return the number of different seeds among the runs of a block."""
    rows = rows_of(results, block)
    return Value.counted(rows["seed"].nunique(), len(rows), _source(rows, block))


def setting(results: Results, column: str, block: str, *words: str) -> Value:
    """Return the distinct values of a setting, smallest first.

    The text of the `Value` lists them, and its estimate is how many there are.
    """
    rows = rows_of(results, block, *words)
    if column not in rows:
        raise BadInput.at(column, unknown("setting", column, map(str, rows)))
    values = sorted(rows[column].dropna().unique())
    numeric = int | float | np.number
    text = ", ".join(minus(f"{x:,g}") if isinstance(x, numeric) else str(x) for x in values)
    return Value(text, float(len(values)), None, None, len(rows), _source(rows, block, *words))


def accuracy(results: Results, block: str, *words: str) -> Value:
    """Return the median over runs of the final accuracy, which covers steps t >= 1.

    The text of the `Value` also gives the lowest and the highest accuracy of a run. They are not a
    confidence interval, so the `Value` has no interval.
    """
    rows = rows_of(results, block, *words)
    low, middle, high = np.quantile(rows["accuracy"].dropna(), [0, 0.5, 1])
    text = "{} (runs from {} to {})".format(*(decimals_text(x, 3) for x in (middle, low, high)))
    return Value(text, float(middle), None, None, len(rows), _source(rows, block, *words))


def constant_answer(results: Results, block: str) -> Value:
    """Return the accuracy that a network has over steps t >= 1 if it always answers 0.

    The sequences are as long as the sequences of the block.
    """
    (length,) = rows_of(results, block)["length"].unique()
    value = (length // 2) / (length - 1)
    return Value(
        decimals_text(value, 3), value, None, None, 0, f"{block}: (T/2)/(T-1) at T = {length}"
    )


def entry(results: Results, table: str, column: str, *words: str) -> Value:
    """Return the number in one column of a stored table, in the only row that matches the words.

    The interval and n are read from the same row, if the table has them. For the columns `estimate`
    and `log_odds_ratio`, the interval is in the columns `low` and `high`. For any other column,
    such as `solved`, it is in the columns `solved_low` and `solved_high`.
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
    """Return a count of networks, with a text such as `49 of 50`.

    Both numbers come from the columns `count` and `n` of a stored table, in the only row that
    matches the words.
    """
    row, source = _row(results, table, words)
    count, n = int(row["count"]), int(row["n"])
    return Value(f"{count:,} of {n:,}", float(count), None, None, n, source)


def count_rows(results: Results, table: str, *words: str) -> Value:
    """Return the number of rows of a stored table that match every word."""
    n = len(read_table(results, table, *words))
    return Value.counted(float(n), n, f"{table}.csv {' '.join(words)}")


def _row(results: Results, table: str, words: Sequence[str]) -> tuple[pd.Series, str]:
    """Return the only row of a stored table that matches the words, and a text that names it.

    Raises `BadInput` unless exactly one row matches.
    """
    rows = read_table(results, table, *words)
    if len(rows) != 1:
        raise BadInput.at(
            " ".join([table, *words]), f"matches {len(rows)} rows, but must match exactly one"
        )
    return rows.iloc[0], f"{table}.csv {' '.join(words)}"


VALUES: dict[str, Callable[..., Value]] = {
    "solved": solved,
    "nearly": nearly,
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
    """Compute the `Value` of a placeholder in the text.

    `call` is the text between the placeholder's braces, such as `solved headline lstm sgd`. Raises
    `BadInput` if `call` does not begin with the name of a function in `VALUES`, if an argument is
    wrong, or if the results lack what the function needs.
    """
    name, *words = call.split()
    where = f"{{{{{call}}}}}"
    if name not in VALUES:
        raise BadInput.at(where, unknown("value", name, VALUES))
    try:
        return VALUES[name](results, *words)
    except BadInput as error:
        problems = [Problem(f"{where} at {p.where}", p.message) for p in error.problems]
        raise BadInput(problems) from error
    except (TypeError, ValueError) as error:  # a word is missing, or is not a number
        raise BadInput.at(where, str(error)) from error
