"""Chaos: disturb a grid of real runs again and again, resume it, and compare what comes out bit for bit.

    python -m tests.chaos --rounds 200        # `make chaos`
    python -m tests.chaos --rounds 8 --seed 3

A round starts the grid, does one thing to it at a random moment, and checks what is stored. When every run
is there, the table must equal the undisturbed one; then a new folder begins. It stops at the first promise
that is broken, and says which.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq

from study.grid.provenance import code_state, machine
from study.grid.store import part_files, read_rows
from study.runs.results import SCHEMA, TIMINGS

ROOT = Path(__file__).parent.parent
GRID = """
name: chaos
defaults:
  {engine: fused, hidden_size: 6, length: 20, lr: 0.001, max_updates: 800, eval_every: 50,
   final_sequences: 50, long_sequences: 4}
blocks:
  lstm: {fixed: {cell: lstm}, keep_weights: true, vary: {seed: {range: [0, 60]}}}
  rnn: {fixed: {cell: rnn_tanh}, vary: {seed: {range: [0, 60]}}}
"""
RUNS = 120
# As `python -m study.grid`, but parts every 0.1 s instead of every 2 s, so that there are many to damage.
COMMAND = """
import sys
name, sys.argv[0] = sys.argv[0], "-m"
import study
sys.argv[0] = name
print("the imports begin")
import study.grid.collector as collector
import study.grid.__main__ as grid
collector.FLUSH_SECONDS = 0.1
sys.exit(grid.run_command(grid.main))
"""
DISK_BYTES = 4_000_000
LONGEST = 120.0  # seconds of one invocation; more is a hang
ORPHAN_SECONDS = 10.0

# What loky says in a worker whose parent was killed before it told the worker what to do: no one can keep it back.
CUT_OFF = re.compile(
    r"-{9,}\nLokyProcess-\d+ failed with traceback: \n-{9,}\nTraceback [^\0]*?"
    r"\n(EOFError: Ran out of input|_pickle.UnpicklingError: pickle data was truncated)\s+-{9,}\n"
)


class Broken(AssertionError):
    """A promise that was not kept."""


def table(folder: Path) -> str:
    """Every number of a results folder but the timings, to the last bit."""
    rows = read_rows(folder, [name for name in SCHEMA.names if name not in TIMINGS])
    return "\n".join(map(repr, rows.sort_by("run_id").to_pylist()))


def ids_in(part: Path) -> set[str]:
    return set(pq.read_table(part, columns=["run_id"])["run_id"].to_pylist())


class Chaos:
    """One chain of rounds. `counts` says what was done and what it cost."""

    def __init__(self, seed: int, disk: Path, mounted: bool):
        self.rng, self.disk, self.mounted = random.Random(seed), disk, mounted
        self.counts: Counter[str] = Counter()
        self.longest_orphan = 0.0
        self.grid = disk.parent / "grid.yaml"
        self.grid.write_text(GRID)
        self.reference = self._undisturbed()
        self._begin()

    # --- the grid -------------------------------------------------------------------------------

    def _start(self, folder: Path, **options) -> subprocess.Popen:
        arguments = [str(self.grid), "--out", str(folder), "--jobs", "2", "--pack-size", "3"]
        # Output goes to a file: a killed grid's workers would keep a pipe open.
        self.log = open(self.disk.parent / "log", "w+")  # noqa: SIM115
        command = [sys.executable, "-u", "-c", COMMAND, *arguments]
        return subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **options,
        )

    def _end(self, process: subprocess.Popen) -> tuple[int, str]:
        try:
            code = process.wait(LONGEST)
        except subprocess.TimeoutExpired as error:
            os.killpg(process.pid, signal.SIGKILL)
            raise Broken(f"the grid hung for {LONGEST:.0f} s") from error
        self.log.seek(0)
        said = self.log.read()
        self.log.close()
        if code in (-signal.SIGKILL, -signal.SIGTERM):
            said, cut_off = CUT_OFF.subn("", said)
            self.counts["worker told that its parent was killed while it started it"] += cut_off
        if "Traceback" in said:
            raise Broken(f"a traceback:\n{said}")
        self.said += said
        return code, said

    def _undisturbed(self) -> str:
        self.said = ""
        folder = self.disk.parent / "undisturbed"
        process, started = self._start(folder), time.monotonic()
        self._wait_for_rows(process, folder)
        self.trains_after = time.monotonic() - started
        code, said = self._end(process)
        self.trains_for = time.monotonic() - started - self.trains_after
        if code != 0:
            raise Broken(f"the undisturbed grid ended with {code}:\n{said}")
        return table(folder)

    # --- a folder from its beginning to its end ---------------------------------------------------

    def _begin(self) -> None:
        self.folder = self.disk / f"results-{self.counts['folders']}"
        self.counts["folders"] += 1
        self.said, self.stored = "", set[str]()
        # By file: the word that must tell of it, and its runs; None: it is no part, and nothing excuses silence.
        self.damage: dict[str, tuple[str, set[str] | None]] = {}

    def round(self) -> None:
        """One disturbance, what it must leave, and the end of the folder where all is done."""
        self.counts["rounds"] += 1
        kinds = [self.kill_parent, self.kill_worker, self.interrupt, self.terminate, self.fill_disk]
        if self.folder.exists() and part_files(self.folder):
            kinds += [self.damage_at_rest] * 4
        self.rng.choice([*kinds, self.damage_while_it_runs, self.damage_while_it_runs])()
        self._check()
        if len(self.stored) == RUNS or self.rng.random() < 0.2:
            self._finish()

    def _check(self) -> None:
        """Nothing stored is lost but in reported damage."""
        if not self.folder.exists():
            return
        found = set(read_rows(self.folder, ["run_id"])["run_id"].to_pylist())
        excused = set().union(*(ids or set() for _, ids in self.damage.values()), set())
        if self.stored - found - excused:
            raise Broken(f"{len(self.stored - found - excused)} stored runs are lost")
        self.stored = found

    def _finish(self) -> None:
        """Resume without a disturbance: every run once, the same bits, all damage told."""
        before = self.stored
        code, said = self._end(self._start(self.folder))
        if code != 0:
            raise Broken(f"an undisturbed resumption ended with {code}:\n{said}")
        (part,) = part_files(self.folder)
        ids = pq.read_table(part, columns=["run_id"])["run_id"].to_pylist()
        self.counts["runs lost"] += RUNS - len(set(ids))
        self.counts["runs duplicated"] += len(ids) - len(set(ids))
        if table(self.folder) != self.reference:
            raise Broken("the table is not the undisturbed one")
        self.counts["tables equal bit for bit"] += 1
        for name, (word, lost) in self.damage.items():
            if any(name in line and word in line for line in self.said.splitlines()):
                self.counts["damage reported"] += 1
            elif lost is not None and lost <= before:
                self.counts["damage overtaken: its runs had just been copied to another part"] += 1
            else:
                raise Broken(f"{name} was not reported as {word}")
        shutil.rmtree(self.folder)
        self._begin()

    # --- disturbances -----------------------------------------------------------------------------

    @contextmanager
    def _disturbed(
        self, kind: str, codes: tuple[int, ...], early: float = 0.4, **options
    ) -> Iterator[subprocess.Popen]:
        """Start the grid, wait for a random moment, let the caller act if it still runs, and see how it ends.

        In a share `early` of the rounds the moment is while it imports and plans, but not before it imports, since
        until then Python answers Ctrl-C itself; in the others after its first rows are stored.
        """
        process = self._start(self.folder, **options)
        if self.rng.random() < early:
            while process.poll() is None and not os.fstat(self.log.fileno()).st_size:
                time.sleep(0.005)
            end = time.monotonic() + self.rng.uniform(0.0, self.trains_after)
        else:
            self._wait_for_rows(process, self.folder)
            share = 1.0 - len(self.stored) / RUNS  # of the training that is left
            end = time.monotonic() + self.rng.uniform(0.0, self.trains_for * share)
        while time.monotonic() < end and process.poll() is None:
            time.sleep(0.02)
        if process.poll() is None:
            self.counts[kind] += 1
        else:
            self.counts["ended before it was disturbed"] += 1
        yield process
        code, said = self._end(process)
        if code not in codes:
            raise Broken(f"after {kind!r} the grid ended with {code}:\n{said}")

    def kill_parent(self) -> None:
        with self._disturbed("parent killed", (-signal.SIGKILL, 0)) as process:
            orphans = (
                psutil.Process(process.pid).children(recursive=True)
                if process.poll() is None
                else []
            )
            process.kill()
            killed = time.monotonic()
            _, alive = psutil.wait_procs(orphans, timeout=ORPHAN_SECONDS)
            self.longest_orphan = max(self.longest_orphan, time.monotonic() - killed)
            if alive:
                raise Broken(f"{len(alive)} workers outlived their parent by {ORPHAN_SECONDS} s")

    def _wait_for_rows(self, process: subprocess.Popen, folder: Path) -> None:
        """Until the grid stores a part that was not there before, or ends."""
        before = set(part_files(folder)) if folder.exists() else set()
        while process.poll() is None and not (folder.exists() and set(part_files(folder)) - before):
            time.sleep(0.01)

    def kill_worker(self) -> None:
        with self._disturbed("worker killed, or tried", (0,), early=0.1) as process:
            try:
                children = psutil.Process(process.pid).children(recursive=True)
                workers = [
                    child for child in children if "LokyProcess" in " ".join(child.cmdline())
                ]
                self.rng.choice(workers).kill()
                self.counts["worker killed"] += 1
            except (psutil.Error, IndexError):
                pass

    def interrupt(self) -> None:
        # -SIGINT: when all is done and Python itself ends; a shell makes 130 of it.
        with self._disturbed("Ctrl-C", (130, 0, -signal.SIGINT)) as process:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)

    def terminate(self) -> None:
        # -SIGTERM: before or after it is heeded, which is while runs are trained and stored.
        with self._disturbed("terminated", (130, 0, -signal.SIGTERM)) as process:
            process.send_signal(signal.SIGTERM)

    def fill_disk(self) -> None:
        """The file system's last byte where the test may mount one, else a limit on the size of files."""
        if not self.mounted:
            size = self.rng.randrange(100, 20_000)

            def limit() -> None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

            with self._disturbed("file size limited", (2, 0), preexec_fn=limit):
                return
        with self._disturbed("disk filled", (2, 0)) as process:
            filler = self.disk / "filler"
            with open(filler, "wb", buffering=0) as file:
                try:
                    while True:
                        file.write(bytes(4096))
                except OSError:
                    pass
            process.wait(LONGEST)
            self.counts["stopped by a full disk"] += process.returncode == 2
            filler.unlink()

    def damage_at_rest(self) -> None:
        self._damage(at_rest=True)

    def damage_while_it_runs(self) -> None:
        with self._disturbed("damaged while it runs, or tried", (0, 1, 2), early=0.1):
            if self.folder.exists():
                self._damage(at_rest=False)

    def _damage(self, at_rest: bool) -> None:
        """Cut a part short, change a bit of it, empty it or delete it; or the plan, which is made anew."""
        files, plan = part_files(self.folder), self.folder / "plan.parquet"
        if at_rest and plan.exists() and self.rng.random() < 0.2:
            how = self.rng.choice(["truncated", "emptied", "deleted"])
            self._do_damage(plan, how, "plan ")
            return
        if not files:
            return
        victim = self.rng.choice(files)
        how = self.rng.choice(["truncated", "corrupted", "emptied", "deleted"])
        try:
            lost = ids_in(victim)
            self._do_damage(victim, how, "part ")
        except (OSError, ValueError):  # gone or replaced meanwhile: an attempt
            return
        if how == "deleted":  # its runs are planned and not stored, so they are trained again
            self.damage[f"deleted {victim.name}"] = ("", lost)
            self.said += f"deleted {victim.name}\n"
            return
        self.damage[victim.name] = ("damaged", lost)

    def _do_damage(self, victim: Path, how: str, what: str) -> None:
        if how == "deleted":
            victim.unlink()
        else:
            with open(victim, "r+b") as file:
                size = os.fstat(file.fileno()).st_size
                if how == "corrupted":
                    place = self.rng.randrange(size)
                    file.seek(place)
                    byte = file.read(1)[0]
                    file.seek(place)
                    file.write(bytes([byte ^ 1 << self.rng.randrange(8)]))
                else:
                    file.truncate(0 if how == "emptied" or not size else self.rng.randrange(size))
        self.counts[what + how] += 1


