"""What the paper asserts and the results could refute: each a predicate, evaluated whenever the paper is built.

A claim is a function from the results to a `Verdict`. In `paper/source.md` it stands around its sentence:
`{% claim name %}The sentence.{% end %}`. A sentence without a predicate, a predicate without a sentence, and a
predicate that fails each stop the build.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from study.errors import BadInput, Problem, unknown
from study.values import Runs, Value, accuracy, constant_answer, entry, median, solved

MAIN_CELLS = ("lstm", "gru", "rnn_tanh", "rnn_relu")
GATED_OR_TANH = ("lstm", "gru", "rnn_tanh")
POSITIVE = ("diagonal_positive", "mingru", "minlstm", "lstm_no_recurrence")


@dataclass(frozen=True)
class Verdict:
    """Whether a claim holds, and the values it was judged by."""

    holds: bool
    evidence: dict[str, Value]


def every_adaptive_gated_run_is_solved(results: Runs) -> Verdict:
    """LSTM, GRU and tanh RNN: no run of the headline under Adam or RMSprop is unsolved."""
    found = {f"{c} {o}": solved(results, "headline", c, o) for c in GATED_OR_TANH for o in ("adam", "rmsprop")}
    return Verdict(all(value.estimate == 1 for value in found.values()), found)


def sgd_is_slowest_for_gates(results: Runs) -> Verdict:
    """LSTM and GRU: the interval of SGD's median lies above that of every other optimizer's."""
    optimizers = ("adam", "rmsprop", "momentum", "sgd")
    found = {f"{c} {o}": median(results, "headline", c, o) for c in ("lstm", "gru") for o in optimizers}
    slower = [
        _bound(found[f"{c} sgd"].low) > _bound(found[f"{c} {o}"].high) for c in ("lstm", "gru") for o in optimizers[:3]
    ]
    return Verdict(all(slower), found)


def tanh_beats_gates(results: Runs) -> Verdict:
    """Under each optimizer the interval of the tanh RNN's median lies below those of LSTM and GRU."""
    optimizers = ("adam", "rmsprop", "momentum", "sgd")
    found = {f"{c} {o}": median(results, "headline", c, o) for c in GATED_OR_TANH for o in optimizers}
    faster = [
        _bound(found[f"rnn_tanh {o}"].high) < _bound(found[f"{c} {o}"].low) for c in ("lstm", "gru") for o in optimizers
    ]
    return Verdict(all(faster), found)


def sgd_with_lstm_is_slowest(results: Runs) -> Verdict:
    """The interval of the LSTM's median under SGD lies above that of every other pair of cell and optimizer."""
    pairs = [(c, o) for c in MAIN_CELLS for o in ("adam", "rmsprop", "momentum", "sgd")]
    found = {f"{c} {o}": median(results, "headline", c, o) for c, o in pairs}
    slowest = _bound(found.pop("lstm sgd").low)
    others = all(slowest > _bound(value.high) for value in found.values())
    return Verdict(others, found | {"lstm sgd": median(results, "headline", "lstm", "sgd")})


def resetting_never_solves(results: Runs) -> Verdict:
    """With the state reset at every step no run is solved."""
    found = {c: solved(results, "states", c, "state=reset") for c in GATED_OR_TANH}
    return Verdict(all(value.estimate == 0 for value in found.values()), found)


def resetting_is_the_constant_answer(results: Runs) -> Verdict:
    """With the state reset the median accuracy is within 0.02 of the best constant answer's."""
    best = constant_answer(results, "states")
    found = {c: accuracy(results, "states", c, "state=reset") for c in GATED_OR_TANH}
    near = all(abs(value.estimate - best.estimate) < 0.02 for value in found.values())
    return Verdict(near, found | {"constant answer": best})


def one_step_gradient_suffices(results: Runs) -> Verdict:
    """With the gradient cut at every step all runs are solved."""
    found = {c: solved(results, "states", c, "cut_every=1") for c in GATED_OR_TANH}
    return Verdict(all(value.estimate == 1 for value in found.values()), found)


def two_step_gradient_is_slower(results: Runs) -> Verdict:
    """The median with a cut every two steps lies above that with one every step, intervals apart."""
    found = {f"{c} {k}": median(results, "states", c, f"cut_every={k}") for c in GATED_OR_TANH for k in (1, 2)}
    return Verdict(all(_bound(found[f"{c} 2"].low) > _bound(found[f"{c} 1"].high) for c in GATED_OR_TANH), found)


