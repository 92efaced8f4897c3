"""The table that anyone wants first: `study summary results/main --by cell,lr`."""

import sys
from pathlib import Path
from typing import Literal

from study.command import Names, command, run
from study.errors import BadInput, Problem, unknown
from study.grid import by_block, load_saying, summarise, summary_text
from study.runs import SETTINGS

app = command(
    "summary",
    "study summary results/main\n"
    "study summary results/main --block headline --by cell,lr --format csv > headline.csv",
)


@app.default
def summary(
    results: Path,
    /,
    *,
    by: str = "block,cell,optimizer",
    block: Names = (),
    format: Literal["text", "csv", "json", "latex"] = "text",
) -> None:
    """Print how many runs solved the task, and how fast, by any settings.

    Parameters
    ----------
    results
        A results folder, such as results/main.
    by
        Settings to group runs by, separated by commas; `block` is one too.
    block
        Only runs of this block; repeatable.
    format
        How to print the table; JSON and CSV have every column, in full precision.
    """
    rows = by_block(load_saying(results, curves=False))
    names, blocks = by.split(","), sorted(rows["block"].unique())
    problems = [
        Problem(option, unknown(kind, name, allowed))
        for option, kind, given, allowed in (
            ("--by", "setting", names, ["block", *SETTINGS]),
            ("--block", "block", block, blocks),
        )
        for name in given
        if name not in allowed
    ]
    if problems:
        raise BadInput(problems)
    rows = rows[rows["block"].isin(block)] if block else rows
    rows = rows if "block" in names else rows.drop_duplicates("run_id")
    table = summarise(rows, names)
    if format == "csv":
        print(table.to_csv(index=False, lineterminator="\n"), end="")
    elif format == "json":
        print(table.to_json(orient="records", indent=2))
    elif format == "latex":
        print(table.to_latex(index=False, float_format="%.3g"), end="")
    else:
        print(summary_text(table))


if __name__ == "__main__":
    sys.exit(run(app))
