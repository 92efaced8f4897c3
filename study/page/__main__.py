"""Define the command `study page`."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import study
from study.command import DONE, command, run
from study.errors import BadInput, echo
from study.grid import Results, StoreWarning, atomic_write, load_saying
from study.page import joined, networks_in, packed, plateau_in, post_in, runs_in

app = command(
    "page",
    "study page results/page results/main results/forum results/forum_factorial\n"
    "study page results/mine --out mine.html",
)


@app.default
def page(*results: Path, out: Path = Path("page.html")) -> int:
    """Write one HTML file on which readers touch hidden states and browse all runs.

    Parameters
    ----------
    results
        Results folders, such as results/page results/main. The page has the networks of the grid
        `page`, the post's loop from the grids `forum` and `forum_factorial`, and all runs.
    out
        The file to write.
    """
    if not results:
        raise BadInput.at("study page", "needs a results folder, such as results/page")
    names = [folder.resolve().name for folder in results]
    if twice := {name for name in names if names.count(name) > 1}:
        raise BadInput.at("study page", f"two results folders have the name {min(twice)!r}")
    if not out.resolve().parent.is_dir():
        raise BadInput.at(f"--out {out}", "its folder does not exist")
    for folder in results:
        load_saying(folder, curves=False)  # says what is wrong before anything takes time
    with warnings.catch_warnings(action="ignore", category=StoreWarning):  # it has been said
        text = joined(packed(gathered([Results(folder) for folder in results])))
    atomic_write(out, text.encode())
    echo(f"{out} ({len(text.encode()) / 1e6:.2f} MB)")
    return DONE


def gathered(folders: list[Results]) -> dict[str, Any]:
    """Return all that the page shows: networks, the post's loop, runs, and where they are from."""
    return {
        "networks": [network for folder in folders for network in networks_in(folder)],
        "post": [entry for folder in folders for entry in post_in(folder)],
        "plateau": [entry for folder in folders for entry in plateau_in(folder)],
        "folders": [runs_in(folder) for folder in folders],
        "origin": {
            "version": study.__version__,
            "folders": [_origin(folder) for folder in folders],
        },
    }


def _origin(results: Results) -> dict[str, Any]:
    """Return when the runs of a folder were trained, and the commit and packages they came from."""
    manifests = sorted((results.folder / "manifests").glob("*.json"))
    last: dict[str, Any] = json.loads(manifests[-1].read_text("utf-8")) if manifests else {}
    return {
        "name": results.folder.resolve().name,
        "runs": len(results.runs),
        "date": str(results.runs["finished_at"].max())[:10],
        "commit": (last.get("code") or {}).get("commit") or "",
        "packages": last.get("packages") or {},
    }


if __name__ == "__main__":
    sys.exit(run(app))
