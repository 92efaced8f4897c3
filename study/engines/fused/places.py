"""Where everything lies in the arrays of the compiled loop: weights, states, gradients."""

from __future__ import annotations

import math

import numpy as np

from study.engines.fused.build import PLACES, traits
from study.engines.fused.lanes import COUNT, SLOTS, UNITS
from study.model import CELLS, CLASSES, TASKS
from study.runs import Run, shapes_of

AT_A_TIME = 16_384  # numbers of hidden states evaluated at a time: so many fit into the L1 cache
ALIGNMENT = 64  # bytes: a cache line


MOST_KEPT = 64  # networks and batches of as many shapes keep their arrays
SHAPE = ("cell", "hidden_size", "layers", "task", "start", "state", "cut_every", "dtype")
_kept: dict[tuple[object, ...], Places] = {}


def places_of(run: Run, steps: int, n: int, *, learns: bool, runs: int = 1) -> Places:
    """Return the `Places` of a run. Runs with networks of the same shape share them.

    The shared arrays hold nothing from one call of the loop to the next.
    """
    key = (*(getattr(run, name) for name in SHAPE), steps, n, learns, runs)
    if key not in _kept:
        if len(_kept) >= MOST_KEPT:
            _kept.clear()
        _kept[key] = Places(run, steps, n, learns=learns, runs=runs)
    return _kept[key]


