"""Measure what one update costs each peer: `python -m benchmarks`.

An update is forward, back-propagation through time and a step of SGD, on data drawn beforehand, float32. Each
peer runs in a process of its own, on one thread and one core, one after another.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.figure import draw_updates
from benchmarks.peers import HIDDEN_SIZES, PEERS, cases_of
from benchmarks.problem import Case
from benchmarks.store import Store, read, read_manifests
from benchmarks.table import as_text, ratios
from benchmarks.worker import ROOT, Worker
from study.errors import BadInput, Problem, report, unknown
from study.figures import FORMATS, save
from study.grid.progress import Progress
from study.model.cells import CELLS

DONE, SOME_FAILED, INTERRUPTED = 0, 1, 130
OUT, QUICK_OUT = ROOT / "results" / "benchmarks", ROOT / "results" / "benchmarks_quick"
SECONDS, QUICK_SECONDS = 0.2, 0.05
QUICK = {
    "hidden_size": (6, 32),
    "batch_size": (2,),
    "length": (50,),
    "cell": ("lstm", "gru", "rnn_tanh"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    options = _parse(arguments)
    try:
        return _measure_all(options, list(sys.argv[1:] if arguments is None else arguments))
    except BadInput as error:
        return report(error)
    except KeyboardInterrupt:
        print(
            "interrupted; what was measured is kept, and the same command goes on", file=sys.stderr
        )
        return INTERRUPTED


def _measure_all(options: argparse.Namespace, arguments: list[str]) -> int:
    wanted = _wanted(options)
    seconds = options.seconds or (QUICK_SECONDS if options.quick else SECONDS)
    folder = Path(options.out) if options.out else QUICK_OUT if options.quick else OUT
    command = ["python -m benchmarks", *arguments]
    store = Store(folder, command, {"seconds_per_measurement": seconds}, options.fresh)
    try:
        missing = {peer: store.missing(peer, cases) for peer, cases in wanted.items()}
        statuses = _measure(store, missing, seconds)
    finally:
        store.close()
    frame = read(folder)
    for path in save(
        "updates", draw_updates(frame, read_manifests(folder)), folder / "figures", FORMATS
    ):
        print(path)
    print(as_text(ratios(frame)))
    return SOME_FAILED if statuses["failed"] else DONE


def _measure(store: Store, missing: dict[str, list[Case]], seconds: float) -> Any:
    """All missing cases, peer by peer; how many ended in which status."""
    progress = Progress(sum(map(len, missing.values())))
    progress.say(f"{progress.total:,} measurements of {seconds:g} s and more: {_counts(missing)}")
    for peer, cases in missing.items():
        worker = Worker(peer, seconds)
        try:
            for case in cases:
                found = worker.measure(case)
                store.add(peer, case, found | {"load_average": os.getloadavg()[0]})
                progress.add([found["status"]])
        finally:
            worker.close()
    progress.close()
    progress.say(progress.counts() or "all is measured already")
    return progress.statuses


def _counts(missing: dict[str, list[Case]]) -> str:
    return ", ".join(f"{peer} {len(cases):,}" for peer, cases in missing.items())


def _wanted(options: argparse.Namespace) -> dict[str, list[Case]]:
    """The cases of each peer that the options ask for; `BadInput` for a name that is not there."""
    names = (("peer", options.only, PEERS), ("cell", options.cell, CELLS))
    flags = {"peer": "--only", "cell": "--cell"}
    problems = [
        Problem(f"{flags[kind]} {name}", unknown(kind, name, allowed))
        for kind, given, allowed in names
        for name in given or ()
        if name not in allowed
    ]
    if options.seconds is not None and not 0 < options.seconds <= 60:
        problems.append(
            Problem(f"--seconds {options.seconds:g}", "must lie above 0 and be at most 60")
        )
    if problems:
        raise BadInput(problems)
    chosen = {
        peer: cases_of(peer, options.complete) for peer in PEERS if peer in (options.only or PEERS)
    }
    return {
        peer: [case for case in cases if _is_asked(case, options)] for peer, cases in chosen.items()
    }


def _is_asked(case: Case, options: argparse.Namespace) -> bool:
    in_quick = not options.quick or all(
        getattr(case, name) in values for name, values in QUICK.items()
    )
    return in_quick and (not options.cell or case.cell in options.cell)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure one optimizer update (forward, back-propagation through time, step; data drawn before) of "
        "each peer, on one thread, in a process of its own; write a table and a figure.",
        epilog="peers:\n"
        + "\n".join(f"  {name:<9} {peer.what}" for name, peer in PEERS.items())
        + "\n\nexamples:\n  python -m benchmarks\n  python -m benchmarks --only fused --only torch --cell lstm"
        f"\n\nHidden sizes {', '.join(map(str, HIDDEN_SIZES))}; updates.csv holds a row for each measurement. What is "
        "there\nalready is not measured again. Leave the machine alone meanwhile: load averages are recorded."
        "\nexit codes: 0 done, 1 a peer failed somewhere, 2 bad input, 130 interrupted (the same command goes on).",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument(
        "--only", action="append", metavar="PEER", help="one of the peers below; repeatable"
    )
    parser.add_argument(
        "--cell", action="append", metavar="CELL", help="only this cell; repeatable"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="hidden 6 and 32, batch 2, T 50, into a folder of its own",
    )
    parser.add_argument(
        "--complete", action="store_true", help="every peer over the whole grid (hours)"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        help=f"of a measurement (default: {SECONDS}; quick {QUICK_SECONDS})",
    )
    parser.add_argument(
        "--out", metavar="FOLDER", help="where to write (default: results/benchmarks)"
    )
    parser.add_argument(
        "--fresh", action="store_true", help="leave out what is stored, and measure anew"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
