"""Draw the data of runs in the order in which the compiled loop reads them.

Runs with the same seed and task draw the same sequences, so what one run has drawn is kept for the
next. `study.grid` therefore trains the runs of a seed one after another.
"""

from __future__ import annotations

import math

import numpy as np

from study.engines.fused.lanes import SLOTS
from study.model import CELLS
from study.runs import Run, Sequences

Data = tuple[np.ndarray, np.ndarray, np.ndarray]  # inputs, labels and start states
MOST_KEPT = 32  # streams whose data are kept
MOST_NUMBERS = 4_000_000  # numbers kept per stream; what was drawn before is drawn again if needed
GROUPS_BACK = 256  # groups that are kept none the less, for a run that goes back some updates
_kept: dict[tuple[object, ...], Feed] = {}


def feed_of(run: Run, purpose: str, length: int, n: int, *, by_step: bool = False) -> Feed:
    """Return the `Feed` for a run and a purpose, such as "training". Runs may share it."""
    key = (run.data_key, run.data, purpose, length, n, by_step, run.dtype, run.task)
    key += tuple(run.task_settings.values())
    if run.start == "normal":
        key += (run.layers, run.hidden_size, CELLS[run.cell].states)
    feed = _kept.pop(key, None) or Feed(run, purpose, length, n, by_step=by_step)
    _kept[key] = feed  # the one used last comes last
    if len(_kept) > MOST_KEPT:
        del _kept[next(iter(_kept))]
    return feed


class Feed:
    """Groups of n sequences of a run's task, for example batches, drawn from one random stream.

    The sequences of a group are taken eight at a time; where they do not suffice for the last block
    of eight, they begin again. Each group is a row of three arrays: inputs (blocks, T, I, 8),
    labels (blocks, T, 8) and start states (blocks, 2, L, P, 8), which are left out if the run draws
    none. If `by_step` is true, the axis of steps comes before that of blocks.
    """

    def __init__(self, run: Run, purpose: str, length: int, n: int, *, by_step: bool = False):
        self.run, self.purpose, self.length, self.n, self.by_step = run, purpose, length, n, by_step
        self._begin()

    def _begin(self) -> None:
        self.sequences, self.first, self.end = Sequences(self.run, self.purpose, self.length), 0, 0
        self.drawn = self._draw(0)

    def take(self, first: int, count: int) -> Data:
        """Return `count` groups, from number `first` on."""
        if first < self.first:
            self._begin()
        if first + count > self.end:
            old = self.drawn
            if sum(array.size for array in old) > MOST_NUMBERS:
                kept = max(self.first, first - GROUPS_BACK)
                old, self.first = _cut(old, kept - self.first, None), kept
            more = max(first + count - self.end, len(old[0]) // 4)  # so that it is copied seldom
            parts = zip(old, self._draw(more), strict=True)
            inputs, labels, starts = (np.concatenate(arrays) for arrays in parts)
            self.drawn = inputs, labels, starts
        return _cut(self.drawn, first - self.first, first - self.first + count)

    def _draw(self, count: int) -> Data:
        """Draw the next `count` groups."""
        inputs, labels = self.sequences.draw(self.n * count)
        starts = self.sequences.draw_starts(self.n * count)
        self.end += count
        order = (0, 3, 1, 4, 2) if self.by_step else (0, 1, 3, 4, 2)
        drawn = np.zeros((count, 0), self.run.dtype)
        if starts is not None:
            _, states, _, hidden = starts.shape
            fill = ((0, 0), (0, 2 - states), (0, 0), (0, hidden % 2))
            drawn = self._in_blocks(np.pad(starts, fill), (0, 1, 3, 4, 5, 2))
        return self._in_blocks(inputs, order), self._in_blocks(labels[..., None], order), drawn

    def _in_blocks(self, array: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
        """Return sequences (n * groups, ...) in blocks of eight, with the axes in `order`."""
        n, groups, blocks = self.n, len(array) // self.n, -(-self.n // SLOTS)
        array = array.reshape(groups, n, *array.shape[1:])
        if n % SLOTS:
            array = array[:, np.arange(blocks * SLOTS) % n]
        array = array.reshape(groups, blocks, SLOTS, *array.shape[2:]).transpose(order)
        rest = math.prod(array.shape[1:])
        return np.ascontiguousarray(array, self.run.dtype).reshape(groups, rest)


def _cut(data: Data, first: int, end: int | None) -> Data:
    inputs, labels, starts = (array[first:end] for array in data)
    return inputs, labels, starts


def side_by_side(parts: list[Data], slots: int) -> Data:
    """Return batches of several runs in one: run r has the slots from r `slots` on.

    The batches of each run have `slots` sequences, which their slots repeat again and again.
    """
    mixed = tuple(array.copy() for array in parts[0])
    for r, part in enumerate(parts[1:], 1):
        for array, other in zip(mixed, part, strict=True):
            here = np.s_[..., r * slots : (r + 1) * slots]
            array.reshape(len(array), -1, SLOTS)[here] = other.reshape(len(other), -1, SLOTS)[here]
    inputs, labels, starts = mixed
    return inputs, labels, starts
