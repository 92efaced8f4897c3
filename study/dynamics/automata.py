"""Test the hypotheses R6 and R7: what a resonance can carry, and where the account of it ends.

The runs are those of the grid `automata`. R6 is a check of the theory. Runs without noise are
trained on patterns of different periods, with cells whose recurrence is diagonal, dense or gated.
R7 is about word problems, in which the input decides (see `study.dynamics.words`).
`study.dynamics.hypotheses` says what judges and findings are. The constants below are the criteria.
They were fixed before the runs that they judge were trained.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from study import stats
from study.dynamics.finding import Finding, Findings, beside, by_cell, every
from study.dynamics.patterns import folded, right_labels
from study.dynamics.words import MEAN
from study.grid import of_blocks
from study.text import optimizer_name

MOST = 0.5  # R7: largest share of networks that cross at the mean input first, or in time
NEAR = 1.25  # R7a: a crossing comes with the leaving if the updates differ by at most this factor
WIDEST_MISS = 1.0  # R7a: a crossing is on an angle if it misses it by at most this, times π/T
LEAST_ON = 0.9  # R7a: smallest share of crossings on an angle of their input
# Linear recurrences whose decays are real, each with whether a decay may be negative. The decays of
# the last two depend on the input, which is constant here.
REAL = {"diagonal_positive": False, "diagonal_signed": True, "mingru": False, "minlstm": False}

MEASURES = {
    "R6.within_bound": "share that get at most as many labels in a row right as real decays allow",
    "R6.carried": "share that get every label right, in sequences ten times as long",
    "R6.lasts": "median number of labels right in a row, from step 1 on",
    "R7.in_time": "share that cross at the mean input by the time their loss leaves its plateau",
    "R7.first": "share that cross at the mean input no later than under an input that turns",
    "R7.near": f"share that cross at the mean input within a factor {NEAR:g} of the leaving",
    "R7.left": "share of networks whose loss leaves its plateau",
    "R7.solved": "share of networks that solve the task",
    "R7.longer": "share of those that get all labels right in sequences ten times as long",
    "R7a.angle": "share of crossings under an input that turns within π/T of one of its angles",
    "R7a.when": (
        f"share whose first crossing under such an input is within a factor {NEAR:g} of the leaving"
    ),
    "R7a.ratio": "median update of that crossing over that of the leaving",
    "R7a.before": "share of spectra under such an input with an angle of it before training",
    "R7a.keeps": (
        f"share whose crossing under an input that keeps is within a factor {NEAR:g} of the leaving"
    ),
}


def carries(runs: pd.DataFrame) -> Findings:
    """R6 is refuted if a layer with real decays carries a pattern past the bound.

    The bound is that of `bound`. It holds for one layer, without noise. Further findings, without a
    verdict, tell which cells and depths carry which patterns, and for how long.
    """
    rows = of_blocks(runs, "carriers")
    rows = rows[rows["long_exact"].notna()]
    for cell, of_cell in by_cell(rows.assign(prefix=prefixes(rows))):
        for (pattern, layers), some in of_cell.groupby(["pattern", "layers"]):
            depth = "1 layer" if layers == 1 else f"{layers} layers"
            group = f"{cell}/pattern {pattern}, {depth}"
            if layers == 1 and cell in REAL:
                most = [bound(str(pattern), size, REAL[cell]) for size in some["hidden_size"]]
                if max(most) < math.inf:
                    yield every("R6.within_bound", group, some["prefix"] <= most)
            yield beside("R6.carried", group, some["long_exact"] == 1)
            yield Finding("R6.lasts", group, stats.median(some["prefix"].to_numpy(float)))


def prefixes(rows: pd.DataFrame) -> pd.Series:
    """Return how many labels in a row each network gets right from step 1 on, in long sequences.

    Without an error it gets all of them right.
    """
    return rows["long_first_error"].astype(float).fillna(10 * rows["test_length"]) - 1


def bound(pattern: str, hidden_size: int, is_signed: bool) -> float:
    """Return the most labels of a pattern in a row that H real decays can give from step 1 on.

    Under a constant input, the two logits differ by c + Σ wᵢ λᵢᵗ. If all decays λᵢ are positive,
    this changes sign at most H times as t grows. If they may be negative (`is_signed`), this holds
    for the even and for the odd steps, in each of which the λᵢ² count. The result is infinite if
    the labels never change sign more often, as those of `10` at even and at odd steps.
    """
    stride = 2 if is_signed else 1
    labels = right_labels(pattern, 2 * len(pattern) * (hidden_size + 2))
    most = math.inf
    for first in range(1, 1 + stride):
        changes = np.cumsum(np.diff(labels[first::stride]) != 0)
        (beyond,) = np.nonzero(changes > hidden_size)
        if beyond.size:
            most = min(most, first + stride * (int(beyond[0]) + 1) - 1)
    return most


def at_the_mean(words: pd.DataFrame, runs: pd.DataFrame) -> Findings:
    """R7 is refuted if most networks cross at the mean input in time, or there before elsewhere.

    The account of patterns looks for crossings at the fixed point under the mean input. To first
    order it expects no growth there, since no label depends on a single earlier input (for
    `permutation`, it hardly does). A crossing is in time if it does not come after the leaving. It
    comes before elsewhere if it comes no later than the first one under a single input that turns.
    Networks whose loss does not leave are left out. Those that learn the pattern `10` under the
    same settings have no verdict, and show what a resonance looks like. Further findings tell how
    many networks learn the task, and how many of these get it right in longer sequences.
    """
    for group, rows in groups(words):
        mean = rows[rows["input"] == MEAN].set_index("run_id")
        left, turns = mean[mean["leaving"].notna()], first_turning(rows)
        if len(left):
            in_time = left["crossing"].fillna(math.inf) <= left["leaving"]
            is_word = len(turns) > 0
            held = bool(in_time.mean() <= MOST) if is_word else None
            yield beside("R7.in_time", group, in_time, held)
            yield beside("R7.near", group, is_near(left))
            if is_word:
                other = turns["crossing"].reindex(left.index).fillna(math.inf)
                first = left["crossing"] <= other
                yield beside("R7.first", group, first, bool(first.mean() <= MOST))
        yield beside("R7.left", group, mean["leaving"].notna())
        found = runs[runs["run_id"].isin(mean.index)]
        solved = found[found["converged_update"].notna()]
        yield beside("R7.solved", group, found["converged_update"].notna())
        if len(solved):
            yield beside("R7.longer", group, solved["long_exact"] == 1)


def under_inputs(words: pd.DataFrame) -> Findings:
    """R7a is refuted if crossings under an input miss its angles, or do not come with the leaving.

    An input that turns is a group element of order m > 1. Under it alone, the right labels go
    round a cycle, so a network that carries them should cross at an angle 2 π k / m with k > 0. At
    least 90 % of the crossings under such inputs must be within π/T of one. In most networks whose
    loss leaves, the first of these crossings must come within a factor of 1.25 of the leaving.
    Further findings, without a verdict, are about the spectra before training, and about the input
    that keeps the state, under which the right labels stay the same.
    """
    for group, rows in groups(words):
        turns = turning(rows)
        crossed = turns[turns["crossing"] > 0]
        if crossed.empty:
            continue
        on = is_on(crossed, "angle")
        yield beside("R7a.angle", group, on, bool(on.mean() >= LEAST_ON))
        yield beside("R7a.before", group, is_on(turns, "first_angle"))
        first = first_turning(rows)
        first = first[first["leaving"].notna()]
        if len(first):
            near = is_near(first)
            yield beside("R7a.when", group, near, bool(near.mean() > MOST))
            ratio = first["crossing"].fillna(math.inf) / first["leaving"]
            yield Finding("R7a.ratio", group, stats.median(ratio.to_numpy(float)))
        keeps = rows[(rows["order"] == 1) & rows["leaving"].notna()]
        if len(keeps):
            yield beside("R7a.keeps", group, is_near(keeps))


def turning(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the table `words` about single inputs that turn."""
    return rows[(rows["order"] > 1) & (rows["input"] != MEAN)]


