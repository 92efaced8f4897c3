"""The fused engine: a whole run inside one compiled loop per cell and data type.

Forward, back-propagation through time, optimizer step, evaluation and stopping are compiled by Numba
into one loop; Python only draws the data, from the same streams as for every engine, a few evaluations
ahead. The torch engine is its reference: see `tests/test_fused.py`.
"""

from __future__ import annotations

import math
from time import perf_counter

import numpy as np

from study.cells import CELLS
from study.engines import Curve, Outcome, lacks
from study.engines.fused.build import NUMBERS, OPTIONS, compiled, is_compiled, mark_compiled
from study.measures import Score, score
from study.optimizers import find_optimizer
from study.runs import Run, Sequences, weights_of
from study.tasks import TASKS

TWO_PRODUCTS = ("gru_v1", "mgu")  # the first gate multiplies h before the candidate's matrix does
STARTS = {"zeros": 0, "learned": 1, "normal": 2}
# torch.optim's class -> its number in the loop and the order of its settings there
SETTINGS = {
    "SGD": (0, ("momentum", "dampening", "weight_decay", "nesterov")),
    "RMSprop": (1, ("alpha", "eps", "weight_decay", "momentum", "centered")),
    "Adagrad": (2, ("lr_decay", "weight_decay", "initial_accumulator_value", "eps")),
    "Adam": (3, ("betas", "eps", "weight_decay", "amsgrad")),
    "AdamW": (4, ("betas", "eps", "weight_decay", "amsgrad")),
}
MOST_AHEAD = 32  # evaluations whose data are drawn at a time
MOST_NUMBERS = 2_000_000  # drawn at a time, unless one evaluation wants more


def unavailable(run: Run) -> str | None:
    """What the loop lacks for a run, or None."""
    return lacks(run.cell, find_optimizer(run.optimizer).torch_class, run.device)


def is_ready(run: Run) -> bool:
    """Whether a run can train at once; if not, its loop is to be compiled first."""
    return is_compiled(run.cell, run.dtype)


def prepare(run: Run) -> None:
    """Compile what a run needs, and keep it for every later process on this machine."""
    train(run.model_copy(update=_TINY))
    mark_compiled(run.cell, run.dtype)


_TINY = {"max_updates": 1, "eval_every": 1, "eval_sequences": 1, "final_sequences": 1, "long_sequences": 1}


def train(run: Run) -> Outcome:
    """Train one run to its end: solved, out of budget, or diverged."""
    training = Training(run)
    while not training.is_over():
        training.segment()
    train_seconds, evaluation_seconds = training.number("TRAIN_SECONDS"), training.number("EVALUATION_SECONDS")
    diverged = training.option("DIVERGED") or None  # a network may still fail on the long sequences below
    started = perf_counter()
    final, long = training.final_scores()
    return Outcome(
        curve=training.curve(),
        updates=training.option("UPDATES"),
        diverged_update=diverged,
        final=final,
        long=long,
        weights=training.weights(),
        train_seconds=train_seconds,
        evaluation_seconds=evaluation_seconds,
        final_seconds=perf_counter() - started,
    )


