"""The command line. `study` or `python -m study` lists the commands."""

import sys
from collections.abc import Sequence
from importlib.metadata import version

from cyclopts import App

from study import command

COMMANDS = {  # name: the module of its app, and one line of help
    "grid": ("study.grid.__main__", "Train every run of a grid file that is not stored yet"),
    "merge": ("study.grid.merge", "Merge results folders of one grid"),
    "figures": ("study.figures.__main__", "Draw figures from stored results"),
    "summary": ("study.analysis.summary", "Print how many runs solved the task, and how fast"),
    "tune": ("study.analysis.tune", "Choose learning rates from tuning runs"),
    "answers": (
        "study.analysis.answers",
        "Answer the forum post and the notebook from stored runs",
    ),
    "compare": ("study.analysis.compare", "List the differences between two sets of results"),
    "audit": ("study.analysis.audit", "Train a sample of runs again with plain torch, and compare"),
    "dynamics": ("study.dynamics.__main__", "Analyse how trained networks carry the pattern"),
    "paper": ("study.paper.__main__", "Build the paper, taking every number from results"),
}

app = App(
    name="study",
    help="A comparative study of recurrent networks. Each command has --help with examples.",
    version=lambda: version("study"),
    suppress_keyboard_interrupt=False,
)
for name, (module, line) in COMMANDS.items():
    app.command(f"{module}:app", name=name, help=line)  # imported when it is used


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, by default this process's, and return its exit code."""
    return command.run(app, arguments)


if __name__ == "__main__":
    sys.exit(main())
