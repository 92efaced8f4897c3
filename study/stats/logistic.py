"""Logistic models of who is solved: where a boundary lies, and what each factor does to the odds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import scipy

from study.stats.intervals import Estimate

if (
    TYPE_CHECKING
):  # imported where it is used: the end of a grid has statistics too, and does without it
    import pandas as pd

# --- boundaries ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Boundary(Estimate):
    """Where half of the runs are solved, and how steeply the share falls there (per e-fold, or per unit)."""

    slope: float  # of the log odds; infinite where the levels are separated


def boundary(
    level: np.ndarray,
    is_solved: np.ndarray,
    *,
    falling: bool = True,
    log: bool = True,
    confidence: float = 0.95,
) -> Boundary:
    """The level at which half of the runs are solved (T50), from log odds = slope (x - x50); (n,) each.

    x is the level's logarithm, or itself without `log`. `falling` says that the share falls with the level, as it
    does with length; else it rises, as with hidden size. The interval is the profile likelihood's: every T50 whose
    best slope of that sign fits within chi-square of the best fit. It is open (0 or -inf below, infinite above) where
    the likelihood does not rule out a boundary beyond all levels. Levels that separate solved from unsolved runs fit
    any T50 between them: the estimate is the middle and the interval that gap. T50 is at an open end itself where
    no slope of that sign fits better than one share for all.
    """
    sign = 1.0 if falling else -1.0
    x = sign * (np.log(level) if log else np.asarray(level, float))
    profile = _Profile(x, np.asarray(is_solved, float))
    middle, low, high = profile.interval(float(scipy.stats.chi2.ppf(confidence, 1)) / 2)
    slope = sign * profile.slope(middle)
    if not falling:
        middle, low, high = -middle, -high, -low
    values = np.exp([middle, low, high]) if log else (middle, low, high)
    return Boundary(*map(float, values), n=profile.n, slope=slope)


class _Profile:
    """Log likelihood of a boundary m under log odds = -b (x - m), b >= 0, at the best b for each m."""

    def __init__(self, x: np.ndarray, solved: np.ndarray):
        self.x, index = np.unique(x, return_inverse=True)
        self.runs = np.bincount(index).astype(float)
        self.solved = np.bincount(index, weights=solved)
        self.n = len(x)
        gaps = np.diff(self.x)
        self.steepest = 50.0 / gaps.min() if len(gaps) else 1.0
        share = self.solved.sum() / self.n
        self.flat = float(self.n * (_xlogx(share) + _xlogx(1 - share)))  # one share for all
        self.flat_side = np.sign(
            share - 0.5
        )  # where a boundary beyond all levels leaves that share

    def best(self, m: float) -> tuple[float, float]:
        """The best b for a boundary at m, and its log likelihood, which is concave in b."""

        def score(b: float) -> float:
            return float(
                (
                    (self.runs * scipy.special.expit(-b * (self.x - m)) - self.solved)
                    * (self.x - m)
                ).sum()
            )

        if score(0.0) <= 0:
            b = 0.0
        elif score(self.steepest) >= 0:
            b = self.steepest
        else:
            b = _root(score, 0.0, self.steepest, 1e-12)
        odds = -b * (self.x - m)
        unsolved = self.runs - self.solved
        return b, float(
            (
                self.solved * scipy.special.log_expit(odds)
                + unsolved * scipy.special.log_expit(-odds)
            ).sum()
        )

    def slope(self, m: float) -> float:
        """Slope of the log odds at a boundary, minus infinity where nothing bounds it, 0 where there is none."""
        if not np.isfinite(m):
            return 0.0
        b = self.best(m)[0]
        return -np.inf if b >= self.steepest else -b

    def interval(self, drop: float) -> tuple[float, float, float]:
        """Best boundary and the ends of those whose log likelihood is within `drop` of its."""
        gap = self._gap()
        if gap is not None:
            low, high = gap
            middle = low if np.isinf(low) else high if np.isinf(high) else (low + high) / 2
            best = 0.0
        else:
            middle, best = self._maximum()
            low = high = middle
        return middle, self._end(low, best - drop, -1), self._end(high, best - drop, +1)

    def _gap(self) -> tuple[float, float] | None:
        """Between the last level with solved runs and the first with unsolved ones, where they do not overlap."""
        solved, unsolved = self.x[self.solved > 0], self.x[self.solved < self.runs]
        low = solved.max() if len(solved) else -np.inf
        high = unsolved.min() if len(unsolved) else np.inf
        return (float(low), float(high)) if low < high else None

    def _reach(self) -> float:
        return 20.0 * (np.ptp(self.x) or 1.0)

    def _maximum(self) -> tuple[float, float]:
        grid = np.linspace(self.x[0] - self._reach() / 10, self.x[-1] + self._reach() / 10, 61)
        top = int(np.argmax([self.best(m)[1] for m in grid]))
        around = (grid[max(top - 1, 0)], grid[min(top + 1, len(grid) - 1)])
        found = _lowest(lambda m: -self.best(m)[1], *around)
        best = self.best(found)[1]
        if self.flat >= best - 1e-9:  # no slope of that sign is better than none
            return float(self.flat_side * np.inf) if self.flat_side else float(
                self.x.mean()
            ), self.flat
        return found, best

    def _end(self, start: float, level: float, side: int) -> float:
        """Where the likelihood falls to `level` on one side of `start`; infinite where it does not."""
        reach = self._reach() + np.ptp(self.x)
        if np.isinf(start):
            if np.sign(start) == side:
                return start
            start, reach = np.sign(start) * reach + self.x.mean(), 2 * reach
        if (
            self.best(start)[1] <= level
        ):  # the edge of a gap, which even the steepest slope does not pass
            return start
        far = start + side * reach
        if self.best(far)[1] > level or (self.flat_side == side and self.flat > level):
            return side * np.inf
        return _root(lambda m: self.best(m)[1] - level, start, far)


def _lowest(function: Callable[[float], float], a: float, b: float) -> float:
    found: Any = scipy.optimize.minimize_scalar(
        function, bounds=(a, b), method="bounded", options={"xatol": 1e-10}
    )
    return float(found.x)


def _root(
    function: Callable[[float], float], a: float, b: float, tolerance: float = 1e-10
) -> float:
    return float(cast(float, scipy.optimize.brentq(function, a, b, xtol=tolerance)))


def _xlogx(value: float) -> float:
    return value * np.log(value) if value > 0 else 0.0


# --- effects ------------------------------------------------------------------------------------


def logistic_effects(
    factors: Mapping[str, np.ndarray | pd.Categorical],
    is_solved: np.ndarray,
    *,
    order: int = 2,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Main effects and interactions on the log odds of being solved; factors (n,) each -> a row a term.

    Firth's (1993) penalised likelihood, whose estimates are finite where a combination is always or never solved
    (Heinze & Schemper 2002), with profile intervals and p-values; an end that the likelihood does not reach within
    log odds of LIMIT is infinite. A factor's first level, in sorted order or that of a pandas Categorical, is its
    reference; columns are centred over levels, so a main effect is the change of level averaged over the other factors'
    levels, each counting alike, and an interaction `a=1 : b=1` is how much the effect of one changes with the other.
    Columns: term, log_odds_ratio, low, high, p, n.
    """
    import pandas as pd

    names, columns = _design(factors, order)
    model = _Firth(
        np.column_stack([np.ones(len(is_solved)), *columns]), np.asarray(is_solved, float)
    )
    drop = float(scipy.stats.chi2.ppf(confidence, 1)) / 2
    rows = []
    for j, name in enumerate(names, start=1):
        value, low, high, p = model.effect(j, drop)
        rows.append(
            {"term": name, "log_odds_ratio": value, "low": low, "high": high, "p": p, "n": model.n}
        )
    return pd.DataFrame(rows)


