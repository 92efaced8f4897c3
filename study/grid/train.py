"""Train a run on its engine, and turn the outcome into the row that is stored.

Every run gets a row. If training raises an exception, the row's status is `failed`, and its column
`reason` has the traceback. A pack is a group of runs that is sent to a worker at once.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa

from study.engines import Curve, Engine, Outcome, engine_of
from study.errors import EnvironmentFault, SettingError
from study.grid.limits import Limits
from study.model import COMPILING, REGISTRIES, Score, converged_index, lost_index
from study.runs import CURVES, SETTINGS, Run, judged, shapes_of, table_of

Row = dict[str, Any]
NO_LIMITS = Limits()


@dataclass(frozen=True)
class Job:
    """A run that a worker is to train.

    `keep_weights` says whether to store the trained weights, and `keep_curves` whether to store the
    learning curve. `run_id` is the run's identity, or "" if the identity is not known. A job
    carries the identity because it is slow to compute.
    """

    run: Run
    keep_weights: bool = False
    keep_curves: bool = True
    run_id: str = ""


Pack = tuple[Job, ...]


def train_job(
    job: Job, limits: Limits = NO_LIMITS, *, outcome: Outcome | None = None, **origin: Any
) -> Row:
    """Train the run of one job, and return its row. The caller must check the row with `judged`.

    If the run was trained together with others, `outcome` is what its engine returned. `origin`
    holds the arguments `invocation` and `runs_at_once` of `row_of`.
    """
    try:
        with limits.timed() as check:
            outcome = outcome or engine_of(job.run).train(job.run, check=check)
        results = results_of(job.run, outcome, job.keep_weights)
    except EnvironmentFault:
        raise
    except (Exception, SystemExit):  # a run that cannot be trained must not stop the others
        results = failure(traceback.format_exc())
    return row_of(job.run, results, run_id=job.run_id, **origin)


def outcomes_together(pack: Pack, limits: Limits) -> dict[int, Outcome]:
    """Train those jobs of a pack that an engine can train side by side.

    Returns their outcomes, by their places in the pack. If anything goes wrong, or if the time of
    each run is limited, the runs are left to be trained one by one, so that every row says what
    happened to its own run.
    """
    if limits.run_seconds is not None:
        return {}
    groups: dict[Any, list[int]] = {}
    for place, job in enumerate(pack):
        company = getattr(engine_of(job.run), "company", lambda run: None)(job.run)
        if company is not None:
            groups.setdefault((job.run.engine, company), []).append(place)
    found = {}
    for places in groups.values():
        if len(places) > 1:
            runs = [pack[place].run for place in places]
            engine: Any = engine_of(runs[0])
            with suppress(Exception):
                found |= dict(zip(places, engine.train_together(runs), strict=True))
    return found


def _refuse_other_rules(job: Job) -> None:
    run = job.run
    try:
        is_planned = job.run_id in ("", run.run_id)
    except SettingError:  # a rule has no source here
        is_planned = False
    if not is_planned:
        parts = f"cell {run.cell!r}, task {run.task!r}, init {run.init!r}"
        parts += f" or optimizer {run.optimizer!r}"
        message = f"a worker lacks {parts}, or has another version of it than was planned"
        raise EnvironmentFault(f"{message}; use the same code on all workers")


@dataclass(frozen=True)
class PackTraining:
    """A function that trains a pack (a tuple of jobs) in a worker process and returns the rows.

    The rows are returned as one table, which reaches the parent process faster than dicts do.
    `invocation` is the name of the command's manifest, and `runs_at_once` is the number of runs
    that train on the machine at the same time. Both are stored in every row. `train` trains a
    single job within `limits` and returns its row, as `train_job` does.
    """

    invocation: str
    runs_at_once: int
    train: Callable[..., Row]
    limits: Limits = NO_LIMITS

    def __call__(self, pack: Pack) -> pa.Table:
        """Train the runs of a pack (a tuple of jobs) one after another, and return their rows.

        Raises `EnvironmentFault` if this process has another version of a cell, task,
        initialisation or optimizer than the process that planned the runs.
        """
        same_code = itemgetter(*REGISTRIES, "dtype")
        for job in {same_code(vars(job.run)): job for job in pack}.values():
            _refuse_other_rules(job)
            with suppress(SettingError):  # training fails too, and the row says why
                prepare(job.run)
        found, rows = outcomes_together(pack, self.limits), []
        for place, job in enumerate(pack):
            about = self._origin | ({"outcome": found[place]} if place in found else {})
            rows.append(self.train(job, self.limits, **about))
        rows = zip(pack, judged(rows), strict=True)  # which checks the curves, too
        return table_of([row if job.keep_curves else _without_curve(row) for job, row in rows])

    def died(self, job: Job) -> pa.Table:
        """Return one row, with the status `failed`, for a job on which workers died repeatedly.

        When the last of these workers died, no other run was training.
        """
        most = self.limits.worker_mebibytes
        reason = (
            "the worker process died on this run, and again when no other run was training: the "
            "process was killed, hung, crashed outside Python, or ran out of memory"
        ) + f" (a worker may use {most} MiB)" * bool(most)
        return table_of([row_of(job.run, failure(reason), run_id=job.run_id, **self._origin)])

    @property
    def _origin(self) -> dict[str, Any]:
        return {"runs_at_once": self.runs_at_once, "invocation": self.invocation}


def engine_for(run: Run) -> Engine:
    """Return the engine of a run, which is the code that trains it.

    Raises `EnvironmentFault` if a library that the engine needs cannot be loaded.
    """
    try:
        return engine_of(run)
    except (ImportError, OSError) as error:
        raise EnvironmentFault(f"engine {run.engine!r} cannot be loaded: {error}") from error


def prepare(*runs: Run) -> None:
    """Load the engines (training code) of the runs, and compile them unless this was done before.

    Raises `SettingError` if a run's cell does not compile, and `EnvironmentFault` if nothing
    compiles on this machine.
    """
    for name in {run.engine for run in runs}:
        ours = [run for run in runs if run.engine == name]
        engine = engine_for(ours[0])
        try:
            if name in COMPILING:
                engine.prepare(*ours)
        except (SettingError, EnvironmentFault):
            raise
        except Exception:  # training fails too, and the row says why
            continue


# --- rows ---------------------------------------------------------------------------------------


def row_of(
    run: Run, results: Row, runs_at_once: int = 1, invocation: str = "", run_id: str = ""
) -> Row:
    """Return the row of a run, which holds its identity, its settings and its results.

    The row also says how the run was trained. `results` maps names of columns to results.
    `runs_at_once` is the number of processes that train on the machine at the same time. In each,
    several runs may share the processor's lanes, as `results` says. `invocation` is
    the name of the manifest of the command. `run_id` is the identity of the run. If `run_id` is "",
    the identity is computed.
    """
    return {
        "run_id": run_id or run.run_id,
        **{name: getattr(run, name) for name in SETTINGS},
        **(run.own or {}),
        "optimizer_settings": json.dumps(run.optimizer_settings, sort_keys=True),
        "rules": json.dumps(rules, sort_keys=True) if (rules := run.rules) else None,
        **results,
        "runs_at_once": runs_at_once * results.get("runs_at_once", 1),
        "finished_at": datetime.now(UTC),
        "invocation": invocation,
    }


def _without_curve(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in CURVES}


def failure(reason: str) -> Row:
    """Return the `status` and the `reason` that a failed run has in place of results."""
    return {"status": "failed", "reason": reason}


def results_of(run: Run, outcome: Outcome, keep_weights: bool) -> Row:
    """Return the results of a run as a dict from names of columns to values.

    `outcome` is what the engine returned after training. `keep_weights` says whether to include the
    trained weights. A run that solved the task and then diverged has the status `diverged`. Its
    `converged_update` still says when it solved the task.
    """
    curve = outcome.curve
    converged = converged_index(curve.exact, run.solved_evaluations)
    lost = lost_index(curve.exact, converged)
    update = None if converged is None else int(curve.update[converged])
    status = "unsolved" if converged is None else "solved"
    weights = [outcome.weights[name].ravel() for name in shapes_of(run)] if keep_weights else []
    return {
        "status": status if outcome.diverged_update is None else "diverged",
        "diverged_update": outcome.diverged_update,
        "updates": outcome.updates,
        "sequences": outcome.updates * run.sequences_per_update,
        "converged_update": update,
        "converged_sequences": None if update is None else update * run.sequences_per_update,
        "converged_seconds": None if update is None else float(curve.train_seconds[converged]),
        "lost_update": None if lost is None else int(curve.update[lost]),
        "weights": np.concatenate(weights).astype(float) if weights else None,
        **_scores("", outcome.final),
        **_scores("long_", outcome.long),
        **_curves(run, curve),
        "train_seconds": outcome.train_seconds,
        "evaluation_seconds": outcome.evaluation_seconds,
        "final_seconds": outcome.final_seconds,
        "runs_at_once": outcome.side_by_side,
    }


def _scores(prefix: str, score: Score | None) -> Row:
    return {} if score is None else {prefix + name: value for name, value in vars(score).items()}


def _curves(run: Run, curve: Curve) -> Row:
    """Return the learning curve of a run as a dict from names of columns to arrays.

    Losses are rounded to the precision of the run's `dtype`, since further digits are noise.
    """
    with np.errstate(over="ignore"):
        losses = np.array([curve.training_loss, curve.loss], run.dtype).astype(float)
    return {
        "curve_update": curve.update,
        "curve_training_loss": losses[0],
        "curve_loss": losses[1],
        "curve_accuracy": curve.accuracy,
        "curve_exact": curve.exact,
    }
