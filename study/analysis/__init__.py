"""Make tables from stored results that answer the study's questions.

The tables show which learning rates are best, and how often networks solve the task if their state
is reset or their gradient is cut. They also show how the conclusions depend on the definition of
*solved*, and why the network in a forum post did not learn. Other modules of this package compare
optimizers, compare two sets of results, and check stored runs.
"""

from study.analysis import post
from study.analysis.answers import states
from study.analysis.contrast import contrasts, effect, tuning_runs
from study.analysis.options import Format, named, pick, stored, values_of, written
from study.analysis.sensitivity import sensitivity
from study.analysis.tune import choose

__all__ = [
    "Format", "choose", "contrasts", "effect", "named", "pick", "post", "sensitivity", "states",
    "stored", "tuning_runs", "values_of", "written",
]  # fmt: skip
