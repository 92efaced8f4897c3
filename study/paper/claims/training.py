"""Claims on training: cells, optimizers, states, starts, sizes, variants, lengths."""

from __future__ import annotations

import numpy as np
import pandas as pd

from study.grid import solved_share
from study.paper.claims.comparisons import (
    BIAS_LATER,
    CUE_HELPS,
    CUT_TWO_LATER,
    GRU_SGD_LAST,
    IDENTITY_WORSE,
    LSTM_SGD_LAST,
    NOISE_HINDERS,
    RELU_SELDOMER,
    TANH_BEFORE_GATES,
    ahead,
)
from study.paper.claims.verdict import GATED_OR_TANH, LEVEL, OPTIMIZERS, Verdict, bound, each_of
from study.paper.values import Runs, Value, accuracy, constant_answer, entry, solved, stored_table
from study.stats import Estimate, holm, share, share_difference

POSITIVE = ("diagonal_positive", "mingru", "minlstm", "lstm_no_recurrence")
SGD_LAST = (*(pair for pair in LSTM_SGD_LAST if pair.a[0] == "lstm"), *GRU_SGD_LAST)


def every_adaptive_gated_run_is_solved(results: Runs) -> Verdict:
    """LSTM, GRU and tanh RNN: no run of the headline under Adam or RMSprop is unsolved."""
    found = {
        f"{c} {o}": solved(results, "headline", c, o)
        for c in GATED_OR_TANH
        for o in ("adam", "rmsprop")
    }
    return Verdict(all(value.estimate == 1 for value in found.values()), found)


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


def cue_is_redundant(results: Runs) -> Verdict:
    """From zeros or a learned start without the cue, every run is solved at either noise level."""
    starts = ("zeros", "learned")
    words = [
        (c, f"noise={noise}", f"start={start}")
        for c in GATED_OR_TANH
        for noise in (0, 1)
        for start in starts
    ]
    found = {" ".join(w): solved(results, "starts", *w, "cue=false") for w in words}
    return Verdict(all(value.estimate == 1 for value in found.values()), found)


def positive_recurrences_never_solve(results: Runs) -> Verdict:
    """No run of a cell without a recurrent matrix and with positive decays is solved."""
    words = [
        (c, f"hidden_size={h}", f"noise={noise}")
        for c in POSITIVE
        for h in (2, 6)
        for noise in (0, 1)
    ]
    found = {" ".join(w): solved(results, "variants", *w) for w in words}
    return Verdict(all(value.estimate == 0 for value in found.values()), found)


def a_sign_is_enough(results: Runs) -> Verdict:
    """Every run of the signed diagonal recurrence is solved."""
    words = [(f"hidden_size={h}", f"noise={noise}") for h in (2, 6) for noise in (0, 1)]
    found = {" ".join(w): solved(results, "variants", "diagonal_signed", *w) for w in words}
    return Verdict(all(value.estimate == 1 for value in found.values()), found)


def sgd_is_slowest_for_gates(results: Runs) -> Verdict:
    """LSTM and GRU: every other optimizer is sooner than SGD."""
    return ahead(results, SGD_LAST)


def tanh_beats_gates(results: Runs) -> Verdict:
    """Under each optimizer the tanh RNN is sooner than LSTM and GRU."""
    return ahead(results, TANH_BEFORE_GATES)


def sgd_with_lstm_is_slowest(results: Runs) -> Verdict:
    """Every other pair of cell and optimizer is sooner than the LSTM under SGD."""
    return ahead(results, LSTM_SGD_LAST)


def relu_is_solved_less_often(results: Runs) -> Verdict:
    """Under each optimizer the tanh RNN is solved more often than the ReLU RNN."""
    return ahead(results, RELU_SELDOMER)


def two_step_gradient_is_slower(results: Runs) -> Verdict:
    """With a cut at every step runs are solved sooner than with one at every second."""
    return ahead(results, CUT_TWO_LATER)


