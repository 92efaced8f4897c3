"""Train a grid: `python -m study.grid experiments/main.yaml`."""

from __future__ import annotations

import argparse
import errno
import shutil
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.compute

from study.command import INTERRUPTED, LINE, run_command, terminates_as_interrupted
from study.engines import engine_of
from study.errors import BadInput, Problem, command, unknown, what_failed
from study.grid.cluster import Cluster, ClusterLost
from study.grid.collector import Collector, FailFast, Interrupts
from study.grid.file import Grid, expand, read_grid
from study.grid.limits import Limits
from study.grid.options import parse
from study.grid.parts import part_files
from study.grid.plan import STORED_COLUMNS, Costs, Each, Pace, Plan, make_plan, unprepared
from study.grid.progress import Progress, duration
from study.grid.provenance import end_manifest, new_invocation, start_manifest
from study.grid.report import by_block, summarise, summary_text
from study.grid.schedule import Processes, WorkersDie, execute, make_packs
from study.grid.store import Store, StoreWarning, grid_of, load, plan_table, read_rows
from study.grid.train import Row, as_message, row_of, trained
from study.grid.workers import Job, died, work_on
from study.runs import CURVES, SCHEMA, SCHEMA_VERSION, Run

pc: Any = pyarrow.compute  # makes its functions when it is imported

DONE, FAILED_RUNS = 0, 1  # exit codes; 2: bad input, 130: interrupted
PACK_SECONDS = 4.0  # of work that a crash can cost each worker; 15 on an engine that starts slowly, see plan.Pace

SHOWN = [
    name for name in SCHEMA.names if name not in (*CURVES, "weights")
]  # columns that a summary may need


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    options = parse(arguments)
    return command(lambda: run_grid(options))


def run_grid(options: argparse.Namespace, work: Callable[..., Callable[[], Row]] = trained) -> int:
    """Read, expand and plan a grid, train what is not stored, and report."""
    grid = read_grid(options.grid, options.set)
    only = _blocks(grid, options.only)
    folder = _folder(grid, options)
    with terminates_as_interrupted(), _asking(options, starts_now=not part_files(folder)) as each:
        expansion = expand(grid)
        stored = _stored(folder)
        manifest = start_manifest(
            _command(options), options.jobs, _configuration(grid)
        )  # the code as it is now
        plan = make_plan(expansion, only, stored, options.retry_failed, options.share, each)
        costs = Costs(plan, stored)
        describe = partial(_describe, grid, plan, costs, folder, only, options)
        if options.dry_run:
            costs.measure()
            print(describe())
            return DONE
        with _cluster(options) as cluster, closing(Store(folder, _say).open()) as store:
            with _writable(folder):
                store.write_plan(expansion.blocks, _title(grid))
            if cluster is None:
                _prepare(plan, options.jobs, each)
            costs.measure(each)
            print(describe())
            pace = Pace(costs, PACK_SECONDS, cluster.processes if cluster else options.jobs)
            with _writable(folder):
                return _train(
                    store, plan, pace, options, partial(_execute, cluster, options, work), manifest
                )


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """What a disk that is full, or refuses to be written, is to a user."""
    try:
        yield
    except OSError as error:
        room = "make room and " if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else ""
        message = f"cannot be written: {what_failed(error)}; what was stored is kept; {room}repeat"
        raise BadInput([Problem(str(folder), message)]) from error


@contextmanager
def _asking(options: argparse.Namespace, starts_now: bool) -> Iterator[Each]:
    """Where to ask engines what a plan wants to know: here, or on the processes that train, which need them anyway.

    Where nothing is stored there will be work for them, so they start now and not when they are first asked.
    """
    if options.dry_run or options.backend != "loky":
        yield map
        return
    processes = Processes(options.jobs, _limits(options))
    try:
        if starts_now:
            processes.start()
        yield processes.map
    finally:
        processes.end()


def _limits(options: argparse.Namespace) -> Limits:
    return Limits(options.run_seconds, options.worker_memory)


@contextmanager
def _cluster(options: argparse.Namespace) -> Iterator[Cluster | None]:
    """The cluster that was asked for; None for this machine."""
    if options.backend != "dask":
        yield None
        return
    cluster = Cluster(options.scheduler)
    try:
        print(f"cluster: {cluster.processes} workers at {cluster.address}", file=sys.stderr)
        yield cluster
    finally:
        cluster.close()


def _execute(
    cluster: Cluster | None,
    options: argparse.Namespace,
    work: Callable[..., Callable[[], Row]],
    **call: Any,
) -> None:
    """Train packs here or there."""
    invocation, notes = call.pop("invocation"), call.pop("notes")
    limits = _limits(options)
    call |= {"work": partial(work_on, work, invocation), "died": partial(died, invocation, limits)}
    call |= {"limits": limits, "bundle": as_message}
    if cluster is None:
        execute(**call, processes=options.jobs, notes=notes)
    else:
        cluster.execute(**call)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _prepare(plan: Plan, processes: int, each: Each) -> None:
    """Let engines compile what the plan needs and this machine does not have yet, once for all workers."""
    runs = unprepared(plan, each)
    if runs:
        names = ", ".join(f"{run.cell} ({run.dtype})" for run in runs)
        print(f"compiling, once on this machine: {names}", file=sys.stderr, flush=True)
        Processes(processes).map(
            _prepare_run, runs
        )  # without a worker's limits, which are for runs


