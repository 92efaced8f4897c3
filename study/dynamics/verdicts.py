"""Hypotheses 6 to 15 and 17 against what was measured: an estimate, its interval, n, held or failed.

A hypothesis about all networks fails with the first one that contradicts it; `count` says how many of the n agree.
Where it is about a middle or an association, it holds if the whole interval is on its side. A measure without a
verdict stands beside the one that decides. `python -m study.dynamics` writes the table to
RESULTS/dynamics/verdicts.csv once all tables are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from study.dynamics.tables import read
from study.runs import stream
from study.stats import (
    Estimate,
    bootstrap,
    median,
    rank_association,
    rate_over_runs,
    share,
    share_over_runs,
)

HEADLINE = ("lstm", "gru", "rnn_tanh", "rnn_relu")
NEUTRAL = 1e-5  # nats per step: an exponent this near to 0 is none
AGREES = (
    0.01  # nats per step by which the exponent without noise may miss half the logarithm of rho
)

Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Verdict:
    """One line of the table."""

    hypothesis: int
    claim: str
    group: str
    measure: str
    estimate: Estimate
    held: bool | None = None  # None: a number beside the verdict, no criterion of its own
    count: int | None = (
        None  # of the n networks, how many agree; None where the measure is none of single networks
    )


def table(results: str | Path, frame: pd.DataFrame) -> pd.DataFrame:
    """The verdicts of one results folder; `frame` is its table of runs. What it has no networks for is left out."""
    rows = []
    for judge, names in JUDGES.items():
        tables = {name: read(results, name) for name in names}
        if all(map(len, tables.values())):
            rows += map(_line, judge(tables | {"runs": frame}))
    return pd.DataFrame(rows)


def _line(verdict: Verdict) -> dict[str, Any]:
    value, said = verdict.estimate, {True: "held", False: "failed", None: ""}[verdict.held]
    return (
        {
            "hypothesis": verdict.hypothesis,
            "claim": verdict.claim,
            "group": verdict.group,
            "measure": verdict.measure,
        }
        | {
            "estimate": value.value,
            "low": value.low,
            "high": value.high,
            "count": verdict.count,
            "n": value.n,
        }
        | {"verdict": said}
    )


# --- what judges share --------------------------------------------------------------------------


def _rng(*key: object) -> np.random.Generator:
    return stream("dynamics: verdicts", *key)


def _mean(values: pd.Series, *key: object) -> Estimate:
    """Mean over networks, bootstrap interval over networks."""
    array = values.to_numpy(float)
    return bootstrap(lambda i: array[i].mean(-1), [len(array)], _rng(*key))


def _every(claim: tuple[int, str], group: str, measure: str, flags: pd.Series) -> Verdict:
    """A claim about every network of a group, and the share for which it is true."""
    found = share(int(flags.sum()), len(flags))
    return Verdict(*claim, group, measure, found, bool(flags.all()), int(flags.sum()))


def _beside(claim: tuple[int, str], group: str, measure: str, flags: pd.Series) -> Verdict:
    """A share without a criterion."""
    return Verdict(
        *claim, group, measure, share(int(flags.sum()), len(flags)), None, int(flags.sum())
    )


def _by_cell(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for cell in [*HEADLINE, *sorted(set(table["cell"]) - set(HEADLINE))]:
        rows = table[table["cell"] == cell]
        if len(rows):
            yield cell, rows


def _solved(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["status"] == "solved"]


def _stable_everywhere(cycles: pd.DataFrame) -> pd.Series:
    """Whether each solved network has a stable alternating 2-cycle at every constant input it may see; by run."""
    possible = cycles[cycles["u"] <= cycles["noise"] + 1e-6]
    return _solved(possible).groupby("run_id")["stable_alternating"].min() > 0


# --- the judges ---------------------------------------------------------------------------------


def runs_for_ever(tables: Tables) -> Iterator[Verdict]:
    """6: no slip where the cycle is stable at every tested input.

    A network that slips all the same is no artefact of the search: its cycle is stable at every constant input, but
    the flip eigenvalue is just below -1, or a multiplier just below 1, so that the input, which varies, may carry the
    state over the separatrix.
    """
    claim = (6, "A solved network with a stable cycle at every input runs for ever")
    stable = _stable_everywhere(tables["cycles"])
    for cell, rows in _by_cell(_solved(tables["slips"])):
        is_stable = rows["run_id"].isin(stable.index[stable])
        on, off = rows[is_stable], rows[~is_stable]
        if len(on):
            yield _every(claim, cell, "share without a slip, stable cycle", on["slips"] == 0)
            rate = rate_over_runs(
                on["slips"].to_numpy(), on["steps"].to_numpy(), _rng("slips", cell)
            )
            yield Verdict(*claim, cell, "slips per step, stable cycle", rate)
        if len(off):
            yield _beside(
                claim,
                cell,
                "share without a slip, no stable cycle at some input",
                off["slips"] == 0,
            )


def two_cycle(tables: Tables) -> Iterator[Verdict]:
    """7: every solved network has the cycle, and a flip saddle.

    Those without a stable 2-cycle are looked into by their orbits at the mean input: it may itself have flipped into
    a longer cycle, or into an orbit that never repeats; or the state drifts along a direction whose multiplier is 1
    to rounding (a cell state that adds up, an update gate that is shut), or grows without bound (ReLU). One whose
    fixed point is stable beside the cycle has a saddle that is a cycle as well: the two were born by a fold, and no
    eigenvalue is below -1.
    """
    claim = (7, "A solved network has a stable 2-cycle around a flip saddle")
    cycles = _solved(tables["cycles"])
    everywhere = _stable_everywhere(cycles)
    reference = cycles[np.isclose(cycles["u"], cycles["noise"] / 2)]
    for cell, rows in _by_cell(reference):
        stable = everywhere[rows["run_id"]]
        yield _every(
            claim, cell, "share with a stable alternating 2-cycle at every constant input", stable
        )
        measure = "share with a fixed point that has an eigenvalue below -1"
        yield _every(claim, cell, measure, rows["flip_eigenvalue"] < -1)
        measure = "share with a stable alternating 2-cycle at the mean input"
        yield _beside(claim, cell, measure, rows["stable_alternating"] > 0)
        yield from _without_cycle(claim, cell, rows[rows["stable_alternating"] == 0])


def _without_cycle(claim: tuple[int, str], cell: str, rows: pd.DataFrame) -> Iterator[Verdict]:
    """What networks without a stable alternating 2-cycle at the mean input do instead."""
    if rows.empty:
        return
    alternates, period = rows["orbit_alternates"].astype(bool), rows["orbit_period"]
    kinds = {"alternate on a longer cycle": alternates & (period > 2)}
    kinds["alternate on a 2-cycle that is neutral to rounding"] = alternates & (period == 2)
    kinds["alternate without settling"] = alternates & (period == 0)
    for what, flags in kinds.items():
        yield _beside(claim, cell, f"of those without, share that {what}", flags)


def flip_bifurcation(tables: Tables) -> Iterator[Verdict]:
    """8: the loss leaves ln 2 when the eigenvalue has passed -1, not before.

    A network whose loss leaves though the eigenvalue never crosses has a lag of minus infinity.
    """
    claim = (8, "Learning is a flip bifurcation: the loss does not leave first")
    table = tables["learning"]
    groups = [
        (f"{cell}, {name}", some)
        for cell, rows in _by_cell(table)
        for name, some in rows.groupby("optimizer")
    ]
    for group, rows in groups:
        left = rows[rows["leaving"].notna()]
        if left.empty:
            continue
        lag = median(left["lag"].fillna(-np.inf).to_numpy(float))
        after = int((left["lag"] >= 0).sum())
        yield Verdict(
            *claim, group, "median lag, updates from crossing to leaving", lag, lag.low >= 0, after
        )
        for column in [name for name in table.columns if name.startswith("leaving_")]:
            some = rows[rows[column].notna()]
            if len(some):
                first = ~(some["crossing"] <= some[column])
                part = column.removeprefix("leaving_")
                yield _beside(
                    claim,
                    group,
                    f"share whose loss is below {part} of chance before the crossing",
                    first,
                )
        ghost = left["cycle_at_leaving"].astype(bool)
        yield _beside(claim, group, "share with a stable 2-cycle when the loss leaves", ghost)


def contracts(tables: Tables) -> Iterator[Verdict]:
    """9: negative exponents while solved, and the check without noise.

    An exponent that is not negative may still be 0 to rounding, in a network with a neutral direction: those stand
    apart. Where the state leaves the numbers there is no exponent, which counts against the claim.
    """
    claim = (9, "Driven by noise, a solved network contracts")
    for cell, rows in _by_cell(_solved(tables["exponents"])):
        measure = "share with a negative largest conditional Lyapunov exponent"
        yield _every(claim, cell, measure, rows["noisy"] < 0)
        yield _beside(
            claim,
            cell,
            f"share with an exponent above {NEUTRAL:g}, or none",
            ~(rows["noisy"] <= NEUTRAL),
        )
        finite = rows[np.isfinite(rows["half_log_rho"]) & np.isfinite(rows["quiet"])]
        if len(finite):
            agrees = (finite["quiet"] - finite["half_log_rho"]).abs() < AGREES
            yield _beside(
                claim,
                cell,
                f"share whose exponent without noise is ½ ln ρ within {AGREES:g}",
                agrees,
            )


def decodable(tables: Tables) -> Iterator[Verdict]:
    """10: more selective than untrained networks."""
    claim = (10, "Phase is linearly decodable, and not trivially")
    table = _solved(tables["probes"])
    table = table.assign(selectivity=table["phase"] - table["hashed"])
    for cell, rows in _by_cell(table):
        wide = rows.pivot_table(index="run_id", columns="trained", values="selectivity")
        if True in wide and False in wide:
            both = wide.dropna()
            gain = _mean(both[True] - both[False], "probe", cell)
            more = int((both[True] > both[False]).sum())
            yield Verdict(
                *claim, cell, "selectivity, trained less untrained", gain, gain.low > 0, more
            )
        for trained, some in rows.groupby("trained"):
            for label in ("phase", "shuffled", "hashed"):
                mean = _mean(some[label], label, cell, trained)
                whose = "trained" if trained else "untrained"
                yield Verdict(*claim, cell, f"probe accuracy, {label} labels, {whose}", mean)


def _of(table: pd.DataFrame, name: str, part: str) -> pd.DataFrame:
    return table[(table["intervention"] == name) & (table["part"] == part)]


def _flips(rows: pd.DataFrame) -> Estimate:
    return share_over_runs(rows["flipped"].to_numpy(), rows["trials"].to_numpy())


def carries_phase(tables: Tables) -> Iterator[Verdict]:
    """11: opposite donors flip the phase to the end, donors of the same phase never do.

    A random state has no phase to bring: it falls to either side, so its flips decide nothing. Nor do a shuffled
    donor's; both show what a change of that size does by itself. The exceptions are networks that are not exact on
    all sequences: a donor had itself lost the phase, or the receiver loses it on its own.
    """
    claim = (11, "The state causally carries the phase")
    for cell, rows in _by_cell(tables["interventions"]):
        opposite, same = _of(rows, "opposite donor", "all"), _of(rows, "same donor", "all")
        all_flip, none_flip = opposite["flipped"] == opposite["trials"], same["flipped"] == 0
        measure = "predicted flips that persist, opposite donor"
        yield Verdict(
            *claim, cell, measure, _flips(opposite), bool(all_flip.all()), int(all_flip.sum())
        )
        measure = "flips, donor of the same phase"
        yield Verdict(
            *claim, cell, measure, _flips(same), bool(none_flip.all()), int(none_flip.sum())
        )
        for control in ("random state", "shuffled donor"):
            yield Verdict(*claim, cell, f"flips, {control}", _flips(_of(rows, control, "all")))


def route_is_h(tables: Tables) -> Iterator[Verdict]:
    """12: h alone flips the phase, c alone does not."""
    claim = (12, "In the LSTM, h carries the next-step route")
    table = tables["interventions"]
    for cell, rows in _by_cell(table[table["part"].isin(("h", "c"))]):
        for part in ("h", "c"):
            some = _of(rows, "opposite donor", part)
            agrees = some["flipped"] == (some["trials"] if part == "h" else 0)
            held = bool(agrees.all()) if part == "c" else None
            measure = f"flips when {part} alone comes from an opposite donor"
            yield Verdict(*claim, cell, measure, _flips(some), held, int(agrees.sum()))


def recovery_follows(tables: Tables) -> Iterator[Verdict]:
    """13: recovery under noise goes with 1/|ln ρ|; beside it what steady noise on the state leaves, and the margins.

    A margin is the first push that changes the phase for good, in distances between the cycle's points.
    """
    claim = (13, "Recovery follows the multipliers")
    jolted = (
        tables["interventions"]
        .query("intervention == 'noise'")
        .groupby("run_id")[["kept", "trials"]]
        .sum()
    )
    for cell, rows in _by_cell(tables["recovery"].query("0 < rho < 1")):
        if len(rows) < 3:
            continue
        slowness = 1 / np.abs(np.log(rows["rho"].to_numpy(float)))
        found = rank_association(
            slowness, rows["noisy_steps"].to_numpy(float), _rng("recovery", cell)
        )
        measure = "rank correlation of steps to recover with 1/|ln ρ|"
        yield Verdict(*claim, cell, measure, found, found.low > 0)
        some = jolted.reindex(rows["run_id"])
        known = some["trials"].notna().to_numpy()
        if known.sum() > 2:
            kept = (some["kept"] / some["trials"]).to_numpy(float)
            found = rank_association(slowness[known], kept[known], _rng("jolts", cell))
            yield Verdict(
                *claim,
                cell,
                "rank correlation of phase kept under noise on the state with 1/|ln ρ|",
                found,
            )
    for cell, rows in _by_cell(tables["margins"]):
        for column, way in (
            ("toward", "toward the cycle's other point"),
            ("nearest", "nearest of random ways"),
        ):
            yield Verdict(
                *claim, cell, f"median margin, {way}", median(rows[column].to_numpy(float))
            )


def gates_differ(tables: Tables) -> Iterator[Verdict]:
    """14: what each gate is needed for; the LSTM whose gates see x only must not solve."""
    claim = (14, "Gates have separate roles")
    table = tables["interventions"]
    for cell, rows in _by_cell(
        table[table["intervention"].isin(("freeze gate", "cut recurrence"))]
    ):
        for (what, gate), some in rows.groupby(["intervention", "part"], sort=False):
            kept = share_over_runs(some["kept"].to_numpy(), some["trials"].to_numpy())
            yield Verdict(*claim, cell, f"sequences kept, {what}: {gate}", kept)
    runs = tables["runs"]
    rows = runs[(runs["cell"] == "lstm_no_recurrence") & (runs["task"] == "alternating")]
    if len(rows):
        unsolved = rows["converged_update"].isna()
        yield _every(
            claim,
            "lstm_no_recurrence",
            "share not solved without recurrence into the gates",
            unsolved,
        )


def one_unit(tables: Tables) -> Iterator[Verdict]:
    """15: hand-built one-unit networks never slip; training finds them ever more rarely as the size falls."""
    claim = (15, "One unit is enough in principle, not in practice")
    for cell, rows in _by_cell(tables["hand_built"]):
        rate = rate_over_runs(
            rows["slips"].to_numpy(), rows["steps"].to_numpy(), _rng("built", cell)
        )
        none = int((rows["slips"] == 0).sum())
        yield Verdict(
            *claim, cell, "slips per step, one unit built by hand", rate, rate.value == 0, none
        )
    for cell, rows in _by_cell(_by_size(tables["runs"])):
        for size, runs in rows.groupby("hidden_size"):
            yield _beside(
                claim,
                cell,
                f"solved by training, hidden size {size}",
                runs["converged_update"].notna(),
            )
    for cell, rows in _by_cell(tables["guessing"]):
        for size, limit, n, solved in rows[["hidden_size", "range", "n", "solved"]].to_numpy(int):
            measure = f"solved by guessing weights in ±{limit}, hidden size {size}"
            yield Verdict(*claim, cell, measure, share(int(solved), int(n)), None, int(solved))


def _by_size(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that differ in size alone: those of the factorial and of the sizes, on the noisy task, at length 20."""
    some = runs[runs["cell"].isin(HEADLINE) & (runs["noise"] == 1) & (runs["length"] == 20)]
    return some[
        np.array([bool({"factorial", "sizes"} & set(blocks)) for blocks in some["blocks"]], bool)
    ]


