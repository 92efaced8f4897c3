"""Train a grid: from a YAML file to stored rows and a summary."""

from __future__ import annotations

import errno
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Annotated, Any, Literal

import pandas as pd
from cyclopts import Parameter
from cyclopts.validators import Number

from study.command import (
    DONE,
    NOT_ALL_WELL,
    Count,
    Names,
    command,
    cores,
    run,
    terminates_as_interrupted,
)
from study.errors import BadInput, Problem, printable, unknown, what_failed
from study.grid.cluster import Cluster
from study.grid.file import Expansion, Grid, expand, read_grid
from study.grid.limits import EnvironmentFault, Limits
from study.grid.plan import SECONDS, Plan, estimate_seconds, make_packs, make_plan, unprepared
from study.grid.pool import Pool
from study.grid.progress import Progress, duration
from study.grid.provenance import end_manifest, new_invocation, start_manifest
from study.grid.report import by_block, summarise, summary_text
from study.grid.store import Store, StoreWarning, load, read_plan
from study.grid.train import PackTraining, Row, row_of, train_job
from study.runs import SCHEMA_VERSION

FLUSH_SECONDS = 5.0  # between parts; with a pack of 4 s, all that a crash costs a worker

CORES = cores()


@Parameter(name="*")
@dataclass(frozen=True)
class Options:
    """How a grid is to be trained.

    Parameters
    ----------
    dry_run
        Print the plan and stop.
    only
        Train this block only; repeatable.
    overrides
        Override grid.KEY (in every block), BLOCK.KEY, defaults.KEY or name, as KEY=VALUE; a list
        varies; repeatable. Results then go to a folder of their own.
    out
        The results folder; results/NAME unless given.
    jobs
        Number of worker processes; by default one per processor.
    share
        Train the I-th of N equal shares of the runs, as I/N, into a folder of its own: for machines
        that share no cluster.
    backend
        Train on this machine, or on a Dask cluster (docs/cluster.md).
    scheduler
        The cluster's scheduler: tcp://HOST:PORT, or its scheduler file.
    pack_size
        Largest number of runs sent to a worker at once; by default some 4 seconds of work.
    run_seconds
        Stop and fail a run that takes more seconds of processor time.
    worker_memory
        Largest memory of a worker process on this machine, in MiB (on Linux).
    retry_failed
        Train failed runs again.
    fail_fast
        Stop at the first run that fails.
    """

    dry_run: bool = False
    only: Names = ()
    overrides: Annotated[Names, Parameter(name="--set")] = ()
    out: Path | None = None
    jobs: Count = CORES
    share: str = "1/1"
    backend: Literal["loky", "dask"] = "loky"
    scheduler: str | None = None
    pack_size: Count | None = None
    run_seconds: Annotated[float, Parameter(validator=Number(gte=0.1, lte=1e7))] | None = None
    worker_memory: Annotated[int, Parameter(validator=Number(gte=512, lte=10**7))] | None = None
    retry_failed: bool = False
    fail_fast: bool = False


app = command(
    "grid",
    "study grid experiments/main.yaml --dry-run\n"
    "study grid experiments/main.yaml --jobs 4\n"
    "study grid experiments/main.yaml --backend dask --scheduler tcp://login1:8786\n"
    "study grid experiments/main.yaml --only headline --set grid.hidden_size=[4,8]\n\n"
    "Repeat the command to go on after an interruption: stored runs are not trained again.\n"
    "Exit codes: 0 done; 1 finished with failed runs, or stopped early; 2 bad input (nothing was "
    "written) or a full disk (what was stored is kept); 130 interrupted.",
)


@app.default
def grid(file: Path, /, *, options: Options = Options()) -> int:
    """Train every run of a grid file that is not stored yet, one row per run in results/NAME.

    Parameters
    ----------
    file
        A YAML file, such as experiments/main.yaml.
    """
    try:
        return run_grid(file, options)
    except EnvironmentFault as error:
        _say(f"error: {error}")
        return NOT_ALL_WELL


def run_grid(file: Path, options: Options, train: Callable[..., Row] = train_job) -> int:
    """Read, expand and plan a grid, train what is not stored, and report; the exit code."""
    share = _share(options)
    grid = read_grid(file, options.overrides)
    blocks = _blocks(grid, options.only)
    expansion = expand(grid)
    folder = _folder(grid, options)
    stored = _stored(folder, expansion)
    plan = make_plan(expansion, blocks, stored, retry_failed=options.retry_failed, share=share)
    picture = _picture(file, plan, blocks, folder)
    if options.dry_run:
        print(picture)
        print(_time(plan, *estimate_seconds(plan, stored), options.jobs))
        return DONE
    with _workers(options) as workers, _writable(folder), Store(folder, _say) as store:
        print(picture, flush=True)
        store.write_plan(expansion.blocks, _title(grid))
        ended = "finished"
        if plan.todo or plan.skipped:
            manifest = start_manifest(
                ["study", "grid", file.name], workers.jobs, _configuration(grid, options)
            )
            limits = Limits(options.run_seconds, options.worker_memory)
            training = PackTraining(new_invocation(), workers.runs_at_once, limits, train)
            if isinstance(workers, Pool):  # a cluster's workers compile for themselves
                _compile(plan, workers)
            seconds, is_known = estimate_seconds(plan, stored)
            print(_time(plan, seconds, is_known, workers.jobs), flush=True)
            store.write_manifest(training.invocation, manifest)
            packs = make_packs(plan, seconds, workers.jobs, options.pack_size)
            rows, skipped = workers.train(packs, training, plan.job), _skipped(plan, training)
            progress = Progress(len(plan.todo))
            ended = _keep(rows, store, skipped, progress, options.fail_fast)
            counts = progress.statuses + Counter(skipped=len(plan.skipped))
            store.write_manifest(training.invocation, end_manifest(manifest, ended, dict(+counts)))
        store.compact()
    return _report(file, folder, plan, ended)


