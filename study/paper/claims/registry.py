"""List every claim of the paper, and check them all.

A key of `CLAIMS` is the name of a claim in the text. A claim must hold in every results folder that
has the runs or networks in question. Only comparisons of two groups of runs are tested in the main
grid alone, and Holm's method corrects their p-values together.
"""

from __future__ import annotations

from study.errors import BadInput, Problem, unknown
from study.grid import Results
from study.paper.claims import computed
from study.paper.claims.comparisons import COMPARED, ahead
from study.paper.claims.predicates import (
    Claim,
    Test,
    Verdict,
    above,
    around,
    below,
    both,
    close_to,
    each,
    equals,
    larger,
    measured,
    pairs,
    significant,
    within,
)

SETTINGS = "hidden_size={2|6} noise={0|1}"
RANDOM_START = "solved starts {cell} start=normal"
SLIPPING = "entry main/figures/length_generalisation estimate measure=share_slipping"
GUESSED = "entry {analysed}/dynamics/verdicts estimate H15.guessed/100"
NEVER = "{diagonal_positive|mingru|minlstm|lstm_no_recurrence}"
MOSTLY = "{gru_v1|mgu|lstm_peephole|lstm_cifg|lstm_nfg}"
STEPS = "notebook/between_steps {cell}"
ZEROING = "entry forum/answers/zeroing"
PLATEAU = "entry forum/answers/plateau left_median_epoch"
CHANGES = "entry forum/answers/changes"
LOOPS = "entry forum/answers/loops"
FACTORIAL = "entry forum_factorial/answers"
COMBINED = FACTORIAL + "/combinations solved_by_500 {reading} lstm cue=true data=fixed"
EFFECT = FACTORIAL + "/effects log_odds_ratio"


def _in_variants(cells: str, holds: Test) -> Claim:
    """Return the claim that each cell's share of solved runs passes the test `holds`.

    The shares come from the blocks `variants` of the grids `main` and `dynamics`.
    """
    calls = f"solved variants {cells} {SETTINGS}", f"solved dynamics/variants {cells}"
    return both(*(each(call, holds) for call in calls))


def _followed(words: str, holds: Test) -> Claim:
    """Return the claim that a measure of the networks that were followed passes `holds`."""
    return measured(words, holds, "resonance")


TRAINING: dict[str, Claim] = {
    **{name: ahead(name) for name in COMPARED},  # `random_start_needs_a_cue` is extended below
    "every_adaptive_gated_run_is_solved": each("solved headline {cell} {adaptive}", equals(1)),
    "chosen_rates_are_interior": computed.chosen_rates_are_interior,
    "audited_runs_pass": computed.audited_runs_pass,
    "engines_agree": computed.engines_agree,
    "resetting_never_solves": both(
        each("solved states {cell} state=reset", equals(0)),
        each(f"solved {STEPS} state=reset start={{zeros|normal}} cue={{true|false}}", equals(0)),
    ),
    "resetting_is_the_constant_answer": both(
        pairs("accuracy states {cell} state=reset", "constant_answer states", close_to),
        pairs(
            f"accuracy {STEPS} state=reset start=zeros cue=true",
            "constant_answer notebook/between_steps",
            close_to,
        ),
    ),
    "one_step_gradient_suffices": each(
        "solved {states|notebook/gradient_cut} {cell} cut_every=1", equals(1)
    ),
    "cue_is_redundant": both(
        each("solved starts {cell} noise={0|1} start={zeros|learned} cue=false", equals(1)),
        each(f"solved {STEPS} state=carried start=zeros cue=false", equals(1)),
    ),
    "random_start_needs_a_cue": both(
        ahead("random_start_needs_a_cue"), each(RANDOM_START + " noise=0 cue=true", equals(1))
    ),
    "noise_hides_the_cue": both(
        each(RANDOM_START + " noise=1 cue={true|false}", lambda share: share.estimate < 1 / 2),
        each(f"solved {STEPS} state=carried start=normal cue={{true|false}}", below(1 / 2)),
    ),
    "gates_track_the_input": each("solved controls {gated} task={parity|reset}", equals(1)),
    "size_is_the_boundary": computed.every_run_solved(
        "factorial", "dynamics/sizes", "dynamics/lengths", least_size=4
    ),
    "every_start_matrix_serves_gates_and_tanh": computed.every_run_solved("initialisations"),
    "a_sign_is_enough": _in_variants("diagonal_signed", equals(1)),
    "rotations_are_enough": each(f"solved variants diagonal_complex {SETTINGS}", equals(1)),
    "positive_recurrences_never_solve": _in_variants(NEVER, equals(0)),
    "other_variants_mostly_solve": _in_variants(MOSTLY, above(0.85)),
    "adaptive_networks_do_not_slip": each(
        SLIPPING + " cell={cell} optimizer={adaptive}", equals(0)
    ),
    "relu_networks_slip": pairs(
        SLIPPING + " cell=rnn_relu optimizer={optimizer}",
        SLIPPING + " cell=rnn_tanh optimizer={optimizer}",
        larger,
    ),
}

