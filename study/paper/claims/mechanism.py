"""Claims on the mechanism: from the hypotheses' measures in `verdicts.csv` of `study.dynamics`."""

from __future__ import annotations

import numpy as np

from study.paper.claims.verdict import GATED_OR_TANH, LEVEL, MAIN_CELLS, Verdict, bound, each_of
from study.paper.values import Runs, Value, entry
from study.stats import holm, share_difference

GUESSED = "solved by guessing weights in ±100"


def _measured(
    results: Runs, hypothesis: int, measure: str, cells: tuple[str, ...]
) -> dict[str, Value]:
    """A measure of `verdicts.csv`, by cell."""
    words = (f"hypothesis={hypothesis}", f"measure={measure.replace(' ', '_')}")
    return {
        cell: entry(results, "main/dynamics/verdicts", "estimate", *words, f"group={cell}")
        for cell in cells
    }


def stable_cycles_do_not_slip(results: Runs) -> Verdict:
    """LSTM, GRU, tanh RNN: no network with a stable cycle at every tested input slips in the steps watched."""
    found = _measured(results, 6, "share without a slip, stable cycle", GATED_OR_TANH)
    return Verdict(all(value.estimate == 1 for value in found.values()), found)


def most_sit_on_a_cycle(results: Runs) -> Verdict:
    """LSTM, GRU, tanh RNN: nearly all have a stable alternating 2-cycle at every tested input (above 0.95)."""
    found = _measured(
        results, 7, "share with a stable alternating 2-cycle at every constant input", GATED_OR_TANH
    )
    return Verdict(all(bound(value.low) > 0.95 for value in found.values()), found)


def swapped_phase_stays(results: Runs) -> Verdict:
    """A state of the opposite phase flips the answers in nearly every trial, one of the same phase in nearly none."""
    flips = _measured(results, 11, "predicted flips that persist, opposite donor", MAIN_CELLS)
    same = _measured(results, 11, "flips, donor of the same phase", MAIN_CELLS)
    holds = all(bound(value.low) > 0.99 for value in flips.values())
    holds &= all(bound(value.high) < 0.01 for value in same.values())
    return Verdict(
        holds,
        {f"opposite {c}": v for c, v in flips.items()} | {f"same {c}": v for c, v in same.items()},
    )


def h_alone_carries_the_phase(results: Runs) -> Verdict:
    """In the LSTM, h alone from the opposite phase flips every answer, c alone none."""
    parts = ("h", "c")
    found = {
        p: _measured(results, 12, f"flips when {p} alone comes from an opposite donor", ("lstm",))
        for p in parts
    }
    values = {part: value["lstm"] for part, value in found.items()}
    return Verdict((values["h"].estimate, values["c"].estimate) == (1, 0), values)


def recovery_follows_multipliers(results: Runs) -> Verdict:
    """The rank correlation of steps to recover with 1/|ln ρ| is above 0.85 in each cell, interval and all."""
    found = _measured(results, 13, "rank correlation of steps to recover with 1/|ln ρ|", MAIN_CELLS)
    return Verdict(all(bound(value.low) > 0.85 for value in found.values()), found)


def bound_holds(results: Runs) -> Verdict:
    """Positive linear recurrences: every trained network is right at no more than H + 1 labels in a row."""
    groups = tuple(
        f"{c},_hidden_size_{h}" for c in ("diagonal_positive", "mingru", "minlstm") for h in (2, 6)
    )
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
    found = _measured(
        results, 9, "share with a negative largest conditional Lyapunov exponent", GATED_OR_TANH
    )
    return Verdict(all(bound(value.low) > 0.98 for value in found.values()), found)


def a_probe_reads_the_phase(results: Runs) -> Verdict:
    """In each cell a linear probe reads the phase off trained networks (above 0.9), and of untrained ones it cannot."""
    trained, untrained = (
        _measured(results, 10, f"probe accuracy, phase labels, {kind}", MAIN_CELLS)
        for kind in ("trained", "untrained")
    )
    holds = all(bound(value.low) > 0.9 for value in trained.values())
    holds &= all(bound(value.high) < 0.55 for value in untrained.values())
    return Verdict(
        holds,
        {f"trained {c}": v for c, v in trained.items()}
        | {f"not {c}": v for c, v in untrained.items()},
    )


def the_gru_under_sgd_crosses_first(results: Runs) -> Verdict:
    """GRU under SGD: in no run has the loss left, at 0.9 of ln 2, before the crossing."""
    found = _measured(
        results, 8, "share whose loss is below 0.9 of chance before the crossing", ("gru,_sgd",)
    )
    return Verdict(all(value.estimate == 0 for value in found.values()), found)


