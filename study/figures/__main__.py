"""Define the command `study figures`."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import matplotlib
from cyclopts import Parameter

from study.command import NOT_ALL_WELL, Names, command, run
from study.errors import BadInput, echo, unknown
from study.figures import (
    FIGURES,
    FORMATS,
    SHIPPED_FIGURES,
    Missing,
    OtherGrid,
    Results,
    draw,
    drawn,
    save,
)
from study.grid import StoreWarning, folder_in
from study.model import ADD, find

Formats = Annotated[
    tuple[Literal["pdf", "svg", "png"], ...], Parameter(negative="", show_default=False)
]

app = command(
    "figures",
    "study figures results/main\n"
    "study figures results/main --only convergence --format png --out /tmp",
)


@app.default
def figures(
    results: Path, /, *, only: Names = (), format: Formats = (), out: Path | None = None
) -> int | None:
    """Draw the figures that these results allow, and write their numbers (CSV) and captions.

    Parameters
    ----------
    results
        A results folder, such as results/main.
    only
        Draw only the figure of this name, such as convergence. Can be given more than once.
    format
        Write only this file format: pdf, svg or png. Can be given more than once. Without this
        option, all three are written.
    out
        The folder to write to. The default is RESULTS/figures.
    """
    matplotlib.use("Agg")  # files only; no display is needed
    replaced = [name for name, figure in SHIPPED_FIGURES.items() if FIGURES[name] is not figure]
    if replaced:
        message = f"figure {replaced[0]!r} exists already; choose another name"
        raise BadInput.at("--use", message)
    for name in only:
        if find("figure", FIGURES, name) is None:
            raise BadInput.at(f"--only {name}", f"{unknown('figure', name, FIGURES)}; {ADD}")
    stored = Results(results)
    with _noted_warnings():
        _ = stored.runs
    folder = out or folder_in(results, "figures")
    made, others = [], []
    for name in only or FIGURES:
        try:
            with _noted_warnings():
                written = save(name, draw(name, stored), folder, format or FORMATS)
        except (Missing, BadInput) as reason:
            if isinstance(reason, OtherGrid) and not only:
                others.append(name)
            else:
                echo(f"{name} is not drawn, because {reason}", file=sys.stderr)
        else:
            made.append(name)
            echo(*written, sep="\n")
    if made and not out and not format:
        drawn.write(results, made)
    if others:
        echo(
            "these figures are not drawn, because they need the results of other grids: "
            + ", ".join(others),
            file=sys.stderr,
        )
    return None if made else NOT_ALL_WELL


@contextmanager
def _noted_warnings() -> Iterator[None]:
    """Catch the warnings of a `with` block, and print each of them on stderr as a note."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", StoreWarning)
        try:
            yield
        finally:
            for warning in caught:
                echo(f"note: {warning.message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(run(app))