LIMIT = 30.0


def _design(
    factors: Mapping[str, np.ndarray | pd.Categorical], order: int
) -> tuple[list[str], list[np.ndarray]]:
    """Names and columns (n,) of every term up to products of `order` factors; `ValueError` for a constant factor."""
    single: dict[str, list[tuple[str, np.ndarray]]] = {}
    for factor, values in factors.items():
        levels, index = _levels(values)
        if len(levels) < 2:
            raise ValueError(
                f"factor {factor!r} has the one level {levels[0]!r}: it has no effect to estimate"
            )
        single[factor] = [
            (f"{factor}={levels[k]}", (index == k) - 1 / len(levels)) for k in range(1, len(levels))
        ]
    names, columns = [], []
    for size in range(1, order + 1):
        for chosen in combinations(single, size):
            terms = [("", np.ones(1))]
            for factor in chosen:
                terms = [
                    (f"{a} : {b}" if a else b, u * v) for a, u in terms for b, v in single[factor]
                ]
            names += [name for name, _ in terms]
            columns += [column for _, column in terms]
    return names, columns


def _levels(values: np.ndarray | pd.Categorical) -> tuple[np.ndarray, np.ndarray]:
    """The levels that occur, and the index (n,) of each value among them."""
    import pandas as pd

    if isinstance(values, pd.Categorical):
        present = values.remove_unused_categories()
        return np.asarray(present.categories), np.asarray(present.codes)
    return np.unique(np.asarray(values), return_inverse=True)


