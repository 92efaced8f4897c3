"""How much work a pack holds: as much as takes the wanted time, as runs turn out."""

from collections.abc import Iterable

import numpy as np
import pytest

from study.plan import LAST_PACKS, Pace
from study.schema import batch_of


class Costs:
    """Ten runs, thought to take as many seconds as they are told."""

    def __init__(self, each: float):
        self.each, self.total = each, 10 * each

    def __call__(self, run_id: str) -> float:
        return self.each


def rows(ids: Iterable[str], seconds: float) -> object:
    times = {"train_seconds": seconds, "evaluation_seconds": 0.0, "final_seconds": 0.0}
    return batch_of([{"run_id": run_id} | times for run_id in ids] + [{"run_id": "failed"}])


def test_packs_cost_what_takes_the_wanted_time_as_runs_turn_out():
    pace = Pace(Costs(100.0), 2.0, processes=1)
    assert pace() == 2.0, "as estimated, while nothing is known"
    pace.learn(rows("ab", 20.0))
    assert pace() == pytest.approx(10.0), "five times as much, where runs take a fifth; failed ones tell nothing"
    pace.learn(rows("cd", 380.0))
    assert pace() == pytest.approx(1.0)


def test_packs_become_smaller_when_little_is_left():
    pace = Pace(Costs(1.0), 2.0, processes=1)
    sizes = [pace()]
    for run_id in "abcdefghij":
        assert pace.pack(run_id) == 1.0
        sizes.append(pace())
    assert sizes == [min(2.0, left / LAST_PACKS) for left in np.arange(10.0, -1, -1)]
    assert Pace(Costs(1.0), 2.0, processes=5)() == pytest.approx(10 / LAST_PACKS / 5)
