"""Draw the state space of two-unit networks, with a 2-cycle, a flip saddle and a separatrix.

Under a constant input, a trained network alternates between the two points of a stable 2-cycle. One
point gives label 1, and the other gives label 0. The flip saddle is a fixed point with a real
eigenvalue below -1. The saddle lies on the separatrix, which is the boundary between states that
end in opposite phases of the cycle.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from study.dynamics import Network, cycles, is_suitable
from study.figures.tables import in_order
from study.figures.theme import COLOURS, Drawing, panels
from study.grid import Missing, Results, run_of
from study.text import CELL_NAMES, cell_name

HIDDEN = 2
GRID = 121  # number of states drawn along each side of a panel
SETTLED = 400  # number of steps after which a state's phase is read; it must be even
BASINS = ("0.55", "#FCEBDD", "#9CC6E2")  # leads to neither label, to 0, to 1
# Where paths start, as fractions of a panel's width and height.
STARTS = np.array([[0.12, 0.12], [0.88, 0.12], [0.12, 0.88], [0.88, 0.88]])
STEPS = 12  # number of points after the start of a path, two network steps apart


def portrait(results: Results) -> Drawing:
    """Draw the state space of two-unit networks, coloured by the label to which each state leads.

    A trained network alternates between two states, one for label 1 and one for label 0. A state
    leads to the label of the point that it approaches if only every second step counts.
    """
    rows = results.shown("portrait").query(
        f"hidden_size == {HIDDEN} and noise > 0 and status == 'solved'"
    )
    cells = [cell for cell in in_order(rows["cell"]) if cell in CELL_NAMES]
    typical = {cell: _typical(results, rows[rows["cell"] == cell]) for cell in cells}
    scenes = {cell: scene for cell, scene in typical.items() if scene is not None}
    if not scenes:
        raise Missing(
            f"no run of hidden size {HIDDEN} that solved the task has both a stable 2-cycle and a "
            "flip saddle"
        )
    figure, axes = panels(list(scenes), 2.6)
    rows_drawn = []
    for axis, (cell, scene) in zip(axes[0], scenes.items(), strict=True):
        rows_drawn += [{"cell": cell} | row for row in _draw(axis, scene)]
    _legend(figure)
    table = pd.DataFrame(rows_drawn)
    seeds = ", ".join(str(scene.network.run.seed) for scene in scenes.values())
    sliced = [cell_name(cell) for cell, scene in scenes.items() if not scene.is_whole]
    slices = (
        f" The {' and '.join(sliced)} state has four dimensions, and we draw a plane through all "
        "marks."
        if sliced
        else ""
    )
    unsettled = table.loc[table["what"].str.endswith("neither"), "estimate"].any()
    unsettled_words = " Grey states lead to neither." if unsettled else ""
    caption = (
        "State space of two-unit networks, if all inputs are the mean noise. They alternate "
        "between the circle (label 1) and the square (label 0); at every second step, paths from "
        f"blue states approach the circle, and others the square.{unsettled_words} The flip saddle "
        f"has a real eigenvalue below −1.{slices} Each panel shows n = 1 network, that of median "
        f"convergence time (seeds {seeds}), so there are no intervals."
    )
    return Drawing(figure, table, caption, results.naming("portrait"))


class Scene:
    """The content of one panel, which is a network, its 2-cycle, its flip saddle, and a plane.

    The cycle and the saddle belong to the mean input. A flip saddle is a fixed point with a real
    eigenvalue below -1. If the state space has two dimensions, the plane is the whole state space.
    Otherwise the plane passes through the two points of the cycle and the saddle.
    """

    def __init__(self, net: Network, cycle: cycles.Root, flip: cycles.Root):
        self.network, self.cycle, self.flip = net, cycle, flip
        self.is_whole = net.dimension == HIDDEN
        q, p = cycle.points
        self.origin, self.axes = np.zeros(HIDDEN), np.eye(HIDDEN)
        if not self.is_whole:
            self.origin, self.axes = _plane(q, p, flip.points[0])

    def flat(self, states: np.ndarray) -> np.ndarray:
        """Project states (...,D) onto the plane and return their coordinates (...,2)."""
        return (states - self.origin) @ self.axes.T

    def states(self, places: np.ndarray) -> np.ndarray:
        """Return the states (...,D) at the given coordinates (...,2) on the plane."""
        return self.origin + places @ self.axes

    def phase(self, states: np.ndarray) -> np.ndarray:
        """Return the label of the point of the 2-cycle that each state reaches at even steps.

        `states` has the shape (n,D), and the result is an array (n,) int. A label is 1 or 0, or -1
        if the state reaches neither point.
        """
        q, p = self.cycle.points
        after = self.network.settled(states, self.cycle.u, SETTLED)
        near = 1e-2 * np.linalg.norm(q - p)
        to_q, to_p = (np.linalg.norm(after - point, axis=1) for point in (q, p))
        return np.where(to_q < near, 1, np.where(to_p < near, 0, -1))

    def paths(self, starts: np.ndarray) -> np.ndarray:
        """Return the paths of the network that begin at `starts`.

        The starts are coordinates (n,2) on the plane, and the result is an array of coordinates
        (n, STEPS + 1, 2). A path holds every second state of the network.
        """
        steps = [self.states(starts)]
        for _ in range(STEPS):
            steps.append(self.network.settled(steps[-1], self.cycle.u, 2))
        return np.swapaxes(self.flat(np.stack(steps)), 0, 1)


def _plane(q: np.ndarray, p: np.ndarray, saddle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the origin (D,) and orthonormal axes (2,D) of the plane through three points (D,)."""
    first = (p - q) / np.linalg.norm(p - q)
    second = (saddle - q) - ((saddle - q) @ first) * first
    return (q + p) / 2, np.stack([first, second / np.linalg.norm(second)])


