"""Draw figures from stored results, as the command `study figures results/main` does.

Each figure is a function that takes `Results` and returns a `Drawing`. A drawing consists of the
picture, a table of the numbers in the picture, and a caption that states some of these numbers. The
settings of the runs are in the first line of the table's file. No figure trains a network.

A block of a grid is shown by the figures that it names in the grid file, or else by the general
figure of a block, which suits any grid.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from inspect import getdoc
from io import BytesIO
from pathlib import Path

import matplotlib.pyplot as plt
import seaborn as sns

from study.errors import BadInput, unknown
from study.figures.automata import carriers, word_problems
from study.figures.block import block
from study.figures.captions import settings_of
from study.figures.convergence import convergence, convergence_times
from study.figures.devices import seconds
from study.figures.factorial import solved_map
from study.figures.interventions import flips
from study.figures.lengths import length_generalisation
from study.figures.notebook import notebook_steps
from study.figures.portrait import portrait
from study.figures.post import post_changes, post_effects, post_loops, post_momentum
from study.figures.prefix import prefix
from study.figures.proofs import proofs
from study.figures.ranking import initialisations, variants
from study.figures.rates import learning_rates
from study.figures.resonance import collapse, contour, pole, predictions, wandering
from study.figures.spectra import recovery, spectra
from study.figures.task import task
from study.figures.theme import THEME, Drawing
from study.figures.truncation import interference
from study.figures.zeroing import square_root
from study.grid import Missing, Results, atomic_write
from study.model import ADD, find

__all__ = ["FIGURES", "FORMATS", "SHIPPED_FIGURES", "Drawing", "Missing", "Results"]
__all__ += ["contents", "draw", "figure_of", "names_of", "save", "themed", "title"]

FORMATS = ("pdf", "svg", "png")

FIGURES: dict[str, Callable[[Results], Drawing]] = {
    figure.__name__: figure
    for figure in (
        task,
        convergence,
        convergence_times,
        learning_rates,
        solved_map,
        variants,
        initialisations,
        length_generalisation,
        seconds,
        portrait,
        spectra,
        flips,
        recovery,
        proofs,
        prefix,
        post_loops,
        post_changes,
        post_momentum,
        post_effects,
        notebook_steps,
        wandering,
        predictions,
        collapse,
        contour,
        pole,
        square_root,
        interference,
        carriers,
        word_problems,
    )
}

SHIPPED_FIGURES = dict(FIGURES)
OF_BLOCK = "block_"  # before the name of a block, in the name of its general figure


def title(name: str) -> str:
    """Return the title of the figure called `name`.

    The title is the first line of the docstring of the function `name`, without the word "Draw".
    """
    words = (getdoc(FIGURES[name]) or name).splitlines()[0].removeprefix("Draw ")
    return words[0].upper() + words[1:]


def names_of(results: Results) -> list[str]:
    """Return the names of the figures to draw from these results.

    They are the figures that a block names, figures of a user's own, and the general figures of all
    other blocks. Raises `BadInput` if a block names a figure that does not exist.
    """
    named = {name: blk for blk, names in results.figures.items() for name in names or ()}
    for name, blk in named.items():
        if find("figure", FIGURES, name) is None:
            message = f"block {blk!r} names it; correct the grid file and run the grid again"
            problem = f"{unknown('figure', name, FIGURES)}; {ADD}; {message}"
            raise BadInput.at(str(results.folder), problem)
    special = [name for name in FIGURES if name in named or name not in SHIPPED_FIGURES]
    general = _general(results)
    return special + [name for name, blk in general.items() if results.figures[blk] is None]


def _general(results: Results) -> dict[str, str]:
    """Return the block that each general figure shows, by the name of the figure."""
    # The plan may be a stranger's, and a name with a slash could lead out of the results folder.
    blocks = (blk for blk in results.figures if re.fullmatch(r"[\w-]+", blk, re.ASCII))
    return {f"{OF_BLOCK}{blk}": blk for blk in blocks}


def figure_of(name: str, results: Results) -> Callable[[Results], Drawing]:
    """Return the figure called `name`, such as `convergence` or `block_cells`.

    Raises `BadInput` if there is no such figure.
    """
    if figure := find("figure", FIGURES, name):
        return figure
    general = _general(results)
    if name not in general:
        raise BadInput.at(
            f"--only {name}", f"{unknown('figure', name, [*FIGURES, *general])}; {ADD}"
        )
    return partial(block, name=general[name])


def draw(name: str, results: Results) -> Drawing:
    """Draw the figure called `name` in the study's theme.

    If planned runs are missing, failed or were skipped, the picture and the caption say how many.
    Raises `Missing` if the results lack what the figure shows.
    """
    with themed():
        drawing = figure_of(name, results)(results)
        if drawing.blocks:
            drawing = replace(drawing, settings=settings_of(results.block(*drawing.blocks)))
        lacks = results.lacks(drawing.blocks)
        if lacks:
            drawing.figure.suptitle(lacks, fontsize=6.5, color="#D55E00")
            drawing = replace(drawing, caption=f"{drawing.caption} {lacks}")
        return drawing


def themed() -> AbstractContextManager[None]:
    """Return a context in which figures are drawn in the study's theme.

    The theme starts from matplotlib's defaults, so a user's matplotlibrc changes nothing.
    """
    layout: dict = {"figure.constrained_layout.use": True}
    return plt.style.context(["default", dict(sns.axes_style("ticks")), layout, THEME])


def save(name: str, drawing: Drawing, folder: Path, formats: Sequence[str]) -> list[Path]:
    """Write a figure's picture, its table and its caption to files, and return their paths.

    `name` is the name of the files without their endings (see `contents`).
    """
    files = {folder / f"{name}.{kind}": content for kind, content in contents(drawing, formats)}
    for path, content in files.items():
        atomic_write(path, content)
    return [*files]


def contents(drawing: Drawing, formats: Sequence[str]) -> list[tuple[str, bytes]]:
    """Return a figure's picture, its table and its caption as pairs of an ending and a content.

    The picture is given once in each of the formats, the table as csv and the caption as txt. They
    contain no date, so the same results always give the same bytes. The figure is closed.
    """
    metadata = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}
    files: dict[str, bytes] = {}
    with plt.style.context(["default", THEME]):
        for kind in formats:
            picture = BytesIO()
            drawing.figure.savefig(picture, format=kind, dpi=200, metadata=metadata[kind])
            files[kind] = picture.getvalue()
    plt.close(drawing.figure)
    texts = {"csv": drawing.csv(), "txt": f"{drawing.caption}\n"}
    return [*files.items(), *((kind, text.encode()) for kind, text in texts.items())]
