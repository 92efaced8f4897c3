"""A short form of `make fuzz`, in a process of its own, since it bounds its memory."""

import json
import subprocess
import sys

import pytest
from hypothesis import strategies as st

from tests import fuzz
from tests.fuzz import PROPERTIES


def test_input_of_every_kind_is_refused_or_right(tmp_path):
    file = tmp_path / "counts.json"
    command = [sys.executable, "-m", "tests.fuzz", "--examples", "400", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(file.read_text())["counts"]
    assert counts.keys() == PROPERTIES.keys()
    assert sum(count["tracebacks"] + count["hangs"] for count in counts.values()) == 0
    for outcome in ("refused", "accepted"):  # of nearly every property, or it would try nothing
        assert sum(count[outcome] > 0 for count in counts.values()) >= len(PROPERTIES) - 2, counts


def spin(*_) -> str:
    while True:
        pass


def writes_though_refused(folder, _) -> str:
    def main(arguments):
        (folder / "written").touch()
        print("error: no", file=sys.stderr)
        return 2

    return fuzz.judged(main, [], folder)


@pytest.mark.parametrize(
    ("judge", "what"),
    [
        (lambda folder, _: {}["missing"], "tracebacks"),
        (
            lambda folder, _: fuzz.judged(lambda arguments: 1, [], folder),
            "tracebacks",
        ),  # no error is named
        (writes_though_refused, "tracebacks"),
        (spin, "hangs"),
    ],
)
def test_what_is_neither_is_counted(monkeypatch, judge, what):
    monkeypatch.setattr(fuzz, "LONGEST", 0.05)
    monkeypatch.setitem(fuzz.PROPERTIES, "planted", (judge, st.just(0), 1.0))
    count = fuzz.explore("planted", 3, 0)
    assert count.line()[what] == count.line()["examples"] == 1
    assert count.first
