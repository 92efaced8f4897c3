"""Trained networks as maps of their state, and how that state carries the pattern.

`study dynamics RESULTS` analyses every network whose weights are kept and stores a table for each
entry of `ANALYSES`.
"""

from study.dynamics import cycles, tables
from study.dynamics.analyses import ANALYSES, SURVEYS
from study.dynamics.hypotheses import HYPOTHESES, VerdictRow, group_names, verdict_table
from study.dynamics.network import Network, is_suitable

__all__ = [
    "ANALYSES", "HYPOTHESES", "SURVEYS", "Network", "VerdictRow", "cycles", "group_names",
    "is_suitable", "tables", "verdict_table",
]  # fmt: skip
