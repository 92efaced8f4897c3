"""Hypotheses 6 to 15 and 17 on the mechanism, and how well the stored networks bear them out.

`HYPOTHESES` has for each its number, its statement, and a judge that turns the tables of the
analysis into findings. A finding's key names its measure (`H7.flip_saddle`) and, after slashes, the
case (`H15.trained/4`: hidden size 4); `MEASURES` says it in words. Its group is a cell, or a cell
with an optimizer or a hidden size (`lstm`, `lstm/sgd`, `mingru/2`).

A hypothesis about all networks fails with the first one that contradicts it; `count` says how many
of the n agree. Where it is about a middle or an association, it holds if the whole interval is on
its side. The first line of a judge's docstring says what refutes its hypothesis. A finding without
a verdict stands beside the one that decides. `study dynamics` writes all findings to
RESULTS/dynamics/verdicts.csv.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import signature
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from study import stats
from study.dynamics.tables import read
from study.runs import stream
from study.text import cell_name, minus, optimizer_name

HEADLINE = ("lstm", "gru", "rnn_tanh", "rnn_relu")
NEUTRAL = 1e-5  # nats per step: an exponent this close to 0 counts as 0
AGREES = 0.01  # nats per step between the exponent without noise and half the logarithm of rho

MEASURES = {
    "H6.no_slip": "share without a slip, of networks with a stable cycle at every input",
    "H6.slip_rate": "slips per step, of networks with a stable cycle at every input",
    "H6.no_slip_without_cycle": "share without a slip, of networks that lack it at some input",
    "H7.stable_cycle": "share with a stable alternating 2-cycle at every constant input",
    "H7.flip_saddle": "share with a fixed point that has an eigenvalue below −1",
    "H7.stable_cycle_mean_input": "share with a stable alternating 2-cycle at the mean input",
    "H7.no_cycle_but_longer": "of those without, share that alternate on a longer cycle",
    "H7.no_cycle_but_neutral": "of those without, share that alternate on a neutral 2-cycle",
    "H7.no_cycle_but_unsettled": "of those without, share that alternate without settling",
    "H8.lag": "median number of updates from the crossing to the loss leaving its plateau",
    "H8.loss_first": "share whose loss is below {} of chance before the crossing",
    "H8.cycle_when_leaving": "share with a stable 2-cycle when the loss leaves its plateau",
    "H9.contracts": "share with a negative largest conditional Lyapunov exponent",
    "H9.expands": f"share whose exponent is above {NEUTRAL:g} or undefined",
    "H9.quiet_agrees": f"share whose exponent without noise is within {AGREES:g} of ½ ln ρ",
    "H10.selectivity_gain": "selectivity of the probe, trained networks minus untrained ones",
    "H10.probe": "accuracy of the probe, {} labels, {} networks",
    "H11.opposite_flips": "share of states of the opposite phase that flip the answers for good",
    "H11.same_flips": "share of states of the same phase that flip the answers",
    "H11.random_flips": "share of random states that flip the answers",
    "H11.shuffled_flips": "share of shuffled states that flip the answers",
    "H12.flips": "share of trials in which {} alone, of the opposite phase, flips the answers",
    "H13.recovery_rank": "rank correlation of the steps to recover with 1/|ln ρ|",
    "H13.robustness_rank": "rank correlation of the phase kept under noise with 1/|ln ρ|",
    "H13.margin_toward": "median margin toward the cycle's other point",
    "H13.margin_nearest": "median margin, nearest of the random directions",
    "H14.kept_frozen": "share of sequences kept with a frozen gate: {}",
    "H14.kept_cut": "share of sequences kept without recurrence into a gate: {}",
    "H14.unsolved_without_recurrence": "share unsolved without recurrence into any gate",
    "H15.hand_built_slips": "slips per step of one unit built by hand",
    "H15.trained": "share that training solves, hidden size {}",
    "H15.guessed": "share of guessed weights in ±{} that solve the task, hidden size {}",
    "H17.within_bound": "share of networks that get at most H + 1 labels in a row right",
    "H17.longest_prefix": "largest number of first labels that a network gets right",
}
SAID = {True: "held", False: "failed", None: ""}
COLUMNS = "key hypothesis claim group measure estimate low high count n verdict"


class Finding(NamedTuple):
    """An estimate of one measure in one group of networks, and what it says of the hypothesis."""

    key: str
    group: str
    estimate: stats.Estimate
    held: bool | None = None  # None: a number beside the verdict, with no criterion of its own
    agreeing: int | None = None  # how many of the n networks agree; None for rates and the like


Findings = Iterator[Finding]


class Hypothesis(NamedTuple):
    """A hypothesis and its judge, whose parameters are the tables that it reads."""

    number: int
    statement: str
    judge: Callable[..., Findings]

    @property
    def refuted_by(self) -> str:
        """What refutes the hypothesis: the first line of its judge's docstring."""
        return (self.judge.__doc__ or "").splitlines()[0]


