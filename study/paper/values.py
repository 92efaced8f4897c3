"""The numbers that the paper may name: each is computed from stored results, with its interval, n and provenance.

A value is a function from the results and the words after its name to a `Value`; `{{solved headline lstm sgd}}` in
`paper/source.md` is `VALUES["solved"](results, "headline", "lstm", "sgd")`. To add one: write it, enter it in `VALUES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from study.errors import BadInput, Problem, printable, unknown
from study.grid import CONCLUSIVE, censored_times, load, of_blocks, pooled_settings, solved_share
from study.stats import solved_curve, time_to_share
from study.text import decimals_text, estimate_text, minus


@dataclass(frozen=True)
class Value:
    """A number as the text shows it, and what it rests on; the bounds are 95 % and None where there is no sample."""

    text: str
    estimate: float
    low: float | None
    high: float | None
    n: int
    source: str  # which rows, and a hash of their run ids


@dataclass(frozen=True)
class Runs:
    """The stored runs, by block; filters are `column=value` words, and a bare word names a cell or an optimizer.

    `forum/post` is the block `post` of the results that stand beside these as `forum`.
    """

    frame: pd.DataFrame
    folder: Path = Path()
    beside: dict[str, Runs] = field(
        default_factory=dict, compare=False
    )  # what was read of the folders beside
    kept: dict[str, Any] = field(
        default_factory=dict, compare=False
    )  # what is computed of these runs once

    @staticmethod
    def read(folder: Path) -> Runs:
        """The results in a folder, without their curves."""
        return Runs(load(folder, curves=False), Path(folder))

    def of(self, name: str) -> Runs:
        """The results in the folder of that name beside this one; `BadInput` where there are none."""
        if name not in self.beside:
            self.beside[name] = Runs.read(self.folder.parent / name)
        return self.beside[name]

    def rows(self, block: str, *words: str) -> pd.DataFrame:
        """The runs of a block that were trained to their end and match every word; `BadInput` when there are none."""
        other, slash, name = block.rpartition("/")
        if slash:
            return self.of(other).rows(name, *words)
        rows = self._block(block)
        for word in words:
            column, wanted = self._filter(rows, word)
            rows = rows[[_as_word(value) == wanted for value in rows[column]]]
        if rows.empty:
            raise BadInput(
                [
                    Problem(
                        f"{block} {' '.join(words)}", "matches no run that was trained to its end"
                    )
                ]
            )
        return rows

    def _block(self, name: str) -> pd.DataFrame:
        """The runs of a block that were trained to their end."""
        if "blocks" not in self.kept:
            rows = self.frame[self.frame["status"].isin(CONCLUSIVE)]
            blocks = {block for names in self.frame["blocks"] for block in names}
            self.kept["blocks"] = {block: of_blocks(rows, block) for block in blocks}
        if name not in self.kept["blocks"]:
            raise BadInput(
                [Problem(str(self.folder), unknown("block", name, sorted(self.kept["blocks"])))]
            )
        return self.kept["blocks"][name]

    def _filter(self, rows: pd.DataFrame, word: str) -> tuple[str, str]:
        column, equals, wanted = word.partition("=")
        if equals and column in rows:
            return column, wanted
        for column in ("cell", "optimizer"):
            if not equals and (rows[column] == word).any():
                return column, word
        names = [
            *rows["cell"].unique(),
            *rows["optimizer"].unique(),
            *(f"{name}=" for name in rows),
        ]
        raise BadInput([Problem(word, unknown("cell, optimizer or setting", word, names))])


def _as_word(value: object) -> str:
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _source(rows: pd.DataFrame, block: str, words: tuple[str, ...]) -> str:
    digest = blake2b("".join(sorted(rows["run_id"])).encode(), digest_size=5).hexdigest()
    return f"{' '.join([block, *words])}: {len(rows)} runs, {digest}"


def solved(results: Runs, block: str, *words: str) -> Value:
    """Share of runs solved within the budget, Wilson's interval; `BadInput` for rows that differ in a setting."""
    rows = _of_one_kind(results.rows(block, *words), block, words)
    share = solved_share(rows)
    text = estimate_text(share.value, share.low, share.high)
    return Value(text, share.value, share.low, share.high, share.n, _source(rows, block, words))


