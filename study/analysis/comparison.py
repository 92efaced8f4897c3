"""Two result sets cell by cell: which cells they share, which runs are the same bits, what changed beyond chance.

A cell is every run with the same settings but for the seed. Settings that have one value in A and another in B,
such as a default that changed, do not keep cells apart: they are matched across them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.stats import mannwhitneyu

from study import stats
from study.errors import BadInput, Problem, unknown
from study.grid import CONCLUSIVE, FOLLOWING, censored_times
from study.runs import SETTINGS

KEY = [name for name in SETTINGS if name != "seed"]


# --- outcomes -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """One outcome in A and in B, and B minus A with its interval and the p-value of no difference."""

    a: float
    b: float
    difference: stats.Estimate
    p: float


def solved_share(
    a: pd.DataFrame, b: pd.DataFrame, paired: bool, rng: np.random.Generator
) -> Change:
    """Share solved within the shorter budget: McNemar's exact test of pairs, else Fisher's."""
    first, second = (is_solved for _, is_solved in _times(a, b))
    found = (
        stats.paired_share_difference(second, first)
        if paired
        else stats.share_difference(second, first)
    )
    return Change(float(first.mean()), float(second.mean()), found, found.p)


def updates(a: pd.DataFrame, b: pd.DataFrame, paired: bool, rng: np.random.Generator) -> Change:
    """Restricted mean convergence time: the paired Prentice-Wilcoxon test of pairs, else log-rank."""
    first, second = _times(a, b)
    horizon = _horizon(a, b)
    means = [
        float(stats.restricted_means(times, solved, horizon)) for times, solved in (first, second)
    ]
    found = stats.rmst_difference(second, first, horizon, rng, paired=paired)
    if paired:
        _, p = stats.paired_prentice_wilcoxon(second[0], second[1], first[0], first[1])
    else:
        group = np.repeat([0, 1], [len(a), len(b)])
        times, solved = (np.concatenate(values) for values in zip(first, second, strict=True))
        _, p = stats.logrank(times, solved, group)
    return Change(means[0], means[1], found, p)


def exact_at_length(
    a: pd.DataFrame, b: pd.DataFrame, paired: bool, rng: np.random.Generator
) -> Change:
    """Mean share of exact sequences at ten test lengths, 0 if diverged: ranks of pairs, else Mann-Whitney's."""
    first, second = (rows["long_exact"].fillna(0.0).to_numpy(float) for rows in (a, b))
    ones = [np.ones(len(values), bool) for values in (first, second)]
    if paired:
        found = stats.bootstrap(lambda i: (second[i] - first[i]).mean(-1), [len(first)], rng)
        _, p = stats.paired_prentice_wilcoxon(first, ones[0], second, ones[1])
    else:
        sizes = [len(second), len(first)]
        found = stats.bootstrap(lambda i, j: second[i].mean(-1) - first[j].mean(-1), sizes, rng)
        p = mannwhitneyu(first, second)[1]
    return Change(float(first.mean()), float(second.mean()), found, float(p))


OUTCOMES: dict[str, Callable[[pd.DataFrame, pd.DataFrame, bool, np.random.Generator], Change]] = {
    "share solved": solved_share,
    "updates": updates,
    "exact at 10 T": exact_at_length,
}


def _horizon(a: pd.DataFrame, b: pd.DataFrame) -> float:
    return float(min(a["max_updates"].min(), b["max_updates"].min()))


def _times(a: pd.DataFrame, b: pd.DataFrame) -> list[stats.Sample]:
    """Censored times of both sides, followed no longer than the shorter budget."""
    horizon = _horizon(a, b)
    samples = (censored_times(rows) for rows in (a, b))
    return [(np.minimum(times, horizon), solved & (times <= horizon)) for times, solved in samples]


