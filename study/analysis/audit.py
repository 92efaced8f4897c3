"""Train a sample of stored runs again with plain torch: `study audit results/main --sample 40`.

`torch.nn` and `torch.optim` train each run of the sample twice: in the run's own data type and in
float64. The two loss curves differ by rounding errors only, and the distance between them shows how
far such errors have grown at each evaluation.

A stored run passes if its loss is close to torch's float64 loss at every evaluation. At evaluation
i, the two losses may differ by up to ALLOWANCE times the largest distance between torch's own two
curves at evaluations 0 to i + 1. They may always differ by up to FLOOR.

Where training is chaotic, rounding errors may grow some evaluations earlier in one repetition than
in another. So if a run fails, torch trains it NUDGED more times in the run's own data type, from
initial weights that are moved by up to one rounding error. The largest distance of any of these
curves from the float64 curve then counts.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from study.command import DONE, NOT_ALL_WELL, Count, Seed, command
from study.engines import engine_of
from study.errors import BadInput, echo
from study.grid import CONCLUSIVE, atomic_write, load_saying, run_of
from study.runs import Run, stream, weights_of

ALLOWANCE = 30.0
NUDGED = 8
FLOOR = {"float32": 1e-5, "float64": 1e-9}  # deviations of the loss, in nats, that always pass


def audit_row(row: pd.Series) -> dict[str, object]:
    """Train one stored run again with torch, and return its row of the table `audit.csv`.

    `deviation` is how far the stored loss is from torch's float64 loss, and `allowed` is how far it
    may be, both in nats. They are given at `update`, where their ratio is largest. `passes` says
    whether the deviation is allowed at every evaluation. `trajectories` is the number of times that
    torch trained the run in its own data type.
    """
    audited = run_of(row)
    dtype, floor = audited.dtype, FLOOR[audited.dtype]
    stored, exact = np.asarray(row["curve_loss"]), _losses(audited, "float64")
    rounded = [_losses(audited, dtype)]
    deviation, allowed = deviations(stored, rounded, exact, floor)
    if (deviation > allowed).any():
        rounded += [_losses(audited, dtype, _nudged(audited, i)) for i in range(NUDGED)]
        deviation, allowed = deviations(stored, rounded, exact, floor)
    worst = int(np.argmax(deviation / allowed))
    return {
        **{name: row[name] for name in ("run_id", "engine", "cell", "optimizer", "dtype")},
        "evaluations": len(deviation),
        "trajectories": len(rounded),
        "update": int(row["curve_update"][worst]),
        "deviation": float(deviation[worst]),
        "allowed": float(allowed[worst]),
        "passes": bool((deviation <= allowed).all()),
    }


def deviations(
    stored: np.ndarray, rounded: Sequence[np.ndarray], exact: np.ndarray, floor: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return how far a stored loss curve deviates from the exact one, and how far it may deviate.

    Every curve has one loss per evaluation, in nats. `stored` comes from the stored run, `exact`
    from torch in float64, and `rounded` from torch in the run's own data type. A deviation of up to
    `floor` is always allowed.

    Both results are arrays with one entry per evaluation, in nats. Rounding errors may stop a run
    some evaluations sooner or later, so the curves may have different lengths. The results cover
    only the evaluations that `stored`, `exact` and the first curve in `rounded` all have.
    """
    n = min(len(stored), len(rounded[0]), len(exact))
    rounding = np.zeros(n)
    for curve in rounded:
        m = min(n, len(curve))
        distance = np.nan_to_num(np.abs(curve[:m] - exact[:m]), nan=np.inf)
        rounding[:m] = np.maximum(rounding[:m], distance)
    rounding = np.maximum.accumulate(rounding)
    by_the_next = np.append(rounding[1:], rounding[-1])
    deviation = np.nan_to_num(np.abs(stored[:n] - exact[:n]), nan=0.0)
    return deviation, np.maximum(ALLOWANCE * by_the_next, floor)


def _losses(stored: Run, dtype: str, initial: dict[str, np.ndarray] | None = None) -> np.ndarray:
    """Train a stored run with torch, and return its loss in nats at every evaluation.

    Training starts from the weights `initial`, by default those from which the stored run started.
    Raises `BadInput` if torch cannot train the run.
    """
    changes = {"engine": "torch", "dtype": dtype, "final_sequences": 1, "long_sequences": 1}
    by_torch = stored.model_copy(update=changes)
    engine: Any = engine_of(by_torch)  # Any, since only torch's engine takes initial weights
    try:
        return engine.train(by_torch, initial).curve.loss
    except Exception as error:  # unusual stored settings may raise any exception in torch
        message = f"cannot be trained again: {error}"
        raise BadInput.at(f"run {stored.run_id}", message) from error


def _nudged(stored: Run, i: int) -> dict[str, np.ndarray]:
    """Return a run's initial weights, each moved by up to one rounding error of its data type.

    `i` numbers the repetition; each repetition moves the weights by other random amounts.
    """
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
    """Train a random sample of stored runs again with plain torch, and print their deviations.

    A deviation is the difference between a stored loss and torch's float64 loss. Writes
    RESULTS/audit.csv. Exit codes: 0 if all runs pass; 1 if a run deviates too far; 2 for bad input.

    Parameters
    ----------
    results
        A results folder, such as results/main.
    sample
        Number of runs to train again.
    seed
        Seed for drawing the sample.
    engine
        Sample only the runs that this engine trained.
    """
    frame = load_saying(results)
    rows = frame[frame["status"].isin(CONCLUSIVE) & (frame["device"] == "cpu")]
    rows = rows[rows["engine"] == engine] if engine else rows
    if rows.empty:
        raise BadInput.at(str(results), "has no run to audit; only finished runs on a CPU will do")
    rows = rows.sample(min(sample, len(rows)), random_state=np.random.default_rng(seed))
    table = pd.DataFrame([audit_row(row) for _, row in rows.iterrows()])
    echo(table.to_string(index=False, float_format="{:.2e}".format))
    passed = int(table["passes"].sum())
    echo(f"\n{passed} of {len(table)} runs pass")
    atomic_write(results / "audit.csv", table.to_csv(index=False, lineterminator="\n").encode())
    return DONE if passed == len(table) else NOT_ALL_WELL