def median(results: Runs, block: str, *words: str) -> Value:
    """Median convergence time in updates (Kaplan-Meier) with its interval."""
    rows = _of_one_kind(results.rows(block, *words), block, words)
    time = time_to_share(solved_curve(*censored_times(rows)))
    text = f"{_updates(time.value)} [{_updates(time.low)}, {_updates(time.high)}]"
    return Value(text, time.value, time.low, time.high, time.n, _source(rows, block, words))


def runs(results: Runs, *block_and_words: str) -> Value:
    """How many runs: of all results, or of a block and the words after it; those skipped are not counted."""
    if block_and_words:
        rows = results.rows(*block_and_words)
    else:
        rows = results.frame[results.frame["status"].isin(CONCLUSIVE)]
    source = _source(rows, block_and_words[0] if block_and_words else "all", block_and_words[1:])
    return Value(f"{len(rows):,}", len(rows), None, None, len(rows), source)


def per_group(results: Runs, block: str) -> Value:
    """How many seeds a block has."""
    rows = results.rows(block)
    seeds = rows["seed"].nunique()
    return Value(f"{seeds:,}", seeds, None, None, len(rows), _source(rows, block, ()))


def setting(results: Runs, column: str, block: str, *words: str) -> Value:
    """The values that a setting has in some runs, smallest first."""
    rows = results.rows(block, *words)
    if column not in rows:
        raise BadInput([Problem(column, unknown("setting", column, map(str, rows)))])
    found = sorted(rows[column].dropna().unique())
    text = ", ".join(
        minus(f"{x:,g}") if isinstance(x, int | float | np.number) else str(x) for x in found
    )
    return Value(text, float(len(found)), None, None, len(rows), _source(rows, block, words))


def accuracy(results: Runs, block: str, *words: str) -> Value:
    """Median and range over runs of the final accuracy over t >= 1; the bounds are the extremes, no interval."""
    rows = results.rows(block, *words)
    low, middle, high = np.quantile(rows["accuracy"].dropna(), [0, 0.5, 1])
    text = "{} (runs from {} to {})".format(*(decimals_text(x, 3) for x in (middle, low, high)))
    return Value(text, float(middle), None, None, len(rows), _source(rows, block, words))


def entry(results: Runs, table: str, column: str, *words: str) -> Value:
    """A number of a stored table, with its interval and n where the table has them.

    `forum/answers/loops` is results/forum/answers/loops.csv; each word `column=value` picks rows (a space in a value is
    written `_`), and one row must be left. `estimate` and `log_odds_ratio` have their bounds in `low` and `high`,
    another column in its own.
    """
    row = _row(stored_table(results, table), table, words)
    if column not in row:
        raise BadInput([Problem(column, unknown("column", column, map(str, row.index)))])
    names = (
        ("low", "high")
        if column in ("estimate", "log_odds_ratio")
        else (f"{column}_low", f"{column}_high")
    )
    try:
        value, bounds = (
            float(row[column]),
            [float(row[name]) for name in names if pd.notna(row.get(name))],
        )
        n = int(row["n"]) if pd.notna(row.get("n")) else 0
    except (OverflowError, ValueError) as error:
        raise BadInput(
            [Problem(f"{table}.csv", f"has no number where one is wanted: {error}")]
        ) from error
    low, high = bounds if len(bounds) == 2 else (None, None)
    digest = blake2b(
        (results.folder.parent / f"{table}.csv").read_bytes(), digest_size=5
    ).hexdigest()
    text = estimate_text(value, low, high)
    return Value(text, value, low, high, n, f"{table}.csv {' '.join(words)}: {digest}")


