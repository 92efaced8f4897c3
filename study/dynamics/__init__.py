"""Trained networks as maps of their state, and how that state carries the pattern.

`study dynamics RESULTS` analyses every network whose weights are kept and stores a table for each
entry of `ANALYSES`.
"""

from study.dynamics import cycles, tables
from study.dynamics.analyses import ANALYSES, SURVEYS
from study.dynamics.network import Network, is_suitable

__all__ = ["ANALYSES", "SURVEYS", "Network", "cycles", "is_suitable", "tables"]