def positive_cannot(tables: Tables) -> Iterator[Verdict]:
    """17: no noiseless positive recurrence of one layer beats H + 1."""
    claim = (17, "Positive linear recurrences cannot: at most H + 1 labels in a row")
    table = tables["bound"]
    for (cell, size), rows in table[table["noise"] == 0].groupby(["cell", "hidden_size"]):
        within, group = rows["prefix"] <= rows["bound"], f"{cell}, hidden size {size}"
        judge = _beside if cell == "diagonal_signed" else _every
        yield judge(claim, group, "share within H + 1", within)
        longest = float(rows["prefix"].max())
        yield Verdict(
            *claim, group, "longest exact prefix", Estimate(longest, longest, longest, len(rows))
        )


# Each judge, and the tables that it reads beside the runs.
JUDGES: dict[Callable[[Tables], Iterator[Verdict]], tuple[str, ...]] = {
    runs_for_ever: ("slips", "cycles"),
    two_cycle: ("cycles",),
    flip_bifurcation: ("learning",),
    contracts: ("exponents",),
    decodable: ("probes",),
    carries_phase: ("interventions",),
    route_is_h: ("interventions",),
    recovery_follows: ("recovery", "interventions", "margins"),
    gates_differ: ("interventions",),
    one_unit: ("hand_built", "guessing"),
    positive_cannot: ("bound",),
}
