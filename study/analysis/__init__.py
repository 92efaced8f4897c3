"""Tables from stored results: tuning, comparisons, sensitivity, the post, the notebook."""

from study.analysis import post
from study.analysis.answers import states
from study.analysis.sensitivity import sensitivity
from study.analysis.tune import choose

__all__ = ["choose", "post", "sensitivity", "states"]
