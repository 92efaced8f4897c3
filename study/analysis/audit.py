"""Check stored runs, and train a sample of them again with torch.

The command is `study audit results/main`. A run is evaluated many times during training, and its
learning curve has the results. The curve determines the run's status and times, so every stored run
must agree with its own curve. Runs that were stored without their curves are left out. The runs of
the sample are checked in three more ways:

- If the final weights of a run were stored, torch evaluates them on the sequences of the run's
  final evaluation. Torch's results must agree with the stored final measures.
- Torch trains the run twice, once in the run's own data type and once in float64. Rounding errors
  grow during training. The distance between torch's two loss curves shows how large these errors
  have become. An evaluation is judged if the distance has not exceeded LIMIT by then. In a judged
  evaluation, the stored measures are compared with torch's measures in float64. The two may differ
  by ALLOWANCE times the largest distance up to the next evaluation. A difference below the values
  in FLOORS is always allowed.
- If all evaluations of a run are judged, its end is compared too. The run must have the same status
  and times as one of torch's trainings, and nearly the same final measures and weights.

If training is chaotic, rounding errors may grow earlier in one repetition than in another. So if a
run deviates, torch trains it NUDGED more times. The initial weights of these trainings are changed
by up to 1, 2, 4, ... rounding errors. The largest distance among all these curves then counts. A
run is uninformative if fewer than ENOUGH of its evaluations can be judged, unless all of them can.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from study.command import DONE, NOT_ALL_WELL, Count, Seed, command
from study.engines import Curve, Outcome, engine_of
from study.errors import BadInput, echo
from study.grid import (
    CONCLUSIVE,
    atomic_write,
    load_saying,
    not_loaded,
    results_of,
    run_of,
    weights_in,
)
from study.model import converged_index
from study.runs import CURVES, Run, shapes_of, stream, weights_of

ALLOWANCE = 30.0
NUDGED = 8
LIMIT = 1e-3  # nats
ENOUGH = 3  # evaluations
MOST_UNINFORMATIVE = 0.25  # share of the sample
# Deviations that are always allowed: of losses in nats, of weights, and of shares that are measured
# with the weights that were kept. In training, rounding decides the label of a step where a network
# answers one half, so there the labels of two steps may differ.
FLOORS = {"float32": {"loss": 1e-5, "weights": 1e-3}, "float64": {"loss": 1e-9, "weights": 1e-7}}
SHARES_FLOOR, STEPS_FLOOR = 0.01, 2

MEASURES = ("loss", "accuracy", "exact")
FINAL = (*MEASURES, *(f"long_{name}" for name in MEASURES))
ENDS = ("status", "converged_update", "lost_update", "diverged_update", "updates")
FOLLOWING = (*ENDS, "sequences", "converged_sequences")  # columns that follow from the curve

Values = Mapping[Any, Any]  # the results of a training, by column


def audit_row(row: Values) -> dict[str, Any]:
    """Audit one stored run, and return its row of the audit's table.

    `row` is the run's stored row. The result has the run's id, some of its settings, and these
    columns:

    - evaluations: how many evaluations the run has;
    - judged: how many of these evaluations were compared with torch;
    - trajectories: how many times torch trained the run in the run's own data type;
    - used: the deviation of the loss, divided by the deviation that is allowed. Of all judged
      evaluations, the largest ratio counts;
    - passes, deviates: the verdict. If both are false, the run is uninformative;
    - faults: sentences that say what deviates.
    """
    run, trained, judged, is_informative, used = run_of(row), [], 0, False, math.nan
    faults = contradictions(run, row)
    if not faults:
        trained = [_trained(run, dtype) for dtype in ("float64", run.dtype)]
        judged, is_informative, used, faults = against_torch(run, row, trained)
        if faults:
            trained += [_trained(run, run.dtype, _nudged(run, i)) for i in range(NUDGED)]
            judged, is_informative, used, faults = against_torch(run, row, trained)
        faults += against_weights(run, row)
    return {
        **{name: row[name] for name in ("run_id", "engine", "cell", "optimizer", "dtype")},
        "evaluations": len(row["curve_update"]),
        "judged": judged,
        "trajectories": len(trained[1:]),
        "used": used,
        "passes": is_informative and not faults,
        "deviates": bool(faults),
        "faults": "; ".join(faults),
    }


# --- a run against itself -------------------------------------------------------------------------


def contradictions(run: Run, row: Values) -> list[str]:
    """Compare a stored row with the run's own learning curve.

    Returns a sentence per contradiction. No deviation is allowed, because rounding plays no part in
    this comparison.
    """
    measured = {name.removeprefix("curve_"): np.asarray(row[name]) for name in CURVES}
    curve = Curve(**measured, train_seconds=np.zeros(len(row["curve_update"])))  # not stored
    diverged = None if pd.isna(row["diverged_update"]) else int(row["diverged_update"])
    converged = converged_index(curve.exact, run.solved_evaluations)
    times = np.append(np.arange(0, run.max_updates, run.eval_every), run.max_updates)
    ends, n = [len(times)], len(curve.update)
    if diverged is not None:  # a run diverges in an update, or in the evaluation after it
        ends = [np.sum(times < diverged), np.sum(times <= diverged)]
    elif run.stop_when_solved and converged is not None:
        ends = [converged + run.solved_evaluations]
    if n not in ends or not np.array_equal(curve.update, times[:n]):
        return [f"a run with its settings and status cannot end after {n} evaluations"]
    updates = int(times[n - 1]) if diverged is None else diverged
    outcome = Outcome(curve, updates, diverged, None, None, {}, 0.0, 0.0, 0.0)
    expected = results_of(run, outcome, keep_weights=False)
    faults = [
        f"its {name} is {_text(row[name])}, but its curve gives {_text(expected[name])}"
        for name in FOLLOWING
        if _text(row[name]) != _text(expected[name])
    ]
    scores = {"curve_": (run.eval_sequences, run.evaluation_length)}
    if diverged is None:
        scores[""] = run.final_sequences, run.evaluation_length
        scores["long_"] = run.long_sequences, run.long_length
    for prefix, (sequences, steps) in scores.items():
        # A sequence with a wrong label has at least one and at most all of them wrong.
        exact, accuracy = (np.asarray(row[prefix + name]) for name in ("exact", "accuracy"))
        flawed, wrong = (1 - exact) * sequences, (1 - accuracy) * sequences * (steps - 1)
        if np.any((wrong < flawed - 0.5) | (wrong > flawed * (steps - 1) + 0.5)):
            faults.append(f"its `{prefix}accuracy` and `{prefix}exact` contradict each other")
    kept, needed = np.asarray(row["weights"]), sum(map(math.prod, shapes_of(run).values()))
    if kept.ndim and len(kept) != needed:
        faults.append(f"it has {len(kept)} weights, but its network has {needed}")
    return faults


def _text(value: Any) -> str:
    """Return a status or a number of updates as text, with "missing" for a missing number."""
    return value if isinstance(value, str) else "missing" if pd.isna(value) else f"{value:.0f}"


# --- a run against torch --------------------------------------------------------------------------


def against_weights(run: Run, row: Values) -> list[str]:
    """Evaluate a run's stored weights with torch, and compare the results with the stored measures.

    Returns a sentence per final measure that differs. The list is empty if `row` has no weights, or
    if the run diverged.
    """
    weights = weights_in(row)
    if weights is None or not pd.isna(row["diverged_update"]):
        return []
    found = []
    for dtype in ("float64", run.dtype):
        scores = _torch(run).final_scores(_by_torch(run, dtype), weights)
        numbers = [getattr(score, name) for score in scores for name in MEASURES]
        found.append(dict(zip(FINAL, numbers, strict=True)))
    faults = _differing(row, found, _floors(run, SHARES_FLOOR))
    return [f"with the stored weights, {fault}" for fault in faults]


def against_torch(
    run: Run, row: Values, trained: Sequence[Values]
) -> tuple[int, bool, float, list[str]]:
    """Compare a stored run with torch's trainings of the same run.

    `row` is the run's stored row. `trained` has the results of each training. The first training is
    in float64, and the others are in the run's own data type. Returns four things:

    - how many evaluations were judged;
    - whether these evaluations are enough for a verdict;
    - the deviation of the loss, divided by the deviation that is allowed. Of all judged
      evaluations, the largest ratio counts;
    - sentences that say what deviates.
    """
    floors = _floors(run, STEPS_FLOOR / (run.evaluation_length - 1))
    n = min(len(values["curve_loss"]) for values in (row, *trained[:2]))
    exact, *rounded = (values["curve_loss"] for values in trained)
    judged = int(np.sum(rounding(exact[:n], rounded) <= LIMIT))
    used, faults = {}, []
    for name in MEASURES:
        stored, exact, *rounded = (values[f"curve_{name}"] for values in (row, *trained))
        deviation, allowed = deviations(stored[:judged], rounded, exact[:judged], floors[name])
        used[name] = deviation / allowed
        for place in np.flatnonzero(used[name] > 1)[:1]:
            when = f"after {row['curve_update'][place]} updates"
            numbers = float(deviation[place]), float(allowed[place])
            faults.append(f"{when}, {_difference(name, *numbers)}")
    if judged == n and not faults:
        faults = _at_its_end(run, row, trained, floors)
    return judged, judged == n or judged >= ENOUGH, float(used["loss"].max(initial=0)), faults


def _at_its_end(
    run: Run, row: Values, trained: Sequence[Values], floors: dict[str, float]
) -> list[str]:
    """Compare the end of a run with the ends of torch's trainings of the same run.

    Returns a sentence per deviation. The run must have the same status and times as one of the
    trainings. Final measures and weights are compared only if the training in float64 also has this
    status and these times, and if the run did not diverge. `floors` maps the name of each final
    measure to the deviation that is always allowed.
    """
    stored, *ends = ([f"{name} {_text(end[name])}" for name in ENDS] for end in (row, *trained))
    if stored not in ends:
        pairs = [f"{a}, but torch has {b}" for a, b in zip(stored, ends[0], strict=True) if a != b]
        return [f"it has {pair}" for pair in pairs]
    alike = [values for values, end in zip(trained, ends, strict=True) if end == stored]
    if alike[0] is not trained[0] or not pd.isna(row["diverged_update"]):
        return []
    faults = _differing(row, alike, floors)
    if np.ndim(row["weights"]):
        farthest = [
            {"one of the weights": distance(values["weights"], alike[0]["weights"]).max()}
            for values in (row, *alike)
        ]
        floor = {"one of the weights": FLOORS[run.dtype]["weights"]}
        faults += _differing(farthest[0], farthest[1:], floor)
    return faults


def _differing(row: Values, found: Sequence[Values], floors: dict[str, float]) -> list[str]:
    """Compare numbers in a stored row with the numbers that torch found.

    Returns a sentence per deviation. `found` has the results of several computations with torch.
    The first computation is in float64. `floors` maps the name of each number that is compared to
    the deviation that is always allowed.
    """
    faults = []
    for name, floor in floors.items():
        stored, exact, *rounded = (np.array([values[name]]) for values in (row, *found))
        deviation, allowed = deviations(stored, rounded, exact, floor)
        if deviation > allowed:
            faults.append(_difference(name, *deviation, *allowed))
    return faults


def _difference(name: str, deviation: float, allowed: float) -> str:
    return f"{name} differs from torch's by {deviation:.2g}, but only {allowed:.2g} is allowed"


def _floors(run: Run, shares: float) -> dict[str, float]:
    """Return the deviations that are always allowed, by the names of the final measures.

    The deviation is `shares` for accuracies and for shares of sequences. For losses it depends on
    the run's data type.
    """
    loss = FLOORS[run.dtype]["loss"]
    return {name: loss if name.endswith("loss") else shares for name in FINAL}


def deviations(
    stored: np.ndarray, rounded: Sequence[np.ndarray], exact: np.ndarray, floor: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return how far a stored curve deviates from the exact curve, and how far it may deviate.

    `stored`, `exact` and both results have one number per evaluation: (evaluations,). The exact
    curve was computed in float64. The curves in `rounded` differ from `exact` by rounding errors
    only, and may be shorter or longer. A deviation up to `floor` times the size of the exact value,
    or up to `floor` for values below 1, is always allowed.
    """
    errors = rounding(exact, rounded)
    by_the_next = np.append(errors[1:], errors[-1:])
    size = np.where(np.isfinite(exact), np.maximum(np.abs(exact), 1), 1)
    return distance(stored, exact), np.maximum(ALLOWANCE * by_the_next, floor * size)


