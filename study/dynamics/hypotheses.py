"""Test the hypotheses on how networks learn and solve the task.

Hypotheses H6 to H17 and P1 are about networks that solve the task, and R1 to R8a about learning as
the growth of a resonance (see `study.dynamics.resonance` and `study.dynamics.automata`).

`HYPOTHESES` has the statement of each hypothesis and its judge. A judge is a function that reads
tables of the analysis and returns findings. A finding is the estimate of one measure for one group
of networks. `MEASURES` describes the measures. The key of a finding is the name of its measure,
such as `H7.flip_saddle`. Some keys also have a case after a slash. For example, `H15.trained/4` is
the measure `H15.trained` for hidden size 4. A group is named by its cell, alone or with an
optimizer, a hidden size or a pattern: `lstm`, `lstm/sgd`, `mingru/2`, `gru/pattern 110`.

The first line of a judge's docstring says what refutes the hypothesis. A hypothesis about all
networks fails if any network contradicts it. In this case `count` is the number of networks, out of
n, that agree with the hypothesis. A hypothesis about a median, a mean or a correlation holds if the
whole interval lies on the expected side. Some findings have no verdict, but help to explain others.
The command `study dynamics` writes all findings to RESULTS/dynamics/verdicts.csv.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from inspect import signature
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from study import stats
from study.dynamics import automata, resonance, truncation, zeroing
from study.dynamics.finding import HEADLINE, Finding, Findings, beside, by_cell, every, rng
from study.dynamics.tables import exists, read, solved
from study.grid import of_blocks
from study.text import cell_name, minus, optimizer_name

NEUTRAL = 1e-5  # nats per step: an exponent this close to 0 counts as 0
AGREES = 0.01  # nats per step: exponents this close to ½ ln ρ count as equal to it

MEASURES = {
    "H6.no_slip": "share of networks with a stable cycle at every input that never slipped",
    "H6.slip_rate": "slips per step of networks with a stable cycle at every input",
    "H6.no_slip_without_cycle": (
        "share that never slipped, of networks without a stable cycle at some input"
    ),
    "H7.stable_cycle": "share with a stable alternating 2-cycle at every constant input",
    "H7.flip_saddle": "share with a fixed point that has an eigenvalue below −1",
    "H7.stable_cycle_mean_input": "share with a stable alternating 2-cycle at the mean input",
    "H7.no_cycle_but_longer": (
        "share that alternate on a longer cycle, of networks without a stable 2-cycle"
    ),
    "H7.no_cycle_but_neutral": (
        "share that alternate on a neutral 2-cycle, of networks without a stable 2-cycle"
    ),
    "H7.no_cycle_but_unsettled": (
        "share that alternate without settling, of networks without a stable 2-cycle"
    ),
    "H9.contracts": "share with a negative largest conditional Lyapunov exponent",
    "H9.expands": f"share whose exponent is above {NEUTRAL:g} or undefined",
    "H9.quiet_agrees": f"share whose exponent without noise is within {AGREES:g} of ½ ln ρ",
    "H10.selectivity_gain": "selectivity of the probe in trained minus untrained networks",
    "H10.probe": "accuracy of the probe on {} labels in {} networks",
    "H11.opposite_flips": "share of states of the opposite phase that flipped all later answers",
    "H11.same_flips": "share of states of the same phase that flipped the answers",
    "H11.random_flips": "share of random states that flipped the answers",
    "H11.shuffled_flips": "share of shuffled states that flipped the answers",
    "H12.flips": "share of trials in which {} of the opposite phase alone flipped the answers",
    "H12.within": "the same if c is replaced within the step, before h is computed from it",
    "H12.same_within": "the same for c of the same phase",
    "H13.recovery_rank": "rank correlation between the steps to recover and 1/|ln ρ|",
    "H13.robustness_rank": "rank correlation between trials kept under noise and 1/|ln ρ|",
    "H13.margin_toward": "median margin toward the cycle's other point",
    "H13.margin_nearest": "median margin in the nearest of the random directions",
    "H14.kept_frozen": "share of sequences kept with the {} gate frozen",
    "H14.kept_cut": "share of sequences kept without recurrence into the {} gate",
    "H14.unsolved_without_recurrence": "share unsolved without recurrence into any gate",
    "H15.hand_built_slips": "slips per step of one unit built by hand",
    "H15.trained": "share of trained networks of hidden size {} that solve the task",
    "H15.guessed": "share of guesses with weights in ±{} that solve the task at hidden size {}",
    "H17.within_bound": "share of networks that get at most H + 1 labels in a row right",
    "H17.longest_prefix": "largest number of labels in a row that a network gets right",
    "P1.withstands": "share of networks proved right for ever in which no attack made an error",
    "P1.share": "share of solved networks that are {}, as to whether they are right for ever",
    "P1.largest_noise": "median of the largest level of noise, up to 4, at which a proof closes",
    **resonance.MEASURES,
    **zeroing.MEASURES,
    **truncation.MEASURES,
    **automata.MEASURES,
}
VERDICTS = {True: "held", False: "failed", None: ""}
COLUMNS = "key hypothesis claim group measure estimate low high count n verdict"


class Hypothesis(NamedTuple):
    """The statement of a hypothesis, and its judge, a function that turns tables into findings.

    The parameters of the judge have the names of the tables that it reads.
    """

    statement: str
    judge: Callable[..., Findings]


class VerdictRow(NamedTuple):
    """A measure that decides a hypothesis, and the groups for which the hypothesis held or failed.

    `held` and `failed` have one text per group. A text has the estimate, its interval, and the
    number of networks that agree with the hypothesis. An example is
    `GRU, SGD: 0.98 [0.93, 0.99], 98 of 100`.
    """

    hypothesis: str
    statement: str
    measure: str
    held: list[str]
    failed: list[str]


class Outcome(NamedTuple):
    """The groups of networks in which a hypothesis held, and those in which it failed."""

    held: list[str]
    failed: list[str]

    def __str__(self) -> str:
        n, failed = len(self.held) + len(self.failed), len(self.failed)
        if not failed:
            return "holds" if n == 1 else f"holds in all {n} groups"
        some = f"all {n}" if failed == n else f"{failed} of {n}"
        count = "" if n == 1 else f" in {some} groups: {groups_text(self.failed)}"
        return f"fails{count}"


def table(results: str | Path, frame: pd.DataFrame) -> pd.DataFrame:
    """Judge all hypotheses on the tables of a results folder, and return one row per finding.

    `frame` has one row per run of the folder. A hypothesis is left out if a table that its judge
    needs is absent or has no rows.
    """
    findings = []
    for hypothesis in HYPOTHESES.values():
        names = signature(hypothesis.judge).parameters
        if not all(name == "runs" or exists(results, name) for name in names):
            continue
        tables = {name: frame if name == "runs" else read(results, name) for name in names}
        if all(map(len, tables.values())):
            findings += hypothesis.judge(**tables)
    return pd.DataFrame(map(_row, findings), columns=COLUMNS.split())


def _row(finding: Finding) -> tuple:
    key, group, estimate, held, agreeing = finding
    name, statement, measure = _described(key)
    numbers = (estimate.value, estimate.low, estimate.high, agreeing, estimate.n)
    return key, name, statement, group, measure, *numbers, VERDICTS[held]


def _described(key: str) -> tuple[str, str, str]:
    """Return the key and statement of a finding's hypothesis, and the text of its measure.

    `key` is the key of the finding.
    """
    hypothesis = key.partition(".")[0]
    return hypothesis, HYPOTHESES[hypothesis].statement, measure_text(key)


def read_verdicts(results: str | Path) -> pd.DataFrame:
    """Read a folder's verdicts.csv, which has one row per finding."""
    return pd.read_csv(Path(results) / "dynamics" / "verdicts.csv")


