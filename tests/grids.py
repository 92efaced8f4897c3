"""Small grids for tests, and ways in which a training can go wrong in a worker."""

import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

from study.errors import EnvironmentFault
from study.grid.store import read_rows
from study.grid.train import Job, failure, row_of, train_job
from study.runs.results import SCHEMA, TIMINGS, judged
from study.runs.settings import Run

SMOKE = Path(__file__).parent.parent / "experiments" / "smoke.yaml"
RUNS = 42  # of the smoke grid

QUICK = """
name: quick
defaults:
  {hidden_size: 4, length: 6, max_updates: 60, eval_every: 5, final_sequences: 9, long_sequences: 4}
blocks:
  only:
    vary:
      cell: [lstm, gru, rnn_tanh]
      seed: {range: [0, 8]}
"""


def grid_file(folder: Path, text: str = QUICK) -> str:
    """A grid file of some 24 runs of a few milliseconds each."""
    path = folder / "grid.yaml"
    path.write_text(text)
    return str(path)


def table(folder: Path) -> str:
    """Every number of a results folder but the timings, to the last bit."""
    rows = read_rows(folder, [name for name in SCHEMA.names if name not in TIMINGS])
    return "\n".join(map(repr, rows.to_pylist()))


def statuses(folder: Path) -> list[str]:
    """The status of each stored run."""
    return read_rows(folder, ["status"])["status"].to_pylist()


def train_run(run: Run) -> dict:
    """Train one run, and return its row as it would be stored without weights."""
    return judged([train_job(Job(run))])[0]


# --- trainings that go wrong ---------------------------------------------------------------------

SGD = Run(optimizer="sgd").optimizer_settings
REASONS = {  # of the runs that fail in `misbehaves`
    ("gru", 2): "used more than 2 s of processor time",
    ("gru", 6): "nable to allocate",
    ("lstm", 5): "KeyError: 'no_such_cell'",
    ("rnn_tanh", 1): "'low'",
    ("rnn_tanh", 4): "accuracy is 2.0, which must lie between 0 and 1",
    ("rnn_tanh", 7): "the worker process died on this run",
}
CHANGES = {
    ("gru", 2): {"max_updates": 10**8, "stop_when_solved": False},
    ("gru", 6): {"final_sequences": 400_000_000},
    ("lstm", 5): {"cell": "no_such_cell"},
    ("lstm", 3): {"lr": 1e38, "optimizer": "sgd", "optimizer_settings": SGD},
}


def misbehaves(job: Job, *how, **about) -> dict:
    """Six fail: endless, greedy, raising, giving nonsense twice, killing; and one diverges."""
    place, run = (job.run.cell, job.run.seed), job.run
    if place == ("rnn_tanh", 7):
        os.kill(os.getpid(), signal.SIGKILL)
    row = train_job(Job(run.model_copy(update=CHANGES.get(place, {}))), *how, **about)
    if place == ("rnn_tanh", 1):
        row["loss"] = "low"
    if place == ("rnn_tanh", 4):
        row["accuracy"] = 2.0
    changed = CHANGES.get(place, {})
    own = {key: getattr(run, key) for key in changed if not key.startswith("optimizer")}
    return row | own | {"run_id": job.run_id}


def kills_its_worker(job: Job, *how, **about) -> dict:
    """One run takes its process with it, whenever it is tried."""
    if (job.run.cell, job.run.seed) == ("gru", 7):
        os.kill(os.getpid(), signal.SIGKILL)
    return train_job(job, *how, **about)


def raises(job: Job, *how, **about) -> dict:
    """Runs of one cell raise an exception, with colours in its text."""
    row = train_job(job, *how, **about)
    wrong = {"status": "failed", "reason": "RuntimeError: \x1b[31mred"}
    return row | wrong if job.run.cell == "gru" else row


def fails(job: Job, *how, **about) -> dict:
    """Every run fails, as with a limit of time that is too low."""
    return row_of(job.run, failure("used more than 0.1 s"), run_id=job.run_id, **about)


def fails_tomorrow(job: Job, *how, **about) -> dict:
    """Every run fails, on a machine whose clock is a day ahead."""
    return fails(job, *how, **about) | {"finished_at": datetime.now(UTC) + timedelta(days=1)}


def lacks_a_library(job: Job, *how, **about) -> dict:
    """The worker that gets one run finds that a library does not load."""
    if (job.run.cell, job.run.seed) == ("gru", 7):
        raise EnvironmentFault("engine 'fused' cannot be loaded: libgone.so")
    return train_job(job, *how, **about)