def rounding(exact: np.ndarray, rounded: Sequence[np.ndarray]) -> np.ndarray:
    """Return the largest rounding error up to each evaluation.

    A rounding error is the distance between a curve in `rounded` and the curve `exact`. The result
    has one number per evaluation: (evaluations,), like `exact`.
    """
    largest = np.zeros(len(exact))
    for curve in rounded:
        n = min(len(exact), len(curve))
        largest[:n] = np.maximum(largest[:n], distance(curve[:n], exact[:n]))
    return np.maximum.accumulate(largest)


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the distance between each number in `a` and the number at the same place in `b`.

    The distance is infinite if only one of the two numbers is finite, and 0 if neither is.
    """
    is_finite = np.isfinite(a), np.isfinite(b)
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(a - b)
    return np.where(
        is_finite[0] & is_finite[1], apart, np.where(is_finite[0] ^ is_finite[1], np.inf, 0.0)
    )


# --- training again -------------------------------------------------------------------------------


def _by_torch(run: Run, dtype: str) -> Run:
    return run.model_copy(update={"engine": "torch", "dtype": dtype})


def _torch(run: Run) -> Any:
    """Return the torch engine, which can start a training from given weights.

    The other engines cannot take initial weights, so the result is typed as `Any`.
    """
    return engine_of(_by_torch(run, run.dtype))


def _trained(run: Run, dtype: str, initial: dict[str, np.ndarray] | None = None) -> Values:
    """Train a stored run with torch in the given data type, and return its results by column.

    The training starts from the weights in `initial` or, if `initial` is None, from the run's own
    initial weights. Raises `BadInput` if torch cannot train the run.
    """
    by_torch = _by_torch(run, dtype)
    try:
        return results_of(by_torch, _torch(run).train(by_torch, initial), keep_weights=True)
    except Exception as error:  # unusual stored settings may raise any exception in torch
        message = f"torch cannot train this run again: {error}"
        raise BadInput.at(f"run {run.run_id}", message) from error


def _nudged(run: Run, i: int) -> dict[str, np.ndarray]:
    """Return a run's initial weights with small random changes.

    Each weight changes by up to 2**i rounding errors of the run's data type.
    """
    rng, size = stream("audit: nudge", run.run_id, i), np.finfo(run.dtype).eps * 2**i
    weights = weights_of(run).items()
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
    """Check stored runs against their curves, and train a random sample of them with plain torch.

    Rounding errors grow during training, so a run is compared with torch only as long as they are
    small. A run passes if the compared results agree with torch's, and deviates if they do not. A
    run is uninformative if too few of its results can be compared. The command writes
    RESULTS/audit.csv. Exit codes: 0 if no run deviates; 1 if a run deviates, or if more than a
    quarter of the runs are uninformative; 2 for bad input.

    Parameters
    ----------
    results
        A results folder, such as results/main.
    sample
        Number of runs to train again.
    seed
        Seed for drawing the sample.
    engine
        Check only the runs that this engine trained.
    """
    frame = load_saying(results, weights=True)
    rows = frame[frame["status"].isin(CONCLUSIVE) & (frame["device"] == "cpu")]
    rows = rows[rows["engine"] == engine] if engine else rows
    if found := not_loaded(rows):
        rows = rows[~found.is_unknown]
    has_curve = rows["curve_update"].notna()
    if not has_curve.all():
        count = int((~has_curve).sum())
        echo(f"number of runs not audited, because their learning curves were not kept: {count:,}")
    rows = rows[has_curve]
    if rows.empty:
        needed = "only runs that finished training on the CPU, with their curves, can be audited"
        raise BadInput.at(str(results), f"has no run to audit; {needed}")
    wrong = [bool(contradictions(run_of(row), row)) for row in rows.to_dict("records")]
    drawn = rows.sample(min(sample, len(rows)), random_state=np.random.default_rng(seed))
    audited = pd.concat([drawn, rows[wrong].drop(drawn.index, errors="ignore")])
    table = pd.DataFrame([audit_row(row) for row in audited.to_dict("records")])
    for row in table[table["deviates"]].itertuples():
        echo(f"run {row.run_id} ({row.cell}, {row.optimizer}) deviates: {row.faults}")
    passed, deviating = int(table["passes"].sum()), int(table["deviates"].sum())
    uninformative = len(table) - passed - deviating
    echo(f"{passed} passed, {deviating} deviating, {uninformative} uninformative")
    atomic_write(results / "audit.csv", table.to_csv(index=False, lineterminator="\n").encode())
    is_well = not deviating and uninformative <= MOST_UNINFORMATIVE * len(table)
    return DONE if is_well else NOT_ALL_WELL
