"""Train runs with the fused engine, which does a whole run inside one compiled loop.

Numba compiles one loop per data type and two functions per cell. Their source is put together by
`build` from the modules `loop`, `layers`, `gates` and `lanes`. The loop does the forward pass,
back-propagation through time, the optimizer step, the evaluation and the decision to stop. Python
only draws the data, a few evaluations ahead, from the random streams that every engine uses.
`tests/test_fused.py` compares this engine with the reference, the torch engine.

The letters in shapes are T steps, n sequences, I inputs, H hidden size, S states of the cell (h and
perhaps c) and L layers. The processor computes with vectors of 8 float32 or 4 float64 numbers. Each
place in a vector is called a lane and belongs to one hidden unit. Arrays have space for the hidden
size rounded up to whole vectors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from time import perf_counter

import numpy as np

from study.engines import Curve, Outcome, never_stop
from study.engines.fused.build import (
    NUMBERS,
    OPTIONS,
    compiled,
    gates_of,
    is_compiled,
    marked,
    module_of,
    traits,
)
from study.engines.fused.lanes import COUNT
from study.model import CELLS, TASKS, Score, find_optimizer, lacks, score
from study.runs import Run, Sequences, weights_of

__all__ = [
    "Training", "gates_of", "is_ready", "marked", "module_of", "prepare", "train", "traits",
    "unavailable",
]  # fmt: skip

STARTS = {"zeros": 0, "learned": 1, "normal": 2}
# For each class of torch.optim: its number in the loop, and its settings in the loop's order.
SETTINGS = {
    "SGD": (0, ("momentum", "dampening", "weight_decay", "nesterov")),
    "RMSprop": (1, ("alpha", "eps", "weight_decay", "momentum", "centered")),
    "Adagrad": (2, ("lr_decay", "weight_decay", "initial_accumulator_value", "eps")),
    "Adam": (3, ("betas", "eps", "weight_decay", "amsgrad")),
    "AdamW": (4, ("betas", "eps", "weight_decay", "amsgrad")),
}
MOST_AHEAD = 32  # the largest number of evaluations for which data are drawn at a time
MOST_NUMBERS = 2_000_000  # the most inputs drawn at a time, unless one evaluation needs more
AT_A_TIME = 16_384  # numbers of hidden states evaluated at a time: so many fit into the L1 cache
ALIGNMENT = 64  # bytes: a cache line


def unavailable(run: Run) -> str | None:
    """Return why the fused engine cannot train the run, or None if it can."""
    return lacks(run.cell, find_optimizer(run.optimizer).torch_class, run.device)


def is_ready(run: Run) -> bool:
    """Return whether the loop for the run's cell and data type is compiled on this machine."""
    return is_compiled(run.cell, run.dtype)


def prepare(run: Run) -> None:
    """Compile the loop for the run's cell and data type, once for all processes on this machine."""
    compiled(run.cell, run.dtype)


def train(run: Run, check: Callable[[], None] = never_stop) -> Outcome:
    """Train one run until it has solved the task, used up its updates, or diverged.

    `check` is called before the first update and after every few evaluations. It may raise an
    exception to stop the training.
    """
    return _outcome(Training(run), check)


def _outcome(training: Training, check: Callable[[], None]) -> Outcome:
    check()
    while not training.is_over():
        training.segment()
        check()
    # Read DIVERGED now, since the evaluation on long sequences may set it too.
    diverged = training.option("DIVERGED") or None
    started = perf_counter()
    final, long = training.final_scores()
    return Outcome(
        curve=training.curve(),
        updates=training.option("UPDATES"),
        diverged_update=diverged,
        final=final,
        long=long,
        weights=training.weights(),
        train_seconds=training.train_seconds,
        evaluation_seconds=training.evaluation_seconds,
        final_seconds=perf_counter() - started,
    )


