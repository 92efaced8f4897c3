"""Test the example on a monthly series: its networks, its cuts, and its table."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from statsmodels.datasets import elnino
from torch import nn

from examples import monthly_series as series


def modules(seed: int) -> tuple[nn.LSTM, nn.Linear]:
    torch.manual_seed(seed)
    return nn.LSTM(1, series.HIDDEN), nn.Linear(series.HIDDEN, 1)


def test_each_network_is_that_of_torch():
    inputs = torch.randn(2, 3, 131)
    found = series.forecast(series.networks([5, 6]), inputs)
    for network, seed in enumerate([5, 6]):
        lstm, readout = modules(seed)
        expected = readout(lstm(inputs[network].T[..., None])[0])[..., 0].T
        torch.testing.assert_close(found[network], expected)


def test_cuts_give_the_gradient_of_a_state_that_is_detached():
    inputs, weights = torch.randn(1, 3, 131), series.networks([5])
    is_cut = series.cut_months("every 11", np.random.default_rng(0))
    series.forecast(weights, inputs, torch.tensor(is_cut[None])).square().sum().backward()
    lstm, readout = modules(5)
    state = (torch.zeros(1, 3, series.HIDDEN),) * 2
    for first, end in itertools.pairwise([*range(0, 131, 11), 131]):
        outputs, state = lstm(inputs[0, :, first:end].T[..., None], state)
        readout(outputs).square().sum().backward()
        state = tuple(part.detach() for part in state)
    for found, expected in zip(weights, [*lstm.parameters(), *readout.parameters()], strict=True):
        torch.testing.assert_close(found.grad[0], expected.grad, rtol=1e-4, atol=1e-4)


def test_cuts_lie_where_they_should():
    rng = np.random.default_rng(0)
    assert not series.cut_months("none", rng).any()
    assert list(np.flatnonzero(series.cut_months("every 13", rng))) == list(range(13, 131, 13))
    drawn = [np.flatnonzero(series.cut_months("random", rng)) for _ in range(200)]
    assert {cuts[0] for cuts in drawn} == set(range(1, 13))
    assert all(set(np.diff(cuts)) == {12} for cuts in drawn)


def test_the_next_decade_is_forecast_from_its_first_year():
    past, last, unit = series.series()
    months = pd.DataFrame(elnino.load_pandas().data).to_numpy()[:, 1:].ravel()
    months = torch.tensor((months - months[:600].mean()) / unit).float()  # 600 until 1999
    torch.testing.assert_close(torch.cat([past[:, :12].flatten(), past[-1, 12:]]), months[:600])
    torch.testing.assert_close(last, months[600:])
    inputs, targets = series.task_of(last, "next decade")
    assert inputs[:12].equal(last[:12])
    assert not inputs[12:].any()
    assert targets.equal(last[1:])
    assert series.task_of(last, "next month")[0].equal(last[:-1])


def test_networks_of_a_seed_differ_by_their_cuts_alone():
    pair, one = (series.train("next decade", seeds, 4) for seeds in ([7, 8], [8]))
    assert len(pair) == 2 * len(series.CUTS) * 4
    columns = ["cuts", "updates", "error"]
    shared = pair.loc[pair["seed"] == 8, columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(shared, one[columns].reset_index(drop=True), atol=1e-3)
    assert one.groupby("updates")["error"].nunique().max() > 1


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    return pd.read_csv(series.RUNS)


def test_every_network_is_stored(runs):
    counts = runs.groupby(["task", "cuts", "updates"])["seed"].agg(["nunique", "size"])
    assert len(counts) == len(series.UPDATES) * len(series.CUTS) * 4
    assert (counts == len(series.SEEDS)).all(axis=None)
    assert runs.groupby("task")["updates"].max().to_dict() == series.UPDATES


def first(text: str) -> float:
    return float(text.split()[0].replace("−", "-"))


def test_the_table_follows_from_the_runs(runs):
    last = runs[runs["updates"] == runs["task"].map(series.UPDATES)]
    means = last.groupby(["task", "cuts"])["error"].mean()
    for _, row in series.table(runs).iterrows():
        error, other = means[row["task"], row["cuts"]], means[row["task"], "every 12"]
        assert first(row["error in °C"]) == pytest.approx(error, abs=6e-3)
        if row["cuts"] != "every 12":
            assert first(row["every 12 minus this"]) == pytest.approx(other - error, abs=6e-3)


def test_the_advice_is_earned(runs):
    """docs/truncation.md puts these findings into words."""
    verdicts = series.verdicts(runs).set_index("task")
    assert verdicts["fixed cuts harm"].to_dict() == {"next month": False, "next decade": True}
    assert not verdicts["whole years matter"].any()
    decade = series.final_errors(runs, "next decade")
    assert series.mean(decade["random"] - decade["none"]).low < 0  # random cuts do as well as none
    assert (decade[["every 11", "every 12", "every 13"]] > 2).mean().min() > 0.5
    past, last, unit = series.series()
    months = past[:, :12].mean(0)  # of the first 40 years
    error = unit * (last[12:].view(10, 12) - months).square().mean().sqrt()
    assert float(error) == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize(
    ("excess", "expected"),
    [(0.2, (True, True)), (0.04, (False, False)), ({"random": 0.2}, (True, False))],
)
def test_the_criteria(excess, expected):
    """Errors are near 1, and those of `every 12` larger by `excess`, in total or than a kind's."""
    rng, rows = np.random.default_rng(0), []
    for task, cuts, seed in itertools.product(series.UPDATES, series.CUTS, range(20)):
        more = excess.get(cuts, 0) if isinstance(excess, dict) else excess
        error = 1 + 0.01 * rng.random() - (0 if cuts == "every 12" else more)
        rows.append((task, cuts, seed, series.UPDATES[task], error))
    runs = pd.DataFrame(rows, columns=["task", "cuts", "seed", "updates", "error"])
    for found in series.verdicts(runs).itertuples(index=False):
        assert tuple(found)[1:] == expected
