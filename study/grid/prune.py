"""Define the command `study prune`, which removes stored runs made by another version of the code.

Only the code of a run's cell, task, initialisation and optimizer is compared. Changes to any other
code do not count.
"""

from __future__ import annotations

import sys
from pathlib import Path

from study.command import command, run
from study.errors import BadInput, echo
from study.grid.store import Store, read_rows, results_folder
from study.grid.versions import COLUMNS, versions_of

app = command("prune", "study prune results/mine --other-versions")


def _say(line: str) -> None:
    echo(f"note: {line}", file=sys.stderr)


@app.default
def prune(results: Path, /, *, other_versions: bool = False) -> None:
    """Remove stored runs for good, and print how many were removed.

    Parameters
    ----------
    results
        A results folder, such as results/mine.
    other_versions
        Remove each run made by another version of its cell, task, initialisation or optimizer.
        A run is kept if one of these four components is not registered now.
    """
    folder = results_folder(results)
    if not other_versions:
        raise BadInput.at("prune", "use --other-versions to say which runs to remove")
    with Store(folder, _say) as store:
        rows = read_rows(folder, ["run_id", *COLUMNS])
        versions = versions_of(rows)
        removed = rows["run_id"].filter(versions.is_other).to_pylist()
        if removed:
            store.remove(removed)
    for name, count in versions.others.items():
        echo(f"runs removed: {count:,} made by another version of {name}")
    for name, count in versions.unknown.items():
        echo(f"runs kept: {count:,} of {name}, which is not registered now")
    echo(f"{folder}: {len(removed):,} runs removed, {len(rows) - len(removed):,} left")


if __name__ == "__main__":
    sys.exit(run(app))