class VerdictRow(NamedTuple):
    """A measure that decides a hypothesis, and what it says of each group of networks.

    A group is a text like `GRU, SGD: 1 [0, 1], 100 of 100`.
    """

    number: int
    key: str
    statement: str
    measure: str
    held: list[str]
    failed: list[str]


def table(results: str | Path, frame: pd.DataFrame) -> pd.DataFrame:
    """Every finding of a results folder, one per row; `frame` is its table of runs.

    Hypotheses about networks that the folder does not have are left out.
    """
    findings = []
    for hypothesis in HYPOTHESES.values():
        names = signature(hypothesis.judge).parameters
        tables = {name: read(results, name) for name in names if name != "runs"}
        if all(map(len, tables.values())):
            runs = {"runs": frame} if "runs" in names else {}
            findings += hypothesis.judge(**tables, **runs)
    return pd.DataFrame(map(_row, findings), columns=COLUMNS.split())


def _row(finding: Finding) -> tuple:
    key, group, found, held, agreeing = finding
    number, statement, _ = HYPOTHESES[key.partition(".")[0]]
    about = (key, number, statement, group, measure_text(key))
    return *about, found.value, found.low, found.high, agreeing, found.n, SAID[held]


def verdict_table(results: str | Path) -> list[VerdictRow]:
    """The measures that decide a hypothesis, from the stored verdicts of a results folder."""
    verdicts = pd.read_csv(Path(results) / "dynamics" / "verdicts.csv").dropna(subset="verdict")
    rows = []
    for key, found in verdicts.groupby("key", sort=False):
        number, statement, *_ = HYPOTHESES[str(key).partition(".")[0]]
        said = {"held": [], "failed": []}
        for _, row in found.iterrows():
            said[row["verdict"]].append(_in_words(row))
        rows.append(VerdictRow(number, str(key), statement, measure_text(str(key)), **said))
    return rows


def _in_words(row: pd.Series) -> str:
    agree = "" if pd.isna(row["count"]) else f", {row['count']:.0f} of {row['n']}"
    name = ", ".join(filter(None, group_names(row["group"])))
    numbers = f"{row['estimate']:.4g} [{row['low']:.4g}, {row['high']:.4g}]"
    return f"{name}: {minus(numbers)}{agree}"


def measure_text(key: str) -> str:
    """A measure in words."""
    name, *case = key.split("/")
    return MEASURES[name].format(*case)


def group_names(group: str) -> tuple[str, str]:
    """The name of a group's cell, and that of its optimizer or hidden size, which may be empty."""
    cell, _, kind = group.partition("/")
    return cell_name(cell), f"hidden size {kind}" if kind.isdigit() else optimizer_name(kind)


# --- what judges share --------------------------------------------------------------------------


def _rng(*key: object) -> np.random.Generator:
    return stream("dynamics: verdicts", *key)


def _mean(values: pd.Series, *key: object) -> stats.Estimate:
    """Mean over networks, bootstrap interval over networks."""
    array = values.to_numpy(float)
    return stats.bootstrap(lambda i: array[i].mean(-1), [len(array)], _rng(*key))


def _slip_rate(rows: pd.DataFrame, *key: object) -> stats.Estimate:
    return stats.rate_over_runs(rows["slips"].to_numpy(), rows["steps"].to_numpy(), _rng(*key))


def _beside(key: str, group: str, flags: pd.Series, held: bool | None = None) -> Finding:
    """The share of networks with a property, by default without a criterion."""
    agreeing = int(flags.sum())
    return Finding(key, group, stats.share(agreeing, len(flags)), held, agreeing)


def _every(key: str, group: str, flags: pd.Series) -> Finding:
    """The share of networks with a property that the hypothesis claims for every one of them."""
    return _beside(key, group, flags, bool(flags.all()))


