"""Test the hypotheses R1, R2, R3 and R8: that a pattern is learned by growing a resonance.

The judges read the table `crossings` (see `study.dynamics.crossings`), in which each run has been
followed update by update. `study.dynamics.hypotheses` lists the hypotheses and says what judges and
findings are. The constants below are the criteria. They were fixed before the runs were trained.

A setting is a group of runs that differ in their seed alone, so in their initial weights and their
noise. A setting has up to three arms with the same seeds:

    fresh      the runs themselves
    again      runs with the same initial weights, and other noise (`noise_seed`)
    balanced   runs with the same initial weights, trained on one balanced batch instead of noise
               (`study.runs.balanced`), so that they descend the expected loss

The arm `balanced` predicts the crossing of `fresh` from the initial weights alone. The arm `again`
is the ceiling, since no prediction from initial weights can know the noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from study import stats
from study.dynamics.finding import Finding, Findings, beside, by_cell, rng
from study.dynamics.patterns import POWER, angles, harmonics
from study.grid import of_blocks

WIDEST_MISS = 1.0  # R1: a crossing is on a harmonic if it misses by at most this, times π/T
SMOOTH = 0.02  # R1: a step of the spectral radius in one update above which angles say little
LEAST_ON = 0.9  # R1: smallest share of crossings on a harmonic
LEAST_R2 = 0.5  # R2: smallest median over settings of the R² of logs
SLOPES = (0.8, 1.25)  # R2: range of the median slope of log measured time on log predicted time
R3_SLOPES = (-1.3, -0.7)  # R3: range of the slope of log(1 - radius) on log T, without noise
COLLAPSE = 1.5  # R8: largest ratio of the median times η/T of settings with the same κ
FEWEST = 10  # crossings in both arms below which a setting gives no R²
SETTING = [
    "cell", "optimizer", "pattern", "length", "noise", "noise_kind", "hidden_size", "lr",
    "momentum",
]  # fmt: skip
BASELINES = {  # R2: numbers known before training that might predict the crossing as well
    "distance": "distance of the spectrum from the pattern's angles on the unit circle",
    "first_radius": "spectral radius",
    "first_step": "size of the first gradient",
}


def settings_of(crossings: pd.DataFrame, runs: pd.DataFrame, *blocks: str) -> pd.DataFrame:
    """Return the rows of `crossings`, with the settings of their runs, of the named blocks.

    Without names, the rows of all runs are returned.
    """
    names = [*SETTING, "data", "noise_seed"]
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
    for setting, rows in crossings.groupby(SETTING, dropna=False, sort=False):
        found = {str(arm): some.set_index("seed") for arm, some in rows.groupby(kind[rows.index])}
        if "fresh" in found:
            yield setting, found.pop("fresh"), found


def on_harmonic(crossings: pd.DataFrame, runs: pd.DataFrame) -> Findings:
    """R1 is refuted if over 10 % of a group's crossings miss all harmonics by more than π/T.

    Only harmonics with power count. The groups are the cells with a pattern each, in the runs of
    the block `resonance_slow`. Further findings, without a verdict, tell what chance would
    give: the share of the circle that lies within π/T of a harmonic, and the share of networks for
    which the outermost eigenvalue lies there before training. Others tell how often the harmonic
    that crosses is the one to which the untrained network responds most, and how many crossings are
    on a harmonic where the spectral radius moved little in that update. This last finding was added
    when the first runs had been seen.
    """
    watched = fresh(settings_of(crossings, runs, "resonance_slow"))
    for cell, of_cell in by_cell(watched):
        for pattern, rows in of_cell.groupby("pattern"):
            group, crossed = f"{cell}/pattern {pattern}", rows[rows["crossing"] > 0]
            if crossed.empty:
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
    found = pd.DataFrame(_scores(settings_of(crossings, runs)))
    for (cell, optimizer), rows in found.groupby(["cell", "optimizer"], sort=False):
        group = f"{cell}/{optimizer}"
        medians = {name: _median(rows[name]) for name in rows.columns[2:]}
        r2, slope = medians["balanced_r2"], medians["balanced_slope"]
        best = max(medians[f"{name}_r2"].value for name in BASELINES)
        yield Finding("R2.r2", group, r2, r2.value >= LEAST_R2 and r2.value > best)
        yield Finding("R2.slope", group, slope, SLOPES[0] <= slope.value <= SLOPES[1])
        for name in ("ratio", "concordance"):
            yield Finding(f"R2.{name}", group, medians[f"balanced_{name}"])
        for name in ("r2", "slope", "ratio", "concordance"):
            yield Finding(f"R2.ceiling_{name}", group, medians[f"again_{name}"])
        for name in BASELINES:
            yield Finding(f"R2.baseline/{name}", group, medians[f"{name}_r2"])


def by_formula(crossings: pd.DataFrame, closed_form: pd.DataFrame, runs: pd.DataFrame) -> Findings:
    """R2a is refuted if `study.dynamics.closed_form` predicts with a wrong R² or slope, as in R2.

    The baselines do not count here. A further finding is the share of predicted crossings that have
    the angle of the harmonic at which the network crosses.
    """
    guesses = closed_form.set_index("run_id")[["crossing", "angle"]].add_prefix("guess_")
    rows = settings_of(crossings, runs, "resonance_patterns").join(guesses, "run_id", "inner")
    for cell, of_cell in by_cell(rows):
        found = pd.DataFrame([
            agreement(some["guess_crossing"].to_numpy(float), some["crossing"].to_numpy(float))
            for _, some in of_cell.groupby(SETTING, dropna=False)
        ])  # fmt: skip
        r2, slope = _median(found["r2"]), _median(found["slope"])
        yield Finding("R2a.r2", cell, r2, r2.value >= LEAST_R2)
        yield Finding("R2a.slope", cell, slope, SLOPES[0] <= slope.value <= SLOPES[1])
        for name in ("ratio", "concordance"):
            yield Finding(f"R2a.{name}", cell, _median(found[name]))
        both = of_cell[of_cell["guess_crossing"].notna() & of_cell["crossing"].notna()]
        near = (both["guess_angle"] - both["angle"]).abs() <= math.pi / both["length"]
        yield beside("R2a.angle", cell, near)


def _median(values: pd.Series) -> stats.Estimate:
    return stats.median(values.dropna().to_numpy(float))


def _scores(crossings: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Yield for each setting how well its other arms and the baselines predict the crossing."""
    for setting, measured, others in arms(crossings):
        if "balanced" not in others:
            continue
        row: dict[str, object] = {"cell": setting[0], "optimizer": setting[1]}
        for arm in ("balanced", "again"):
            row |= {f"{arm}_{name}": math.nan for name in ("r2", "slope", "ratio", "concordance")}
            if arm in others:
                both = measured.join(others[arm]["crossing"].rename("guess"), how="inner")
                pair = both["guess"].to_numpy(float), both["crossing"].to_numpy(float)
                row |= {f"{arm}_{name}": value for name, value in agreement(*pair).items()}
        for name in BASELINES:
            pair = measured[name].to_numpy(float), measured["crossing"].to_numpy(float)
            row[f"{name}_r2"] = agreement(*pair)["r2"]
        yield row


