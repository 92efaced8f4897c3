"""The rule that computes each component of a run, as a version or as a digest.

The rule is part of a run's identity, so a component that is edited makes other runs. The rule of an
entry that this package ships is its version; `tests/test_rules.py` fails if its source changes and
its version does not. The rule of any other entry, of one that replaces a shipped one too, is a
digest of its source (see `source`) and of its other fields. A class of `torch.optim` that has no
entry has no rule: its name and its settings say which it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from study.errors import SettingError
from study.model.cells import CELLS, SHIPPED_CELLS
from study.model.initialisations import INITIALISATIONS, SHIPPED_INITIALISATIONS
from study.model.optimizers import OPTIMIZERS, SHIPPED_OPTIMIZERS
from study.model.source import NoSource, digest, digest_of_names
from study.model.tasks import SHIPPED_TASKS, TASKS

REGISTRIES: dict[str, Mapping[str, Any]] = {  # by the setting that names an entry
    "task": TASKS, "cell": CELLS, "init": INITIALISATIONS, "optimizer": OPTIMIZERS,
}  # fmt: skip
SHIPPED: dict[str, Mapping[str, Any]] = {
    "task": SHIPPED_TASKS, "cell": SHIPPED_CELLS, "init": SHIPPED_INITIALISATIONS,
    "optimizer": SHIPPED_OPTIMIZERS,
}  # fmt: skip
GATES = Path(__file__).parents[1] / "engines" / "fused" / "gates.py"
KINDS = {"init": "initialisation"}  # in messages, if the setting has another name

# By name of the component, and whether its gates count: the entry that had this rule, and the rule.
_known: dict[tuple[str, str, bool], tuple[Any, int | str]] = {}


def rules_of(settings: Mapping[str, Any]) -> dict[str, int | str | None]:
    """Return the rules of a run's components that are not shipped in version 1, by setting.

    `settings` has the names of the task, the cell, the initialisation and the optimizer, and the
    engine. Raises `SettingError` if a rule has no source.
    """
    rules = {key: rule_of(key, settings[key], settings["engine"]) for key in REGISTRIES}
    return {key: rule for key, rule in rules.items() if rule not in (None, 1)}


def component(key: str, name: str) -> str:
    """Return a component's name for messages, such as `cell 'leaky'`."""
    return f"{KINDS.get(key, key)} {name!r}"


def rule_of(key: str, name: str, engine: str) -> int | str | None:
    """Return the rule of one component on an engine, or None if its registry has no such entry.

    `key` is the setting that names it. Raises `SettingError` if the rule has no source.
    """
    entry, by_gates = REGISTRIES[key].get(name), key == "cell" and engine == "fused"
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
    """Whether the entry of a registry is the one that this package ships, in some version."""
    entry = REGISTRIES[key].get(name)
    return entry is SHIPPED[key].get(name) and entry is not None and entry.version is not None


def digest_of(name: str, entry: Any, by_gates: bool = False) -> str:
    """Return the digest of a component's source and of the other fields of its entry.

    `by_gates` adds the functions in `gates` that the fused engine trains for the cell `name`.
    """
    found = digest(_fields(entry))
    if not by_gates:
        return found
    return digest({"rule": found, "gates": digest_of_gates(name)})


def digest_of_gates(cell: str) -> str:
    """Return the digest of the functions in `gates` for a cell, and of what they call there."""
    return digest_of_names(GATES, [f"{cell}_forward", f"{cell}_backward"])


def _fields(entry: Any) -> dict[str, Any]:
    """Return an entry's fields without those at their defaults: a new field changes no digest."""
    values = {field.name: getattr(entry, field.name) for field in fields(entry)}
    defaults = {field.name: field.default for field in fields(entry)}
    return {k: v for k, v in values.items() if type(v) is not type(defaults[k]) or v != defaults[k]}
