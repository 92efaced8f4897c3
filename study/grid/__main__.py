"""Define the command `study grid`.

The command trains the runs of a grid file, stores one row per run, and prints a summary.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import warnings
from collections import Counter
from collections.abc import Generator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Annotated, Any, Literal

import pandas as pd
import pyarrow as pa
from cyclopts import Parameter
from cyclopts.validators import Number

from study.command import DONE, NOT_ALL_WELL, Count, Names, command, cores, run, signals_interrupt
from study.errors import BadInput, EnvironmentFault, Problem, SettingError, echo, unknown
from study.grid.cluster import Cluster
from study.grid.file import Grid, expand, grid_file, read_grid
from study.grid.limits import Limits
from study.grid.own import origins, refuse_faulty
from study.grid.plan import (
    SECONDS,
    Plan,
    estimate_bytes,
    estimate_seconds,
    incomplete_runs,
    make_packs,
    make_plan,
    unprepared,
)
from study.grid.pool import Pool, every_row
from study.grid.progress import Progress, disk_size, duration
from study.grid.provenance import end_manifest, new_invocation, start_manifest
from study.grid.report import by_block, summarise, summary_text
from study.grid.store import (
    Store,
    StoreWarning,
    load,
    read_plan,
    read_rows,
    refuse_other_content,
    refuse_other_kinds,
)
from study.grid.train import PackTraining, Row, row_of, train_job
from study.grid.versions import COLUMNS, Versions, versions_of
from study.model import used_files
from study.runs import SCHEMA_VERSION, own_kinds, table_of

# Finished rows are written to the disk at this interval. A crash loses the rows not yet written
# and the packs in training. A pack is a group of runs that is sent to a worker at once.
FLUSH_SECONDS = 5.0
CORES = cores()
MOST_NAMED = 5  # largest number of blocks named in a message


@Parameter(name="*")
@dataclass(frozen=True)
class Options:
    """Options that a user can give to the command `study grid`.

    Parameters
    ----------
    dry_run
        Print the plan and the expected time, but train nothing.
    only
        Train only this block. May be given several times.
    overrides
        Change a setting in every block (grid.KEY=VALUE), in one block (BLOCK.KEY=VALUE) or among
        the defaults (defaults.KEY=VALUE), or change the grid's name (name=NAME). If VALUE is a
        list, the setting takes each of its values. May be given several times. The changed grid
        gets its own results folder.
    out
        The results folder. By default results/NAME, where NAME is the name of the grid.
    jobs
        Number of worker processes. By default one per processor, as far as a quota allows.
    share
        Train only the I-th of N equal shares of the runs, given as I/N. Each share has its own
        results folder. Use this to divide a grid among machines that do not form a cluster.
    backend
        Where to train: on this machine (loky) or on a Dask cluster (dask; see docs/cluster.md).
    scheduler
        Address of the Dask scheduler (tcp://HOST:PORT), or path of its scheduler file.
    pack_size
        Largest number of runs sent to a worker at once. By default, as many as train in 4 seconds.
    run_seconds
        Stop a run after this many seconds of processor time, and store it as failed.
    worker_memory
        Memory limit of each worker process on this machine, in MiB (Linux only).
    retry_failed
        Also retrain the runs that are stored with the status failed.
    fail_fast
        Stop the whole grid as soon as a run fails.
    """

    dry_run: bool = False
    only: Names = ()
    overrides: Annotated[Names, Parameter(name="--set")] = ()
    out: str | None = None  # Path("") would be the current folder
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
    "study grid main --dry-run\n"
    "study grid my.yaml --jobs 4\n"
    "study grid main --backend dask --scheduler tcp://login1:8786\n"
    "study grid main --only headline --set grid.hidden_size=[4,8]\n\n"
    "After an interruption, repeat the command to continue: stored runs are not trained again.\n"
    "Exit codes: 0 done; 1 finished with failed runs, or stopped early; 2 bad input (nothing was "
    "written) or a full disk (stored runs are kept); 130 interrupted by Ctrl-C, SIGTERM or SIGHUP."
    " A grid goes on if nothing reads its output any more.",
)


@app.default
def grid(file: Path, /, *, options: Options = Options()) -> int | None:
    """Train the runs of a grid file that are not stored yet, and store one row per run.

    Parameters
    ----------
    file
        A grid file in YAML, or the name of an experiment that comes with the package, such as main.
    """
    share = _share(options)
    path = grid_file(file)
    grid = read_grid(path, options.overrides)
    blocks = _blocks(grid, options.only)
    expansion = expand(grid)
    folder = _folder(grid, options)
    stored, versions = _stored(folder)
    refuse_other_kinds(folder, own_kinds())
    plan = make_plan(expansion, blocks, stored, retry_failed=options.retry_failed, share=share)
    plan.others, plan.unplanned = versions.others, plan.unplanned - int(versions.is_other.sum())
    refuse_faulty(plan.sources(plan.todo))
    echo(_plan_text(path, plan, blocks, folder, estimate_bytes(plan, stored)), flush=True)
    if options.dry_run:
        echo(_time_text(plan, *estimate_seconds(plan, stored), options.jobs))
        return None
    with signals_interrupt(), _workers(options) as workers:
        _compile(plan, workers)
        with Store(folder, _say) as store:
            store.write_plan(expansion.blocks, grid.title, grid.figures)
            ended = "finished"
            if plan.todo or plan.skipped:
                configuration = _configuration(grid, options)
                manifest = start_manifest(["study", "grid", path.name], workers.jobs, configuration)
                ended = _train(plan, stored, options, manifest, workers, store)
            store.compact()
    return _report(file, folder, plan, ended)


# --- training -----------------------------------------------------------------------------------


def _compile(plan: Plan, workers: Pool | Cluster) -> None:
    """Compile each cell that the planned runs need, unless this machine has compiled it before.

    If the workers belong to a cluster, this function does nothing. Such workers compile the cells
    on their own machines, before their first runs. Raises `BadInput` if a cell does not compile.
    """
    try:
        if isinstance(workers, Pool) and (runs := unprepared(plan)):
            names = ", ".join(f"{run.cell} ({run.dtype})" for run in runs)
            _say(f"compiling, which is needed only once on this machine: {names}")
            workers.prepare(runs)
    except SettingError as error:
        raise BadInput.at("grid", str(error)) from error


def _train(
    plan: Plan,
    stored: pd.DataFrame,
    options: Options,
    manifest: dict[str, Any],
    workers: Pool | Cluster,
    store: Store,
) -> str:
    """Train the runs that `plan` lists, store their rows, and write the manifest.

    A manifest is a JSON file that describes one invocation of the command. `stored` is the frame
    from `_stored`. This function uses it to estimate how long the training will take. Returns a
    text that says how the training ended. The text is `finished`, `interrupted` or a phrase that
    begins with `stopped`.
    """
    limits = Limits(options.run_seconds, options.worker_memory)
    training = PackTraining(new_invocation(), workers.runs_at_once, train_job, limits)
    seconds, is_known = estimate_seconds(plan, stored)
    echo(_time_text(plan, seconds, is_known, workers.jobs), flush=True)
    store.write_manifest(training.invocation, manifest)
    store.append(_skipped_rows(plan, training))
    packs = make_packs(plan, seconds, workers.jobs, options.pack_size)
    progress = Progress(len(plan.todo))
    rows = every_row(workers, packs, training, plan.job)
    ended = _store_rows(rows, store, progress, options.fail_fast)
    counts = progress.statuses + Counter(skipped=len(plan.skipped))
    store.write_manifest(training.invocation, end_manifest(manifest, ended, dict(+counts)))
    return ended


def _workers(options: Options) -> AbstractContextManager[Pool | Cluster]:
    """Return the worker processes, on this machine or on a cluster, as a context manager."""
    if options.backend == "dask":
        return Cluster(options.scheduler or "")
    return nullcontext(Pool(options.jobs, Limits(worker_mebibytes=options.worker_memory)))


def _skipped_rows(plan: Plan, training: PackTraining) -> list[Row]:
    """Return a row with the status `skipped` for each run that this machine cannot train."""
    run, invocation = plan.expansion.run, training.invocation
    return [
        row_of(run(run_id), {"status": "skipped", "reason": why}, 0, invocation, run_id)
        for run_id, why in plan.skipped.items()
    ]


def _store_rows(
    rows_of_packs: Generator[pa.Table], store: Store, progress: Progress, fail_fast: bool
) -> str:
    """Store the rows of finished packs every few seconds.

    A pack is a group of runs that is sent to a worker at once. `rows_of_packs` yields the rows of
    each pack when the pack is finished. If `fail_fast` is true, the training stops when a run
    fails. Returns a text that says how the training ended. The text is `finished`, `interrupted` or
    a phrase that begins with `stopped`.
    """
    ended, unstored, flushed = "finished", table_of([]), monotonic()
    try:
        with closing(rows_of_packs):
            for rows in rows_of_packs:
                unstored = pa.concat_tables([unstored, rows], promote_options="permissive")
                progress.add(rows)
                if monotonic() - flushed >= FLUSH_SECONDS:
                    store.append(unstored)
                    unstored, flushed = table_of([]), monotonic()
                if fail_fast and progress.statuses["failed"]:
                    ended = "stopped at the first failed run"
                    break
    except KeyboardInterrupt:
        ended = "interrupted"
    except EnvironmentFault as error:
        ended = f"stopped: {error}"
    finally:
        progress.close()
        store.append(unstored)
    return ended


def _configuration(grid: Grid, options: Options) -> dict[str, Any]:
    """Return the settings of the grid and the options of the command, for the manifest.

    The options `out` and `scheduler` are left out, since they may hold paths of this machine.
    """
    given = {k: v for k, v in asdict(options).items() if k not in ("out", "scheduler")}
    blocks = [asdict(block) for block in grid.blocks]
    settings = {"defaults": grid.defaults, "overrides": grid.overrides, "blocks": blocks}
    return {"schema": SCHEMA_VERSION, "name": grid.name, **settings, "options": given}


# --- options ------------------------------------------------------------------------------------


def _share(options: Options) -> tuple[int, int]:
    """Return which share of the runs to train, and how many shares there are.

    For example, `--share 2/3` gives (2, 3), which stands for the second of three shares.

    Raises `BadInput` if an option is invalid, or if options contradict each other.
    """
    numbers = re.fullmatch(r"([1-9]\d{0,4})/([1-9]\d{0,4})", options.share)
    number, shares = map(int, numbers.groups()) if numbers else (2, 1)
    is_dask = options.backend == "dask"
    problems = {
        "--share must be I/N, such as 2/3 for the second of three shares": number > shares,
        "--scheduler and --backend dask must be given together": is_dask != bool(options.scheduler),
        "--worker-memory does not apply to a cluster; omit it": is_dask and options.worker_memory,
        "--out must name a folder": options.out == "",
    }
    if any(problems.values()):
        raise BadInput(Problem("", text) for text, is_wrong in problems.items() if is_wrong)
    return number, shares


def _blocks(grid: Grid, only: Names) -> list[str]:
    names = [block.name for block in grid.blocks]
    wrong = [Problem(f"--only {n}", unknown("block", n, names)) for n in only if n not in names]
    if wrong:
        raise BadInput(wrong)
    return list(dict.fromkeys(only)) or names


def _folder(grid: Grid, options: Options) -> Path:
    """Return the path of the grid's results folder, which need not exist yet.

    Raises `BadInput` if the path is a file, or a folder that holds another grid's results or other
    files.
    """
    share = "" if options.share == "1/1" else "+share-{}-of-{}".format(*options.share.split("/"))
    folder = Path(options.out or f"results/{grid.folder_name}{share}")
    if folder.exists() and not folder.is_dir():
        raise BadInput.at(str(folder), "is a file, not a folder; choose another path with --out")
    refuse_other_content(folder)
    plan = read_plan(folder)
    if plan is None:
        return folder
    stored, blocks = sorted(set(plan["block"])), [block.name for block in grid.blocks]
    other = ""
    if plan.attrs["grid"] != grid.title:
        other = f"holds the results of grid {plan.attrs['grid']!r}, not of {grid.title!r}"
    elif stored and not set(stored).intersection(blocks):
        has, needs = (", ".join(names[:MOST_NAMED]) for names in (stored, blocks))
        other = f"holds another grid named {grid.title!r}: its blocks are {has}, not {needs}"
    if other:
        raise BadInput.at(str(folder), f"{other}; choose another folder with --out")
    return folder


def _stored(folder: Path) -> tuple[pd.DataFrame, Versions]:
    """Return a frame with one row per stored run, and the result of `versions_of` for these runs.

    Each row has the identity of the run, its status, its times in seconds, and whether its weights
    and its learning curve are stored. `versions_of` says which runs were made by another version
    of a cell, task, initialisation or optimizer.
    """
    names = ["run_id", "status", *SECONDS]
    lists = {"has_weights": "weights", "has_curve": "curve_update"}
    table = read_rows(folder, [*names, *lists.values(), *COLUMNS])
    has = {name: table[column].is_valid().to_numpy() for name, column in lists.items()}
    return table.select(names).to_pandas().assign(**has), versions_of(table)


# --- messages -----------------------------------------------------------------------------------


def _say(line: str) -> None:
    echo(line, file=sys.stderr, flush=True)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _plan_text(
    file: Path, plan: Plan, blocks: list[str], folder: Path, sizes: tuple[float, float]
) -> str:
    """Return a text that says how many runs are to be trained, are stored, or are skipped.

    `file` is the grid file, `blocks` are the names of the chosen blocks, and `folder` is the
    results folder. `sizes` has the expected and the largest number of bytes that the results will
    take there.
    """
    runs = _count(len(plan.selected), "run")
    lines = [f"{file}: {runs} in {_count(len(blocks), 'block')} -> {folder}"]
    width, todo, sources = max(map(len, blocks)), set(plan.todo), plan.expansion.sources
    for name in blocks:
        ids = plan.expansion.blocks[name]
        settings = len({id(sources[run_id][0]) for run_id in ids})
        left = len(todo.intersection(ids))
        counts = f"{settings:>6,} settings  {len(ids):>9,} runs  {left:>9,} to do"
        lines.append(f"  {name:<{width}}  {counts}")
    lines += origins(plan.sources(plan.selected))
    if plan.stored:
        counts = (f"{count:,} {status}" for status, count in plan.stored.most_common())
        lines.append(f"stored: {', '.join(counts)}")
    if plan.unplanned:
        kept = f"kept; study.load({str(folder)!r}, unplanned=True) includes them"
        lines.append(f"stored runs that are not in this grid: {plan.unplanned:,} ({kept})")
    for name, count in plan.others.items():
        made = f"{_count(count, 'stored run')} {'was' if count == 1 else 'were'} made"
        kept = f"they are kept but not used (study prune {folder} --other-versions removes them)"
        lines.append(f"{made} by another version of {name}; {kept}")
    for why, count in Counter(plan.skipped.values()).items():
        lines.append(f"skipped: {_count(count, 'run')}, because {why}")
    texts = dict.fromkeys(map(disk_size, sizes))  # the same size twice is said once
    lines.append(f"disk: about {', at most about '.join(texts)}")
    return "\n".join(lines)


def _time_text(plan: Plan, seconds: dict[str, float], is_known: bool, jobs: int) -> str:
    """Return a text that says how many runs are to be trained, and about how long this will take.

    `seconds` maps the identity of each run to the estimated time that the run takes on one
    processor, in seconds. If `is_known` is false, these estimates are upper bounds. `jobs` is the
    number of workers.
    """
    if not plan.todo:
        return "nothing to train"
    time = duration(sum(seconds.values()) / jobs)
    bound = "about" if is_known else "at most about"
    return f"to do: {_count(len(plan.todo), 'run')}, {bound} {time} with {_count(jobs, 'worker')}"


def _report(file: Path, folder: Path, plan: Plan, ended: str) -> int:
    """Print a summary of all stored runs and the next command to type, and return the exit code.

    `ended` is the text from `_train` that says how the training ended. If the training was
    interrupted, this function prints the summary and then raises `KeyboardInterrupt`.
    """
    with warnings.catch_warnings(action="ignore", category=StoreWarning):
        frame = load(folder, curves=False)
    summary = summarise(by_block(frame), ("block", "cell", "optimizer")) if len(frame) else None
    echo("\nno runs are stored" if summary is None else f"\n{summary_text(summary)}")
    failed = int((frame["status"] == "failed").sum())
    if failed:
        hint = "the column `reason` says why; --retry-failed trains them again"
        echo(f"{_count(failed, 'run')} failed: {hint}")
    stored, _ = _stored(folder)
    lacking = len(incomplete_runs(plan.expansion, stored).intersection(plan.todo))
    if lacking and ended == "finished":
        again = "failed when trained again to store weights or curves"
        echo(f"{_count(lacking, 'run')} {again}; the results stored before are kept")
    if ended == "interrupted":
        raise KeyboardInterrupt
    if ended != "finished":
        _say(f"{ended}; repeat the command to go on")
        return NOT_ALL_WELL
    uses = [word for path in used_files() for word in ("--use", os.path.relpath(path))]
    if not plan.todo and not plan.skipped:
        echo(f"Every run of this grid was already stored in {folder}, so nothing was trained.")
        other = "results/mine" if folder != Path("results/mine") else "results/again"
        words = ["study", "grid", str(file), "--out", other, *uses]
        echo(f"To train it again, into another folder: {shlex.join(words)}")
    echo(f"To draw its figures: {shlex.join(['study', 'figures', str(folder), *uses])}")
    return NOT_ALL_WELL if failed or lacking else DONE


if __name__ == "__main__":
    sys.exit(run(app))