def outcomes(verdicts: pd.DataFrame) -> dict[str, Outcome]:
    """Return in which groups each hypothesis held and failed, by the hypothesis's key.

    `verdicts` are the findings on one results folder. A hypothesis fails in a group if any measure
    of the group says so. Hypotheses that were not judged are left out.
    """
    found: dict[str, Outcome] = {}
    decided = verdicts.dropna(subset="verdict")
    for key, rows in decided.groupby("hypothesis", sort=False):
        fails = (rows["verdict"] == "failed").groupby(rows["group"], sort=False).any()
        found[str(key)] = Outcome(list(fails.index[~fails]), list(fails.index[fails]))
    return found


def verdict_table(results: str | Path) -> list[VerdictRow]:
    """Return a row per measure that decides a hypothesis in a results folder.

    A row lists the groups of networks for which the hypothesis held, and the groups for which it
    failed.
    """
    verdicts, rows = read_verdicts(results).dropna(subset="verdict"), []
    for key, found in verdicts.groupby("key", sort=False):
        name, statement, measure = _described(str(key))
        groups = {"held": [], "failed": []}
        for _, row in found.iterrows():
            groups[row["verdict"]].append(_group_text(row))
        rows.append(VerdictRow(name, statement, measure, **groups))
    return rows


def _group_text(row: pd.Series) -> str:
    agree = "" if pd.isna(row["count"]) else f", {row['count']:.0f} of {row['n']}"
    name = ", ".join(filter(None, group_names(row["group"])))
    numbers = f"{row['estimate']:.4g}"
    if pd.notna(row["low"]):  # else an infinite median leaves the estimate without an interval
        numbers += f" [{row['low']:.4g}, {row['high']:.4g}]"
    return f"{name}: {minus(numbers)}{agree}"