def count_of(results: Runs, table: str, *words: str) -> Value:
    """How many of how many networks: `count` and `n` of one row of a stored table, as `entry` picks it."""
    row = _row(stored_table(results, table), table, words)
    count, n = int(row["count"]), int(row["n"])
    return Value(
        f"{count:,} of {n:,}", float(count), None, None, n, f"{table}.csv {' '.join(words)}"
    )


def _row(frame: pd.DataFrame, table: str, words: tuple[str, ...]) -> pd.Series:
    """The one row that every word matches."""
    rows = _matching(frame, table, words)
    if len(rows) != 1:
        raise BadInput(
            [Problem(f"{table} {' '.join(words)}", f"matches {len(rows)} rows where one is wanted")]
        )
    return rows.iloc[0]


def _matching(frame: pd.DataFrame, table: str, words: tuple[str, ...]) -> pd.DataFrame:
    """The rows that every word matches."""
    rows = frame
    for word in words:
        name, _, wanted = word.partition("=")
        if name not in frame:
            raise BadInput([Problem(f"{table} {word}", unknown("column", name, map(str, frame)))])
        rows = rows[
            [_as_word(value).replace(" ", "_").lower() == wanted.lower() for value in rows[name]]
        ]
    return rows


def rows_of(results: Runs, table: str, *words: str) -> Value:
    """How many rows of a stored table every word matches, as `entry` reads both."""
    rows = _matching(stored_table(results, table), table, words)
    return Value(
        f"{len(rows):,}", float(len(rows)), None, None, len(rows), f"{table}.csv {' '.join(words)}"
    )


def stored_table(results: Runs, name: str, columns: Sequence[str] = ()) -> pd.DataFrame:
    """A table of the results beside these: `main/dynamics/verdicts` is results/main/dynamics/verdicts.csv.

    `BadInput` where it is not there, is none, or lacks some columns.
    """
    path = results.folder.parent / f"{name}.csv"
    if not path.is_file():
        raise BadInput([Problem(str(path), "is not there")])
    try:
        table = pd.read_csv(path, keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        raise BadInput([Problem(str(path), f"cannot be read: {printable(str(error))}")]) from error
    for column in columns:
        if column not in table:
            raise BadInput([Problem(str(path), unknown("column", column, map(str, table)))])
    return table


def constant_answer(results: Runs, block: str) -> Value:
    """Accuracy over t >= 1 of always answering 0 at the block's length."""
    rows = results.rows(block)
    (length,) = rows["length"].unique()
    value = (length // 2) / (length - 1)
    return Value(decimals_text(value, 3), value, None, None, 0, f"(T/2)/(T-1) at T = {length}")


def _of_one_kind(rows: pd.DataFrame, block: str, words: tuple[str, ...]) -> pd.DataFrame:
    pooled = pooled_settings(rows)
    if pooled:
        raise BadInput(
            [
                Problem(
                    f"{block} {' '.join(words)}",
                    f"would pool runs that differ in {', '.join(pooled)}",
                )
            ]
        )
    return rows


def _updates(value: float) -> str:
    return decimals_text(value) if np.isfinite(value) else "beyond budget"


VALUES: dict[str, Callable[..., Value]] = {
    "solved": solved,
    "median": median,
    "runs": runs,
    "seeds": per_group,
    "setting": setting,
    "accuracy": accuracy,
    "constant_answer": constant_answer,
    "entry": entry,
    "rows": rows_of,
    "count": count_of,
}


def value_of(results: Runs, call: str) -> Value:
    """What a placeholder's words stand for; `BadInput` for an unknown name or runs that are not there."""
    name, *words = call.split()
    if name not in VALUES:
        raise BadInput([Problem(f"{{{{{call}}}}}", unknown("value", name, VALUES))])
    try:
        signature(VALUES[name]).bind(results, *words)
    except TypeError as error:
        raise BadInput([Problem(f"{{{{{call}}}}}", str(error))]) from error
    try:
        return VALUES[name](results, *words)
    except BadInput as error:
        raise BadInput(
            Problem(f"{{{{{call}}}}} at {p.where}", p.message) for p in error.problems
        ) from error
