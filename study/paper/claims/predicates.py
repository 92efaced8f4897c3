"""Build claims from predicates on values, which become the evidence for the verdict.

A call is written as a placeholder of the text, and may have gaps: `solved starts {cell}
cue={true|false}` stands for one call per cell of `CASES["cell"]` and per alternative.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import numpy as np

from study.grid import Results
from study.paper.values import Value, value_of
from study.stats import holm, share_difference

CASES = {
    "cell": ("lstm", "gru", "rnn_tanh"),
    "main_cell": ("lstm", "gru", "rnn_tanh", "rnn_relu"),
    "gated": ("lstm", "gru"),
    "positive": ("diagonal_positive", "mingru", "minlstm"),  # recurrences with positive decays
    "optimizer": ("adam", "rmsprop", "momentum", "sgd"),
    "adaptive": ("adam", "rmsprop"),
    "reading": ("step_after=epoch", "step_after=sequence"),  # of the post's loop
}
LEVEL = 0.05  # of corrected p-values


class Verdict(NamedTuple):
    """Whether a claim holds, and the values that decided it."""

    holds: bool
    evidence: dict[str, Value]


Claim = Callable[[Results], Verdict]
Test = Callable[[Value], bool]


def filled(*texts: str) -> list[tuple[str, ...]]:
    """The texts with gaps filled in every combination; equal gaps are filled alike."""
    gap = re.compile(r"\{(.+?)\}")
    names = list(dict.fromkeys(gap.findall(" ".join(texts))))
    cases = product(*(CASES.get(name) or name.split("|") for name in names))
    values = [dict(zip(names, case, strict=True)) for case in cases]
    return [tuple(gap.sub(lambda m, v=v: v[m[1]], text) for text in texts) for v in values]


def each(call: str, holds: Test) -> Claim:
    """The claim that a test holds for the value of every call."""

    def claim(results: Results) -> Verdict:
        found = {case: value_of(results, case) for (case,) in filled(call)}
        return Verdict(all(map(holds, found.values())), found)

    return claim


def measured(words: str, holds: Test) -> Claim:
    """The claim that a test holds for the measure of a hypothesis with this key and group."""
    return each(f"entry main/dynamics/verdicts estimate {words}", holds)


def significant(call: str, holds: Test) -> Claim:
    """The claim that a test holds for every gain, whose p-values are all below LEVEL."""
    p_is_low = each(call.replace("gain", "p"), lambda p: p.estimate < LEVEL)
    return both(each(call, holds), p_is_low)


def pairs(first: str, second: str, hold: Callable[[list[tuple[Value, Value]]], bool]) -> Claim:
    """The claim that a test holds for the list of pairs of values of the two calls."""

    def claim(results: Results) -> Verdict:
        cases = filled(first, second)
        found = {call: value_of(results, call) for pair in cases for call in pair}
        return Verdict(hold([(found[a], found[b]) for a, b in cases]), found)

    return claim


def both(*claims: Claim) -> Claim:
    """The claim that all these claims hold."""

    def claim(results: Results) -> Verdict:
        verdicts = [claim(results) for claim in claims]
        evidence = {call: value for verdict in verdicts for call, value in verdict.evidence.items()}
        return Verdict(all(verdict.holds for verdict in verdicts), evidence)

    return claim


# --- tests of a value ---------------------------------------------------------------------------


def equals(number: float) -> Test:
    """The estimate equals a number; for a share, 1 means all and 0 none."""
    return lambda value: value.estimate == number


def within(low: float, high: float) -> Test:
    """The whole interval lies between two numbers; without an interval the test fails."""
    return lambda value: low < value.bounds[0] <= value.bounds[1] < high


def above(limit: float) -> Test:
    """The whole interval lies above a limit."""
    return within(limit, math.inf)


def below(limit: float) -> Test:
    """The whole interval lies below a limit."""
    return within(-math.inf, limit)


def around(number: float) -> Test:
    """The interval contains a number."""
    return lambda value: value.bounds[0] < number < value.bounds[1]


# --- tests of pairs -----------------------------------------------------------------------------


def larger(found: list[tuple[Value, Value]]) -> bool:
    """Each first share is larger by Fisher's exact test, with Holm's correction over the pairs."""
    contrasts = [share_difference(_flags(first), _flags(second)) for first, second in found]
    adjusted = holm(np.array([contrast.p for contrast in contrasts]))
    return bool((adjusted < LEVEL).all()) and all(contrast.value > 0 for contrast in contrasts)


def _flags(share: Value) -> np.ndarray:
    """The share as n truth values."""
    return np.arange(share.n) < round(share.estimate * share.n)


def close_to(found: list[tuple[Value, Value]]) -> bool:
    """Each first estimate is within 0.02 of the second."""
    return all(abs(first.estimate - second.estimate) < 0.02 for first, second in found)


def no_smaller(found: list[tuple[Value, Value]]) -> bool:
    """Each first estimate is at least as large as the second."""
    return all(first.estimate >= second.estimate for first, second in found)
