"""Measure the seconds per update over many repeats, and return their minimum and quartiles.

Times are in processor seconds. They include all threads of the process, but not the time in which
other programs use its core. Only `wall_seconds` and `prepare_seconds` are read from the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter, process_time
from typing import Any

import numpy as np

REPEAT_SECONDS = 0.005  # the shortest repeat: shorter updates are timed several at a time
LEAST_REPEATS = 5
WORSE = 1.1  # the search ends at a number of models that is slower than the best by this factor

Updates = Callable[[int], None]  # does n updates and waits for them


def timed(updates: Updates, seconds: float, models: int = 1) -> dict[str, Any]:
    """Measure an update repeatedly for about `seconds` in all, and return the times per model.

    `models` is the number of models that `updates` trains at once. The result has the keys of
    `summary` and a few more. `wall_seconds` is the minimum time by the clock. `updates_per_repeat`
    is the number of updates that are timed together. `prepare_seconds` is the clock time of the
    first call.
    """
    started = perf_counter()
    updates(1)
    prepared = perf_counter()
    n = 1
    while _seconds_of(updates, n)[0] < REPEAT_SECONDS:
        n *= 2
    repeats: list[tuple[float, float]] = []
    while len(repeats) < LEAST_REPEATS or sum(cpu for cpu, _ in repeats) < seconds:
        repeats.append(_seconds_of(updates, n))
    cpu, wall = np.array(repeats).T / n / models
    return summary(cpu) | {
        "wall_seconds": float(wall.min()),
        "models": models,
        "updates_per_repeat": n,
        "prepare_seconds": prepared - started,
    }


def summary(repeats: np.ndarray) -> dict[str, Any]:
    """Return the minimum and the quartiles of n times, and n. `repeats` (n,) is in seconds."""
    low, median, high = np.quantile(repeats, [0.25, 0.5, 0.75])
    return {
        "min_seconds": float(repeats.min()),
        "q25_seconds": float(low),
        "median_seconds": float(median),
        "q75_seconds": float(high),
        "repeats": len(repeats),
    }


def best_of_models(
    make: Callable[[int], Updates], numbers: Sequence[int], seconds: float
) -> dict[str, Any]:
    """Find how many models to train at once for the least time per model; return the times.

    `make` returns a function that updates the given number of models. The `numbers` are tried in
    ascending order until one is slower than the best by more than the factor `WORSE`. Then all of
    them are measured again, since a machine may be slow for some seconds. The result is the best
    result of `timed`, with one more key. `models_tried` is a text of the numbers tried and their
    least seconds, such as `1:0.002`.
    """
    made: dict[int, Updates] = {}
    least: dict[int, dict[str, Any]] = {}
    for models in numbers:
        made[models] = make(models)
        least[models] = timed(made[models], seconds, models)
        if _least(least[models]) > WORSE * min(map(_least, least.values())):
            break
    for models, updates in made.items():
        least[models] = min(least[models], timed(updates, seconds, models), key=_least)
    tried = " ".join(f"{models}:{_least(one):.3g}" for models, one in least.items())
    return min(least.values(), key=_least) | {"models_tried": tried}


def _least(result: dict[str, Any]) -> float:
    return result["min_seconds"]


def _seconds_of(updates: Updates, n: int) -> tuple[float, float]:
    """Return the processor seconds and the clock seconds that n updates take."""
    wall, cpu = perf_counter(), process_time()
    updates(n)
    return process_time() - cpu, perf_counter() - wall
