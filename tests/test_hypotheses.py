"""Each hypothesis held, failed, and was left out, given tables of a few networks."""

import re

import numpy as np
import pandas as pd
import pytest

from study.dynamics import hypotheses
from study.dynamics.hypotheses import (
    HYPOTHESES,
    MEASURES,
    Finding,
    measure_text,
    outcomes,
    verdict_table,
)
from study.dynamics.tables import RUN_COLUMNS

SETTINGS = {
    **{"cell": "gru", "hidden_size": 6, "noise": 1.0, "length": 20},
    **{"optimizer": "adam", "lr": 0.1},
}


def of(column: str, values: list, **more) -> pd.DataFrame:
    """A table with one solved network per value of a column."""
    networks = [SETTINGS | {"run_id": f"run {i}", "seed": i} for i in range(len(values))]
    return pd.DataFrame(networks).assign(**{"status": "solved", column: values}, **more)


def findings(number: str, **tables: pd.DataFrame) -> dict[str, Finding]:
    """The findings of a hypothesis's judge in one group of networks, by key."""
    return {finding.key: finding for finding in HYPOTHESES[number].judge(**tables)}


def decided(found: dict[str, Finding]) -> dict[str, bool]:
    return {key: finding.held for key, finding in found.items() if finding.held is not None}


def agree(finding: Finding) -> tuple[int | None, int]:
    return finding.agreeing, finding.estimate.n


def cycles(stable: list[int], **more) -> pd.DataFrame:
    """A row at each of two constant inputs; a network is stable at the upper if `stable`."""
    each = {"flip_eigenvalue": -2.0, "orbit_period": 2, "orbit_alternates": True} | more
    lower = of("stable_alternating", [1] * len(stable), u=0.5)
    return pd.concat([lower, of("stable_alternating", stable, u=1.0)]).assign(**each)


def test_every_measure_is_named_after_its_hypothesis():
    assert {key.partition(".")[0] for key in MEASURES} == set(HYPOTHESES)
    for name, hypothesis in HYPOTHESES.items():
        assert re.match(rf"{name} is refuted if .*\.$", hypothesis.judge.__doc__, flags=re.M)
    assert measure_text("H15.guessed/10/2").endswith(
        "weights in ±10 that solve the task at hidden size 2"
    )


def test_a_slip_fails_only_where_the_cycle_is_stable_at_every_input():
    stable = cycles([1, 1, 0])
    none = findings("H6", cycles=stable, slips=of("slips", [0, 0, 9], steps=100))
    assert decided(none) == {"H6.no_slip": True}
    assert agree(none["H6.no_slip"]) == (2, 2)
    assert agree(none["H6.no_slip_without_cycle"]) == (0, 1)
    one = findings("H6", cycles=stable, slips=of("slips", [0, 1, 9], steps=100))
    assert decided(one) == {"H6.no_slip": False}
    assert one["H6.slip_rate"].estimate.value == 1 / 200


def test_an_input_beyond_the_noise_does_not_count():
    found = findings("H7", cycles=cycles([0, 0]).assign(noise=0.5, u=[0.25, 0.25, 1.0, 1.0]))
    assert agree(found["H7.stable_cycle"]) == (2, 2)


def test_a_network_without_a_cycle_is_described_by_its_orbit():
    table = cycles([1, 1, 1])
    odd = (table["run_id"] == "run 2") & (table["u"] == 0.5)
    table.loc[odd, ["stable_alternating", "orbit_period"]] = [0, 4]
    found = findings("H7", cycles=table)
    assert decided(found) == {"H7.stable_cycle": False, "H7.flip_saddle": True}
    assert agree(found["H7.stable_cycle"]) == (2, 3)
    assert agree(found["H7.no_cycle_but_longer"]) == (1, 1)
    assert agree(found["H7.no_cycle_but_unsettled"]) == (0, 1)


def test_an_exponent_of_zero_fails_and_is_told_apart_from_growth():
    table = of("noisy", [-0.5, 1e-8, 0.3, np.nan], quiet=-0.5, half_log_rho=-0.505)
    found = findings("H9", exponents=table)
    assert decided(found) == {"H9.contracts": False}
    assert [finding.agreeing for finding in found.values()] == [1, 2, 4]


