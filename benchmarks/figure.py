"""Draw the figure of the benchmarks, in the study's theme."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.ticker import FuncFormatter, NullFormatter

from benchmarks.peers import BATCH_SIZES, HIDDEN_SIZES, PEERS
from benchmarks.table import BARS, SHAPE, by_peer, measured
from study.figures.theme import COLOURS, DASHES, THEME, Drawing
from study.text import CELL_NAMES

# The cells that torch.nn has.
CELL_MARKERS: dict[str, str] = {"lstm": "o", "gru": "s", "rnn_tanh": "^", "rnn_relu": "D"}
PEER_MARKERS = dict(zip(PEERS, ("_", "o", "s", "^", "v", "D"), strict=True))


def draw_updates(frame: pd.DataFrame, manifests: dict[str, Any]) -> Drawing:
    """Draw how long one optimizer update takes with each peer.

    A peer is an implementation of the same update. Upper panels, one per batch size, show the time
    of torch.nn divided by the time of the fused loop. Lower panels, one per cell, show the time of
    each peer. `frame` has the stored rows and `manifests` says where they come from, as
    `benchmarks.store` reads them.
    """
    times = by_peer(frame).reindex(columns=list(PEERS)).reset_index()
    theme: Any = THEME | {"figure.constrained_layout.use": True}
    with sns.axes_style("ticks"), plt.rc_context(theme):
        figure, (above, below) = plt.subplots(2, 4, figsize=(7.2, 5.0), sharex=True, sharey="row")
        for axis, batch_size in zip(above, BATCH_SIZES, strict=True):
            _draw_ratios(axis, times, batch_size)
        for axis, cell in zip(below, CELL_MARKERS, strict=True):
            _draw_peers(axis, times, cell)
        _label(above, below)
    return Drawing(figure, times, caption(frame, manifests))


def _draw_ratios(axis: Any, times: pd.DataFrame, batch_size: int) -> None:
    """Draw the time of torch.nn divided by the time of the fused loop, with one curve per cell.

    The horizontal axis shows the hidden size. In the panel for the batch size of `SHAPE`, short
    marks show the ratios that `BARS` requires.
    """
    at = times[(times["batch_size"] == batch_size) & (times["length"] == SHAPE["length"])]
    for cell, colour, dashes in zip(CELL_MARKERS, COLOURS, DASHES, strict=False):
        rows = at[at["cell"] == cell].sort_values("hidden_size")
        axis.plot(
            rows["hidden_size"], rows["torch"] / rows["fused"], color=colour, linestyle=dashes,
            marker=CELL_MARKERS[cell], markersize=3, label=CELL_NAMES[cell],
        )  # fmt: skip
        bars = {hidden: bar for (*key, hidden), bar in BARS.items() if key == ["torch", cell]}
        if batch_size == SHAPE["batch_size"]:
            look = {"color": colour, "marker": "_", "s": 130, "linewidths": 1.8, "zorder": 3}
            axis.scatter(bars.keys(), bars.values(), **look)
    axis.axhline(1, color="#999999", linewidth=0.8)
    axis.set_title(f"batch {batch_size}")


def _draw_peers(axis: Any, times: pd.DataFrame, cell: str) -> None:
    """Draw the time per update of one cell against the hidden size, with one curve per peer.

    A peer is an implementation of the update. `SHAPE` gives the batch size and the length.
    """
    at = times[(times["cell"] == cell) & (times[list(SHAPE)] == pd.Series(SHAPE)).all(axis=1)]
    rows = at.sort_values("hidden_size")
    for peer, colour, dashes in zip(PEERS, ("#999999", *COLOURS), DASHES, strict=False):
        axis.plot(
            rows["hidden_size"], 1e6 * rows[peer], color=colour, linestyle=dashes,
            marker=PEER_MARKERS[peer], markersize=3, label=peer,
        )  # fmt: skip
    axis.set_title(CELL_NAMES[cell])
    axis.set_xlabel("hidden size")


def _label(above: Sequence[Any], below: Sequence[Any]) -> None:
    for axis in (*above, *below):
        axis.set_xscale("log")
        axis.set_yscale("log")
        labels = ["" if size == 64 else str(size) for size in HIDDEN_SIZES]  # no room for 64
        axis.set_xticks(HIDDEN_SIZES, labels)
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.minorticks_off()
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    above[0].set_ylabel("torch.nn / fused")
    below[0].set_ylabel(f"microseconds per update,\nbatch {SHAPE['batch_size']}")
    for axes in (above, below):
        axes[-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=2.5)


def caption(frame: pd.DataFrame, manifests: dict[str, Any]) -> str:
    """Return the caption of the figure, with the numbers of repeats, the commit and the machine."""
    rows = measured(frame)
    least, most = int(rows["repeats"].min()), int(rows["repeats"].max())
    return (
        "We timed one optimizer update, which is a forward pass, back-propagation through time and "
        "an SGD step, in float32 on one thread. Sequences have "
        f"{SHAPE['length']} steps. The top panels show the time of torch.nn divided by the time of "
        "the study's compiled loop (“fused”). On the grey line, both take equal time. Short marks "
        "are speed-ups that were set as targets. The bottom panels show the time per model. "
        "“Stacked”, “compiled” and “jax” train several models at once. We tried several numbers of "
        "models, and show the smallest time per model. “Floor” is a lower bound for this machine. "
        f"Each time is the minimum processor time of {least} to {most} repeats. The file "
        "updates.csv has quartiles. " + provenance_line(manifests)
    )


def provenance_line(manifests: dict[str, Any]) -> str:
    """Return a sentence with the commits, machines and versions behind the measurements.

    An example is `Commit 1a2b3c4 on CPU; python 3.11.4, torch 2.13.0.`
    """
    commits, machines, packages = [], [], []
    for one in manifests.values():
        commit, dirty = one["code"]["commit"], one["code"]["dirty"]
        commits.append(f"{(commit or 'unknown')[:7]}{' with changes' if dirty else ''}")
        machines.append(f"{one['machine']['cpu']}, {one['machine']['system']}")
        installed = {name: version for name, version in one["packages"].items() if version}
        packages.append(", ".join(f"{name} {version}" for name, version in installed.items()))
    commit, machine, versions = (
        "; ".join(dict.fromkeys(each)) for each in (commits, machines, packages)
    )
    return f"Commit {commit} on {machine}; {versions}."
