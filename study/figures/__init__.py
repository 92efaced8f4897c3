"""Figures from stored results: `study figures results/main`.

A figure is a function from `Results` to a `Drawing`: the figure, the numbers it shows, and a
caption written from them. It trains nothing. To add one: write its function, and enter it in
`FIGURES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from inspect import getdoc
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import seaborn as sns

from study.figures.bifurcation import flip
from study.figures.convergence import convergence, convergence_times
from study.figures.devices import seconds
from study.figures.factorial import solved_map
from study.figures.interventions import flips
from study.figures.lengths import length_generalisation
from study.figures.notebook import notebook_steps
from study.figures.portrait import portrait
from study.figures.post import post_changes, post_effects, post_loops, post_momentum
from study.figures.prefix import prefix
from study.figures.ranking import initialisations, variants
from study.figures.rates import learning_rates, thresholds
from study.figures.spectra import recovery, spectra
from study.figures.task import task
from study.figures.theme import THEME, Drawing
from study.grid import Missing, OtherGrid, Results, atomic_write

__all__ = ["FIGURES", "FORMATS", "Drawing", "Missing", "OtherGrid", "Results"]
__all__ += ["draw", "save", "title"]

FORMATS = ("pdf", "svg", "png")

FIGURES: dict[str, Callable[[Results], Drawing]] = {
    figure.__name__: figure
    for figure in (
        task,
        convergence,
        convergence_times,
        thresholds,
        learning_rates,
        solved_map,
        variants,
        initialisations,
        length_generalisation,
        seconds,
        portrait,
        spectra,
        flip,
        flips,
        recovery,
        prefix,
        post_loops,
        post_changes,
        post_momentum,
        post_effects,
        notebook_steps,
    )
}


def title(name: str) -> str:
    """One line about a figure: the first of its function's docstring."""
    return (getdoc(FIGURES[name]) or name).splitlines()[0]


def draw(name: str, results: Results) -> Drawing:
    """One figure of the registry in the study's theme, marked where its blocks lack runs."""
    ticks = dict(sns.axes_style("ticks"))
    with _theme(ticks, {"figure.constrained_layout.use": True}):
        drawing = FIGURES[name](results)
        lacks = results.lacks(drawing.blocks)
        if lacks:
            drawing.figure.suptitle(lacks, fontsize=6.5, color="#D55E00")
            drawing = replace(drawing, caption=f"{drawing.caption} {lacks}")
        return drawing


def _theme(*more: dict[Any, Any]) -> Any:
    """The study's theme on matplotlib's defaults, whatever a user's matplotlibrc says."""
    return plt.style.context(["default", *more, THEME])


def save(name: str, drawing: Drawing, folder: Path, formats: Sequence[str]) -> list[Path]:
    """Write a figure in each format, its table and its caption: same results, same bytes."""
    metadata = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}
    table = drawing.table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    made: dict[str, bytes] = {}
    with _theme():
        for kind in formats:
            content = BytesIO()
            drawing.figure.savefig(content, format=kind, dpi=200, metadata=metadata[kind])
            made[kind] = content.getvalue()
    plt.close(drawing.figure)
    made |= {"csv": table.encode(), "txt": f"{drawing.caption}\n".encode()}
    for kind, content in made.items():
        atomic_write(folder / f"{name}.{kind}", content)
    return [folder / f"{name}.{kind}" for kind in made]
