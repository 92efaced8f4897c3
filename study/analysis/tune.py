"""Choose learning rates from stored tuning runs: `python -m study.tune results/main --block tuning`.

For each cell and optimizer, the learning rate with the smallest restricted mean convergence time on the
tuning seeds, in which a run that is not solved counts with its whole budget; of equal ones, the smaller rate.
A best rate at the end of its list is reported, since a better one may lie beyond. `--write FILE` puts the
choice into the block of a grid file that has the axis `cell, optimizer, lr`, and leaves the rest as it is.
`--contrasts BLOCK` compares the optimizers of each cell, so tuned, on the seeds of that block.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from study.analysis.tuning import choose, compare_optimizers, tuning_rows
from study.command import Names, command, run
from study.errors import BadInput, Problem
from study.grid import atomic_write, load_saying, read_yaml

AXIS = "cell, optimizer, lr"


def as_axis(chosen: pd.DataFrame) -> str:
    """The choice as a zipped axis of a grid file."""
    rows = [f"        - [{row.cell}, {row.optimizer}, {row.lr:g}]" for row in chosen.itertuples()]
    return "\n".join([f"      {AXIS}:", *rows])


def write_axis(chosen: pd.DataFrame, path: str | Path) -> str:
    """Put the choice into the grid file's one block with such an axis; the block's name.

    Only the axis's lines change. `BadInput` where there is no such axis, or more than one.
    """
    content, places = read_yaml(path)
    blocks = (content.get("blocks") if isinstance(content, dict) else None) or {}
    names = [name for name, block in blocks.items() if AXIS in ((block or {}).get("vary") or {})]
    if len(names) != 1:
        raise BadInput(
            [Problem(str(path), f"needs one block that varies {AXIS!r}, and has {len(names)}")]
        )
    first = int(places.of_key(("blocks", names[0], "vary", AXIS)).rsplit(":", 2)[1]) - 1
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    entries = len(blocks[names[0]]["vary"][AXIS])
    last = first + 1 + entries
    if sum(line.lstrip().startswith("- [") for line in lines[first + 1 : last]) != entries:
        raise BadInput(
            [Problem(f"{path}:{first + 1}", f"{AXIS!r} needs a line for each of its entries")]
        )
    lines[first:last] = as_axis(chosen).splitlines()
    atomic_write(Path(path), ("\n".join(lines) + "\n").encode())
    return names[0]


def contrasts_text(frame: pd.DataFrame, tuned: Sequence[str], block: str, folder: Path) -> str:
    """Every pair of optimizers on the seeds of a block, as `study.tuning` compares them; also `contrasts.csv`."""
    rng = np.random.default_rng(0)
    table = compare_optimizers(tuning_rows(frame, tuned), tuning_rows(frame, [block]), rng)
    text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    atomic_write(folder / "contrasts.csv", text.encode())
    return table.to_string(index=False, float_format="{:.3g}".format)


app = command(
    "tune",
    "study tune results/main --block tuning_sgd --block tuning_adaptive --write experiments/main.yaml\n"
    "study tune results/main --block tuning_sgd --block tuning_adaptive --contrasts headline",
)


@app.default
def tune(
    results: Path, /, *, block: Names, write: Path | None = None, contrasts: str | None = None
) -> None:
    """Print the learning rate chosen for each cell and optimizer, as an axis for a grid file.

    Parameters
    ----------
    results
        A results folder, such as results/main.
    block
        A block of tuning runs; repeatable.
    write
        A grid file that takes the choice, instead of printing it.
    contrasts
        Compare the tuned optimizers on the seeds of this block.
    """
    frame = load_saying(results, curves=False)
    chosen = choose(tuning_rows(frame, block))
    if contrasts:
        print(contrasts_text(frame, block, contrasts, results))
    elif write:
        print(f"{write}: learning rates of block {write_axis(chosen, write)!r}")
    else:
        print(as_axis(chosen))
    for row in chosen[~chosen["interior"]].itertuples():
        print(
            f"note: {row.lr:g} is at the end of the list for {row.cell} with {row.optimizer}",
            file=sys.stderr,
        )


if __name__ == "__main__":
    sys.exit(run(app))
