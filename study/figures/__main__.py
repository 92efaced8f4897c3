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

from study.command import DONE, NOT_ALL_WELL, Names, command, run
from study.errors import BadInput, echo
from study.figures import (
    FIGURES,
    FORMATS,
    SHIPPED_FIGURES,
    Missing,
    Results,
    contents,
    draw,
    drawn,
    figure_of,
    names_of,
)
from study.grid import StoreWarning, atomic_write, folder_in, read_file

Formats = Annotated[
    tuple[Literal["pdf", "svg", "png"], ...], Parameter(negative="", show_default=False)
]

app = command(
    "figures",
    "study figures results/main\n"
    "study figures results/main --check\n"
    "study figures results/main --only convergence --format png --out /tmp",
)


@app.default
def figures(
    results: Path,
    /,
    *,
    only: Names = (),
    format: Formats = (),
    out: Path | None = None,
    check: bool = False,
) -> int | None:
    """Draw the figures of these results, and write their numbers (CSV) and captions.

    A block of the grid is shown by the figures that it names in the grid file (`figures: [...]`).
    A block that names none is shown by a general figure, whose form depends on what it varies.

    Parameters
    ----------
    results
        A results folder, such as results/main.
    only
        Draw only the figure of this name, such as convergence, or block_NAME for the general
        figure of a block. May be given several times.
    format
        Write only this file format: pdf, svg or png. May be given several times. Without this
        option, all three are written.
    out
        The folder to write to. The default is RESULTS/figures.
    check
        Write nothing, but name each figure that differs from the stored one. If any does, the exit
        code is 1.
    """
    matplotlib.use("Agg")  # files only; no display is needed
    replaced = [name for name, figure in SHIPPED_FIGURES.items() if FIGURES[name] is not figure]
    if replaced:
        message = f"figure {replaced[0]!r} exists already; choose another name"
        raise BadInput.at("--use", message)
    stored = Results(results)
    with _noted_warnings():
        _ = stored.runs
    for name in only:
        figure_of(name, stored)
    folder = out or folder_in(results, "figures")
    made, differing = [], []
    for name in only or names_of(stored):
        try:
            with _noted_warnings():
                files = contents(draw(name, stored), format or FORMATS)
        except (Missing, BadInput) as reason:
            echo(f"{name} is not drawn, because {reason}", file=sys.stderr)
            continue
        made.append(name)
        paths = {folder / f"{name}.{kind}": content for kind, content in files}
        if not check:
            for path, content in paths.items():
                atomic_write(path, content)
            echo(*paths, sep="\n")
        elif others := [path.suffix for path, content in paths.items() if _differs(path, content)]:
            differing.append(name)
            echo(f"{name} differs from the stored figure ({', '.join(others)})")
    if check and made:
        echo(f"{len(made) - len(differing)} of {len(made)} figures are as stored in {folder}")
    elif made and not out and not format:
        drawn.write(results, made)
    return NOT_ALL_WELL if differing or not made else None if check else DONE


def _differs(path: Path, content: bytes) -> bool:
    return not path.is_file() or read_file(path) != content


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
