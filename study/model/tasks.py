"""Define the tasks, which turn uniform random numbers into inputs and labels.

A task is a pure function of uniform random numbers. So the same numbers give the same data on every
engine and device, and a higher noise level scales the same noise. The keyword arguments of the
function are the settings that apply to the task, with their defaults.

To add a task, write its function and enter it in `TASKS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import scipy

from study.model.keywords import keywords

NOISE_KINDS = ("uniform", "centred", "gaussian")
# Two uniform numbers from which each kind of noise makes its mean minus and plus its standard
# deviation.
_ROOT = 1 / math.sqrt(12)
LEVELS = {
    "uniform": (0.5 - _ROOT, 0.5 + _ROOT),
    "centred": (0.5 - _ROOT, 0.5 + _ROOT),
    "gaussian": (float(scipy.special.ndtr(-1)), float(scipy.special.ndtr(1))),
}


def noise_from(uniforms: np.ndarray, noise: float, noise_kind: str) -> np.ndarray:
    """Turn uniform random numbers on [0, 1) into noise of level `noise`.

    The noise has the shape of `uniforms`. `noise_kind` is one of these:

    uniform    noise * U(0, 1): mean noise/2, standard deviation noise/sqrt(12)
    centred    noise * (U(0, 1) - 1/2): the same standard deviation, mean zero
    gaussian   noise/sqrt(12) * N(0, 1): mean and standard deviation as for `centred`, unbounded
    """
    if noise_kind == "uniform":
        return noise * uniforms
    if noise_kind == "centred":
        return noise * (uniforms - 0.5)
    smallest = np.finfo(float).tiny  # ndtri(0) is minus infinity
    return noise / np.sqrt(12) * scipy.special.ndtri(np.maximum(uniforms, smallest))


def pattern_labels(phase: np.ndarray, pattern: str) -> np.ndarray:
    """Return the label at each phase, which is the number of steps since the pattern began.

    The label is `pattern[phase mod p]`, where p is the pattern's length. The labels are int64, in
    the shape of `phase`.
    """
    symbols = np.array([int(symbol) for symbol in pattern], dtype=np.int64)
    return symbols[phase % len(pattern)]


def alternating(
    uniforms: np.ndarray,
    *,
    pattern: str = "10",
    noise: float = 1.0,
    noise_kind: str = "uniform",
    cue: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Make sequences of the main task: the labels repeat a pattern, and the input is noise.

    inputs  1 .37 .95 .73 .60 ...   the cue, then noise that carries no information
    labels  1  0   1   0   1  ...   `pattern[t mod p]`, here for the pattern "10" of length p = 2

    Takes `uniforms` (n, T, 1) on [0, 1), and returns inputs (n, T, 1) float64 and labels (n, T)
    int64. Without the cue, the input of step 0 is noise, as at any other step.
    """
    inputs = noise_from(uniforms, noise, noise_kind)
    if cue:
        inputs[:, 0, 0] = 1.0
    n, length, _ = uniforms.shape
    return inputs, np.tile(pattern_labels(np.arange(length), pattern), (n, 1))


def reset(
    uniforms: np.ndarray,
    *,
    pattern: str = "10",
    noise: float = 1.0,
    noise_kind: str = "uniform",
    cue: bool = True,
    reset_rate: float = 0.1,
) -> tuple[np.ndarray, np.ndarray]:
    """Make sequences as `alternating` does, with a second input channel that restarts the pattern.

    noise   1 .37 .95 .73 .60 .16
    resets  0  0   0   1   0   0     1 with probability `reset_rate` at each step t >= 1
    labels  1  0   1   1   0   1     `pattern[(t - last reset) mod p]`

    A network that ignores its input fails at this task, because its state must follow the resets.
    Takes `uniforms` (n, T, 2), and returns inputs (n, T, 2) float64 and labels (n, T) int64.
    """
    inputs, _ = alternating(
        uniforms[:, :, :1].copy(), pattern=pattern, noise=noise, noise_kind=noise_kind, cue=cue
    )
    resets = uniforms[:, :, 1] < reset_rate
    resets[:, 0] = False
    steps = np.arange(uniforms.shape[1])
    last_reset = np.maximum.accumulate(np.where(resets, steps, 0), axis=1)
    labels = pattern_labels(steps - last_reset, pattern)
    return np.concatenate([inputs, resets[:, :, None].astype(float)], axis=2), labels


