"""Train a sample of stored runs again with plain torch: `python -m study.audit results/main --sample 40`.

Each run of the sample is trained by `torch.nn` and `torch.optim` in its own data type and in float64. Rounding
grows along a trajectory, and how fast is measured: by the distance of torch's own trajectories in the run's data type
from the one in float64. A stored run passes if, at every evaluation, its loss is no further from torch's in float64
than ALLOWANCE times what rounding alone has made of torch's own by the next evaluation, or FLOOR, whichever is more.

One trajectory says when rounding happens to break out, not when it can: a run at the edge of chaos may do so some
evaluations earlier. So a run that fails is held against NUDGED more, from initial weights moved by up to one rounding.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from study.command import run_command
from study.engines import torch_engine
from study.errors import BadInput, Problem, command
from study.grid import CONCLUSIVE, atomic_write, load_saying, positive, run_of, seed
from study.model import ENGINES
from study.runs import Run, stream, weights_of

DONE, DEVIATES = 0, 1
ALLOWANCE = 30.0
NUDGED = 8
FLOOR = {"float32": 1e-5, "float64": 1e-9}


def audit_row(row: pd.Series) -> dict[str, object]:
    """One stored run against torch: the largest deviation of its loss, what is allowed there, and whether it passes."""
    run = run_of(row)
    stored, exact, floor = np.asarray(row["curve_loss"]), _losses(run, "float64"), FLOOR[run.dtype]
    same = [_losses(run, run.dtype)]
    deviation, allowed = compare(stored, same, exact, floor)
    if (deviation > allowed).any():
        same += [_losses(run, run.dtype, _nudged(run, i)) for i in range(NUDGED)]
        deviation, allowed = compare(stored, same, exact, floor)
    worst = int(np.argmax(deviation / allowed))
    return {
        "run_id": row["run_id"],
        "engine": run.engine,
        "cell": run.cell,
        "optimizer": run.optimizer,
        "dtype": run.dtype,
        "evaluations": len(deviation),
        "trajectories": len(same),
        "update": int(row["curve_update"][worst]),
        "deviation": float(deviation[worst]),
        "allowed": float(allowed[worst]),
        "passes": bool((deviation <= allowed).all()),
    }


def compare(
    stored: np.ndarray, same: Sequence[np.ndarray], exact: np.ndarray, floor: float
) -> tuple[np.ndarray, np.ndarray]:
    """Deviation of a stored loss curve from the exact one, and what is allowed; (evaluations,) each.

    `same` are curves that differ from the exact one by rounding. Only as many evaluations as the stored, the exact and
    the first of them have: rounding may stop a run an evaluation earlier or later.
    """
    n = min(len(stored), len(same[0]), len(exact))
    rounding = np.zeros(n)
    for curve in same:
        m = min(n, len(curve))
        rounding[:m] = np.maximum(
            rounding[:m], np.nan_to_num(np.abs(curve[:m] - exact[:m]), nan=np.inf)
        )
    rounding = np.maximum.accumulate(rounding)
    by_the_next = np.append(rounding[1:], rounding[-1])
    deviation = np.abs(stored[:n] - exact[:n])
    return np.nan_to_num(deviation, nan=0.0), np.maximum(ALLOWANCE * by_the_next, floor)


def _losses(run: Run, dtype: str, initial: dict[str, np.ndarray] | None = None) -> np.ndarray:
    """Losses at the evaluations of a run by the torch engine."""
    changes = {"engine": "torch", "dtype": dtype, "final_sequences": 1, "long_sequences": 1}
    try:
        return torch_engine.train(run.model_copy(update=changes), initial).curve.loss
    except Exception as error:  # whatever torch makes of the settings that the row has
        raise BadInput(
            [Problem(f"run {run.run_id}", f"cannot be trained again: {error}")]
        ) from error


def _nudged(run: Run, i: int) -> dict[str, np.ndarray]:
    """A run's initial weights, each moved by up to one rounding of its data type."""
    rng, size = stream("audit: nudge", run.run_id, i), np.finfo(run.dtype).eps
    return {
        name: array * (1 + size * rng.uniform(-1, 1, array.shape))
        for name, array in weights_of(run).items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    options = _parse(arguments)
    return command(lambda: _audit(options))


def _audit(options: argparse.Namespace) -> int:
    frame = load_saying(options.results)
    rows = frame[frame["status"].isin(CONCLUSIVE) & (frame["device"] == "cpu")]
    if options.engine:
        rows = rows[rows["engine"] == options.engine]
    if rows.empty:
        raise BadInput([Problem(options.results, "has no run that could be audited")])
    sample = rows.sample(
        min(options.sample, len(rows)), random_state=np.random.default_rng(options.seed)
    )
    table = pd.DataFrame([audit_row(row) for _, row in sample.iterrows()])
    print(table.to_string(index=False, float_format="{:.2e}".format))
    passed = int(table["passes"].sum())
    print(f"\n{passed} of {len(table)} runs pass")
    text = table.to_csv(index=False, lineterminator="\n")
    atomic_write(Path(options.results) / "audit.csv", text.encode())
    return DONE if passed == len(table) else DEVIATES


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m study.audit",
        description="Train a random sample of stored runs again with plain torch; the deviation, run by run.",
        epilog="example:\n  python -m study.audit results/main --sample 40 --seed 1\n\n"
        "exit codes: 0 every run passes, 1 one deviates, 2 bad input. The table goes to RESULTS/audit.csv.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", help="a results folder, such as results/main")
    parser.add_argument(
        "--sample", type=positive, default=40, metavar="N", help="runs to train again (default: 40)"
    )
    parser.add_argument("--seed", type=seed, default=0, help="of the sample (default: 0)")
    parser.add_argument(
        "--engine", choices=list(ENGINES), help="only runs that this engine trained"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(run_command(main))