class Training:
    """A run in training. It holds the arrays on which the loop works, and calls the loop."""

    def __init__(self, run: Run):
        self.run, self.loop = run, compiled(run.cell, run.dtype)
        self.dtype = np.dtype(run.dtype)
        self.sizes, self.layout = sizes_of(run), layout_of(run)
        self.initial = weights_of(run)
        self.theta = packed(run, self.initial, self.dtype)
        self.grad = _aligned(self.theta.size, self.dtype)
        self.memory = _aligned(3 * self.theta.size, self.dtype).reshape(3, -1)
        self.room = _training_room(run, self.theta.size, self.dtype)
        self.test_rooms: dict[tuple[int, int], tuple[np.ndarray, ...]] = {}
        self.settings = _optimizer_numbers(run)
        self.options, self.numbers = _options(run), _numbers(run)
        self.carried = np.zeros(2 * run.layers * run.batch_size * padded(run), self.dtype)
        self.training = Sequences(run, "training", run.length)
        self.evaluation = Sequences(run, "evaluation", run.evaluation_length)
        self.ahead = 4
        started = perf_counter()  # as in every engine, drawing the data counts as training
        epoch_batches = run.sequences_per_epoch // run.batch_size
        self.epoch = self._batches(epoch_batches) if run.data == "fixed" else None
        self.train_seconds = perf_counter() - started
        self._no_batches = self._batches(0)
        self.points = [self._evaluate(self.evaluation, run.eval_sequences)[0]]
        self.points[0][:, 5] = self.train_seconds
        self.evaluation_seconds = perf_counter() - started - self.train_seconds

    def option(self, name: str) -> int:
        """Return the value of the loop's integer variable `name`, which is one of OPTIONS."""
        return int(self.options[OPTIONS.index(name)])

    def set_option(self, name: str, value: int) -> None:
        """Set the loop's integer variable `name`, which is one of OPTIONS, to `value`."""
        self.options[OPTIONS.index(name)] = value

    def is_over(self) -> bool:
        """Return whether the run has diverged, used up its updates, or solved the task.

        Solving the task ends only a run whose settings say so (`stop_when_solved`).
        """
        solved = 0 < self.option("STOP_AFTER") <= self.option("CONSECUTIVE")
        spent = self.option("UPDATES") >= self.run.max_updates
        return bool(self.option("DIVERGED") or solved or spent)

    def draw(self, sequences: Sequences, n: int, groups: int) -> tuple[np.ndarray, ...]:
        """Draw `groups` groups of n sequences, and return their inputs, labels and start states.

        The three arrays have one row per group. The inputs are (groups, T*n*I) and the labels are
        (groups, T*n) int8. The start states are (groups, n*S*L*H), or (1, 0) if the run draws no
        start states.
        """
        inputs, labels = sequences.draw(n * groups)
        starts = sequences.draw_starts(n * groups)
        shape = () if starts is None else (groups, n, *starts.shape[1:])
        starts = np.zeros((1, 0)) if starts is None else starts.reshape(shape)
        inputs = inputs.reshape(groups, n, *inputs.shape[1:]).transpose(0, 2, 1, 3)
        labels = labels.reshape(groups, n, labels.shape[1]).transpose(0, 2, 1)
        arrays = ((inputs, self.dtype), (labels, np.dtype(np.int8)), (starts, self.dtype))
        return tuple(_flat(array, dtype) for array, dtype in arrays)

    def _batches(self, count: int) -> tuple[np.ndarray, ...]:
        return self.draw(self.training, self.run.batch_size, count)

    def enter(
        self, batches: tuple, tests: tuple, shape: tuple[int, int], points: np.ndarray
    ) -> tuple[int, np.ndarray]:
        """Call the loop with training batches and evaluation sequences.

        `batches` and `tests` are the results of `draw` for training and for evaluation. `shape` is
        the pair (T, n), where an evaluation has n sequences of T steps. The loop writes one row of
        measurements per evaluation into `points`. Returns the number of evaluations done, and a
        bool array (n, T) that says which labels were right in the last evaluation.
        """
        steps, n = shape
        chunk = max(1, min(n, AT_A_TIME // ((steps + 1) * padded(self.run))))
        if shape not in self.test_rooms:
            self.test_rooms[shape] = _test_room(self.run, steps, chunk, self.dtype)
        correct = np.empty(n * steps, np.uint8)
        done = self.loop(
            self.theta, self.grad, self.memory, self.layout, self.sizes, self.options, self.numbers,
            self.settings, *batches, self.carried, *tests, np.array([steps, n, chunk]), points,
            correct, self.room, self.test_rooms[shape], np.zeros(2, np.int64),
        )  # fmt: skip
        return done, correct.reshape(n, steps).astype(bool)

    def _evaluate(self, sequences: Sequences, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Evaluate the network on the next n sequences.

        Returns two arrays. The first (1, 6) is one row of measurements, which `train_segment` in
        `loop` describes. The second (n, T) is bool and says which labels were right.
        """
        points = np.full((1, 6), math.nan)
        tests = self.draw(sequences, n, 1)
        _, correct = self.enter(self._no_batches, tests, (sequences.length, n), points)
        return points, correct

    def segment(self) -> None:
        """Draw the data for the next few evaluations, and train until these evaluations are done.

        Each call draws data for twice as many evaluations as the call before, up to a limit.
        """
        run, started, looped = self.run, perf_counter(), self._looped()
        left = run.max_updates - self.option("UPDATES")
        training = run.eval_every * run.sequences_per_update * run.length
        per_evaluation = training + run.eval_sequences * run.evaluation_length
        most = min(MOST_AHEAD, MOST_NUMBERS // per_evaluation, -(-left // run.eval_every))
        ahead = max(1, min(self.ahead, most))
        self.ahead *= 2
        updates = min(left, ahead * run.eval_every)
        batches = self.epoch or self._batches(updates * run.sequences_per_update // run.batch_size)
        drawn = perf_counter()
        tests = self.draw(self.evaluation, run.eval_sequences, ahead)
        drawing = perf_counter() - drawn
        points = np.empty((ahead, 6))
        if self.epoch is None:
            self.set_option("NEXT_BATCH", 0)
        done, _ = self.enter(batches, tests, (run.evaluation_length, run.eval_sequences), points)
        self._count(started, drawing, looped, points[:done])
        self.points.append(points[:done])

    def _looped(self) -> np.ndarray:
        """Return the seconds of training and of evaluation that the loop has measured so far."""
        return self.numbers[[NUMBERS.index(f"{part}_SECONDS") for part in ("TRAIN", "EVALUATION")]]

    def _count(
        self, started: float, drawing: float, looped: np.ndarray, points: np.ndarray
    ) -> None:
        """Add the seconds of one segment to the totals, and correct the seconds in its `points`.

        `started` is the time at which the segment began, `drawing` the seconds spent drawing data
        for evaluation, and `looped` what `_looped` returned before the segment. As in every engine,
        all time except evaluation counts as training. The loop measures only a part of the training
        time, so the training times in `points` are scaled up to the whole.
        """
        trained, evaluated = (self._looped() - looped).tolist()
        seconds = perf_counter() - started - drawing - evaluated
        share = seconds / max(trained, 1e-9)
        points[:, 5] = self.train_seconds + (points[:, 5] - looped[0]) * share
        self.train_seconds += seconds
        self.evaluation_seconds += drawing + evaluated

    def final_scores(self) -> tuple[Score | None, Score | None]:
        """Return the scores at the test length and at ten times the test length.

        Both are None if the run diverged.
        """
        run = self.run
        if self.option("DIVERGED"):
            return None, None
        final = self._score(Sequences(run, "final", run.evaluation_length), run.final_sequences)
        long = self._score(Sequences(run, "final, long", run.long_length), run.long_sequences)
        return final, long

    def _score(self, sequences: Sequences, n: int) -> Score:
        points, correct = self._evaluate(sequences, n)
        return score(float(points[0, 2]), correct)

    def curve(self) -> Curve:
        """Return the measurements of all evaluations so far."""
        update, *rest = np.concatenate(self.points).T
        return Curve(update.astype(np.int64), *rest)

    def weights(self) -> dict[str, np.ndarray]:
        """Return the current weights by parameter name, in torch's shapes."""
        return {name: self.theta[place] for name, place in places(self.run, self.initial).items()}


def padded(run: Run) -> int:
    """Return the hidden size rounded up to whole vectors of lanes, as in the loop's arrays."""
    lanes = COUNT[run.dtype]
    return -(-run.hidden_size // lanes) * lanes


def sizes_of(run: Run) -> np.ndarray:
    """Return the sizes of the run's network and of its batches, in the order of SIZES.

    The loop needs these sizes. They are an int64 array of the shape (len(SIZES),).
    """
    cell, inputs = CELLS[run.cell], TASKS[run.task].input_size
    shape = (inputs, run.hidden_size, padded(run), len(cell.gates), run.layers, len(cell.states))
    kept, learned = traits(run.cell)["KEPT"], run.start == "learned"
    return np.array([*shape, kept, learned, run.length, run.batch_size], np.int64)


def layout_of(run: Run) -> np.ndarray:
    """Return where each weight begins in `theta`, the vector of all weights.

    The result is an int64 array (L + 1, 6) of indices in `theta`. Each of the L layers has a row.
    The row holds the number of inputs of the layer, and then the indices at which wx, wh, bx, bh
    and own begin. wx and bx are the matrix and the bias for the input. wh and bh are the matrix and
    the bias for the previous state. own holds weights that only some cells have, such as peepholes.
    The last row holds the indices at which the readout's matrix, the readout's biases and the start
    states begin. If the cell has no recurrent matrix, the indices of wh and bh are -1 and are never
    read.
    """
    cell, inputs, room = CELLS[run.cell], TASKS[run.task].input_size, padded(run)
    row, at, rows = len(cell.gates) * room, 0, []
    for layer in range(run.layers):
        width = run.hidden_size if layer else inputs
        wx, wh = at, at + width * row
        bx = wh + (run.hidden_size * row if cell.recurrent else 0)
        bh = bx + row
        own = bh + (row if cell.recurrent else 0)
        wh, bh = (wh, bh) if cell.recurrent else (-1, -1)
        rows.append([width, wx, wh, bx, bh, own])
        at = own + (cell.extra[1] * room if cell.extra else 0)
    biases = at + 2 * room
    return np.array([*rows, [at, biases, biases + COUNT[run.dtype], 0, 0, 0]], np.int64)


def places(run: Run, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the positions of the numbers of each weight in `theta`, by the weight's name.

    `theta` is the vector of all weights, and the positions are indices. The indices of a weight are
    an array of the same shape as the weight of this name in `weights`, which is torch's shape.
    """
    cell, hidden, lanes, layout = CELLS[run.cell], run.hidden_size, COUNT[run.dtype], layout_of(run)
    gates, states, blocks = len(cell.gates), len(cell.states), padded(run) // lanes
    readout, biases, start = layout[-1, :3]

    def numbers(first: int, *shape: int) -> np.ndarray:
        return np.arange(first, first + math.prod(shape)).reshape(shape)

    def of_units(first: int, rows: int, parts: int) -> np.ndarray:
        """Return an array of the indices in `theta` at which the numbers of a weight lie.

        The array has the shape (parts, hidden, rows), and its axes are in torch's order. In
        `theta`, the weight begins at index `first` and has the order (blocks, rows, parts, lanes).
        A block is one vector of hidden units. A part is a gate or, for the weights that only some
        cells have, one of these weights.
        """
        found = numbers(first, blocks, rows, parts, lanes).transpose(2, 0, 3, 1)
        return found.reshape(parts, blocks * lanes, rows)[:, :hidden]

    found = {}
    for layer, (inputs, wx, wh, bx, bh, own) in enumerate(layout[:-1]):
        parts = {"weight_ih": (wx, inputs, gates), "bias_ih": (bx, 1, gates)}
        if cell.recurrent:
            parts |= {"weight_hh": (wh, hidden, gates), "bias_hh": (bh, 1, gates)}
        if cell.extra:
            parts[cell.extra[0]] = (own, 1, cell.extra[1])
        found |= {f"cell.{name}_l{layer}": of_units(*part) for name, part in parts.items()}
    found["readout.weight"] = numbers(readout, 2, blocks * lanes)[:, :hidden]
    found["readout.bias"] = numbers(biases, 2)
    if run.start == "learned":
        starts = numbers(start, states, run.layers, blocks * lanes)[..., :hidden]
        found |= {f"start.{name}": starts[i] for i, name in enumerate(cell.states)}
    return {name: found[name].reshape(array.shape) for name, array in weights.items()}


def packed(run: Run, weights: dict[str, np.ndarray], dtype: np.dtype) -> np.ndarray:
    """Return all weights in one vector, in the order of `layout_of`.

    The vector also has zeros for the units by which the hidden size is rounded up.
    """
    start = len(CELLS[run.cell].states) * run.layers * padded(run) if run.start == "learned" else 0
    theta = _aligned(int(layout_of(run)[-1, 2]) + start, dtype)
    for name, place in places(run, weights).items():
        theta[place] = weights[name]
    return theta


def _aligned(size: int, dtype: np.dtype) -> np.ndarray:
    """Return an array of `size` zeros whose first number is at the beginning of a cache line.

    A vector of lanes that lies across two cache lines would take twice as long to load.
    """
    room = np.zeros(size + ALIGNMENT // dtype.itemsize, dtype)
    first = -room.__array_interface__["data"][0] % ALIGNMENT // dtype.itemsize
    return room[first : first + size]


def _aligned_parts(sizes: Sequence[int], dtype: np.dtype) -> tuple[np.ndarray, ...]:
    """Return arrays of zeros with the given sizes, which are all parts of one larger array.

    Each array starts at the beginning of a cache line.
    """
    line = ALIGNMENT // dtype.itemsize
    firsts = list(accumulate((-(-size // line) * line for size in sizes), initial=0))
    room = _aligned(firsts[-1], dtype)
    return tuple(room[first : first + size] for first, size in zip(firsts, sizes, strict=False))


def _training_room(run: Run, weights: int, dtype: np.dtype) -> tuple[np.ndarray, ...]:
    """Return the arrays in which `train_batch` in `loop` works.

    They are in the order in which `train_batch` unpacks its argument `room`. `weights` is the
    number of weights.
    """
    room, layers, own = padded(run), run.layers, traits(run.cell)
    n, row = run.length * run.batch_size, own["GATES"] * room
    each, states = n * room, layers * (run.length + 1) * run.batch_size * room
    turned = 2 * own["GATES"] * room * room
    batch = run.batch_size * room
    sizes = (
        states, states, layers * each * own["KEPT"], layers * each, room, n, n, room, each, each,
        n * row, n * row, batch, batch, 2 * room, turned, weights,
    )  # fmt: skip
    found = _aligned_parts(sizes, dtype)
    found[4][: run.hidden_size] = 1  # mask
    found[5][:] = 1  # ones
    return found


def _test_room(run: Run, steps: int, n: int, dtype: np.dtype) -> tuple[np.ndarray, ...]:
    """Return the arrays in which `evaluate` in `loop` works.

    They are in the order in which `evaluate` unpacks its argument `room`. They have space for n
    sequences of `steps` steps.
    """
    room, inputs = padded(run), TASKS[run.task].input_size
    states, kept = run.layers * (steps + 1) * n * room, n * room * traits(run.cell)["KEPT"]
    found = _aligned_parts((states, states, kept, n * room, room, room, steps * n * inputs), dtype)
    found[4][: run.hidden_size] = 1  # mask
    return found


def _flat(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return the array with its first axis kept, and with all other axes merged into one."""
    return np.ascontiguousarray(array, dtype).reshape(len(array), math.prod(array.shape[1:]))


def _optimizer_numbers(run: Run) -> np.ndarray:
    _, names = SETTINGS[find_optimizer(run.optimizer).torch_class]
    return np.hstack([run.optimizer_settings[name] for name in names]).astype(float)


def _numbers(run: Run) -> np.ndarray:
    values = {"LR": run.lr, "CLIP_NORM": run.clip_norm or 0.0}
    return np.array([values.get(name, 0.0) for name in NUMBERS])


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
