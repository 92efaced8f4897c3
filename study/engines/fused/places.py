"""Where everything lies in the arrays of the compiled loop: weights, states, gradients."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from study.engines.fused.build import PLACES, traits
from study.engines.fused.lanes import COUNT, SLOTS, UNITS
from study.model import CELLS, TASKS
from study.runs import Run, shapes_of

AT_A_TIME = 16_384  # numbers of hidden states evaluated at a time: so many fit into the L1 cache
ALIGNMENT = 64  # bytes: a cache line
NEVER = -1e30  # the logit of an idle class, which is never answered
ONES, SHARE = PLACES.index("ONES"), PLACES.index("SHARE")
MOST_KEPT = 4096  # networks and batches of as many shapes keep their tables
SHAPE = ("cell", "hidden_size", "layers", "task", "start", "state", "cut_every", "dtype")
_kept: dict[tuple[object, ...], Places] = {}
_scratch: dict[tuple[str, np.dtype], np.ndarray] = {}


def places_of(run: Run, steps: int, n: int, *, learns: bool, runs: int = 1) -> Places:
    """Return the `Places` of a run. Runs with networks of the same shape share them."""
    key = (*(getattr(run, name) for name in SHAPE), steps, n, learns, runs)
    if key not in _kept:
        if len(_kept) >= MOST_KEPT:
            _kept.clear()
        _kept[key] = Places(run, steps, n, learns=learns, runs=runs)
    return _kept[key]


class Places:
    """Where the parts of a run's network lie in the loop's arrays, for batches of one shape.

    The batches have n sequences of `steps` steps for each of the `runs` side by side. `table`
    (L + 1, places) is what `layers` and `loop` call `at`. `order` (weights) says which of torch's
    weights, one after another, is at each place of the loop's; -1 stands for a weight of an idle
    unit. `where` says the reverse: at which of the loop's places each of torch's weights is. `idle`
    are the numbers of idle weights, and `rest` what they stay at. `starts` is the size of the start
    states of one batch. If `learns` is false, there is space for a forward pass only.
    """

    def __init__(self, run: Run, steps: int, n: int, *, learns: bool, runs: int = 1):
        self.dtype, self.steps, self.n, self.runs = np.dtype(run.dtype), steps, n, runs
        self.learns = learns
        self.order, rows = arrangement(run)
        self.idle = np.flatnonzero(self.order < 0)
        self.where = np.argsort(self.order)[self.idle.size :]
        out = rows[-1]
        last_bias = (out["BX"] + (out["UNITS"] // 2 - 1) * out["PAIR"]) // SLOTS + 1
        self.rest = np.where(self.idle == last_bias, NEVER, 0).astype(run.dtype)
        own, state = traits(run.cell), rows[0]["UNITS"] * SLOTS
        classes = rows[-1]["UNITS"] * SLOTS
        self.room, self.blocks = 0, -(-n // SLOTS)
        if not learns:
            self.blocks = max(1, min(self.blocks, AT_A_TIME // ((steps + 1) * state)))
        each, gates = steps * self.blocks, own["GATES"]
        back = each * learns
        sizes = {
            "ONES": SLOTS * 2, "DA": max(gates * back * state, each * classes),
            "DR": gates * back * state, "DH": self.blocks * state * learns,
            "DC": self.blocks * state * learns, "SHARE": self.blocks * COUNT,
            "WRONG": self.blocks * COUNT, "SOONEST": self.blocks * COUNT,
        }  # fmt: skip
        # Places that all layers share.
        common = {name: self._taken(size) for name, size in sizes.items()} | {
            "STEPS": steps, "BLOCKS": self.blocks, "SEQUENCES": n, "KEEP": int(learns),
            "RESET": int(run.state == "reset"), "CUT": run.cut_every or 0,
            "STATES": len(CELLS[run.cell].states), "COUNTED": 2 * COUNT,
            "LABEL_STEP": (self.blocks if learns else 1) * SLOTS,
            "LABEL_BLOCK": (1 if learns else steps) * SLOTS,
        }  # fmt: skip
        outputs = [self._taken(back * state), self._taken(back * state)]
        for layer, row in enumerate(rows):
            row.update(common, DOWN=int(layer > 0), XBLOCK=row["WIDTH"] * SLOTS)
            row["XSTEP"] = row["XBLOCK"] * (self.blocks if learns else 1)
            row["DOUT"] = outputs[(run.layers - layer) % 2]
            row["DX"] = outputs[(run.layers - layer + 1) % 2]
            if layer == 0 and not learns:
                row["XBLOCK"] *= steps
            if layer < run.layers:
                for name in ("HS", "CS"):
                    row[name] = self._taken((each + self.blocks) * state)
                row["KEPTS"] = self._taken(own["KEPT"] * (each if learns else 1) * state)
                row["US"] = self._taken((back or 1) * state)
        self.table = np.array([[row.get(name, 0) for name in PLACES] for row in rows], np.int64)
        self.starts = -(-n // SLOTS) * 2 * run.layers * state

    def _taken(self, size: int) -> int:
        """Take `size` numbers of `room`, from the beginning of a cache line; return their place."""
        place, line = self.room, ALIGNMENT // self.dtype.itemsize
        self.room += -(-size // line) * line
        return place

    def wide(self, name: str) -> np.ndarray:
        """Return the scratch array of this name for the weights and their gradients, in lanes."""
        return scratch(name, 2 * SLOTS * self.order.size, self.dtype).reshape(2, -1)

    def rooms(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the scratch arrays `room` and, of float64, `exactly`, in which the loop works."""
        last, used = self.table[-1], counted(self.n * self.runs)
        room = scratch(f"room {self.learns}", self.room, self.dtype)
        exactly = scratch(f"exactly {self.learns}", 2 * COUNT + used.size, np.dtype(float))
        exactly[2 * COUNT :] = used
        room[last[ONES] :][:SLOTS] = 1
        if self.learns:
            slots = used.reshape(-1, UNITS, SLOTS)
            shares = room[last[SHARE] :][: used.size].reshape(slots.shape)
            shares[:] = slots[:, :1] / (self.steps * self.n)
        return room, exactly


