"""The paper: its numbers, claims, tables and figures, each computed from stored results."""

from study.paper.claims import CLAIMS, Verdict
from study.paper.values import VALUES, Runs, Value, value_of

__all__ = ["CLAIMS", "VALUES", "Runs", "Value", "Verdict", "value_of"]
