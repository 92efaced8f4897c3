"""Train a grid: `python -m study.grid experiments/main.yaml`.

What that does is in `running`. Before it is imported, the processes that will train are started here: they take half a
second to start, and it takes a third to import.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from study.command import run_command, terminates_as_interrupted
from study.errors import command
from study.options import limits_of, parse
from study.processes import end_processes, later, start_processes


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    options = parse(arguments)
    return command(lambda: run_grid(options))


def run_grid(options: argparse.Namespace, **how: Any) -> int:
    """Train the grid that was asked for; the exit code. `how` is for `running.run`."""
    with terminates_as_interrupted():
        try:
            with later(signal.SIGINT), later(signal.SIGTERM):  # an interrupted import may end in any exception
                if _is_new(options):
                    start_processes(options.jobs, limits_of(options))
                running = import_module("study.running")
            return running.run(options, **how)
        finally:
            end_processes()


def _is_new(options: argparse.Namespace) -> bool:
    """Whether there surely is work for processes here, as far as can be told without reading the grid file."""
    if options.dry_run or options.backend != "loky" or not (options.out or _has_folder_of_its_name(options)):
        return False
    folder = Path(options.out or f"results/{Path(options.grid).stem}")
    with suppress(OSError, ValueError):  # names that no file can have
        return Path(options.grid).is_file() and not any(folder.glob("rows-*.parquet"))
    return False


def _has_folder_of_its_name(options: argparse.Namespace) -> bool:
    """Most grid files have their grid's name, and what is not overridden or shared goes to a folder of that name."""
    return not options.set and options.share == (1, 1)


if __name__ == "__main__":
    sys.exit(run_command(main))
