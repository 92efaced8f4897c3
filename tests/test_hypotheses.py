"""Each hypothesis held, failed, and left out, from tables of a few networks."""

import numpy as np
import pandas as pd
import pytest

from study.dynamics import verdicts
from study.dynamics.tables import ABOUT

SETTINGS = {
    "cell": "gru",
    "hidden_size": 6,
    "noise": 1.0,
    "length": 20,
    "optimizer": "adam",
    "lr": 0.1,
}


def of(column: str, values: list, **more) -> pd.DataFrame:
    """A table with a solved network for each value of a column."""
    return pd.DataFrame([about(i) | {column: value} | more for i, value in enumerate(values)])


def about(i: int) -> dict:
    return SETTINGS | {"run_id": f"run {i}", "seed": i, "status": "solved"}


def lines(judge, runs: pd.DataFrame | None = None, **tables) -> pd.DataFrame:
    """What a judge says, by measure."""
    found = pd.DataFrame([verdicts._line(verdict) for verdict in judge(tables | {"runs": runs})])
    return found.set_index("measure")


def decided(found: pd.DataFrame) -> dict[str, str]:
    return found["verdict"][found["verdict"] != ""].to_dict()


def cycles(stable: list[int], **more) -> pd.DataFrame:
    """A row at each of two constant inputs; a network of two units alternates at the upper if `stable`."""
    each = {"flip_eigenvalue": -2.0, "orbit_period": 2, "orbit_alternates": True} | more
    lower, upper = (
        of("stable_alternating", [1] * len(stable), u=0.5),
        of("stable_alternating", stable, u=1.0),
    )
    return pd.concat([lower, upper]).assign(**each)


def test_a_slip_fails_only_where_the_cycle_is_stable_at_every_input():
    stable = cycles([1, 1, 0])
    none = lines(verdicts.runs_for_ever, cycles=stable, slips=of("slips", [0, 0, 9], steps=100))
    assert decided(none) == {"share without a slip, stable cycle": "held"}
    assert none.loc["share without a slip, stable cycle", ["count", "n"]].tolist() == [2, 2]
    assert none.loc[
        "share without a slip, no stable cycle at some input", ["count", "n"]
    ].tolist() == [0, 1]
    one = lines(verdicts.runs_for_ever, cycles=stable, slips=of("slips", [0, 1, 9], steps=100))
    assert decided(one) == {"share without a slip, stable cycle": "failed"}
    assert one.loc["slips per step, stable cycle", "estimate"] == 1 / 200


def test_an_input_beyond_the_noise_does_not_count():
    some = cycles([0, 0]).assign(noise=0.5)
    assert verdicts._stable_everywhere(some).tolist() == [True, True]


def test_a_network_without_a_cycle_is_described_by_its_orbit():
    found = cycles([1, 1, 1])
    found.loc[
        (found["run_id"] == "run 2") & (found["u"] == 0.5), ["stable_alternating", "orbit_period"]
    ] = [0, 4]
    said = lines(verdicts.two_cycle, cycles=found)
    every = "share with a stable alternating 2-cycle at every constant input"
    assert decided(said) == {
        every: "failed",
        "share with a fixed point that has an eigenvalue below -1": "held",
    }
    assert said.loc[every, ["count", "n"]].tolist() == [2, 3]
    assert said.loc[
        "of those without, share that alternate on a longer cycle", ["count", "n"]
    ].tolist() == [1, 1]
    assert said.loc["of those without, share that alternate without settling", "count"] == 0


def learning(crossing: list[float], leaving: list[float]) -> pd.DataFrame:
    table = of("crossing", crossing).assign(leaving=leaving, cycle_at_leaving=True)
    return table.assign(
        lag=table["leaving"] - table["crossing"], **{"leaving_0.9": table["leaving"]}
    )


@pytest.mark.parametrize(
    ("crossing", "median", "verdict"),
    [([10.0] * 9, 2, "held"), ([10.0] * 4 + [np.nan] * 5, -np.inf, "failed")],
)
def test_a_loss_that_leaves_without_a_crossing_left_first(crossing, median, verdict):
    said = lines(verdicts.flip_bifurcation, learning=learning(crossing, [12.0] * 9))
    measure = "median lag, updates from crossing to leaving"
    assert decided(said) == {measure: verdict}
    assert said.loc[measure, "estimate"] == median
    first = said.loc["share whose loss is below 0.9 of chance before the crossing", "count"]
    assert first == np.isnan(crossing).sum()


def test_an_exponent_of_zero_fails_and_is_told_apart_from_growth():
    table = of("noisy", [-0.5, 1e-8, 0.3, np.nan], quiet=-0.5, half_log_rho=-0.505)
    said = lines(verdicts.contracts, exponents=table)
    assert decided(said) == {
        "share with a negative largest conditional Lyapunov exponent": "failed"
    }
    assert said["count"].tolist() == [1, 2, 4]


@pytest.mark.parametrize(("untrained", "verdict"), [(0.5, "held"), (1.0, "failed")])
def test_untrained_networks_that_match_fail_the_probe(untrained, verdict):
    parts = {True: 1.0, False: untrained}
    tables = [of("phase", [p] * 5, trained=t, hashed=0.5, shuffled=0.5) for t, p in parts.items()]
    said = lines(verdicts.decodable, probes=pd.concat(tables))
    assert decided(said) == {"selectivity, trained less untrained": verdict}


