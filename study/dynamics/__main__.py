"""The command: every analysis of every network whose weights are kept."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from study.command import run_command
from study.dynamics.analyses import ANALYSES, WHOLE
from study.dynamics.hypotheses import table
from study.dynamics.network import Network, is_suitable
from study.dynamics.tables import Row, Tables, digest, frame_of, whole_digest
from study.errors import BadInput, Problem, command, unknown
from study.grid import atomic_write, duration, load_saying, positive, run_of, weights_in

PARCEL = 25  # networks
MOST_WEIGHT = 1e9  # beyond it squares overflow, and a map of the state says nothing


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    options = _parse(arguments)
    return command(lambda: _analyse(options))


def _analyse(options: argparse.Namespace) -> int:
    for name in options.only or ():
        if name not in (*ANALYSES, *WHOLE):
            raise BadInput(
                [Problem(f"--only {name}", unknown("analysis", name, (*ANALYSES, *WHOLE)))]
            )
    started = time.monotonic()
    frame = load_saying(options.results, curves=False, weights=True)
    rows, tables = kept(frame, options.results), Tables(options.results)
    names = options.only or [*ANALYSES, *WHOLE]
    todo = _each(rows, tables, [name for name in names if name in ANALYSES], options.jobs)
    todo += _once(frame, tables, [name for name in names if name in WHOLE])
    if not options.only:
        tables.clear()
        verdicts = table(options.results, frame.drop(columns="weights"))
        text = verdicts.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        atomic_write(tables.folder / "verdicts.csv", text.encode())
    print(
        f"{len(todo)} tables in {tables.folder} after {duration(time.monotonic() - started)}",
        file=sys.stderr,
    )
    return 0


def _each(rows: pd.DataFrame, tables: Tables, names: list[str], jobs: int) -> list[str]:
    """The analyses of every network; which of them were made."""
    wanted = {
        name: rows.loc[[ANALYSES[name].wanted(row) for _, row in rows.iterrows()]] for name in names
    }
    todo = [
        name for name in names if not tables.is_done(name, digest(wanted[name], ANALYSES[name]))
    ]
    parcels = _parcels(rows)
    keys = {
        name: [digest(_among(parcel, wanted[name]), ANALYSES[name]) for parcel in parcels]
        for name in todo
    }
    tasks = []
    for i, parcel in enumerate(parcels):
        missing = {n: keys[n][i] for n in todo if not tables.has_part(n, keys[n][i])}
        if missing:
            tasks.append(
                (parcel, {n: set(_among(parcel, wanted[n])["run_id"]) for n in missing}, missing)
            )
    print(
        f"{len(rows):,} networks; {', '.join(todo) or 'nothing'} to do, {len(tasks)} parcels",
        file=sys.stderr,
    )
    _run(tasks, tables, jobs)
    for name in todo:
        tables.join(name, keys[name], digest(wanted[name], ANALYSES[name]))
    return todo


def _once(frame: pd.DataFrame, tables: Tables, names: list[str]) -> list[str]:
    """What is computed once for the folder; which tables were made."""
    todo = [name for name in names if not tables.is_done(name, whole_digest(frame, WHOLE[name]))]
    for name in todo:
        tables.write(name, whole_digest(frame, WHOLE[name]), pd.DataFrame(WHOLE[name].rows(frame)))
    return todo


def kept(frame: pd.DataFrame, results: str) -> pd.DataFrame:
    """The rows with weights that the analysis is about; `BadInput` where there are none."""
    frame = frame[frame["weights"].notna() & frame["status"].isin(("solved", "unsolved"))]
    frame = frame.loc[[is_suitable(run_of(row)) for _, row in frame.iterrows()]]
    frame = frame.loc[
        [np.abs(row).max() < MOST_WEIGHT for row in frame["weights"]]
    ]  # not so where any is NaN
    if frame.empty:
        raise BadInput(
            [Problem(results, "has no weights; give a block `keep_weights: true`, and train it")]
        )
    return frame.reset_index(drop=True)


def _parcels(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """Networks of one cell and size together, so that a process needs few kernels."""
    groups = [group for _, group in rows.groupby(["cell", "hidden_size"], sort=True)]
    return [group.iloc[i : i + PARCEL] for group in groups for i in range(0, len(group), PARCEL)]


def _among(parcel: pd.DataFrame, wanted: pd.DataFrame) -> pd.DataFrame:
    return parcel[parcel["run_id"].isin(wanted["run_id"])]


def _run(tasks: list[tuple], tables: Tables, jobs: int) -> None:
    work: Any = Parallel(n_jobs=jobs, backend="loky", return_as="generator_unordered", batch_size=1)  # pyright: ignore[reportArgumentType]
    started = said = time.monotonic()
    for done, (parcel, found, keys) in enumerate(
        work(delayed(_parcel)(*task) for task in tasks), 1
    ):
        for name, rows in found.items():
            tables.write_part(name, keys[name], frame_of(rows, parcel))
        if time.monotonic() - said > 30 or done == len(tasks):
            said = time.monotonic()
            left = (said - started) / done * (len(tasks) - done)
            print(f"{done} of {len(tasks)} parcels; about {duration(left)} left", file=sys.stderr)


def _parcel(parcel: pd.DataFrame, wanted: dict[str, set], keys: dict[str, str]) -> tuple:
    """In a worker: each missing analysis of each network of a parcel."""
    found: dict[str, list[Row]] = {name: [] for name in wanted}
    for _, row in parcel.iterrows():
        weights = weights_in(row)
        assert weights is not None
        network = Network(run_of(row), weights)
        for name, ids in wanted.items():
            if row["run_id"] in ids:
                found[name] += [
                    {"run_id": row["run_id"]} | result for result in ANALYSES[name].rows(network)
                ]
    return parcel.drop(columns="weights"), found, keys


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m study.dynamics",
        description="Find out what carries the phase in every network whose weights are kept.",
        epilog="example:\n  python -m study.dynamics results/main --only cycles --only slips\n\n"
        "Tables go to RESULTS/dynamics. Interrupt it as you like: the same command goes on.\n"
        "exit codes: 0 done, 2 bad input, 130 interrupted",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", help="a results folder, such as results/main")
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help=f"one of: {', '.join((*ANALYSES, *WHOLE))}; repeatable",
    )
    parser.add_argument(
        "--jobs", type=positive, default=os.cpu_count() or 1, help="processes (default: all cores)"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(run_command(main))
