"""How figures, tables and the paper write cells, optimizers and numbers: one rule for each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

CELL_NAMES = {"lstm": "LSTM", "gru": "GRU", "rnn_tanh": "tanh RNN", "rnn_relu": "ReLU RNN"}
VARIANT_NAMES = {
    **{
        "gru_v1": "GRU, 2014",
        "mgu": "MGU",
        "lstm_peephole": "LSTM, peepholes",
        "lstm_cifg": "LSTM, f = 1−i",
    },
    **{"lstm_nfg": "LSTM, no forget gate", "lstm_no_recurrence": "LSTM, gates see x only"},
    **{"mingru": "minGRU", "minlstm": "minLSTM"},
    **{"diagonal_signed": "diagonal, (−1, 1)", "diagonal_positive": "diagonal, (0, 1)"},
}
OPTIMIZER_NAMES = {"sgd": "SGD", "momentum": "momentum", "adam": "Adam", "rmsprop": "RMSprop"}


def cell_name(cell: str) -> str:
    """What a cell is called; one without an entry by its own name."""
    return (CELL_NAMES | VARIANT_NAMES).get(cell, cell)


def optimizer_name(optimizer: str) -> str:
    """What an optimizer is called; one without an entry by its own name."""
    return OPTIMIZER_NAMES.get(optimizer, optimizer)


SMALLEST = 1e-3  # below it a number is written with a power of ten
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def estimate_text(
    value: float, low: float | None = None, high: float | None = None, sign: bool = False
) -> str:
    """`value [low, high]`, with as many decimals in each as the largest of them needs for three digits.

    A share thus has three decimals where its interval reaches a tenth: `0.915 [0.868, 0.946]`. Whole numbers, all
    of them, have none, and where all are below a thousandth each has its power of ten. `sign` puts a plus
    before what is not negative.
    """
    bounds = [] if low is None or high is None else [low, high]
    write = _writer([value, *bounds])
    texts = [("+" if sign and x >= 0 else "") + write(x) for x in (value, *bounds)]
    return texts[0] if not bounds else f"{texts[0]} [{texts[1]}, {texts[2]}]"


def _writer(values: Sequence[float]):
    finite = [abs(value) for value in values if np.isfinite(value)]
    largest = max(finite, default=0.0)
    # A share with an interval has a bound that is no whole number: three whole ones are counts, be they 0 and 1.
    if (largest > 1 or len(values) > 1) and all(float(value).is_integer() for value in finite):
        return decimals_text
    if 0 < largest < SMALLEST:
        return power_text
    places = 3 if largest == 0 else max(2 - int(np.floor(np.log10(largest))), 0)
    places += largest == 1  # a share has three decimals, 1 as well
    return lambda value: decimals_text(value, places) if value or places <= 3 else "0"


def decimals_text(value: float, places: int = 0) -> str:
    """A number with some decimals: `−0.565`, `12,345`, `∞`."""
    text = f"{value:,.{places}f}" if np.isfinite(value) else f"{value}".replace("inf", "∞")
    return minus(text)


def power_text(value: float, digits: int = 2) -> str:
    """A small number with some significant digits: `4.6 × 10⁻⁸`; `0`, and plainly from a thousandth on."""
    if value == 0 or abs(value) >= SMALLEST:
        return minus(f"{value:.{digits}g}")
    factor, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{minus(factor)}\u00a0×\u00a010{str(int(exponent)).translate(RAISED)}"


def minus(text: str) -> str:
    """A text of one number with a minus where it has a hyphen."""
    return text.replace("-", "−")