def measure_text(key: str) -> str:
    """Return the description of the measure that a finding's key names."""
    name, *case = key.split("/")
    return MEASURES[name].format(*case)


def group_names(group: str) -> tuple[str, str]:
    """Return the display name of a group's cell, and of its optimizer, hidden size or pattern.

    The second name is empty if the group has none of these.
    """
    cell, _, kind = group.partition("/")
    return cell_name(cell), f"hidden size {kind}" if kind.isdigit() else optimizer_name(kind)


def groups_text(groups: Iterable[str]) -> str:
    """Return the display names of groups of networks as one text, with each cell named once.

    For example, `lstm/sgd` and `lstm/adam` become `LSTM (SGD, Adam)`.
    """
    kinds: dict[str, list[str]] = {}
    for cell, kind in map(group_names, groups):
        kinds.setdefault(cell, []).extend([kind] if kind else [])
    texts = [f"{cell} ({', '.join(names)})" if names else cell for cell, names in kinds.items()]
    return re.sub(r"(, )(hidden size|pattern) ", r"\1", "; ".join(texts))


# --- shared by judges ----------------------------------------------------------------------------


def _mean(values: pd.Series, *key: object) -> stats.Estimate:
    """Return the mean of `values` over networks, with a bootstrap interval.

    `key` names the stream of random numbers that draws the bootstrap samples. So the same key
    always gives the same interval.
    """
    array = values.to_numpy(float)
    return stats.bootstrap(lambda i: array[i].mean(-1), [len(array)], rng(*key))


def _slip_rate(rows: pd.DataFrame, *key: object) -> stats.Estimate:
    return stats.rate_over_runs(rows["slips"].to_numpy(), rows["steps"].to_numpy(), rng(*key))


def _stable_everywhere(cycles: pd.DataFrame) -> pd.Series:
    """Say which networks have a stable alternating 2-cycle at every constant input.

    The result has a truth value per network that solved the task, indexed by `run_id`. Of the
    inputs in the table `cycles`, only those within the range of the run's noise count.
    """
    possible = cycles[cycles["u"] <= cycles["noise"] + 1e-6]
    return solved(possible).groupby("run_id")["stable_alternating"].min() > 0


# --- the judges ---------------------------------------------------------------------------------


