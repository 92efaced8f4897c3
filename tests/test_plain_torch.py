"""Check followed runs by training the same networks in plain PyTorch.

Only the initial weights and the noise come from the study. Layers, loss, optimizer, fixed point and
eigenvalues are those of torch.
"""

import copy
import math
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

import study
from study.grid import run_of
from study.runs import Run, Sequences, weights_of

RESONANCE = Path(__file__).parent.parent / "results" / "resonance"
LAYERS = {"rnn_tanh": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
AT_MOST = 400  # updates of a run that is checked


def sample() -> list[pd.Series]:
    """Return runs of several cells and patterns that cross early, with update and angle."""
    rows = pd.read_parquet(RESONANCE / "dynamics" / "crossings.parquet")
    rows = rows[rows["crossing"].between(50, AT_MOST)].drop(columns=["cell", "seed"])
    runs = study.load(RESONANCE, curves=False)
    plain = (runs["data"] == "fresh") & (runs["optimizer"] == "sgd") & ~runs["accumulate"]
    chosen = runs[plain & (runs["noise_kind"] == "uniform")]
    rows = chosen.merge(rows[["run_id", "crossing", "angle"]], on="run_id")
    rows = rows[rows["cell"].isin(LAYERS)].sort_values("run_id")
    return [row for _, row in rows.groupby(["cell", "pattern"]).head(1).iterrows()]


def crossing_by_torch(run: Run) -> tuple[int, float]:
    """Train a run in plain PyTorch until an eigenvalue leaves the unit circle."""
    layer, readout = LAYERS[run.cell](1, run.hidden_size), nn.Linear(run.hidden_size, 2)
    initial = {name: torch.tensor(array).float() for name, array in weights_of(run).items()}
    layer.load_state_dict({name[5:]: a for name, a in initial.items() if name[:5] == "cell."})
    readout.load_state_dict({name[8:]: a for name, a in initial.items() if name[:8] == "readout."})
    sgd = torch.optim.SGD([*layer.parameters(), *readout.parameters()], lr=run.lr)
    pattern = torch.tensor([int(label) for label in run.pattern or ""])
    labels = pattern.repeat(run.length)[: run.length].expand(run.batch_size, -1)
    noise, fixed = Sequences(run, "training", run.length), None
    for update in range(AT_MOST + 1):
        fixed, radius, angle = outermost(layer, 0.5 * float(run.noise or 0), fixed)
        if radius >= 1:
            return update, angle
        inputs = torch.tensor(noise.draw(run.batch_size)[0]).float().transpose(0, 1)
        logits = readout(layer(inputs)[0])
        sgd.zero_grad()
        nn.functional.cross_entropy(logits.flatten(0, 1), labels.T.flatten()).backward()
        sgd.step()
    return AT_MOST + 1, math.nan


def outermost(
    layer: nn.Module, x: float, start: torch.Tensor | None
) -> tuple[torch.Tensor, float, float]:
    """Return the fixed point under a constant input, and its outermost eigenvalue's size, angle."""
    exact, size = copy.deepcopy(layer).double(), layer.hidden_size
    is_lstm = isinstance(layer, nn.LSTM)
    inputs = torch.full((1, 1, 1), x, dtype=torch.float64)

    def step(state: torch.Tensor) -> torch.Tensor:
        parts = state.view(-1, 1, 1, size)
        after = exact(inputs, (parts[0], parts[1]) if is_lstm else parts[0])[1]
        return torch.cat([part.flatten() for part in after]) if is_lstm else after.flatten()

    if start is None:
        start = torch.zeros(size * (1 + is_lstm)).double()
        with torch.no_grad():
            for _ in range(500):
                start = step(start)
    for _ in range(4):  # Newton's method
        jacobian = torch.autograd.functional.jacobian(step, start)
        start = start + torch.linalg.solve(torch.eye(len(start)) - jacobian, step(start) - start)
        start = start.detach()
    values = torch.linalg.eigvals(torch.autograd.functional.jacobian(step, start))
    farthest = values[values.abs().argmax()]
    return start, float(farthest.abs()), abs(float(farthest.angle()))


@pytest.mark.parametrize("row", sample(), ids=lambda row: f"{row['cell']}-{row['pattern']}")
def test_plain_pytorch_crosses_at_the_same_update_and_angle(row):
    update, angle = crossing_by_torch(run_of(row))
    assert abs(update - row["crossing"]) <= 1  # rounding differs
    assert angle == pytest.approx(row["angle"], abs=0.01)