def identity_stops_relu(results: Runs) -> Verdict:
    """The ReLU network is solved more often from torch's default than from the identity."""
    return ahead(results, IDENTITY_WORSE)


def forget_bias_slows(results: Runs) -> Verdict:
    """Runs at the lowest forget bias are solved sooner than at the highest."""
    return ahead(results, BIAS_LATER)


def random_start_needs_a_cue(results: Runs) -> Verdict:
    """From random states without noise: all runs are solved with the cue, and fewer without it."""
    found = {
        c: solved(results, "starts", c, "noise=0", "start=normal", "cue=true")
        for c in GATED_OR_TANH
    }
    verdict = ahead(results, CUE_HELPS)
    return Verdict(
        verdict.holds and all(value.estimate == 1 for value in found.values()),
        verdict.evidence | found,
    )


def noise_hides_the_cue(results: Runs) -> Verdict:
    """From random states with full noise fewer than half of the runs are solved, with the cue and without it."""
    words = [(c, f"cue={cue}") for c in GATED_OR_TANH for cue in ("true", "false")]
    found = {" ".join(w): solved(results, "starts", *w, "noise=1", "start=normal") for w in words}
    return Verdict(all(value.estimate < 0.5 for value in found.values()), found)


def carrying_across_batches_spares_two(results: Runs) -> Verdict:
    """With the state carried across batches every GRU and every tanh RNN is solved."""
    found = {c: solved(results, "states", c, "state=across_batches") for c in ("gru", "rnn_tanh")}
    return Verdict(all(value.estimate == 1 for value in found.values()), found)


def every_start_matrix_serves_gates_and_tanh(results: Runs) -> Verdict:
    """LSTM, GRU, tanh RNN: every run of the block of initialisations is solved."""
    rows = results.rows("initialisations")
    rows = rows[rows["cell"].isin(GATED_OR_TANH)]
    found = {
        " ".join(map(str, key)): _of(solved_share(group), f"initialisations: {len(group)} runs")
        for key, group in rows.groupby(["cell", "init", "init_value"], dropna=False)
    }
    return Verdict(all(value.estimate == 1 for value in found.values()), found)


def noise_hinders_one_unit(results: Runs) -> Verdict:
    """LSTM, GRU, tanh RNN of one unit at length 20 are solved more often without noise than with full noise."""
    return ahead(results, NOISE_HINDERS)


def lengths_place_no_boundary(results: Runs) -> Verdict:
    """LSTM, GRU, tanh RNN: no fit has the length at which half of the runs are solved within the lengths tried."""
    table = stored_table(results, "main/figures/solved_map")
    table = table[(table["measure"] == "half_solved_length") & table["cell"].isin(GATED_OR_TANH)]
    lengths = results.rows("factorial")["length"]
    inside = table["estimate"].astype(float).between(lengths.min(), lengths.max())
    return Verdict(
        len(table) > 0 and not inside.any(),
        {"fits": _of(share(int(inside.sum()), len(inside)), "solved_map")},
    )


def chosen_rates_are_interior(results: Runs) -> Verdict:
    """No pair of cell and optimizer of the headline has the lowest or the highest rate that was tried for it."""
    pairs = results.rows("headline")[["cell", "optimizer", "lr"]].drop_duplicates()
    tried = pd.concat([results.rows(block) for block in ("tuning_sgd", "tuning_adaptive")])
    ends = tried.groupby(["cell", "optimizer"])["lr"].agg(["min", "max"])
    pairs = pairs.join(ends, on=["cell", "optimizer"])
    inside = (pairs["min"] < pairs["lr"]) & (pairs["lr"] < pairs["max"])
    return Verdict(
        bool(inside.all()),
        {"interior": _of(share(int(inside.sum()), len(inside)), "pairs of the headline")},
    )


def audited_runs_pass(results: Runs) -> Verdict:
    """Every run of the audit's sample passes."""
    passes = stored_table(results, "main/audit")["passes"].astype(bool)
    return Verdict(
        bool(passes.all()), {"passes": _of(share(int(passes.sum()), len(passes)), "main/audit")}
    )


