"""Measure what one update costs in each library: `python -m benchmarks`.

An update is the forward pass, back-propagation through time and a step of SGD, in float32, on data
drawn beforehand. Each peer runs in a process of its own, on one thread and one core, one at a time.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number
from tqdm import tqdm

from benchmarks.figure import draw_updates
from benchmarks.peers import PEERS, cases_of
from benchmarks.problem import Case
from benchmarks.store import Store, read, read_manifests
from benchmarks.table import as_text, ratios
from benchmarks.worker import ROOT, Worker
from study.command import Names, command, run
from study.errors import BadInput, Problem, unknown
from study.figures import FORMATS, save
from study.model import CELLS

OUT, QUICK_OUT = ROOT / "results" / "benchmarks", ROOT / "results" / "benchmarks_quick"
SECONDS, QUICK_SECONDS = 0.2, 0.05
QUICK = {
    "hidden_size": (6, 32),
    "batch_size": (2,),
    "length": (50,),
    "cell": ("lstm", "gru", "rnn_tanh"),
}

Seconds = Annotated[float, Parameter(validator=Number(gt=0, lte=60))]

app = command(
    "python -m benchmarks",
    "python -m benchmarks\npython -m benchmarks --only fused --only torch --cell lstm\n\nPeers:\n\n"
    + "\n".join(f"{name:<9} {peer.what}" for name, peer in PEERS.items()),
)


@app.default
def measure(
    *,
    only: Names = (),
    cell: Names = (),
    quick: bool = False,
    complete: bool = False,
    seconds: Seconds | None = None,
    out: Path | None = None,
    fresh: bool = False,
) -> int:
    """Measure one optimizer update of each peer; write a table and a figure.

    Measurements that are already stored are kept. Leave the machine alone meanwhile; load averages
    are recorded. The exit code is 1 if a peer failed somewhere.

    Parameters
    ----------
    only
        Measure this peer; repeatable.
    cell
        Measure this cell; repeatable.
    quick
        Hidden sizes 6 and 32, batch size 2 and length 50 alone, into a folder of its own.
    complete
        Measure every peer at every size, which takes hours.
    seconds
        Duration of one measurement (default: 0.2; with --quick 0.05).
    out
        Where to write (default: results/benchmarks).
    fresh
        Discard what is stored and measure everything anew.
    """
    _check(only, "--only", "peer", PEERS)
    _check(cell, "--cell", "cell", CELLS)
    wanted = {
        peer: [case for case in cases_of(peer, complete) if _is_asked(case, quick, cell)]
        for peer in only or PEERS
    }
    seconds = seconds or (QUICK_SECONDS if quick else SECONDS)
    folder = out or (QUICK_OUT if quick else OUT)
    with Store(folder, sys.argv, {"seconds_per_measurement": seconds}, fresh) as store:
        missing = [(p, case) for p, cases in wanted.items() for case in store.missing(p, cases)]
        failed = _measure(store, missing, seconds)
    frame = read(folder)
    drawing = draw_updates(frame, read_manifests(folder))
    for path in save("updates", drawing, folder / "figures", FORMATS):
        print(path)
    print(as_text(ratios(frame)))
    return int(failed > 0)


def _check(names: Sequence[str], option: str, kind: str, allowed: Iterable[str]) -> None:
    problems = [Problem(option, unknown(kind, n, allowed)) for n in names if n not in allowed]
    if problems:
        raise BadInput(problems)


def _is_asked(case: Case, quick: bool, cells: Sequence[str]) -> bool:
    in_quick = all(getattr(case, name) in values for name, values in QUICK.items())
    return (in_quick or not quick) and case.cell in (cells or CELLS)


def _measure(store: Store, missing: list[tuple[str, Case]], seconds: float) -> int:
    """Measure the missing cases, peer by peer, and return how many failed."""
    failed, worker = 0, None
    if not missing:
        print("everything is measured already", file=sys.stderr)
    try:
        for peer, case in tqdm(missing, unit="measurement", disable=not sys.stderr.isatty()):
            if worker is None or worker.peer != peer:
                if worker:
                    worker.close()
                worker = Worker(peer, seconds)
            found = worker.measure(case)
            store.add(peer, case, found | {"load_average": os.getloadavg()[0]})
            failed += found["status"] == "failed"
    finally:
        if worker:
            worker.close()
    return failed


if __name__ == "__main__":
    sys.exit(run(app))
