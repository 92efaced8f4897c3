"""Logistic models of which runs solve the task: where a boundary is, what each factor does."""

from collections.abc import Callable, Mapping
from itertools import combinations

import numpy as np
import pandas as pd
import scipy
from scipy.special import entr, expit, log_expit

from study.stats.intervals import LEVEL, Estimate

LIMIT = 30.0  # log odds beyond which the end of an effect's interval counts as infinite


# --- boundaries ---------------------------------------------------------------------------------


def boundary(level: np.ndarray, is_solved: np.ndarray, *, falling: bool = True) -> Estimate:
    """The level x50 at which half of the runs solve the task; (n,) each.

    The model is log odds = slope (log x - log x50). `falling` says that the share falls with the
    level, as it does with length; else it rises, as with hidden size. The interval is the profile
    likelihood's: every x50 whose best slope of that sign fits within chi-square of the best fit. It
    is open (0 below, infinite above) where the likelihood does not rule out a boundary beyond all
    levels. Levels that separate solved from unsolved runs fit any x50 between them: the estimate is
    the middle and the interval that gap. The estimate itself is at an open end where no slope of
    that sign fits better than one share for all levels.
    """
    sign = 1.0 if falling else -1.0
    profile = _Profile(sign * np.log(level), np.asarray(is_solved, float))
    value, *ends = np.exp(sign * np.array(profile.interval(_drop())))
    return Estimate(float(value), float(min(ends)), float(max(ends)), len(level))


def _drop() -> float:
    """The loss of log likelihood at the ends of a profile interval."""
    return float(scipy.stats.chi2.ppf(LEVEL, 1)) / 2


class _Profile:
    """Log likelihood of a boundary m under log odds = -b (x - m), at the best b >= 0 for each m."""

    def __init__(self, x: np.ndarray, solved: np.ndarray):
        self.x, index = np.unique(x, return_inverse=True)
        self.runs = np.bincount(index).astype(float)
        self.solved = np.bincount(index, weights=solved)
        self.span = np.ptp(self.x) or 1.0
        self.steepest = 50.0 / np.diff(self.x).min(initial=50.0)
        share = solved.mean()
        self.flat = -float(len(x) * (entr(share) + entr(1 - share)))  # one share for all levels
        self.flat_side = np.sign(share - 0.5)  # where a boundary beyond all levels leaves it

    def likelihood(self, m: float) -> float:
        """The log likelihood of a boundary at m, at its best slope; it is concave in the slope."""

        def score(b: float) -> float:
            expected = self.runs * expit(-b * (self.x - m))
            return float(((expected - self.solved) * (self.x - m)).sum())

        if score(0.0) <= 0:
            b = 0.0
        elif score(self.steepest) >= 0:
            b = self.steepest
        else:
            b = _root(score, 0.0, self.steepest, 1e-12)
        return _log_likelihood(-b * (self.x - m), self.runs, self.solved)

    def interval(self, drop: float) -> tuple[float, float, float]:
        """The best boundary, and the ends of those whose log likelihood is within `drop` of its."""
        low = float(self.x[self.solved > 0].max(initial=-np.inf))
        high = float(self.x[self.solved < self.runs].min(initial=np.inf))
        middle, best = (low + high) / 2, 0.0
        if low >= high:  # the levels do not separate solved from unsolved runs
            middle, best = self._maximum()
            low = high = middle
        return middle, self._end(low, best - drop, -1), self._end(high, best - drop, +1)

    def _maximum(self) -> tuple[float, float]:
        """The best boundary and its log likelihood: the best of a grid, then refined."""
        grid = np.linspace(self.x[0] - 2 * self.span, self.x[-1] + 2 * self.span, 61)
        top = int(np.argmax([self.likelihood(m) for m in grid]))
        found = scipy.optimize.minimize_scalar(
            lambda m: -self.likelihood(m),
            bounds=(grid[max(top - 1, 0)], grid[min(top + 1, len(grid) - 1)]),
            options={"xatol": 1e-10},
        )
        middle, best = float(found.x), -float(found.fun)
        if self.flat < best - 1e-9:
            return middle, best
        # No slope of that sign is better than none.
        return float(self.flat_side * np.inf if self.flat_side else self.x.mean()), self.flat

    def _end(self, start: float, level: float, side: int) -> float:
        """Where the likelihood falls to `level` on one side of `start`; infinite if nowhere."""
        if start == side * np.inf:
            return start
        middle, reach = self.x.mean(), 21 * self.span
        start = float(np.clip(start, middle - reach, middle + reach))
        if self.likelihood(start) <= level:  # the edge of a gap, which no slope passes
            return start
        far = middle + side * reach
        if self.likelihood(far) > level or (self.flat_side == side and self.flat > level):
            return side * np.inf
        return _root(lambda m: self.likelihood(m) - level, start, far, 1e-10)


def _log_likelihood(odds: np.ndarray, runs: np.ndarray, solved: np.ndarray) -> float:
    """Binomial log likelihood of `solved` of `runs` at these log odds; (cells,) each."""
    return float((solved * log_expit(odds) + (runs - solved) * log_expit(-odds)).sum())


def _root(function: Callable[[float], float], a: float, b: float, tolerance: float) -> float:
    return float(np.asarray(scipy.optimize.brentq(function, a, b, xtol=tolerance)))


# --- effects ------------------------------------------------------------------------------------