def _prepare_run(run: Run) -> None:
    engine_of(run).prepare(run)


# --- what is asked for ---------------------------------------------------------------------------


def _blocks(grid: Grid, only: list[str]) -> list[str]:
    names = [block.name for block in grid.blocks]
    for name in only:
        if name not in names:
            raise BadInput([Problem(f"--only {name}", unknown("block", name, names))])
    return list(dict.fromkeys(only)) or names


def _folder(grid: Grid, options: argparse.Namespace) -> Path:
    """results/NAME; with overrides a folder of its own, so that results/NAME is what the file says; a share too."""
    number, shares = options.share
    share = f"+share-{number}-of-{shares}" if shares > 1 else ""
    folder = (
        Path(options.out) if options.out else Path("results") / (grid.name + _suffix(grid) + share)
    )
    try:
        if folder.exists() and not folder.is_dir():
            raise BadInput([Problem(str(folder), "is a file; results need a folder")])
    except OSError as error:
        raise BadInput([Problem(str(folder), f"cannot be a folder: {error.strerror}")]) from error
    held = plan_table(folder)
    if held is not None and grid_of(held) not in ("", _title(grid)):
        message = f"holds the results of grid {grid_of(held)!r}, not of {_title(grid)!r}; choose another --out"
        raise BadInput([Problem(str(folder), message)])
    return folder


def _overrides(grid: Grid) -> list[str]:
    return [text for text in grid.overrides if text.partition("=")[0].strip() != "name"]


def _title(grid: Grid) -> str:
    """A grid's name with its overrides: what a results folder holds one of."""
    return "+".join([grid.name, *_overrides(grid)])


def _suffix(grid: Grid) -> str:
    """A readable and unmistakable end for the folder of an overridden grid; nothing without overrides."""
    if not _overrides(grid):
        return ""
    readable = "".join(c if c.isalnum() or c in "-_.=," else "" for c in "+".join(_overrides(grid)))
    return f"+{readable[:60]}-{sha256(_title(grid).encode()).hexdigest()[:6]}"


# --- the plan -----------------------------------------------------------------------------------


def _stored(folder: Path):
    """What is stored, as far as a plan needs it."""
    table = read_rows(folder, [*STORED_COLUMNS, "weights"])
    return table.append_column("has_weights", table["weights"].is_valid()).drop_columns(["weights"])


def _describe(
    grid: Grid, plan: Plan, costs: Costs, folder: Path, only: list[str], options: argparse.Namespace
) -> str:
    """The plan: runs by block, what is stored, what is to do, and the time it will take."""
    lines = [
        f"{options.grid}: {_runs(len(plan.selected))} in {len(only)} block{'s' * (len(only) != 1)} -> {folder}"
    ]
    width = max(map(len, only))
    todo, sources = set(plan.todo), plan.expansion.sources
    for name in only:
        ids = plan.expansion.blocks[name]
        cells = len({id(sources[run_id][0]) for run_id in ids})
        left = sum(run_id in todo for run_id in ids)
        lines.append(
            f"  {name:<{width}}  {cells:>6,} settings  {len(ids):>9,} runs  {left:>9,} to do"
        )
    if plan.stored:
        lines.append(
            f"stored: {', '.join(f'{count:,} {status}' for status, count in plan.stored.most_common())}"
        )
    if plan.unplanned:
        lines.append(
            f"stored and no longer in the grid: {plan.unplanned:,} (kept, and left out by study.load)"
        )
    for why, count in Counter(plan.unavailable.values()).items():
        lines.append(f"skipped: {_runs(count)}, since {why}")
    lines.append(_estimate(plan, costs, options.jobs))
    return "\n".join(lines)


def _runs(count: int) -> str:
    return f"{count:,} run{'s' * (count != 1)}"


def _estimate(plan: Plan, costs: Costs, processes: int) -> str:
    if not plan.todo:
        return "nothing to train"
    seconds = costs.total / processes
    processes_text = f"{processes} process{'es' * (processes != 1)}"
    if not costs.is_bound:
        return f"to do: {_runs(len(plan.todo))}, about {duration(seconds)} on {processes_text}, as stored runs took"
    basis = f"measured just now on {costs.measured} of {costs.kinds} kinds of network"
    bound = (
        "at most" if costs.measured == costs.kinds else "about"
    )  # what was not measured is judged by what was
    return (
        f"to do: {_runs(len(plan.todo))}, {bound} {duration(seconds)} on {processes_text} "
        f"if none is solved before its budget ({basis})"
    )


# --- training -----------------------------------------------------------------------------------


