"""Measure the time of one update in each implementation: `python -m benchmarks`.

An update is the forward pass, back-propagation through time and a step of SGD, in float32, on data
drawn beforehand. Each implementation is called a peer. The peers are measured one after the other,
each in a process of its own, on one thread and one core.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import torch
from cyclopts import Parameter
from cyclopts.validators import Number
from tqdm import tqdm

from benchmarks.figure import draw_updates
from benchmarks.peers import PEERS, cases_of
from benchmarks.store import Store, read, read_manifests
from benchmarks.table import bars, peer_ratios
from benchmarks.worker import ROOT, measured
from study.command import Names, command, run
from study.errors import BadInput, Problem, unknown
from study.figures import FORMATS, save
from study.model import CELLS

OUT, QUICK_OUT = ROOT / "results" / "benchmarks", ROOT / "results" / "benchmarks_quick"
SECONDS, QUICK_SECONDS = 0.2, 0.05
Seconds = Annotated[float, Parameter(validator=Number(gt=0, lte=60))]

app = command(
    "python -m benchmarks",
    "python -m benchmarks\npython -m benchmarks --only fused --only torch --cell lstm\n\nPeers:\n\n"
    + "\n".join(f"{name:<9} {peer.description}" for name, peer in PEERS.items()),
)


@app.default
def measure(
    *,
    only: Names = (),
    cell: Names = (),
    quick: bool = False,
    seconds: Seconds | None = None,
    out: Path | None = None,
    fresh: bool = False,
) -> int:
    """Measure the time of one optimizer update in each peer; write a table and a figure.

    A peer is an implementation; the peers are listed below. Measurements that are already stored
    are not repeated. Let nothing else run on the machine meanwhile. The load average is stored with
    each measurement. The exit code is 1 if any measurement failed.

    Parameters
    ----------
    only
        Measure only this peer. May be given several times.
    cell
        Measure only this cell. May be given several times.
    quick
        Measure fewer cells and sizes, and write to results/benchmarks_quick.
    seconds
        Duration of one measurement in seconds (default: 0.2; with --quick 0.05).
    out
        The folder to write to (default: results/benchmarks).
    fresh
        Discard the stored measurements and measure everything anew.
    """
    _check(only, "--only", "peer", PEERS)
    _check(cell, "--cell", "cell", CELLS)
    seconds = seconds or (QUICK_SECONDS if quick else SECONDS)
    folder = out or (QUICK_OUT if quick else OUT)
    settings = {"seconds_per_measurement": seconds}
    settings |= {"vectors": torch.backends.cpu.get_cpu_capability()}
    store = Store(folder, sys.argv, settings, fresh)
    failed = _measure_missing(store, only or tuple(PEERS), cell, quick, seconds)
    frame = read(folder)
    drawing = draw_updates(frame, read_manifests(folder))
    for path in save("updates", drawing, folder / "figures", FORMATS):
        print(path)
    for table in (peer_ratios(frame), bars(frame)):
        print(table.to_string(index=False, float_format="{:.3g}".format), end="\n\n")
    return int(failed > 0)


def _check(names: Sequence[str], option: str, kind: str, allowed: Iterable[str]) -> None:
    problems = [Problem(option, unknown(kind, n, allowed)) for n in names if n not in allowed]
    if problems:
        raise BadInput(problems)


def _measure_missing(
    store: Store, peers: Sequence[str], cells: Sequence[str], quick: bool, seconds: float
) -> int:
    """Measure the cases that are not stored yet, one peer at a time; return how many failed.

    A case is a network and the shape of its batches.
    """
    missing = {peer: store.missing(peer, cases_of(peer, cells, quick)) for peer in peers}
    total = sum(PEERS[peer].rounds * len(cases) for peer, cases in missing.items())
    if not total:
        print("everything has been measured already", file=sys.stderr)
    failed = 0
    with tqdm(total=total, unit="measurement", disable=not sys.stderr.isatty()) as bar:
        for number in range(max(PEERS[peer].rounds for peer in peers)):
            for peer, cases in missing.items():
                again = cases if number < PEERS[peer].rounds else []
                for case, result in zip(again, measured(peer, again, seconds), strict=True):
                    store.add(peer, case, result | {"load_average": os.getloadavg()[0]})
                    failed += result["status"] == "failed"
                    bar.update()
    return failed


if __name__ == "__main__":
    sys.exit(run(app))