def first_turning(rows: pd.DataFrame) -> pd.DataFrame:
    """Return each network's leaving, and its first crossing under an input that turns."""
    return turning(rows).groupby("run_id")[["crossing", "leaving"]].min()


def groups(words: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each cell, task and optimizer, such as `gru/parity, SGD`, and its rows of `words`."""
    for cell, of_cell in by_cell(words):
        for (task, optimizer), rows in of_cell.groupby(["task", "optimizer"]):
            yield f"{cell}/{task}, {optimizer_name(str(optimizer))}", rows


def is_near(rows: pd.DataFrame) -> pd.Series:
    """Return for each row whether its crossing is within a factor of NEAR of its leaving."""
    ratio = rows["crossing"].astype(float) / rows["leaving"].astype(float)
    return ratio.between(1 / NEAR, NEAR)  # False where there is no crossing


def is_on(rows: pd.DataFrame, column: str) -> pd.Series:
    """Return for each row whether an angle is near one by which the row's input turns.

    For an element of order m, these are 2 π k / m with 0 < k < m.
    """
    turns = [2 * np.pi * np.arange(1, order) / order for order in rows["order"]]
    angles = zip(rows[column], turns, strict=True)
    misses = np.array([folded(angle - turn).min() for angle, turn in angles])
    return pd.Series(misses <= WIDEST_MISS * np.pi / rows["length"].to_numpy(), rows.index)
