"""Seconds per update: repeats of some milliseconds each, summarised by minimum and quartiles.

Processor seconds count all threads of the process, but not the time that other programs take on its
core. `wall_seconds` is the minimum by the clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from time import perf_counter, process_time
from typing import Any

import numpy as np

REPEAT_SECONDS = 0.005  # a shorter update is done several times per repeat
LEAST_REPEATS = 5
WORSE = 1.1  # the search ends at a number of models that is slower than the best by this factor

Updates = Callable[[int], None]  # does n updates and waits for them


def timed(updates: Updates, seconds: float, models: int = 1) -> dict[str, Any]:
    """Time an update for about `seconds` in all; times are per model if `models` go at once."""
    started = perf_counter()
    updates(1)
    prepared = perf_counter()
    updates(2)
    n = max(1, math.ceil(REPEAT_SECONDS / _seconds_of(updates, 1)[0]))
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
    """The minimum and quartiles of the seconds of n repeats, (n,), and n."""
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
    """The fastest time per model over rising numbers of models, until more are clearly slower.

    `models_tried` lists the numbers tried, with their seconds.
    """
    tried: list[dict[str, Any]] = []
    for models in numbers:
        tried.append(timed(make(models), seconds, models))
        if tried[-1]["min_seconds"] > WORSE * min(one["min_seconds"] for one in tried):
            break
    best = min(tried, key=lambda one: one["min_seconds"])
    return best | {
        "models_tried": " ".join(f"{one['models']}:{one['min_seconds']:.3g}" for one in tried)
    }


def _seconds_of(updates: Updates, n: int) -> tuple[float, float]:
    """Processor seconds and clock seconds of n updates."""
    wall, cpu = perf_counter(), process_time()
    updates(n)
    return process_time() - cpu, perf_counter() - wall
