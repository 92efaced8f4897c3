"""Measure the cases of one peer in a process of its own, on one thread and one core.

`python -m benchmarks.worker PEER SECONDS CASES` takes the cases as JSON and prints one line of JSON
per case. The function `measured` starts this command and reads the lines.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from benchmarks.peers import PEERS
from benchmarks.problem import Case

ROOT = Path(__file__).resolve().parent.parent
COMMAND = [sys.executable, "-m", "benchmarks.worker"]
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "TORCHINDUCTOR_COMPILE_THREADS": "1",
}


def measured(peer: str, cases: Sequence[Case], seconds: float) -> Iterator[dict[str, Any]]:
    """Measure the cases in a new process and yield one result per case, in order.

    A result has a `status`, which is measured, skipped or failed. If the case was measured, the
    result also has the numbers from `timing.timed`. Otherwise it has a `reason`. If a case crashes
    the process, it counts as failed, and a new process measures the remaining cases.
    """
    left = list(cases)
    while left:
        command = [*COMMAND, peer, str(seconds), json.dumps([astuple(case) for case in left])]
        environment = os.environ | ONE_THREAD
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
        )
        with process:
            for line in process.stdout or ():
                left.pop(0)
                yield json.loads(line)
        if left:
            left.pop(0)
            yield _failed(f"its process ended with exit code {process.returncode}")


def main() -> None:
    """Measure the cases given on the command line, and print one result per line as JSON."""
    peer, seconds, cases = sys.argv[1:]
    if hasattr(os, "sched_setaffinity"):  # other systems must do with ONE_THREAD
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # so that whatever a library prints is not taken for a result
    for values in json.loads(cases):
        result = _measure(peer, Case(*values), float(seconds))
        print(json.dumps(result), file=results, flush=True)


def _measure(peer: str, case: Case, seconds: float) -> dict[str, Any]:
    try:
        reason = PEERS[peer].unavailable()
        if reason:
            return {"status": "skipped", "reason": reason}
        return {"status": "measured"} | PEERS[peer].measure(case, seconds)
    except Exception as error:  # one failed case must not stop the others
        traceback.print_exc()
        return _failed(" ".join(f"{type(error).__name__}: {error}".split())[:300])


def _failed(reason: str) -> dict[str, Any]:
    return {"status": "failed", "reason": reason}


if __name__ == "__main__":
    main()
