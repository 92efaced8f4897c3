"""What several tests share."""

import signal

import pytest
import torch

from study.runs.settings import Run

# Grids that tests start would ignore Ctrl-C if a script had started the tests in the background.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The networks are so small that a second thread only waits, and takes time from other processes.
torch.set_num_threads(1)

QUICK = {
    "hidden_size": 4,
    "length": 6,
    "batch_size": 4,
    "max_updates": 30,
    "eval_every": 5,
    "eval_sequences": 8,
    "final_sequences": 20,
    "long_sequences": 4,
    "engine": "torch",
}


# Files with tests of up to two minutes. They come first, so that no process waits for the other.
LONG = ("test_all_at_once", "test_wheel", "test_walkthrough", "test_rules", "test_benchmarks")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the files of LONG to the front, and keep the order otherwise."""
    items.sort(key=lambda item: item.path.stem not in LONG)


@pytest.fixture
def quick():
    """A run that trains in some hundredths of a second, with settings of the test's own."""

    def make(**settings) -> Run:
        return Run(**(QUICK | settings))

    return make
