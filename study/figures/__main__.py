"""The command: `python -m study.figures results/main`."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from study.command import run_command
from study.errors import BadInput, Problem, command, unknown
from study.figures import (
    FIGURES,
    FORMATS,
    NotDrawable,
    OtherGrid,
    Results,
    draw,
    drawn,
    save,
    title,
)
from study.grid import StoreWarning, folder_in

NOTHING_DRAWN = 1  # exit code


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    options = _parse(arguments)
    return command(lambda: _draw_all(options))


def _draw_all(options: argparse.Namespace) -> int:
    names = options.only or list(FIGURES)
    for name in names:
        if name not in FIGURES:
            raise BadInput([Problem(f"--only {name}", unknown("figure", name, FIGURES))])
    results = _read(options.results)
    folder = Path(options.out) if options.out else folder_in(results.folder, "figures")
    made, others = [], []
    for name in names:
        try:
            written = save(name, draw(name, results), folder, options.format or FORMATS)
        except NotDrawable as reason:
            if isinstance(reason, OtherGrid) and not options.only:
                others.append(name)
            else:
                print(f"{name}: not drawn: {reason}", file=sys.stderr)
        else:
            made.append(name)
            print(*written, sep="\n")
    if made and not options.out and not options.format:
        drawn.write(results.folder, {name: title(name) for name in made})
    if others:
        print(f"not of this grid: {', '.join(others)}", file=sys.stderr)
    return 0 if made else NOTHING_DRAWN


def _read(folder: str) -> Results:
    """The results, their warnings as notes."""
    results = Results(folder)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", StoreWarning)
        _ = results.runs
    for warning in caught:
        print(f"note: {warning.message}", file=sys.stderr)
    return results


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m study.figures",
        description="Draw figures from stored results, each with its numbers (CSV) and caption; trains nothing.",
        epilog="example:\n  python -m study.figures results/main --only convergence --format png",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", help="a results folder, such as results/main")
    parser.add_argument(
        "--only", action="append", metavar="NAME", help=f"one of: {', '.join(FIGURES)}; repeatable"
    )
    parser.add_argument(
        "--format", action="append", choices=FORMATS, help="repeatable (default: all)"
    )
    parser.add_argument("--out", metavar="FOLDER", help="where to write (default: RESULTS/figures)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(run_command(main))
