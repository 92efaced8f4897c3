"""Define a finding: the estimate of one measure of a hypothesis in one group of networks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from study import stats
from study.runs import stream

HEADLINE = ("lstm", "gru", "rnn_tanh", "rnn_relu")


class Finding(NamedTuple):
    """The estimate of one measure in one group of networks, and whether the hypothesis held."""

    key: str
    group: str
    estimate: stats.Estimate
    held: bool | None = None  # None if the measure has no criterion
    agreeing: int | None = None  # how many of the n networks agree; None if not counted


Findings = Iterator[Finding]


def rng(*key: object) -> np.random.Generator:
    """Return the stream of random numbers for a bootstrap; the same key gives the same interval."""
    return stream("dynamics: verdicts", *key)


def beside(key: str, group: str, flags: pd.Series, held: bool | None = None) -> Finding:
    """Return a finding on the share of networks with a property, by default without a verdict.

    `flags` says for each network whether it has the property.
    """
    agreeing = int(flags.sum())
    return Finding(key, group, stats.share(agreeing, len(flags)), held, agreeing)


def every(key: str, group: str, flags: pd.Series) -> Finding:
    """Return a finding for a hypothesis that holds if all networks have a certain property.

    `flags` says for each network whether it has the property. The estimate of the finding is the
    share of networks that have it.
    """
    return beside(key, group, flags, bool(flags.all()))


def by_cell(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the name of each cell and its rows of a table, those of the headline first."""
    for cell in [*HEADLINE, *sorted(set(table["cell"]) - set(HEADLINE))]:
        rows = table[table["cell"] == cell]
        if len(rows):
            yield cell, rows