class Places:
    """Where the parts of a run's network lie in the loop's arrays, for batches of one shape.

    The batches have n sequences of `steps` steps for each of the `runs` side by side. `table`
    (L + 1, places) is what `layers` and `loop` call `at`. `wide` and `starts` are the sizes of the
    weights repeated in lanes, and of the start states of one batch. `rooms` are the arrays `room`
    and, of float64, `exactly`, in which the loop works. If `learns` is false, they have space for a
    forward pass only.
    """

    def __init__(self, run: Run, steps: int, n: int, *, learns: bool, runs: int = 1):
        cell, hidden = CELLS[run.cell], run.hidden_size
        self.dtype, self.steps, self.n, self.runs = np.dtype(run.dtype), steps, n, runs
        self.room = self.wide = 0
        state, classes = _even(hidden) * SLOTS, _even(CLASSES)
        self.blocks = -(-n // SLOTS)
        if not learns:
            self.blocks = max(1, min(self.blocks, AT_A_TIME // ((steps + 1) * state)))
        each, own = steps * self.blocks, traits(run.cell)
        gates, kept = own["GATES"], own["KEPT"] * (each if learns else 1)
        theta, inputs = _theta(run), TASKS[run.task].input_size
        # Places that all layers share.
        common = {
            "STEPS": steps, "BLOCKS": self.blocks, "SEQUENCES": n, "KEEP": int(learns),
            "RESET": int(run.state == "reset"), "CUT": run.cut_every or 0,
            "STATES": len(cell.states), "ONES": self._taken(SLOTS * 2),
        }  # fmt: skip
        back = each * learns
        outputs = [self._taken(back * state), self._taken(back * state)]
        for name, size in {
            "DA": max(gates * back * state, each * classes * SLOTS), "DR": gates * back * state,
            "DH": self.blocks * state * learns, "DC": self.blocks * state * learns,
            "DSTART": 2 * state, "SHARE": self.blocks * COUNT, "WRONG": self.blocks * COUNT,
            "SOONEST": self.blocks * COUNT,
        }.items():  # fmt: skip
            common[name] = self._taken(size)
        rows = []
        for layer in range(run.layers):
            width = hidden if layer else inputs
            row = common | {
                "HIDDEN": hidden, "WIDTH": width, "OF_GATES": gates, "OF_OWN": own["OWN"],
                "DOWN": int(layer > 0), **theta[layer],
                "HS": self._taken((each + self.blocks) * state),
                "CS": self._taken((each + self.blocks) * state),
                "KEPTS": self._taken(kept * state), "US": self._taken((back or 1) * state),
                "DOUT": outputs[(run.layers - layer) % 2],
                "DX": outputs[(run.layers - layer + 1) % 2],
            }  # fmt: skip
            part = inputs * SLOTS
            if layer:  # the loop knows where the outputs of the layer below are
                row["XBLOCK"] = state
            elif learns:
                row |= {"XSTEP": self.blocks * part, "XBLOCK": part}
            else:
                row |= {"XSTEP": part, "XBLOCK": steps * part}
            rows.append(row)
        rows.append(
            common | theta[-1] | {
                "HIDDEN": CLASSES, "WIDTH": hidden, "OF_GATES": 1, "DOWN": 1,
                "XBLOCK": state, "DX": outputs[1],
                "LABEL_STEP": (self.blocks if learns else 1) * SLOTS,
                "LABEL_BLOCK": (1 if learns else steps) * SLOTS, "COUNTED": 2 * COUNT,
            }
        )  # fmt: skip
        for row in rows:
            units, width, gates = row["HIDDEN"], row["WIDTH"], row["OF_GATES"]
            sizes = {"WX": (units, width), "BX": (units, 1), "WX_BACK": (width, units)}
            if row["THETA_WH"] >= 0:
                sizes |= {"WH": (units, units), "BH": (units, 1), "WH_BACK": (units, units)}
            for name, (rows_, columns) in sizes.items():
                row[name] = self._widely(_even(rows_) * columns * gates * SLOTS)
            row["OWNS"] = self._widely(_even(units) * row.get("OF_OWN", 0) * SLOTS)
        self.table = np.array([[row.get(name, 0) for name in PLACES] for row in rows], np.int64)
        self.starts = -(-n // SLOTS) * 2 * run.layers * state
        self.repeated = aligned(2 * self.wide, self.dtype).reshape(2, -1)
        self.repeated_one = np.zeros_like(self.repeated)  # of one of several runs, in evaluations
        self.rooms = self._rooms()

    def _taken(self, size: int) -> int:
        """Take `size` numbers of `room`, from the beginning of a cache line; return their place."""
        place, line = self.room, ALIGNMENT // self.dtype.itemsize
        self.room += -(-size // line) * line
        return place

    def _widely(self, size: int) -> int:
        place, self.wide = self.wide, self.wide + size
        return place

    def _rooms(self) -> tuple[np.ndarray, np.ndarray]:
        room, last = aligned(self.room, self.dtype), dict(zip(PLACES, self.table[-1], strict=True))
        sequences = self.n * self.runs
        slots = np.arange(-(-sequences // SLOTS) * SLOTS).reshape(-1, SLOTS) < sequences
        exactly = aligned(2 * COUNT + slots.size * UNITS, np.dtype(float))
        exactly[2 * COUNT :].reshape(-1, UNITS, SLOTS)[:, 0] = slots
        room[last["ONES"] :][:SLOTS] = 1
        shares = room[last["SHARE"] :][: self.blocks * COUNT].reshape(-1, UNITS, SLOTS)
        shares[:] = slots[: self.blocks, None] / (self.steps * self.n)
        return room, exactly


def _even(size: int) -> int:
    """Return the number of units in whole pairs."""
    return size + size % 2


def _theta(run: Run) -> list[dict[str, int]]:
    """Return where each weight begins in the vector of all weights, per layer and for the readout.

    -1 stands for a weight that the cell does not have.
    """
    cell, at, places = CELLS[run.cell], 0, {}
    for name, shape in shapes_of(run).items():
        places[name] = at
        at += math.prod(shape)
    names = {"WX": "weight_ih", "WH": "weight_hh", "BX": "bias_ih", "BH": "bias_hh"}
    names["OWN"] = cell.extra[0] if cell.extra else ""
    start = places.get("start.h", at)
    rows = [
        {f"THETA_{key}": places.get(f"cell.{name}_l{layer}", -1) for key, name in names.items()}
        | {"THETA_START": start + layer * run.hidden_size}
        for layer in range(run.layers)
    ]
    readout = {"THETA_WX": places["readout.weight"], "THETA_BX": places["readout.bias"]}
    return [*rows, {"THETA_WH": -1, **readout}]


def aligned(size: int, dtype: np.dtype) -> np.ndarray:
    """Return an array of `size` zeros whose first number is at the beginning of a cache line.

    A vector of lanes that lies across two cache lines would take twice as long to load.
    """
    room = np.zeros(size + ALIGNMENT // dtype.itemsize, dtype)
    first = -room.__array_interface__["data"][0] % ALIGNMENT // dtype.itemsize
    return room[first : first + size]
