"""Compare the processor time of the main grid with that of plain PyTorch, by a sample of its runs.

The command `python -m benchmarks.grid` takes some ten minutes. It trains all runs of the main grid
that the fused engine trains, start-up included. PyTorch would take hours for them, so a few runs
are drawn from each block and cell, and trained by `torch.nn` and `torch.optim` on one thread.
"""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch

from benchmarks.store import manifest_of
from benchmarks.worker import ROOT
from study.command import command, run
from study.engines import torch_engine
from study.grid import atomic_write
from study.grid.file import Expansion, expand, read_grid
from study.runs import Run

GRID = ROOT / "experiments" / "main.yaml"
NORMAL_95 = 1.96

app = command("python -m benchmarks.grid", "python -m benchmarks.grid --each 2 --out /tmp/grid")


@app.default
def grid(*, each: int = 3, out: Path = ROOT / "results" / "benchmarks") -> None:
    """Measure how much less processor time the main grid takes than plain PyTorch would.

    Parameters
    ----------
    each
        The number of runs of each block and cell that PyTorch trains, at least 2.
    out
        The folder to write grid.json to.
    """
    found = manifest_of(["python", "-m", "benchmarks.grid", "--each", str(each)])
    expansion = expand(read_grid(GRID))
    strata = strata_of(expansion)
    sampled = [(len(ids), sample(expansion, ids, each)) for ids in strata.values()]
    found["fused_seconds"] = fused_seconds(sorted({block for block, _ in strata}))
    seconds = [(size, [torch_seconds(one) for one in runs]) for size, runs in sampled]
    found |= {"runs": sum(map(len, strata.values())), "strata": len(strata)}
    found |= {"torch_runs": sum(len(runs) for _, runs in sampled)}
    found |= total_of(seconds)
    atomic_write(out / "grid.json", (json.dumps(found, indent=1) + "\n").encode())
    print(json.dumps({k: v for k, v in found.items() if isinstance(v, float | int)}, indent=1))


def strata_of(expansion: Expansion) -> dict[tuple[str, str], list[str]]:
    """Return the identities of the fused engine's runs, by their first block and their cell."""
    strata, seen = defaultdict[tuple[str, str], list[str]](list), set[str]()
    for block, run_ids in expansion.blocks.items():
        for run_id in run_ids:
            one = expansion.sources[run_id][0]
            if one.engine == "fused" and run_id not in seen:
                seen.add(run_id)
                strata[block, one.cell].append(run_id)
    return strata


def sample(expansion: Expansion, run_ids: Sequence[str], n: int) -> list[Run]:
    """Return n of the runs, drawn at random without replacement, or all if there are fewer."""
    chosen = np.random.default_rng(0).permutation(len(run_ids))[:n]
    return [expansion.run(run_ids[int(number)]) for number in chosen]


def fused_seconds(blocks: Sequence[str]) -> float:
    """Return the processor seconds of the command that trains these blocks, in new processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    only = [word for block in blocks for word in ("--only", block)]
    with tempfile.TemporaryDirectory() as folder:
        words = ["-m", "study", "grid", str(GRID), *only, "--out", f"{folder}/main"]
        subprocess.run([sys.executable, *words], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def torch_seconds(one: Run) -> float:
    """Return the processor seconds in which the torch engine trains a run, on one thread."""
    torch.set_num_threads(1)
    started = process_time()
    torch_engine.train(one.model_copy(update={"engine": "torch"}))
    return process_time() - started


def total_of(seconds: Sequence[tuple[int, Sequence[float]]]) -> dict[str, Any]:
    """Estimate the total of a population from samples of its strata (size, values).

    Returns `torch_seconds`, and the ends of its 95 % interval by the normal approximation, as
    `torch_low` and `torch_high`. Source: Cochran 1977, Sampling Techniques, section 5.
    """
    total, variance = 0.0, 0.0
    for size, values in seconds:
        total += size * float(np.mean(values))
        if len(values) < size:
            unseen = 1 - len(values) / size
            variance += size**2 * unseen * float(np.var(values, ddof=1)) / len(values)
    half = NORMAL_95 * math.sqrt(variance)
    return {"torch_seconds": total, "torch_low": total - half, "torch_high": total + half}


if __name__ == "__main__":
    sys.exit(run(app))
