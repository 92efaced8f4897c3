"""Test the hypotheses R1, R2, R3 and R8: that a pattern is learned by growing a resonance.

The judges read the table `crossings` (see `study.dynamics.crossings`), in which each run has been
followed update by update. `study.dynamics.hypotheses` lists the hypotheses and says what judges and
findings are. The constants below are the criteria. They were fixed before the runs were trained.

A setting is a group of runs that differ in their seed alone, so in their initial weights and their
noise. A setting has up to three arms with the same seeds:

    fresh      the runs themselves
    again      runs with the same initial weights, on another draw of the noise (`noise_seed`)
    balanced   runs with the same initial weights, trained on one balanced batch instead of noise
               (`study.runs.balanced`), so that they descend the expected loss

The arm `balanced` predicts the crossing of `fresh` from the initial weights alone. The arm `again`
shows how much the noise matters: it predicts `fresh` with an R² that is the square of the share of
the spread that the initial weights decide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from study import stats
from study.dynamics.finding import Finding, Findings, beside, by_cell, rng
from study.dynamics.patterns import POWER, angles, harmonics
from study.grid import censored_times, of_blocks
from study.model import own_names

WIDEST_MISS = 1.0  # R1: a crossing is on a harmonic if it misses by at most this, times π/T
SMOOTH = 0.02  # R1: a step of the spectral radius in one update above which angles say little
LEAST_ON = 0.9  # R1: smallest share of crossings on a harmonic
LEAST_R2 = 0.5  # R2: smallest median over settings of the R² of logs
SLOPES = (0.8, 1.25)  # R2: range of the median slope of log measured time on log predicted time
R3_SLOPES = (-1.3, -0.7)  # R3: range of the slope of the log of the distance on log T
COLLAPSE = 1.5  # R8: largest ratio of the median times η/T of settings with the same κ
FACTOR = 2.0  # R8a: largest ratio of a measured and a predicted median time
MOST_OFF = 0.25  # R8a: largest share of settings whose predicted median time is off by more
SHIFT = 0.02  # R8a: times are interpolated over log(κ + SHIFT)
FEWEST = 10  # crossings in both arms below which a setting gives no R²
SETTING = [
    "cell", "optimizer", "pattern", "length", "noise", "noise_kind", "hidden_size", "lr",
    "momentum",
]  # fmt: skip
Pair = tuple[np.ndarray, np.ndarray]  # predicted and measured times of the runs of a setting
PREDICTED = tuple(
    f"resonance_{name}"
    for name in ("patterns", "rates", "optimizers", "sizes", "cells", "necklaces")
)
LOSSLESS = ("lstm_nfg",)  # their state never decays: an eigenvalue is on the circle from the start
BASELINES = {  # R2: numbers known before training that might predict the crossing as well
    "distance": "distance of the spectrum from the pattern's angles on the unit circle",
    "first_radius": "spectral radius",
    "first_step": "size of the first gradient",
}


def settings_of(crossings: pd.DataFrame, runs: pd.DataFrame, *blocks: str) -> pd.DataFrame:
    """Return the rows of `crossings`, with the settings of their runs, of the named blocks.

    Without names, the rows of all runs are returned.
    """
    names = [*SETTING, *own_names(runs), "data", "noise_seed"]
    chosen = (of_blocks(runs, *blocks) if blocks else runs).set_index("run_id")[names]
    new = [name for name in names if name not in crossings]
    return crossings.join(chosen[new], on="run_id", how="inner")


def fresh(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the arm `fresh`."""
    return rows[(rows["data"] == "fresh") & rows["noise_seed"].isna()]


def arms(crossings: pd.DataFrame) -> Iterator[tuple[tuple, pd.DataFrame, dict[str, pd.DataFrame]]]:
    """Yield each setting, the runs of its arm `fresh`, and those of its other arms by name.

    The runs of an arm are indexed by seed.
    """
    crossings = crossings.reset_index(drop=True)
    kind = np.where(crossings["noise_seed"].notna(), "again", crossings["data"])
    for setting, rows in crossings.groupby(
        [*SETTING, *own_names(crossings)], dropna=False, sort=False
    ):
        found = {str(arm): some.set_index("seed") for arm, some in rows.groupby(kind[rows.index])}
        if any(not rows.index.is_unique for rows in found.values()):
            raise ValueError(f"two runs of the setting {setting} have the same seed")
        if "fresh" in found:
            yield setting, found.pop("fresh"), found


