"""Two units seen whole: the 2-cycle of a trained network, its flip saddle, and the separatrix between the phases."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from study.dynamics import Network, cycles, is_suitable
from study.figures.results import NotDrawable, Results
from study.figures.theme import COLOURS, WIDTH, Drawing, in_order
from study.grid import run_of
from study.text import CELL_NAMES, cell_name, optimizer_name

HIDDEN = 2
GRID = 121  # states along each side of the picture
SETTLED = 400  # steps, an even number, after which a state's phase is read
BASINS = ("0.55", "#FCEBDD", "#9CC6E2")  # neither, label 0, label 1: apart in grey as well
PATHS, STEPS = 4, 12  # trajectories, and how many even steps of each


def portrait(results: Results) -> Drawing:
    """For each cell the states of two units, coloured by the phase they end in under a constant input."""
    rows = results.block("sizes").query(
        f"hidden_size == {HIDDEN} and noise > 0 and status == 'solved'"
    )
    cells = [cell for cell in in_order(rows["cell"]) if cell in CELL_NAMES]
    scenes = {
        cell: scene
        for cell in cells
        if (scene := _typical(results, rows[rows["cell"] == cell])) is not None
    }
    if not scenes:
        raise NotDrawable(
            f"no run of hidden size {HIDDEN} with kept weights is solved and has a stable 2-cycle"
        )
    figure, axes = plt.subplots(1, len(scenes), figsize=(WIDTH, 2.6), squeeze=False)
    made = []
    for axis, (cell, scene) in zip(axes[0], scenes.items(), strict=True):
        made += [{"cell": cell} | row for row in _draw(axis, scene)]
        axis.set_title(cell_name(cell))
    _legend(figure)
    return Drawing(figure, pd.DataFrame(made), _caption(scenes, made), ("sizes",))


class Scene:
    """A network, its cycle and saddle at the mean input, and the plane through them that is drawn."""

    def __init__(
        self, network: Network, cycle: cycles.Root, flip: cycles.Root, found: int, of: int
    ):
        self.network, self.cycle, self.flip = network, cycle, flip
        self.found, self.of = found, of  # networks of this kind with both, and all
        q, p = cycle.points
        self.is_whole = network.dimension == HIDDEN
        self.origin, self.axes = (
            (np.zeros(HIDDEN), np.eye(HIDDEN)) if self.is_whole else _plane(q, p, flip.points[0])
        )

    def flat(self, states: np.ndarray) -> np.ndarray:
        """States (...,D) on the plane, (...,2)."""
        return (states - self.origin) @ self.axes.T

    def states(self, places: np.ndarray) -> np.ndarray:
        """States (...,D) of places on the plane (...,2)."""
        return self.origin + places @ self.axes

    def phase(self, states: np.ndarray) -> np.ndarray:
        """After an even number of steps: 1 near the cycle's point of label 1, 0 near the other, -1 neither."""
        q, p = self.cycle.points
        after = self.network.settled(states, self.cycle.u, SETTLED)
        near = 1e-2 * np.linalg.norm(q - p)
        to_q, to_p = (np.linalg.norm(after - point, axis=1) for point in (q, p))
        return np.where(to_q < near, 1, np.where(to_p < near, 0, -1))


