"""Print how many runs solved the task, and how fast.

An example is `study summary results/main --by cell,lr`.
"""

from pathlib import Path
from typing import Literal

from study.command import Names, command
from study.errors import BadInput, Problem, echo, unknown
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
    """Print how many runs solved the task, and how fast, grouped by any settings.

    Parameters
    ----------
    results
        A results folder, such as results/main.
    by
        Settings to group runs by, separated by commas. `block` is allowed too. A block is a named
        part of the grid, the list of runs to train.
    block
        Count only runs of this block; repeatable.
    format
        Format of the table. JSON and CSV have all columns in full precision. If the median time
        exceeds the budget, it is inf in CSV and LaTeX, and null in JSON.
    """
    rows = by_block(load_saying(results, curves=False))
    names, blocks = by.split(","), sorted(rows["block"].unique())
    allowed = ["block", *SETTINGS]
    problems = [Problem("--by", unknown("setting", x, allowed)) for x in names if x not in allowed]
    problems += [Problem("--block", unknown("block", x, blocks)) for x in block if x not in blocks]
    if problems:
        raise BadInput(problems)
    if rows.empty:
        raise BadInput.at(str(results), "has no stored runs; run its grid to train them")
    rows = rows[rows["block"].isin(block)] if block else rows
    rows = rows if "block" in names else rows.drop_duplicates("run_id")
    table = summarise(rows, names)
    if format == "csv":
        echo(table.to_csv(index=False, lineterminator="\n"), end="")
    elif format == "json":
        echo(table.to_json(orient="records", indent=2, double_precision=15))
    elif format == "latex":
        echo(table.to_latex(index=False, float_format="%.3g"), end="")
    else:
        echo(summary_text(table))
