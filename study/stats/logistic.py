"""Fit logistic models of the odds that a run solves the task.

`boundary` finds the level of a setting at which half of the runs solve the task.
`logistic_effects` finds how much each of several factors changes the odds.
"""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd
import scipy
from threadpoolctl import threadpool_limits

from study.stats.intervals import LEVEL, Estimate

# --- boundaries ---------------------------------------------------------------------------------


def boundary(level: np.ndarray, is_solved: np.ndarray, *, falling: bool = True) -> Estimate:
    """Return x50, the level of a setting at which half of the runs solve the task.

    `level` (n,) holds the setting's value in each run, such as its hidden size. `is_solved` (n,)
    tells whether the run solved the task. In the model, the log odds at level x are
    slope (log x - log x50). If `falling` is true, the share solved falls as the level rises, as it
    does with length. Otherwise the share rises, as with hidden size.

    The interval comes from the profile likelihood, which gives each x50 the slope of the right sign
    that fits best. The interval holds every x50 with a log likelihood close enough to the maximum.
    The largest allowed distance is half the 95 % quantile of the chi-square distribution with one
    degree of freedom. Three cases are special:

    - The likelihood does not rule out an x50 beyond all levels. The interval is then open on that
      side: its low end is 0, or its high end is infinite.
    - All solved runs lie on the expected side of all unsolved runs. Any x50 in the gap between them
      then fits equally well. The estimate is the middle of the gap (on a log scale), and the
      interval holds at least the gap.
    - No slope of the right sign fits better than the same share at all levels. The estimate itself
      is then 0 or infinite.

    Without runs, the estimate is NaN and the interval is 0 to infinity.
    """
    if not len(level):
        return Estimate(np.nan, 0.0, np.inf, 0)
    sign = 1.0 if falling else -1.0
    profile = _Profile(sign * np.log(level), np.asarray(is_solved, float))
    drop = float(scipy.stats.chi2.ppf(LEVEL, 1)) / 2
    value, *ends = np.exp(sign * np.array(profile.interval(drop)))
    return Estimate(float(value), float(min(ends)), float(max(ends)), len(level))


class _Profile:
    """The profile likelihood of a boundary, the level at which half of the runs solve the task.

    In the model, the log odds of solving the task at level x are -b (x - m), where m is the
    boundary and b is a slope of at least 0. The profile likelihood of m is the log likelihood with
    the slope that fits best. `x` (n,) holds the level of each run, and `solved` (n,) tells whether
    the run solved the task.
    """

    def __init__(self, x: np.ndarray, solved: np.ndarray):
        self.x, index = np.unique(x, return_inverse=True)
        self.runs = np.bincount(index).astype(float)
        self.solved = np.bincount(index, weights=solved)
        self.span = np.ptp(self.x) or 1.0
        self.steepest = 50.0 / np.diff(self.x).min(initial=50.0)
        share = solved.mean()
        self.flat = -float(len(x) * scipy.special.entr([share, 1 - share]).sum())  # at slope b = 0
        self.flat_side = np.sign(share - 0.5)  # the end beyond which the boundary then lies

    def likelihood(self, m: float) -> float:
        """Return the log likelihood of a boundary at `m`, with the slope that fits best.

        The log likelihood is concave in the slope. So it is largest at the slope where its
        derivative, called the score, is zero.
        """

        def score(b: float) -> float:
            expected = self.runs * scipy.special.expit(-b * (self.x - m))
            return float(((expected - self.solved) * (self.x - m)).sum())

        if score(0.0) <= 0:
            b = 0.0
        elif score(self.steepest) >= 0:
            b = self.steepest
        else:
            b = scipy.optimize.root_scalar(score, bracket=(0.0, self.steepest), xtol=1e-12).root
        odds = -b * (self.x - m)
        solved, unsolved = scipy.special.log_expit([odds, -odds])
        return float((self.solved * solved + (self.runs - self.solved) * unsolved).sum())

    def interval(self, drop: float) -> tuple[float, float, float]:
        """Return the best boundary, and the low end and the high end of its interval.

        The interval holds every boundary whose log likelihood is at most `drop` below the maximum.
        """
        low = float(self.x[self.solved > 0].max(initial=-np.inf))
        high = float(self.x[self.solved < self.runs].min(initial=np.inf))
        middle, best = (low + high) / 2, 0.0
        if low >= high:  # the levels do not separate solved from unsolved runs
            middle, best = self._maximum()
            low = high = middle
        return middle, self._end(low, best - drop, -1), self._end(high, best - drop, +1)

    def _maximum(self) -> tuple[float, float]:
        """Return the best boundary and its log likelihood.

        The boundary is searched first on a grid, then between the two neighbours of the best grid
        point.
        """
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
        # The best slope is 0, so the boundary lies beyond all levels.
        return float(self.flat_side * np.inf if self.flat_side else self.x.mean()), self.flat

    def _end(self, start: float, level: float, side: int) -> float:
        """Return the boundary at which the log likelihood falls to `level` on one side of `start`.

        `side` is -1 for the side below `start` and 1 for the side above. The result is infinite if
        the log likelihood never falls so far.
        """
        if start == side * np.inf:
            return start
        middle, reach = self.x.mean(), 21 * self.span
        start = float(np.clip(start, middle - reach, middle + reach))
        if self.likelihood(start) <= level:  # the edge of a gap is already below the level
            return start
        far = middle + side * reach
        if self.likelihood(far) > level or (self.flat_side == side and self.flat > level):
            return side * np.inf
        end = scipy.optimize.root_scalar(
            lambda m: self.likelihood(m) - level, bracket=(start, far), xtol=1e-10
        )
        return end.root


