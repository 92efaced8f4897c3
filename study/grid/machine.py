"""What a plan asks of engines on this machine: whether a run can be trained, is ready to be, and how fast.

The processes that train answer, so this imports no more than they need anyway.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from study.engines import engine_of
from study.model import COMPILING, not_there
from study.runs import Run


def why_unavailable(run: Run) -> str | None:
    """Why a run cannot be trained on this machine; None when it can, or when its own failure will have to say it."""
    try:
        return engine_of(run).unavailable(run)
    except Exception:
        return None


def is_ready(run: Run) -> bool:
    """Whether a run can be trained without its engine's `prepare`, or will fail with a reason of its own."""
    try:
        return run.engine not in COMPILING or engine_of(run).is_ready(run)
    except Exception:  # such as an engine whose import needs more memory than a worker may take
        return True


def surely_absent(device: str) -> str | None:
    """Why no engine can train on a device here, if that can be told without importing torch, which takes seconds."""
    absent = {"cuda": not _has_cuda(), "mps": sys.platform != "darwin"}
    return not_there(device) if absent.get(device) else None


def _has_cuda() -> bool:
    """Whether torch was built for CUDA or its like, or may have been: its version file says so."""
    torch = find_spec("torch")
    try:
        build = (
            (Path(torch.origin).parent / "version.py").read_text() if torch and torch.origin else ""
        )
    except (OSError, ValueError):  # a torch of another make
        return True
    return not all(
        re.search(rf"^{name}\b[^=]*= None$", build, re.MULTILINE) for name in ("cuda", "hip")
    )


@dataclass(frozen=True)
class Speed:
    """Measured seconds of one update, one evaluation, and the final evaluations."""

    update: float
    evaluation: float
    final: float

    def budget(self, run: Run) -> float:
        """Seconds of a run that uses its whole budget of updates."""
        evaluations = run.max_updates / run.eval_every + 1
        return run.max_updates * self.update + evaluations * self.evaluation + self.final

    def times(self, factor: float) -> Speed:
        """The same, every time multiplied."""
        return Speed(self.update * factor, self.evaluation * factor, self.final * factor)


def measure_speed(run: Run) -> Speed | None:
    """Train a few updates of a run, after one to warm up, and time them; None where it is not ready or fails."""
    short = run.model_copy(update={"max_updates": 8, "eval_every": 8, "solved_evaluations": 8})
    warm = run.model_copy(
        update={
            "max_updates": 1,
            "eval_every": 1,
            "solved_evaluations": 8,
            "final_sequences": 1,
            "long_sequences": 1,
        }
    )
    try:
        if not is_ready(run):
            return None
        engine_of(run).train(warm)
        outcome = engine_of(run).train(short)
    except Exception:  # the run itself will fail too, and its row will say why
        return None
    evaluations = len(outcome.curve.update)
    return Speed(
        outcome.train_seconds / outcome.updates,
        outcome.evaluation_seconds / evaluations,
        outcome.final_seconds,
    )
