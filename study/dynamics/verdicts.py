"""Hypotheses 6 to 15 and 17 against what was measured: an estimate, its interval, n, held or failed.

A hypothesis about all networks fails with the first one that contradicts it; the estimate says how many do. Where it
is about a middle, it holds if the whole interval is on its side. `python -m study.dynamics` writes the table to
RESULTS/dynamics/verdicts.csv once all tables are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from study.dynamics.tables import read
from study.runs import stream
from study.stats import Estimate, bootstrap, rank_association, rate_over_runs, share

HEADLINE = ("lstm", "gru", "rnn_tanh", "rnn_relu")
AGREES = 0.01  # nats per step by which the exponent without noise may miss half the logarithm of rho


@dataclass(frozen=True)
class Verdict:
    """One line of the table."""

    hypothesis: int
    claim: str
    group: str
    measure: str
    estimate: Estimate
    held: bool | None  # None: a number beside the verdict, no criterion of its own


def table(results: str | Path, frame: pd.DataFrame) -> pd.DataFrame:
    """The verdicts of one results folder; `frame` is its table of runs. Parts it lacks are left out."""
    rows = []
    for judge in JUDGES:
        for verdict in judge(results, frame):
            value = verdict.estimate
            rows.append(
                {"hypothesis": verdict.hypothesis, "claim": verdict.claim, "group": verdict.group}
                | {"measure": verdict.measure, "estimate": value.value, "low": value.low, "high": value.high}
                | {"n": value.n, "verdict": {True: "held", False: "failed", None: ""}[verdict.held]}
            )
    return pd.DataFrame(rows)


# --- what judges share --------------------------------------------------------------------------


def _rng(*key: object) -> np.random.Generator:
    return stream("dynamics: verdicts", *key)


def _mean(values: pd.Series, *key: object) -> Estimate:
    """Mean over networks, bootstrap interval over networks."""
    array = values.to_numpy(float)
    return bootstrap(lambda i: array[i].mean(-1), [len(array)], _rng(*key))


def _median(values: pd.Series, *key: object) -> Estimate:
    array = values.to_numpy(float)
    return bootstrap(lambda i: np.median(array[i], axis=-1), [len(array)], _rng(*key))


def _share(flags: pd.Series) -> Estimate:
    return share(int(flags.sum()), len(flags))


def _by_cell(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for cell in [*HEADLINE, *sorted(set(table["cell"]) - set(HEADLINE))]:
        rows = table[table["cell"] == cell]
        if len(rows):
            yield cell, rows


def _solved(results: str | Path, name: str) -> pd.DataFrame:
    table = read(results, name)
    return table[table["status"] == "solved"]


def _in_range(cycles: pd.DataFrame) -> pd.DataFrame:
    """The constant inputs that a network's noise can give: 0 to its level."""
    return cycles[cycles["u"] <= cycles["noise"] + 1e-6]


def _stable_everywhere(results: str | Path) -> pd.Series:
    """Whether each solved network has a stable alternating 2-cycle at every constant input; by run."""
    return _in_range(_solved(results, "cycles")).groupby("run_id")["stable_alternating"].min() > 0


# --- the judges ---------------------------------------------------------------------------------


def runs_for_ever(results: str | Path, frame: pd.DataFrame) -> Iterator[Verdict]:
    """6: no slip where the cycle is stable at every tested input."""
    claim = "A solved network with a stable cycle at every input runs for ever"
    slips = _solved(results, "slips")
    stable = _stable_everywhere(results)
    stable_ids = set(stable.index[stable])
    for cell, rows in _by_cell(slips):
        on = rows[rows["run_id"].isin(stable_ids)]
        off = rows[~rows["run_id"].isin(stable_ids)]
        if len(on):
            none = on["slips"] == 0
            yield Verdict(6, claim, cell, "share without a slip, stable cycle", _share(none), bool(none.all()))
            rate = rate_over_runs(on["slips"].to_numpy(), on["steps"].to_numpy(), _rng("slips", cell))
            yield Verdict(6, claim, cell, "slips per step, stable cycle", rate, None)
        if len(off):
            none = _share(off["slips"] == 0)
            yield Verdict(6, claim, cell, "share without a slip, no stable cycle at some input", none, None)


