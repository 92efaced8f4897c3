"""Choose learning rates from stored tuning runs: `python -m study.tune results/main --block tuning`.

For each cell and optimizer, the learning rate with the smallest restricted mean convergence time on the
tuning seeds, in which a run that is not solved counts with its whole budget; of equal ones, the smaller rate.
A best rate at the end of its list is reported, since a better one may lie beyond.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import pandas as pd

from study.errors import BadInput, report
from study.store import load
from study.tuning import choose, tuning_rows


def as_axis(chosen: pd.DataFrame) -> str:
    """The choice as a zipped axis of a grid file."""
    rows = [f"        - [{row.cell}, {row.optimizer}, {row.lr:g}]" for row in chosen.itertuples()]
    return "\n".join(["      cell, optimizer, lr:", *rows])


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m study.tune",
        description="Print the learning rate chosen for each cell and optimizer, as an axis for a grid file.",
        epilog="example:\n  python -m study.tune results/main --block tuning_sgd --block tuning_adaptive",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", help="a results folder, such as results/main")
    parser.add_argument("--block", action="append", required=True, help="a block of tuning runs; repeatable")
    options = parser.parse_args(arguments)
    try:
        chosen = choose(tuning_rows(load(options.results, curves=False), options.block))
    except BadInput as error:
        return report(error)
    print(as_axis(chosen))
    for row in chosen[~chosen["interior"]].itertuples():
        print(f"note: {row.lr:g} is at the end of the list for {row.cell} with {row.optimizer}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
