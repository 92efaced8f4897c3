"""Chaos on a Dask cluster: lose workers and schedulers at random moments, and compare what comes out bit for bit.

    python -m tests.chaos_cluster --rounds 25        # `make cluster`

A round starts a scheduler and two workers, trains a grid there, and kills, stops and adds workers meanwhile; now and
then it kills or stops the scheduler, or sends the grid Ctrl-C. The grid must finish, or end with a message and finish
on this machine; then its table must equal the undisturbed one. It stops at the first promise that is broken.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from tests.chaos import ROOT, Broken, heed_interrupts, report, table
from tests.dask_cluster import ENVIRONMENT, GRID, RUNS, DaskCluster, a_cluster, arguments

HERE = "import sys; from study.grid import main; sys.exit(main(sys.argv[1:]))"
THERE = """
import sys
from study.command import leave_on_interrupt, run_command
leave_on_interrupt()
from study.grid import cluster
from study.grid import __main__ as grid
from tests.dask_cluster import slowly
cluster.LOST_SECONDS, cluster.ANSWER_SECONDS = 5.0, 2.0
train, grid.run_grid = grid.run_grid, lambda options: train(options, work=slowly)
sys.exit(run_command(grid.main))
"""
LONGEST = 180.0  # seconds of one invocation; more is a hang


def run(code: str, words: list[str], log: Path) -> subprocess.Popen:
    """A command in a process of its own."""
    with open(log, "w") as out:
        return subprocess.Popen(
            [sys.executable, "-c", code, *words],
            cwd=ROOT,
            env=ENVIRONMENT,
            stdout=out,
            stderr=subprocess.STDOUT,
        )


def end_of(process: subprocess.Popen, log: Path) -> tuple[int, str]:
    """How it ended, and what it said."""
    try:
        code = process.wait(LONGEST)
    except subprocess.TimeoutExpired as error:
        process.kill()
        raise Broken(f"the grid hung for {LONGEST:.0f} s:\n{log.read_text()}") from error
    said = log.read_text()
    if "Traceback" in said:
        raise Broken(f"a traceback:\n{said}")
    return code, said


class Disturber(threading.Thread):
    """Does things to a cluster while a grid trains there; `done` says what."""

    def __init__(
        self, cluster: DaskCluster, rng: random.Random, process: subprocess.Popen, log: Path
    ):
        super().__init__()
        self.cluster, self.process, self.log, self.done = cluster, process, log, Counter()
        kinds = [self.kill_worker, self.kill_worker, self.stop_worker, self.add_worker]
        acts = [(rng.uniform(0.0, 8.0), rng.choice(kinds)) for _ in range(rng.randrange(1, 4))]
        if rng.random() < 0.35:
            fatal = rng.choice([self.kill_scheduler, self.stop_scheduler, self.interrupt])
            acts.append((rng.uniform(0.0, 8.0), fatal))
        # Whatever befalls the others, one comes that stays.
        self.acts = sorted([*acts, (9.0, self.add_worker)], key=lambda act: act[0])
        self.rng = rng

    def run(self) -> None:
        """Each act at its moment, while the grid runs: once it has found workers, without which it would not begin."""
        while "workers at" not in self.log.read_text() and self.process.poll() is None:
            time.sleep(0.02)
        start = time.monotonic()
        for moment, act in self.acts:
            while time.monotonic() < start + moment and self.process.poll() is None:
                time.sleep(0.02)
            if self.process.poll() is None:
                act()

    def kill_worker(self) -> None:
        """As the system does when memory runs out."""
        if self.cluster.alive:
            self.rng.choice(self.cluster.alive).kill()
            self.done["worker killed"] += 1

    def stop_worker(self) -> None:
        """It keeps its connections and says nothing."""
        if self.cluster.alive:
            self.rng.choice(self.cluster.alive).send_signal(signal.SIGSTOP)
            self.done["worker stopped"] += 1

    def add_worker(self) -> None:
        """One that comes late."""
        self.cluster.worker()
        self.done["worker added late"] += 1

    def kill_scheduler(self) -> None:
        """The connection breaks."""
        self.cluster.scheduler.kill()
        self.done["scheduler killed"] += 1

    def stop_scheduler(self) -> None:
        """The connection stays, and nothing comes."""
        self.cluster.scheduler.send_signal(signal.SIGSTOP)
        self.done["scheduler stopped"] += 1

    def interrupt(self) -> None:
        """Ctrl-C, or the end of a session."""
        self.process.send_signal(self.rng.choice([signal.SIGINT, signal.SIGTERM]))
        self.done["grid interrupted"] += 1


def one_round(rng: random.Random, reference: str, counts: Counter[str]) -> None:
    """A cluster, a grid on it, and what must come out."""
    counts["rounds"] += 1
    with tempfile.TemporaryDirectory() as name, a_cluster(Path(name)) as cluster:
        folder = Path(name)
        words, log = arguments(folder, cluster), folder / "log"
        process = run(THERE, words, log)
        disturber = Disturber(cluster, rng, process, log)
        disturber.start()
        code, said = end_of(process, log)
        disturber.join()
        counts.update(disturber.done)
        check_end(code, said, disturber.done)
        counts["finished there" if code == 0 else "ended with a message, finished here"] += 1
        if code:
            here, said = end_of(
                run(HERE, [words[0], "--out", str(folder / "out"), "--jobs", "2"], log), log
            )
            if here:
                raise Broken(f"it could not be resumed:\n{said}")
        if table(folder / "out") != reference:
            raise Broken(f"another table:\n{said}")
        counts["tables equal bit for bit"] += 1


def check_end(code: int, said: str, done: Counter[str]) -> None:
    """Whether a grid may end so, after what was done to it."""
    allowed = {0}
    allowed |= {1} if done["scheduler killed"] or done["scheduler stopped"] else set()
    allowed |= (
        {130, -signal.SIGTERM} if done["grid interrupted"] else set()
    )  # SIGTERM: before it is heeded
    if code not in allowed:
        raise Broken(f"it ended with {code} after {dict(done)}:\n{said}")
    if code in (1, 130) and "repeat the command to go on" not in said:
        raise Broken(f"no message:\n{said}")


def undisturbed() -> str:
    """The table of the grid trained here."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "grid.yaml").write_text(GRID)
        words = [str(folder / "grid.yaml"), "--out", str(folder / "out"), "--jobs", "2"]
        code, said = end_of(run(HERE, words, folder / "log"), folder / "log")
        if code:
            raise Broken(f"the undisturbed grid ended with {code}:\n{said}")
        return table(folder / "out")


def main(words: list[str] | None = None) -> int:
    """Run the rounds; the counts."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos_cluster", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", metavar="FILE", help="write the counts there too")
    options = parser.parse_args(words)
    heed_interrupts()
    counts, rng = Counter(), random.Random(options.seed)
    try:
        reference = undisturbed()
        while counts["rounds"] < options.rounds:
            one_round(rng, reference, counts)
    except Broken as error:
        print(f"round {counts['rounds']}: {error}\n{dict(counts)}", file=sys.stderr)
        return 1
    report(dict(sorted(counts.items())) | {"runs in the grid": RUNS}, options.seed, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
