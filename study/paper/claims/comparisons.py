"""Test every comparison of two groups of runs that the paper makes.

Runs are paired by seed. The shares of runs that solved the task are compared by McNemar's exact
test, and convergence times by the paired Prentice-Wilcoxon test, which includes censored runs.
Holm's method corrects all p-values as one family.
"""

from __future__ import annotations

from functools import lru_cache, partial
from itertools import chain
from typing import NamedTuple

import numpy as np

from study.analysis import effect
from study.errors import BadInput
from study.grid import Results
from study.paper.claims.predicates import LEVEL, Claim, Verdict, filled
from study.paper.values import Value, rows_of
from study.stats import holm


class Comparison(NamedTuple):
    """Two groups of runs in a block, and the outcome by which they are compared.

    `a` and `b` are the words that pick the groups, such as `lstm sgd`. For the outcome `sooner`,
    the difference is the share of pairs in which `a` solves the task sooner than `b`, minus the
    share of pairs in which `a` solves it later. For `solved`, the difference is the share of runs
    in `a` that solve the task, minus the share of runs in `b` that solve it.
    """

    block: str
    a: str
    b: str
    outcome: str

    def __str__(self) -> str:
        return f"{self.block}: {self.a} against {self.b}"


def _compare(outcome: str, block: str, a: str, b: str) -> list[Comparison]:
    """Return a comparison of `a` and `b` for each way to fill the gaps in these words.

    `filled` explains gaps such as `{cell}`. Comparisons of a group with itself are left out.
    """
    return [Comparison(block, a, b, outcome) for b, a in filled(b, a) if a != b]


_sooner, _solved = partial(_compare, "sooner"), partial(_compare, "solved")
RANDOM, ONE_UNIT = "{cell} noise=0 start=normal cue=", "{cell} hidden_size=1 length=20 noise="

# For each claim, the comparisons in which it says that group `a` is ahead of group `b`.
COMPARED: dict[str, list[Comparison]] = {
    "tanh_beats_gates": _sooner("headline", "rnn_tanh {optimizer}", "{gated} {optimizer}"),
    "sgd_with_lstm_is_slowest": _sooner("headline", "{main_cell} {optimizer}", "lstm sgd"),
    "sgd_is_slowest_for_gates": _sooner("headline", "{gated} {optimizer}", "{gated} sgd"),
    "relu_is_solved_less_often": _solved(
        "headline", "rnn_tanh {optimizer}", "rnn_relu {optimizer}"
    ),
    "two_step_gradient_is_slower": _sooner("states", "{cell} cut_every=1", "{cell} cut_every=2"),
    "random_start_needs_a_cue": _solved("starts", RANDOM + "true", RANDOM + "false"),
    "noise_hinders_one_unit": _solved("factorial", ONE_UNIT + "0", ONE_UNIT + "1"),
    "identity_stops_relu": _solved(
        "initialisations", "rnn_relu init=default", "rnn_relu init=identity"
    ),
    "forget_bias_slows": _sooner("forget_bias", "lstm init_value=-1", "lstm init_value=3"),
}
FAMILY = tuple(dict.fromkeys(chain(*COMPARED.values())))  # every comparison, without repeats


@lru_cache(maxsize=1)
def compared(results: Results) -> dict[Comparison, tuple[Value, float]]:
    """Return the difference and the corrected p-value of every comparison.

    Holm's method corrects the p-values over all comparisons in `FAMILY`.
    """
    values, ps = zip(*(difference(results, comparison) for comparison in FAMILY), strict=True)
    adjusted = map(float, holm(np.array(ps)))
    return dict(zip(FAMILY, zip(values, adjusted, strict=True), strict=True))


def ahead(name: str) -> Claim:
    """Return the claim that `a` is ahead of `b` in every comparison in `COMPARED[name]`.

    Group `a` is ahead if the difference is positive and the corrected p-value is below LEVEL.
    """

    def claim(results: Results) -> Verdict:
        found = {comparison: compared(results)[comparison] for comparison in COMPARED[name]}
        holds = all(value.estimate > 0 and p < LEVEL for value, p in found.values())
        return Verdict(holds, {str(comparison): value for comparison, (value, _) in found.items()})

    return claim


def difference(results: Results, comparison: Comparison) -> tuple[Value, float]:
    """Return the difference between the two groups of a comparison, and the uncorrected p-value.

    `Comparison` explains the difference. It is returned as a `Value` with its interval. Raises
    `BadInput` if the two groups do not have the same seeds.
    """
    a, b = (
        rows_of(results, comparison.block, *words.split()).sort_values("seed")
        for words in (comparison.a, comparison.b)
    )
    if list(a["seed"]) != list(b["seed"]):
        raise BadInput.at(str(comparison), "cannot be paired, since the two groups differ in seeds")
    found = effect(a, b, comparison.outcome)
    text = f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
    n = len(a)
    return Value(text, found.value, found.low, found.high, n, f"{comparison}: {n} pairs"), found.p
