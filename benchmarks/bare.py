"""Runs trained by nothing but a loop: `python -m benchmarks.bare GRID`, the other side of `benchmarks.overhead`.

It reads the runs' identities and the time at which it was started (JSON), and answers with the seconds since then, the
seconds of the loop alone, and the number of runs. It imports what a script would that trains them, and no more.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from study.engines import engine_of
from study.gridfile import expand, read_grid

LEAST = {"max_updates": 1, "eval_every": 1, "eval_sequences": 1, "final_sequences": 1, "long_sequences": 1}


def train(grid: str, run_ids: list[str], started: float) -> dict[str, Any]:
    """Train runs of a grid, one after another, and keep nothing."""
    expansion = expand(read_grid(grid))
    runs = [expansion.run(run_id) for run_id in run_ids]
    for run in {(run.engine, run.cell, run.dtype): run for run in runs}.values():
        engine_of(run).train(run.model_copy(update=LEAST))  # imports an engine, and loads a compiled loop
    looped = time.time()
    for run in runs:
        engine_of(run).train(run)
    return {"whole": time.time() - started, "loop": time.time() - looped, "runs": len(runs)}


if __name__ == "__main__":
    print(json.dumps(train(sys.argv[1], **json.load(sys.stdin))))