def agreement(predicted: np.ndarray, measured: np.ndarray) -> dict[str, float]:
    """Return how well predicted times (n,) agree with measured times (n,); NaN is "never".

    Keys: `r2`, the squared correlation of the logarithms; `slope`, of log measured time on log
    predicted time; `ratio`, the median measured time over the predicted time; `concordance`, the
    share of pairs of runs that are in the right order (Harrell et al. 1982). The first three need
    FEWEST runs for which both times are known and above zero, or else they are NaN.
    """
    known = (predicted > 0) & (measured > 0)  # False for NaN
    r2 = slope = ratio = math.nan
    if known.sum() >= FEWEST:
        x, y = np.log(predicted[known]), np.log(measured[known])
        ratio = float(np.exp(np.median(y - x)))
        if x.std() > 0 and y.std() > 0:
            r2 = float(np.corrcoef(x, y)[0, 1] ** 2)
            slope = float(((x - x.mean()) * (y - y.mean())).mean() / x.var())
    late = np.where(np.isnan(measured), math.inf, measured)
    guess = np.where(np.isnan(predicted), math.inf, predicted)
    earlier = late[:, None] < late[None, :]  # pairs in which the first is known to cross first
    right = earlier & (guess[:, None] < guess[None, :])
    ties = earlier & (guess[:, None] == guess[None, :])
    pairs = int(earlier.sum())
    concordance = (right.sum() + ties.sum() / 2) / pairs if pairs else math.nan
    return {"r2": r2, "slope": slope, "ratio": ratio, "concordance": float(concordance)}