def _plane(q: np.ndarray, p: np.ndarray, saddle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Origin (D,) and orthonormal axes (2,D) of the plane through three points; any plane if they are on a line."""
    first = (p - q) / np.linalg.norm(p - q)
    for way in (saddle - q, *np.eye(len(q))):
        second = way - (way @ first) * first
        if np.linalg.norm(second) > 1e-3 * np.linalg.norm(p - q):
            return (q + p) / 2, np.stack([first, second / np.linalg.norm(second)])
    raise AssertionError("a line has a direction off it")


def _typical(results: Results, rows: pd.DataFrame) -> Scene | None:
    """The network of median convergence time among those that have a stable cycle and a flip saddle."""
    found: list[tuple[Network, cycles.Root, cycles.Root]] = []
    for _, row in rows.sort_values(["converged_update", "seed"]).iterrows():
        run = run_of(row)
        if is_suitable(run):
            network = Network(run, results.weights(row["run_id"]))
            roots = cycles.find(network, cycles.reference_input(network))
            cycle, flip = cycles.carrier(roots), cycles.saddle(roots)
            if cycle is not None and flip is not None and flip.smallest_real < -1:
                found.append((network, cycle, flip))
    if not found:
        return None
    network, cycle, flip = found[(len(found) - 1) // 2]
    return Scene(network, cycle, flip, len(found), len(rows))


# --- drawing ------------------------------------------------------------------------------------


def _draw(axis: Axes, scene: Scene) -> list[dict]:
    """The basins of both phases, trajectories at even steps, the cycle and the saddle; what is drawn as rows."""
    points, saddle = scene.flat(scene.cycle.points), scene.flat(scene.flip.points)[0]
    low, high = _frame(np.vstack([points, saddle]))
    sides = [np.linspace(low[k], high[k], GRID) for k in (0, 1)]
    places = np.stack(np.meshgrid(*sides), axis=-1)
    phases = scene.phase(scene.states(places.reshape(-1, 2))).reshape(GRID, GRID).astype(float)
    axis.contourf(*sides, phases, levels=[-1.5, -0.5, 0.5, 1.5], colors=BASINS)
    if {0, 1} <= set(np.unique(phases)):
        axis.contour(*sides, phases, levels=[0.5], colors="black", linewidths=0.9)
    paths = _paths(scene, low, high)
    for path in paths:
        axis.plot(*path.T, "-", color="0.25", linewidth=0.6, marker=".", markersize=2)
    for point, colour, marker in zip(points, COLOURS, "os", strict=False):
        axis.plot(*point, marker, color=colour, markeredgecolor="black", markersize=6)
    axis.plot(*saddle, "X", color="white", markeredgecolor="black", markersize=7)
    axis.set_xlim(low[0], high[0])
    axis.set_ylim(low[1], high[1])
    axis.set_xlabel("$h_1$" if scene.is_whole else "along the cycle")
    axis.set_ylabel("$h_2$" if scene.is_whole else "toward the saddle")
    return _rows(scene, points, saddle, phases)


def _frame(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two corners with room around points (n,2)."""
    low, high = points.min(axis=0), points.max(axis=0)
    room = 0.35 * max(float((high - low).max()), 1e-3)
    return low - room, high + room


def _paths(scene: Scene, low: np.ndarray, high: np.ndarray) -> list[np.ndarray]:
    """Where states near the corners go, at even steps, (STEPS + 1, 2) each."""
    share = np.array([[0.12, 0.12], [0.88, 0.12], [0.12, 0.88], [0.88, 0.88]])[:PATHS]
    states = scene.states(low + share * (high - low))
    steps = [states]
    for _ in range(STEPS):
        steps.append(scene.network.settled(steps[-1], scene.cycle.u, 2))
    return list(np.swapaxes(scene.flat(np.stack(steps)), 0, 1))


def _rows(scene: Scene, points: np.ndarray, saddle: np.ndarray, phases: np.ndarray) -> list[dict]:
    about = {"seed": scene.network.run.seed, "u": scene.cycle.u, "n": 1}
    rho, eigenvalue = scene.cycle.rho, scene.flip.smallest_real
    named = [
        ("label 1", points[0], rho),
        ("label 0", points[1], rho),
        ("flip saddle", saddle, eigenvalue),
    ]
    rows = [
        about | {"what": what, "x": _told(x), "y": _told(y), "estimate": value}
        for what, (x, y), value in named
    ]
    for phase, what in ((1, "basin of label 1"), (0, "basin of label 0"), (-1, "neither")):
        rows.append(
            about
            | {"what": f"share of the picture: {what}", "estimate": float((phases == phase).mean())}
        )
    return rows


def _told(place: float) -> float:
    """A coordinate without the rounding errors of a zero."""
    return round(float(place), 9) + 0.0


def _legend(figure) -> None:
    marks = [
        ("label 1", "o", COLOURS[0]),
        ("label 0", "s", COLOURS[1]),
        ("flip saddle", "X", "white"),
    ]
    handles = [
        Line2D(
            [],
            [],
            label=label,
            marker=marker,
            color=colour,
            markeredgecolor="black",
            linestyle="none",
        )
        for label, marker, colour in marks
    ]
    handles.append(Line2D([], [], label="separatrix", color="black", linewidth=0.9))
    handles.append(
        Line2D([], [], label="path, every second step", color="0.25", linewidth=0.6, marker=".")
    )
    handles += [
        Patch(facecolor=colour, edgecolor="0.4", linewidth=0.4, label=f"leads to label {label}")
        for label, colour in ((1, BASINS[2]), (0, BASINS[1]))
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)


def _caption(scenes: dict[str, Scene], made: list[dict]) -> str:
    which = "; ".join(
        f"{cell_name(cell)} seed {scene.network.run.seed} (of {scene.of} solved, {scene.found} have both)"
        for cell, scene in scenes.items()
    )
    run = next(iter(scenes.values())).network.run
    sliced = [cell_name(cell) for cell, scene in scenes.items() if not scene.is_whole]
    slices = (
        f" {', '.join(sliced)}: the plane through the three points in the space of h and c."
        if sliced
        else ""
    )
    settles = all(row["estimate"] == 0 for row in made if row["what"].endswith("neither"))
    neither = "" if settles else ", grey where to neither"
    return (
        "States of a trained network of two units under a constant input, the mean of the noise: blue, the darker, "
        "where every second step leads to the point of the 2-cycle with label 1, the lighter where to that with "
        f"label 0{neither}; between them the separatrix, and on it the flip saddle.{slices} "
        "Of each cell the network of median "
        f"convergence time among the solved ones that have a stable cycle and a flip saddle: {which}. "
        f"{optimizer_name(run.optimizer)} at learning rate {run.lr:g}, length {run.length}, noise level {run.noise:g}. "
        "n = 1 network a cell: an illustration, without an interval."
    )