def on_harmonic(crossings: pd.DataFrame, runs: pd.DataFrame) -> Findings:
    """R1 is refuted if over 10 % of a group's crossings miss all harmonics by more than π/T.

    Only harmonics with power count. The groups are each cell and pattern, in the runs of the
    blocks `resonance_slow` and `resonance_necklaces`. The latter has patterns drawn at random, and
    was added when the former had been judged. Further findings, without a verdict, tell what chance
    would give: the share of the circle that lies within π/T of a harmonic, and the share of
    networks for which the outermost eigenvalue lies there before training. Others tell how often
    the harmonic that crosses is the one to which the untrained network responds most, how often the
    fixed point of the crossing had to be found anew, and what share of the networks that cross then
    end on a cycle that carries the pattern, how many updates later. How many crossings are on a
    harmonic where the spectral radius moved little in that update was added when the first runs had
    been seen.
    """
    watched = fresh(settings_of(crossings, runs, "resonance_slow", "resonance_necklaces"))
    for cell, of_cell in by_cell(watched):
        for pattern, rows in of_cell.groupby("pattern"):
            group, crossed = f"{cell}/pattern {pattern}", rows[rows["crossing"] > 0]
            yield beside("R1.crossed", group, rows["crossing"].notna())
            if len(crossed) < FEWEST:
                continue
            width = WIDEST_MISS * math.pi / crossed["length"]
            on = crossed["miss"] <= width
            yield beside("R1.on_harmonic", group, on, bool(on.mean() >= LEAST_ON))
            smooth = crossed["jump"].abs() <= SMOOTH
            if smooth.any():
                yield beside("R1.smoothly_on_harmonic", group, on[smooth])
            before = rows["first_miss"] <= math.pi / rows["length"]
            yield beside("R1.before_training", group, before)
            chance = float(np.mean([covered(str(pattern), w) for w in width.unique()]))
            yield Finding("R1.chance", group, stats.Estimate(chance, chance, chance, len(crossed)))
            yield beside("R1.strongest", group, crossed["harmonic"] == crossed["strongest"])
            yield beside("R1.found_anew", group, crossed["is_new_at_crossing"].astype(bool))
            yield beside("R1.locked", group, crossed["locking"].notna())
            lag = (crossed["locking"] - crossed["crossing"]).fillna(math.inf)
            yield Finding("R1.lag", group, stats.median(lag.to_numpy(float)))


def covered(pattern: str, width: float) -> float:
    """Return the share of angles from 0 to π within `width` radians of a harmonic with power."""
    half = len(pattern) // 2 + 1
    powered = angles(len(pattern))[:half][np.abs(harmonics(pattern)[:half]) > POWER]
    distances = np.abs(np.linspace(0, math.pi, 10_001)[:, None] - powered).min(axis=1)
    return float((distances <= width).mean())


def predicted(crossings: pd.DataFrame, runs: pd.DataFrame) -> Findings:
    """R2 is refuted if R² is below 0.5, no better than the baselines, or the slope is wrong.

    R² is the squared correlation, within a setting and across seeds, of the logarithms of the
    measured and the predicted update of the crossing. It is the median over settings that counts,
    as it is for the slope, which must lie between 0.8 and 1.25. Runs that do not cross have no
    logarithm. They count in the concordance, which is the share of pairs of runs that the
    prediction puts in the right order.
    """
    groups: dict[tuple[str, str], dict[str, list[Pair]]] = {}
    for setting, measured, others in arms(settings_of(crossings, runs, *PREDICTED)):
        if "balanced" not in others:
            continue
        pairs = groups.setdefault(setting[:2], {})
        for arm in ("balanced", "again"):
            if arm in others:
                both = measured.join(others[arm]["crossing"].rename("guess"), how="inner")
                pairs.setdefault(arm, []).append(_pair(both["guess"], both["crossing"]))
        for name in BASELINES:
            pairs.setdefault(name, []).append(_pair(measured[name], measured["crossing"]))
    for (cell, optimizer), pairs in groups.items():
        group = f"{cell}/{optimizer}"
        found = {arm: medians(pairs.get(arm, []), group, arm) for arm in ("balanced", "again")}
        baselines = {name: medians(pairs[name], group, name)["r2"] for name in BASELINES}
        r2, slope = found["balanced"]["r2"], found["balanced"]["slope"]
        best = np.nanmax([0.0, *(estimate.value for estimate in baselines.values())])
        yield Finding("R2.r2", group, r2, r2.value >= LEAST_R2 and r2.value > best)
        yield Finding("R2.slope", group, slope, SLOPES[0] <= slope.value <= SLOPES[1])
        for name in ("ratio", "concordance"):
            yield Finding(f"R2.{name}", group, found["balanced"][name])
        for name, estimate in found["again"].items():
            if estimate.n:
                yield Finding(f"R2.again_{name}", group, estimate)
        for name, estimate in baselines.items():
            yield Finding(f"R2.baseline/{name}", group, estimate)


