"""One peer in a process of its own, on one thread and one core.

`python -m benchmarks.worker PEER SECONDS` reads one case per line (JSON) and answers each with a
line: measured, skipped or failed. `Worker` is the other end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.peers import PEERS
from benchmarks.problem import Case

ROOT = Path(__file__).resolve().parent.parent
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "TORCHINDUCTOR_COMPILE_THREADS": "1",
}


class Worker:
    """A peer's process, started when it is first asked and again after it has died."""

    def __init__(self, peer: str, seconds: float):
        self.peer = peer
        self.command = [sys.executable, "-m", "benchmarks.worker", peer, str(seconds)]
        self._process: subprocess.Popen | None = None

    def measure(self, case: Case) -> dict[str, Any]:
        """`status`, `reason` and, if measured, the numbers of `timing.timed`."""
        process = self._process or self._start()
        try:
            print(json.dumps(asdict(case)), file=process.stdin, flush=True)
            answer = process.stdout.readline() if process.stdout else ""
        except BrokenPipeError:
            answer = ""
        if answer:
            return json.loads(answer)
        process.wait()
        self.close()
        return {
            "status": "failed",
            "reason": f"its process ended with exit code {process.returncode}",
        }

    def _start(self) -> subprocess.Popen:
        environment = os.environ | ONE_THREAD
        self._process = subprocess.Popen(
            self.command,
            cwd=ROOT,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        return self._process

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def main() -> None:
    """Answer cases until there are no more."""
    name, seconds = sys.argv[1:]
    if hasattr(os, "sched_setaffinity"):  # elsewhere the libraries' settings must do
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # so that what a library prints is not taken for an answer
    for line in sys.stdin:
        print(
            json.dumps(_answer(name, Case(**json.loads(line)), float(seconds))),
            file=answers,
            flush=True,
        )


def _answer(name: str, case: Case, seconds: float) -> dict[str, Any]:
    """The row of one case: measured, skipped or failed."""
    try:
        reason = PEERS[name].unavailable()
        if reason:
            return {"status": "skipped", "reason": reason}
        return {"status": "measured"} | PEERS[name].measure(case, seconds)
    except Exception as error:  # a peer that fails leaves a row
        traceback.print_exc()
        return {
            "status": "failed",
            "reason": " ".join(f"{type(error).__name__}: {error}".split())[:300],
        }


if __name__ == "__main__":
    main()
