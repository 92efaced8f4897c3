"""Find the components of runs that this package does not ship, and try them before training."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

from study.errors import BadInput, Problem
from study.model import (
    CELLS,
    INITIALISATIONS,
    REGISTRIES,
    TASKS,
    cell_fault,
    component,
    init_fault,
    is_shipped,
    optimizer_fault,
    origin_of,
    place_of,
)
from study.runs import Run


def own_components(run: Run) -> list[tuple[str, str]]:
    """Return the run's components that are not shipped, as pairs of a setting and a name.

    Classes of torch that are in no registry are left out.
    """
    named = ((key, getattr(run, key)) for key in REGISTRIES)
    return [
        (key, name) for key, name in named if name in REGISTRIES[key] and not is_shipped(key, name)
    ]


def origins(runs: Iterable[Run]) -> list[str]:
    """Return a line for each component of the runs that is not shipped, which says its origin."""
    found = dict.fromkeys(pair for run in runs for pair in own_components(run))
    return [f"{component(*pair)} is from {origin_of(*pair)}" for pair in found]


def refuse_faulty(runs: Iterable[Run]) -> None:
    """Try each cell, initialisation and optimizer of the runs that is not shipped on tiny data.

    Tasks were tried when the runs were made. Raises `BadInput` if a component cannot be trained.
    """
    tried, problems = set[str](), dict[Problem, None]()
    for run in runs:
        for key, name in own_components(run):
            sizes = TASKS[run.task].input_size, run.hidden_size, run.dtype
            about = run.cell, run.own, run.init_value, run.optimizer_settings
            case = json.dumps([key, name, *sizes, *about], sort_keys=True)
            if case not in tried and (fault := _fault(key, run)):
                problems[Problem(place_of(key, name), f"{component(key, name)}: {fault}")] = None
            tried.add(case)
    if problems:
        raise BadInput(problems)


def _fault(key: str, run: Run) -> str | None:
    """Return why the component of a run that the setting `key` names cannot be trained, if so."""
    cell, input_size = CELLS[run.cell], TASKS[run.task].input_size
    if key == "cell":
        with_settings = replace(cell, rule=run.cell_rule)
        return cell_fault(with_settings, input_size, run.hidden_size, run.dtype)
    if key == "init":
        init = INITIALISATIONS[run.init]
        return init_fault(init, run.init_value, cell, input_size, run.hidden_size)
    if key == "optimizer":
        return optimizer_fault(run.optimizer, run.optimizer_settings)
    return None