# Claims about the hypotheses. A measure is named by its key in `study.dynamics.hypotheses.MEASURES`
# and by its group of networks.
MECHANISM: dict[str, Claim] = {
    "stable_cycles_do_not_slip": both(
        measured("H6.no_slip {lstm|rnn_tanh}", equals(1)), measured("H6.no_slip gru", above(0.98))
    ),
    "most_sit_on_a_cycle": measured("H7.stable_cycle {cell}", above(0.95)),
    "many_relu_networks_lack_a_cycle": measured("H7.stable_cycle rnn_relu", within(0.4, 2 / 3)),
    "most_tanh_networks_are_proved": measured("P1.share/proved rnn_tanh", above(0.9)),
    "most_gated_networks_are_proved": measured(
        "P1.share/proved {gated}", lambda share: share.estimate > 0.5
    ),
    "proofs_withstand_attacks": measured("P1.withstands {main_cell}", equals(1)),
    "most_have_an_unstable_point": measured("H7.flip_saddle {cell}", above(0.95)),
    "tanh_crosses_on_harmonics": _followed("R1.on_harmonic rnn_tanh/pattern_{pattern}", equals(1)),
    "gated_cells_mostly_cross_on_harmonics": _followed(
        "R1.on_harmonic {gated}/pattern_{pattern}", above(0.5)
    ),
    "no_gated_cell_starts_there": _followed(
        "R1.before_training {gated}/pattern_{pattern}", equals(0)
    ),
    "gated_cells_cross_where_they_answer_most": _followed(
        "R1.strongest {gated}/pattern_{10|110|1100|1000|111000|1110100|11110000}", above(0.6)
    ),
    "another_harmonic_may_win": _followed("R1.strongest {gated}/pattern_11010", below(0.6)),
    "no_power_no_crossing": _followed("R1.on_harmonic {cell}/pattern_1100", equals(1)),
    "short_patterns_lock_at_once": _followed(
        "R1.lag {gated}/pattern_{10|110|1000|1100}", within(-10, 50)
    ),
    "long_patterns_lock_late": _followed(
        "R1.lag {cell}/pattern_{11010|111000|1110100|11110000}", above(150)
    ),
    "most_gated_networks_lock": _followed("R1.locked {gated}/pattern_{pattern}", above(0.6)),
    "one_pattern_does_not_lock": _followed("R1.locked rnn_tanh/pattern_00100110", below(0.3)),
    "crossings_follow_from_weights": _followed("R2.r2 {main_cell}/sgd", above(0.8)),
    "crossings_follow_elsewhere": both(
        _followed("R2.r2 {main_cell}/{momentum|rmsprop|adam}", above(0.5)),
        _followed("R2.r2 {gru_v1|mgu|lstm_peephole|lstm_cifg}/sgd", above(0.5)),
    ),
    "predictions_are_unbiased": _followed("R2.ratio {main_cell}/sgd", within(0.95, 1.05)),
    "noise_matters_little": _followed("R2.again_r2 {main_cell}/sgd", above(0.8)),
    "no_simple_number_foretells_the_crossing": _followed(
        "R2.baseline/{distance|first_radius|first_step} {main_cell}/sgd", below(0.5)
    ),
    "the_formula_fails_for_gates": _followed("R2a.predicted {gated}", equals(0)),
    "times_collapse": _followed(
        "R8.ratio/{0|0.0521|0.2083|0.4167|0.8333|1.6667|3.3333} {cell}/6",
        lambda ratio: 1 <= ratio.estimate < 1.5,
    ),
    "time_is_foretold_within_two": _followed("R8a.near {cell}", equals(1)),
    "noise_must_be_counted": _followed("R8a.without_noise gru", below(0.7)),
    "gated_losses_fall_at_a_distance_of_one_over_t": _followed(
        "R3.slope/quiet {gated}", within(-1.3, -0.7)
    ),
    "the_tanh_distance_falls_faster": _followed(
        "R3.slope/quiet rnn_tanh", lambda slope: slope.estimate < -1.3
    ),
    "the_rate_decides_what_comes_first": both(
        _followed("R3.loss_first/0.1 gru", above(0.8)), _followed("R3.loss_first/3 gru", equals(0))
    ),
    "cuts_interfere": measured(
        "R5.rank {cell}/pattern_{10|110|1100|1000|11010|111000}", above(0), "truncation"
    ),
    "random_cuts_cure": measured("R5.cured {cell}", equals(1), "truncation"),
    "other_cuts_slow_too": both(
        measured("R5.slow/misses_the_harmonics {cell}", above(0.2), "truncation"),
        measured("R5.slow/meets_the_harmonics {cell}", above(0.5), "truncation"),
    ),
    "fixed_cuts_lose_the_season": computed.fixed_cuts_lose_the_season,
    "parity_is_not_learned_at_the_mean_input": measured(
        "R7.in_time {cell}/parity,_Adam", below(0.15), "automata"
    ),
    "parity_crosses_under_the_flip": measured(
        "R7a.angle {cell}/parity,_Adam", above(0.8), "automata"
    ),
    "time_runs_as_a_root": both(
        _followed("R4.exponent/zeroed {cell}/length_20", within(-1.2, -0.8)),
        _followed("R4.exponent/never {cell}/length_20", within(-0.65, -0.4)),
    ),
    "never_zeroing_takes_the_root": _followed("R4.ratio/0.1 {cell}/length_20", within(1, 20)),
    "one_exponent_is_off": _followed(
        "R4.exponent/never lstm/length_50", lambda exponent: -0.44 < exponent.estimate < -0.3
    ),
    "noise_does_not_spread": measured("H9.contracts {cell}", above(0.98)),
    "a_probe_reads_the_phase": both(
        measured("H10.probe/phase/trained {main_cell}", above(0.9)),
        measured("H10.probe/phase/untrained {main_cell}", below(0.55)),
    ),
    "swapped_phase_stays": both(
        measured("H11.opposite_flips {main_cell}", above(0.98)),
        measured("H11.same_flips {main_cell}", below(0.02)),
    ),
    "h_alone_carries_the_phase": both(
        measured("H12.flips/h lstm", above(0.98)), measured("H12.flips/c lstm", below(0.02))
    ),
    "recovery_follows_multipliers": measured("H13.recovery_rank {main_cell}", above(0.85)),
    "multipliers_foretell_no_robustness": both(
        measured("H13.robustness_rank rnn_tanh", below(0)),
        measured("H13.robustness_rank lstm", above(0)),
        measured("H13.robustness_rank rnn_relu", above(0), "main"),
    ),
    "low_biases_pass_the_phase_through_c": measured(
        "H12.within lstm/forget_bias_{-1|0},_{6|24}_units", equals(1), "phase"
    ),
    "high_biases_pass_it_through_the_output_gate": measured(
        "H12.within lstm/forget_bias_{5|8},_24_units", equals(0), "phase"
    ),
    "candidate_is_the_route": measured("H14.kept_cut/candidate {gated}", below(0.1)),
    "forget_gate_needs_no_state": measured("H14.kept_cut/forget lstm", above(0.98)),
    "one_unit_by_hand_works": measured("H15.hand_built_slips {main_cell}", equals(0)),
    "one_unit_often_fails": measured("H15.trained/1 {main_cell}", below(1)),
    "guessing_solves_it": measured(
        "H15.guessed/100/{1|2|4} {main_cell}", lambda share: share.estimate > 0
    ),
    "guessing_fades": pairs(GUESSED + "/2 {main_cell}", GUESSED + "/16 {main_cell}", larger),
    "bound_holds": measured("H17.within_bound {positive}/{2|6}", equals(1), "main"),
    "signed_passes_the_bound": measured(
        "H17.within_bound diagonal_signed/{2|6}", equals(0), "main"
    ),
}

