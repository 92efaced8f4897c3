"""Compute estimates, their intervals and statistical tests from arrays with one entry per run.

All intervals are 95 % intervals. A function that draws random numbers takes the generator as an
argument. The bootstrap resamples runs, or pairs of runs, and never time steps.
"""

from study.stats.intervals import (
    Contrast,
    Estimate,
    bootstrap,
    median,
    poisson_rate,
    rank_association,
    rate_over_runs,
    share,
    share_difference,
    share_over_runs,
    wilson,
)
from study.stats.logistic import boundary, logistic_effects
from study.stats.multiple import benjamini_hochberg, holm
from study.stats.paired import paired_order, paired_prentice_wilcoxon, paired_share_difference
from study.stats.survival import (
    SolvedCurve,
    logrank,
    restricted_means,
    rmst,
    rmst_difference,
    solved_curve,
    time_to_share,
)

__all__ = [
    "Contrast", "Estimate", "SolvedCurve", "benjamini_hochberg", "bootstrap", "boundary",
    "holm", "logistic_effects", "logrank", "median", "paired_order", "paired_prentice_wilcoxon",
    "paired_share_difference", "poisson_rate", "rank_association", "rate_over_runs",
    "restricted_means", "rmst", "rmst_difference", "share", "share_difference", "share_over_runs",
    "solved_curve", "time_to_share", "wilson",
]  # fmt: skip
