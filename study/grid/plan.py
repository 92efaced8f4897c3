"""Plan which runs of a grid remain to be trained, and estimate how long the training takes.

Runs are divided into packs. A pack is a group of runs that is sent to a worker at once.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from operator import eq
from time import perf_counter, process_time

import pandas as pd

from study.engines import engine_of
from study.grid.file import Expansion
from study.grid.train import Job, engine_for
from study.model import COMPILING, TASK_SETTINGS, runs_side_by_side
from study.runs import CONCLUSIVE, EVALUATED, Run, shapes_of

PACK_SECONDS = 4.0  # training time of a pack; a crash costs each worker at most one pack
PACKS_EACH = 8  # smallest number of packs per worker, so that all workers end at similar times
MOST_IN_PACK = 1_000  # largest number of runs in a pack
MOST_PROBES, PROBE_SECONDS = 8, 8.0  # largest number of speeds measured, and time for all of them
SHORT_SECONDS = 0.05  # a measurement shorter than this is repeated with more updates
TRAINING = 3  # cost of a step in training, relative to a step in evaluation
GUESS = 1e-6  # seconds per unit of `work`, used if no speed could be measured
SECONDS = ["train_seconds", "evaluation_seconds", "final_seconds"]
# Bytes on the disk, as measured in the committed results folders.
FOLDER_BYTES = 20_000  # of any results folder, for the description of the columns and a manifest
ROW_BYTES = 85  # of the settings and results of a run, and of its line in the plan
EVALUATION_BYTES, WEIGHT_BYTES = 6.5, 3.5  # in all columns of a curve, and of one weight
WIDTHS = {"float32": 1.0, "float64": 1.6}  # bytes of a number, relative to float32
# Share of its evaluations after which a run is assumed to stop, if it stops when it is solved. In
# the committed grids, this share lies between 1/20 and 7/10.
SHARE_USED = 1 / 5


@dataclass
class Plan:
    """Says which runs of a grid to train, which are stored, and which cannot be trained here."""

    expansion: Expansion
    selected: list[str]  # identities of the runs in the chosen blocks and share
    todo: list[str] = field(default_factory=list)  # identities of the runs to train, in this order
    skipped: dict[str, str] = field(default_factory=dict)  # run_id -> reason
    stored: Counter = field(default_factory=Counter)  # number of selected runs, by status
    unplanned: int = 0  # number of stored runs that are not in the grid
    others: Counter = field(default_factory=Counter)  # runs that other versions made, by component
    # Runs to train again for what their stored rows lack: what these rows have is kept, too.
    with_weights: set[str] = field(default_factory=set)
    with_curves: set[str] = field(default_factory=set)

    def job(self, run_id: str) -> Job:
        """Return the `Job` that tells a worker to train the run with the identity `run_id`."""
        keep_weights = run_id in self.expansion.keep_weights or run_id in self.with_weights
        keep_curves = run_id not in self.expansion.drop_curves or run_id in self.with_curves
        return Job(self.expansion.run(run_id), keep_weights, keep_curves, run_id)

    def sources(self, run_ids: Iterable[str]) -> list[Run]:
        """Return one run of each group of these runs that differ only in their seeds."""
        runs = (self.expansion.sources[run_id][0] for run_id in run_ids)
        return [*{id(run): run for run in runs}.values()]


def make_plan(
    expansion: Expansion,
    blocks: Iterable[str],
    stored: pd.DataFrame,
    *,
    retry_failed: bool = False,
    share: tuple[int, int] = (1, 1),
) -> Plan:
    """Plan which runs of the named blocks to train.

    Runs that are not stored yet are trained. Runs that were skipped before are trained if this
    machine can now train them. Runs are trained again if their weights or curves are to be stored
    but are missing. If `retry_failed` is true, runs with the stored status `failed` are trained
    again. `stored` has one row per stored run, with the columns `run_id`, `status`, `has_weights`
    and `has_curve`. A `share` (i, n) limits the plan to the i-th of n equal shares of the runs.

    The runs to train are sorted by engine, seed and data, so that the fused engine draws the data
    that several runs share only once. But where it trains runs side by side, those that differ only
    in their seeds come together.
    """
    first, step = share
    selected = {run_id for name in blocks for run_id in expansion.blocks[name]}
    plan = Plan(expansion, sorted(selected)[first - 1 :: step])
    statuses = dict(zip(stored["run_id"], stored["status"], strict=True))
    incomplete = incomplete_runs(expansion, stored)
    rows = stored[stored["run_id"].isin(incomplete)]
    plan.with_weights = set(rows["run_id"][rows["has_weights"]])
    plan.with_curves = set(rows["run_id"][rows["has_curve"]])
    plan.unplanned = sum(run_id not in expansion.sources for run_id in statuses)

    # By engine and device: why this machine cannot train such runs, or None if it can.
    why_not: dict[tuple[str, str], str | None] = {}
    for run_id in plan.selected:
        status = statuses.get(run_id)
        is_retried = status == "failed" and retry_failed
        if status in (None, "skipped") or run_id in incomplete or is_retried:
            run, _ = expansion.sources[run_id]
            place = run.engine, run.device
            if place not in why_not:
                why_not[place] = None if run.device == "cpu" else engine_for(run).unavailable(run)
            if why_not[place] is None:
                plan.todo.append(run_id)
                continue
            if status is None:
                plan.skipped[run_id] = why_not[place] or ""
                continue
        plan.stored[status] += 1
    sources = {id(run): run for run, _ in expansion.sources.values()}
    data = {key: _data(run) for key, run in sources.items()}
    number = {key: n for n, key in enumerate(sources)}

    def order(run_id: str) -> tuple[str, int, int, str]:
        run, seed = expansion.sources[run_id]
        if runs_side_by_side(run.engine, run.batch_size) > 1:
            return run.engine, -1, number[id(run)], ""
        return run.engine, seed, 0, data[id(run)]

    plan.todo.sort(key=order)
    return plan


def incomplete_runs(expansion: Expansion, stored: pd.DataFrame) -> set[str]:
    """Return the stored runs that lack weights or curves, unless the grid does without these.

    `stored` is described in `make_plan`. A run that failed lacks nothing in this sense.
    """
    run_ids, status = stored["run_id"], stored["status"]
    weightless = run_ids[status.isin(EVALUATED) & ~stored["has_weights"]]
    curveless = run_ids[status.isin(CONCLUSIVE) & ~stored["has_curve"]]
    wanted = set(curveless) - expansion.drop_curves
    return expansion.keep_weights.intersection(weightless) | wanted


def _data(run: Run) -> str:
    """Return the settings on which a run's sequences depend, apart from the seed, as text."""
    names = (*TASK_SETTINGS, "task", "length", "test_length", "batch_size", "start", "hidden_size")
    return str([getattr(run, name) for name in (*names, "own")])


