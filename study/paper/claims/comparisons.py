"""Every comparison of two groups of runs that the paper makes: one family, Holm's correction over all of it.

Runs are paired by seed. Shares solved are compared by McNemar's exact test, times by the paired Prentice-Wilcoxon
test, which takes censored runs in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from study.errors import BadInput, Problem
from study.grid import censored_times
from study.paper.claims.verdict import GATED_OR_TANH, LEVEL, MAIN_CELLS, OPTIMIZERS, Verdict
from study.paper.values import Runs, Value
from study.stats import holm, paired_order, paired_prentice_wilcoxon, paired_share_difference


@dataclass(frozen=True)
class Comparison:
    """Two groups of one block, each by the words that pick it, and what is compared: `sooner` or `solved`.

    `sooner`: the share of pairs in which `a` is solved sooner than `b`, less the share in which it is later.
    `solved`: the share solved in `a` less that in `b`.
    """

    block: str
    a: tuple[str, ...]
    b: tuple[str, ...]
    outcome: str

    def __str__(self) -> str:
        return f"{self.block}: {' '.join(self.a)} against {' '.join(self.b)}"


def _start(cell: str, cue: str) -> tuple[str, ...]:
    return (cell, "noise=0", "start=normal", f"cue={cue}")


def _one_unit(cell: str, noise: int) -> tuple[str, ...]:
    return (cell, "hidden_size=1", "length=20", f"noise={noise}")


TANH_BEFORE_GATES = tuple(
    Comparison("headline", ("rnn_tanh", o), (c, o), "sooner")
    for c in ("lstm", "gru")
    for o in OPTIMIZERS
)
LSTM_SGD_LAST = tuple(
    Comparison("headline", (c, o), ("lstm", "sgd"), "sooner")
    for c in MAIN_CELLS
    for o in OPTIMIZERS
    if (c, o) != ("lstm", "sgd")
)
GRU_SGD_LAST = tuple(
    Comparison("headline", ("gru", o), ("gru", "sgd"), "sooner") for o in OPTIMIZERS[:3]
)
RELU_SELDOMER = tuple(
    Comparison("headline", ("rnn_tanh", o), ("rnn_relu", o), "solved") for o in OPTIMIZERS
)
CUT_TWO_LATER = tuple(
    Comparison("states", (c, "cut_every=1"), (c, "cut_every=2"), "sooner") for c in GATED_OR_TANH
)
CUE_HELPS = tuple(
    Comparison("starts", _start(c, "true"), _start(c, "false"), "solved") for c in GATED_OR_TANH
)
IDENTITY_WORSE = (
    Comparison(
        "initialisations", ("rnn_relu", "init=default"), ("rnn_relu", "init=identity"), "solved"
    ),
)
NOISE_HINDERS = tuple(
    Comparison("factorial", _one_unit(c, 0), _one_unit(c, 1), "solved") for c in GATED_OR_TANH
)
BIAS_LATER = (
    Comparison("forget_bias", ("lstm", "init_value=-1"), ("lstm", "init_value=3"), "sooner"),
)
FAMILY = (
    *TANH_BEFORE_GATES,
    *LSTM_SGD_LAST,
    *GRU_SGD_LAST,
    *RELU_SELDOMER,
    *CUT_TWO_LATER,
    *CUE_HELPS,
    *NOISE_HINDERS,
    *IDENTITY_WORSE,
    *BIAS_LATER,
)


def compared(results: Runs) -> dict[Comparison, tuple[Value, float]]:
    """The difference of each comparison with its interval, and its p-value after Holm's correction."""
    if "compared" not in results.kept:
        found = {comparison: _difference(results, comparison) for comparison in FAMILY}
        adjusted = holm(np.array([p for _, p in found.values()]))
        results.kept["compared"] = {
            c: (v, float(p)) for (c, (v, _)), p in zip(found.items(), adjusted, strict=True)
        }
    return results.kept["compared"]


def ahead(results: Runs, comparisons: tuple[Comparison, ...]) -> Verdict:
    """Whether `a` is ahead of `b` in every one of them, Holm's p below the level."""
    found = {comparison: compared(results)[comparison] for comparison in comparisons}
    holds = all(value.estimate > 0 and p < LEVEL for value, p in found.values())
    return Verdict(holds, {str(comparison): value for comparison, (value, _) in found.items()})


def _difference(results: Runs, comparison: Comparison) -> tuple[Value, float]:
    a, b = (
        results.rows(comparison.block, *words).sort_values("seed")
        for words in (comparison.a, comparison.b)
    )
    if list(a["seed"]) != list(b["seed"]):
        raise BadInput([Problem(str(comparison), "its runs are no pairs of one seed each")])
    (times_a, solved_a), (times_b, solved_b) = _followed_alike(a, b)
    if comparison.outcome == "solved":
        found = paired_share_difference(solved_a, solved_b)
        p = found.p
    else:
        found = paired_order(times_a, solved_a, times_b, solved_b)
        p = paired_prentice_wilcoxon(times_a, solved_a, times_b, solved_b)[1]
    text = f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
    return Value(
        text, found.value, found.low, found.high, len(a), f"{comparison}: {len(a)} pairs"
    ), p


def _followed_alike(a: pd.DataFrame, b: pd.DataFrame) -> list[tuple[np.ndarray, np.ndarray]]:
    """Censored times of both groups, followed no longer than the shorter budget."""
    horizon = min(a["max_updates"].min(), b["max_updates"].min())
    samples = (censored_times(rows) for rows in (a, b))
    return [(np.minimum(times, horizon), solved & (times <= horizon)) for times, solved in samples]