# --- effects ------------------------------------------------------------------------------------


def logistic_effects(
    factors: Mapping[str, np.ndarray | pd.Categorical], is_solved: np.ndarray
) -> pd.DataFrame:
    """Estimate how factors, alone and in pairs, change the log odds of solving the task.

    `factors` maps the name of each factor to its levels (n,), one per run. `is_solved` (n,) tells
    whether each run solved the task. Firth's (1993) penalised likelihood gives finite estimates
    even if a combination of levels always or never solves the task (Heinze & Schemper 2002).
    Intervals and p-values come from the profile likelihood.

    The reference of a factor is its first level, in sorted order or in the order of a pandas
    Categorical. The main effect `a=1` is the change of the log odds if factor a goes from its
    reference to level 1. It is averaged over the levels of the other factors with equal weights,
    because the columns of the design matrix are centred over levels. The interaction `a=1 : b=1`
    says how much the effect of a=1 changes if factor b goes from its reference to level 1.

    Returns one row per term, with the columns term, log_odds_ratio, low, high, p and n. Raises
    `ValueError` if a factor has only one level, if the design matrix lacks full rank, or if all
    runs have the same outcome.
    """
    from firthmodels import FirthLogisticRegression  # slow to import, and seldom needed

    columns = _design(factors)
    rows = np.column_stack([*columns.values(), is_solved])
    rows, counts = np.unique(rows, axis=0, return_counts=True)
    design, outcome = rows[:, :-1], rows[:, -1]
    model = FirthLogisticRegression(backend="numpy", max_iter=200, gtol=1e-6, xtol=1e-6)
    terms = list(range(len(columns)))
    with threadpool_limits(1, user_api="blas"):  # threads cost more than such small matrices do
        if np.linalg.matrix_rank(design - design.mean(axis=0)) < len(columns):
            message = f"these runs cannot tell apart the effects of {len(columns)} terms"
            raise ValueError(f"{message}: leave out a factor")
        model.fit(design, outcome, sample_weight=counts).lrt(terms)
        low, high = model.conf_int(method="pl", features=terms, max_iter=200, tol=1e-6)[terms].T
    found = {"term": list(columns), "log_odds_ratio": model.coef_, "low": low, "high": high}
    return pd.DataFrame(found | {"p": model.lrt_pvalues_[terms], "n": len(is_solved)})


def _design(factors: Mapping[str, np.ndarray | pd.Categorical]) -> dict[str, np.ndarray]:
    """Return the columns of the design matrix by term, each with one number per run (n,).

    A factor has one column for each level but the first. The column is 1 in runs with this level
    and 0 in others. From each number, 1 / (number of levels) is subtracted. This is the mean of the
    column if all levels are equally frequent. For each pair of columns of different factors, there
    is also a column with their product. The terms are named as in the table of `logistic_effects`,
    such as `a=1` and `a=1 : b=1`. Raises `ValueError` if a factor has only one level.
    """
    single = []
    for factor, values in factors.items():
        level = pd.Categorical(values).remove_unused_categories()
        names, codes = level.categories, level.codes
        if len(names) < 2:
            raise ValueError(f"factor {factor!r} has only the level {names[0]!r}: leave it out")
        single.append(
            {f"{factor}={names[k]}": (codes == k) - 1 / len(names) for k in range(1, len(names))}
        )
    columns = {term: column for terms in single for term, column in terms.items()}
    for a, b in combinations(single, 2):
        columns |= {f"{x} : {y}": a[x] * b[y] for x in a for y in b}
    return columns
