"""Train a sample of stored runs again with plain torch: `study audit results/main --sample 40`.

Each run of the sample is trained by `torch.nn` and `torch.optim` in its own data type and in
float64. Rounding grows along a trajectory, and the audit measures how fast: by the distance of
torch's own trajectory in the run's data type from the one in float64. A stored run passes if, at
every evaluation, its loss is no further from torch's in float64 than ALLOWANCE times what rounding
alone has made of torch's own by the next evaluation, or FLOOR, whichever is more.

One trajectory shows when rounding happens to break out, not when it can: a run at the edge of chaos
may do so some evaluations earlier. So a run that fails is compared with NUDGED more trajectories,
from initial weights moved by up to one rounding.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from study.command import DONE, NOT_ALL_WELL, Count, Seed, command, run
from study.engines import engine_of
from study.errors import BadInput, Problem
from study.grid import CONCLUSIVE, atomic_write, load_saying, run_of
from study.runs import Run, stream, weights_of

ALLOWANCE = 30.0
NUDGED = 8
FLOOR = {"float32": 1e-5, "float64": 1e-9}


def audit_row(row: pd.Series) -> dict[str, object]:
    """One stored run against torch: its largest deviation, what is allowed, whether it passes."""
    stored_run = run_of(row)
    dtype, floor = stored_run.dtype, FLOOR[stored_run.dtype]
    stored, exact = np.asarray(row["curve_loss"]), _losses(stored_run, "float64")
    same = [_losses(stored_run, dtype)]
    deviation, allowed = deviations(stored, same, exact, floor)
    if (deviation > allowed).any():
        same += [_losses(stored_run, dtype, _nudged(stored_run, i)) for i in range(NUDGED)]
        deviation, allowed = deviations(stored, same, exact, floor)
    worst = int(np.argmax(deviation / allowed))
    return {
        **{name: row[name] for name in ("run_id", "engine", "cell", "optimizer", "dtype")},
        "evaluations": len(deviation),
        "trajectories": len(same),
        "update": int(row["curve_update"][worst]),
        "deviation": float(deviation[worst]),
        "allowed": float(allowed[worst]),
        "passes": bool((deviation <= allowed).all()),
    }


def deviations(
    stored: np.ndarray, same: Sequence[np.ndarray], exact: np.ndarray, floor: float
) -> tuple[np.ndarray, np.ndarray]:
    """Deviation of a stored curve from the exact one, and the allowance; (evaluations,) each.

    `same` are curves that differ from the exact one by rounding. Evaluations are compared as far as
    the stored, the exact and the first of these go: rounding may stop a run an evaluation sooner or
    later.
    """
    n = min(len(stored), len(same[0]), len(exact))
    rounding = np.zeros(n)
    for curve in same:
        m = min(n, len(curve))
        distance = np.nan_to_num(np.abs(curve[:m] - exact[:m]), nan=np.inf)
        rounding[:m] = np.maximum(rounding[:m], distance)
    rounding = np.maximum.accumulate(rounding)
    by_the_next = np.append(rounding[1:], rounding[-1])
    deviation = np.nan_to_num(np.abs(stored[:n] - exact[:n]), nan=0.0)
    return deviation, np.maximum(ALLOWANCE * by_the_next, floor)


def _losses(stored: Run, dtype: str, initial: dict[str, np.ndarray] | None = None) -> np.ndarray:
    """Losses at the evaluations of a run trained by torch, (evaluations,)."""
    changes = {"engine": "torch", "dtype": dtype, "final_sequences": 1, "long_sequences": 1}
    by_torch = stored.model_copy(update=changes)
    engine: Any = engine_of(by_torch)  # of the engines, torch's alone takes initial weights
    try:
        return engine.train(by_torch, initial).curve.loss
    except Exception as error:  # whatever torch makes of the settings that the row has
        problem = Problem(f"run {stored.run_id}", f"cannot be trained again: {error}")
        raise BadInput([problem]) from error


def _nudged(stored: Run, i: int) -> dict[str, np.ndarray]:
    """A run's initial weights, each moved by up to one rounding of its data type."""
    rng, size = stream("audit: nudge", stored.run_id, i), np.finfo(stored.dtype).eps
    weights = weights_of(stored).items()
    return {name: array * (1 + size * rng.uniform(-1, 1, array.shape)) for name, array in weights}


app = command("audit", "study audit results/main --sample 40 --seed 1")


@app.default
def audit(
    results: Path,
    /,
    *,
    sample: Count = 40,
    seed: Seed = 0,
    engine: Literal["torch", "fused"] | None = None,
) -> int:
    """Train a random sample of stored runs again with plain torch, and print each one's deviation.

    Exit codes: 0 every run passes; 1 a run deviates; 2 bad input. Writes RESULTS/audit.csv.

    Parameters
    ----------
    results
        A results folder, such as results/main.
    sample
        Number of runs to train again.
    seed
        Seed of the sample.
    engine
        Only runs that this engine trained.
    """
    frame = load_saying(results)
    rows = frame[frame["status"].isin(CONCLUSIVE) & (frame["device"] == "cpu")]
    rows = rows[rows["engine"] == engine] if engine else rows
    if rows.empty:
        raise BadInput([Problem(str(results), "has no run that could be audited")])
    drawn = rows.sample(min(sample, len(rows)), random_state=np.random.default_rng(seed))
    table = pd.DataFrame([audit_row(row) for _, row in drawn.iterrows()])
    print(table.to_string(index=False, float_format="{:.2e}".format))
    passed = int(table["passes"].sum())
    print(f"\n{passed} of {len(table)} runs pass")
    text = table.to_csv(index=False, lineterminator="\n")
    atomic_write(results / "audit.csv", text.encode())
    return DONE if passed == len(table) else NOT_ALL_WELL


if __name__ == "__main__":
    sys.exit(run(app))