def under_adam_some_lstms_leave_first(results: Runs) -> Verdict:
    """LSTM under Adam: at 0.95, 0.9 and 0.8 of ln 2 more than one run in ten has left before the crossing."""
    measures = {
        bar: f"share whose loss is below {bar} of chance before the crossing"
        for bar in ("0.95", "0.9", "0.8")
    }
    found = {
        bar: _measured(results, 8, words, ("lstm,_adam",))["lstm,_adam"]
        for bar, words in measures.items()
    }
    return Verdict(all(bound(value.low) > 0.1 for value in found.values()), found)


def many_relu_networks_lack_a_cycle(results: Runs) -> Verdict:
    """ReLU RNN: between one half and two thirds have a stable alternating 2-cycle at every tested input."""
    words = "share with a stable alternating 2-cycle at every constant input"
    found = _measured(results, 7, words, ("rnn_relu",))
    return Verdict(
        all(1 / 2 < bound(value.low) < bound(value.high) < 2 / 3 for value in found.values()), found
    )


def most_have_an_unstable_point(results: Runs) -> Verdict:
    """LSTM, GRU, tanh RNN: nearly all have a fixed point with an eigenvalue below -1 (above 0.95)."""
    found = _measured(
        results, 7, "share with a fixed point that has an eigenvalue below -1", GATED_OR_TANH
    )
    return Verdict(all(bound(value.low) > 0.95 for value in found.values()), found)


def multipliers_foretell_no_robustness(results: Runs) -> Verdict:
    """Phase kept under noise on the state falls with 1/|ln ρ| in the tanh RNN; it rises in LSTM and ReLU RNN."""
    words = "rank correlation of phase kept under noise on the state with 1/|ln ρ|"
    found = _measured(results, 13, words, ("rnn_tanh", "lstm", "rnn_relu"))
    holds = bound(found["rnn_tanh"].high) < 0 and all(
        bound(found[c].low) > 0 for c in ("lstm", "rnn_relu")
    )
    return Verdict(holds, found)


def one_unit_often_fails(results: Runs) -> Verdict:
    """With one unit and full noise training fails in more than one run in twenty, in each main cell."""
    found = _measured(results, 15, "solved by training, hidden size 1", MAIN_CELLS)
    return Verdict(all(bound(value.high) < 0.95 for value in found.values()), found)


def guessing_solves_it(results: Runs) -> Verdict:
    """With 1, 2 and 4 units some random guess of the weights solves the task, in each main cell."""
    sizes = (1, 2, 4)
    found = {
        f"{cell} {size}": value
        for size in sizes
        for cell, value in _measured(
            results, 15, f"{GUESSED}, hidden size {size}", MAIN_CELLS
        ).items()
    }
    return Verdict(all(value.estimate > 0 for value in found.values()), found)


def training_gains_with_size(results: Runs) -> Verdict:
    """In each main cell training solves the task at 16 units at least as often as at 2."""
    found = {
        size: _measured(results, 15, f"solved by training, hidden size {size}", MAIN_CELLS)
        for size in (2, 16)
    }
    holds = all(found[16][cell].estimate >= found[2][cell].estimate for cell in MAIN_CELLS)
    return Verdict(
        holds, {f"{cell} {size}": value for size in found for cell, value in found[size].items()}
    )


def no_lstm_halves_its_loss_first(results: Runs) -> Verdict:
    """LSTM under Adam: in no run is the loss below half of chance before the crossing."""
    found = _measured(
        results, 8, "share whose loss is below 0.5 of chance before the crossing", ("lstm,_adam",)
    )
    return Verdict(all(value.estimate == 0 for value in found.values()), found)


def guessing_fades(results: Runs) -> Verdict:
    """In each main cell guessing solves the task less often at 16 units than at 2 (Fisher's test, Holm's)."""
    measures = {size: f"{GUESSED}, hidden size {size}" for size in (2, 16)}
    found = {
        size: _measured(results, 15, measure, MAIN_CELLS) for size, measure in measures.items()
    }
    pairs = [(each_of(found[2][cell]), each_of(found[16][cell])) for cell in MAIN_CELLS]
    contrasts = [share_difference(small, large) for small, large in pairs]
    adjusted = holm(np.array([contrast.p for contrast in contrasts]))
    holds = bool((adjusted < LEVEL).all()) and all(contrast.value > 0 for contrast in contrasts)
    return Verdict(
        holds, {f"{cell} {size}": value for size in found for cell, value in found[size].items()}
    )
