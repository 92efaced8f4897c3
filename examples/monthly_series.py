"""Do gradients that are cut every twelve months harm an LSTM on a monthly series?

The series is the temperature of the sea off Peru (`statsmodels.datasets.elnino`, 1950 to 2010).
Every sequence has eleven years and begins in a January. A network is trained on random sequences of
the first fifty years, with one update per batch, and forecasts the decade from 2001 to 2010. At
every month of a sequence it predicts the temperature of the next month, in one of two tasks:

- `next month`: it sees the temperature of every month, as usual. The input tells the season.
- `next decade`: it sees the first year only, then zeros, and must keep the season in its state.

Truncated backpropagation through time cuts the gradient at certain months of a sequence: the state
goes on, the gradient does not. The cuts lie every 12, 11 or 13 months after the start, or every 12
months from a place that is drawn anew for each update. Networks of the same seed start from the
same weights and see the same sequences in the same order, whatever the cuts. So they are paired.

The criteria were set before the networks of `SEEDS` were trained. Other seeds had served to choose
the hidden size, the rate and the number of updates; there, cuts at every fixed place seemed to harm
in `next decade` and none in `next month`. The error is the root mean square over the decade, after
the last update. "Larger" means that the mean error is at least 5 % larger, and that the 95 %
interval of the paired difference, a bootstrap over seeds, lies above 0.

- Fixed cuts harm in a task if the error with cuts every 12 months is larger than with random cuts.
- Whole years matter if it is also larger than with cuts every 11 and every 13 months.

    python examples/monthly_series.py    # trains, unless results/series/runs.csv has the runs
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from statsmodels.datasets import elnino
from torch import Tensor, nn

from study.stats import Estimate, bootstrap
from study.text import estimate_text

RUNS = Path(__file__).parent.parent / "results" / "series" / "runs.csv"
UPDATES = {"next month": 160, "next decade": 600}  # by task; errors hardly fall after these
CUTS = {"none": None, "every 12": 12, "every 11": 11, "every 13": 13, "random": 12}  # months
SEEDS = range(30)
SIDE_BY_SIDE = 10  # seeds trained together: more would not fit into a processor's cache
YEARS, SEEN = 11, 12  # years per sequence, and the months of it that are seen in both tasks
HIDDEN, BATCH, RATE = 16, 8, 0.01
Weights = list[Tensor]  # those of an LSTM and a readout, each with a first axis for the networks


def main() -> None:
    """Print the table and the verdicts, from stored runs if there are any."""
    if not RUNS.exists():
        torch.set_num_threads(1)
        RUNS.parent.mkdir(parents=True, exist_ok=True)
        parts = [SEEDS[i : i + SIDE_BY_SIDE] for i in range(0, len(SEEDS), SIDE_BY_SIDE)]
        found = [train(task, seeds, UPDATES[task]) for task in UPDATES for seeds in parts]
        pd.concat(found).to_csv(RUNS, index=False)
    runs = pd.read_csv(RUNS)
    print(table(runs).to_string(index=False), verdicts(runs).to_string(index=False), sep="\n\n")


def series() -> tuple[Tensor, Tensor, float]:
    """Return sequences to train on (n,132), the last one (132,), and the unit in degrees Celsius.

    The temperatures are standardised by the mean and the standard deviation of the years before the
    last sequence. The latter is the unit.
    """
    months = torch.tensor(pd.DataFrame(elnino.load_pandas().data).iloc[:, 1:].to_numpy().ravel())
    past = months[: -12 * YEARS].float()
    sequences = ((months.float() - past.mean()) / past.std()).unfold(0, 12 * YEARS, 12)
    return sequences[:-YEARS], sequences[-1], float(past.std())


def train(task: str, seeds: Sequence[int], updates: int) -> pd.DataFrame:
    """Train a network per kind of cuts and seed, all side by side, and return their errors.

    Each has a row after every quarter of the updates. `error` is in degrees Celsius.
    """
    past, last, unit = series()
    kinds = [(cuts, seed) for cuts in CUTS for seed in seeds]
    weights = networks([seed for _, seed in kinds])
    adam = torch.optim.Adam(weights, lr=RATE)
    batches = [np.random.default_rng([seed, 0]) for seed in seeds]
    places = [np.random.default_rng([seed, 1]) for _, seed in kinds]
    found = []
    for update in range(1, updates + 1):
        drawn = np.array([rng.integers(len(past), size=BATCH) for rng in batches])
        inputs, targets = task_of(past[np.tile(drawn, (len(CUTS), 1))], task)
        is_cut = np.array([
            cut_months(cuts, rng) for (cuts, _), rng in zip(kinds, places, strict=True)
        ])  # fmt: skip
        errors = (forecast(weights, inputs, torch.tensor(is_cut)) - targets).square()
        adam.zero_grad()
        errors.mean((1, 2)).sum().backward()  # a sum over networks, which share no weight
        adam.step()
        if update % (updates // 4) == 0:
            error = unit * decade_error(weights, last, task)
            rows = pd.DataFrame(kinds, columns=["cuts", "seed"])
            found.append(rows.assign(task=task, updates=update, error=error.numpy().round(4)))
    return pd.concat(found)[["task", "cuts", "seed", "updates", "error"]]


def networks(seeds: Sequence[int]) -> Weights:
    """Return the weights of one network per seed, as torch draws them for an LSTM and a readout."""
    drawn = []
    for seed in seeds:
        torch.manual_seed(seed)
        modules = nn.LSTM(1, HIDDEN), nn.Linear(HIDDEN, 1)
        drawn.append([weight.detach() for module in modules for weight in module.parameters()])
    return [torch.stack(same).requires_grad_() for same in zip(*drawn, strict=True)]


def task_of(sequences: Tensor, task: str) -> tuple[Tensor, Tensor]:
    """Return the inputs and the targets (…,T), with T = 131, of sequences (…,132)."""
    inputs, targets = sequences[..., :-1].clone(), sequences[..., 1:]
    if task == "next decade":
        inputs[..., SEEN:] = 0
    return inputs, targets


def cut_months(cuts: str, rng: np.random.Generator) -> np.ndarray:
    """Return at which of the T = 131 months of a sequence the gradient is cut."""
    is_cut, every = np.zeros(12 * YEARS - 1, bool), CUTS[cuts]
    if every:
        is_cut[int(rng.integers(1, every + 1)) if cuts == "random" else every :: every] = True
    return is_cut


def forecast(weights: Weights, inputs: Tensor, is_cut: Tensor | None = None) -> Tensor:
    """Return the forecasts (n,B,T) of n LSTMs for inputs (n,B,T), by the equations of `nn.LSTM`.

    Before the months of `is_cut` (n,T), the state is taken for a constant. All networks take a step
    together, which is many times faster than one `nn.LSTM` after another.
    """
    weight_ih, weight_hh, bias_ih, bias_hh, readout, bias = weights
    by_month = inputs.permute(2, 0, 1)[..., None]
    from_input = by_month * weight_ih[:, None, :, 0] + (bias_ih + bias_hh)[:, None]
    hidden = cell = torch.zeros(*inputs.shape[:2], HIDDEN)
    outputs = []
    for t, now in enumerate(from_input):
        if is_cut is not None and is_cut[:, t].any():
            here = is_cut[:, t, None, None]
            hidden, cell = (torch.where(here, part.detach(), part) for part in (hidden, cell))
        gates = torch.baddbmm(now, hidden, weight_hh.mT)
        i, f, g, o = gates.chunk(4, -1)
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        hidden = o.sigmoid() * cell.tanh()
        outputs.append(hidden)
    forecasts = (torch.stack(outputs) @ readout.mT)[..., 0] + bias
    return forecasts.permute(1, 2, 0)


@torch.no_grad()
def decade_error(weights: Weights, sequence: Tensor, task: str) -> Tensor:
    """Return each network's root mean square error (n,) after the first year of a sequence."""
    inputs, targets = task_of(sequence.expand(len(weights[0]), 1, -1), task)
    errors = (forecast(weights, inputs) - targets)[..., SEEN - 1 :]
    return errors.square().mean((1, 2)).sqrt()


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the mean errors after the last update, and how much larger those of `every 12` are."""
    rows = []
    for task in UPDATES:
        errors = final_errors(runs, task)
        for cuts in CUTS:
            error, more = mean(errors[cuts]), mean(errors["every 12"] - errors[cuts])
            is_itself = cuts == "every 12"
            rows.append((task, cuts, error.n, text(error), "" if is_itself else text(more)))
    names = ["task", "cuts", "n", "error in °C", "every 12 minus this"]
    return pd.DataFrame(rows, columns=names)


def verdicts(runs: pd.DataFrame) -> pd.DataFrame:
    """Judge both criteria of this module's docstring, in each task."""
    rows = []
    for task in UPDATES:
        errors = final_errors(runs, task)
        than_random, *than_years = (
            mean(errors["every 12"] - errors[cuts]).low > 0
            and errors["every 12"].mean() >= 1.05 * errors[cuts].mean()
            for cuts in ("random", "every 11", "every 13")
        )
        rows.append((task, than_random, than_random and all(than_years)))
    return pd.DataFrame(rows, columns=["task", "fixed cuts harm", "whole years matter"])


def final_errors(runs: pd.DataFrame, task: str) -> pd.DataFrame:
    """Return the errors after the last update: a row per seed, a column per kind of cuts."""
    last = runs[(runs["task"] == task) & (runs["updates"] == UPDATES[task])]
    return last.pivot_table("error", "seed", "cuts")


def mean(values: pd.Series) -> Estimate:
    """Return the mean of one value per seed, with its bootstrap interval."""
    array, rng = values.to_numpy(), np.random.default_rng(0)
    return bootstrap(lambda i: array[i].mean(-1), [len(array)], rng)


def text(estimate: Estimate) -> str:
    """Return an estimate with its interval as text."""
    return estimate_text(estimate.value, estimate.low, estimate.high)


if __name__ == "__main__":
    main()
