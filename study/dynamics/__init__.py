"""Treat each trained network as a map of its state, and find how the state carries the pattern.

`study dynamics RESULTS` analyses every network whose weights are stored in the folder RESULTS. It
writes one table per entry of `ANALYSES` and `SURVEYS`.
"""

from study.dynamics import cycles, tables
from study.dynamics.analyses import ANALYSES, SURVEYS
from study.dynamics.hypotheses import HYPOTHESES, group_names, verdict_table
from study.dynamics.network import Network, is_suitable

__all__ = ["ANALYSES", "HYPOTHESES", "SURVEYS", "Network", "cycles", "group_names"]
__all__ += ["is_suitable", "tables", "verdict_table"]
