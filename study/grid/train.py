"""From a run to its row: train it on its engine, measure the outcome, decide its status.

Every run gets a row. If it raises an exception, its status is `failed` and the row has the
traceback.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from study.engines import Curve, Engine, Outcome, engine_of
from study.errors import EnvironmentFault
from study.grid.limits import Limits
from study.model import COMPILING, Score, converged_index, lost_index
from study.runs import Run, judged, shapes_of

Row = dict[str, Any]
NO_LIMITS = Limits()


@dataclass(frozen=True)
class Job:
    """A run to train, whether to keep its weights, and its identity, which is slow to compute."""

    run: Run
    keep_weights: bool = False
    run_id: str = ""


Pack = tuple[Job, ...]


def train_run(run: Run) -> Row:
    """Train one run and return its row: settings, results and timings by the store's columns.

    If training raises an exception, or a result does not fit its column, the status is `failed`.
    """
    return judged([train_job(Job(run))])[0]


def train_job(job: Job, limits: Limits = NO_LIMITS, **origin: Any) -> Row:
    """Train one job and return its row, not yet judged; `origin` goes to `row_of`."""
    try:
        with limits.timed() as check:
            outcome = engine_of(job.run).train(job.run, check=check)
        results = results_of(job.run, outcome, job.keep_weights)
    except (Exception, SystemExit):  # a run that cannot be trained must not stop the others
        results = failure(traceback.format_exc())
    return row_of(job.run, results, run_id=job.run_id, **origin)


@dataclass(frozen=True)
class PackTraining:
    """How a worker trains packs in one invocation of the grid; `train` makes a row of each job."""

    invocation: str
    runs_at_once: int
    train: Callable[..., Row]
    limits: Limits = NO_LIMITS

    def __call__(self, pack: Pack) -> list[Row]:
        """Train the runs of a pack one after another and return their rows."""
        for job in {(j.run.engine, j.run.cell, j.run.dtype): j for j in pack}.values():
            prepare(job.run)
        return judged([self.train(job, self.limits, **self._origin) for job in pack])

    def died(self, job: Job) -> Row:
        """The row of a run whose worker died each time, the last time while it ran alone."""
        most = self.limits.worker_mebibytes
        reason = (
            "the worker process died on this run, and again when the run was alone: it was "
            "killed, hung, crashed outside Python, or ran out of memory"
        ) + f" (a worker may use {most} MiB)" * bool(most)
        return row_of(job.run, failure(reason), run_id=job.run_id, **self._origin)

    @property
    def _origin(self) -> dict[str, Any]:
        return {"runs_at_once": self.runs_at_once, "invocation": self.invocation}


def loaded(run: Run) -> Engine:
    """A run's engine; `EnvironmentFault` if a library that it needs does not load."""
    try:
        return engine_of(run)
    except (ImportError, OSError) as error:
        raise EnvironmentFault(f"engine {run.engine!r} cannot be loaded: {error}") from error


def prepare(run: Run) -> None:
    """Load a run's engine, and let it compile for the run if this machine has not done so yet."""
    engine = loaded(run)
    with suppress(Exception):  # the run will fail too, and its row will say why
        if run.engine in COMPILING and not engine.is_ready(run):
            engine.prepare(run)


# --- rows ---------------------------------------------------------------------------------------


def row_of(
    run: Run, results: Row, runs_at_once: int = 1, invocation: str = "", run_id: str = ""
) -> Row:
    """A row: the run's identity and settings, its results, and where they come from."""
    return {
        "run_id": run_id or run.run_id,
        **run.__dict__,
        "optimizer_settings": json.dumps(run.optimizer_settings, sort_keys=True),
        **results,
        "runs_at_once": runs_at_once,
        "finished_at": datetime.now(UTC),
        "invocation": invocation,
    }


def failure(reason: str) -> Row:
    """The results of a run that failed."""
    return {"status": "failed", "reason": reason}


def results_of(run: Run, outcome: Outcome, keep_weights: bool) -> Row:
    """The results of one training, by column.

    A run that solved the task and then diverged is `diverged`, but keeps the update of convergence.
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
    }


def _scores(prefix: str, score: Score | None) -> Row:
    return {} if score is None else {prefix + name: value for name, value in vars(score).items()}


def _curves(run: Run, curve: Curve) -> Row:
    """A curve's columns; losses have the run's precision, since further digits are noise."""
    with np.errstate(over="ignore"):
        losses = np.array([curve.training_loss, curve.loss], run.dtype).astype(float)
    return {
        "curve_update": curve.update,
        "curve_training_loss": losses[0],
        "curve_loss": losses[1],
        "curve_accuracy": curve.accuracy,
        "curve_exact": curve.exact,
        "curve_train_seconds": curve.train_seconds.astype(np.float32),
    }
