"""Write stored results as one flat CSV table, for spreadsheets and other languages.

Learning curves and weights, which are lists, are left out. The order of the rows and columns
depends only on the results, so equal results give equal bytes.
"""

import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa

from study.command import command
from study.errors import echo
from study.grid.files import atomic_write
from study.grid.store import load_saying
from study.runs import SCHEMA

INTEGERS = [field.name for field in SCHEMA if pa.types.is_integer(field.type)]

app = command(
    "export", "study export results/main > main.csv\nstudy export results/main --out main.csv"
)


@app.default
def export(results: Path, /, *, out: Path | None = None) -> None:
    """Write one CSV row per stored run, without learning curves and weights.

    Parameters
    ----------
    results
        A results folder, such as results/main.
    out
        The file to write. Without this option, the table is printed.
    """
    table = flat(load_saying(results, curves=False, unplanned=True))
    text = table.to_csv(index=False, lineterminator="\n")
    if out:
        atomic_write(out, text.encode())
        echo(f"{out}: {len(table):,} runs", file=sys.stderr)
    else:
        echo(text, end="")


def flat(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the results that `load` returns as a table in which no value is a list.

    The column `blocks` has the names of a run's blocks, separated by spaces. It comes after the
    `run_id`, and is empty if the run is no longer in the grid. Integers stay integers in columns
    with missing values.
    """
    table = frame.assign(blocks=frame["blocks"].map(" ".join))
    table = table.astype(dict.fromkeys(table.columns.intersection(INTEGERS), "Int64"))
    table.insert(1, "blocks", table.pop("blocks"))
    return table