def _typical(results: Results, rows: pd.DataFrame) -> Scene | None:
    """Return a `Scene` of the network with the median convergence time among the runs in `rows`.

    Networks without a stable 2-cycle or without a flip saddle (a fixed point with a real eigenvalue
    below -1) are left out. Returns None if no network is left.
    """
    scenes: list[Scene] = []
    for _, row in rows.sort_values(["converged_update", "seed"]).iterrows():
        run = run_of(row)
        if is_suitable(run):
            net = Network(run, results.weights(row["run_id"]))
            roots = cycles.find(net, cycles.reference_input(net))
            cycle, flip = cycles.carrier(roots), cycles.saddle(roots)
            if cycle is not None and flip is not None and flip.smallest_real < -1:
                scenes.append(Scene(net, cycle, flip))
    return scenes[(len(scenes) - 1) // 2] if scenes else None


# --- drawing ------------------------------------------------------------------------------------


def _draw(axis: Axes, scene: Scene) -> list[dict[str, Any]]:
    """Draw one panel, and return its rows of the figure's table.

    The panel shows both basins, some paths, the 2-cycle and the flip saddle. A basin is the set of
    states from which every second step leads to the same point of the cycle.
    """
    points, saddle = scene.flat(scene.cycle.points), scene.flat(scene.flip.points)[0]
    low, high = _frame(np.vstack([points, saddle]))
    sides = [np.linspace(low[k], high[k], GRID) for k in (0, 1)]
    places = np.stack(np.meshgrid(*sides), axis=-1)
    phases = scene.phase(scene.states(places.reshape(-1, 2))).reshape(GRID, GRID).astype(float)
    axis.contourf(*sides, phases, levels=[-1.5, -0.5, 0.5, 1.5], colors=BASINS)
    if {0, 1} <= set(np.unique(phases)):
        axis.contour(*sides, phases, levels=[0.5], colors="black", linewidths=0.9)
    for path in scene.paths(low + STARTS * (high - low)):
        axis.plot(*path.T, "-", color="0.25", linewidth=0.6, marker=".", markersize=2)
    for point, colour, marker in zip(points, COLOURS, "os", strict=False):
        axis.plot(*point, marker, color=colour, markeredgecolor="black", markersize=6)
    axis.plot(*saddle, "X", color="white", markeredgecolor="black", markersize=7)
    axis.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    axis.set_xlabel("$h_1$" if scene.is_whole else "along the cycle")
    axis.set_ylabel("$h_2$" if scene.is_whole else "toward the saddle")
    return list(_rows(scene, points, saddle, phases))


def _frame(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower left and the upper right corner of a panel, as arrays (2,).

    The panel contains the points (n,2), with some room around them.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    room = 0.35 * max(float((high - low).max()), 1e-3)
    return low - room, high + room


def _rows(
    scene: Scene, points: np.ndarray, saddle: np.ndarray, phases: np.ndarray
) -> Iterator[dict[str, Any]]:
    about = {"seed": scene.network.run.seed, "u": scene.cycle.u, "n": 1}
    values = {"label 1": scene.cycle.rho, "label 0": scene.cycle.rho}
    values["flip saddle"] = scene.flip.smallest_real
    for (what, value), place in zip(values.items(), (*points, saddle), strict=True):
        x, y = (round(float(z), 9) + 0.0 for z in place)  # hides rounding errors and -0.0
        yield about | {"what": what, "x": x, "y": y, "estimate": value}
    for phase, what in ((1, "basin of label 1"), (0, "basin of label 0"), (-1, "neither")):
        share = float((phases == phase).mean())
        yield about | {"what": f"share of the picture: {what}", "estimate": share}


def _legend(figure: Figure) -> None:
    marks = {
        "label 1": ("o", COLOURS[0]),
        "label 0": ("s", COLOURS[1]),
        "flip saddle": ("X", "white"),
    }
    dot: dict[str, Any] = {"markeredgecolor": "black", "linestyle": "none"}
    box: dict[str, Any] = {"edgecolor": "0.4", "linewidth": 0.4}
    thin: dict[str, Any] = {"color": "0.25", "linewidth": 0.6, "marker": "."}
    handles: list[Any] = [
        *(Line2D([], [], label=n, marker=m, color=c, **dot) for n, (m, c) in marks.items()),
        Line2D([], [], label="separatrix", color="black", linewidth=0.9),
        Line2D([], [], label="path, every second step", **thin),
        Patch(label="leads to label 1", facecolor=BASINS[2], **box),
        Patch(label="leads to label 0", facecolor=BASINS[1], **box),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
