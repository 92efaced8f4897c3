"""Compute with affine forms, so that one step of a cell's rule covers a whole set of states.

An affine form stands for every number c + Σ aₖ εₖ + δ with |εₖ| <= 1 and |δ| <= e. The forms of a
state's entries share the εₖ, and so keep track of how the entries vary together. The set of states
that they allow is a zonotope. An interval is a form without εₖ.

`Form` has the operators and methods of tensors that the rules in `study.model.cells` use. So a
cell's rule itself can be applied to forms. The result allows every value that the rule gives for
numbers that its arguments allow. This includes rounding: each operation adds 1e-13 of the size of
its terms to e. That is more than the errors in float64 can add up to, either here or where the
network is run, be it by PyTorch or by the kernels (`study.dynamics.build`), whose functions are
accurate to a few units in the last place and which may add in any order. A form has at most some
hundred εₖ.
"""

from __future__ import annotations

import numpy as np

ROUNDING = 1e-13


class Form:
    """An array of affine forms.

    `centre` is the array of c, `error` (same shape) that of e, and `rays` (E, ...) that of the aₖ.
    Forms that are combined have the same number of rays, or a single ray of zeros.
    """

    def __init__(self, centre: np.ndarray, error: np.ndarray, rays: np.ndarray):
        self.centre, self.error, self.rays = centre, error, rays

    @property
    def spread(self) -> np.ndarray:
        """The largest distance of the numbers from the centre."""
        return np.abs(self.rays).sum(0) + self.error

    @property
    def size(self) -> np.ndarray:
        """The largest absolute value of the numbers."""
        return np.abs(self.centre) + self.spread

    @property
    def T(self) -> Form:  # noqa: N802
        """The transposed matrix."""
        return Form(self.centre.T, self.error.T, self.rays.swapaxes(1, 2))

    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the arrays of the smallest and the largest numbers."""
        spread = self.spread + ROUNDING * self.size
        return self.centre - spread, self.centre + spread

    def chunk(self, chunks: int, axis: int = 0) -> list[Form]:
        """Split the array into `chunks` equal parts along an axis."""
        of_rays = axis if axis < 0 else axis + 1
        parts = [np.split(array, chunks, axis) for array in (self.centre, self.error)]
        return [
            Form(*part) for part in zip(*parts, np.split(self.rays, chunks, of_rays), strict=True)
        ]

    def __neg__(self) -> Form:
        return Form(-self.centre, self.error, -self.rays)

    def __add__(self, other: Form | float) -> Form:
        other = form(other)
        error = self.error + other.error + ROUNDING * (self.size + other.size)
        return Form(self.centre + other.centre, error, self.rays + other.rays)

    def __sub__(self, other: Form | float) -> Form:
        return self + -form(other)

    def __rsub__(self, other: float) -> Form:
        return -self + other

    def __mul__(self, other: Form | float) -> Form:
        other = form(other)
        error = np.abs(self.centre) * other.error + np.abs(other.centre) * self.error
        error = error + self.spread * other.spread + ROUNDING * self.size * other.size
        rays = self.rays * other.centre + self.centre * other.rays
        return Form(self.centre * other.centre, error, rays)

    def __truediv__(self, other: Form) -> Form:
        low, high = other.ends()
        holds_zero = (low <= 0) & (high >= 0)
        least, most = (
            np.where(holds_zero, sign * np.inf, 1 / end) for sign, end in ((-1, high), (1, low))
        )
        error = 0.5 * (most - least) + ROUNDING * (np.abs(least) + np.abs(most))
        return self * Form(0.5 * (least + most), error, 0 * other.rays)

    def __matmul__(self, weight: Form) -> Form:
        """Return the product with a matrix whose forms have no rays."""
        size = weight.size
        error = self.error @ size + self.size @ (weight.error + ROUNDING * size)
        return Form(self.centre @ weight.centre, error, self.rays @ weight.centre)

    __radd__, __rmul__ = __add__, __mul__

    def tanh(self) -> Form:
        """Return the hyperbolic tangent.

        It is bounded by two parallel lines whose slope is that of the chord. The distance of tanh
        from such a line is greatest at an end or where its derivative 1 - tanh² equals the slope.
        """
        low, high = self.ends()
        middle, width = np.tanh(self.centre), high - low
        is_wide = width > 1e-6
        rise = (np.tanh(high) - np.tanh(low)) / np.where(is_wide, width, 1)
        slope = np.clip(np.where(is_wide, rise, 1 - middle * middle), 0, 1)
        touching = np.arctanh(np.sqrt(np.clip(1 - slope, 0, 1 - 1e-15)))
        places = (low, high, np.clip(touching, low, high), np.clip(-touching, low, high))
        above = np.stack([np.tanh(place) - slope * place for place in places])
        return self._line(slope, above.min(0), above.max(0))

    def sigmoid(self) -> Form:
        """Return the logistic function, which is (1 + tanh(x/2))/2."""
        return 0.5 * (0.5 * self).tanh() + 0.5

    def relu(self) -> Form:
        """Return max(x, 0), which lies between the chord from end to end and its parallel at 0."""
        low, high = self.ends()
        crosses = (low < 0) & (high > 0)
        chord = high / np.where(crosses, high - low, 1)
        slope = np.where(crosses, chord, low >= 0)
        return self._line(slope, np.zeros_like(low), np.where(crosses, -slope * low, 0))

    def cos(self) -> Form:
        """Return the cosine, which changes by no more than its argument does."""
        return Form(np.cos(self.centre), self.spread + ROUNDING, 0 * self.rays)

    def sin(self) -> Form:
        """Return the sine, which changes by no more than its argument does."""
        return Form(np.sin(self.centre), self.spread + ROUNDING, 0 * self.rays)

    def _line(self, slope: np.ndarray, low: np.ndarray, high: np.ndarray) -> Form:
        """Return slope * x plus any numbers between `low` and `high`."""
        middle = 0.5 * (low + high)
        error = slope * self.error + 0.5 * (high - low)
        error = error + ROUNDING * (1 + slope * self.size + np.abs(low) + np.abs(high))
        return Form(slope * self.centre + middle, error, slope * self.rays)


def form(value: Form | np.ndarray | float) -> Form:
    """Return `value` as a form: itself, or forms that stand for exactly these numbers."""
    if isinstance(value, Form):
        return value
    centre = np.asarray(value, float)
    return Form(centre, np.zeros_like(centre), np.zeros((1, *centre.shape)))


def box(low: np.ndarray, high: np.ndarray) -> Form:
    """Return the forms that allow all states in boxes, with one ray per entry of the state.

    `low` and `high` (B,D) are the corners of the boxes.
    """
    centre = 0.5 * low + 0.5 * high
    radius = np.maximum(high - centre, centre - low) * (1 + ROUNDING)
    return Form(centre, np.zeros_like(centre), as_rays(radius))


def as_rays(radius: np.ndarray) -> np.ndarray:
    """Return rays (D,B,D) that stand for independent errors of the size `radius` (B,D)."""
    return np.eye(radius.shape[1])[:, None] * radius


def joined(parts: tuple[Form, ...]) -> Form:
    """Return the forms of a state whose parts, such as h and c, are given."""
    arrays = zip(*((part.centre, part.error, part.rays) for part in parts), strict=True)
    return Form(*(np.concatenate(array, -1) for array in arrays))
