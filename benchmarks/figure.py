"""Draw the figure of the benchmarks, in the study's theme."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

from benchmarks.gates import GATES
from benchmarks.peers import BATCH_SIZES, FEW_CELLS, HIDDEN_SIZES, MAIN, PEERS
from benchmarks.table import by_peer, measured
from study.figures.theme import THEME, Drawing, log_axis, styles
from study.text import CELL_NAMES

LENGTH = 50  # of the upper panels
DRAWN = [name for name in PEERS if name != "alone"]  # which is `fused` at the batch size of MAIN


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
        figure, (above, below) = plt.subplots(2, 4, figsize=(7.2, 4.6), sharex=True, sharey="row")
        for axis, batch_size in zip(above, BATCH_SIZES, strict=True):
            _draw_ratios(axis, times, batch_size)
        for axis, cell in zip(below, FEW_CELLS, strict=False):
            _draw_peers(axis, times, cell)
        _label(above, below)
    return Drawing(figure, times, caption(frame, manifests))


def _draw_ratios(axis: Any, times: pd.DataFrame, batch_size: int) -> None:
    """Draw the time of torch.nn divided by the time of the fused loop, with one curve per cell.

    The horizontal axis shows the hidden size.
    """
    at = times[(times["batch_size"] == batch_size) & (times["length"] == LENGTH)]
    for cell, look in styles(GATES, markersize=3).items():
        rows = at[at["cell"] == cell].sort_values("hidden_size")
        ratios = rows["torch"] / rows["fused"]
        axis.plot(rows["hidden_size"], ratios, label=CELL_NAMES[cell], **look)
    axis.axhline(1, color="#999999", linewidth=0.8)
    axis.set_title(f"batch {batch_size}")


def _draw_peers(axis: Any, times: pd.DataFrame, cell: str) -> None:
    """Draw the time per update of one cell against the hidden size, with one curve per peer.

    A peer is an implementation of the update. `MAIN` is the batch size and the length.
    """
    batch_size, length = MAIN
    at = times[(times["batch_size"] == batch_size) & (times["length"] == length)]
    rows = at[at["cell"] == cell].sort_values("hidden_size")
    for peer, look in styles(DRAWN, markersize=3).items():
        drawn = rows[rows[peer].notna()]
        axis.plot(drawn["hidden_size"], 1e6 * drawn[peer], label=peer, **look)
    axis.set_title(CELL_NAMES[cell])
    axis.set_xlabel("hidden size")


def _label(above: Sequence[Any], below: Sequence[Any]) -> None:
    for axis in (*above, *below):
        log_axis(axis)
        log_axis(axis, "y")
        labels = ["" if size == 64 else str(size) for size in HIDDEN_SIZES]  # no room for 64
        axis.set_xticks(HIDDEN_SIZES, labels)
    above[0].set_ylabel("torch.nn / fused")
    below[0].set_ylabel("microseconds per update,\nbatch {}, {} steps".format(*MAIN))
    for axis in above:
        axis.tick_params(labelbottom=True)
    below[-1].axis("off")  # has the legends instead of a panel
    for axis, title, top in ((above[0], "top: cells", 1.05), (below[0], "bottom: peers", 0.6)):
        handles, labels = axis.get_legend_handles_labels()
        look = {"loc": "upper left", "bbox_to_anchor": (0, top), "handlelength": 3, "title": title}
        below[-1].add_artist(below[-1].legend(handles, labels, **look))


def caption(frame: pd.DataFrame, manifests: dict[str, Any]) -> str:
    """Return the caption of the figure, with the numbers of repeats, the commit and the machine."""
    rows = measured(frame)
    least, most = int(rows["repeats"].min()), int(rows["repeats"].max())
    return (
        "Time of one optimizer update in float32 on one thread. Top: time of torch.nn over that of "
        f"the study's compiled loop (“fused”), on {LENGTH} steps; they are equal on the grey line. "
        "Bottom: time per model. “Stacked”, “compiled” and “jax” train as many models at once as "
        "take the least time; “fused” trains several at batch 1 and 2. “Floor” is a lower bound. "
        f"Each time is the minimum processor time of {least} to {most} repeats. "
        + provenance_line(manifests)
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
