"""What a grid has still to do, and about how long that will take."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, takewhile
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa

from study.grid.file import Expansion
from study.grid.machine import Speed, is_ready, measure_speed, surely_absent, why_unavailable
from study.model import START_SECONDS
from study.runs import Run

PROBE_SECONDS = 8.0  # how long a plan may measure what no stored run tells
MOST_PROBES = 24
Each = Callable[
    [Callable[[Run], Any], Iterable[Run]], Iterable[Any]
]  # such as `map`: here, or on other processes
SECONDS = ("train_seconds", "evaluation_seconds", "final_seconds")
STORED_COLUMNS = ("run_id", "status", *SECONDS)
LAST_PACKS = 4  # what is left is seen as at least so many packs for each process
STARTS_WORTH = 10.0  # a pack that may make a process start an engine takes so many times as long, if there is as much


@dataclass
class Plan:
    """Which of a grid's runs are to be trained, which cannot be, and the rest of the picture."""

    expansion: Expansion
    selected: list[str]  # of the blocks asked for, in the order in which they will be trained
    todo: list[str] = field(default_factory=list)
    unavailable: dict[str, str] = field(default_factory=dict)  # run_id -> why it is to be skipped
    stored: Counter = field(default_factory=Counter)  # of the selected runs, by status
    unplanned: int = 0  # stored runs that the grid no longer has


def make_plan(
    expansion: Expansion,
    only: Iterable[str],
    stored: pa.Table,
    retry_failed: bool,
    share: tuple[int, int] = (1, 1),
    each: Each = map,
) -> Plan:
    """Compare a grid, or the first, second, … of some equal shares of it, with what is stored.

    `stored` has the columns STORED_COLUMNS and `has_weights`. Runs are trained in the order of their
    identities, which mixes cheap and dear ones, so that an early estimate of the time left holds; but those of an
    engine that is slow to start follow its first one, so that few processes start it.
    """
    selected = sorted({run_id for name in only for run_id in expansion.blocks[name]})[
        share[0] - 1 :: share[1]
    ]
    plan = Plan(expansion, selected)
    status = dict(zip(stored["run_id"].to_pylist(), stored["status"].to_pylist(), strict=True))
    kept = set(stored.filter(stored["has_weights"])["run_id"].to_pylist())
    plan.unplanned = sum(run_id not in expansion.sources for run_id in status)
    wanted = []
    for run_id in selected:
        found = status.get(run_id)
        lacks_weights = (
            run_id in expansion.keep_weights
            and run_id not in kept
            and found in ("solved", "unsolved")
        )
        again = lacks_weights or (found == "failed" and retry_failed)
        if found in (None, "skipped") or again:
            wanted.append(run_id)
        else:
            plan.stored[found] += 1
    why_not = _unavailable(plan, wanted, each)
    for run_id in wanted:
        why = why_not[_place(expansion.sources[run_id][0])]
        if why is None:
            plan.todo.append(run_id)
        elif run_id in status:
            plan.stored[status[run_id]] += 1
        else:
            plan.unavailable[run_id] = why
    plan.todo = _gathered(plan)
    return plan


def _gathered(plan: Plan) -> list[str]:
    """What is to be done, with all runs of an engine that is slow to start where its first one is."""
    groups: dict[str, list[str]] = {}
    for run_id in plan.todo:
        engine = plan.expansion.sources[run_id][0].engine
        groups.setdefault(engine if engine in START_SECONDS else run_id, []).append(run_id)
    return list(chain.from_iterable(groups.values()))


def _place(run: Run) -> tuple[str, str]:
    return run.engine, run.device


def _unavailable(plan: Plan, wanted: list[str], each: Each) -> dict[tuple[str, str], str | None]:
    """Why an engine cannot train on a device here, None where it can; torch and the CPU are always there."""
    examples = {_place(run): run for run in _sources(plan, wanted)}
    told = {place: surely_absent(run.device) for place, run in examples.items()}
    asked = {
        place: run for place, run in examples.items() if run.device != "cpu" and told[place] is None
    }
    return told | dict(zip(asked, each(why_unavailable, asked.values()), strict=True))


def _sources(plan: Plan, run_ids: Iterable[str]) -> Iterable[Run]:
    """The runs, each with all its siblings that differ in the seed, as one."""
    return {id(run): run for run, _ in map(plan.expansion.sources.__getitem__, run_ids)}.values()


def unprepared(plan: Plan, each: Each = map) -> list[Run]:
    """A run for each thing that an engine must prepare on this machine first, such as compile a cell."""
    examples: dict[tuple, Run] = {}
    for source in _sources(plan, plan.todo):
        examples.setdefault((source.engine, source.cell, source.dtype), source)
    return [
        run
        for run, ready in zip(examples.values(), each(is_ready, examples.values()), strict=True)
        if not ready
    ]


# --- how long it will take ----------------------------------------------------------------------


