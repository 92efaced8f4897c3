"""Make the networks, initial weights and batches that are measured, equal for every peer."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from study.runs import Run, Sequences, weights_of

LEARNING_RATE = 0.01
BATCHES = 8  # drawn beforehand and used in rotation
NO_END = 100_000_000  # the largest budget that a run may have


@dataclass(frozen=True)
class Case:
    """A network to measure, and the shape of its batches."""

    cell: str
    hidden_size: int
    batch_size: int
    length: int


def run_of(case: Case, seed: int = 0) -> Run:
    """Return the case as a run of the study: SGD on `BATCHES` fixed batches.

    The task is `alternating`.
    """
    settings: dict[str, Any] = {
        "data": "fixed",
        "epoch_sequences": BATCHES * case.batch_size,
        "optimizer": "sgd",
        "lr": LEARNING_RATE,
        "max_updates": NO_END,
        "eval_every": NO_END // 10,
        "seed": seed,
    }
    return Run(**asdict(case), **settings)


def stacked_weights(case: Case, models: int) -> dict[str, np.ndarray]:
    """Return the initial weights of M = `models` networks, which have the seeds 0 to M - 1.

    The keys are the names of the parameters. Each array is (M, ...) float32.
    """
    each = [weights_of(run_of(case, seed)) for seed in range(models)]
    return {
        name: np.stack([weights[name] for weights in each]).astype(np.float32) for name in each[0]
    }


def stacked_batches(case: Case, models: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the batches of M = `models` networks, which have the seeds 0 to M - 1.

    The inputs are (BATCHES, M, T, B, I) float32, and the labels are (BATCHES, M, T, B) int64.
    """
    inputs, labels = zip(*(_batches(run_of(case, seed)) for seed in range(models)), strict=True)
    return np.stack(inputs, axis=1), np.stack(labels, axis=1)


def _batches(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Return the inputs (BATCHES, T, B, I) and the labels (BATCHES, T, B) of one network."""
    inputs, labels = Sequences(run, "training", run.length).draw(run.sequences_per_epoch)
    inputs = inputs.reshape(BATCHES, run.batch_size, *inputs.shape[1:]).transpose(0, 2, 1, 3)
    labels = labels.reshape(BATCHES, run.batch_size, run.length).transpose(0, 2, 1)
    return np.ascontiguousarray(inputs, np.float32), np.ascontiguousarray(labels)
