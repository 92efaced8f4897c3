"""What a claim gives: whether it holds, and the values it was judged by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from study.paper.values import Value

MAIN_CELLS = ("lstm", "gru", "rnn_tanh", "rnn_relu")
GATED_OR_TANH = ("lstm", "gru", "rnn_tanh")
OPTIMIZERS = ("adam", "rmsprop", "momentum", "sgd")
LEVEL = 0.05  # of corrected p-values


@dataclass(frozen=True)
class Verdict:
    """Whether a claim holds, and the values it was judged by."""

    holds: bool
    evidence: dict[str, Value]


def bound(value: float | None) -> float:
    """An interval's bound; NaN, which no comparison passes, where there is none."""
    return float("nan") if value is None else value


def each_of(share: Value) -> np.ndarray:
    """A share as one truth value for each of its n."""
    return np.arange(share.n) < round(share.estimate * share.n)
