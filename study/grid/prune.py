"""Define the command `study prune`, which removes stored runs that are no longer wanted.

These are runs made by another version of the code, or runs that a grid no longer has. Of the code,
only that of a run's cell, task, initialisation and optimizer is compared. Changes to any other code
do not count.
"""

from __future__ import annotations

import sys
from pathlib import Path

from study.command import DONE, command, run
from study.errors import BadInput, echo
from study.grid.store import Store, read_plan, read_rows, results_folder
from study.grid.versions import COLUMNS, versions_of
from study.model import ADD

app = command("prune", "study prune results/mine --other-versions")


def _say(line: str) -> None:
    echo(f"note: {line}", file=sys.stderr)


@app.default
def prune(results: Path, /, *, other_versions: bool = False, unplanned: bool = False) -> int:
    """Remove stored runs for good, and print how many were removed.

    Parameters
    ----------
    results
        A results folder, such as results/mine.
    other_versions
        Remove each run made by another version of its cell, task, initialisation or optimizer.
        A run is kept if one of these four components is not loaded (see --use).
    unplanned
        Remove each run that the grid no longer has, since its file was edited and run again.
    """
    folder = results_folder(results)
    if not (other_versions or unplanned):
        raise BadInput.at("prune", "use --other-versions or --unplanned to say what to remove")
    plan = read_plan(folder)
    if unplanned and plan is None:
        raise BadInput.at(str(folder), "has no plan that says which runs its grid has")
    with Store(folder, _say) as store:
        rows = read_rows(folder, ["run_id", *COLUMNS])
        removed = set()
        if other_versions:
            versions = versions_of(rows)
            removed.update(rows["run_id"].filter(versions.is_other).to_pylist())
            for name, count in versions.others.items():
                echo(f"runs removed: {count:,} made by another version of {name}")
            for name, count in versions.unknown.items():
                echo(f"runs kept: {count:,} of {name}, which is not loaded; {ADD}")
        if plan is not None and unplanned:
            outside = {*rows["run_id"].to_pylist()} - {*plan["run_id"]} - removed
            echo(f"runs removed: {len(outside):,} that the grid no longer has")
            removed |= outside
        if removed:
            store.remove(sorted(removed))
    echo(f"{folder}: {len(removed):,} runs removed, {len(rows) - len(removed):,} left")
    return DONE


if __name__ == "__main__":
    sys.exit(run(app))
