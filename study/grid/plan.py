"""What a grid still has to do, in which packs, and about how long that will take."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from operator import eq
from time import perf_counter, process_time

import pandas as pd

from study.engines import engine_of
from study.grid.file import Expansion
from study.grid.train import Job, loaded
from study.model import COMPILING
from study.runs import Run

PACK_SECONDS = 4.0  # of training, which is what a crash costs each worker
PACKS_EACH = 8  # at least, for each worker, so that none waits long for the others at the end
MOST_IN_PACK = 1_000  # runs
MOST_PROBES, PROBE_SECONDS = 8, 8.0  # for measuring speeds
SHORT_SECONDS = 0.05  # of a measurement
TRAINING = 3  # work of a step that is trained on, forward and backward; 1 where it is tested on
GUESS = 1e-6  # seconds per unit of `work`, where nothing could be measured
SECONDS = ["train_seconds", "evaluation_seconds", "final_seconds"]


@dataclass
class Plan:
    """Which runs of a grid are to be trained, which are stored, which cannot be trained here."""

    expansion: Expansion
    selected: list[str]  # runs of the blocks asked for, and of the share
    todo: list[str] = field(default_factory=list)  # in the order of training
    skipped: dict[str, str] = field(default_factory=dict)  # run_id -> why it cannot be trained
    stored: Counter = field(default_factory=Counter)  # of the selected runs, by status
    unplanned: int = 0  # stored runs that the grid no longer has

    def job(self, run_id: str) -> Job:
        """All that a worker wants to know of a run."""
        return Job(self.expansion.run(run_id), run_id in self.expansion.keep_weights, run_id)


def make_plan(
    expansion: Expansion,
    blocks: Iterable[str],
    stored: pd.DataFrame,
    *,
    retry_failed: bool = False,
    share: tuple[int, int] = (1, 1),
) -> Plan:
    """Compare some blocks of a grid, or one of n equal shares of their runs, with the store.

    `stored` has the columns `run_id`, `status` and `has_weights`. Runs are trained engine by
    engine, and else by identity, which mixes quick and slow ones, so that an early estimate holds.
    """
    first, step = share
    selected = {run_id for name in blocks for run_id in expansion.blocks[name]}
    plan = Plan(expansion, sorted(selected)[first - 1 :: step])
    status = dict(zip(stored["run_id"], stored["status"], strict=True))
    weightless = expansion.keep_weights.difference(stored["run_id"][stored["has_weights"]])
    plan.unplanned = sum(run_id not in expansion.sources for run_id in status)

    why_not: dict[tuple[str, str], str | None] = {}  # by engine and device
    for run_id in plan.selected:
        found = status.get(run_id)
        lacks_weights = found in ("solved", "unsolved") and run_id in weightless
        if found in (None, "skipped") or lacks_weights or (found == "failed" and retry_failed):
            run, _ = expansion.sources[run_id]
            place = run.engine, run.device
            if place not in why_not:
                why_not[place] = None if run.device == "cpu" else loaded(run).unavailable(run)
            if why_not[place] is None:
                plan.todo.append(run_id)
                continue
            if found is None:
                plan.skipped[run_id] = why_not[place] or ""
                continue
        plan.stored[found] += 1
    plan.todo.sort(key=lambda run_id: expansion.sources[run_id][0].engine)
    return plan


def unprepared(plan: Plan) -> list[Run]:
    """A run for each cell that its engine has not compiled yet on this machine, per data type."""
    sources = (plan.expansion.sources[run_id][0] for run_id in plan.todo)
    kinds = {(run.cell, run.dtype): run for run in sources if run.engine in COMPILING}
    return [run for run in kinds.values() if not loaded(run).is_ready(run)]


def make_packs(
    plan: Plan, seconds: dict[str, float], jobs: int, pack_size: int | None = None
) -> list[tuple[str, ...]]:
    """Cut the runs to do into packs, each of one engine, of about equal time or equal number."""
    total = sum(seconds[run_id] for run_id in plan.todo)
    enough = min(PACK_SECONDS, total / (PACKS_EACH * jobs)) if pack_size is None else float("inf")
    packs: list[tuple[str, ...]] = []
    for _, members in groupby(plan.todo, lambda run_id: plan.expansion.sources[run_id][0].engine):
        pack, cost = [], 0.0
        for run_id in members:
            pack.append(run_id)
            cost += seconds[run_id]
            if cost >= enough or len(pack) >= (pack_size or MOST_IN_PACK):
                packs.append(tuple(pack))
                pack, cost = [], 0.0
        packs += [tuple(pack)] * bool(pack)
    return packs


# --- how long it will take ----------------------------------------------------------------------


def estimate_seconds(plan: Plan, stored: pd.DataFrame) -> tuple[dict[str, float], bool]:
    """Seconds that each run to do takes on one processor, and whether all of them are known.

    They are known where runs with the same settings and other seeds are stored. The other runs
    are expected to use their whole budget of updates, at the speed of a quick measurement.
    """
    sources = plan.expansion.sources
    known = _mean_seconds(plan, stored)
    unknown = Counter(_kind(sources[i][0]) for i in plan.todo if id(sources[i][0]) not in known)
    examples = {_kind(sources[run_id][0]): sources[run_id][0] for run_id in plan.todo}
    end, speeds = perf_counter() + PROBE_SECONDS, {}
    common = [kind for kind, _ in unknown.most_common()]
    of_each_engine = {kind[0]: kind for kind in reversed(common)}.values()
    for kind in list(dict.fromkeys([*of_each_engine, *common]))[:MOST_PROBES]:
        if perf_counter() < end and (speed := measure_speed(examples[kind])) is not None:
            speeds[kind] = speed

    @cache
    def speed_of(kind: tuple) -> float:
        """Seconds per unit of work of the measured kind that is most like this one."""
        alike = max(speeds, default=None, key=lambda other: _likeness(kind, other))
        return GUESS if alike is None else speeds[alike]

    seconds = {}
    for run_id in plan.todo:
        run = sources[run_id][0]
        if id(run) not in known:
            known[id(run)] = work(run) * speed_of(_kind(run))
        seconds[run_id] = known[id(run)]
    return seconds, not unknown


def _likeness(kind: tuple, other: tuple) -> tuple[bool, int]:
    """Kinds of one engine are more alike than any others; then those with more settings equal."""
    return kind[0] == other[0], sum(map(eq, kind, other))


def _mean_seconds(plan: Plan, stored: pd.DataFrame) -> dict[int, float]:
    """Mean seconds of stored runs by their settings without the seed, which share one source."""
    found = defaultdict(list)
    seconds = stored[SECONDS].sum(axis=1, skipna=False)
    for run_id, value in zip(stored["run_id"], seconds, strict=True):
        if value == value and run_id in plan.expansion.sources:
            found[id(plan.expansion.sources[run_id][0])].append(value)
    return {key: sum(values) / len(values) for key, values in found.items()}


def work(run: Run) -> float:
    """The work of a run's whole budget: steps of sequences, weighted where they are trained on."""
    evaluations = run.max_updates / run.eval_every + 1
    tested = evaluations * run.eval_sequences + run.final_sequences
    return (
        TRAINING * run.max_updates * run.sequences_per_update * run.length
        + tested * run.evaluation_length
        + run.long_sequences * run.long_length
    )


def _kind(run: Run) -> tuple:
    """What the speed per step depends on, roughly."""
    return run.engine, run.device, run.cell, run.dtype, run.layers, run.hidden_size, run.batch_size


def measure_speed(run: Run) -> float | None:
    """Processor seconds per unit of `work`; None where the run is not ready or fails."""
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
                break  # long enough to be measured
    except Exception:  # the run will fail too, and its row will say why
        return None
    return seconds / work(short)
