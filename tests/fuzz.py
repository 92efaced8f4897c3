"""Fuzz: input of every kind that people, editors, disks and strangers make; a clear refusal or the right result.

    python -m tests.fuzz --examples 20000 --json results/fuzz.json     # `make fuzz`
    python -m tests.fuzz --only damage --examples 500 --seed 3

Each property of PROPERTIES draws an example, gives it to the study and says whether it was refused or accepted.
A refusal is exit code 2 (or `BadInput`), a line `error: …` for each problem, and a disk on which nothing has changed.
Anything else than a refusal or a right result is a traceback; more than LONGEST seconds is a hang. It stops at
neither, counts both, and shows the smallest example that hypothesis finds for the first.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as with_seed
from hypothesis import strategies as st

from study.errors import BadInput
from study.grid.provenance import code_state, machine
from tests.fuzz_folders import Damaged, damages, extra_row, original
from tests.fuzz_grids import as_block_yaml, as_yaml, bombs, mutated_files, overrides, paths, trees

LONGEST = 20.0  # seconds of an example
MOST_MEBIBYTES = 2048  # of the process's data, where the system can hold it to that
REFUSED, ACCEPTED = "refused", "accepted"
LARGE = 20_000  # runs; a grid with more is read, and not expanded here


class Broken(AssertionError):
    """What is neither a clear refusal nor a right result."""


class Hang(BaseException):
    """An example that takes longer than LONGEST; no `except Exception` may swallow it."""


@dataclass
class Count:
    """What came of the examples of one property."""

    outcomes: Counter = field(default_factory=Counter)
    longest: float = 0.0
    first: str = ""

    def line(self) -> dict[str, Any]:
        """As it is stored."""
        names = ("examples", REFUSED, ACCEPTED, "tracebacks", "hangs")
        return {name: self.outcomes[name] for name in names} | {
            "longest_seconds": round(self.longest, 2)
        }


# --- judging an example -------------------------------------------------------------------------


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Raise `Hang` after LONGEST seconds of processor time."""

    def ring(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def snapshot(folder: Path) -> dict[str, tuple]:
    """Every entry below a folder with what would show a change of it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        found[str(path)] = (status.st_mode, status.st_size, status.st_mtime_ns)
    return found


def called(main: Callable[[list[str]], int], arguments: list[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        try:
            code = main(arguments)
        except SystemExit as error:  # of argparse
            code = error.code if isinstance(error.code, int) else 1
    return code, out.getvalue(), err.getvalue()


def judged(
    main: Callable[[list[str]], int],
    arguments: list[str],
    folder: Path,
    fine: tuple[int, ...] = (0,),
    writes: str = "",
) -> str:
    """Call a command that reads `folder`; how it ended. `writes`: what a command may have begun to write there."""
    before = snapshot(folder)
    code, out, err = called(main, arguments)
    if "Traceback" in err or "Traceback" in out:
        raise Broken(f"a traceback in what it says: {err[-500:]}")
    if code in fine:
        return ACCEPTED
    errors = [line for line in err.splitlines() if line.startswith(("error: ", "usage: "))]
    if code != 2 or not errors:
        raise Broken(f"exit code {code}, and no error is named: {err[-500:]}")
    after = snapshot(folder)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    if strange := {name for name in changed if not writes or writes not in name}:
        raise Broken(f"refused, and yet it wrote {sorted(strange)[:3]}")
    return REFUSED


# --- properties ---------------------------------------------------------------------------------


def _grid(folder: Path, content: bytes, *arguments: str) -> str:
    """A grid file read and expanded, as `--dry-run` does before it measures how fast this machine is."""
    from study.grid.file import expand, read_grid

    path = folder / "grid.yaml"
    path.write_bytes(content)
    before = snapshot(folder)
    try:
        grid = read_grid(path, arguments)
        if grid.size <= LARGE:
            expansion = expand(grid)
            json.dumps([expansion.run(run_id).run_id for run_id in list(expansion.sources)[:50]])
    except BadInput as error:
        if not error.problems or not all(problem.message for problem in error.problems):
            raise Broken("a refusal without a reason") from error
        if any(len(line) > 3000 or not line.isprintable() for line in map(str, error.problems)):
            raise Broken(f"a message that no one can read: {str(error)[:300]!r}") from error
        if snapshot(folder) != before:
            raise Broken("refused, and yet something was written") from error
        return REFUSED
    return ACCEPTED


def grid_tree(folder: Path, tree: Any) -> str:
    """A file with the outline of a grid, any values in it; written in YAML's other style it is the same grid."""
    outcome = _grid(folder, as_yaml(tree).encode("utf-8", "surrogatepass"))
    if outcome == ACCEPTED:
        from study.grid.file import expand, read_grid

        grid = read_grid(folder / "grid.yaml")
        (folder / "other.yaml").write_text(as_block_yaml(tree))
        other = read_grid(folder / "other.yaml")
        if (grid.name, grid.size) != (other.name, other.size):
            raise Broken("in block style it is another grid")
        if grid.size <= LARGE and expand(grid).blocks != expand(other).blocks:
            raise Broken("in block style it has other runs")
    return outcome


def grid_bytes(folder: Path, content: bytes) -> str:
    """A grid file with bytes changed, or in another encoding."""
    return _grid(folder, content)


def grid_bomb(folder: Path, text: str) -> str:
    """Small files that stand for huge trees, deep ones, endless ones."""
    started, memory = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome = _grid(folder, text.encode())
    seconds, grown = (
        time.process_time() - started,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory,
    )
    if seconds > 5 or grown > 300_000:
        raise Broken(f"a bomb took {seconds:.1f} s and {grown / 1024:.0f} MiB")
    return outcome


def grid_override(folder: Path, texts: list[str]) -> str:
    """`--set`, once or more, on a good grid file."""
    return _grid(folder, GOOD.encode(), *texts)


def grid_path(folder: Path, name: str) -> str:
    """A name of a grid: whatever it is, results stay below `results`."""
    from study.grid.__main__ import Options, _folder
    from study.grid.file import read_grid

    (folder / "grid.yaml").write_text(
        as_yaml({"name": name, "blocks": {"a": {}}}), encoding="utf-8", errors="replace"
    )
    with contextlib.chdir(folder):
        try:
            where = _folder(read_grid("grid.yaml"), Options())
        except BadInput:
            return REFUSED
        root = Path("results").resolve()
        if where.resolve().parent != root:
            raise Broken(f"{name!r} leads to {where.resolve()}")
    return ACCEPTED


GOOD = """name: good
defaults: {length: 8, noise: 0.5}
blocks:
  sizes:
    fixed: {optimizer: sgd}
    vary:
      cell: [lstm, gru]
      hidden_size, lr: [[2, 0.1], [4, 1e-2]]
      seed: {range: [0, 3]}
  kept: {keep_weights: true, fixed: {task: parity}}
"""


def damage(folder: Path, damaged: Damaged) -> str:
    """A results folder, damaged, before each command that reads it."""
    return READERS[damaged.reader](damaged.make(folder), damaged)


def _load(results: Path, damaged: Damaged) -> str:
    import study

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            frame = study.load(results, weights=True)
        except BadInput:
            return REFUSED
    damaged.hold_to_original(frame)
    return ACCEPTED


def _figures(results: Path, damaged: Damaged) -> str:
    from study.figures.__main__ import main

    return judged(
        main,
        [str(results), "--format", "svg", "--only", damaged.figure],
        results,
        (0, 1),
        "/figures",
    )


def _compare(results: Path, damaged: Damaged) -> str:
    from study.analysis.compare import main

    return judged(main, [str(results), str(original()), "--strict"], results, (0, 1))


def _audit(results: Path, damaged: Damaged) -> str:
    from study.analysis.audit import main

    return judged(main, [str(results), "--sample", "1", "--engine", "torch"], results, (0, 1))


def _tune(results: Path, damaged: Damaged) -> str:
    from study.analysis.tune import main

    return judged(main, [str(results), "--block", "tuning_sgd"], results)


def _answers(results: Path, damaged: Damaged) -> str:
    from study.analysis.answers import main

    return judged(main, [str(results)], results, writes="/answers")


def _dynamics(results: Path, damaged: Damaged) -> str:
    from study.dynamics.__main__ import main

    return judged(
        main, [str(results), "--only", "bound", "--jobs", "1"], results, writes="/dynamics"
    )


def _paper(results: Path, damaged: Damaged) -> str:
    from study.paper.__main__ import main

    return judged(main, ["--claims", "--results", str(results)], results.parent, (0, 1))


def _store(results: Path, damaged: Damaged) -> str:
    """What the grid does with the folder before it trains and after: lock, take stock, store, make one part of many."""
    from study.grid.store import Store

    before = snapshot(results.parent / "outside")
    try:
        store = Store(results).open()
        try:
            store.append([extra_row()])
            store.write_plan({"only": [extra_row()["run_id"]]})
            store.write_manifest("test", {"command": ["fuzz"]})
            store.compact()
        except OSError:
            return REFUSED  # as the grid says it
        finally:
            store.close()
    except BadInput:
        return REFUSED
    finally:
        if snapshot(results.parent / "outside") != before:
            raise Broken("something was written outside the results folder")
    _load(results, damaged)
    return ACCEPTED


READERS: dict[str, Callable[[Path, Damaged], str]] = {
    "load": _load,
    "store": _store,
    "figures": _figures,
    "compare": _compare,
    "audit": _audit,
    "tune": _tune,
    "answers": _answers,
    "dynamics": _dynamics,
    "paper": _paper,
}

PROPERTIES: dict[
    str, tuple[Callable[[Path, Any], str], st.SearchStrategy, float]
] = {  # and its part of the examples
    "trees": (grid_tree, trees(), 0.3),
    "bytes": (grid_bytes, mutated_files(GOOD), 0.25),
    "bombs": (grid_bomb, bombs(), 0.05),
    "overrides": (grid_override, overrides(), 0.2),
    "paths": (grid_path, paths(), 0.05),
    **{
        f"damage, {name}": (damage, damages(name), 0.02 if name != "paper" else 0.005)
        for name in READERS
    },
}


# --- the run ------------------------------------------------------------------------------------


def explore(name: str, examples: int, seed: int) -> Count:
    """Draw examples of one property, and count what came of them."""
    judge, strategy, _ = PROPERTIES[name]
    count = Count()

    def one(example: Any) -> None:
        count.outcomes["examples"] += 1
        started = time.monotonic()
        try:
            with tempfile.TemporaryDirectory() as folder, bounded():
                count.outcomes[judge(Path(folder).resolve(), example)] += 1
        except Hang:
            count.outcomes["hangs"] += 1
            count.first = count.first or f"HANG\n{example!r}"[:3000]
        except Exception:
            count.outcomes["tracebacks"] += 1
            count.first = count.first or f"{traceback.format_exc()[-3000:]}\n{example!r}"[:6000]
        count.longest = max(count.longest, time.monotonic() - started)

    quiet = settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    with_seed(seed)(quiet(given(strategy)(one)))()
    return count


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


def main(arguments: list[str] | None = None) -> int:
    """Explore every property; the counts, and exit code 1 for a traceback or a hang."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--examples", type=int, default=20_000, help="over all properties (default: %(default)s)"
    )
    parser.add_argument(
        "--only", metavar="WORD", default="", help="properties with this word in their name"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", metavar="FILE", help="write the counts there too")
    options = parser.parse_args(arguments)
    resource.setrlimit(
        resource.RLIMIT_DATA, (MOST_MEBIBYTES * 2**20, resource.getrlimit(resource.RLIMIT_DATA)[1])
    )
    os.environ["OMP_NUM_THREADS"] = "1"
    counts = {}
    for name in (name for name in PROPERTIES if options.only in name):
        counts[name] = explore(
            name, max(round(options.examples * PROPERTIES[name][2]), 3), options.seed
        )
        print(f"{name}: {counts[name].line()}", flush=True)
        if counts[name].first:
            print(counts[name].first, file=sys.stderr)
    if options.json:
        keep({name: count.line() for name, count in counts.items()}, options.seed, options.json)
    return int(
        any(count.outcomes["tracebacks"] or count.outcomes["hangs"] for count in counts.values())
    )


if __name__ == "__main__":
    sys.exit(main())
