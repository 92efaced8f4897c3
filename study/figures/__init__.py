"""Draw figures from stored results, as the command `study figures results/main` does.

Each figure is a function that takes `Results` and returns a `Drawing`. A drawing consists of the
picture, a table of the numbers in the picture, and a caption that states some of these numbers. No
figure trains a network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from inspect import getdoc
from io import BytesIO
from pathlib import Path

import matplotlib.pyplot as plt
import seaborn as sns

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
from study.figures.rates import learning_rates, thresholds
from study.figures.resonance import collapse, contour, pole, predictions, wandering
from study.figures.spectra import recovery, spectra
from study.figures.task import task
from study.figures.theme import THEME, Drawing
from study.figures.truncation import interference
from study.figures.zeroing import square_root
from study.grid import Missing, OtherGrid, Results, atomic_write

__all__ = ["FIGURES", "FORMATS", "SHIPPED_FIGURES", "Drawing", "Missing", "OtherGrid", "Results"]
__all__ += ["draw", "save", "themed", "title"]

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
    )
}

SHIPPED_FIGURES = dict(FIGURES)


def title(name: str) -> str:
    """Return the title of the figure called `name`.

    The title is the first line of the docstring of the function `name`, without the word "Draw".
    """
    words = (getdoc(FIGURES[name]) or name).splitlines()[0].removeprefix("Draw ")
    return words[0].upper() + words[1:]


def draw(name: str, results: Results) -> Drawing:
    """Draw the figure called `name` in the study's theme.

    If planned runs are missing, failed or were skipped, the picture and the caption say how many.
    Raises `Missing` if the results lack what the figure shows.
    """
    with themed():
        drawing = FIGURES[name](results)
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

    The picture is written once in each of the formats, the table as .csv and the caption as .txt.
    `name` is the name of the files without these endings. The files contain no date, so the same
    results always give the same bytes.
    """
    metadata = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}
    table = drawing.table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    contents: dict[str, bytes] = {}
    with plt.style.context(["default", THEME]):
        for kind in formats:
            picture = BytesIO()
            drawing.figure.savefig(picture, format=kind, dpi=200, metadata=metadata[kind])
            contents[kind] = picture.getvalue()
    plt.close(drawing.figure)
    contents |= {"csv": table.encode(), "txt": f"{drawing.caption}\n".encode()}
    for kind, content in contents.items():
        atomic_write(folder / f"{name}.{kind}", content)
    return [folder / f"{name}.{kind}" for kind in contents]