def unprepared(plan: Plan) -> list[Run]:
    """Return one example run for each combination of cell and dtype that is not compiled yet.

    Only runs to train are considered, and only if their engine compiles its code.
    """
    sources = (plan.expansion.sources[run_id][0] for run_id in plan.todo)
    kinds = {(run.cell, run.dtype): run for run in sources if run.engine in COMPILING}
    return [run for run in kinds.values() if not engine_for(run).is_ready(run)]


def make_packs(
    plan: Plan, seconds: dict[str, float], jobs: int, pack_size: int | None = None
) -> list[tuple[str, ...]]:
    """Divide the runs to train into packs, and return each pack as a tuple of identities.

    A pack is a group of runs that is sent to a worker at once. All runs in a pack have the same
    engine. `seconds` maps the identity of each run to the seconds that the run takes on one
    processor. `jobs` is the number of workers. A pack has `pack_size` runs. If `pack_size` is None,
    a pack has as many runs as take about PACK_SECONDS. It has fewer if each worker would otherwise
    get fewer than PACKS_EACH packs, but enough to be trained side by side.
    """
    total = sum(seconds[run_id] for run_id in plan.todo)
    enough = min(PACK_SECONDS, total / (PACKS_EACH * jobs)) if pack_size is None else float("inf")
    packs: list[tuple[str, ...]] = []
    for _, members in groupby(plan.todo, lambda run_id: plan.expansion.sources[run_id][0].engine):
        pack, cost = [], 0.0
        for run_id in members:
            pack.append(run_id)
            cost += seconds[run_id]
            run = plan.expansion.sources[run_id][0]
            is_full = len(pack) % runs_side_by_side(run.engine, run.batch_size) == 0
            if (cost >= enough and is_full) or len(pack) >= (pack_size or MOST_IN_PACK):
                packs.append(tuple(pack))
                pack, cost = [], 0.0
        packs += [tuple(pack)] * bool(pack)
    return packs


# --- how much disk it will take -----------------------------------------------------------------


def estimate_bytes(plan: Plan, stored: pd.DataFrame) -> tuple[float, float]:
    """Estimate how many bytes the results of the selected runs will take on the disk.

    Returns an estimate, and the bytes if no run stops before the end of its budget of updates.
    `stored` is described in `make_plan`. A run that is skipped has neither weights nor a curve.
    """
    grid, runs, counts = plan.expansion, dict[int, Run](), Counter()
    skipped = set(stored["run_id"][stored["status"] == "skipped"]).difference(plan.todo)
    skipped.update(plan.skipped)
    for run_id in plan.selected:
        run, has_results = grid.sources[run_id][0], run_id not in skipped
        has_weights = has_results and run_id in grid.keep_weights
        has_curve = has_results and run_id not in grid.drop_curves
        runs[id(run)] = run
        counts[id(run), has_weights, has_curve] += 1
    estimate = most = float(FOLDER_BYTES)
    for (key, has_weights, has_curve), count in counts.items():
        run, width = runs[key], WIDTHS[runs[key].dtype]
        weights = sum(map(math.prod, shapes_of(run).values())) if has_weights else 0
        evaluations = run.max_updates / run.eval_every + 1 if has_curve else 0
        row = ROW_BYTES + width * WEIGHT_BYTES * weights
        curve = width * EVALUATION_BYTES * evaluations
        estimate += count * (row + curve * (SHARE_USED if run.stop_when_solved else 1))
        most += count * (row + curve)
    return estimate, most


