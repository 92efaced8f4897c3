"""What a process costs before it can train: `python -m benchmarks.bare`, the other side of `benchmarks.overhead`.

It reads the time at which it was started and the settings of runs (JSON), trains each for a single update, and answers
with the seconds that all took. It imports what a script would that trains such runs, and no more.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from study.engines import engine_of
from study.runs.settings import Run

LEAST = {
    "max_updates": 1,
    "eval_every": 1,
    "eval_sequences": 1,
    "final_sequences": 1,
    "long_sequences": 1,
}


def start_up(started: float, runs: list[dict[str, Any]]) -> float:
    """Seconds since `started`, once the engines of these runs are imported and their compiled loops loaded."""
    for run in (Run.model_construct(**settings) for settings in runs):
        engine_of(run).train(run.model_copy(update=LEAST))
    return time.time() - started


if __name__ == "__main__":
    print(start_up(**json.load(sys.stdin)))
