"""The task, and the hidden states of one trained network on it."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes

from study.figures.results import NotDrawable, Results
from study.figures.theme import WIDTH, Drawing, in_order
from study.grid import run_of
from study.model import CELLS
from study.runs import Run, Sequences
from study.text import cell_name, optimizer_name

POST = ("lstm", "sgd")  # the cell and the optimizer of the forum post
LENGTHS = 2  # training lengths shown, so that the second half was never trained


def task(results: Results) -> Drawing:
    """Input, labels, answers and hidden states of a typical network on one fresh sequence."""
    row, peers = _typical(results)
    run = run_of(row)
    inputs, labels, states, answers = _on_a_sequence(
        run, results.weights(row["run_id"]), LENGTHS * run.length
    )
    figure, axes = plt.subplots(
        3, 1, figsize=(WIDTH, 3.5), sharex=True, height_ratios=[1, 1, 0.35 + 0.16 * run.hidden_size]
    )
    steps = np.arange(len(labels))
    axes[0].vlines(steps, 0, inputs, color="#0072B2", linewidth=1.2)
    axes[0].plot(steps, inputs, "o", color="#0072B2", markersize=3)
    axes[0].text(-0.35, 1.18, "cue", fontsize=7, ha="left", va="center")
    axes[0].set_ylabel("input")
    axes[1].plot(
        steps,
        answers,
        color="#D55E00",
        linestyle="-",
        marker="o",
        markersize=3,
        label="network: p(1)",
    )
    axes[1].plot(
        steps, labels, "_", color="black", markersize=5, markeredgewidth=1.6, label="label"
    )
    axes[1].set_ylim(-0.1, 1.1)
    axes[1].set_ylabel("answer")
    axes[1].legend(
        loc="lower right", bbox_to_anchor=(1, 0.95), ncols=2, handlelength=1.5, borderpad=0
    )
    _draw_states(figure, axes[2], states)
    for axis in axes:
        axis.axvline(run.length - 0.5, color="0.4", linewidth=0.7, linestyle=":")
    axes[0].text(run.length - 0.3, 1.2, "beyond the training length", fontsize=7, va="center")
    axes[0].set_ylim(-0.02, 1.3)
    axes[2].set_xlabel("step")
    return Drawing(
        figure,
        _table(inputs, labels, states, answers),
        _caption(row, run, peers, labels, answers),
        ("headline",),
    )


def _typical(results: Results) -> tuple[pd.Series, pd.DataFrame]:
    """The run of median convergence time (the lower seed of equal ones) of the first cell and its last optimizer.

    Where LSTM and SGD have solved runs it is theirs, the pair of the forum post.
    """
    rows = results.block("headline").query("status == 'solved'")
    if rows.empty:
        raise NotDrawable("no headline run was solved")
    cell = in_order(rows["cell"])[0]
    optimizer = sorted(rows.loc[rows["cell"] == cell, "optimizer"].unique())[-1]
    peers = rows[(rows["cell"] == cell) & (rows["optimizer"] == optimizer)]
    median = peers["converged_update"].quantile(0.5, interpolation="lower")
    return peers[peers["converged_update"] == median].sort_values("seed").iloc[0], peers


def _on_a_sequence(run: Run, weights: dict[str, np.ndarray], steps: int) -> tuple[np.ndarray, ...]:
    """Inputs (T,), labels (T,), hidden states (T, H) and probability of a 1 (T,), in float64."""
    if run.layers > 1 or run.start != "zeros":
        raise NotDrawable("the network has more than one layer, or a start state that is not zeros")
    inputs, labels = Sequences(run, "figure: task", steps).draw(1)
    tensors = {name: torch.tensor(array, dtype=torch.float64) for name, array in weights.items()}
    layer = {
        name.removeprefix("cell.").removesuffix("_l0"): t
        for name, t in tensors.items()
        if name.startswith("cell.")
    }
    cell = CELLS[run.cell]
    state = tuple(torch.zeros(1, run.hidden_size, dtype=torch.float64) for _ in cell.states)
    hidden = []
    for x in torch.as_tensor(inputs[0], dtype=torch.float64):
        state = cell.rule(x[None], state, layer)
        hidden.append(state[0][0])
    states = torch.stack(hidden)
    logits = states @ tensors["readout.weight"].T + tensors["readout.bias"]
    return inputs[0, :, 0], labels[0], states.numpy(), torch.softmax(logits, 1)[:, 1].numpy()


def _draw_states(figure, axis: Axes, states: np.ndarray) -> None:
    units = states.shape[1]
    bound = np.ceil(10 * np.abs(states).max()) / 10
    image = axis.imshow(
        states.T, cmap="cividis", vmin=-bound, vmax=bound, aspect="auto", interpolation="nearest"
    )
    axis.set_yticks(range(units), [str(unit + 1) for unit in range(units)])
    axis.set_ylabel("unit of h")
    figure.colorbar(image, ax=axis, label="state", aspect=10, pad=0.01)


def _table(
    inputs: np.ndarray, labels: np.ndarray, states: np.ndarray, answers: np.ndarray
) -> pd.DataFrame:
    units = {f"h{unit + 1}": states[:, unit] for unit in range(states.shape[1])}
    return pd.DataFrame(
        {"step": np.arange(len(labels)), "input": inputs, "label": labels, "p_one": answers} | units
    )


def _caption(
    row: pd.Series, run: Run, peers: pd.DataFrame, labels: np.ndarray, answers: np.ndarray
) -> str:
    right = int(((answers > 0.5) == labels)[1:].sum())
    pair = (
        ", the cell and the optimizer of the forum post"
        if (run.cell, run.optimizer) == POST
        else ""
    )
    return (
        f"The task, and one trained network on it: {cell_name(run.cell)}, hidden size {run.hidden_size}, "
        f"{optimizer_name(run.optimizer)} at learning rate {run.lr:g}, seed {run.seed}{pair}. "
        f"It converged at update {row['converged_update']:.0f}, the median of the {len(peers)} solved runs of its kind "
        "(of equal ones, the lowest seed). The input is a cue and "
        f"then noise of level {run.noise:g}; the labels repeat {', '.join(run.pattern or '')}. "
        f"A fresh sequence of {len(labels)} steps, {LENGTHS} times the training length; "
        f"{right} of {len(labels) - 1} labels after step 0 are right. n = 1 "
        "network and sequence: an illustration, without an interval."
    )