def size_is_the_boundary(results: Runs) -> Verdict:
    """LSTM, GRU, tanh RNN: with four units or more every run of the factorial block is solved."""
    rows = results.rows("factorial")
    rows = rows[rows["cell"].isin(GATED_OR_TANH) & (rows["hidden_size"] >= 4)]
    found = {
        f"{cell} {size}": _share(group)
        for (cell, size), group in rows.groupby(["cell", "hidden_size"])
    }
    return Verdict(all(value.estimate == 1 for value in found.values()), found)


def engines_agree(results: Runs) -> Verdict:
    """In every cell, runs of one seed have one convergence time on both engines in both precisions."""
    frames = [results.rows(f"devices/{block}") for block in ("devices", "precision")]
    rows = pd.concat(frames).assign(time=lambda frame: frame["converged_update"].fillna(-1))
    kinds = rows.groupby(["engine", "dtype"]).ngroups
    seeds = rows.groupby(["cell", "seed"])["time"].agg(["nunique", "size"])
    same = (seeds["nunique"] == 1) & (seeds["size"] == kinds)
    found = {
        str(cell): _of(share(int(group.sum()), len(group)), str(cell))
        for cell, group in same.groupby("cell")
    }
    return Verdict(kinds == 4 and bool(same.all()), found)


def _share(rows: pd.DataFrame) -> Value:
    return _of(solved_share(rows), f"factorial: {len(rows)} runs")


def _of(estimate: Estimate, source: str) -> Value:
    text = f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
    return Value(text, estimate.value, estimate.low, estimate.high, estimate.n, source)


def other_variants_mostly_solve(results: Runs) -> Verdict:
    """Every other variant is solved in more than nine runs in ten at either size and noise level, interval and all."""
    cells = ("gru_v1", "mgu", "lstm_peephole", "lstm_cifg", "lstm_nfg")
    words = [
        (c, f"hidden_size={h}", f"noise={noise}") for c in cells for h in (2, 6) for noise in (0, 1)
    ]
    found = {" ".join(w): solved(results, "variants", *w) for w in words}
    return Verdict(all(bound(value.low) > 0.9 for value in found.values()), found)


def gates_track_the_input(results: Runs) -> Verdict:
    """LSTM and GRU: every run of both tasks that the input drives is solved."""
    words = [(c, f"task={task}") for c in ("lstm", "gru") for task in ("parity", "reset")]
    found = {" ".join(w): solved(results, "controls", *w) for w in words}
    return Verdict(all(value.estimate == 1 for value in found.values()), found)


def adaptive_networks_do_not_slip(results: Runs) -> Verdict:
    """LSTM, GRU, tanh RNN under Adam or RMSprop: no network slips on sequences far longer than those of training."""
    found = {
        f"{c} {o}": _slipping(results, c, o) for c in GATED_OR_TANH for o in ("adam", "rmsprop")
    }
    return Verdict(all(value.estimate == 0 for value in found.values()), found)


def relu_networks_slip(results: Runs) -> Verdict:
    """Under each optimizer more ReLU networks slip than tanh networks (Fisher's test, Holm's correction)."""
    found = {
        f"{c} {o}": _slipping(results, c, o) for c in ("rnn_relu", "rnn_tanh") for o in OPTIMIZERS
    }
    contrasts = [
        share_difference(each_of(found[f"rnn_relu {o}"]), each_of(found[f"rnn_tanh {o}"]))
        for o in OPTIMIZERS
    ]
    adjusted = holm(np.array([contrast.p for contrast in contrasts]))
    return Verdict(
        bool((adjusted < LEVEL).all()) and all(contrast.value > 0 for contrast in contrasts), found
    )


def _slipping(results: Runs, cell: str, optimizer: str) -> Value:
    words = (f"cell={cell}", f"optimizer={optimizer}", "measure=share_slipping")
    return entry(results, "main/figures/length_generalisation", "estimate", *words)
