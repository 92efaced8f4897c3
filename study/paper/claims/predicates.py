"""Build claims from calls and tests.

A call, such as `solved headline lstm sgd`, is written like a placeholder in the text and stands for
a `Value`. A test is a condition on a `Value`. A call may have gaps, as in
`solved starts {cell} cue={true|false}`. It then stands for several calls, two for each cell in
`CASES["cell"]`, one with `true` and one with `false`. The values that a claim computes become the
evidence for its verdict.
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

ANALYSED = ("main", "dynamics")  # folders whose networks `study dynamics` analysed
CASES = {
    "cell": ("lstm", "gru", "rnn_tanh"),
    "main_cell": ("lstm", "gru", "rnn_tanh", "rnn_relu"),
    "gated": ("lstm", "gru"),
    "positive": ("diagonal_positive", "mingru", "minlstm"),  # recurrences with positive decays
    "analysed": ANALYSED,
    "optimizer": ("adam", "rmsprop", "momentum", "sgd"),
    "adaptive": ("adam", "rmsprop"),
    "pattern": ("10", "110", "1100", "1000", "11010", "111000", "1110100", "11110000"),
    "reading": ("step_after=epoch", "step_after=sequence"),  # of the post's code
}
LEVEL = 0.05  # corrected p-values below it count as significant


class Verdict(NamedTuple):
    """Whether a claim holds, and the values that decided it."""

    holds: bool
    evidence: dict[str, Value]


Claim = Callable[[Results], Verdict]
Test = Callable[[Value], bool]


def filled(*texts: str) -> list[tuple[str, ...]]:
    """Return the texts with their gaps filled, once for every combination of alternatives.

    A gap `{cell}` has the alternatives in `CASES["cell"]`. A gap `{0|1}` has the alternatives `0`
    and `1`. Equal gaps get the same alternative in all texts.
    """
    gap = re.compile(r"\{(.+?)\}")
    names = list(dict.fromkeys(gap.findall(" ".join(texts))))
    cases = product(*(CASES.get(name) or name.split("|") for name in names))
    values = [dict(zip(names, case, strict=True)) for case in cases]
    return [tuple(gap.sub(lambda m, v=v: v[m[1]], text) for text in texts) for v in values]


def each(call: str, holds: Test) -> Claim:
    """Return the claim that each value of `call` passes the test `holds`.

    A call has one value for each way to fill its gaps.
    """

    def claim(results: Results) -> Verdict:
        found = {case: value_of(results, case) for (case,) in filled(call)}
        return Verdict(all(map(holds, found.values())), found)

    return claim


def measured(words: str, holds: Test, folder: str = "{analysed}") -> Claim:
    """Return the claim that a measure of a hypothesis passes the test `holds` in every folder.

    `words` are the key and the group of the measure, such as `H6.no_slip lstm`, and may have gaps.
    `folder` names a single results folder if only that folder has the measure, or if the sentence
    is only about networks of that folder.
    """
    return each(f"entry {folder}/dynamics/verdicts estimate {words}", holds)


def significant(call: str, holds: Test) -> Claim:
    """Return the claim that every gain passes the test `holds` and has a p-value below LEVEL.

    A gain is a difference of two shares. `call` reads it from a table that `study answers` wrote.
    The p-value is read from the same row of the table.
    """
    p_is_low = each(call.replace("gain", "p"), lambda p: p.estimate < LEVEL)
    return both(each(call, holds), p_is_low)


def pairs(first: str, second: str, hold: Callable[[list[tuple[Value, Value]]], bool]) -> Claim:
    """Return the claim that the values of two calls, listed in pairs, pass the test `hold`.

    Equal gaps in the two calls are filled alike, so that the two values of a pair belong, for
    example, to the same cell.
    """

    def claim(results: Results) -> Verdict:
        cases = filled(first, second)
        found = {call: value_of(results, call) for pair in cases for call in pair}
        return Verdict(hold([(found[a], found[b]) for a, b in cases]), found)

    return claim


def both(*claims: Claim) -> Claim:
    """Return the claim that all of the given claims hold."""

    def claim(results: Results) -> Verdict:
        verdicts = [claim(results) for claim in claims]
        evidence = {call: value for verdict in verdicts for call, value in verdict.evidence.items()}
        return Verdict(all(verdict.holds for verdict in verdicts), evidence)

    return claim


# --- tests of a value ---------------------------------------------------------------------------


def equals(number: float) -> Test:
    """Return a test of whether the estimate equals `number`.

    For a share, 1 means all runs or networks, and 0 means none.
    """
    return lambda value: value.estimate == number


def within(low: float, high: float) -> Test:
    """Return a test of whether the whole interval lies between `low` and `high`.

    A value without an interval fails.
    """
    return lambda value: low < value.bounds[0] <= value.bounds[1] < high


def above(limit: float) -> Test:
    """Return a test of whether the whole interval lies above `limit`."""
    return within(limit, math.inf)


def below(limit: float) -> Test:
    """Return a test of whether the whole interval lies below `limit`."""
    return within(-math.inf, limit)


def around(number: float) -> Test:
    """Return a test of whether a value's interval contains `number`."""
    return lambda value: value.bounds[0] < number < value.bounds[1]


# --- tests of pairs -----------------------------------------------------------------------------


def larger(found: list[tuple[Value, Value]]) -> bool:
    """Return whether the first share of each pair is significantly larger than the second.

    Each pair is tested by Fisher's exact test. All p-values must be below LEVEL after Holm's
    correction over the pairs.
    """
    contrasts = [share_difference(_flags(first), _flags(second)) for first, second in found]
    adjusted = holm(np.array([contrast.p for contrast in contrasts]))
    return bool((adjusted < LEVEL).all()) and all(contrast.value > 0 for contrast in contrasts)


def _flags(share: Value) -> np.ndarray:
    """Return an array (n,) of truth values, with the given share of true values among them."""
    return np.arange(share.n) < round(share.estimate * share.n)


def close_to(found: list[tuple[Value, Value]]) -> bool:
    """Return whether the two estimates of each pair differ by less than 0.02."""
    return all(abs(first.estimate - second.estimate) < 0.02 for first, second in found)
