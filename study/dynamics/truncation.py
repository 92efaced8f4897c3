"""Test hypothesis R5: that truncated gradients interfere with the pattern.

The runs are those of the grid `truncation`, in which the gradient is cut every k steps: at fixed
places, at places shifted by half of k, or at places drawn anew in each update. The table
`false_signals` says how large a false signal these cuts make (`study.dynamics.false_signals`).
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import scipy

from study import stats
from study.dynamics.finding import Finding, Findings, beside, by_cell, rng
from study.dynamics.patterns import POWER, harmonics
from study.grid import censored_times, of_blocks

BLOCKS = ("uncut", "cut", "cut_every_step")
SLOW = 2.0  # R5: cuts are slow if the median time is more than this many times that without cuts
LEAST_CURED = 0.9  # R5: smallest share of cuts at random places that are not slow

MEASURES = {
    "R5.rank": "rank correlation of the median time and the false signal, over cuts at k ≥ p/2",
    "R5.cured": f"share of k ≥ p at which random cuts take at most {SLOW:g} times as long as none",
    "R5.slow": f"share of k ≥ p/2 at which cuts take over {SLOW:g} times as long, where k {{}}",
    "R5.slower": "median over k ≥ p of the time with random cuts over that without cuts",
}


def interferes(false_signals: pd.DataFrame, runs: pd.DataFrame) -> Findings:
    """R5 is refuted if the time does not rise with the false signal, or random places do not cure.

    The time is the median update at which runs solve the task. For each cell and pattern of period
    p, it must have a rank correlation above 0 with the median false signal, over cuts every k ≥ p/2
    steps at fixed and at shifted places. The interval is a bootstrap over seeds, and must lie above
    0. Cuts at random places cure if, for at least 90 % of the patterns and k ≥ p, the median time
    is at most twice that without cuts.
    """
    for cell, of_cell in by_cell(settings_of(false_signals, runs)):
        table = times(of_cell)
        for pattern, some in of_cell.groupby("pattern", sort=False):
            group, p = f"{cell}/pattern {pattern}", len(str(pattern))
            cut = some[(some["cut_every"] >= p / 2) & (some["cut_offset"] != "random")]
            rank = _rank(cut, group)
            yield Finding("R5.rank", group, rank, rank.low > 0)
        late = table[table["cut_every"] >= table["period"]]
        random = late[late["cut_offset"] == "random"]
        is_cured = random["slowdown"] <= SLOW
        yield beside("R5.cured", cell, is_cured, bool(is_cured.mean() >= LEAST_CURED))
        yield Finding("R5.slower", cell, stats.median(random["slowdown"].to_numpy(float)))
        fixed = table[
            (table["cut_offset"] != "random") & (table["cut_every"] >= table["period"] / 2)
        ]
        for is_met, part in fixed.groupby("meets"):
            key = f"R5.slow/{'meets' if is_met else 'misses'} the harmonics"
            yield beside(key, cell, part["slowdown"] > SLOW)


def settings_of(false_signals: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of the blocks on cuts, with the false signal of each, and its update.

    The column `update` is that at which the run solved the task, and infinite if it never did.
    """
    found = of_blocks(runs, *BLOCKS)
    times, is_solved = censored_times(found)
    found = found.assign(update=np.where(is_solved, times, math.inf))
    found = found.assign(cut_offset=found["cut_offset"].fillna("fixed"))
    keys = ["cell", "pattern", "seed", "cut_every", "cut_offset"]
    return found.merge(false_signals[[*keys, "false_signal"]], "left", keys)


def times(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each setting of the cuts, from the rows of one cell.

    `slowdown` is the median time over that without cuts, and `meets` says whether all cuts at fixed
    places meet the same place of a harmonic with power.
    """
    uncut = rows[rows["cut_every"].isna()].groupby("pattern")["update"].median()
    names = ["pattern", "cut_every", "cut_offset"]
    found = rows[rows["cut_every"].notna()].groupby(names, sort=False)
    table = found[["update", "false_signal"]].median().reset_index()
    table["slowdown"] = table["update"] / table["pattern"].map(uncut)
    table["period"] = table["pattern"].str.len()
    table["meets"] = list(map(meets, table["pattern"], table["cut_every"].astype(int)))
    return table


def meets(pattern: str, k: int) -> bool:
    """Return whether the angle ω of a harmonic with power has k ω = 0, up to full turns."""
    return any(
        k * i % len(pattern) == 0 for i in np.flatnonzero(np.abs(harmonics(pattern)) > POWER)
    )


def _rank(rows: pd.DataFrame, *key: object) -> stats.Estimate:
    """Return the rank correlation, over settings of the cuts, of two medians over seeds."""
    wide = rows.pivot_table(["update", "false_signal"], ["cut_every", "cut_offset"], "seed")
    update, signal = (wide[name].to_numpy(float) for name in ("update", "false_signal"))

    def correlation(i: np.ndarray) -> np.ndarray:
        a, b = (
            scipy.stats.rankdata(np.median(values[:, i], axis=-1), axis=0)
            for values in (update, signal)
        )
        a, b = a - a.mean(0), b - b.mean(0)
        with np.errstate(invalid="ignore"):
            return (a * b).sum(0) / np.sqrt((a**2).sum(0) * (b**2).sum(0))

    return stats.bootstrap(correlation, [update.shape[1]], rng("truncation", *key))