def parity(uniforms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Make sequences of random bits, with the running exclusive-or of the bits as labels.

    inputs  1 0 1 1 0 1
    labels  1 1 0 1 1 0     the number of ones so far, modulo 2

    A network solves this task only if every input can change its state. Takes `uniforms` (n, T, 1),
    and returns inputs (n, T, 1) float64 and labels (n, T) int64.
    """
    bits = (uniforms[:, :, 0] < 0.5).astype(np.int64)
    return bits[:, :, None].astype(float), np.cumsum(bits, axis=1) % 2


def cyclic(uniforms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Make sequences of random digits 0, 1 or 2, with their running sum modulo 3 as labels.

    digits  2 1 0 1 2 2     each is input as three channels, of which the digit's own is 1
    labels  2 0 0 1 0 2     the sum of the digits so far, modulo 3

    The sum before a step is equally likely to be 0, 1 or 2. So an answer that uses only the step
    and its input is right with probability 1/3 from step 1 on. Takes `uniforms` (n, T, 1), and
    returns inputs (n, T, 3) float64 and labels (n, T) int64.
    """
    digits = (3 * uniforms[:, :, 0]).astype(np.int64)
    return np.eye(3)[digits], np.cumsum(digits, axis=1) % 3


def permutation(uniforms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Make sequences of random moves of three objects in a row, with their order as labels.

    moves   s r r s s r     s swaps the first two objects, r moves the first object to the end
    labels  2 1 5 3 5 2     the order, as its place in the list 012, 021, 102, 120, 201, 210

    A move is input as two channels: the first is 1 for s, and the second is 1 for r. Both moves
    are equally likely. They generate S3, the group of all orders of three objects, so the label is
    the product of the moves so far.

    An answer that uses only the step t is right at best with probability 1/6 + 2**-t / 3 at even t,
    and 1/6 + 2**-t / 6 at odd t, since the first orders are not equally likely. An answer that also
    uses the input of step t is right as often as the best one was at step t - 1: 1/2 at step 1,
    and close to 1/6 later. Takes `uniforms` (n, T, 1), and returns inputs (n, T, 2) float64 and
    labels (n, T) int64.
    """
    n, length, _ = uniforms.shape
    moves = (uniforms[:, :, 0] >= 0.5).astype(np.int64)
    sources = np.array([[1, 0, 2], [1, 2, 0]])[moves]  # the place from which each object comes
    order, labels = np.tile(np.arange(3), (n, 1)), np.empty((n, length), dtype=np.int64)
    for step in range(length):
        order = np.take_along_axis(order, sources[:, step], axis=1)
        labels[:, step] = 2 * order[:, 0] + (order[:, 1] > order[:, 2])
    return np.eye(2)[moves], labels


@dataclass(frozen=True)
class Task:
    """A task, given by the function `make` that makes its sequences, and by three sizes.

    `draws_per_step` is the number of uniform random numbers per step. `input_size` is the number of
    input channels. `outputs` is the number K of classes: the labels are 0 to K - 1, and a network
    has one logit per class. `version` identifies the code of a shipped task (see
    `study.model.rules`).
    """

    make: Callable[..., tuple[np.ndarray, np.ndarray]]
    draws_per_step: int = 1
    input_size: int = 1
    outputs: int = 2
    version: int | None = None

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The settings that this task uses, with their defaults (see `study.model.keywords`)."""
        return keywords(self.make)


TASKS = {
    "alternating": Task(alternating, version=1),
    "reset": Task(reset, draws_per_step=2, input_size=2, version=1),
    "parity": Task(parity, version=1),
    "cyclic": Task(cyclic, input_size=3, outputs=3, version=1),
    "permutation": Task(permutation, input_size=2, outputs=6, version=1),
}
SHIPPED_TASKS = dict(TASKS)
TASK_SETTINGS = tuple(dict.fromkeys(name for task in TASKS.values() for name in task.settings))


@lru_cache(maxsize=10_000)
def data_fault(task: Task, length: int, **settings: object) -> str | None:
    """Return a message that says why a task's data are wrong, or None if they are right.

    Engines convert a task's data to arrays of fixed types, so they would train on wrong data
    without an error. This function makes two sequences of `length` steps with the given settings
    and checks them.
    """
    n = 2
    shapes = {"inputs": (n, length, task.input_size), "labels": (n, length)}
    try:
        made = task.make(_uniforms(n, length, task.draws_per_step).copy(), **settings)
        inputs, labels = map(np.asarray, made)
    except Exception as error:  # a task of the user's own may raise any exception
        return f"its function raises {type(error).__name__}: {error}"
    for (name, shape), array, kind in zip(
        shapes.items(), (inputs, labels), ("float64", "int64"), strict=True
    ):
        if array.shape != shape or array.dtype != kind:
            return f"its {name} are {array.dtype} {array.shape}, but must be {kind} {shape}"
    if not np.isfinite(inputs).all():
        return "its inputs are not all finite"
    low, high, last = labels.min(), labels.max(), task.outputs - 1
    if low < 0 or high > last:
        return f"its labels reach from {low} to {high}, but must lie between 0 and {last}"
    return None


@lru_cache(maxsize=100)
def _uniforms(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape)