def never_slips(slips: pd.DataFrame, cycles: pd.DataFrame) -> Findings:
    """H6 is refuted if a network slips although it has a stable 2-cycle at every tested input.

    A slip is a step at which the labels change from right to wrong or from wrong to right. A
    network may slip even if its cycle is stable at every constant input, because the real input
    varies. The real input may carry the state across the separatrix, the boundary between the
    phases. This may happen if a multiplier of the cycle is just below 1. It may also happen if the
    eigenvalue of the flip saddle is just below -1. (A flip saddle is a fixed point with a real
    eigenvalue below -1.)
    """
    stable = _stable_everywhere(cycles)
    for cell, rows in by_cell(solved(slips)):
        is_stable = rows["run_id"].isin(stable.index[stable])
        on, off = rows[is_stable], rows[~is_stable]
        if len(on):
            yield every("H6.no_slip", cell, on["slips"] == 0)
            yield Finding("H6.slip_rate", cell, _slip_rate(on, "slips", cell))
        if len(off):
            yield beside("H6.no_slip_without_cycle", cell, off["slips"] == 0)


def two_cycle(cycles: pd.DataFrame) -> Findings:
    """H7 is refuted if a network that solves the task lacks a flip saddle or a stable 2-cycle.

    The 2-cycle must be stable at every tested constant input. A flip saddle is a fixed point with a
    real eigenvalue below -1. If both the fixed point and the 2-cycle are stable, there is no flip
    saddle. In this case a fold bifurcation has created the stable cycle together with an unstable
    cycle.

    Networks without a stable 2-cycle are described by their orbits at the mean input. The cycle may
    have flipped into a longer cycle, or into an orbit that never repeats. Or the cycle may be
    neutral, which means that the state drifts along a direction with the multiplier 1 up to
    rounding. This happens if a cell state accumulates or an update gate is shut. Or the state may
    grow without bound (ReLU).
    """
    cycles = solved(cycles)
    everywhere = _stable_everywhere(cycles)
    for cell, rows in by_cell(cycles[np.isclose(cycles["u"], cycles["noise"] / 2)]):
        yield every("H7.stable_cycle", cell, everywhere[rows["run_id"]])
        yield every("H7.flip_saddle", cell, rows["flip_eigenvalue"] < -1)
        yield beside("H7.stable_cycle_mean_input", cell, rows["stable_alternating"] > 0)
        without = rows[rows["stable_alternating"] == 0]
        if len(without):
            alternates, period = without["orbit_alternates"].astype(bool), without["orbit_period"]
            yield beside("H7.no_cycle_but_longer", cell, alternates & (period > 2))
            yield beside("H7.no_cycle_but_neutral", cell, alternates & (period == 2))
            yield beside("H7.no_cycle_but_unsettled", cell, alternates & (period == 0))


def contracts(exponents: pd.DataFrame) -> Findings:
    """H9 is refuted if a network that solves the task has an exponent that is not negative.

    The exponent is the largest conditional Lyapunov exponent. This is the rate at which two nearby
    states move apart under the same inputs (see `study.dynamics.noise`). If the distance neither
    grows nor shrinks in some direction, the exponent is 0 up to rounding. An exponent of this kind
    may refute the hypothesis, but the measure `H9.expands` does not count it. If the state
    overflows, the exponent is undefined, which counts against the hypothesis.
    """
    for cell, rows in by_cell(solved(exponents)):
        yield every("H9.contracts", cell, rows["noisy"] < 0)
        yield beside("H9.expands", cell, ~(rows["noisy"] <= NEUTRAL))
        finite = rows[np.isfinite(rows["half_log_rho"]) & np.isfinite(rows["quiet"])]
        if len(finite):
            agrees = (finite["quiet"] - finite["half_log_rho"]).abs() < AGREES
            yield beside("H9.quiet_agrees", cell, agrees)


def decodable(probes: pd.DataFrame) -> Findings:
    """H10 is refuted if the interval of the mean gain includes 0 or negative numbers.

    A linear probe predicts the phase (whether the step is even or odd) from the network's state.
    Selectivity is the accuracy of the probe on the phase minus its accuracy on random labels
    (`hashed` in `study.dynamics.probes`). The gain is the selectivity in the trained network minus
    the selectivity in the untrained network.
    """
    probes = solved(probes)
    probes = probes.assign(selectivity=probes["phase"] - probes["hashed"])
    for cell, rows in by_cell(probes):
        wide = rows.pivot_table(index="run_id", columns="trained", values="selectivity")
        if True in wide and False in wide:
            gains = (wide[True] - wide[False]).dropna()
            gain, more = _mean(gains, "probe", cell), int((gains > 0).sum())
            yield Finding("H10.selectivity_gain", cell, gain, gain.low > 0, more)
        for trained, some in rows.groupby("trained"):
            networks = "trained" if trained else "untrained"
            for label in ("phase", "shuffled", "hashed"):
                mean = _mean(some[label], label, cell, trained)
                yield Finding(f"H10.probe/{label}/{networks}", cell, mean)


