"""Command lines: exit codes, messages, and Ctrl-C."""

import subprocess
import sys
from pathlib import Path

import pytest

from study.__main__ import COMMANDS, main
from study.command import INTERRUPTED_LINE, command, run
from study.errors import BadInput, EnvironmentFault, Problem

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (BadInput([Problem("a:1", "bad"), Problem("", "all")]), 2, "error: a:1: bad\nerror: all"),
        (FileNotFoundError(2, "No such file", "x"), 2, "error: No such file: x"),
        (MemoryError(), 2, "error: not enough memory: free some, or give the command less to do"),
        (EnvironmentFault("no library"), 1, "error: no library"),
        (KeyboardInterrupt(), 130, INTERRUPTED_LINE),
    ],
)  # fmt: skip
def test_errors_are_printed_one_per_line(raised, code, said, capsys):
    app = command("test", "study test")

    @app.default
    def test() -> None:
        raise raised

    assert run(app, []) == code
    assert capsys.readouterr().err == f"{said}\n"


def test_a_command_returns_its_exit_code():
    for code in (None, 0, 1):
        app = command("test", "study test")
        app.default(lambda code=code: code)
        assert run(app, []) == (code or 0)


def test_study_alone_lists_the_commands(capsys):
    assert main([]) == 0
    said = capsys.readouterr().out
    for name, (_, line) in COMMANDS.items():
        assert f"{name} " in said
        assert " ".join(line.split()[:4]) in said


@pytest.mark.parametrize("name", ["grid", "tune"])
def test_every_command_has_help_with_an_example(name, capsys):
    assert main([name, "--help"]) == 0
    assert f"study {name} " in capsys.readouterr().out.split("Examples:")[1]


@pytest.mark.parametrize("words", [["grid", "none.yaml", "--jobs", "0"], ["grid"]])
def test_an_invalid_command_line_is_refused(words, capsys):
    assert main(words) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_a_command_also_runs_as_a_module():
    words = [sys.executable, "-m", "study.grid", "none.yaml"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: none.yaml")
