"""Execute the walk-through and store its outputs in it: `python -m tests.walkthrough`."""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

WALKTHROUGH = Path(__file__).parent.parent / "notebooks" / "hidden_state.ipynb"
SECONDS = 300  # limit for one cell, on a slow machine


def executed() -> NotebookNode:
    """Run the walk-through in a fresh kernel and return it; raises `CellExecutionError`."""
    notebook = nbformat.read(WALKTHROUGH, as_version=4)
    where = {"metadata": {"path": str(WALKTHROUGH.parent)}}
    # Without coalescing, the grouping of lines into outputs depends on when they arrive.
    client = NotebookClient(notebook, timeout=SECONDS, resources=where, coalesce_streams=True)
    manager = client.create_kernel_manager()
    manager.kernel_spec.argv[0] = sys.executable  # not that of a registered kernel
    client.execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # timings
    notebook.metadata.language_info = {"name": "python"}
    return notebook


def write() -> None:
    """Store the walk-through with its outputs."""
    nbformat.write(executed(), WALKTHROUGH)


if __name__ == "__main__":
    write()
