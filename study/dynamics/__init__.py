"""Analyse trained networks as maps of their state, and how that state carries the pattern.

`study dynamics RESULTS` analyses every network whose weights are kept, and stores one table per
entry of `ANALYSES` and of `SURVEYS`.
"""

from study.dynamics import cycles, tables
from study.dynamics.analyses import ANALYSES, SURVEYS
from study.dynamics.hypotheses import HYPOTHESES, group_names, verdict_table
from study.dynamics.network import Network, is_suitable

__all__ = ["ANALYSES", "HYPOTHESES", "SURVEYS", "Network", "cycles", "group_names"]
__all__ += ["is_suitable", "tables", "verdict_table"]
