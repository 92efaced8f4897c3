"""The functions of `lanes` in plain Python, for NUMBA_DISABLE_JIT=1: slow, but easy to debug.

Lanes are arrays of 16 numbers. The functions have the arguments and results that `lanes` describes,
but sums are taken in another order, so results differ in their last bits.
"""

from __future__ import annotations

from functools import partial
from typing import TypeAlias

import numpy as np

from study.engines.fused.lanes import COUNT, SLOTS

Array: TypeAlias = np.ndarray
Vectors: TypeAlias = tuple[np.ndarray, ...]
Two: TypeAlias = tuple[int, int]
Three: TypeAlias = tuple[int, int, int]
tanh, exp, sine, cosine, zero_of = np.tanh, np.exp, np.sin, np.cos, np.zeros_like
swapped, widened = partial(np.roll, shift=SLOTS), partial(np.array, dtype=float)


def sigmoid(z: Array) -> Array:
    """See `lanes`."""
    return (np.tanh(z / 2) + 1) / 2


def rectified(z: Array) -> Array:
    """See `lanes`."""
    return np.where(z < 0, 0, z)


def where_positive(test: Array, z: Array) -> Array:
    """See `lanes`."""
    return np.where(test > 0, z, 0)


def where_equal(z: Array, w: Array, x: Array) -> Array:
    """See `lanes`."""
    return np.where(z == w, x, 0)


def larger(z: Array, w: Array) -> Array:
    """See `lanes`."""
    return np.where(z > w, z, w)


def beats(z: Array, this: Array, w: Array, other: Array) -> Array:
    """See `lanes`."""
    return np.where(this < other, ~(z < w), z > w).astype(float)


def folded(z: Array) -> tuple[float, float]:
    """See `lanes`."""
    return z[:SLOTS].sum(), z[SLOTS:].sum()


def halves(first: float, second: float) -> Array:
    """See `lanes`."""
    return np.repeat([first, second], SLOTS)


def flush_denormals(word: int) -> int:
    """Change nothing."""
    return word


def lanes(array: Array, index: int) -> Array:
    """See `lanes`."""
    return array[index : index + COUNT].copy()


def spread(array: Array, index: int) -> Array:
    """See `lanes`."""
    return np.tile(array[index : index + SLOTS], 2)


def put(array: Array, index: int, value: Array | float) -> None:
    """See `lanes`."""
    array[index : index + COUNT] = value


def lanes_of(array: Array, index: int, stride: int, n: int) -> Vectors:
    """See `lanes`."""
    return tuple(lanes(array, index + i * stride) for i in range(n))


def put_all(array: Array, index: int, stride: int, values: Vectors) -> None:
    """See `lanes`."""
    for i, value in enumerate(values):
        put(array, index + i * stride, value)


def add_all(array: Array, index: int, stride: int, values: Vectors) -> None:
    """See `lanes`."""
    for i, value in enumerate(values):
        array[index + i * stride :][:COUNT] += value


def products(start: Vectors, v: Array, v_places: Two, n: int, w: Array, w_places: Three) -> Vectors:
    """See `lanes`."""
    (v_first, v_stride), (w_first, w_row, w_stride) = v_places, w_places
    sums = list(start)
    for g in range(len(start)):
        for j in range(n):
            number = spread(v, v_first + g * v_stride + j * SLOTS)
            sums[g] = sums[g] + number * lanes(w, w_first + j * w_row + g * w_stride)
    return tuple(sums)


def products_back(
    gates: int, d: Array, d_places: Three, pairs: int, w: Array, w_places: Three
) -> Array:
    """See `lanes`."""
    (d_first, d_pair, d_gate), (w_first, w_pair, w_row) = d_places, w_places
    rows = np.zeros((2, COUNT), d.dtype)
    for row in range(2):
        for q in range(pairs):
            for g in range(gates):
                weight = lanes(w, w_first + q * w_pair + g * COUNT + row * w_row)
                rows[row] += lanes(d, d_first + q * d_pair + g * d_gate) * weight
    return (rows[:, :SLOTS] + rows[:, SLOTS:]).ravel()


def add_outer(
    gates: int, g: Array, g_places: Three, v: Array, v_places: Two, rows: int,
    r: Array, r_places: Three, n: int,
) -> None:  # fmt: skip
    """See `lanes`."""
    (g_first, g_row, g_stride), (r_first, r_row, r_stride) = g_places, r_places
    v_first, v_row = v_places
    for j in range(rows):
        for gate in range(gates):
            total = g[g_first + j * g_row + gate * g_stride :][:COUNT]
            for i in range(n):
                number = spread(v, v_first + i * v_row + j * SLOTS)
                total += number * lanes(r, r_first + i * r_row + gate * r_stride)