def blurred(crossings: pd.DataFrame, runs: pd.DataFrame) -> Findings:
    """R3 is refuted if without noise log(1 - radius) on log T has a slope outside [-1.3, -0.7].

    The radius is the spectral radius when the loss leaves its plateau. Networks that leave only
    after the crossing have a radius above 1, and no logarithm; their share is a further finding, as
    is the slope with noise.
    """
    watched = fresh(settings_of(crossings, runs, "resonance_lengths"))
    for cell, of_cell in by_cell(watched[watched["leaving"].notna()]):
        for noisy, rows in of_cell.groupby(of_cell["noise"] > 0):
            gap = 1 - rows["radius_at_leaving"].to_numpy(float)
            below = gap > 0
            x, y = np.log(rows["length"].to_numpy(float)[below]), np.log(gap[below])
            name = "noise" if noisy else "quiet"
            yield beside(f"R3.after_crossing/{name}", cell, ~below)
            if below.sum() < FEWEST or not x.std() > 0:
                continue
            slope = stats.bootstrap(_slope(x, y), [len(x)], rng("blurred", cell, name))
            held = R3_SLOPES[0] <= slope.value <= R3_SLOPES[1]
            yield Finding(f"R3.slope/{name}", cell, slope, None if noisy else held)


def _slope(x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from resampled numbers of runs (..., n) to the slope of y on x."""

    def of(index: np.ndarray) -> np.ndarray:
        a, b = x[index], y[index]
        a = a - a.mean(-1, keepdims=True)
        return (a * b).sum(-1) / (a * a).sum(-1)

    return of


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
            ratio = max(medians) / min(medians)
            estimate = stats.Estimate(ratio, math.nan, math.nan, len(rows))
            yield Finding(f"R8.ratio/{number:g}", f"{cell}/{size}", estimate, ratio <= COLLAPSE)


def kappa(rows: pd.DataFrame) -> pd.Series:
    """Return κ = ½ ȳ (1 - ȳ) σ² T for the setting of each row."""
    ones = (rows["pattern"].str.count("1") / rows["pattern"].str.len()).astype(float)
    values = ones * (1 - ones) / 2 * rows["noise"] ** 2 / 12 * rows["length"]
    return values.astype(float).round(4)


def _median_time(rows: pd.DataFrame) -> float:
    """Return the Kaplan-Meier median of the scaled times of the crossing in one setting."""
    crossed = rows["crossing"].notna().to_numpy()
    times = rows["crossing"].fillna(rows["last_update"]).to_numpy(float)
    times *= (rows["lr"] / rows["length"]).to_numpy(float)
    return stats.time_to_share(stats.solved_curve(times, crossed)).value


MEASURES = {
    "R1.on_harmonic": "share of crossings within π/T of a harmonic of the pattern",
    "R1.smoothly_on_harmonic": f"the same where the radius moved by at most {SMOOTH} in the update",
    "R1.before_training": "share of outermost eigenvalues within π/T of a harmonic before training",
    "R1.chance": "share of the circle within π/T of a harmonic",
    "R1.strongest": "share of crossings at the harmonic that the untrained network answers most",
    "R2.r2": "median over settings of the R² of log predicted and log measured crossing",
    "R2.slope": "median over settings of the slope of log measured on log predicted crossing",
    "R2.ratio": "median over settings of the median of measured over predicted crossing",
    "R2.concordance": "median over settings of the share of pairs predicted in the right order",
    "R2.ceiling_r2": "R² of the ceiling: the same initial weights with other noise",
    "R2.ceiling_slope": "slope of the ceiling",
    "R2.ceiling_ratio": "median ratio of the ceiling",
    "R2.ceiling_concordance": "concordance of the ceiling",
    "R2.baseline": "R² of a baseline known before training: {}",
    "R2a.r2": "median over settings of the R² of the closed form",
    "R2a.slope": "median over settings of the slope of the closed form",
    "R2a.ratio": "median over settings of the median of measured over predicted crossing",
    "R2a.concordance": "median over settings of the share of pairs predicted in the right order",
    "R2a.angle": "share of predicted crossings within π/T of the measured angle",
    "R3.slope": "slope of log(1 − radius) at the leaving on log T ({})",
    "R3.after_crossing": "share of networks whose loss leaves only after the crossing ({})",
    "R8.ratio": "largest ratio of two median times t η/T with κ = {}",
}