def two_cycle(results: str | Path, frame: pd.DataFrame) -> Iterator[Verdict]:
    """7: every solved network has the cycle, and a flip saddle."""
    claim = "A solved network has a stable 2-cycle around a flip saddle"
    cycles = _solved(results, "cycles")
    everywhere = _stable_everywhere(results)
    reference = cycles[np.isclose(cycles["u"], cycles["noise"] / 2)]
    for cell, rows in _by_cell(reference):
        stable = everywhere[rows["run_id"]]
        measure = "share with a stable alternating 2-cycle at every constant input"
        yield Verdict(7, claim, cell, measure, _share(stable), bool(stable.all()))
        flip = rows["flip_eigenvalue"] < -1
        measure = "share with a fixed point that has an eigenvalue below -1"
        yield Verdict(7, claim, cell, measure, _share(flip), bool(flip.all()))


def flip_bifurcation(results: str | Path, frame: pd.DataFrame) -> Iterator[Verdict]:
    """8: the loss leaves ln 2 when the eigenvalue has passed -1, not before."""
    claim = "Learning is a flip bifurcation: the loss does not leave first"
    table = read(results, "learning")
    for (cell, optimizer), rows in table.groupby(["cell", "optimizer"], sort=False):
        group, left = f"{cell}, {optimizer}", rows[rows["leaving"].notna()]
        both = left[left["crossing"].notna()]
        lag = _median(both["lag"], "lag", group)
        yield Verdict(8, claim, group, "median lag, updates from crossing to leaving", lag, lag.low >= 0)
        first = left["crossing"].isna() | (left["lag"] < 0)
        yield Verdict(8, claim, group, "share whose loss leaves first", _share(first), None)
        ghost = left["cycle_at_leaving"].astype(bool)
        yield Verdict(8, claim, group, "share with a stable 2-cycle when the loss leaves", _share(ghost), None)


def contracts(results: str | Path, frame: pd.DataFrame) -> Iterator[Verdict]:
    """9: negative exponents while solved, and the check without noise."""
    claim = "Driven by noise, a solved network contracts"
    table = _solved(results, "exponents")
    for cell, rows in _by_cell(table):
        negative = rows["noisy"] < 0
        measure = "share with a negative largest conditional Lyapunov exponent"
        yield Verdict(9, claim, cell, measure, _share(negative), bool(negative.all()))
        finite = rows[np.isfinite(rows["half_log_rho"]) & np.isfinite(rows["quiet"])]
        if len(finite):
            agrees = (finite["quiet"] - finite["half_log_rho"]).abs() < AGREES
            measure = f"share whose exponent without noise is ½ ln ρ within {AGREES:g}"
            yield Verdict(9, claim, cell, measure, _share(agrees), None)


def decodable(results: str | Path, frame: pd.DataFrame) -> Iterator[Verdict]:
    """10: more selective than untrained networks."""
    claim = "Phase is linearly decodable, and not trivially"
    table = _solved(results, "probes")
    table = table.assign(selectivity=table["phase"] - table["hashed"])
    for cell, rows in _by_cell(table):
        wide = rows.pivot_table(index="run_id", columns="trained", values="selectivity")
        if True in wide and False in wide:
            both = wide.dropna()
            gain = _mean(both[True] - both[False], "probe", cell)
            yield Verdict(10, claim, cell, "selectivity, trained less untrained", gain, gain.low > 0)
        trained = rows[rows["trained"]]
        yield Verdict(10, claim, cell, "probe accuracy, trained", _mean(trained["phase"], "phase", cell), None)


def _flips(table: pd.DataFrame, name: str, part: str) -> pd.Series:
    rows = table[(table["intervention"] == name) & (table["part"] == part)]
    return rows["flipped"] / rows["trials"]


def carries_phase(results: str | Path, frame: pd.DataFrame) -> Iterator[Verdict]:
    """11: opposite donors flip the phase to the end, same donors never do."""
    claim = "The state causally carries the phase"
    for cell, rows in _by_cell(read(results, "interventions")):
        opposite, same = _flips(rows, "opposite donor", "all"), _flips(rows, "same donor", "all")
        measure = "predicted flips that persist, opposite donor"
        yield Verdict(11, claim, cell, measure, _mean(opposite, measure, cell), bool((opposite == 1).all()))
        yield Verdict(11, claim, cell, "flips, donor of the same phase", _mean(same, cell), bool((same == 0).all()))
        for control in ("random state", "shuffled donor"):
            flips = _mean(_flips(rows, control, "all"), control, cell)
            yield Verdict(11, claim, cell, f"flips, {control}", flips, None)


