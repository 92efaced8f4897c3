"""The command line: `study`, or `python -m study`, lists the commands."""

import sys
from collections.abc import Sequence
from importlib.metadata import version

from cyclopts import App

from study import command

COMMANDS = {  # name: where its app is, and one line about it
    "grid": ("study.grid.__main__", "Train every run of a grid file that is not stored yet"),
    "merge": ("study.grid.merge", "Put results folders of one grid together"),
    "figures": ("study.figures.__main__", "Draw figures from stored results"),
    "summary": ("study.analysis.summary", "Print how many runs solved the task, and how fast"),
    "tune": ("study.analysis.tune", "Choose learning rates from tuning runs"),
    "answers": (
        "study.analysis.answers",
        "Answer the forum post and the notebook from stored runs",
    ),
    "compare": ("study.analysis.compare", "Say what differs between two sets of results"),
    "audit": ("study.analysis.audit", "Train a sample of runs again with plain torch, and compare"),
    "dynamics": ("study.dynamics.__main__", "Analyse what carries the pattern in kept weights"),
    "paper": ("study.paper.__main__", "Build the paper, every number and claim from results"),
}

app = App(
    name="study",
    help="A comparative study of recurrent networks. Each command has --help with examples.",
    version=lambda: version("study"),
    suppress_keyboard_interrupt=False,
)
for name, (module, line) in COMMANDS.items():
    app.command(f"{module}:app", name=name, help=line)  # imported when it is asked for


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, by default this process's; its exit code."""
    return command.run(app, arguments)


if __name__ == "__main__":
    sys.exit(main())