def by_formula(crossings: pd.DataFrame, closed_form: pd.DataFrame, runs: pd.DataFrame) -> Findings:
    """R2a is refuted if `study.dynamics.closed_form` predicts with a wrong R² or slope, as in R2.

    The baselines do not count here. Further findings are the share of networks for which the
    formula predicts a crossing at all, and the share of predicted crossings that have the angle of
    the harmonic at which the network crosses.
    """
    guesses = closed_form.set_index("run_id")[["crossing", "angle"]].add_prefix("guess_")
    rows = settings_of(crossings, runs, "resonance_patterns").join(guesses, "run_id", "inner")
    for cell, of_cell in by_cell(rows):
        settings = [
            some for _, some in of_cell.groupby([*SETTING, *own_names(of_cell)], dropna=False)
        ]
        pairs = [_pair(some["guess_crossing"], some["crossing"]) for some in settings]
        found = medians(pairs, cell, "closed form")
        r2, slope = found["r2"], found["slope"]
        yield Finding("R2a.r2", cell, r2, r2.value >= LEAST_R2)
        yield Finding("R2a.slope", cell, slope, SLOPES[0] <= slope.value <= SLOPES[1])
        for name in ("ratio", "concordance"):
            yield Finding(f"R2a.{name}", cell, found[name])
        yield beside("R2a.predicted", cell, of_cell["guess_crossing"].notna())
        both = of_cell[of_cell["guess_crossing"].notna() & of_cell["crossing"].notna()]
        near = (both["guess_angle"] - both["angle"]).abs() <= math.pi / both["length"]
        if len(near):
            yield beside("R2a.angle", cell, near)


def _pair(predicted: pd.Series, measured: pd.Series) -> Pair:
    return predicted.to_numpy(float), measured.to_numpy(float)


def medians(pairs: Sequence[Pair], *key: object) -> dict[str, stats.Estimate]:
    """Return the medians over settings of how well predicted times (n,) agree with measured times.

    Each pair belongs to a setting and holds predicted and measured times, where NaN is "never".
    Keys: `r2`, the squared correlation of the logarithms; `slope`, of log measured on log predicted
    time; `ratio`, the median measured over predicted time; and `concordance` (Harrell et al. 1982).
    The first three need FEWEST runs per setting for which both times are known and above zero.
    Their intervals come from a bootstrap over runs, for which `key` names the random stream.
    """
    logs = []
    for predicted, measured in pairs:
        known = (predicted > 0) & (measured > 0)  # False for NaN
        if known.sum() >= FEWEST:
            logs.append((np.log(predicted[known]), np.log(measured[known])))
    found = {}
    for name, of in AGREEMENTS.items():
        if logs:

            def over_settings(*indices: np.ndarray, of: Any = of) -> np.ndarray:
                each = [of(x[i], y[i]) for (x, y), i in zip(logs, indices, strict=True)]
                return np.nanmedian(each, axis=0)

            sizes = [len(x) for x, _ in logs]
            estimate = stats.bootstrap(over_settings, sizes, rng(name, *key))
            found[name] = replace(estimate, n=len(logs))
        else:
            found[name] = stats.Estimate(math.nan, math.nan, math.nan, 0)
    orders = [concordance(*pair) for pair in pairs]
    middle = float(np.nanmedian(orders)) if orders else math.nan
    found["concordance"] = stats.Estimate(middle, math.nan, math.nan, len(orders))
    return found