# --- how long it will take ----------------------------------------------------------------------


def estimate_seconds(plan: Plan, stored: pd.DataFrame) -> tuple[dict[str, float], bool]:
    """Estimate how many seconds each run to train will take on one processor.

    Returns a dict from the identity of each run to its seconds, and whether all times are known.
    The time of a run is known if `stored` has runs that differ from this run only in the seed. Then
    the estimate is the mean time of these stored runs. Any other run is assumed to use its whole
    budget of updates. The speed of such runs is measured briefly, or taken from similar runs.
    """
    runs = {run_id: plan.expansion.sources[run_id][0] for run_id in plan.todo}
    known = _mean_seconds(plan, stored)
    unknown = Counter(_kind(run) for run in runs.values() if id(run) not in known)
    examples = {_kind(run): run for run in runs.values()}
    end, speeds = perf_counter() + PROBE_SECONDS, {}
    common = [kind for kind, _ in unknown.most_common()]
    of_each_engine = {kind[0]: kind for kind in reversed(common)}.values()
    for kind in list(dict.fromkeys([*of_each_engine, *common]))[:MOST_PROBES]:
        if perf_counter() < end and (speed := measure_speed(examples[kind])) is not None:
            speeds[kind] = speed
    for run in runs.values():
        if id(run) not in known:
            known[id(run)] = work(run) * _nearest_speed(run, speeds)
    return {run_id: known[id(run)] for run_id, run in runs.items()}, not unknown


def _nearest_speed(run: Run, speeds: dict[tuple, float]) -> float:
    """Return the measured speed of the runs that are most similar to `run`.

    Speeds are in seconds per unit of `work`. `speeds` maps kinds of run (see `_kind`) to their
    measured speeds. A kind with the same engine as `run` is always preferred to a kind with another
    engine. Apart from this, the kind with the most settings in common is chosen. Returns GUESS if
    `speeds` is empty.
    """

    def likeness(kind: tuple) -> tuple[bool, int]:
        return kind[0] == run.engine, sum(map(eq, kind, _kind(run)))

    return speeds[max(speeds, key=likeness)] if speeds else GUESS


def _mean_seconds(plan: Plan, stored: pd.DataFrame) -> dict[int, float]:
    """Return the mean time, in seconds, of each group of stored runs that differ only in the seed.

    The runs of such a group share one `Run` object in `plan.expansion`. The result maps the `id` of
    this object to the mean time of the group.
    """
    by_source = defaultdict(list)
    seconds = stored.set_index("run_id")[SECONDS].sum(axis=1, skipna=False).dropna()
    for run_id, value in zip(seconds.index.tolist(), seconds.tolist(), strict=True):
        if run_id in plan.expansion.sources:
            by_source[id(plan.expansion.sources[run_id][0])].append(value)
    return {source: sum(values) / len(values) for source, values in by_source.items()}


def work(run: Run) -> float:
    """Return the cost of a run that uses its whole budget of updates.

    The cost is the number of time steps in all sequences. A step in evaluation counts once, and a
    step in training counts TRAINING times.
    """
    trained = run.max_updates * run.sequences_per_update
    tested = (run.max_updates / run.eval_every + 1) * run.eval_sequences + run.final_sequences
    final = tested * run.evaluation_length + run.long_sequences * run.long_length
    return TRAINING * trained * run.length + final


def _kind(run: Run) -> tuple:
    """Return the values of the settings that mainly determine a run's time per step."""
    return run.engine, run.device, run.cell, run.dtype, run.layers, run.hidden_size, run.batch_size


def measure_speed(run: Run) -> float | None:
    """Measure how many seconds of processor time a run takes per unit of `work`.

    Returns None if the run fails, or if its engine must compile first on this machine.
    """
    few = {"final_sequences": 1, "long_sequences": 1, "stop_when_solved": False}
    try:
        engine = engine_of(run)
        if run.engine in COMPILING and not engine.is_ready(run):
            return None
        for updates in (1, 8, 400):  # the first call warms up
            short = run.model_copy(update=few | {"max_updates": updates})
            started = process_time()
            engine.train(short)
            seconds = process_time() - started
            if updates == 8 and seconds > SHORT_SECONDS:
                break  # long enough for a measurement
    except Exception:  # the run itself will fail too, and its row will say why
        return None
    return seconds / work(short)