def cue_is_redundant(results: Runs) -> Verdict:
    """From zeros without the cue, every run is solved at either noise level."""
    words = [(c, f"noise={noise}") for c in GATED_OR_TANH for noise in (0, 1)]
    found = {" ".join(w): solved(results, "starts", *w, "start=zeros", "cue=false") for w in words}
    return Verdict(all(value.estimate == 1 for value in found.values()), found)


def random_start_needs_a_cue(results: Runs) -> Verdict:
    """From random states without noise: all runs are solved with the cue; without it each interval lies below that."""
    found = {
        f"{c} cue={cue}": solved(results, "starts", c, "noise=0", "start=normal", f"cue={cue}")
        for c in GATED_OR_TANH
        for cue in ("true", "false")
    }
    with_cue = all(found[f"{c} cue=true"].estimate == 1 for c in GATED_OR_TANH)
    fewer = [_bound(found[f"{c} cue=false"].high) < _bound(found[f"{c} cue=true"].low) for c in GATED_OR_TANH]
    return Verdict(with_cue and all(fewer), found)


def positive_recurrences_never_solve(results: Runs) -> Verdict:
    """No run of a cell without a recurrent matrix and with positive decays is solved."""
    words = [(c, f"hidden_size={h}", f"noise={noise}") for c in POSITIVE for h in (2, 6) for noise in (0, 1)]
    found = {" ".join(w): solved(results, "variants", *w) for w in words}
    return Verdict(all(value.estimate == 0 for value in found.values()), found)


def a_sign_is_enough(results: Runs) -> Verdict:
    """Every run of the signed diagonal recurrence is solved."""
    words = [(f"hidden_size={h}", f"noise={noise}") for h in (2, 6) for noise in (0, 1)]
    found = {" ".join(w): solved(results, "variants", "diagonal_signed", *w) for w in words}
    return Verdict(all(value.estimate == 1 for value in found.values()), found)


def identity_stops_relu(results: Runs) -> Verdict:
    """The interval of the ReLU network's share solved from identity lies below that from torch's default."""
    found = {i: solved(results, "initialisations", "rnn_relu", f"init={i}") for i in ("identity", "default")}
    return Verdict(_bound(found["identity"].high) < _bound(found["default"].low), found)


def forget_bias_slows(results: Runs) -> Verdict:
    """A forget bias of 3 has a median above that of -1, intervals apart, and both solve every run."""
    found = {f"median {b}": median(results, "forget_bias", f"init_value={b}") for b in (-1, 3)}
    shares = {f"solved {b}": solved(results, "forget_bias", f"init_value={b}") for b in (-1, 3)}
    apart = _bound(found["median 3"].low) > _bound(found["median -1"].high)
    return Verdict(apart and all(value.estimate == 1 for value in shares.values()), found | shares)


def _bound(value: float | None) -> float:
    """An interval's bound; NaN, which no comparison passes, where there is none."""
    return float("nan") if value is None else value


# --- the post, and the mechanism: from the tables of `study.answers` and `study.dynamics` -------


def _verdict(results: Runs, hypothesis: int, measure: str, cells: tuple[str, ...]) -> dict[str, Value]:
    """A measure of `verdicts.csv`, by cell."""
    words = (f"hypothesis={hypothesis}", f"measure={measure.replace(' ', '_')}")
    return {cell: entry(results, "main/dynamics/verdicts", "estimate", *words, f"group={cell}") for cell in cells}


def _zeroing(results: Runs, change: str) -> dict[str, Value]:
    """What zeroing gains in share solved (paired over seeds), in both readings of where the step stands."""
    words = ("step_after=epoch", "step_after=sequence")
    return {word: entry(results, "forum/answers/zeroing", "gain", word, f"change={change}") for word in words}


def zeroing_hurts_the_post(results: Runs) -> Verdict:
    """In both readings the paired interval of the gain lies below zero."""
    found = _zeroing(results, "as_it_is")
    return Verdict(all(_bound(value.high) < 0 for value in found.values()), found)


def zeroing_helps_adam(results: Runs) -> Verdict:
    """With Adam at the rate 0.01 the paired interval of the gain lies above zero in both readings."""
    found = _zeroing(results, "adam_rate_0.01")
    return Verdict(all(_bound(value.low) > 0 for value in found.values()), found)