# --- training -----------------------------------------------------------------------------------


@contextmanager
def _workers(options: Options) -> Iterator[Pool | Cluster]:
    """The processes that train; SIGTERM, which a batch system sends, interrupts as Ctrl-C does."""
    with terminates_as_interrupted():
        if options.backend == "loky":
            yield Pool(options.jobs, Limits(worker_mebibytes=options.worker_memory))
            return
        with Cluster(options.scheduler or "") as cluster:
            _say(f"cluster: {cluster.jobs} workers at {options.scheduler}")
            yield cluster


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """A disk that is full, or refuses to be written, is bad input that costs nothing stored."""
    try:
        yield
    except OSError as error:
        room = "make room and " if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else ""
        message = f"cannot be written: {what_failed(error)}; what was stored is kept; {room}repeat"
        raise BadInput([Problem(str(folder), message)]) from error


def _compile(plan: Plan, pool: Pool) -> None:
    runs = unprepared(plan)
    if runs:
        names = ", ".join(f"{run.cell} ({run.dtype})" for run in runs)
        _say(f"compiling, once on this machine: {names}")
        pool.prepare(runs)


def _skipped(plan: Plan, training: PackTraining) -> list[Row]:
    """The rows of runs that cannot be trained here."""
    run, invocation = plan.expansion.run, training.invocation
    return [
        row_of(run(run_id), {"status": "skipped", "reason": why}, 0, invocation, run_id)
        for run_id, why in plan.skipped.items()
    ]


def _keep(
    packs: Generator[list[Row]], store: Store, waiting: list[Row], progress: Progress, stops: bool
) -> str:
    """Store the waiting rows and those of packs as they come, every few seconds; how it ended.

    `stops` ends the training at the first run that failed.
    """
    ended, flushed = "finished", monotonic()
    try:
        with closing(packs):
            for rows in packs:
                waiting += rows
                progress.add(row["status"] for row in rows)
                for row in rows:
                    if row["status"] == "failed":
                        last = printable(row["reason"].strip().rpartition("\n")[2])
                        progress.say(f"failed: run {row['run_id']}: {last}")
                if monotonic() - flushed >= FLUSH_SECONDS:
                    store.append(waiting)
                    waiting, flushed = [], monotonic()
                if stops and progress.statuses["failed"]:
                    ended = "stopped at the first failed run"
                    break
    except KeyboardInterrupt:
        ended = "interrupted"
    except EnvironmentFault as error:
        ended = f"stopped: {error}"
    finally:
        progress.close()
        store.append(waiting)
    return ended


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


# --- what is asked for ---------------------------------------------------------------------------


def _share(options: Options) -> tuple[int, int]:
    """The share of the runs as two numbers; `BadInput` for options that do not go together."""
    found = re.fullmatch(r"([1-9]\d{0,4})/([1-9]\d{0,4})", options.share)
    number, shares = map(int, found.groups()) if found else (2, 1)
    on_dask = options.backend == "dask"
    wrong = {
        "--share must be such as 2/3, the second of three": number > shares,
        "--scheduler goes with --backend dask, and only with it": on_dask
        != bool(options.scheduler),
        "--worker-memory is for this machine: see dask worker --help": on_dask
        and options.worker_memory is not None,
        "--out must name a folder": options.out == Path(),
    }
    if any(wrong.values()):
        raise BadInput(Problem("", text) for text, is_so in wrong.items() if is_so)
    return number, shares


def _blocks(grid: Grid, only: Names) -> list[str]:
    names = [block.name for block in grid.blocks]
    wrong = [Problem(f"--only {n}", unknown("block", n, names)) for n in only if n not in names]
    if wrong:
        raise BadInput(wrong)
    return list(dict.fromkeys(only)) or names


def _folder(grid: Grid, options: Options) -> Path:
    """Where results go: results/NAME, or a folder of its own for a share or an overridden grid."""
    share = "" if options.share == "1/1" else "+share-{}-of-{}".format(*options.share.split("/"))
    folder = options.out or Path("results") / (grid.name + _suffix(grid) + share)
    if folder.exists() and not folder.is_dir():
        raise BadInput([Problem(str(folder), "is a file; results need a folder")])
    plan = read_plan(folder)
    held = "" if plan is None else plan.attrs["grid"]
    if held not in ("", _title(grid)):
        message = (
            f"holds the results of grid {held!r}, not of {_title(grid)!r}; choose another --out"
        )
        raise BadInput([Problem(str(folder), message)])
    return folder


