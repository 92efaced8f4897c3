"""Build the paper and check its claims, taking every number from stored results."""

from study.paper.claims import CLAIMS, Verdict
from study.paper.values import VALUES, Value, value_of

__all__ = ["CLAIMS", "VALUES", "Value", "Verdict", "value_of"]
