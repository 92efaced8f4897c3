"""How the state carries the pattern: `study dynamics RESULTS`."""

from study.dynamics.hypotheses import HYPOTHESES, VerdictRow, group_names, verdict_table

__all__ = ["HYPOTHESES", "VerdictRow", "group_names", "verdict_table"]