def logistic_effects(
    factors: Mapping[str, np.ndarray | pd.Categorical], is_solved: np.ndarray
) -> pd.DataFrame:
    """Main effects and pairwise interactions on the log odds of solving the task; arrays (n,).

    Firth's (1993) penalised likelihood, whose estimates are finite where a combination always or
    never solves it (Heinze & Schemper 2002), with profile intervals and p-values; an end that the
    likelihood does not reach within log odds of LIMIT is infinite. The reference of a factor is its
    first level, in sorted order or that of a pandas Categorical. Columns are centred over levels,
    so a main effect is the change of level averaged over the levels of the other factors, each
    counting alike, and an interaction `a=1 : b=1` is how much the effect of one changes with the
    other. Returns one row per term: term, log_odds_ratio, low, high, p, n.
    """
    columns = _design(factors)
    constant = np.ones(len(is_solved))
    model = _Firth(np.column_stack([constant, *columns.values()]), np.asarray(is_solved, float))
    rows = [(term, *model.effect(j), len(is_solved)) for j, term in enumerate(columns, start=1)]
    return pd.DataFrame(rows, columns=["term", "log_odds_ratio", "low", "high", "p", "n"])


def _design(factors: Mapping[str, np.ndarray | pd.Categorical]) -> dict[str, np.ndarray]:
    """The column (n,) of every term; `ValueError` for a constant factor."""
    single = []
    for factor, values in factors.items():
        held = pd.Categorical(values).remove_unused_categories()
        levels = held.categories
        if len(levels) < 2:
            raise ValueError(f"factor {factor!r} has the one level {levels[0]!r}, so no effect")
        centred = {k: (held.codes == k) - 1 / len(levels) for k in range(1, len(levels))}
        single.append({f"{factor}={levels[k]}": column for k, column in centred.items()})
    columns = {term: column for terms in single for term, column in terms.items()}
    for a, b in combinations(single, 2):
        columns |= {f"{x} : {y}": a[x] * b[y] for x in a for y in b}
    return columns


class _Firth:
    """Penalised likelihood of a logistic model: log likelihood + log det(information) / 2."""

    def __init__(self, design: np.ndarray, outcome: np.ndarray):
        self.design, index = np.unique(design, axis=0, return_inverse=True)
        self.runs = np.bincount(index.ravel()).astype(float)
        self.solved = np.bincount(index.ravel(), weights=outcome)
        terms = design.shape[1]
        if np.linalg.matrix_rank(self.design) < terms:
            cells = f"{len(self.design)} combinations of levels cannot tell apart"
            raise ValueError(f"{cells} {terms - 1} terms and a constant: leave out a factor")
        self.coefficients, self.top = self._fit(np.zeros(terms), np.arange(terms))

    def _fit(self, start: np.ndarray, free: np.ndarray) -> tuple[np.ndarray, float]:
        """Maximise over the coefficients `free`, the others held at `start`; also the maximum."""
        beta, value = start, self._value(start)
        for _ in range(200):
            before, step = value, self._step(beta, free)
            for _ in range(30):  # halve the step until it does not lose
                value = self._value(beta + step)
                if value >= before - 1e-12:
                    break
                step = step / 2
            beta = beta + step
            if np.abs(step).max() < 1e-8 or abs(value - before) < 1e-12:
                break
        return beta, value

    def _step(self, beta: np.ndarray, free: np.ndarray) -> np.ndarray:
        """Newton's step on the modified score, at most 5 in any coefficient, 0 in those held."""
        share = expit(self.design @ beta)
        weight = self.runs * share * (1 - share)
        information = self._information(weight)
        spread = np.einsum("ij,jk->ik", self.design, np.linalg.inv(information))
        leverage = weight * (spread * self.design).sum(axis=1)
        score = self.design.T @ (self.solved - self.runs * share + leverage * (0.5 - share))
        step = np.zeros_like(beta)
        step[free] = np.linalg.lstsq(information[np.ix_(free, free)], score[free], rcond=None)[0]
        return step * min(1.0, 5.0 / max(np.abs(step).max(), 1e-300))

    def _information(self, weight: np.ndarray) -> np.ndarray:
        """Fisher's information, (terms, terms); einsum, since BLAS's threads cost more here."""
        return np.einsum("ij,ik->jk", weight[:, None] * self.design, self.design)

    def _value(self, beta: np.ndarray) -> float:
        odds = self.design @ beta
        sign, logarithm = np.linalg.slogdet(
            self._information(self.runs * expit(odds) * expit(-odds))
        )
        likelihood = _log_likelihood(odds, self.runs, self.solved)
        return float(likelihood + logarithm / 2) if sign > 0 else -np.inf

    def effect(self, j: int) -> tuple[float, float, float, float]:
        """One coefficient, the ends of its profile interval, and the p-value of its being 0."""
        free = np.delete(np.arange(len(self.coefficients)), j)
        value, nearest, drop = float(self.coefficients[j]), self.coefficients.copy(), _drop()

        def lost(at: float) -> float:
            nonlocal nearest  # the fit before is a good start
            nearest[j] = at
            nearest, top = self._fit(nearest, free)
            return self.top - top

        def end(side: int) -> float:
            inner, width = value, 0.5
            while width <= LIMIT:
                outer = value + side * width
                if lost(outer) > drop:
                    return _root(lambda at: lost(at) - drop, inner, outer, 1e-6)
                inner, width = outer, width * 2
            return side * np.inf

        p = float(scipy.stats.chi2.sf(2 * max(lost(0.0), 0.0), 1))
        return value, end(-1), end(+1), p
