"""List the tables of the analysis, the functions that compute them, and the runs they cover."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from itertools import chain
from types import ModuleType
from typing import Any, NamedTuple

import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from study.dynamics import (
    certificates,
    closed_form,
    crossings,
    cycles,
    existence,
    false_signals,
    interventions,
    network,
    noise,
    own,
    patterns,
    probes,
    slips,
    words,
    zonotopes,
)
from study.dynamics.build import source
from study.dynamics.network import Network
from study.dynamics.tables import RUN_COLUMNS, Row, digest, solved
from study.grid import run_of, weights_in
from study.model import FUSED_CELLS
from study.runs import weights_of


class Analysis(NamedTuple):
    """How to compute one of the tables that `study dynamics` stores.

    `of` returns the table's rows for one network. `chosen` selects the runs that the table covers.
    `modules` lists the modules with the code that computes the table. If this code has changed, a
    stored table is computed again. If `of_trained` is false, the networks have their initial
    weights.
    """

    of: Callable[[Network], list[Row]]
    modules: tuple[ModuleType, ...]
    chosen: Callable[[pd.DataFrame], pd.DataFrame] = lambda runs: runs
    of_trained: bool = True

    def digest(self, runs: pd.DataFrame) -> str:
        """Return a hash of the runs, their weights and the code that computes the table."""
        names = ["run_id", "weights"] if self.of_trained else ["run_id"]
        return digest(code_of(self.modules, runs["cell"]), runs[names])

    def rows(self, runs: pd.DataFrame, jobs: int) -> list[Row]:
        """Compute the rows of all runs in `jobs` processes, and return them sorted by `run_id`."""
        parallel: Any = Parallel(n_jobs=jobs, return_as="generator_unordered")
        tasks = (delayed(_rows_of)(self.of, run) for _, run in runs.iterrows())
        progress = tqdm(parallel(tasks), total=len(runs), unit="network", disable=None)
        return sorted(chain.from_iterable(progress), key=lambda row: row["run_id"])


def _rows_of(of: Callable[[Network], list[Row]], run: pd.Series) -> list[Row]:
    columns = {name: run[name] for name in RUN_COLUMNS}
    settings = run_of(run)
    weights = weights_in(run) if "weights" in run else None
    made = Network if settings.cell in FUSED_CELLS else own.OwnNetwork
    return [columns | row for row in of(made(settings, weights or weights_of(settings)))]


def code_of(modules: tuple[ModuleType, ...], cells: Iterable[str]) -> list[str]:
    """Return the source code of the given modules, and of the kernels for the given cells.

    A kernel is a compiled numerical function (see `study.dynamics.build`). The code of
    `study.dynamics.network` is always included. The code of the engine that trains runs again is
    not, since its version is part of the identity of a run. For a cell without kernels, the code of
    `study.dynamics.own` takes their place.
    """
    texts = [
        source(cell) if cell in FUSED_CELLS else inspect.getsource(own)
        for cell in sorted(set(cells))
    ]
    return [*map(inspect.getsource, (network, *modules)), *texts]


def followed(network: Network) -> list[Row]:
    """Return the row of the table `crossings` of a network of any cell."""
    return (own if isinstance(network, own.OwnNetwork) else crossings).rows(network)


def survey_digest(runs: pd.DataFrame) -> str:
    """Return a hash of the runs and the code that determine the tables in SURVEYS."""
    code = code_of((cycles, slips, existence), existence.HAND_BUILT)
    return digest(code, runs[["run_id", "long_first_error"]])


def closed_form_digest(runs: pd.DataFrame) -> str:
    """Return a hash of the runs and the code that determine the table `closed_form`."""
    code = code_of((crossings, closed_form, patterns), runs["cell"])
    return digest(code, runs[["run_id"]])


ANALYSES = {
    "cycles": Analysis(cycles.rows, (cycles,)),
    "spectra": Analysis(cycles.spectra, (cycles,)),
    "exponents": Analysis(noise.exponents, (cycles, noise)),
    "margins": Analysis(noise.margins, (cycles, noise), solved),
    "recovery": Analysis(noise.recovery, (cycles, noise), solved),
    "interventions": Analysis(interventions.rows, (interventions,), solved),
    "probes": Analysis(probes.rows, (probes,)),
    "slips": Analysis(slips.rows, (slips,)),
    "certificates": Analysis(certificates.rows, (zonotopes, certificates), solved),
    "false_signals": Analysis(
        false_signals.rows,
        (crossings, closed_form, patterns, false_signals),
        false_signals.chosen,
        of_trained=False,
    ),
    "words": Analysis(words.rows, (crossings, patterns, words), words.chosen, of_trained=False),
}

# This table needs no stored weights, since it trains the runs again.
CROSSINGS = Analysis(followed, (crossings, patterns))

# Tables that need no stored weights. Each function gets all runs of a results folder.
SURVEYS: dict[str, Callable[[pd.DataFrame], list[Row]]] = {
    "hand_built": lambda runs: existence.built(),
    "guessing": lambda runs: existence.guessing(),
    "bound": existence.bound,
}
