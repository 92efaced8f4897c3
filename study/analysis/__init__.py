"""Make tables from stored results that answer the study's questions.

The tables cover learning rates, comparisons, the definition of *solved*, the forum post and the
notebook.
"""

from study.analysis import post
from study.analysis.answers import states
from study.analysis.sensitivity import sensitivity
from study.analysis.tune import choose

__all__ = ["choose", "post", "sensitivity", "states"]