def _of(table: pd.DataFrame, name: str, part: str = "all") -> pd.DataFrame:
    return table[(table["intervention"] == name) & (table["part"] == part)]


def _swaps(
    key: str, group: str, rows: pd.DataFrame, expected: int, decides: bool = True
) -> Finding:
    """Return a finding on the share of trials in which the network's answers flipped.

    A network agrees with the hypothesis if its answers flipped in all trials (`expected` = 1) or in
    none (`expected` = 0). The hypothesis holds if all networks agree. If `decides` is false, the
    finding has no verdict.
    """
    agrees = rows["flipped"] == expected * rows["trials"]
    held = bool(agrees.all()) if decides else None
    return Finding(key, group, _flips(rows), held, int(agrees.sum()))


def _flips(rows: pd.DataFrame) -> stats.Estimate:
    return stats.share_over_runs(rows["flipped"].to_numpy(), rows["trials"].to_numpy())


def carries_phase(interventions: pd.DataFrame) -> Findings:
    """H11 is refuted if a donor in the opposite phase fails even once to flip the answers.

    H11 is also refuted if a donor in the same phase flips the answers even once. In a trial, the
    state of one sequence, the donor, replaces the state of another sequence, the receiver. The
    phase is whether the next label is 1 or 0. The answers flip if the network then gives the other
    label at every later step, apart from a few steps right after the change.

    Further findings tell how often random states and the shuffled states of donors flip the
    answers. These findings have no verdict, but show the effect of any change of about this size.
    There may be exceptions in a network that does not get all sequences right. The donor may have
    lost the phase before, or the receiver may lose the phase later for other reasons.
    """
    for cell, rows in by_cell(interventions):
        yield _swaps("H11.opposite_flips", cell, _of(rows, "opposite donor"), expected=1)
        yield _swaps("H11.same_flips", cell, _of(rows, "same donor"), expected=0)
        yield Finding("H11.random_flips", cell, _flips(_of(rows, "random state")))
        yield Finding("H11.shuffled_flips", cell, _flips(_of(rows, "shuffled donor")))


def route_is_h(interventions: pd.DataFrame, runs: pd.DataFrame) -> Findings:
    """H12 is refuted if replacing the cell state c alone flips the network's answers.

    The new state comes from a sequence that has the other label next. The finding `H12.flips/h`
    tells how often replacing the hidden state h alone flips the answers. `H12.within` is about
    replacing c within a step, after it was computed and before h is computed from it. Networks
    that began with a certain forget bias have findings of their own. These findings have no
    verdict.
    """
    for cell, rows in by_cell(interventions[interventions["part"].isin(("h", "c"))]):
        h, c = (_of(rows, "opposite donor", part) for part in ("h", "c"))
        yield _swaps("H12.flips/h", cell, h, expected=1, decides=False)
        yield _swaps("H12.flips/c", cell, c, expected=0)
        groups = {cell: rows}
        biased = runs[(runs["init"] == "forget_bias") & (runs["cell"] == cell)]
        for (bias, size), some in biased.groupby(["init_value", "hidden_size"]):
            group = f"{cell}/forget bias {bias:g}, {size} units"
            groups[group] = rows[rows["run_id"].isin(some["run_id"])]
        for group, some in groups.items():
            for name, donor in (("within", "opposite"), ("same_within", "same")):
                within = _of(some, f"{donor} donor within", "c")
                if len(within):
                    yield _swaps(f"H12.{name}", group, within, expected=1, decides=False)