class Costs:
    """Seconds that a run takes: as its stored siblings took, else its budget at a speed that `measure` finds."""

    def __init__(self, plan: Plan, stored: pa.Table):
        self._sources, self._todo = plan.expansion.sources, plan.todo
        self._known: dict[int, float] = {}
        self._stored = _mean_seconds(plan.expansion, stored)
        self._speeds: dict[tuple, Speed] = {}
        self._measured: tuple[tuple, ...] = ()
        self._examples, counts = self._unknown(plan)
        self._probed = [key for key, _ in counts.most_common(MOST_PROBES)]

    @property
    def measured(self) -> int:
        """How many kinds of network were measured for this plan."""
        return len(self._measured)

    @property
    def kinds(self) -> int:
        """How many kinds of network it has whose speed no stored run tells."""
        return len(self._examples)

    def __call__(self, run_id: str) -> float:
        """Estimated seconds of one run on one core; an upper bound where no sibling is stored."""
        run = self._sources[run_id][0]
        key = _settings_key(run)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = (
                self._stored[key] if key in self._stored else self._speed(run).budget(run)
            )
        return known

    @cached_property
    def of_engines(self) -> dict[str, float]:
        """Of all runs that are to be trained, by engine."""
        found: dict[str, float] = defaultdict(float)
        for run_id in self._todo:
            found[self._sources[run_id][0].engine] += self(run_id)
        return dict(found)

    @property
    def total(self) -> float:
        """Of all runs that are to be trained."""
        return sum(self.of_engines.values())

    @property
    def is_bound(self) -> bool:
        """Whether some of the estimate is the budget and not experience."""
        return self.kinds > 0

    def _unknown(self, plan: Plan) -> tuple[dict[tuple, Run], Counter]:
        """A run of each kind without a stored sibling, and how many there are."""
        examples: dict[tuple, Run] = {}
        counts: Counter = Counter()
        for run_id in plan.todo:
            run = plan.expansion.sources[run_id][0]
            if _settings_key(run) not in self._stored:
                examples.setdefault(_speed_key(run), run)
                counts[_speed_key(run)] += 1
        return examples, counts

    def measure(self, each: Each = map) -> None:
        """Measure the speeds of the kinds that most runs are of, for a while."""
        end = perf_counter() + PROBE_SECONDS
        in_time = takewhile(
            lambda _: perf_counter() < end, (self._examples[key] for key in self._probed)
        )
        speeds = zip(self._probed, each(measure_speed, in_time), strict=False)
        self._speeds = {key: speed for key, speed in speeds if speed is not None}
        self._measured = tuple(self._speeds)

    def _speed(self, run: Run) -> Speed:
        """The measured speed, or that of the most similar measured kind, scaled by the sequence length."""
        key = _speed_key(run)
        if not self._speeds:
            return UNMEASURED
        if key not in self._speeds:
            nearest = max(self._measured, key=lambda other: _likeness(key, other))
            self._speeds[key] = self._speeds[nearest].times(key[-1] / nearest[-1])
        return self._speeds[key]


class Pace:
    """What packs may cost, by estimate, for each to take about `seconds`; less near the end, lest processes wait.

    Each pack costs some milliseconds of its own, and an estimate may be a bound that most runs stay far below: so what
    runs took of what was estimated is learned from those that are done. An engine that is slow to start and has little
    to do has large packs: each process that gets one has to start it.
    """

    def __init__(self, costs: Costs, seconds: float, processes: int):
        self._costs, self._seconds, self._processes = costs, seconds, processes
        self._left = costs.total  # of runs that are in no pack yet
        self._estimated = self._taken = 0.0

    def __call__(self, engine: str) -> float:
        """What a pack of runs on an engine may cost that is begun now."""
        of_estimate = self._estimated / self._taken if self._taken > 0 else 1.0
        worth = STARTS_WORTH * START_SECONDS.get(engine, 0.0)
        is_rare = self._costs.of_engines[engine] < of_estimate * worth * self._processes
        seconds = max(self._seconds, worth) if is_rare else self._seconds
        return min(seconds * of_estimate, self._left / (LAST_PACKS * self._processes))

    def pack(self, run_id: str) -> float:
        """The cost of a run, which goes into a pack."""
        cost = self._costs(run_id)
        self._left -= cost
        return cost

    def learn(self, rows: pa.RecordBatch) -> None:
        """Rows of runs that were trained just now."""
        seconds = _seconds(rows)
        trained = np.isfinite(seconds)
        ids = rows["run_id"].to_pylist()
        self._estimated += sum(
            self._costs(run_id) for run_id, was in zip(ids, trained, strict=True) if was
        )
        self._taken += float(seconds[trained].sum())


UNMEASURED = Speed(update=2e-3, evaluation=1e-3, final=5e-2)  # a guess, where no run could be timed


def _speed_key(run: Run) -> tuple:
    """What an update's time depends on; the sequence length last."""
    batches = run.sequences_per_update // run.batch_size
    return (
        run.engine, run.device, run.cell, run.dtype, run.layers, run.state, run.hidden_size, run.batch_size, batches,
        run.length,
    )  # fmt: skip


def _likeness(key: tuple, other: tuple) -> tuple:
    """Equal parts, the weightier ones first; then the closer length."""
    equal = [a == b for a, b in zip(key, other, strict=True)]
    return (*equal[:3], sum(equal), -abs(key[-1] - other[-1]))


def _settings_key(run: Run) -> int:
    """Runs of one expansion that differ in their seed alone share their source."""
    return id(run)


def _mean_seconds(expansion: Expansion, stored: pa.Table) -> dict[int, float]:
    """Mean seconds of stored runs by their settings without the seed."""
    by_source = defaultdict(list)
    for run_id, value in zip(stored["run_id"].to_pylist(), _seconds(stored).tolist(), strict=True):
        if np.isfinite(value) and run_id in expansion.sources:
            by_source[_settings_key(expansion.sources[run_id][0])].append(value)
    return {key: sum(values) / len(values) for key, values in by_source.items()}


def _seconds(rows: pa.Table | pa.RecordBatch) -> np.ndarray:
    """Seconds that each run took in all; not finite where it was not trained to its end."""
    columns = (rows[name].to_numpy(zero_copy_only=False) for name in SECONDS)
    return sum(columns, np.zeros(len(rows)))
