"""Provide the command line `study`, which can also be started as `python -m study`.

Without a command, `study` lists all commands.
"""

import sys
from collections.abc import Sequence

from cyclopts import App

import study
from study import command

COMMANDS = {  # by name: the module that defines the command, and one line of help
    "grid": ("study.grid.__main__", "Train the runs of a grid file that are not stored yet"),
    "new": ("study.grid.new", "Write a cell, a task and a grid file of your own to start from"),
    "schema": ("study.grid.schema", "Print the JSON schema of grid files, for editors"),
    "merge": ("study.grid.merge", "Merge several results folders of the same grid"),
    "prune": (
        "study.grid.prune",
        "Remove stored runs made before a cell, task or other component was edited",
    ),
    "export": (
        "study.grid.export",
        "Write one CSV row per stored run, without learning curves and weights",
    ),
    "figures": ("study.figures.__main__", "Draw figures from stored results"),
    "summary": ("study.analysis.summary", "Print how many runs solved the task, and how fast"),
    "contrast": (
        "study.figures.contrast",
        "Compare two cells, or two values of another setting, in pairs of runs",
    ),
    "tune": ("study.analysis.tune", "Choose learning rates from tuning runs"),
    "answers": (
        "study.analysis.answers",
        "Show why the code of a forum post and its notebook did not learn the task",
    ),
    "compare": ("study.analysis.compare", "List the differences between two sets of results"),
    "audit": (
        "study.analysis.audit",
        "Train some stored runs again in plain torch and compare the results",
    ),
    "dynamics": (
        "study.dynamics.__main__",
        "Analyse how trained networks keep the pattern in their hidden state",
    ),
    "page": (
        "study.page.__main__",
        "Write one HTML file on which readers touch hidden states and browse all runs",
    ),
    "paper": ("study.paper.__main__", "Build the paper, taking every number from stored results"),
    "trace": (
        "study.paper.trace",
        "Say where a number, figure or claim of the paper comes from, and how to make it again",
    ),
}

app = App(
    name="study",
    help="A comparative study of recurrent networks. Each command has --help with examples.",
    version=study.__version__,
    suppress_keyboard_interrupt=False,
)
for name, (module, line) in COMMANDS.items():
    app.command(f"{module}:app", name=name, help=line)  # imported when the command is used


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `study` with the given arguments, or with `sys.argv[1:]`, and return the exit code."""
    return command.run(app, arguments)


if __name__ == "__main__":
    sys.exit(main())