@contextmanager
def small_disk() -> Iterator[tuple[Path, bool]]:
    """A folder on a small file system of its own, and whether it is one: mounting takes rights."""
    with tempfile.TemporaryDirectory() as temporary:
        disk = Path(temporary) / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)]
        mounted = (
            bool(shutil.which("mount"))
            and not subprocess.run(mount, capture_output=True, check=False).returncode
        )
        try:
            yield disk, mounted
        finally:
            if mounted:
                subprocess.run(["umount", "-l", str(disk)], check=True)


def heed_interrupts() -> None:
    """Undo what a script does to what it puts in the background: grids started here would ignore Ctrl-C."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def main(arguments: list[str] | None = None) -> int:
    """Run rounds until there are enough; the counts."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="begin no further round after these"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", metavar="FILE", help="write the counts there too")
    options = parser.parse_args(arguments)
    heed_interrupts()
    with small_disk() as (disk, mounted):
        chaos = Chaos(options.seed, disk, mounted)
        end = time.monotonic() + options.seconds
        try:
            while chaos.counts["rounds"] < options.rounds and time.monotonic() < end:
                chaos.round()
            chaos._finish()
        except Broken as error:
            print(
                f"round {chaos.counts['rounds']}, folder {chaos.folder}: {error}\n{chaos.damage}",
                file=sys.stderr,
            )
            return 1
    counts = dict(sorted(chaos.counts.items())) | {
        "runs in the grid": RUNS,
        "longest life of a worker after its parent, seconds": round(chaos.longest_orphan, 2),
    }
    report(counts, options.seed, options.json)
    return 0


def report(counts: dict[str, float], seed: int, file: str | None) -> None:
    """Print counts, and keep them with where they come from."""
    for name, count in counts.items():
        print(f"{count:>7}  {name}")
    if file:
        keep(counts, seed, file)


def keep(counts: dict[str, Any], seed: int, file: str) -> None:
    """Write counts with where they come from."""
    origin = {
        "seed": seed,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "code": code_state("tests"),
        "on": machine(),
    }
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text(json.dumps(origin | {"counts": counts}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
