"""Define the command `study merge A B --out C`, which merges results of the same grid.

A, B and C are results folders. A and B may come from several machines, each of which trained some
runs of the grid, such as a share (`study grid --share`). Folder C gets the runs of both. If a run
has several rows, C keeps only one of them. The row of a run that finished training is preferred to
the row of a failed or skipped run. Among rows that finished training, the first one is usually
kept. Rows that are already in C come first, then the rows in A, then the rows in B. The docstring
of `study.grid.store` gives the exact rule.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute

from study.command import DONE, command, run
from study.errors import BadInput, Problem, echo
from study.grid.files import atomic_write, folder_in, read_file
from study.grid.store import (
    Figures,
    Results,
    Store,
    has_results,
    read_plan,
    read_rows,
    refuse_clashes,
    results_folder,
)
from study.grid.versions import COLUMNS, mixed

pc: Any = pyarrow.compute  # made at import, so type checkers do not know its functions


def _plan_of(folder: Path) -> tuple[str, dict[str, list[str]], Figures]:
    """Return a grid's name, the identities of the runs in each block, and the blocks' figures.

    All come from the folder's plan, which is the list of the grid's runs. Raises `BadInput` if the
    folder has no results or no readable plan.
    """
    plan = read_plan(results_folder(folder))
    if plan is None:
        raise BadInput.at(
            str(folder), "plan.parquet is missing or damaged; run the grid to write it again"
        )
    blocks = plan.groupby("block", sort=False)["run_id"]
    run_ids = {str(name): ids.tolist() for name, ids in blocks}
    return plan.attrs["grid"], run_ids, plan.attrs["figures"]


def _refuse_mixed(tables: list[pa.Table], blocks: dict[str, list[str]]) -> None:
    """Raise `BadInput` if planned runs were made by several versions of the same component.

    A component is a cell, task, initialisation or optimizer. `tables` holds tables of stored rows.
    `blocks` maps the name of each block to the identities of its planned runs.
    """
    rows = pa.concat_tables([table.select(["run_id", *COLUMNS]) for table in tables])
    planned = pa.array(set().union(*blocks.values()), pa.string())
    if names := mixed(rows.filter(pc.is_in(rows["run_id"], planned))):
        message = f"the folders have runs made by several versions of {' and '.join(names)}"
        raise BadInput.at("merge", f"{message}; run the grid again in folders with an old version")


def _copy_manifests(source: Path, target: Path) -> None:
    """Copy all manifests of the results folder `source` into the folder `target`.

    A manifest is a JSON file that describes one invocation of `study grid`. If `target` already has
    a different manifest with the same file name, the name of `source` is added to the name of the
    copy.
    """
    for path in sorted(folder_in(source, "manifests").glob("*.json")):
        content, copy = read_file(path), target / path.name
        if copy.exists() and read_file(copy) != content:
            copy = target / f"{path.stem}-{source.resolve().name}.json"
        atomic_write(copy, content)


def _say(line: str) -> None:
    echo(f"note: {line}", file=sys.stderr)


app = command("merge", "study merge results/main+share-1-of-2 results/main+share-2-of-2 --out all")


@app.default
def merge(*results: Path, out: Path) -> int:
    """Merge the rows, plans and manifests of results folders that belong to the same grid.

    A plan is the list of a grid's runs. A manifest describes one invocation of `study grid`.

    Parameters
    ----------
    results
        Results folders of the same grid, such as the shares that several machines trained.
    out
        The folder to write. Results of this grid that are already in the folder are kept.
    """
    folders = [*results, *([out] if has_results(out) else [])]
    plans = {folder: _plan_of(folder) for folder in folders}
    if not results or len({grid for grid, *_ in plans.values()}) > 1:
        problems = [
            Problem(str(folder), f"belongs to grid {plans[folder][0]!r}") for folder in plans
        ]
        raise BadInput(
            [Problem("merge", "needs one or more results folders of the same grid"), *problems]
        )
    blocks, figures = dict[str, list[str]](), Figures()
    for _, planned, named in plans.values():
        figures = named | figures  # the first folder decides
        for name, run_ids in planned.items():
            blocks[name] = list(dict.fromkeys([*blocks.get(name, []), *run_ids]))
    others = [folder for folder in results if folder.resolve() != out.resolve()]
    tables = [read_rows(folder, say=_say) for folder in others]
    kept = [read_rows(out)] if has_results(out) else []
    refuse_clashes("merge", [table.schema for table in (*kept, *tables)])
    _refuse_mixed([*kept, *tables], blocks)
    with Store(out, _say) as store:
        for folder, table in zip(others, tables, strict=True):
            store.append(table)
            _copy_manifests(folder, folder_in(out, "manifests"))
        store.write_plan(blocks, plans[folders[0]][0], figures)
        store.compact()
    echo(f"{out}: {Results(out).condition()}")
    return DONE


if __name__ == "__main__":
    sys.exit(run(app))
