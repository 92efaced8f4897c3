"""The options of `python -m study.grid`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

LEAST_MEBIBYTES = 512

EXAMPLES = """examples:
  python -m study.grid experiments/main.yaml --dry-run
  python -m study.grid experiments/main.yaml --jobs 4
  python -m study.grid experiments/main.yaml --backend dask --scheduler tcp://login1:8786
  python -m study.grid experiments/main.yaml --only headline --set grid.hidden_size=[4,8]

Repeat the command to go on after an interruption: what is stored is not trained again.
exit codes: 0 done, 1 finished with failed runs or stopped before its end, 2 bad input (nothing written) or a full
disk (what was stored is kept), 130 interrupted"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line; exits with 2 where they are wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m study.grid",
        description="Train every run of a grid file that is not stored yet; a row a run in results/NAME.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("grid", help="a YAML file, such as experiments/main.yaml")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    parser.add_argument(
        "--only", action="append", default=[], metavar="BLOCK", help="this block; repeatable"
    )
    parser.add_argument(
        "--share",
        type=_share,
        default=(1, 1),
        metavar="I/N",
        help="the I-th of N equal shares of the runs, into a folder of its own: for machines that share no cluster",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override grid.KEY (every block), BLOCK.KEY, defaults.KEY or name; a list varies; repeatable. "
        "Results then go to a folder of their own",
    )
    parser.add_argument(
        "--out", type=_named, metavar="FOLDER", help="where results go (default: results/NAME)"
    )
    parser.add_argument(
        "--jobs",
        type=positive,
        default=_cores(),
        help="processes (default: the cores, %(default)s)",
    )
    parser.add_argument(
        "--backend",
        choices=("loky", "dask"),
        default="loky",
        help="where: here, or a Dask cluster (docs/cluster.md)",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="of the cluster: tcp://HOST:PORT, or its scheduler file",
    )
    parser.add_argument(
        "--pack-size", type=positive, metavar="N", help="most runs in a worker's parcel"
    )
    parser.add_argument(
        "--run-seconds", type=_seconds, metavar="S", help="stop and fail a run that takes longer"
    )
    parser.add_argument(
        "--worker-memory", type=_memory, metavar="MIB", help="most memory of a process (on Linux)"
    )
    parser.add_argument("--retry-failed", action="store_true", help="train failed runs again")
    parser.add_argument("--fail-fast", action="store_true", help="stop at the first run that fails")
    options = parser.parse_args(arguments)
    if (options.backend == "dask") != bool(options.scheduler):
        parser.error("--backend dask and --scheduler ADDRESS go together")
    return options


def _named(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("names no folder")
    return text


def positive(text: str) -> int:
    """A whole number from 1 to 100,000, for an option that counts."""
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0 (at most 100,000)")
    return int(text)


def seed(text: str) -> int:
    """A whole number from 0 to 2⁶³ − 1, for an option that is a seed."""
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0")
    return int(text)


def _share(text: str) -> tuple[int, int]:
    number, slash, shares = text.partition("/")
    try:
        share = positive(number), positive(shares)
    except argparse.ArgumentTypeError:
        share = 2, 1
    if not slash or share[0] > share[1]:
        raise argparse.ArgumentTypeError(f"{text!r} is no share such as 2/3, the second of three")
    return share


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 1e7:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0.1 to 10,000,000")
    return seconds


def _memory(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not LEAST_MEBIBYTES <= int(text) <= 10_000_000:
        message = f"{text!r} is no whole number of MiB from {LEAST_MEBIBYTES} (what torch itself needs) to 10,000,000"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
