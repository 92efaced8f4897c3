"""Format numbers, and the names of cells and optimizers, for figures, tables and the paper."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

CELL_NAMES = {"lstm": "LSTM", "gru": "GRU", "rnn_tanh": "tanh RNN", "rnn_relu": "ReLU RNN"}
VARIANT_NAMES = {
    "gru_v1": "GRU, reset first",
    "mgu": "MGU",
    "lstm_peephole": "LSTM, peepholes",
    "lstm_cifg": "LSTM, coupled gates",
    "lstm_nfg": "LSTM, no forget gate",
    "lstm_no_recurrence": "LSTM, gates see x only",
    "mingru": "minGRU",
    "minlstm": "minLSTM",
    "diagonal_signed": "diagonal, signed decays",
    "diagonal_positive": "diagonal, positive decays",
    "diagonal_complex": "diagonal, complex decays",
}
OPTIMIZER_NAMES = {"sgd": "SGD", "momentum": "momentum", "adam": "Adam", "rmsprop": "RMSprop"}


def cell_name(cell: str) -> str:
    """Return the display name of a recurrent cell, such as `tanh RNN` for the key `rnn_tanh`.

    The key itself is returned if the cell has no display name.
    """
    return (CELL_NAMES | VARIANT_NAMES).get(cell, cell)


def optimizer_name(optimizer: str) -> str:
    """Return the display name of an optimizer, such as `Adam` for the key `adam`.

    The key itself is returned if the optimizer has no display name.
    """
    return OPTIMIZER_NAMES.get(optimizer, optimizer)


SMALLEST = 1e-3  # smaller numbers are written with a power of ten, such as 4.6 × 10⁻⁸
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def estimate_text(
    value: float, low: float | None = None, high: float | None = None, sign: bool = False
) -> str:
    """Return an estimate and the bounds of its interval as text, such as `0.915 [0.868, 0.946]`.

    Without bounds, only the estimate is written. All numbers get the same number of decimals, just
    enough for the largest number to show three significant digits. There are three exceptions. If
    all numbers are whole, they are counts and get no decimals. But a single 0 or 1 without bounds
    is a share and gets three decimals. If all numbers are below 0.001, each is written with its own
    power of ten. If `sign` is true, numbers that are not negative begin with a plus.
    """
    bounds = [] if low is None or high is None else [low, high]
    write = _writer([value, *bounds])
    texts = [("+" if sign and x >= 0 else "") + write(x) for x in (value, *bounds)]
    return texts[0] if not bounds else f"{texts[0]} [{texts[1]}, {texts[2]}]"


def _writer(values: Sequence[float]):
    finite = [abs(value) for value in values if np.isfinite(value)]
    largest = max(finite, default=0.0)
    # A share's interval always has a bound that is not whole, so whole numbers here are counts.
    if (largest > 1 or len(values) > 1) and all(float(value).is_integer() for value in finite):
        return decimals_text
    if 0 < largest < SMALLEST:
        return power_text
    places = 3 if largest == 0 else max(2 - int(np.floor(np.log10(largest))), 0)
    places += largest == 1  # a share of exactly 1 gets three decimals too
    return lambda value: decimals_text(value, places) if value or places <= 3 else "0"


def decimals_text(value: float, places: int = 0) -> str:
    """Return a number as text with `places` decimals.

    For example, `−0.565` has three decimals and `12,345` has none. Infinity is written `∞`.
    """
    text = f"{value:,.{places}f}" if np.isfinite(value) else f"{value}".replace("inf", "∞")
    return minus(text)


def power_text(value: float, digits: int = 2) -> str:
    """Return a number as text with `digits` significant digits, such as `0.0012`.

    A number below 0.001 is written with a power of ten, such as `4.6 × 10⁻⁸`.
    """
    if value == 0 or abs(value) >= SMALLEST:
        return minus(f"{value:.{digits}g}")
    factor, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{minus(factor)}\u00a0×\u00a010{str(int(exponent)).translate(RAISED)}"


def markdown(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Return a table in Markdown, with the names in `head` above its columns."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def minus(text: str) -> str:
    """Return the text of a number with each hyphen replaced by a minus sign."""
    return text.replace("-", "−")
