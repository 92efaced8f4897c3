"""The networks, initial weights and batches of a case, the same for every peer."""

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
    """One network and one batch shape."""

    cell: str
    hidden_size: int
    batch_size: int
    length: int


def run_of(case: Case, seed: int = 0) -> Run:
    """The case as a run of the study: SGD on BATCHES fixed batches of the alternating task."""
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
    """Initial weights of M models with seeds 0..M-1, float32, each (M, ...), by parameter name."""
    each = [weights_of(run_of(case, seed)) for seed in range(models)]
    return {
        name: np.stack([weights[name] for weights in each]).astype(np.float32) for name in each[0]
    }


def stacked_batches(case: Case, models: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (batches, M, T, B, I) float32 and labels (batches, M, T, B) int64 of M models."""
    inputs, labels = zip(*(_batches(run_of(case, seed)) for seed in range(models)), strict=True)
    return np.stack(inputs, axis=1), np.stack(labels, axis=1)


def _batches(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (batches, T, B, I) and labels (batches, T, B) of one model."""
    inputs, labels = Sequences(run, "training", run.length).draw(run.sequences_per_epoch)
    inputs = inputs.reshape(BATCHES, run.batch_size, *inputs.shape[1:]).transpose(0, 2, 1, 3)
    labels = labels.reshape(BATCHES, run.batch_size, run.length).transpose(0, 2, 1)
    return np.ascontiguousarray(inputs, np.float32), np.ascontiguousarray(labels)