class _Firth:
    """Penalised likelihood of a logistic model: log likelihood + log det(information) / 2 (Firth 1993)."""

    def __init__(self, design: np.ndarray, outcome: np.ndarray):
        self.n = len(outcome)
        self.design, index = np.unique(design, axis=0, return_inverse=True)
        index = index.ravel()
        self.runs = np.bincount(index).astype(float)
        self.solved = np.bincount(index, weights=outcome)
        terms = design.shape[1]
        if np.linalg.matrix_rank(self.design) < terms:
            raise ValueError(
                f"{terms - 1} terms and a constant cannot be told apart by {len(self.design)} combinations of levels: "
                "leave out a factor, or lower the order of interactions"
            )
        self.coefficients, self.top = self._fit(np.zeros(terms), np.arange(terms))

    def _fit(self, start: np.ndarray, free: np.ndarray) -> tuple[np.ndarray, float]:
        """Maximise over the coefficients `free`, the others held at `start`; coefficients and the maximum."""
        beta, value = start.copy(), self._value(start)
        for _ in range(200):
            step = self._step(beta, free)
            before = value
            for _ in range(30):  # halve until it does not lose
                value = self._value(beta + step)
                if value >= before - 1e-12:
                    break
                step /= 2
            beta = beta + step
            if np.abs(step).max() < 1e-8 or abs(value - before) < 1e-12:
                break
        return beta, value

    def _step(self, beta: np.ndarray, free: np.ndarray) -> np.ndarray:
        """Newton's step on the modified score, at most 5 in any coefficient, 0 in those that are held."""
        share = scipy.special.expit(self.design @ beta)
        weight = self.runs * share * (1 - share)
        information = self._information(weight)
        spread = np.einsum("ij,jk->ik", self.design, _inverse(information))
        leverage = weight * (spread * self.design).sum(axis=1)
        score = self.design.T @ (self.solved - self.runs * share + leverage * (0.5 - share))
        step = np.zeros_like(beta)
        step[free] = np.linalg.lstsq(information[np.ix_(free, free)], score[free], rcond=None)[0]
        return step * min(1.0, 5.0 / max(np.abs(step).max(), 1e-300))

    def _information(self, weight: np.ndarray) -> np.ndarray:
        """Fisher's information, (terms, terms); by einsum, since the threads of BLAS cost more than they save here."""
        return np.einsum("ij,ik->jk", weight[:, None] * self.design, self.design)

    def _value(self, beta: np.ndarray) -> float:
        odds = self.design @ beta
        unsolved = self.runs - self.solved
        likelihood = self.solved * scipy.special.log_expit(
            odds
        ) + unsolved * scipy.special.log_expit(-odds)
        weight = self.runs * scipy.special.expit(odds) * scipy.special.expit(-odds)
        sign, logarithm = np.linalg.slogdet(self._information(weight))
        return float(likelihood.sum() + logarithm / 2) if sign > 0 else -np.inf

    def effect(self, j: int, drop: float) -> tuple[float, float, float, float]:
        """One coefficient, the ends of its profile interval, and the p-value of its being 0."""
        free = np.delete(np.arange(len(self.coefficients)), j)
        value, start = float(self.coefficients[j]), self.coefficients.copy()

        def lost(at: float) -> float:
            nonlocal start  # the fit before is near
            start[j] = at
            start, top = self._fit(start, free)
            return self.top - top

        p = float(scipy.stats.chi2.sf(2 * max(lost(0.0), 0.0), 1))
        return value, _crossing(lost, value, drop, -1), _crossing(lost, value, drop, +1), p


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """The inverse, or the pseudoinverse where there is none."""
    try:
        return np.linalg.inv(matrix)
    except np.linalg.LinAlgError:
        return np.linalg.pinv(matrix)


def _crossing(lost: Callable[[float], float], start: float, drop: float, side: int) -> float:
    """Where the likelihood lost reaches `drop` on one side; infinite where it does not within LIMIT."""
    inner, width = start, 0.5
    while width <= LIMIT:
        outer = start + side * width
        if lost(outer) > drop:
            return _root(lambda at: lost(at) - drop, inner, outer, 1e-6)
        inner, width = outer, width * 2
    return side * np.inf