def _by_cell(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for cell in [*HEADLINE, *sorted(set(table["cell"]) - set(HEADLINE))]:
        rows = table[table["cell"] == cell]
        if len(rows):
            yield cell, rows


def _solved(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["status"] == "solved"]


def _stable_everywhere(cycles: pd.DataFrame) -> pd.Series:
    """Whether each solved network has a stable alternating 2-cycle at every constant input.

    Only inputs that the noise allows count. Indexed by run.
    """
    possible = cycles[cycles["u"] <= cycles["noise"] + 1e-6]
    return _solved(possible).groupby("run_id")["stable_alternating"].min() > 0


# --- the judges ---------------------------------------------------------------------------------


def never_slips(slips: pd.DataFrame, cycles: pd.DataFrame) -> Findings:
    """A network with a stable cycle at every tested input slips.

    That is no artefact of the search: the cycle is stable at every constant input, but the flip
    eigenvalue is just below -1, or a multiplier just below 1, so that the input, which varies, may
    carry the state over the separatrix.
    """
    stable = _stable_everywhere(cycles)
    for cell, rows in _by_cell(_solved(slips)):
        is_stable = rows["run_id"].isin(stable.index[stable])
        on, off = rows[is_stable], rows[~is_stable]
        if len(on):
            yield _every("H6.no_slip", cell, on["slips"] == 0)
            yield Finding("H6.slip_rate", cell, _slip_rate(on, "slips", cell))
        if len(off):
            yield _beside("H6.no_slip_without_cycle", cell, off["slips"] == 0)


def two_cycle(cycles: pd.DataFrame) -> Findings:
    """A solved network lacks the cycle at some tested input, or has no eigenvalue below -1.

    Those without a stable 2-cycle are described by their orbits at the mean input. The cycle may
    itself have flipped into a longer cycle, or into an orbit that never repeats; or the state
    drifts along a direction whose multiplier is 1 to rounding, which makes the cycle neutral (a
    cell state that adds up, an update gate that is shut), or grows without bound (ReLU). A network
    whose fixed point is stable beside the cycle has a cycle as its saddle: a fold bore the two
    cycles together, and no eigenvalue is below -1.
    """
    cycles = _solved(cycles)
    everywhere = _stable_everywhere(cycles)
    for cell, rows in _by_cell(cycles[np.isclose(cycles["u"], cycles["noise"] / 2)]):
        yield _every("H7.stable_cycle", cell, everywhere[rows["run_id"]])
        yield _every("H7.flip_saddle", cell, rows["flip_eigenvalue"] < -1)
        yield _beside("H7.stable_cycle_mean_input", cell, rows["stable_alternating"] > 0)
        without = rows[rows["stable_alternating"] == 0]
        if len(without):
            alternates, period = without["orbit_alternates"].astype(bool), without["orbit_period"]
            yield _beside("H7.no_cycle_but_longer", cell, alternates & (period > 2))
            yield _beside("H7.no_cycle_but_neutral", cell, alternates & (period == 2))
            yield _beside("H7.no_cycle_but_unsettled", cell, alternates & (period == 0))


def flip_bifurcation(learning: pd.DataFrame) -> Findings:
    """The median lag from the crossing of -1 to the loss leaving ln 2 may be negative.

    A network whose loss leaves though the eigenvalue never crosses has a lag of minus infinity.
    """
    names = map(str, learning)
    bars = [name.removeprefix("leaving_") for name in names if name.startswith("leaving_")]
    for cell, rows in _by_cell(learning):
        for optimizer, some in rows.groupby("optimizer"):
            group, left = f"{cell}/{optimizer}", some[some["leaving"].notna()]
            if left.empty:
                continue
            lag = stats.median(left["lag"].fillna(-np.inf).to_numpy(float))
            yield Finding("H8.lag", group, lag, lag.low >= 0, int((left["lag"] >= 0).sum()))
            for bar in bars:
                below = some[some[f"leaving_{bar}"].notna()]
                if len(below):
                    first = ~(below["crossing"] <= below[f"leaving_{bar}"])
                    yield _beside(f"H8.loss_first/{bar}", group, first)
            yield _beside("H8.cycle_when_leaving", group, left["cycle_at_leaving"].astype(bool))


def contracts(exponents: pd.DataFrame) -> Findings:
    """The largest conditional Lyapunov exponent of a solved network is not negative.

    An exponent that is not negative may still be 0 to rounding, in a network with a neutral
    direction: the share that expands leaves those out. Where the state overflows there is no
    exponent, which counts against the hypothesis.
    """
    for cell, rows in _by_cell(_solved(exponents)):
        yield _every("H9.contracts", cell, rows["noisy"] < 0)
        yield _beside("H9.expands", cell, ~(rows["noisy"] <= NEUTRAL))
        finite = rows[np.isfinite(rows["half_log_rho"]) & np.isfinite(rows["quiet"])]
        if len(finite):
            agrees = (finite["quiet"] - finite["half_log_rho"]).abs() < AGREES
            yield _beside("H9.quiet_agrees", cell, agrees)


def decodable(probes: pd.DataFrame) -> Findings:
    """The probe may be no more selective in trained networks than in untrained ones."""
    probes = _solved(probes)
    probes = probes.assign(selectivity=probes["phase"] - probes["hashed"])
    for cell, rows in _by_cell(probes):
        wide = rows.pivot_table(index="run_id", columns="trained", values="selectivity")
        if True in wide and False in wide:
            gains = (wide[True] - wide[False]).dropna()
            gain, more = _mean(gains, "probe", cell), int((gains > 0).sum())
            yield Finding("H10.selectivity_gain", cell, gain, gain.low > 0, more)
        for trained, some in rows.groupby("trained"):
            for label in ("phase", "shuffled", "hashed"):
                mean = _mean(some[label], label, cell, trained)
                whose = "trained" if trained else "untrained"
                yield Finding(f"H10.probe/{label}/{whose}", cell, mean)


def _of(table: pd.DataFrame, name: str, part: str = "all") -> pd.DataFrame:
    return table[(table["intervention"] == name) & (table["part"] == part)]


def _swaps(
    key: str, group: str, rows: pd.DataFrame, agrees: pd.Series, decides: bool = True
) -> Finding:
    """The share of trials that flip the answers, and in how many networks they do as predicted."""
    held = bool(agrees.all()) if decides else None
    return Finding(key, group, _flips(rows), held, int(agrees.sum()))


def _flips(rows: pd.DataFrame) -> stats.Estimate:
    return stats.share_over_runs(rows["flipped"].to_numpy(), rows["trials"].to_numpy())


def carries_phase(interventions: pd.DataFrame) -> Findings:
    """A donor of the opposite phase does not flip the answers to the end, or one of the same does.

    A random state has no phase to bring: it falls to either side, so its flips decide nothing. Nor
    do a shuffled donor's; both show what a change of that size does by itself. The exceptions are
    networks that do not get all sequences right: a donor had itself lost the phase, or the receiver
    loses it on its own.
    """
    for cell, rows in _by_cell(interventions):
        opposite, same = _of(rows, "opposite donor"), _of(rows, "same donor")
        yield _swaps(
            "H11.opposite_flips", cell, opposite, opposite["flipped"] == opposite["trials"]
        )
        yield _swaps("H11.same_flips", cell, same, same["flipped"] == 0)
        yield Finding("H11.random_flips", cell, _flips(_of(rows, "random state")))
        yield Finding("H11.shuffled_flips", cell, _flips(_of(rows, "shuffled donor")))


def route_is_h(interventions: pd.DataFrame) -> Findings:
    """The cell state c alone flips the phase; whether h alone does stands beside it."""
    for cell, rows in _by_cell(interventions[interventions["part"].isin(("h", "c"))]):
        h, c = (_of(rows, "opposite donor", part) for part in ("h", "c"))
        yield _swaps("H12.flips/h", cell, h, h["flipped"] == h["trials"], decides=False)
        yield _swaps("H12.flips/c", cell, c, c["flipped"] == 0)


def recovery_follows(
    recovery: pd.DataFrame, interventions: pd.DataFrame, margins: pd.DataFrame
) -> Findings:
    """The rank correlation of recovery under noise with 1/|ln ρ| may be 0 or less.

    Beside it: what steady noise on the state leaves of the phase, and margins. A margin is the
    first push that changes the phase for good, in distances between the cycle's points.
    """
    jolts = interventions.query("intervention == 'noise'")
    sums = jolts.groupby("run_id")[["kept", "trials"]].sum()
    for cell, rows in _by_cell(recovery.query("0 < rho < 1")):
        if len(rows) < 3:
            continue
        slowness = 1 / np.abs(np.log(rows["rho"].to_numpy(float)))
        steps = rows["noisy_steps"].to_numpy(float)
        found = stats.rank_association(slowness, steps, _rng("recovery", cell))
        yield Finding("H13.recovery_rank", cell, found, found.low > 0)
        kept = (sums["kept"] / sums["trials"]).reindex(rows["run_id"]).to_numpy(float)
        known = ~np.isnan(kept)
        if known.sum() > 2:
            found = stats.rank_association(slowness[known], kept[known], _rng("jolts", cell))
            yield Finding("H13.robustness_rank", cell, found)
    for cell, rows in _by_cell(margins):
        for way in ("toward", "nearest"):
            yield Finding(f"H13.margin_{way}", cell, stats.median(rows[way].to_numpy(float)))


def gates_differ(interventions: pd.DataFrame, runs: pd.DataFrame) -> Findings:
    """An LSTM whose gates see x alone solves the task; beside it, what each gate is needed for."""
    keys = {"freeze gate": "H14.kept_frozen", "cut recurrence": "H14.kept_cut"}
    for cell, rows in _by_cell(interventions[interventions["intervention"].isin(keys)]):
        for (intervention, gate), some in rows.groupby(["intervention", "part"], sort=False):
            kept = stats.share_over_runs(some["kept"].to_numpy(), some["trials"].to_numpy())
            yield Finding(f"{keys[str(intervention)]}/{gate}", cell, kept)
    rows = runs[(runs["cell"] == "lstm_no_recurrence") & (runs["task"] == "alternating")]
    if len(rows):
        unsolved = rows["converged_update"].isna()
        yield _every("H14.unsolved_without_recurrence", "lstm_no_recurrence", unsolved)


def one_unit(hand_built: pd.DataFrame, guessing: pd.DataFrame, runs: pd.DataFrame) -> Findings:
    """A one-unit network built by hand slips.

    Beside it: how often training and guessing find a solution, by hidden size.
    """
    for cell, rows in _by_cell(hand_built):
        rate, none = _slip_rate(rows, "built", cell), int((rows["slips"] == 0).sum())
        yield Finding("H15.hand_built_slips", cell, rate, rate.value == 0, none)
    for cell, rows in _by_cell(_by_size(runs)):
        for size, some in rows.groupby("hidden_size"):
            yield _beside(f"H15.trained/{size}", cell, some["converged_update"].notna())
    for cell, rows in _by_cell(guessing):
        for size, limit, n, solved in rows[["hidden_size", "range", "n", "solved"]].to_numpy(int):
            found = stats.share(int(solved), int(n))
            yield Finding(f"H15.guessed/{limit}/{size}", cell, found, None, int(solved))


def _by_size(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that differ in size alone: of the factorial and the sizes, full noise, length 20."""
    some = runs[runs["cell"].isin(HEADLINE) & (runs["noise"] == 1) & (runs["length"] == 20)]
    of_sizes = [bool({"factorial", "sizes"} & set(blocks)) for blocks in some["blocks"]]
    return some[np.array(of_sizes, bool)]


def positive_cannot(bound: pd.DataFrame) -> Findings:
    """A noiseless positive recurrence of one layer gets more than H + 1 labels in a row right.

    Signed recurrences, which may, stand beside the positive ones.
    """
    for (cell, size), rows in bound[bound["noise"] == 0].groupby(["cell", "hidden_size"]):
        group, judge = f"{cell}/{size}", _beside if cell == "diagonal_signed" else _every
        yield judge("H17.within_bound", group, rows["prefix"] <= rows["bound"])
        most = float(rows["prefix"].max())
        yield Finding("H17.longest_prefix", group, stats.Estimate(most, most, most, len(rows)))


HYPOTHESES = {
    "H6": Hypothesis(
        6, "A solved network with a stable cycle at every input never slips", never_slips
    ),
    "H7": Hypothesis(7, "A solved network has a stable 2-cycle around a flip saddle", two_cycle),
    "H8": Hypothesis(
        8, "Learning is a flip bifurcation: the loss does not leave first", flip_bifurcation
    ),
    "H9": Hypothesis(9, "Driven by noise, a solved network contracts", contracts),
    "H10": Hypothesis(10, "The phase can be decoded linearly, and not trivially so", decodable),
    "H11": Hypothesis(11, "The state causally carries the phase", carries_phase),
    "H12": Hypothesis(12, "In the LSTM, h carries the phase to the next step", route_is_h),
    "H13": Hypothesis(13, "Recovery follows the multipliers", recovery_follows),
    "H14": Hypothesis(14, "Gates have separate roles", gates_differ),
    "H15": Hypothesis(15, "One unit is enough in principle but not in practice", one_unit),
    "H17": Hypothesis(
        17, "A positive linear recurrence gets at most H + 1 labels in a row right", positive_cannot
    ),
}
