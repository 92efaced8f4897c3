"""Disturb a grid again and again, and compare its rows with those of an undisturbed grid.

`python -m benchmarks.chaos` takes about half an hour. In each round, a grid of 120 runs is started
and then disturbed. It is killed or interrupted, a worker is killed, disk space runs out, or a part
(a stored file of rows) is damaged. No stored row may be lost, except in a damaged part. When all
runs are stored, the table must equal the table of an undisturbed grid, bit for bit.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
import pyarrow.parquet as pq

from benchmarks.store import manifest_of
from benchmarks.worker import ROOT
from study.command import Count, Seed, command, run
from study.grid import atomic_write
from study.grid.store import part_files, read_rows
from study.runs import SCHEMA
from study.runs.results import TIMINGS

RUNS = 120
GRID = """
name: chaos
defaults: {lr: 0.001, max_updates: 4000, eval_every: 200, stop_when_solved: false}
blocks:
  lstm: {keep_weights: true, vary: {seed: {range: [0, 60]}}}
  rnn: {fixed: {cell: rnn_tanh}, vary: {seed: {range: [0, 60]}}}
"""
# Rows are stored at once instead of every 5 s, so that there are many parts to damage.
START = """import resource, sys; from study.grid import __main__ as grid; grid.FLUSH_SECONDS = 0.0
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2); sys.exit(grid.run(grid.app))
"""
LONGEST = 120  # seconds for one grid, or for its workers to end
INTERRUPTED = (0, 130, -signal.SIGTERM)  # 0: after its end; SIGTERM: before it began to train
CODES = {"parent killed": (0, -signal.SIGKILL), "worker killed": (0,), "Ctrl-C": INTERRUPTED}
CODES |= {"SIGTERM": INTERRUPTED, "disk full": (0, 2), "part damaged": (0,)}
REST = random.Random()  # decides nothing, since nothing is disturbed
NUMBERS = [name for name in SCHEMA.names if name not in TIMINGS]

app = command("python -m benchmarks.chaos", "python -m benchmarks.chaos --rounds 20 --seed 3")


@app.default
def chaos(*, rounds: Count = 200, seed: Seed = 0, out: Path = ROOT / "results/benchmarks") -> None:
    """Disturb a grid in many ways; stop at the first result that is lost, duplicated or changed."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as for scripts in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    rng, counts, stored = random.Random(seed), Counter[str](), set[str]()
    with tempfile.TemporaryDirectory() as parent:
        (Path(parent) / "grid.yaml").write_text(GRID)
        grid(Path(parent) / "undisturbed")
        expected = read_rows(Path(parent) / "undisturbed", NUMBERS)
        for number in range(rounds):
            folder, kind = Path(parent) / f"results-{counts['equal tables']}", rng.choice([*CODES])
            code, damaged = grid(folder, kind, rng)
            before = stored - damaged
            stored = set(read_rows(folder, ["run_id"])["run_id"].to_pylist())
            assert before <= stored, f"{kind}: {len(before - stored)} stored runs are lost"
            counts[what := f"{kind}: exit code {code}"] += 1
            print(f"{number + 1} of {rounds}: {what}, {len(stored)} runs stored", file=sys.stderr)
            if len(stored) == RUNS or rng.random() < 0.2 or number == rounds - 1:
                grid(folder)
                (part,) = part_files(folder)
                ids = pq.read_table(part, columns=["run_id"])["run_id"].to_pylist()
                assert len(ids) == len(set(ids)) == RUNS, "runs are lost or duplicated"
                assert repr(read_rows(folder, NUMBERS).to_pylist()) == repr(expected.to_pylist())
                counts["equal tables"], stored = counts["equal tables"] + 1, set()
    result = manifest_of(["python", "-m", "benchmarks.chaos"]) | {"seed": seed, "counts": counts}
    atomic_write(out / "chaos.json", (json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps(counts, indent=1))


def grid(folder: Path, kind: str = "", rng: random.Random = REST) -> tuple[int, set[str]]:
    """Run the grid, disturb it at a random moment, and return its exit code.

    `kind`, a key of CODES, says how to disturb it. If `kind` is "", nothing is disturbed. Also
    returns the identities of the runs in a part (a file of rows) that was damaged.
    """
    log, before = folder.parent / "log", part_files(folder)
    size = rng.randrange(2_000, 40_000) if kind == "disk full" else resource.RLIM_INFINITY
    words = [str(size), str(folder.parent / "grid.yaml"), "--out", str(folder)]
    with open(log, "w") as file:
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", START, *words, "--jobs", "2", "--pack-size", "3"],
            cwd=ROOT, stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip
    is_early = rng.random() < 0.3  # wait until it prints its plan, or else until it stores rows
    while process.poll() is None and not log.stat().st_size:
        time.sleep(0.01)
    while process.poll() is None and not is_early and part_files(folder) == before:
        time.sleep(0.01)
    with suppress(subprocess.TimeoutExpired):
        process.wait(rng.uniform(0, 1.5) if kind else LONGEST)
    children = []
    with suppress(psutil.Error, ProcessLookupError):
        children = psutil.Process(process.pid).children(recursive=True)
        if kind == "parent killed":
            process.kill()
        elif kind == "worker killed":
            workers = [child for child in children if "Loky" in " ".join(child.cmdline())]
            rng.choice(workers).kill() if workers else None
        elif kind in ("Ctrl-C", "SIGTERM") and process.poll() is None:
            os.killpg(process.pid, signal.SIGINT) if kind == "Ctrl-C" else process.terminate()
    damaged = damage(folder, rng) if kind == "part damaged" else set[str]()
    code, said = process.wait(LONGEST), log.read_text()
    assert not psutil.wait_procs(children, LONGEST)[1], f"{kind}: workers outlive the grid"
    assert code in CODES.get(kind, (0,)), f"{kind or 'undisturbed'}: exit code {code}:\n{said}"
    return code, damaged


def damage(folder: Path, rng: random.Random) -> set[str]:
    """Cut a stored file of rows short, change one of its bits, or delete the file.

    Returns the identities of the runs in the file.
    """
    with suppress(IndexError, FileNotFoundError):  # there is no part, or it has just been joined
        part, how = rng.choice(part_files(folder)), rng.choice(["cut", "changed", "deleted"])
        content = bytearray(part.read_bytes())
        runs = set(pq.read_table(part, columns=["run_id"])["run_id"].to_pylist())
        if how == "changed":
            content[rng.randrange(len(content))] ^= 1
        with open(part, "r+b") as file:
            file.write(content)
            file.truncate(rng.randrange(len(content)) if how == "cut" else len(content))
        part.unlink() if how == "deleted" else None
        return runs
    return set()


if __name__ == "__main__":
    sys.exit(run(app))
