"""Names of cells and optimizers, and numbers, as figures, tables and the paper write them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

CELL_NAMES = {"lstm": "LSTM", "gru": "GRU", "rnn_tanh": "tanh RNN", "rnn_relu": "ReLU RNN"}
VARIANT_NAMES = {
    "gru_v1": "GRU, 2014",
    "mgu": "MGU",
    "lstm_peephole": "LSTM, peepholes",
    "lstm_cifg": "LSTM, f = 1−i",
    "lstm_nfg": "LSTM, no forget gate",
    "lstm_no_recurrence": "LSTM, gates see x only",
    "mingru": "minGRU",
    "minlstm": "minLSTM",
    "diagonal_signed": "diagonal, (−1, 1)",
    "diagonal_positive": "diagonal, (0, 1)",
}
OPTIMIZER_NAMES = {"sgd": "SGD", "momentum": "momentum", "adam": "Adam", "rmsprop": "RMSprop"}


def cell_name(cell: str) -> str:
    """The name of a cell for readers; its key if it has no other name."""
    return (CELL_NAMES | VARIANT_NAMES).get(cell, cell)


def optimizer_name(optimizer: str) -> str:
    """The name of an optimizer for readers; its key if it has no other name."""
    return OPTIMIZER_NAMES.get(optimizer, optimizer)


SMALLEST = 1e-3  # smaller numbers are written with a power of ten
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def estimate_text(
    value: float, low: float | None = None, high: float | None = None, sign: bool = False
) -> str:
    """`value [low, high]`, each with the decimals that the largest needs to show three digits.

    So a share has three decimals if its interval reaches a tenth: `0.915 [0.868, 0.946]`. Whole
    numbers have no decimals. If all three are below a thousandth, each has its own power of ten.
    `sign` puts a plus before numbers that are not negative.
    """
    bounds = [] if low is None or high is None else [low, high]
    write = _writer([value, *bounds])
    texts = [("+" if sign and x >= 0 else "") + write(x) for x in (value, *bounds)]
    return texts[0] if not bounds else f"{texts[0]} [{texts[1]}, {texts[2]}]"


def _writer(values: Sequence[float]):
    finite = [abs(value) for value in values if np.isfinite(value)]
    largest = max(finite, default=0.0)
    # The interval of a share has a bound that is not whole, so three whole numbers are counts.
    if (largest > 1 or len(values) > 1) and all(float(value).is_integer() for value in finite):
        return decimals_text
    if 0 < largest < SMALLEST:
        return power_text
    places = 3 if largest == 0 else max(2 - int(np.floor(np.log10(largest))), 0)
    places += largest == 1  # a share of 1 has three decimals too
    return lambda value: decimals_text(value, places) if value or places <= 3 else "0"


def decimals_text(value: float, places: int = 0) -> str:
    """A number with a fixed number of decimals: `−0.565`, `12,345`, `∞`."""
    text = f"{value:,.{places}f}" if np.isfinite(value) else f"{value}".replace("inf", "∞")
    return minus(text)


def power_text(value: float, digits: int = 2) -> str:
    """A number to some significant digits, below a thousandth as `4.6 × 10⁻⁸`, else as `0.0012`."""
    if value == 0 or abs(value) >= SMALLEST:
        return minus(f"{value:.{digits}g}")
    factor, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{minus(factor)}\u00a0×\u00a010{str(int(exponent)).translate(RAISED)}"


def minus(text: str) -> str:
    """The text of a number with a minus sign in place of a hyphen."""
    return text.replace("-", "−")