def _r2(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = (values - values.mean(-1, keepdims=True) for values in (x, y))
    with np.errstate(invalid="ignore"):
        return (x * y).sum(-1) ** 2 / ((x**2).sum(-1) * (y**2).sum(-1))


def _slope(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x = x - x.mean(-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return (x * y).sum(-1) / (x**2).sum(-1)


# How well logarithms x and y (..., n) of predicted and measured times agree along the last axis.
AGREEMENTS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "r2": _r2,
    "slope": _slope,
    "ratio": lambda x, y: np.exp(np.median(y - x, axis=-1)),
}


def concordance(predicted: np.ndarray, measured: np.ndarray) -> float:
    """Return the share of pairs of runs that the predicted times (n,) put in the right order.

    A pair counts if it is known which of its measured times (n,) is the earlier one. NaN is
    "never". Ties of the prediction count half.
    """
    late, guess = (np.where(np.isnan(times), math.inf, times) for times in (measured, predicted))
    earlier = late[:, None] < late[None, :]
    right = earlier & (guess[:, None] < guess[None, :])
    ties = earlier & (guess[:, None] == guess[None, :])
    pairs = int(earlier.sum())
    return float((right.sum() + ties.sum() / 2) / pairs) if pairs else math.nan


def blurred(crossings: pd.DataFrame, runs: pd.DataFrame) -> Findings:
    """R3 is refuted if without noise the median distance falls as a power of T outside 0.7 to 1.3.

    The distance is that between e^(iω) and the nearest eigenvalue, over the pattern's harmonics ω,
    when the loss leaves its plateau. It counts as zero if the loss leaves after the crossing, and
    the hypothesis fails if that is so in most runs of a length. The slope is that of the logarithm
    of the median on log T. Before any runs were trained, the criterion was about single runs and
    the spectral radius. This left out runs that leave after the crossing, and was changed.

    The runs that decide are those of the block `resonance_blur`. They were added after those of
    `resonance_lengths`, with a tenth of the learning rates or less. There, an eigenvalue moves by
    up to 0.14 in the update of the crossing, so that most networks with the longest sequences leave
    after the crossing, and the hypothesis fails.

    Further findings, without a verdict, are about `resonance_lengths`, with and without noise.
    Others tell how often the loss leaves before the crossing at each of several learning rates. At
    a large rate, an eigenvalue jumps over the circle in one update.
    """
    for name, block in (("quiet", "blur"), ("fast", "lengths"), ("noise", "lengths")):
        watched = fresh(settings_of(crossings, runs, f"resonance_{block}"))
        watched = watched[(watched["noise"] > 0) == (name == "noise")]
        for cell, rows in by_cell(watched):
            left = rows[rows["leaving"].notna()]
            yield beside(f"R3.left/{name}", cell, rows["leaving"].notna())
            if left.empty:
                continue
            yield Finding(f"R3.jump/{name}", cell, stats.median(left["jump"].abs().to_numpy(float)))
            gaps = gaps_of(left)
            yield beside(f"R3.after_crossing/{name}", cell, gaps == 0)
            lengths = sorted(set(left["length"]))
            groups = [gaps[left["length"] == length].to_numpy(float) for length in lengths]
            slope = slope_of_medians(np.log(lengths), groups, cell, name)
            held = R3_SLOPES[0] <= slope.value <= R3_SLOPES[1]
            yield Finding(f"R3.slope/{name}", cell, slope, held if name == "quiet" else None)
    at_rates = fresh(settings_of(crossings, runs, "resonance_rates"))
    for cell, of_cell in by_cell(at_rates[at_rates["leaving"].notna()]):
        for rate, rows in of_cell.groupby("lr"):
            first = rows["leaving"] < rows["crossing"].fillna(math.inf)
            yield beside(f"R3.loss_first/{rate:g}", cell, first)


def gaps_of(rows: pd.DataFrame) -> pd.Series:
    """Return the distance between e^(iω) and the spectrum when the loss left, for R3.

    It is 0 if the loss left only after the crossing.
    """
    is_after = ~(rows["leaving"] < rows["crossing"].fillna(math.inf))
    return rows["distance_at_leaving"].where(~is_after, 0.0)


def slope_of_medians(x: np.ndarray, groups: list[np.ndarray], *key: object) -> stats.Estimate:
    """Return the slope of the logarithms of the groups' medians on x, or NaN if a median is 0."""

    def slope(*indices: np.ndarray) -> np.ndarray:
        medians = [np.median(some[i], axis=-1) for some, i in zip(groups, indices, strict=True)]
        with np.errstate(divide="ignore", invalid="ignore"):
            y = np.log(np.stack(np.broadcast_arrays(*medians), axis=-1))
            return np.where(np.isfinite(y).all(-1), _slope(x, y), np.nan)

    return stats.bootstrap(slope, [len(some) for some in groups], rng("blurred", *key))


def collapses(crossings: pd.DataFrame, runs: pd.DataFrame) -> Findings:
    """R8 is refuted if settings with the same κ differ by more than 1.5 in their median t η/T.

    t is the update of the crossing, η the learning rate and T the length of the sequences. κ is
    ½ ȳ (1 - ȳ) σ² T, where ȳ is the share of ones in the pattern, and σ² the variance of the noise.
    Medians are Kaplan-Meier medians, in which a run that does not cross counts as censored. The
    estimate is the largest ratio of two medians with the same cell, hidden size and κ.
    """
    watched = fresh(settings_of(crossings, runs, "resonance_noise"))
    watched = watched.assign(kappa=kappa(watched))
    for cell, of_cell in by_cell(watched):
        for (number, size), rows in of_cell.groupby(["kappa", "hidden_size"]):
            medians = [_median_time(some) for _, some in rows.groupby(["length", "lr"])]
            if len(medians) < 2:
                continue
            ratio = max(medians) / min(medians) if math.isfinite(max(medians)) else math.nan
            estimate = stats.Estimate(ratio, math.nan, math.nan, len(rows))
            held = None if math.isnan(ratio) else ratio <= COLLAPSE  # None: a budget is too small
            yield Finding(f"R8.ratio/{number:g}", f"{cell}/{size}", estimate, held)


def foretold(crossings: pd.DataFrame, runs: pd.DataFrame) -> Findings:
    """R8a is refuted if over a quarter of the predicted times are off by a factor above 2.

    The prediction is made for each length and level of noise in the block `contour`, from the
    crossings of other runs (see `times_by_kappa`). It is compared with the Kaplan-Meier median of
    the time at which a run of this setting has solved the task. If half of the runs have not solved
    it within their budget, the prediction is right if it is above half of the budget. The finding
    `R8a.without_noise` is the same for a prediction that takes κ to be 0.
    """
    table = contour(crossings, runs)
    for cell, rows in by_cell(table):
        known = rows[rows["predicted"].notna()]
        for key, name in (("near", "predicted"), ("without_noise", "without_noise")):
            ratio = known[name] / known["median"].fillna(known["budget"])
            is_late = known["median"].isna() & (ratio > 1)
            is_near = ratio.between(1 / FACTOR, FACTOR) | is_late
            held = bool(is_near.mean() >= 1 - MOST_OFF) if key == "near" else None
            yield beside(f"R8a.{key}", cell, is_near, held)


def contour(crossings: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each cell, length and level of noise of the block `contour`.

    `median` is the Kaplan-Meier median of the update at which the task is solved, or NaN if half of
    the runs have not solved it within their `budget` of updates. `predicted` is the median that
    follows from `times_by_kappa`, or NaN if κ is larger than any measured there. `without_noise` is
    the prediction for κ = 0.
    """
    tried, found = of_blocks(runs, "contour"), []
    tried = tried.assign(kappa=kappa(tried))
    names = ["cell", "length", "noise", "lr", "kappa"]
    for setting, rows in tried.groupby(names, sort=False):
        (lead,) = rows.iloc[:1].to_dict("records")
        kappas, times = times_by_kappa(crossings, runs, lead["cell"])
        scale, place = lead["length"] / lead["lr"], np.log(kappas + SHIFT)
        at = math.log(lead["kappa"] + SHIFT)
        predicted = np.interp(at, place, np.log(times), right=math.nan)
        measured = stats.time_to_share(stats.solved_curve(*censored_times(rows))).value
        found.append(dict(zip(names, setting, strict=True)) | {
            "budget": lead["max_updates"], "n": len(rows),
            "median": measured if math.isfinite(measured) else math.nan,
            "predicted": math.exp(predicted) * scale, "without_noise": times[0] * scale,
        })  # fmt: skip
    names += ["budget", "n", "median", "predicted", "without_noise"]
    return pd.DataFrame(found, columns=names)


def times_by_kappa(
    crossings: pd.DataFrame, runs: pd.DataFrame, cell: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of κ (n,) in the block `resonance_noise`, and the median times t η/T (n,).

    The medians are over all runs of the cell with the same κ.
    """
    rows = fresh(settings_of(crossings, runs, "resonance_noise"))
    rows = rows[rows["cell"] == cell].assign(kappa=kappa)
    medians = {at: _median_time(some) for at, some in rows.groupby("kappa")}
    return np.array(list(medians)), np.array(list(medians.values()))


def kappa(rows: pd.DataFrame) -> pd.Series:
    """Return κ = ½ ȳ (1 - ȳ) σ² T for the setting of each row."""
    ones = (rows["pattern"].str.count("1") / rows["pattern"].str.len()).astype(float)
    values = ones * (1 - ones) / 2 * rows["noise"] ** 2 / 12 * rows["length"]
    return values.astype(float).round(4)


def _median_time(rows: pd.DataFrame) -> float:
    """Return the Kaplan-Meier median of the scaled times of the crossing in one setting."""
    crossed = rows["crossing"].notna().to_numpy()
    times = rows["crossing"].fillna(rows["last_update"]) * rows["lr"] / rows["length"]
    return stats.time_to_share(stats.solved_curve(times.to_numpy(float), crossed)).value


MEASURES = {
    "R1.crossed": "share of networks in which an eigenvalue leaves the unit circle",
    "R1.on_harmonic": "share of crossings within π/T of a harmonic of the pattern",
    "R1.smoothly_on_harmonic": f"the same where the radius moved by at most {SMOOTH} in the update",
    "R1.before_training": "share of outermost eigenvalues within π/T of a harmonic before training",
    "R1.chance": "share of the circle within π/T of a harmonic",
    "R1.strongest": "share of crossings at the harmonic that the untrained network answers most",
    "R2.r2": "median over settings of the R² of log predicted and log measured crossing",
    "R2.slope": "median over settings of the slope of log measured on log predicted crossing",
    "R2.ratio": "median over settings of the median of measured over predicted crossing",
    "R2.concordance": "median over settings of the share of pairs predicted in the right order",
    "R2.again_r2": "R² between trainings of the same initial weights on different noise",
    "R2.again_slope": "slope between these two trainings",
    "R2.again_ratio": "median ratio of these two trainings",
    "R2.again_concordance": "concordance of these two trainings",
    "R2.baseline": "R² of a baseline known before training: {}",
    "R2a.r2": "median over settings of the R² of the closed form",
    "R2a.slope": "median over settings of the slope of the closed form",
    "R2a.ratio": "median over settings of the median of measured over predicted crossing",
    "R2a.concordance": "median over settings of the share of pairs predicted in the right order",
    "R2a.predicted": "share of networks for which the formula predicts a crossing",
    "R2a.angle": "share of predicted crossings within π/T of the measured angle",
    "R1.found_anew": "share of crossings at a fixed point other than the one followed before",
    "R1.locked": "share of networks that cross and then end on a cycle with the pattern",
    "R1.lag": "median number of updates from the crossing to the cycle",
    "R3.left": "share of networks whose loss leaves its plateau ({})",
    "R3.slope": "slope of the log of the median distance at the leaving on log T ({})",
    "R3.after_crossing": "share of networks whose loss leaves only after the crossing ({})",
    "R3.jump": "median distance by which the spectral radius moves in the update of crossing ({})",
    "R3.loss_first": "share of networks whose loss leaves before the crossing, at the rate {}",
    "R8.ratio": "largest ratio of two median times t η/T with κ = {}",
    "R8a.near": f"share of settings with a median time predicted within a factor {FACTOR:g}",
    "R8a.without_noise": "the same for a prediction that leaves the noise out",
}
