"""The functions of `lanes` in plain Python, for NUMBA_DISABLE_JIT=1: slow, but easy to debug.

Lanes are arrays of 16 numbers. The functions have the arguments and results that `lanes` describes,
but sums are taken in another order, so results differ in their last bits.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from study.engines.fused.lanes import COUNT, SLOTS

Vectors: TypeAlias = tuple[np.ndarray, ...]
Two: TypeAlias = tuple[int, int]
Three: TypeAlias = tuple[int, int, int]
tanh, exp, sine, cosine, zero_of = np.tanh, np.exp, np.sin, np.cos, np.zeros_like


def sigmoid(z: np.ndarray) -> np.ndarray:
    """Do what `sigmoid` in `lanes` does."""
    return (np.tanh(z / 2) + 1) / 2


def rectified(z: np.ndarray) -> np.ndarray:
    """Do what `rectified` in `lanes` does."""
    return np.where(z < 0, 0, z)


def where_positive(test: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Do what `where_positive` in `lanes` does."""
    return np.where(test > 0, z, 0)


def where_equal(z: np.ndarray, w: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Do what `where_equal` in `lanes` does."""
    return np.where(z == w, x, 0)


def larger(z: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Do what `larger` in `lanes` does."""
    return np.where(z > w, z, w)


def beats(z: np.ndarray, this: np.ndarray, w: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Do what `beats` in `lanes` does."""
    return np.where(this < other, ~(z < w), z > w).astype(float)


def swapped(z: np.ndarray) -> np.ndarray:
    """Do what `swapped` in `lanes` does."""
    return np.roll(z, SLOTS)


def folded(z: np.ndarray) -> tuple[float, float]:
    """Do what `folded` in `lanes` does."""
    return z[:SLOTS].sum(), z[SLOTS:].sum()


def halves(first: float, second: float) -> np.ndarray:
    """Do what `halves` in `lanes` does."""
    return np.repeat([first, second], SLOTS)


def widened(z: np.ndarray) -> np.ndarray:
    """Do what `widened` in `lanes` does."""
    return z.astype(float)


def flush_denormals(word: int) -> int:
    """Change nothing."""
    return word


def lanes(array: np.ndarray, index: int) -> np.ndarray:
    """Do what `lanes` in `lanes` does."""
    return array[index : index + COUNT].copy()


def spread(array: np.ndarray, index: int) -> np.ndarray:
    """Do what `spread` in `lanes` does."""
    return np.tile(array[index : index + SLOTS], 2)


def put(array: np.ndarray, index: int, value: np.ndarray | float) -> None:
    """Do what `put` in `lanes` does."""
    array[index : index + COUNT] = value


def lanes_of(array: np.ndarray, index: int, stride: int, n: int) -> Vectors:
    """Do what `lanes_of` in `lanes` does."""
    return tuple(lanes(array, index + i * stride) for i in range(n))


def put_all(array: np.ndarray, index: int, stride: int, values: Vectors) -> None:
    """Do what `put_all` in `lanes` does."""
    for i, value in enumerate(values):
        put(array, index + i * stride, value)


def add_all(array: np.ndarray, index: int, stride: int, values: Vectors) -> None:
    """Do what `add_all` in `lanes` does."""
    for i, value in enumerate(values):
        put(array, index + i * stride, lanes(array, index + i * stride) + value)


def products(
    start: Vectors, v: np.ndarray, v_places: Two, n: int, w: np.ndarray, w_places: Three
) -> Vectors:
    """Do what `products` in `lanes` does."""
    (v_first, v_stride), (w_first, w_row, w_stride) = v_places, w_places
    sums = list(start)
    for g in range(len(start)):
        for j in range(n):
            number = spread(v, v_first + g * v_stride + j * SLOTS)
            sums[g] = sums[g] + number * lanes(w, w_first + j * w_row + g * w_stride)
    return tuple(sums)


def products_back(
    gates: int, d: np.ndarray, d_places: Three, pairs: int, w: np.ndarray, w_places: Three
) -> np.ndarray:
    """Do what `products_back` in `lanes` does."""
    (d_first, d_pair, d_gate), (w_first, w_pair, w_row) = d_places, w_places
    rows = []
    for row in range(2):
        total = np.zeros(COUNT, d.dtype)
        for q in range(pairs):
            for g in range(gates):
                weight = lanes(w, w_first + q * w_pair + g * COUNT + row * w_row)
                total += lanes(d, d_first + q * d_pair + g * d_gate) * weight
        rows.append(total[:SLOTS] + total[SLOTS:])
    return np.concatenate(rows)


def add_outer(
    gates: int,
    g: np.ndarray,
    g_places: Three,
    v: np.ndarray,
    v_places: Two,
    rows: int,
    r: np.ndarray,
    r_places: Three,
    n: int,
) -> None:
    """Do what `add_outer` in `lanes` does."""
    (g_first, g_row, g_stride), (v_first, v_row), (r_first, r_row, r_stride) = (
        g_places,
        v_places,
        r_places,
    )
    for j in range(rows):
        for gate in range(gates):
            place = g_first + j * g_row + gate * g_stride
            for i in range(n):
                number = spread(v, v_first + i * v_row + j * SLOTS)
                put(
                    g,
                    place,
                    lanes(g, place) + number * lanes(r, r_first + i * r_row + gate * r_stride),
                )
