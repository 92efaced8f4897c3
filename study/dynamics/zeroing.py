"""Test hypothesis R4: if the gradient is never zeroed, time on the plateau runs as a square root.

Plain SGD with a small learning rate η follows θ' = -η ∇ℓ. If the gradient is never zeroed, every
update adds the sum of all gradients so far, which is momentum without friction: θ'' = -η ∇ℓ. So all
times grow as 1/η in the first case and as 1/√η in the second, whatever the loss looks like. The
square of the second over the first does not depend on η. The block `resonance_zeroing` has runs
with the same initial weights and the same noise in both cases.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from study import stats
from study.dynamics.finding import Finding, Findings, beside
from study.dynamics.resonance import settings_of, slope_of_medians

EXPONENTS = {"zeroed": -1.0, "never": -0.5}  # R4: expected exponents of the time in the rate
OFF = 0.06  # R4: largest difference of a measured exponent
DRIFT = 0.1  # R4: largest exponent of the ratio of the times in the rate, in absolute value

MEASURES = {
    "R4.exponent": "exponent of the median time at which the loss leaves, in the rate ({})",
    "R4.drift": "exponent of the median of t² (never zeroed) / t (zeroed), in the rate",
    "R4.ratio": "median of t² (never zeroed) / t (zeroed), in updates, at the rate {}",
    "R4.left": "share of networks whose loss leaves its plateau ({})",
}


def square_root(crossings: pd.DataFrame, runs: pd.DataFrame) -> Findings:
    """R4 is refuted if an exponent is off by more than 0.06, or the ratio's exponent by over 0.1.

    The exponents are those of the median update t at which the loss leaves its plateau, as a power
    of the learning rate: -1 if the gradient is zeroed, and -1/2 if it never is. The ratio is that
    of t² without zeroing and t with zeroing, over runs with the same seed, and its exponent should
    be 0. A run whose loss never leaves counts as infinitely late.
    """
    for group, rows in groups(crossings, runs):
        rates = sorted(set(rows["lr"]))
        x, times = np.log(rates), {}
        for name in EXPONENTS:
            some = rows[rows["accumulate"] == (name == "never")]
            yield beside(f"R4.left/{name}", group, some["leaving"].notna())
            late = some["leaving"].fillna(math.inf)
            times[name] = [late[some["lr"] == rate].to_numpy(float) for rate in rates]
            slope = slope_of_medians(x, times[name], "zeroing", group, name)
            held = abs(slope.value - EXPONENTS[name]) <= OFF
            yield Finding(f"R4.exponent/{name}", group, slope, held)
        ratios = [ratio.to_numpy(float) for _, ratio in ratios_of(rows)]
        slope = slope_of_medians(x, ratios, "zeroing", group, "ratio")
        yield Finding("R4.drift", group, slope, abs(slope.value) <= DRIFT)
        for rate, ratio in zip(rates, ratios, strict=True):
            yield Finding(f"R4.ratio/{rate:g}", group, stats.median(ratio))


def groups(crossings: pd.DataFrame, runs: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each cell and length of the block `resonance_zeroing`, such as `gru/length 20`."""
    rows = settings_of(crossings, runs, "resonance_zeroing")
    rows = rows.join(runs.set_index("run_id")["accumulate"], on="run_id")
    for (cell, length), some in rows.groupby(["cell", "length"], sort=False):
        yield f"{cell}/length {length}", some


def ratios_of(rows: pd.DataFrame) -> Iterator[tuple[float, pd.Series]]:
    """Yield each learning rate, and t² without zeroing over t with zeroing, indexed by seed.

    The ratio is infinite if the loss does not leave without zeroing, and 0 if only with zeroing it
    does not. Seeds for which neither leaves are left out.
    """
    for rate, some in rows.groupby("lr"):
        zeroed, never = (
            some[some["accumulate"] == kind].set_index("seed")["leaving"].fillna(math.inf)
            for kind in (False, True)
        )
        ratio = (never**2 / zeroed).where(never < math.inf, math.inf)
        yield float(str(rate)), ratio[(zeroed < math.inf) | (never < math.inf)]
