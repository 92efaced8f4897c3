"""Command lines: exit codes, messages, and Ctrl-C."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cyclopts import App

from study.__main__ import COMMANDS, main
from study.command import DISTRIBUTION, EXTRAS, INTERRUPTED_LINE, command, run, signals_interrupt
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


@pytest.mark.parametrize(("module", "extra"), EXTRAS.items())
def test_a_command_names_the_extra_that_it_lacks(module, extra, tmp_path, monkeypatch, capsys):
    (tmp_path / f"needs_{module}.py").write_text(f"import {module}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    app = App()
    app.command(f"needs_{module}:app", name="draw")
    assert run(app, ["draw"]) == 2
    install = f"type: pip install '{DISTRIBUTION}[{extra}]'"
    message = f"error: this command needs the package {module}; {install}\n"
    assert capsys.readouterr().err == message


def test_a_module_that_no_extra_brings_is_a_fault_of_the_code():
    app = App()
    app.command("study.no_such_module:app", name="draw")
    with pytest.raises(ImportError):
        run(app, ["draw"])


def test_windows_is_refused(capsys, monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    assert main(["--version"]) == 2
    assert capsys.readouterr().err.startswith("error: the study does not run on Windows; use ")


PRINTS = """
import os, sys
from pathlib import Path
from study.command import command, run
from study.errors import echo
app = command("test", "study test")
@app.default
def test():
    echo("line\\n" * {lines}, flush={flush})
    with Path(sys.argv[1]).open("w") as file:
        os.system("echo loud; echo louder >&2")
        echo("error", file=sys.stderr)
        file.write("done")
    return {code}
raise SystemExit(run(app, sys.argv[2:]))
"""


def unread(shell: str, *words: str) -> subprocess.CompletedProcess:
    """Let a shell run Python, which is `python` in its command, and let nothing read its output."""
    reads, writes = os.pipe()
    os.close(reads)
    command = ["bash", "-c", shell.replace("python", '"$@"'), "bash", sys.executable, "-c", *words]
    done = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writes)
    return done


@pytest.mark.parametrize(
    ("lines", "flush", "shell", "code"),
    [
        (1, False, "python", None),
        (1, True, "python 2>&1", 0),
        (100_000, False, "python", 0),
        (1, False, "python >&-", None),
        (100_000, True, "python <&- >&- 2>&-", 0),
    ],
)
def test_a_command_goes_on_if_nothing_reads_its_output(tmp_path, lines, flush, shell, code):
    """It ends with 1 if all its work was to print, which it says by returning None."""
    file, script = tmp_path / "file", PRINTS.format(lines=lines, flush=flush, code=code)
    done = unread(shell, script, str(file))
    assert done.returncode == (1 if code is None else code)
    assert "Traceback" not in done.stderr
    assert file.read_text() == "done"


@pytest.mark.parametrize("shell", ["python", "python >&-"])
def test_help_that_nothing_reads_has_no_traceback(shell):
    done = unread(shell, PRINTS.format(lines=1, flush=False, code=0), "file", "--help")
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_that_end_a_session_interrupt_unless_they_are_ignored(number):
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(KeyboardInterrupt), signals_interrupt():
            signal.raise_signal(number)
        assert signal.getsignal(number) == signal.SIG_DFL
        signal.signal(number, signal.SIG_IGN)  # as `nohup` does
        with signals_interrupt():
            signal.raise_signal(number)
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_a_quota_limits_the_number_of_workers():
    """A container may have many processors and be allowed the time of one."""
    quota = "mount -t tmpfs none /sys/fs/cgroup && echo 100000 100000 > /sys/fs/cgroup/cpu.max"
    if subprocess.run(["unshare", "-rm", "sh", "-c", quota], check=False).returncode:
        pytest.skip("this system lets no user mount a disk")
    count = f"'{sys.executable}' -c 'from study.command import cores; print(cores())'"
    words = ["unshare", "-rm", "sh", "-c", f"{quota} && {count}"]
    assert subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout == b"1\n"


IMPORTS = """
import logging, signal, sys
import matplotlib
matplotlib.use("svg")
def state():
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    return *handlers, sys.excepthook, matplotlib.get_backend(), logging.root.level
before = state()
import study.__main__, study.figures, study.paper, study.grid
assert state() == before
"""


def test_importing_the_package_changes_nothing_of_a_users_program():
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)


def test_a_grid_can_be_trained_in_a_thread_and_in_a_running_event_loop(tmp_path):
    """Signal handlers can be set in the main thread only; Jupyter runs an event loop."""
    few = "fixed: {cell: rnn_tanh, max_updates: 60}, vary: {seed: [0, 1]}"
    (tmp_path / "grid.yaml").write_text(f"name: a\nblocks: {{b: {{{few}}}}}\n")
    codes = []

    def train(name: str) -> None:
        words = ["grid", str(tmp_path / "grid.yaml"), "--out", str(tmp_path / name), "--jobs", "1"]
        codes.append(main(words))

    thread = threading.Thread(target=train, args=("thread",))
    thread.start()
    thread.join()

    async def cell() -> None:
        train("loop")

    asyncio.run(cell())
    assert codes == [0, 0]


def test_an_error_of_every_block_is_printed_once(tmp_path, capsys):
    (tmp_path / "grid.yaml").write_text("name: a\nblocks: {b: {fixed: {}}, c: {fixed: {}}}\n")
    assert main(["grid", str(tmp_path / "grid.yaml"), "--set", "grid.hidden_size=x"]) == 2
    assert capsys.readouterr().err.count("error:") == 1


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