class Training:
    """The arrays that the loop works on, from the first evaluation to the last."""

    def __init__(self, run: Run):
        self.run, self.loop = run, compiled(run.cell, run.dtype)
        self.dtype = np.dtype(run.dtype)
        self.sizes = sizes_of(run)
        self.initial = weights_of(run)
        self.theta = packed(self.initial, self.dtype)
        self.grad = np.zeros_like(self.theta)
        self.memory = np.zeros((3, self.theta.size), self.dtype)
        self.settings = _optimizer_numbers(run)
        self.options, self.numbers = _options(run), _numbers(run)
        self.carried = np.zeros((2, run.layers, run.batch_size, run.hidden_size), self.dtype)
        self.training = Sequences(run, "training", run.length)
        self.evaluation = Sequences(run, "evaluation", run.evaluation_length)
        self.epoch = self._batches(run.sequences_per_epoch // run.batch_size) if run.data == "fixed" else None
        self._no_batches = self._batches(0)
        self.ahead = 4
        self.points = [self._evaluate(self.evaluation, run.eval_sequences)[0]]

    def option(self, name: str) -> int:
        """One of the loop's whole numbers."""
        return int(self.options[OPTIONS.index(name)])

    def number(self, name: str) -> float:
        """One of the loop's other numbers."""
        return float(self.numbers[NUMBERS.index(name)])

    def is_over(self) -> bool:
        """Diverged, out of budget, or solved for good."""
        solved = 0 < self.option("STOP_AFTER") <= self.option("CONSECUTIVE")
        return bool(self.option("DIVERGED") or solved or self.option("UPDATES") >= self.run.max_updates)

    def _draw(self, sequences: Sequences, n: int, groups: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`groups` groups of n: inputs (groups,T,n,I), labels (groups,T,n) int8, start states."""
        inputs, labels = sequences.draw(n * groups)
        starts = sequences.draw_starts(n * groups)
        starts = np.zeros((1, 0, 0, 0, 0)) if starts is None else starts.reshape(groups, n, *starts.shape[1:])
        inputs = inputs.reshape(groups, n, *inputs.shape[1:]).transpose(0, 2, 1, 3)
        labels = labels.reshape(groups, n, labels.shape[1]).transpose(0, 2, 1)
        contiguous = np.ascontiguousarray
        return contiguous(inputs, self.dtype), contiguous(labels, np.int8), contiguous(starts, self.dtype)

    def _batches(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self._draw(self.training, self.run.batch_size, count)

    def _call(self, batches: tuple, tests: tuple, points: np.ndarray) -> tuple[int, np.ndarray]:
        """Enter the loop: the evaluations done, and the right labels (n,T) of the last one."""
        correct = np.empty(tests[1].shape[:0:-1], np.uint8)
        done = self.loop.train_segment(
            self.theta, self.grad, self.memory, self.sizes, self.options, self.numbers, self.settings, *batches,
            self.carried, *tests, points, correct, np.zeros(2, np.int64),
        )  # fmt: skip
        return done, correct.astype(bool)

    def _evaluate(self, sequences: Sequences, n: int) -> tuple[np.ndarray, np.ndarray]:
        """One evaluation's row of points (1,6), and its right labels, on the next n sequences."""
        points = np.full((1, 6), math.nan)
        _, correct = self._call(self._no_batches, self._draw(sequences, n, 1), points)
        return points, correct

    def segment(self) -> None:
        """Train through the next few evaluations."""
        run = self.run
        left = run.max_updates - self.option("UPDATES")
        per_evaluation = (
            run.eval_every * run.sequences_per_update * run.length + run.eval_sequences * run.evaluation_length
        )
        ahead = max(1, min(self.ahead, MOST_AHEAD, MOST_NUMBERS // per_evaluation, -(-left // run.eval_every)))
        self.ahead *= 2
        updates = min(left, ahead * run.eval_every)
        batches = self.epoch or self._batches(updates * run.sequences_per_update // run.batch_size)
        tests = self._draw(self.evaluation, run.eval_sequences, ahead)
        points = np.empty((ahead, 6))
        if self.epoch is None:
            self.options[OPTIONS.index("NEXT_BATCH")] = 0
        done, _ = self._call(batches, tests, points)
        self.points.append(points[:done])

    def final_scores(self) -> tuple[Score | None, Score | None]:
        """At the test length and at ten times that; nothing for a diverged run."""
        run = self.run
        if self.option("DIVERGED"):
            return None, None
        asked = (
            ("final", run.evaluation_length, run.final_sequences),
            ("final, long", run.long_length, run.long_sequences),
        )
        seen = (self._evaluate(Sequences(run, purpose, length), n) for purpose, length, n in asked)
        final, long = (score(float(points[0, 2]), correct) for points, correct in seen)
        return final, long

    def curve(self) -> Curve:
        """What each evaluation saw."""
        update, *rest = np.concatenate(self.points).T
        return Curve(update.astype(np.int64), *rest)

    def weights(self) -> dict[str, np.ndarray]:
        """The weights as they are now, by parameter name, in torch's shapes."""
        return _unpacked(self.theta, self.initial)


def sizes_of(run: Run) -> np.ndarray:
    """What the loop has to know of a network's shape, in the order of `views` and its callers."""
    cell = CELLS[run.cell]
    own = cell.extra[1] if cell.extra else 0
    shape = (TASKS[run.task].input_size, run.hidden_size, len(cell.gates), run.layers, len(cell.states))
    return np.array([*shape, run.start == "learned", cell.recurrent, own, run.cell in TWO_PRODUCTS], np.int64)


def packed(weights: dict[str, np.ndarray], dtype: np.dtype) -> np.ndarray:
    """All weights in one vector, a layer's matrices transposed, as the loop's `views` find them."""
    return np.concatenate([_turned(name, array).ravel() for name, array in weights.items()]).astype(dtype)


def _unpacked(theta: np.ndarray, like: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The reverse of `packed`: copies, in the shapes of `like`."""
    found, first = {}, 0
    for name, array in like.items():
        flat = theta[first : first + array.size]
        found[name] = _turned(name, flat.reshape(_turned(name, array).shape)).copy()
        first += array.size
    return found


def _turned(name: str, array: np.ndarray) -> np.ndarray:
    return array.T if name.startswith("cell.weight") else array


def _optimizer_numbers(run: Run) -> np.ndarray:
    _, names = SETTINGS[find_optimizer(run.optimizer).torch_class]
    values = [run.optimizer_settings[name] for name in names]
    return np.hstack(values).astype(float)


def _numbers(run: Run) -> np.ndarray:
    numbers = np.zeros(len(NUMBERS))
    numbers[NUMBERS.index("LR")] = run.lr
    numbers[NUMBERS.index("CLIP_NORM")] = run.clip_norm or 0.0
    return numbers


def _options(run: Run) -> np.ndarray:
    values = {
        "MAX_UPDATES": run.max_updates,
        "EVAL_EVERY": run.eval_every,
        "BATCHES_PER_UPDATE": run.sequences_per_update // run.batch_size,
        "ACCUMULATE": run.accumulate,
        "START_KIND": STARTS[run.start],
        "ACROSS": run.state == "across_batches",
        "CUT": run.cut_every or 0,
        "RESET": run.state == "reset",
        "OPTIMIZER": SETTINGS[find_optimizer(run.optimizer).torch_class][0],
        "STOP_AFTER": run.solved_evaluations if run.stop_when_solved else 0,
    }
    return np.array([int(values.get(name, 0)) for name in OPTIONS], np.int64)
