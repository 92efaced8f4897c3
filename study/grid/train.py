"""A run becomes a row: train it on its engine, take its measures, give it a status.

Whatever happens, there is a row: an exception is a `failed` row with its traceback.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np

from study.engines import Curve, Outcome, engine_of
from study.model import Score, converged_index, lost_index
from study.runs import Run, shapes_of

Row = dict[str, Any]
_as_json = json.JSONEncoder(sort_keys=True).encode


def train_run(
    run: Run,
    *,
    keep_weights: bool = False,
    runs_at_once: int = 1,
    invocation: str = "",
    run_id: str = "",
) -> Row:
    """Train one run; its row, with every column of the store that applies. Who knows the identity may give it."""
    how = {
        "keep_weights": keep_weights,
        "runs_at_once": runs_at_once,
        "invocation": invocation,
        "run_id": run_id,
    }
    return trained(run, **how)()


def trained(
    run: Run, *, keep_weights: bool, runs_at_once: int, invocation: str, run_id: str
) -> Callable[[], Row]:
    """Train one run; what makes its row. Rows that are made one after another cost a third: training empties caches."""
    try:
        results = partial(results_of, run, engine_of(run).train(run), keep_weights)
    except (
        Exception,
        SystemExit,
    ):  # a run that cannot be trained is a result, and must not stop the others
        results = partial(dict, status="failed", reason=traceback.format_exc())
    return partial(_row, run, results, runs_at_once, invocation, run_id, datetime.now(UTC))


def _row(run: Run, results: Callable[[], Row], *about: Any) -> Row:
    try:
        return row_of(run, results(), *about)
    except (Exception, SystemExit):  # an engine may return whatever it likes
        return row_of(run, {"status": "failed", "reason": traceback.format_exc()}, *about)


def row_of(
    run: Run,
    results: Row,
    runs_at_once: int,
    invocation: str,
    run_id: str = "",
    finished_at: datetime | None = None,
) -> Row:
    """A run's identity and settings beside its results."""
    return {
        "run_id": run_id or run.run_id,
        **run.__dict__,
        "optimizer_settings": _as_json(run.optimizer_settings),
        **results,
        "runs_at_once": runs_at_once,
        "finished_at": finished_at or datetime.now(UTC),
        "invocation": invocation,
    }


def results_of(run: Run, outcome: Outcome, keep_weights: bool) -> Row:
    """The measures of one training."""
    curve = outcome.curve
    converged = converged_index(curve.exact, run.solved_evaluations)
    lost = lost_index(curve.exact, converged)
    return {
        "status": _status(outcome, converged),
        "diverged_update": outcome.diverged_update,
        "updates": outcome.updates,
        "sequences": outcome.updates * run.sequences_per_update,
        "lost_update": None if lost is None else int(curve.update[lost]),
        "weights": _flat(run, outcome) if keep_weights else None,
        **_convergence(run, curve, converged),
        **_scores("", outcome.final),
        **_scores("long_", outcome.long),
        **_curves(run, curve),
        "train_seconds": outcome.train_seconds,
        "evaluation_seconds": outcome.evaluation_seconds,
        "final_seconds": outcome.final_seconds,
    }


def _status(outcome: Outcome, converged: int | None) -> str:
    """A run that solves the task and then diverges is diverged; when it was solved stays on record."""
    if outcome.diverged_update is not None:
        return "diverged"
    return "unsolved" if converged is None else "solved"


def _convergence(run: Run, curve: Curve, converged: int | None) -> Row:
    if converged is None:
        return {}
    update = int(curve.update[converged])
    return {
        "converged_update": update,
        "converged_sequences": update * run.sequences_per_update,
        "converged_seconds": float(curve.train_seconds[converged]),
    }


def _scores(prefix: str, score: Score | None) -> Row:
    return {} if score is None else {prefix + name: value for name, value in vars(score).items()}


def _curves(run: Run, curve: Curve) -> Row:
    """A curve's columns; losses in the run's own precision: digits beyond it say nothing and fill half of a file."""
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


def _flat(run: Run, outcome: Outcome) -> np.ndarray:
    return np.concatenate([outcome.weights[name].ravel() for name in shapes_of(run)]).astype(float)
