"""Draw one sequence of the task, and how one trained network responds to it."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from study.figures.tables import in_order
from study.figures.theme import WIDTH, Drawing
from study.grid import Missing, Results, run_of
from study.model import CELLS, TASKS
from study.runs import Run, Sequences
from study.text import cell_name, optimizer_name

LENGTHS = 2  # length of the sequence in training lengths; its second half lies beyond training


def task(results: Results) -> Drawing:
    """Draw the input, labels, answers and hidden states of a trained network on one sequence."""
    row, peers = _typical(results)
    run = run_of(row)
    table = _on_a_sequence(run, results.weights(row["run_id"]), LENGTHS * run.length)
    _draw(table, run)
    right = int(((table["p_one"] > 0.5) == table["label"])[1:].sum())
    caption = (
        f"A trained {cell_name(run.cell)} (hidden size {run.hidden_size}, "
        f"{optimizer_name(run.optimizer)} at learning rate {run.lr:g}, seed {run.seed}) on one "
        "sequence: its input, a cue followed by noise; the probability that it gives to a 1, and "
        f"the labels; its hidden state. After step 0, {right} of {len(table) - 1} answers are "
        f"right. It solved the task at update {row['converged_update']:.0f}, the median of {peers} "
        "such runs. With n = 1 network, there is no interval."
    )
    return Drawing(plt.gcf(), table, caption, results.naming("task"))


def _typical(results: Results) -> tuple[pd.Series, int]:
    """Return the run with the median convergence time, and the number of runs it was chosen from.

    The candidates are those runs that solved the task with one cell and one optimizer. These are
    the LSTM and SGD, as in the forum post, if the grid has both. Otherwise they are the first of
    the grid's cells and, by name, the last optimizer used with this cell. If several runs have the
    median time, the one with the lowest seed is returned.
    """
    rows = results.shown("task").query("status == 'solved'")
    if rows.empty:
        raise Missing("no run solved the task")
    rows = rows[rows["cell"] == in_order(rows["cell"])[0]]
    peers = rows[rows["optimizer"] == rows["optimizer"].max()]
    median = peers["converged_update"].quantile(0.5, interpolation="lower")
    typical = peers[peers["converged_update"] == median].sort_values("seed")
    return typical.iloc[0], len(peers)


def _on_a_sequence(run: Run, weights: dict[str, np.ndarray], steps: int) -> pd.DataFrame:
    """Run the network on a fresh sequence, in float64, and return a table with one row per step.

    The columns are `step`, `input`, `label`, `p_one` (the probability that the network gives to a
    1), and `h1`, `h2` and so on, one for each unit of the hidden state. Raises `Missing` for a
    network with several layers, with a start state other than zeros, or with more than two labels.
    """
    if run.layers > 1 or run.start != "zeros" or TASKS[run.task].outputs != 2:
        needs = "a network with one layer, a start state of zeros and two labels"
        raise Missing(f"this figure needs {needs}")
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
        state = run.cell_rule(x[None], state, layer)
        hidden.append(state[0][0])
    states = torch.stack(hidden)
    logits = states @ tensors["readout.weight"].T + tensors["readout.bias"]
    table = {"step": np.arange(steps), "input": inputs[0, :, 0], "label": labels[0]}
    table |= {"p_one": torch.softmax(logits, 1)[:, 1].numpy()}
    return pd.DataFrame(table | {f"h{i + 1}": h for i, h in enumerate(states.numpy().T)})


def _draw(table: pd.DataFrame, run: Run) -> None:
    heights = [1, 1, 0.35 + 0.16 * run.hidden_size]
    figure, axes = plt.subplots(3, 1, figsize=(WIDTH, 3.5), sharex=True, height_ratios=heights)
    above, middle, below = axes
    steps, inputs, labels, answers = (table[c] for c in ("step", "input", "label", "p_one"))
    words: dict[str, Any] = {"fontsize": 7, "va": "center"}
    above.vlines(steps, 0, inputs, color="#0072B2", linewidth=1.2)
    above.plot(steps, inputs, "o", color="#0072B2", markersize=3)
    above.text(-0.35, 1.18, "cue", **words)
    above.set(ylim=(-0.02, 1.3), ylabel="input")
    look = {"color": "#D55E00", "linestyle": "-", "marker": "o", "markersize": 3}
    middle.plot(steps, answers, label="network: p(1)", **look)
    label = {"color": "black", "markersize": 5, "markeredgewidth": 1.6}
    middle.plot(steps, labels, "_", label="label", **label)
    middle.set(ylim=(-0.1, 1.1), ylabel="answer")
    corner: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1, 0.95), "borderpad": 0}
    middle.legend(ncols=2, handlelength=1.5, **corner)
    states = table.filter(regex=r"^h\d").to_numpy().T
    bound = np.ceil(10 * np.abs(states).max()) / 10
    shades: dict[str, Any] = {"cmap": "cividis", "vmin": -bound, "vmax": bound}
    image = below.imshow(states, aspect="auto", interpolation="nearest", **shades)
    below.set_yticks(range(run.hidden_size), [str(i + 1) for i in range(run.hidden_size)])
    below.set(xlabel="step", ylabel="unit of h")
    figure.colorbar(image, ax=below, label="state", aspect=10, pad=0.01)
    for axis in axes:
        axis.axvline(run.length - 0.5, color="0.4", linewidth=0.7, linestyle=":")
    above.text(run.length - 0.3, 1.2, "beyond the training length", **words)
