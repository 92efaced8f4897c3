"""Ctrl-C, whenever it comes: a line, and exit code 130."""

import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import psutil
import pytest

from study.command import LINE, run_command

ROOT = Path(__file__).parent.parent
COMMANDS = ("grid", "figures", "answers", "dynamics", "paper", "audit", "compare", "tune")


def imports(process: subprocess.Popen, library: str) -> bool:
    """Whether it has loaded a library by now, and still runs."""
    try:
        return any(library in mapped.path for mapped in psutil.Process(process.pid).memory_maps())
    except psutil.Error:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks at a process through /proc")
@pytest.mark.parametrize("command", COMMANDS)
def test_an_interrupt_while_a_command_imports(command):
    words = [sys.executable, "-m", f"study.{command}", "--help"]
    process = subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 60
    while (
        not imports(process, "_multiarray_umath")
        and process.poll() is None
        and time.monotonic() < end
    ):
        time.sleep(0.005)  # until numpy comes, which is early
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, ("", f"{LINE}\n"))


def test_a_command_that_was_started_to_ignore_interrupts_does():
    code = "import signal, sys; signal.signal(2, 1); sys.argv[0] = '-m'; from study.command import run_command; "
    code += "sys.exit(run_command(lambda: signal.raise_signal(2) or 3))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 3


RUN = """
import atexit, os, signal, sys
from study.command import run_command

class AbortsPython:
    def __del__(self):
        os.abort()

def main():
    try:
        signal.raise_signal(signal.SIGINT)
    finally:
        print("tidied")
    return 0

atexit.register(print, "at exit")
sys.last = AbortsPython()
sys.exit(run_command(main))
"""


def test_an_interrupted_command_tidies_up_and_ends_though_what_was_being_imported_would_abort():
    done = subprocess.run(
        [sys.executable, "-c", RUN], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "tidied\nat exit\n", f"{LINE}\n")


def test_a_command_that_was_not_interrupted_gives_its_code():
    before = signal.getsignal(signal.SIGINT)
    try:
        assert run_command(lambda: 1) == 1
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_is_no_command_keeps_its_own_way_with_an_interrupt():
    code = "import signal; before = signal.getsignal(2); import study.store; print(signal.getsignal(2) is before)"
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert said.stdout == "True\n"


@pytest.mark.parametrize(
    "words",
    [
        ["audit", "results/none", "--sample", "0"],
        ["audit", "results/none", "--seed", "-1"],
        ["compare", "results/none", "results/none", "--seed", "-1"],
        ["compare", "results/none", "results/none", "--seed", str(2**63)],
        ["grid", "none.yaml", "--jobs", "0"],
        ["grid", "none.yaml", "--out", ""],
    ],
)
def test_a_value_that_cannot_be_is_refused_by_its_option(words, capsys):
    command = import_module(f"study.{words[0]}")
    with pytest.raises(SystemExit) as refusal:
        command.main(words[1:])
    assert refusal.value.code == 2
    assert f"argument {words[-2]}: " in capsys.readouterr().err
