"""Runs that misbehave, in every way there is, among some that do not."""

import ctypes
import os
import signal
from collections.abc import Callable
from functools import partial

from study.grid.train import train_run
from study.runs.settings import Run

RUN_SECONDS, WORKER_MEBIBYTES = 10, 2000  # a run that behaves takes some hundredths of a second
REASONS = {  # of the failed ones, by cell and seed
    ("gru", 2): f"ran longer than {RUN_SECONDS} s",
    ("gru", 6): "nable to allocate",
    ("lstm", 5): "KeyError: 'no_such_cell'",
    ("rnn_tanh", 1): "'low'",
    ("rnn_tanh", 4): "the engine's results are none: accuracy is out of its range",
    ("rnn_tanh", 7): "the worker process died on this run",
}
DIVERGED = ("lstm", 3)


def misbehaves(run: Run, **options) -> Callable[[], dict]:
    """One hangs, one wants all memory, one raises, one diverges, two give nonsense, one kills its worker."""
    changed = run
    match run.cell, run.seed:
        case "gru", 2:
            ctypes.PyDLL(None).sleep(
                1000
            )  # keeps Python's lock and heeds no signal, as a compiled loop might
        case "gru", 6:
            changed = run.model_copy(update={"final_sequences": 400_000_000})
        case "lstm", 5:
            changed = run.model_copy(update={"cell": "no_such_cell"})
        case "lstm", 3:
            changed = run.model_copy(
                update={"lr": 1e38, "optimizer": "sgd", "optimizer_settings": {}}
            )
        case "rnn_tanh", 7:
            os.kill(os.getpid(), signal.SIGKILL)
    row = train_run(changed, **options)
    if (run.cell, run.seed) == ("rnn_tanh", 1):
        row["loss"] = "low"
    if (run.cell, run.seed) == ("rnn_tanh", 4):
        row["accuracy"] = 2.0
    own = {
        "run_id": run.run_id,
        "cell": run.cell,
        "lr": run.lr,
        "final_sequences": run.final_sequences,
    }
    return partial(dict, row, **own)


def check(frame, runs: int) -> None:
    """Every run has its row, the failed ones the reason, and one diverged."""
    assert len(frame) == runs
    frame = frame.set_index(["cell", "seed"])
    reasons = frame.loc[frame["status"] == "failed", "reason"].to_dict()
    assert set(reasons) == set(REASONS)
    assert all(text in reasons[key] for key, text in REASONS.items()), reasons
    assert "in misbehaves" in reasons["gru", 2]
    assert frame.index[frame["status"] == "diverged"].tolist() == [DIVERGED]
    assert frame.loc[DIVERGED, "diverged_update"] >= 0
    assert set(frame["status"]) <= {"failed", "diverged", "solved", "unsolved"}