def recovery_follows(
    recovery: pd.DataFrame, interventions: pd.DataFrame, margins: pd.DataFrame
) -> Findings:
    """H13 is refuted if the interval of the rank correlation includes 0 or negative numbers.

    Two numbers are correlated over networks. One is 1/|ln ρ|, and the other is the number of steps
    to recover from a push under noise. Here ρ is the spectral radius of the stable cycle. Two more
    measures have no verdict. One is the rank correlation between 1/|ln ρ| and the share of trials
    in which a network keeps the pattern while noise is added to its state, also within each
    optimizer, since pooling can reverse it. The other is the margin,
    which is the length of the shortest push that changes the phase for good. Its unit is the
    distance between the cycle's two points.
    """
    jolts = interventions.query("intervention == 'noise'")
    sums = jolts.groupby("run_id")[["kept", "trials"]].sum()
    for cell, rows in by_cell(recovery.query("0 < rho < 1")):
        if len(rows) < 3:
            continue
        slowness = 1 / np.abs(np.log(rows["rho"].to_numpy(float)))
        steps = rows["noisy_steps"].to_numpy(float)
        found = stats.rank_association(slowness, steps, rng("recovery", cell))
        yield Finding("H13.recovery_rank", cell, found, found.low > 0)
        kept = (sums["kept"] / sums["trials"]).reindex(rows["run_id"]).to_numpy(float)
        groups = {cell: ~np.isnan(kept)}
        optimizers = sorted(set(rows["optimizer"]))
        if len(optimizers) > 1:
            for optimizer in optimizers:
                groups[f"{cell}/{optimizer}"] = groups[cell] & (rows["optimizer"] == optimizer)
        for group, known in groups.items():
            if known.sum() > 2:
                found = stats.rank_association(slowness[known], kept[known], rng("jolts", group))
                yield Finding("H13.robustness_rank", group, found)
    for cell, rows in by_cell(margins):
        for way in ("toward", "nearest"):
            yield Finding(f"H13.margin_{way}", cell, stats.median(rows[way].to_numpy(float)))


def gates_differ(interventions: pd.DataFrame, runs: pd.DataFrame) -> Findings:
    """H14 is refuted if an LSTM solves the task although its gates do not see the state.

    The gates of this LSTM (`lstm_no_recurrence`) see only the input x. Further findings give the
    share of sequences that trained networks still get right if a gate, or only its recurrent input,
    is held at its mean. These findings have no verdict.
    """
    keys = {"freeze gate": "H14.kept_frozen", "cut recurrence": "H14.kept_cut"}
    for cell, rows in by_cell(interventions[interventions["intervention"].isin(keys)]):
        for (intervention, gate), some in rows.groupby(["intervention", "part"], sort=False):
            kept = stats.share_over_runs(some["kept"].to_numpy(), some["trials"].to_numpy())
            yield Finding(f"{keys[str(intervention)]}/{gate}", cell, kept)
    rows = runs[(runs["cell"] == "lstm_no_recurrence") & (runs["task"] == "alternating")]
    if len(rows):
        unsolved = rows["converged_update"].isna()
        yield every("H14.unsolved_without_recurrence", "lstm_no_recurrence", unsolved)


def one_unit(hand_built: pd.DataFrame, guessing: pd.DataFrame, runs: pd.DataFrame) -> Findings:
    """H15 is refuted if a hand-built network of one unit slips.

    A slip is a step at which the labels change from right to wrong or from wrong to right. Further
    findings give the share of networks of each hidden size that solve the task, either after
    training or with weights guessed at random. These findings have no verdict.
    """
    for cell, rows in by_cell(hand_built):
        rate, none = _slip_rate(rows, "built", cell), int((rows["slips"] == 0).sum())
        yield Finding("H15.hand_built_slips", cell, rate, rate.value == 0, none)
    runs = of_blocks(runs, "factorial", "sizes")  # the runs chosen next differ in size alone
    runs = runs[runs["cell"].isin(HEADLINE) & (runs["noise"] == 1) & (runs["length"] == 20)]
    for cell, rows in by_cell(runs):
        for size, some in rows.groupby("hidden_size"):
            yield beside(f"H15.trained/{size}", cell, some["converged_update"].notna())
    for cell, rows in by_cell(guessing):
        for size, limit, n, right in rows[["hidden_size", "range", "n", "solved"]].to_numpy(int):
            share = stats.share(int(right), int(n))
            yield Finding(f"H15.guessed/{limit}/{size}", cell, share, None, int(right))