# --- matching -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """One cell of either set or both: its label, and its rows in A and in B, indexed by seed."""

    label: str
    a: pd.DataFrame
    b: pd.DataFrame

    @cached_property
    def done(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The rows of each side whose runs were trained to their end."""
        return _conclusive(self.a), _conclusive(self.b)

    @cached_property
    def shared(self) -> pd.Index:
        """Seeds whose runs were trained to their end on both sides."""
        return self.done[0].index.intersection(self.done[1].index)

    @cached_property
    def same(self) -> int:
        """How many of the shared seeds have the same results on both sides, to the last bit."""
        a, b = (rows["bits"].reindex(self.shared).to_numpy() for rows in (self.a, self.b))
        return int((a == b).sum())

    @property
    def is_same(self) -> bool:
        """Whether every run trained to its end is on both sides, and the same."""
        return self.same == len(self.done[0]) == len(self.done[1])


def _conclusive(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["status"].isin(CONCLUSIVE)]


@dataclass(frozen=True)
class Difference:
    """A setting with values that only one set has."""

    name: str
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    is_crossed: bool  # cells are matched across it


def differing_settings(
    a: pd.DataFrame, b: pd.DataFrame, across: Sequence[str] = ()
) -> list[Difference]:
    """The settings whose values differ. Cells are matched across those of `across`, and those with one value in
    each set.
    """
    for name in across:
        if name not in KEY:
            raise BadInput([Problem(f"--across {name}", unknown("setting", name, KEY))])
    found = []
    for name in KEY:
        first, second = (set(_text(rows[name].drop_duplicates())) for rows in (a, b))
        crossed = name in across or (len(first) == len(second) == 1)
        if first != second:
            only_a, only_b = (tuple(sorted(values)) for values in (first - second, second - first))
            found.append(Difference(name, only_a, only_b, crossed))
    return found


def _text(values: pd.Series) -> pd.Series:
    """Values as text, none as a dash; a whole number alike in a column of integers and in one of floats."""
    if pd.api.types.is_float_dtype(values) or pd.api.types.is_integer_dtype(values):
        return values.astype(float).map("{:.12g}".format).replace("nan", "-")
    return values.astype(object).where(values.notna(), "-").astype(str)


def match(a: pd.DataFrame, b: pd.DataFrame, crossed: Sequence[str] = ()) -> tuple[list[Cell], str]:
    """Every cell of either set, in order of its settings, and what their labels leave out.

    A label has the cell and what is not as in most runs. `BadInput` where a seed is in one cell twice.
    """
    key = [name for name in KEY if name not in crossed]
    sides = [
        frame.assign(**{name: _text(frame[name]) for name in key}).set_index("seed")
        for frame in (a, b)
    ]
    groups = [dict(list(frame.groupby(key, sort=True))) for frame in sides]
    naming = _Naming(pd.concat([frame[key] for frame in sides]))
    cells = []
    for values in sorted({**groups[0], **groups[1]}):
        rows = [
            group.get(values, frame.iloc[:0]) for group, frame in zip(groups, sides, strict=True)
        ]
        cell = Cell(naming.label(dict(zip(key, map(str, values), strict=True))), *rows)
        for side, members in (("A", cell.a), ("B", cell.b)):
            if members.index.has_duplicates:
                how = f"matched across {', '.join(crossed)}, " if crossed else ""
                raise BadInput(
                    [Problem("cells", f"{how}{side} has a seed more than once in {cell.label}")]
                )
        cells.append(cell)
    return cells, naming.usual


class _Naming:
    """Short labels for cells: what tells them apart, where it is not the most common value."""

    def __init__(self, settings: pd.DataFrame):
        distinct = settings.drop_duplicates()
        self.names: list[str] = []
        for name in sorted(KEY, key=lambda name: (name in FOLLOWING, name != "cell")):
            adds = name in settings and len(distinct[name].unique()) > 1
            if adds and (
                name not in FOLLOWING or self._count(distinct, name) > self._count(distinct)
            ):
                self.names.append(name)
        self.common = {name: str(settings[name].mode().iloc[0]) for name in self.names}

    def _count(self, distinct: pd.DataFrame, *more: str) -> int:
        return len(distinct[[*self.names, *more]].drop_duplicates())

    @property
    def usual(self) -> str:
        """The values that labels leave out."""
        return " ".join(
            f"{name}={value}"
            for name, value in self.common.items()
            if name != "cell" and value != "-"
        )

    def label(self, settings: Mapping[str, str]) -> str:
        """What to call the cell with these settings."""
        shown = [
            name for name in self.names if name == "cell" or settings[name] != self.common[name]
        ]
        return " ".join(f"{name}={settings[name]}" for name in shown) or "the usual settings"


# --- judging --------------------------------------------------------------------------------------


def judge(cells: Sequence[Cell], rng: np.random.Generator) -> pd.DataFrame:
    """A row a cell and outcome, of cells whose bits differ: A, B, difference, interval, p and Holm's p.

    Pairs on shared seeds where they are at least half of the smaller side, else all runs of both.
    """
    rows = []
    for cell in cells:
        a, b = cell.done
        if a.empty or b.empty or cell.is_same:
            continue
        paired = 2 * len(cell.shared) >= min(len(a), len(b))
        if paired:
            a, b = a.loc[cell.shared], b.loc[cell.shared]
        for name, outcome in OUTCOMES.items():
            change = outcome(a, b, paired, rng)
            bounds = {"low": change.difference.low, "high": change.difference.high, "p": change.p}
            head = {
                "cell": cell.label,
                "outcome": name,
                "n_a": len(a),
                "n_b": len(b),
                "paired": paired,
            }
            rows.append(
                head
                | {"a": change.a, "b": change.b, "difference": change.difference.value}
                | bounds
            )
    columns = [
        "cell",
        "outcome",
        "n_a",
        "n_b",
        "paired",
        "a",
        "b",
        "difference",
        "low",
        "high",
        "p",
    ]
    table = pd.DataFrame(rows, columns=columns)
    table["p_holm"] = stats.holm(table["p"].to_numpy(float))
    return table