def scratch(name: str, size: int, dtype: np.dtype) -> np.ndarray:
    """Return an array that holds nothing from one call of the loop to the next, so all share it."""
    key = name, dtype
    if key not in _scratch or _scratch[key].size < size:
        _scratch[key] = aligned(size, dtype)
    return _scratch[key][:size]


@cache
def counted(sequences: int) -> np.ndarray:
    """Return blocks of COUNT numbers: 1 in the first half of a slot with a sequence, else 0."""
    blocks = np.zeros((-(-sequences // SLOTS), UNITS, SLOTS))
    blocks[:, 0] = np.arange(len(blocks) * SLOTS).reshape(-1, SLOTS) < sequences
    return blocks.ravel()


def arrangement(run: Run) -> tuple[np.ndarray, list[dict[str, int]]]:
    """Return the order of the weights (see `Places`), and their places in `wide`, layer by layer.

    The readout's places follow those of the layers. `layers` explains the order.
    """
    cell, task, first, numbers = CELLS[run.cell], TASKS[run.task], 0, {}
    for name, shape in shapes_of(run).items():
        numbers[name] = np.arange(first, first := first + math.prod(shape)).reshape(shape)
    parts, rows, size = [], [], 0
    for layer in range(run.layers + 1):
        shape = (
            ("readout.weight", "readout.bias")
            if layer == run.layers
            else (f"cell.weight_ih_l{layer}", f"cell.bias_ih_l{layer}")
        )
        units = len(numbers["readout.bias"]) if layer == run.layers else run.hidden_size
        width = _even(run.hidden_size) if layer else task.input_size
        matrices = {"WX": (shape[0], width), "BX": (shape[1], 1)}
        if layer < run.layers and cell.recurrent:
            matrices["WH"] = f"cell.weight_hh_l{layer}", _even(run.hidden_size)
            matrices["BH"] = f"cell.bias_hh_l{layer}", 1
        if layer < run.layers and cell.extra:
            matrices["OWNS"] = f"cell.{cell.extra[0]}_l{layer}", 1
        row, blocks, pair = {"UNITS": _even(units), "WIDTH": width}, [], 0
        for key, (name, columns) in matrices.items():
            block = _in_pairs(numbers[name], units, columns)
            row[key] = (size + pair) * SLOTS
            pair += block.shape[1]
            blocks.append(block)
        row["PAIR"] = pair * SLOTS
        size += pair * _even(units) // 2
        parts.append(np.concatenate(blocks, axis=1).ravel())
        rows.append(row)
    for name, key in (("start.h", "H0"), ("start.c", "C0")):
        if name in numbers:
            start = numbers[name].reshape(run.layers, -1)
            parts.append(_padded(start, 1, _even(run.hidden_size)).ravel())
            for layer in range(run.layers):
                rows[layer][key] = (size + layer * _even(run.hidden_size)) * SLOTS
            size += parts[-1].size
    return np.concatenate(parts), rows


def _in_pairs(weights: np.ndarray, units: int, columns: int) -> np.ndarray:
    """Return the numbers of weights (gates * units, ...) in the order (pairs of units, rest).

    The rest is in the order (columns, gates, 2). Columns that the weights lack are idle.
    """
    weights = weights.reshape(-1, units, weights.size // len(weights))
    weights = _padded(_padded(weights, 1, _even(units)), 2, columns)
    pairs = weights.reshape(len(weights), -1, UNITS, columns).transpose(1, 3, 0, 2)
    return pairs.reshape(len(pairs), -1)


def _padded(array: np.ndarray, axis: int, size: int) -> np.ndarray:
    """Return `array` with -1 added at the end of an axis, which then has the given size."""
    after = [(0, size - array.shape[axis] if i == axis else 0) for i in range(array.ndim)]
    return np.pad(array, after, constant_values=-1)


def _even(size: int) -> int:
    """Return the number of units in whole pairs."""
    return size + size % 2


def aligned(size: int, dtype: np.dtype) -> np.ndarray:
    """Return an array of `size` zeros whose first number is at the beginning of a cache line.

    A vector of lanes that lies across two cache lines would take twice as long to load.
    """
    room = np.zeros(size + ALIGNMENT // dtype.itemsize, dtype)
    first = -room.__array_interface__["data"][0] % ALIGNMENT // dtype.itemsize
    return room[first : first + size]