@pytest.mark.parametrize(("untrained", "held"), [(0.5, True), (1.0, False)])
def test_untrained_networks_that_match_fail_the_probe(untrained, held):
    parts = {True: 1.0, False: untrained}
    tables = [of("phase", [p] * 5, trained=t, hashed=0.5, shuffled=0.5) for t, p in parts.items()]
    found = findings("H10", probes=pd.concat(tables))
    assert decided(found) == {"H10.selectivity_gain": held}
    assert found["H10.probe/phase/untrained"].estimate.value == untrained


def interventions(flipped: dict[str, list[int]]) -> pd.DataFrame:
    """Ten trials per network, each flipped or kept. Keys are `intervention/part`."""
    tables = [
        of("flipped", counts, intervention=name.split("/")[0], part=name.split("/")[1])
        for name, counts in flipped.items()
    ]
    return pd.concat(tables).assign(trials=10, kept=lambda table: 10 - table["flipped"])


SWAPS = {"opposite donor/all": [10, 10], "same donor/all": [0, 0]}
CONTROLS = {"random state/all": [5, 4], "shuffled donor/all": [6, 4]}


def test_one_flip_by_the_same_phase_fails_the_hypothesis():
    found = findings("H11", interventions=interventions(SWAPS | CONTROLS))
    assert decided(found) == {"H11.opposite_flips": True, "H11.same_flips": True}
    assert found["H11.random_flips"].estimate.value == 0.45
    flips = SWAPS | CONTROLS | {"same donor/all": [0, 1]}
    same = findings("H11", interventions=interventions(flips))["H11.same_flips"]
    assert (same.held, same.estimate.value, *agree(same)) == (False, 0.05, 1, 2)


def test_c_alone_must_not_flip():
    flips = {"opposite donor/h": [10, 9], "opposite donor/c": [0, 0]}
    table = interventions(flips | {"opposite donor within/c": [10, 4]})
    ids = table["run_id"].unique()
    runs = pd.DataFrame({"run_id": ids, "cell": "gru", "init": ["forget_bias", "default"]})
    found = list(HYPOTHESES["H12"].judge(table, runs.assign(init_value=3.0, hidden_size=6)))
    by_key = {finding.key: finding for finding in found}
    assert decided(by_key) == {"H12.flips/c": True}
    assert by_key["H12.flips/h"].agreeing == 1
    within = [(f.group, f.estimate.value) for f in found if f.key == "H12.within"]
    assert within == [("gru", 0.7), ("gru/forget bias 3, 6 units", 1.0)]


@pytest.mark.parametrize(
    ("steps", "held"), [([2, 4, 8, 16, 32, 64], True), ([9, 3, 9, 3, 9, 3], False)]
)
def test_recovery_must_go_with_the_multipliers(steps, held):
    table = of("rho", [0.1, 0.3, 0.5, 0.7, 0.9, 0.99]).assign(noisy_steps=steps)
    jolted = interventions({"noise/all": [0, 1, 2, 3, 4, 5]})
    margins = of("toward", [0.5, np.inf, 0.4], nearest=np.inf)
    found = findings("H13", recovery=table, interventions=jolted, margins=margins)
    assert decided(found) == {"H13.recovery_rank": held}
    assert found["H13.robustness_rank"].estimate.value == pytest.approx(-1)
    assert found["H13.margin_toward"].estimate.value == 0.5


@pytest.mark.parametrize(("converged", "held"), [([np.nan, np.nan], True), ([np.nan, 20.0], False)])
def test_gates_that_see_x_only_must_not_solve(converged, held):
    runs = pd.DataFrame({"converged_update": converged})
    runs = runs.assign(cell="lstm_no_recurrence", task="alternating")
    table = interventions({"freeze gate/reset": [0, 10]})
    found = findings("H14", runs=runs, interventions=table)
    assert decided(found) == {"H14.unsolved_without_recurrence": held}
    assert found["H14.kept_frozen/reset"].estimate.value == 0.5


