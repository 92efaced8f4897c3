"""Answer the study's questions with tables that are made from stored results.

The tables show which learning rates are best, how optimizers or two sets of results compare, how
much depends on the definition of *solved*, and why the network of the forum post did not learn.
"""

from study.analysis import post
from study.analysis.answers import states
from study.analysis.sensitivity import sensitivity
from study.analysis.tune import choose

__all__ = ["choose", "post", "sensitivity", "states"]