# Claims about the forum post, on tables of `study answers`, whose p-values are already corrected.
POST: dict[str, Claim] = {
    "zeroing_hurts_the_post": significant(
        ZEROING + " gain {reading} change=as_it_is", lambda gain: gain.estimate < 0
    ),
    "zeroing_helps_adam": both(
        significant(
            ZEROING + " gain {reading} change=adam_rate_0.01", lambda gain: gain.estimate > 0
        ),
        each(CHANGES + " solved {reading} zeroed=false change=adam_rate_0.01", below(0.2)),
        each(COMBINED + " zeroed=false optimizer=adam lr=0.01", below(0.25)),  # n = 30
    ),
    "zeroed_post_never_learns": both(
        each(LOOPS + " solved step_after={all_epochs|epoch|sequence} zeroed=true", equals(0)),
        each(COMBINED + " zeroed=true optimizer=sgd lr=0.1", equals(0)),
    ),
    "post_stops_between": both(
        each(PLATEAU + " zeroed=false lr=0.1", below(500)),  # epochs
        each(PLATEAU + " zeroed=true lr=0.1", above(500)),
    ),
    "post_is_a_coin": both(
        each(LOOPS + " solved {reading} zeroed=false", around(1 / 2)),
        each(COMBINED + " zeroed=false optimizer=sgd lr=0.1", within(0.3, 0.85)),  # n = 30
    ),
    "time_rescues_the_zeroed_loop": significant(
        CHANGES + " solved_gain {reading} zeroed=true change=5,000_epochs", above(0)
    ),
    "other_optimizers_rescue": both(
        each(CHANGES + " solved {reading} zeroed=true change={adaptive}_rate_0.01", above(0.85)),
        each(COMBINED + " zeroed=true optimizer=adam lr=0.01", above(0.75)),  # n = 30
    ),
    "another_cell_rescues": significant(
        CHANGES + " solved_gain {reading} zeroed={true|false} change=tanh_rnn", above(0)
    ),
    "zeroing_helps_on_average": each(EFFECT + " epochs=500 term=gradient=zeroed", above(0)),
    "zeroing_works_with_adam_in_the_factorial": each(
        EFFECT + " epochs={500|5000} term=gradient=zeroed_:_optimizer=Adam_{0.01|0.1}", above(0)
    ),
}

CLAIMS = TRAINING | MECHANISM | POST


def judge(results: Results, sentences: dict[str, str]) -> dict[str, Verdict]:
    """Return the verdict on each claim in the text, by the claim's name.

    `sentences` has the sentence of each claim by the claim's name. Raises `BadInput`, which lists
    sentences without a predicate in `CLAIMS`, predicates without a sentence, and sentences that the
    results refute.
    """
    verdicts, messages = {}, {}
    for name, sentence in sentences.items():
        if name not in CLAIMS:
            messages[name] = f"{unknown('claim', name, CLAIMS)}; its sentence: {sentence}"
            continue
        verdict = verdicts[name] = CLAIMS[name](results)
        if not verdict.holds:
            numbers = "; ".join(f"{call}: {value.text}" for call, value in verdict.evidence.items())
            messages[name] = f"the results refute: {sentence} ({numbers})"
    messages |= {name: "has no sentence in the text" for name in CLAIMS if name not in sentences}
    if messages:
        raise BadInput(Problem(f"claim {name}", message) for name, message in messages.items())
    return verdicts