def zeroed_post_never_learns(results: Runs) -> Verdict:
    """With gradients zeroed no run of the post's own settings is solved, wherever the step stands."""
    words = ("all_epochs", "epoch", "sequence")
    found = {w: entry(results, "forum/answers/loops", "solved", f"step_after={w}", "zeroed=true") for w in words}
    return Verdict(all(value.estimate == 0 for value in found.values()), found)


def stable_cycles_do_not_slip(results: Runs) -> Verdict:
    """LSTM, GRU, tanh RNN: no network with a stable cycle at every tested input slips in the steps watched."""
    found = _verdict(results, 6, "share without a slip, stable cycle", GATED_OR_TANH)
    return Verdict(all(value.estimate == 1 for value in found.values()), found)


def most_sit_on_a_cycle(results: Runs) -> Verdict:
    """LSTM, GRU, tanh RNN: nearly all have a stable alternating 2-cycle at every tested input (above 0.95)."""
    found = _verdict(results, 7, "share with a stable alternating 2-cycle at every constant input", GATED_OR_TANH)
    return Verdict(all(_bound(value.low) > 0.95 for value in found.values()), found)


def swapped_phase_stays(results: Runs) -> Verdict:
    """A state of the opposite phase flips the answers in nearly every trial, one of the same phase in nearly none."""
    flips = _verdict(results, 11, "predicted flips that persist, opposite donor", MAIN_CELLS)
    same = _verdict(results, 11, "flips, donor of the same phase", MAIN_CELLS)
    holds = all(_bound(value.low) > 0.99 for value in flips.values())
    holds &= all(_bound(value.high) < 0.01 for value in same.values())
    return Verdict(holds, {f"opposite {c}": v for c, v in flips.items()} | {f"same {c}": v for c, v in same.items()})


def h_alone_carries_the_phase(results: Runs) -> Verdict:
    """In the LSTM, h alone from the opposite phase flips every answer, c alone none."""
    parts = ("h", "c")
    found = {p: _verdict(results, 12, f"flips when {p} alone comes from an opposite donor", ("lstm",)) for p in parts}
    values = {part: value["lstm"] for part, value in found.items()}
    return Verdict((values["h"].estimate, values["c"].estimate) == (1, 0), values)


def recovery_follows_multipliers(results: Runs) -> Verdict:
    """The rank correlation of steps to recover with 1/|ln ρ| is above 0.85 in each cell, interval and all."""
    found = _verdict(results, 13, "rank correlation of steps to recover with 1/|ln ρ|", MAIN_CELLS)
    return Verdict(all(_bound(value.low) > 0.85 for value in found.values()), found)


CLAIMS: dict[str, Callable[[Runs], Verdict]] = {
    function.__name__: function
    for function in (
        every_adaptive_gated_run_is_solved,
        sgd_is_slowest_for_gates,
        sgd_with_lstm_is_slowest,
        tanh_beats_gates,
        resetting_never_solves,
        resetting_is_the_constant_answer,
        one_step_gradient_suffices,
        two_step_gradient_is_slower,
        cue_is_redundant,
        random_start_needs_a_cue,
        positive_recurrences_never_solve,
        a_sign_is_enough,
        identity_stops_relu,
        forget_bias_slows,
        zeroing_hurts_the_post,
        zeroing_helps_adam,
        zeroed_post_never_learns,
        stable_cycles_do_not_slip,
        most_sit_on_a_cycle,
        swapped_phase_stays,
        h_alone_carries_the_phase,
        recovery_follows_multipliers,
    )
}


def judge(results: Runs, sentences: dict[str, str]) -> dict[str, Verdict]:
    """The verdict of each claim of a text (name to sentence); `BadInput` names every sentence that cannot stand."""
    verdicts = {name: CLAIMS[name](results) for name in sentences if name in CLAIMS}
    problems = [
        Problem(f"claim {name}", f"{unknown('claim', name, CLAIMS)}; its sentence: {sentence}")
        for name, sentence in sentences.items()
        if name not in CLAIMS
    ]
    problems += [Problem(f"claim {name}", "has no sentence in the text") for name in CLAIMS if name not in sentences]
    problems += [
        Problem(f"claim {name}", f"the results refute: {sentences[name]} ({_numbers(verdict)})")
        for name, verdict in verdicts.items()
        if not verdict.holds
    ]
    if problems:
        raise BadInput(problems)
    return verdicts


def _numbers(verdict: Verdict) -> str:
    return "; ".join(f"{name}: {value.text}" for name, value in verdict.evidence.items())
