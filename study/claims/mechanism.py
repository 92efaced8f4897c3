"""Claims on the mechanism: from the hypotheses' measures in `verdicts.csv` of `study.dynamics`."""

from __future__ import annotations

import numpy as np

from study.claims.verdict import GATED_OR_TANH, LEVEL, MAIN_CELLS, Verdict, bound, each_of
from study.stats import holm, share_difference
from study.values import Runs, Value, entry


def _measured(results: Runs, hypothesis: int, measure: str, cells: tuple[str, ...]) -> dict[str, Value]:
    """A measure of `verdicts.csv`, by cell."""
    words = (f"hypothesis={hypothesis}", f"measure={measure.replace(' ', '_')}")
    return {cell: entry(results, "main/dynamics/verdicts", "estimate", *words, f"group={cell}") for cell in cells}


def stable_cycles_do_not_slip(results: Runs) -> Verdict:
    """LSTM, GRU, tanh RNN: no network with a stable cycle at every tested input slips in the steps watched."""
    found = _measured(results, 6, "share without a slip, stable cycle", GATED_OR_TANH)
    return Verdict(all(value.estimate == 1 for value in found.values()), found)


def most_sit_on_a_cycle(results: Runs) -> Verdict:
    """LSTM, GRU, tanh RNN: nearly all have a stable alternating 2-cycle at every tested input (above 0.95)."""
    found = _measured(results, 7, "share with a stable alternating 2-cycle at every constant input", GATED_OR_TANH)
    return Verdict(all(bound(value.low) > 0.95 for value in found.values()), found)


def swapped_phase_stays(results: Runs) -> Verdict:
    """A state of the opposite phase flips the answers in nearly every trial, one of the same phase in nearly none."""
    flips = _measured(results, 11, "predicted flips that persist, opposite donor", MAIN_CELLS)
    same = _measured(results, 11, "flips, donor of the same phase", MAIN_CELLS)
    holds = all(bound(value.low) > 0.99 for value in flips.values())
    holds &= all(bound(value.high) < 0.01 for value in same.values())
    return Verdict(holds, {f"opposite {c}": v for c, v in flips.items()} | {f"same {c}": v for c, v in same.items()})


def h_alone_carries_the_phase(results: Runs) -> Verdict:
    """In the LSTM, h alone from the opposite phase flips every answer, c alone none."""
    parts = ("h", "c")
    found = {p: _measured(results, 12, f"flips when {p} alone comes from an opposite donor", ("lstm",)) for p in parts}
    values = {part: value["lstm"] for part, value in found.items()}
    return Verdict((values["h"].estimate, values["c"].estimate) == (1, 0), values)


def recovery_follows_multipliers(results: Runs) -> Verdict:
    """The rank correlation of steps to recover with 1/|ln ρ| is above 0.85 in each cell, interval and all."""
    found = _measured(results, 13, "rank correlation of steps to recover with 1/|ln ρ|", MAIN_CELLS)
    return Verdict(all(bound(value.low) > 0.85 for value in found.values()), found)


def bound_holds(results: Runs) -> Verdict:
    """Positive linear recurrences: every trained network is right at no more than H + 1 labels in a row."""
    groups = tuple(f"{c},_hidden_size_{h}" for c in ("diagonal_positive", "mingru", "minlstm") for h in (2, 6))
    found = _measured(results, 17, "share within H + 1", groups)
    return Verdict(all(value.estimate == 1 for value in found.values()), found)


def signed_passes_the_bound(results: Runs) -> Verdict:
    """The signed recurrence: every trained network passes that bound."""
    groups = tuple(f"diagonal_signed,_hidden_size_{h}" for h in (2, 6))
    found = _measured(results, 17, "share within H + 1", groups)
    return Verdict(all(value.estimate == 0 for value in found.values()), found)


def candidate_is_the_route(results: Runs) -> Verdict:
    """LSTM and GRU: with the recurrence into the candidate cut, fewer than one sequence in ten is kept."""
    found = _measured(results, 14, "sequences kept, cut recurrence: candidate", ("lstm", "gru"))
    return Verdict(all(bound(value.high) < 0.1 for value in found.values()), found)


def forget_gate_needs_no_state(results: Runs) -> Verdict:
    """LSTM: with the recurrence into the forget gate cut, more than 0.99 of the sequences are kept."""
    found = _measured(results, 14, "sequences kept, cut recurrence: forget", ("lstm",))
    return Verdict(all(bound(value.low) > 0.99 for value in found.values()), found)


def one_unit_by_hand_works(results: Runs) -> Verdict:
    """One unit with weights set by hand never slips, in each of the main cells."""
    found = _measured(results, 15, "slips per step, one unit built by hand", MAIN_CELLS)
    return Verdict(all(value.estimate == 0 for value in found.values()), found)


def noise_does_not_spread(results: Runs) -> Verdict:
    """LSTM, GRU, tanh RNN: the largest conditional Lyapunov exponent is negative in nearly all (above 0.98)."""
    found = _measured(results, 9, "share with a negative largest conditional Lyapunov exponent", GATED_OR_TANH)
    return Verdict(all(bound(value.low) > 0.98 for value in found.values()), found)


def a_probe_reads_the_phase(results: Runs) -> Verdict:
    """In each cell a linear probe reads the phase off trained networks (above 0.9), and of untrained ones it cannot."""
    trained, untrained = (
        _measured(results, 10, f"probe accuracy, phase labels, {kind}", MAIN_CELLS) for kind in ("trained", "untrained")
    )
    holds = all(bound(value.low) > 0.9 for value in trained.values())
    holds &= all(bound(value.high) < 0.55 for value in untrained.values())
    return Verdict(
        holds, {f"trained {c}": v for c, v in trained.items()} | {f"not {c}": v for c, v in untrained.items()}
    )


def adam_leaves_first(results: Runs) -> Verdict:
    """LSTM under Adam: the loss leaves its plateau before the crossing (median lag below zero); GRU under SGD: not."""
    words = "median lag, updates from crossing to leaving"
    found = _measured(results, 8, words, ("lstm,_adam", "gru,_sgd"))
    return Verdict(found["lstm,_adam"].estimate < 0 <= bound(found["gru,_sgd"].low), found)


def no_lstm_halves_its_loss_first(results: Runs) -> Verdict:
    """LSTM under Adam: in no run is the loss below half of chance before the crossing."""
    found = _measured(results, 8, "share whose loss is below 0.5 of chance before the crossing", ("lstm,_adam",))
    return Verdict(all(value.estimate == 0 for value in found.values()), found)


def guessing_fades(results: Runs) -> Verdict:
    """In each main cell guessing solves the task less often at 16 units than at 2 (Fisher's test, Holm's)."""
    measures = {size: f"solved by guessing weights in ±100, hidden size {size}" for size in (2, 16)}
    found = {size: _measured(results, 15, measure, MAIN_CELLS) for size, measure in measures.items()}
    pairs = [(each_of(found[2][cell]), each_of(found[16][cell])) for cell in MAIN_CELLS]
    contrasts = [share_difference(small, large) for small, large in pairs]
    adjusted = holm(np.array([contrast.p for contrast in contrasts]))
    holds = bool((adjusted < LEVEL).all()) and all(contrast.value > 0 for contrast in contrasts)
    return Verdict(holds, {f"{cell} {size}": value for size in found for cell, value in found[size].items()})