def route_is_h(results: str | Path, frame: pd.DataFrame) -> Iterator[Verdict]:
    """12: h alone flips the phase, c alone does not."""
    claim = "In the LSTM, h carries the next-step route"
    table = read(results, "interventions")
    for cell, rows in _by_cell(table[table["part"].isin(("h", "c"))]):
        for part in ("h", "c"):
            flips = _flips(rows, "opposite donor", part)
            if len(flips):
                held = bool((flips == 0).all()) if part == "c" else None
                measure = f"flips when {part} alone comes from an opposite donor"
                yield Verdict(12, claim, cell, measure, _mean(flips, measure, cell), held)


def recovery_follows(results: str | Path, frame: pd.DataFrame) -> Iterator[Verdict]:
    """13: recovery under noise goes with 1/|ln ρ|."""
    claim = "Recovery follows the multipliers"
    table = read(results, "recovery")
    for cell, rows in _by_cell(table[table["rho"] > 0]):
        if len(rows) > 2:
            predicted = 1 / np.abs(np.log(rows["rho"].to_numpy(float)))
            found = rank_association(predicted, rows["noisy_steps"].to_numpy(float), _rng("recovery", cell))
            measure = "rank correlation of steps to recover with 1/|ln ρ|"
            yield Verdict(13, claim, cell, measure, found, found.low > 0)


def gates_differ(results: str | Path, frame: pd.DataFrame) -> Iterator[Verdict]:
    """14: what each gate is needed for; the LSTM whose gates see x only must not solve."""
    claim = "Gates have separate roles"
    table = read(results, "interventions")
    for cell, rows in _by_cell(table[table["intervention"].isin(("freeze gate", "cut recurrence"))]):
        for (what, gate), some in rows.groupby(["intervention", "part"], sort=False):
            kept = _mean(some["kept"] / some["trials"], what, gate, cell)
            yield Verdict(14, claim, cell, f"sequences kept, {what}: {gate}", kept, None)
    rows = frame[frame["cell"] == "lstm_no_recurrence"]
    if len(rows):
        solved = rows["converged_update"].notna()
        measure = "share solved without recurrence into the gates"
        yield Verdict(14, claim, "lstm_no_recurrence", measure, _share(solved), not solved.any())


def one_unit(results: str | Path, frame: pd.DataFrame) -> Iterator[Verdict]:
    """15: hand-built one-unit networks never slip; training finds them ever more rarely as the size falls."""
    claim = "One unit is enough in principle, not in practice"
    for cell, rows in _by_cell(read(results, "hand_built")):
        rate = rate_over_runs(rows["slips"].to_numpy(), rows["steps"].to_numpy(), _rng("built", cell))
        yield Verdict(15, claim, cell, "slips per step, one unit built by hand", rate, rate.value == 0)
    some = frame[frame["cell"].isin(HEADLINE) & (frame["noise"] == 1) & (frame["length"] == 20)]
    some = some[[bool({"factorial", "sizes"} & set(blocks)) for blocks in some["blocks"]]]
    for cell, rows in _by_cell(some):
        for size, runs in rows.groupby("hidden_size"):
            solved = _share(runs["converged_update"].notna())
            yield Verdict(15, claim, cell, f"share solved by training, hidden size {size}", solved, None)
    for cell, rows in _by_cell(read(results, "guessing")):
        for size, n, solved in rows.loc[rows["range"] == 10, ["hidden_size", "n", "solved"]].to_numpy(int):
            guessed = share(int(solved), int(n))
            measure = f"share solved by guessing weights in [-10, 10], hidden size {size}"
            yield Verdict(15, claim, cell, measure, guessed, None)


def positive_cannot(results: str | Path, frame: pd.DataFrame) -> Iterator[Verdict]:
    """17: no noiseless positive recurrence of one layer beats H + 1."""
    claim = "Positive linear recurrences cannot: at most H + 1 labels in a row"
    table = read(results, "bound")
    for (cell, size), rows in table[table["noise"] == 0].groupby(["cell", "hidden_size"]) if len(table) else ():
        over = rows["prefix"] > rows["bound"]
        held = None if cell == "diagonal_signed" else not over.any()
        yield Verdict(17, claim, f"{cell}, hidden size {size}", "share that beats H + 1", _share(over), held)
        longest = float(rows["prefix"].max())
        best = Estimate(longest, longest, longest, len(rows))
        yield Verdict(17, claim, f"{cell}, hidden size {size}", "longest exact prefix", best, None)


JUDGES: tuple[Callable[[str | Path, pd.DataFrame], Iterator[Verdict]], ...] = (
    runs_for_ever,
    two_cycle,
    flip_bifurcation,
    contracts,
    decodable,
    carries_phase,
    route_is_h,
    recovery_follows,
    gates_differ,
    one_unit,
    positive_cannot,
)
