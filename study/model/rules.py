"""Identify the code behind each component of a run, by a version or a digest.

The components are the run's task, cell, initialisation and optimizer. The identifier is called the
component's rule. It is part of the run's identity, so a run counts as new after a component was
edited.

The rule of a component that this package ships is its version number. `tests/test_rules.py` fails
if the component's source changes but its version does not. The rule of a component that a user
registers is a digest (a hash) of its source and its other fields (see `study.model.source`). This
also holds for a component that replaces a shipped one. A class of `torch.optim` that is in no
registry has no rule, since its name and settings identify it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from study.errors import SettingError
from study.model.cells import CELLS, SHIPPED_CELLS
from study.model.engines import ENGINES, SHIPPED_ENGINES
from study.model.initialisations import INITIALISATIONS, SHIPPED_INITIALISATIONS
from study.model.optimizers import OPTIMIZERS, SHIPPED_OPTIMIZERS
from study.model.packages import find
from study.model.source import NoSource, digest, digest_of_names
from study.model.tasks import SHIPPED_TASKS, TASKS

REGISTRIES: dict[str, dict[str, Any]] = {  # by the setting that names an entry
    "task": TASKS, "cell": CELLS, "init": INITIALISATIONS, "optimizer": OPTIMIZERS,
    "engine": ENGINES,
}  # fmt: skip
SHIPPED: dict[str, Mapping[str, Any]] = {
    "task": SHIPPED_TASKS, "cell": SHIPPED_CELLS, "init": SHIPPED_INITIALISATIONS,
    "optimizer": SHIPPED_OPTIMIZERS, "engine": SHIPPED_ENGINES,
}  # fmt: skip
GATES = Path(__file__).parents[1] / "engines" / "fused" / "gates.py"
KINDS = {"init": "initialisation"}  # in messages, if the setting has another name

# The rules found so far, each with the entry that had it. The key is the setting, the component's
# name, and whether the component's functions in the fused engine's `gates` count.
_known: dict[tuple[str, str, bool], tuple[Any, int | str]] = {}


def rules_of(settings: Mapping[str, Any]) -> dict[str, int | str | None]:
    """Return the rules of a run's components, by the setting that names the component.

    A rule is the version or digest of a component's code. Components that are shipped in version 1
    are left out. `settings` has the names of the run's task, cell, initialisation, optimizer and
    engine. Raises `SettingError` if the source of a component cannot be followed.
    """
    rules = {key: rule_of(key, settings[key], settings["engine"]) for key in REGISTRIES}
    return {key: rule for key, rule in rules.items() if rule not in (None, 1)}


def registered(key: str, name: str) -> Any:
    """Return the entry of a component, or None if neither this process nor a package has it.

    `key` is the setting that names the component, and `name` is its value. If an installed package
    offers the component, it is loaded (see `study.model.packages`).
    """
    return find(key, REGISTRIES[key], name)


def component(key: str, name: str) -> str:
    """Return the kind and name of a component for messages, such as `cell 'leaky'`."""
    return f"{KINDS.get(key, key)} {name!r}"


def rule_of(key: str, name: str, engine: str) -> int | str | None:
    """Return the version or digest of one component, or None if it is not registered.

    `key` is the setting that names the component, and `name` is its value. On the engine `fused`,
    the digest of a cell also covers the cell's functions in that engine. Raises `SettingError` if
    the source of the component cannot be followed.
    """
    entry, by_gates = registered(key, name), key == "cell" and engine == "fused"
    if entry is None:
        return None
    known = _known.get((key, name, by_gates))
    if known is None or known[0] is not entry:
        try:
            rule = entry.version if is_shipped(key, name) else digest_of(name, entry, by_gates)
        except NoSource as error:
            raise SettingError(key, f"the rule of {component(key, name)} {error}") from error
        known = _known[key, name, by_gates] = entry, rule
    return known[1]


def is_shipped(key: str, name: str) -> bool:
    """Return whether a registered component is the one that this package ships."""
    entry = REGISTRIES[key].get(name)
    return entry is SHIPPED[key].get(name) and entry is not None and entry.version is not None


def digest_of(name: str, entry: Any, by_gates: bool = False) -> str:
    """Return the digest of a component, which covers its source and its other fields.

    `entry` is the component's entry in its registry, such as a `Cell`. If `by_gates` is true, the
    digest also covers the functions that compute the cell `name` in the fused engine.
    """
    found = digest(_fields(entry))
    if not by_gates:
        return found
    return digest({"rule": found, "gates": digest_of_gates(name)})


def digest_of_gates(cell: str) -> str:
    """Return the digest of the functions that compute a cell in the fused engine.

    These are the cell's forward and backward functions in the file `GATES`, and everything that
    they name there.
    """
    return digest_of_names(GATES, [f"{cell}_forward", f"{cell}_backward"])


def _fields(entry: Any) -> dict[str, Any]:
    """Return the fields of a registry's entry that differ from their defaults, by name.

    `entry` is a dataclass, such as a `Cell`. Defaults are left out so that the digest of an entry
    stays the same if a field with a default is added to the class.
    """
    values = {field.name: getattr(entry, field.name) for field in fields(entry)}
    defaults = {field.name: field.default for field in fields(entry)}
    return {k: v for k, v in values.items() if type(v) is not type(defaults[k]) or v != defaults[k]}
