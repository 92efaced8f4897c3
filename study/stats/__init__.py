"""Statistics as functions from arrays to an estimate and its interval.

Intervals are 95 % unless `confidence` says otherwise; what draws takes its generator. Runs, or pairs of runs,
are what is resampled, never time steps.

Parts of SciPy take up to half a second to import, and most commands do without them: modules name them in full, and
SciPy imports them when they are first used.
"""

from study.stats.intervals import (
    Contrast,
    Estimate,
    bootstrap,
    interquartile_mean,
    median,
    poisson_rate,
    rank_association,
    rate_over_runs,
    rule_of_three,
    share,
    share_difference,
    share_over_runs,
    wilson,
)
from study.stats.logistic import Boundary, boundary, logistic_effects
from study.stats.multiple import benjamini_hochberg, holm
from study.stats.paired import paired_order, paired_prentice_wilcoxon, paired_share_difference
from study.stats.survival import (
    Sample,
    SolvedCurve,
    logrank,
    restricted_mean,
    restricted_means,
    rmst,
    rmst_difference,
    solved_curve,
    time_to_share,
)

__all__ = [
    "Boundary",
    "Contrast",
    "Estimate",
    "Sample",
    "SolvedCurve",
    "benjamini_hochberg",
    "bootstrap",
    "boundary",
    "holm",
    "interquartile_mean",
    "logistic_effects",
    "logrank",
    "median",
    "paired_order",
    "paired_prentice_wilcoxon",
    "paired_share_difference",
    "poisson_rate",
    "rank_association",
    "rate_over_runs",
    "restricted_mean",
    "restricted_means",
    "rmst",
    "rmst_difference",
    "rule_of_three",
    "share",
    "share_difference",
    "share_over_runs",
    "solved_curve",
    "time_to_share",
    "wilson",
]