def interventions(flipped: dict[tuple[str, str], list[int]], **more) -> pd.DataFrame:
    """Ten trials a network; what is not flipped is kept."""
    tables = [
        of("flipped", counts, intervention=name, part=part, trials=10, **more)
        for (name, part), counts in flipped.items()
    ]
    table = pd.concat(tables)
    return table.assign(kept=table["trials"] - table["flipped"])


SWAPS = {("opposite donor", "all"): [10, 10], ("same donor", "all"): [0, 0]}
CONTROLS = {("random state", "all"): [5, 4], ("shuffled donor", "all"): [6, 4]}


def test_one_control_that_flips_fails_the_claim():
    said = lines(verdicts.carries_phase, interventions=interventions(SWAPS | CONTROLS))
    assert set(decided(said).values()) == {"held"}
    assert said.loc["flips, random state", "estimate"] == 0.45
    flips = SWAPS | CONTROLS | {("same donor", "all"): [0, 1]}
    said = lines(verdicts.carries_phase, interventions=interventions(flips))
    assert decided(said)["flips, donor of the same phase"] == "failed"
    assert said.loc["flips, donor of the same phase", ["estimate", "count", "n"]].tolist() == [
        0.05,
        1,
        2,
    ]


def test_c_alone_must_not_flip():
    table = interventions({("opposite donor", "h"): [10, 9], ("opposite donor", "c"): [0, 0]})
    said = lines(verdicts.route_is_h, interventions=table)
    assert decided(said) == {"flips when c alone comes from an opposite donor": "held"}
    assert said.loc["flips when h alone comes from an opposite donor", "count"] == 1


@pytest.mark.parametrize(
    ("steps", "verdict"), [([2, 4, 8, 16, 32, 64], "held"), ([9, 3, 9, 3, 9, 3], "failed")]
)
def test_recovery_must_go_with_the_multipliers(steps, verdict):
    table = of("rho", [0.1, 0.3, 0.5, 0.7, 0.9, 0.99]).assign(noisy_steps=steps)
    jolted = interventions({("noise", "all"): [0, 1, 2, 3, 4, 5]})
    margins = of("toward", [0.5, np.inf, 0.4], nearest=np.inf)
    said = lines(verdicts.recovery_follows, recovery=table, interventions=jolted, margins=margins)
    assert decided(said) == {"rank correlation of steps to recover with 1/|ln ρ|": verdict}
    kept = said.loc[
        "rank correlation of phase kept under noise on the state with 1/|ln ρ|", "estimate"
    ]
    assert kept == pytest.approx(-1)
    assert said.loc["median margin, toward the cycle's other point", "estimate"] == 0.5


@pytest.mark.parametrize(
    ("converged", "verdict"), [([np.nan, np.nan], "held"), ([np.nan, 20.0], "failed")]
)
def test_gates_that_see_x_only_must_not_solve(converged, verdict):
    runs = pd.DataFrame(
        {"cell": "lstm_no_recurrence", "task": "alternating", "converged_update": converged}
    )
    said = lines(
        verdicts.gates_differ,
        runs,
        interventions=interventions({("freeze gate", "reset"): [0, 10]}),
    )
    assert decided(said) == {"share not solved without recurrence into the gates": verdict}
    assert said.loc["sequences kept, freeze gate: reset", "estimate"] == 0.5


def test_one_slip_of_a_hand_built_network_fails_existence():
    runs = pd.DataFrame([SETTINGS | {"blocks": ("sizes",), "converged_update": 20.0}])
    guessed = pd.DataFrame([{"cell": "gru", "hidden_size": 2, "range": 10, "n": 100, "solved": 3}])
    for slips, verdict in (([0, 0], "held"), ([0, 1], "failed")):
        said = lines(
            verdicts.one_unit, runs, hand_built=of("slips", slips, steps=1000), guessing=guessed
        )
        assert decided(said) == {"slips per step, one unit built by hand": verdict}
        assert said.loc["solved by training, hidden size 6", "count"] == 1
        assert said.loc["solved by guessing weights in ±10, hidden size 2", "estimate"] == 0.03


def test_one_positive_recurrence_beyond_the_bound_fails_it_and_signed_ones_may_pass():
    table = of("prefix", [7, 8], bound=7, noise=0.0)
    signed = table.assign(cell="diagonal_signed")
    said = lines(
        verdicts.positive_cannot,
        bound=pd.concat([table.assign(cell="mingru"), signed, table.assign(noise=1.0)]),
    )
    assert said["verdict"].tolist() == ["failed", "", "", ""] or said["verdict"].tolist() == [
        "",
        "",
        "failed",
        "",
    ]
    assert set(said.loc["share within H + 1", "count"]) == {1}


def test_what_a_folder_has_no_networks_for_is_left_out(tmp_path, monkeypatch):
    (tmp_path / "dynamics").mkdir()
    pd.DataFrame(columns=[*ABOUT]).to_parquet(tmp_path / "dynamics" / "learning.parquet")
    of("noisy", [-0.5], quiet=np.nan, half_log_rho=np.nan).to_parquet(
        tmp_path / "dynamics" / "exponents.parquet"
    )
    chosen = {
        judge: verdicts.JUDGES[judge] for judge in (verdicts.flip_bifurcation, verdicts.contracts)
    }
    monkeypatch.setattr(verdicts, "JUDGES", chosen)
    assert set(verdicts.table(tmp_path, pd.DataFrame())["hypothesis"]) == {9}
