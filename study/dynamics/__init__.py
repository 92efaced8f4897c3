"""Find how the state of a trained network carries the pattern of labels.

The analyses treat a network as a map from its state to its next state. The command
`study dynamics RESULTS` analyses every network with weights stored in the folder RESULTS. The
command writes one table per entry of `ANALYSES` and `SURVEYS`. `look` analyses a network that
was built with `torch.nn`, and `predict` says when a run will start to learn its pattern.
"""

from study.dynamics import cycles, patterns, tables
from study.dynamics.analyses import ANALYSES, SURVEYS
from study.dynamics.hypotheses import HYPOTHESES, outcomes, read_verdicts, verdict_table
from study.dynamics.look import Look, look
from study.dynamics.network import Network, is_suitable
from study.dynamics.prediction import Prediction, predict

__all__ = ["ANALYSES", "HYPOTHESES", "SURVEYS", "Look", "Network", "cycles", "outcomes"]
__all__ += ["Prediction", "is_suitable", "look", "patterns", "predict", "read_verdicts", "tables"]
__all__ += ["verdict_table"]
