"""Print how many runs solved the task, and how fast.

An example is `study summary results/main --by cell,lr`.
"""

from pathlib import Path

from study.analysis.options import Format, named, pick, stored, written
from study.command import Names, command
from study.errors import echo
from study.grid import POOLED, readable, summarise
from study.runs import settings_in

app = command(
    "summary",
    "study summary results/main\n"
    "study summary results/main --block headline --by cell,lr --format csv > headline.csv\n"
    "study summary results/main --where cell=lstm,gru --where noise=1 --format markdown",
)


@app.default
def summary(
    results: Path,
    /,
    *,
    by: str = "block,cell,optimizer",
    block: Names = (),
    where: Names = (),
    format: Format = "text",
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
        Count only runs of this block. May be given several times.
    where
        Count only runs in which a setting has one of these values, such as cell=lstm,gru. The value
        `none` stands for a setting that does not apply. May be given several times.
    format
        Format of the table. JSON and CSV have all columns in full precision. If the median time
        exceeds the budget, it is inf in CSV and LaTeX, and null in JSON.
    """
    every = stored(results)
    names = named("--by", by, ["block", *settings_in(every)])
    rows = pick(every, block, where)
    rows = rows if "block" in names else rows.drop_duplicates("run_id")
    table = summarise(rows, names)
    note = POOLED if table["pooled_over"].any() else ""
    echo(written(table, readable(table), format, note), end="")