def bounded(bound: pd.DataFrame) -> Findings:
    """H17 is refuted if a positive recurrence gets more than H + 1 labels in a row right.

    A positive recurrence is linear, with H decays above 0 (see `study.dynamics.existence.bound`).
    Only runs without noise count. Further findings, without a verdict, describe recurrences with
    decays that may be negative. These recurrences can get more labels right.
    """
    for (cell, size), rows in bound[bound["noise"] == 0].groupby(["cell", "hidden_size"]):
        group, judge = f"{cell}/{size}", beside if cell == "diagonal_signed" else every
        yield judge("H17.within_bound", group, rows["prefix"] <= rows["bound"])
        most = float(rows["prefix"].max())
        yield Finding("H17.longest_prefix", group, stats.Estimate(most, most, most, len(rows)))


def proved(certificates: pd.DataFrame) -> Findings:
    """P1 is refuted if an attack makes a label wrong in a network that is proved right for ever.

    Further findings, without a verdict, give the shares of networks that are proved right for ever,
    refuted by an attack, and undecided, and the largest noise at which a proof closes (see
    `study.dynamics.certificates`).
    """
    for cell, rows in by_cell(certificates):
        sure = rows[rows["verdict"] == "proved"]
        if len(sure):
            yield every("P1.withstands", cell, sure["first_wrong"].isna())
        for verdict in ("proved", "refuted", "undecided"):
            yield beside(f"P1.share/{verdict}", cell, rows["verdict"] == verdict)
        levels = rows["largest_noise"].dropna().to_numpy(float)
        if len(levels):
            yield Finding("P1.largest_noise", cell, stats.median(levels))


HYPOTHESES = {
    "H6": Hypothesis(
        "A solved network with a stable cycle at every input never slips", never_slips
    ),
    "H7": Hypothesis("A solved network has a stable 2-cycle around a flip saddle", two_cycle),
    "H9": Hypothesis("A solved network contracts when driven by noise", contracts),
    "H10": Hypothesis(
        "A linear probe reads the phase, and does so better by training (a check)", decodable
    ),
    "H11": Hypothesis("The state causally carries the phase (a check)", carries_phase),
    "H12": Hypothesis("In the LSTM, h carries the phase to the next step", route_is_h),
    "H13": Hypothesis("Recovery follows the multipliers", recovery_follows),
    "H14": Hypothesis("Gates have separate roles", gates_differ),
    "H15": Hypothesis("One unit is enough in principle but not in practice", one_unit),
    "H17": Hypothesis("A positive recurrence gets at most H + 1 labels in a row right", bounded),
    "P1": Hypothesis("A network that is proved right for ever withstands every attack", proved),
    "R1": Hypothesis(
        "The first eigenvalue to cross has the angle of a harmonic", resonance.on_harmonic
    ),
    "R2": Hypothesis(
        "The update of the crossing follows from the initial weights", resonance.predicted
    ),
    "R2a": Hypothesis(
        "It also follows from a formula for the loss to first order", resonance.by_formula
    ),
    "R3": Hypothesis(
        "Without noise, the loss leaves at a distance of order 1/T from the harmonic",
        resonance.blurred,
    ),
    "R4": Hypothesis(
        "Without zeroing the gradient, time on the plateau runs as a square root",
        zeroing.square_root,
    ),
    "R5": Hypothesis(
        "Truncated gradients interfere with the pattern, and random cuts cure it",
        truncation.interferes,
    ),
    "R6": Hypothesis(
        "A layer with real decays carries no pattern past its bound (a check)", automata.carries
    ),
    "R7": Hypothesis(
        "A word problem is learned without a crossing at the mean input", automata.at_the_mean
    ),
    "R7a": Hypothesis(
        "It is learned by a crossing under the inputs that turn", automata.under_inputs
    ),
    "R8": Hypothesis("Noise and length delay the crossing by one number, κ", resonance.collapses),
    "R8a": Hypothesis("κ tells when runs of any length and noise are solved", resonance.foretold),
}
