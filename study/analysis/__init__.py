"""Answer the study's questions with tables that are made from stored results.

The tables show which learning rates are best, how often networks solve the task when their state is
carried, reset or cut, how much depends on the definition of *solved*, and why the network of the
forum post did not learn. Modules of this package also compare optimizers and two sets of results,
and check stored runs.
"""

from study.analysis import post
from study.analysis.answers import states
from study.analysis.sensitivity import sensitivity
from study.analysis.tune import choose

__all__ = ["choose", "post", "sensitivity", "states"]