def _title(grid: Grid) -> str:
    """A grid's name with its overrides; a results folder holds one grid."""
    return "+".join([grid.name, *_overrides(grid)])


def _overrides(grid: Grid) -> list[str]:
    return [text for text in grid.overrides if text.partition("=")[0].strip() != "name"]


def _suffix(grid: Grid) -> str:
    """A readable and unmistakable end for the folder of an overridden grid."""
    if not _overrides(grid):
        return ""
    readable = "".join(c if c.isalnum() or c in "-_.=," else "" for c in "+".join(_overrides(grid)))
    return f"+{readable[:60]}-{sha256(_title(grid).encode()).hexdigest()[:6]}"


def _stored(folder: Path, expansion: Expansion) -> pd.DataFrame:
    """What a plan wants to know of stored runs: identity, status, seconds, and `has_weights`."""
    if not any(folder.glob("rows-*.parquet")):
        return pd.DataFrame(columns=["run_id", "status", *SECONDS, "has_weights"])
    weights = bool(expansion.keep_weights)
    with warnings.catch_warnings(action="ignore", category=StoreWarning):
        frame = load(folder, curves=False, weights=weights, unplanned=True)
    return frame.assign(has_weights=frame["weights"].notna() if weights else False)


def _configuration(grid: Grid, options: Options) -> dict[str, Any]:
    """The grid and the options as they were understood, without paths of this machine."""
    asked = {k: v for k, v in asdict(options).items() if k not in ("out", "scheduler")}
    read = {k: v for k, v in vars(grid).items() if k not in ("places", "blocks", "description")}
    blocks = [asdict(block) for block in grid.blocks]
    schema = {"schema": SCHEMA_VERSION}
    return schema | read | {"blocks": blocks, "options": asked}


# --- what is said --------------------------------------------------------------------------------


def _runs(count: int) -> str:
    return f"{count:,} run{'s' * (count != 1)}"


def _picture(file: Path, plan: Plan, blocks: list[str], folder: Path) -> str:
    """The plan: runs by block, what is stored, and what cannot be trained here."""
    count = f"{len(blocks)} block{'s' * (len(blocks) != 1)}"
    lines = [f"{file}: {_runs(len(plan.selected))} in {count} -> {folder}"]
    width, todo, sources = max(map(len, blocks)), set(plan.todo), plan.expansion.sources
    for name in blocks:
        ids = plan.expansion.blocks[name]
        settings = len({id(sources[run_id][0]) for run_id in ids})
        left = sum(run_id in todo for run_id in ids)
        lines.append(
            f"  {name:<{width}}  {settings:>6,} settings  {len(ids):>9,} runs  {left:>9,} to do"
        )
    if plan.stored:
        counts = (f"{count:,} {status}" for status, count in plan.stored.most_common())
        lines.append(f"stored: {', '.join(counts)}")
    if plan.unplanned:
        lines.append(
            f"no longer in the grid: {plan.unplanned:,} (kept, but study.load leaves them out)"
        )
    for why, count in Counter(plan.skipped.values()).items():
        lines.append(f"skipped: {_runs(count)}, since {why}")
    return "\n".join(lines)


def _time(plan: Plan, seconds: dict[str, float], is_known: bool, jobs: int) -> str:
    """How much is to do and how long it will take."""
    if not plan.todo:
        return "nothing to train"
    time = duration(sum(seconds.values()) / jobs)
    most = "" if is_known else "at most "
    processes = f"{jobs} process{'es' * (jobs != 1)}"
    return f"to do: {_runs(len(plan.todo))}, {most}about {time} on {processes}"


def _report(file: Path, folder: Path, plan: Plan, ended: str) -> int:
    """Say what is stored now, how the grid ended, and what to type next; the exit code."""
    with warnings.catch_warnings(action="ignore", category=StoreWarning):
        frame = load(folder, curves=False)
    summary = summarise(by_block(frame), ("block", "cell", "optimizer")) if len(frame) else None
    print("\nno runs stored" if summary is None else f"\n{summary_text(summary)}")
    failed = int((frame["status"] == "failed").sum())
    if failed:
        print(f"{_runs(failed)} failed: the column `reason` says why; --retry-failed tries again")
    if ended == "interrupted":
        raise KeyboardInterrupt
    if ended != "finished":
        _say(f"{ended}; repeat the command to go on")
        return NOT_ALL_WELL
    if not plan.todo and not plan.skipped:
        print("Every run of this grid is stored already, so there is nothing to train.")
        print(f"to train again, elsewhere: study grid {file} --out results/mine")
    print(f"next: study figures {folder}")
    return NOT_ALL_WELL if failed else DONE


if __name__ == "__main__":
    sys.exit(run(app))