def _train(
    store: Store,
    plan: Plan,
    pace: Pace,
    options: argparse.Namespace,
    run_packs: Callable[..., None],
    manifest: dict[str, Any],
) -> int:
    invocation = new_invocation()
    progress = Progress(len(plan.todo))
    try:
        if plan.todo or plan.unavailable:
            store.write_manifest(invocation, manifest)
        how = _train_all(store, plan, pace, options, run_packs, invocation, progress)
        progress.close()
        store.compact()
        stored = _overview(store.folder)
        how = _complete(stored, plan, how)
        if plan.todo or plan.unavailable:
            store.write_manifest(invocation, end_manifest(manifest, how, dict(+progress.statuses)))
    finally:
        progress.close()
    return _report(store, how, stored)


@dataclass(frozen=True)
class _Stored:
    """What is stored of the plan, at the end."""

    summary: str
    failed: int  # runs
    run_ids: set[str]


def _overview(folder: Path) -> _Stored:
    with warnings.catch_warnings(action="ignore", category=StoreWarning):
        frame = load(folder, curves=False)
    planned = by_block(frame)
    text = (
        summary_text(summarise(planned, ("block", "cell", "optimizer")))
        if len(planned)
        else "no runs stored"
    )
    return _Stored(text, int((frame["status"] == "failed").sum()), set(frame["run_id"]))


def _complete(stored: _Stored, plan: Plan, how: str) -> str:
    """How it ended, where it finished: a part may have been damaged by another hand meanwhile."""
    lost = sum(run_id not in stored.run_ids for run_id in plan.selected) if how == "finished" else 0
    return f"{_runs(lost)} lost to damage while this ran: repeat the command" if lost else how


def _train_all(
    store: Store,
    plan: Plan,
    pace: Pace,
    options: argparse.Namespace,
    run_packs: Callable[..., None],
    invocation: str,
    progress: Progress,
) -> str:
    """Train the plan's runs; how it ended."""
    interrupts = Interrupts()
    collect = Collector(store, progress, pace.learn, options.fail_fast, interrupts, plan.selected)
    expansion = plan.expansion
    skipped = {
        run_id: {"status": "skipped", "reason": why} for run_id, why in plan.unavailable.items()
    }
    collect.keep(
        [
            row_of(expansion.run(run_id), results, 0, invocation)
            for run_id, results in skipped.items()
        ]
    )
    progress.note(["skipped"] * len(skipped))
    jobs = (
        (Job(expansion.run(i), i in expansion.keep_weights, i), pace.pack(i)) for i in plan.todo
    )
    packs = make_packs(
        jobs, pace if options.pack_size is None else lambda _: float("inf"), options.pack_size
    )
    store.notes.mkdir()
    try:
        with interrupts:
            run_packs(packs=packs, deliver=collect, invocation=invocation, notes=store.notes)
        how = "finished"
    except FailFast:
        how = "stopped at the first failed run"
    except KeyboardInterrupt:
        how = "interrupted"
    except Exception as error:
        if not isinstance(error, (WorkersDie, ClusterLost)):
            with suppress(OSError):  # it may be a full disk that ended it
                collect.flush()
            raise
        progress.say(f"error: {error}")
        how = f"stopped: {'workers die' if isinstance(error, WorkersDie) else 'the cluster'}; repeat the command to go on"
    finally:
        shutil.rmtree(store.notes, ignore_errors=True)
    collect.flush()
    return how


def _command(options: argparse.Namespace) -> list[str]:
    """The command as a reader would type it, without paths of this machine."""
    words = [
        "python",
        "-m",
        "study.grid",
        Path(options.grid).name if Path(options.grid).is_absolute() else options.grid,
    ]
    words += [word for text in options.set for word in ("--set", text)]
    words += [word for text in options.only for word in ("--only", text)]
    words += [
        f"--{name}".replace("_", "-")
        for name in ("retry_failed", "fail_fast")
        if getattr(options, name)
    ]
    words += ["--pack-size", str(options.pack_size)] if options.pack_size else []
    words += ["--share", "{}/{}".format(*options.share)] if options.share != (1, 1) else []
    return [*words, "--jobs", str(options.jobs)]


def _configuration(grid: Grid) -> dict:
    """The grid as it was understood, defaults and overrides included."""
    blocks = [asdict(block) for block in grid.blocks]
    return {
        "schema": SCHEMA_VERSION,
        "name": grid.name,
        "defaults": grid.defaults,
        "overrides": list(grid.overrides),
        "blocks": blocks,
    }


# --- the end ------------------------------------------------------------------------------------


def _report(store: Store, how: str, stored: _Stored) -> int:
    """Say what there is now, how it ended, and what to type next; the exit code."""
    print(f"\n{stored.summary}")
    if stored.failed:
        print(
            f"{_runs(stored.failed)} failed: the column `reason` says why; --retry-failed trains them again"
        )
    if how == "interrupted":
        print(LINE, file=sys.stderr)
        return INTERRUPTED
    if how != "finished":
        print(how, file=sys.stderr)
        return FAILED_RUNS
    print(f"next: python -m study.figures {store.folder}")
    return FAILED_RUNS if stored.failed else DONE


if __name__ == "__main__":
    sys.exit(run_command(main))