@pytest.mark.parametrize(("slips", "held"), [([0, 0], True), ([0, 1], False)])
def test_one_slip_of_a_hand_built_network_fails_existence(slips, held):
    runs = pd.DataFrame([SETTINGS | {"blocks": ("sizes",), "converged_update": 20.0}])
    guessed = pd.DataFrame([{"cell": "gru", "hidden_size": 2, "range": 10, "n": 100, "solved": 3}])
    built = of("slips", slips, steps=1000)
    found = findings("H15", runs=runs, hand_built=built, guessing=guessed)
    assert decided(found) == {"H15.hand_built_slips": held}
    assert found["H15.trained/6"].agreeing == 1
    assert found["H15.guessed/10/2"].estimate.value == 0.03


def test_only_positive_recurrences_are_held_to_the_bound():
    table = of("prefix", [7, 8], bound=7, noise=0.0, cell="mingru")
    signed, noisy = table.assign(cell="diagonal_signed"), table.assign(noise=1.0)
    found = list(HYPOTHESES["H17"].judge(bound=pd.concat([table, signed, noisy])))
    within = {finding.group: finding for finding in found if finding.key == "H17.within_bound"}
    assert {group: finding.held for group, finding in within.items()} == {
        **{"mingru/6": False, "diagonal_signed/6": None}
    }
    assert {agree(finding) for finding in within.values()} == {(1, 2)}


def test_hypotheses_without_networks_are_left_out_and_others_reach_the_verdict_table(
    tmp_path, monkeypatch
):
    folder = tmp_path / "dynamics"
    folder.mkdir()
    pd.DataFrame(columns=[*RUN_COLUMNS]).to_parquet(folder / "bound.parquet")
    table = of("noisy", [-0.5], quiet=np.nan, half_log_rho=np.nan)
    table.to_parquet(folder / "exponents.parquet")
    chosen = {key: HYPOTHESES[key] for key in ("H9", "H17")}
    monkeypatch.setattr(hypotheses, "HYPOTHESES", chosen)
    hypotheses.table(tmp_path, pd.DataFrame()).to_csv(folder / "verdicts.csv", index=False)
    (row,) = verdict_table(tmp_path)
    assert (row.hypothesis, row.failed) == ("H9", [])
    assert row.measure == "share with a negative largest conditional Lyapunov exponent"
    (held,) = row.held
    assert held.startswith("GRU: 1 [0.20")
    assert held.endswith(", 1 of 1")


def test_a_hypothesis_fails_in_a_group_if_any_measure_does():
    rows = [
        ("H7", "gru", "held"), ("H7", "gru", "failed"), ("H7", "lstm", "held"),
        ("H9", "gru", "held"), ("R1", "gru/pattern 110", "failed"),
        ("R1", "gru/pattern 10", "failed"), ("R1", "lstm/pattern 10", "held"), ("R2", "gru", None),
    ]  # fmt: skip
    found = outcomes(pd.DataFrame(rows, columns=["hypothesis", "group", "verdict"]))
    assert {key: str(outcome) for key, outcome in found.items()} == {
        "H7": "fails in 1 of 2 groups: GRU",
        "H9": "holds",
        "R1": "fails in 2 of 3 groups: GRU (pattern 110, 10)",
    }


@pytest.mark.parametrize(("broken", "held"), [(None, True), (40, False)])
def test_no_attack_may_break_a_network_that_is_proved_right(broken, held):
    table = of(
        "verdict", ["proved", "proved", "refuted", "undecided"], largest_noise=[1, 2, 0, 0.5]
    )
    table["first_wrong"] = [None, broken, 7, None]
    found = findings("P1", certificates=table)
    assert decided(found) == {"P1.withstands": held}
    assert agree(found["P1.withstands"]) == (1 + held, 2)
    assert agree(found["P1.share/proved"]) == (2, 4)
    assert agree(found["P1.share/undecided"]) == (1, 4)
    assert found["P1.largest_noise"].estimate.value == 0.5
