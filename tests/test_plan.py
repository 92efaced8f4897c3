"""How much work a pack holds: as much as takes the wanted time, as runs turn out."""

import json
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from study.grid.file import expand, read_grid
from study.grid.machine import Speed
from study.grid.plan import LAST_PACKS, STARTS_WORTH, STORED_COLUMNS, Pace, make_plan
from study.grid.plan import Costs as RealCosts
from study.grid.store import read_rows
from study.model.engines import START_SECONDS
from study.runs.results import table_of
from study.runs.settings import Run


class Costs:
    """Ten runs, thought to take as many seconds as they are told, and some more on torch."""

    def __init__(self, each: float, torch: float = 0.0):
        self.each, self.of_engines = each, {"fused": 10 * each, "torch": torch}
        self.total = 10 * each + torch

    def __call__(self, run_id: str) -> float:
        return self.each


def rows(ids: Iterable[str], seconds: float) -> object:
    times = {"train_seconds": seconds, "evaluation_seconds": 0.0, "final_seconds": 0.0}
    return table_of([{"run_id": run_id} | times for run_id in ids] + [{"run_id": "failed"}])


def test_packs_cost_what_takes_the_wanted_time_as_runs_turn_out():
    pace = Pace(Costs(100.0), 2.0, processes=1)
    assert pace("fused") == 2.0, "as estimated, while nothing is known"
    pace.learn(rows("ab", 20.0))
    assert pace("fused") == pytest.approx(10.0), (
        "five times as much, where runs take a fifth; failed ones tell nothing"
    )
    pace.learn(rows("cd", 380.0))
    assert pace("fused") == pytest.approx(1.0)


def test_packs_become_smaller_when_little_is_left():
    pace = Pace(Costs(1.0), 2.0, processes=1)
    sizes = [pace("fused")]
    for run_id in "abcdefghij":
        assert pace.pack(run_id) == 1.0
        sizes.append(pace("fused"))
    assert sizes == [min(2.0, left / LAST_PACKS) for left in np.arange(10.0, -1, -1)]
    assert Pace(Costs(1.0), 2.0, processes=5)("fused") == pytest.approx(10 / LAST_PACKS / 5)


def test_an_engine_that_starts_slowly_and_has_little_to_do_has_large_packs():
    """Lest every process imports torch for a few runs."""
    worth = STARTS_WORTH * START_SECONDS["torch"]
    little, much = (
        Pace(Costs(1000.0, torch), 2.0, processes=2) for torch in (1.9 * worth, 2.1 * worth)
    )
    assert little("torch") == worth
    assert little("fused") == much("torch") == much("fused") == 2.0
    for pace in (little, much):
        pace.learn(rows("ab", 100.0))  # a tenth of their estimate
    assert little("torch") == much("torch") == 10 * worth, "there is less than it seemed"
    assert Pace(Costs(1.0, worth), 2.0, processes=2)("torch") == (10 + worth) / 2 / LAST_PACKS, (
        "no process waits"
    )


def test_runs_of_an_engine_that_starts_slowly_come_together():
    """Where the first of them is; all others keep the order of their identities."""
    expansion = expand(read_grid("experiments/main.yaml"))
    stored = empty_store()
    todo = make_plan(expansion, expansion.blocks, stored, retry_failed=False).todo
    engines = [expansion.sources[run_id][0].engine for run_id in todo]
    assert [engine for engine, _ in groupby(engines)] == ["fused", "torch", "fused"]
    for engine in ("fused", "torch"):
        ids = [run_id for run_id, its in zip(todo, engines, strict=True) if its == engine]
        assert len(ids) > 1
        assert ids == sorted(ids)
    assert todo[: engines.index("torch") + 1] == sorted(todo)[: engines.index("torch") + 1]


def test_what_was_not_measured_is_estimated_from_what_was_and_never_from_an_estimate(tmp_path):
    """The third network is most like the second; the fourth most like the third, and of the measured ones the first."""
    networks = {"a": (1, 6, 8, 20), "b": (2, 12, 16, 80), "c": (2, 12, 8, 50), "d": (3, 12, 8, 30)}
    names = ("layers", "hidden_size", "batch_size", "length")
    blocks = {
        block: {"fixed": dict(zip(names, values, strict=True))}
        for block, values in networks.items()
    }
    path = tmp_path / "grid.yaml"
    path.write_text(json.dumps({"name": "g", "blocks": blocks}))
    expansion = expand(read_grid(path))
    runs = {block: expansion.run(ids[0]) for block, ids in expansion.blocks.items()}
    speeds = {6: Speed(1.0, 0.0, 0.0), 12: Speed(7.0, 0.0, 0.0)}

    def some(_, asked: Iterable[Run]) -> list[Speed | None]:
        return [speeds[run.hidden_size] if run in (runs["a"], runs["b"]) else None for run in asked]

    plan = make_plan(expansion, expansion.blocks, empty_store(), retry_failed=False)
    costs = RealCosts(plan, empty_store())
    costs.measure(some)
    found = {block: costs(run.run_id) / run.max_updates for block, run in runs.items()}
    assert found == {"a": 1.0, "b": 7.0, "c": 7.0 * 50 / 80, "d": 1.0 * 30 / 20}
    assert (costs.measured, costs.kinds) == (2, 4)


def empty_store() -> pa.Table:
    stored = read_rows(Path("nowhere"), [*STORED_COLUMNS, "weights"])
    return stored.append_column("has_weights", stored["weights"].is_valid())
