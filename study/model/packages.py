"""Load components that installed packages offer, when a run first names them.

A package offers a component as an entry point of Python, in a group of GROUPS:

    [project.entry-points."study.cells"]
    leaky = "my_package.cells:LEAKY"     # a `Cell`

The component is entered in its registry under the name of the entry point.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from study.errors import BadInput

GROUPS = {  # by the setting that names a component
    "task": "study.tasks", "cell": "study.cells", "init": "study.initialisations",
    "optimizer": "study.optimizers", "figure": "study.figures",
}  # fmt: skip
ADD = "--use FILE.py loads your own"  # in messages about unknown names

_loaded: dict[tuple[str, str], str] = {}  # by setting and name: the package of the component


def find(key: str, registry: dict[str, Any], name: str) -> Any:
    """Return the entry of `registry` called `name`, or None if there is no such component.

    If the entry is missing and an installed package offers it, it is loaded and entered first.
    `key` is the setting that names the component, or `figure`. Raises `BadInput` if the package's
    component cannot be loaded.
    """
    point = None if name in registry or key not in GROUPS else _offered(key).get(name)
    if point is not None:
        package = f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"
        try:
            entry = point.load()
        except (Exception, SystemExit) as error:  # a package of a stranger may raise anything
            message = f"cannot load {point.value}, its {key} {name!r}"
            why = f"{type(error).__name__}: {error}"
            raise BadInput.at(f"package {package}", f"{message}: {why}") from error
        if not isinstance(entry, kind := type(next(iter(registry.values())))):
            wrong = f"{point.value}, its {key} {name!r}, must be a {kind.__name__}"
            raise BadInput.at(f"package {package}", wrong)
        registry[name], _loaded[key, name] = entry, package
    return registry.get(name)


def package_of(key: str, name: str) -> str | None:
    """Return the name and version of the package that a component was loaded from, if any."""
    return _loaded.get((key, name))


def packages_used() -> dict[str, str]:
    """Return the package of each component that was loaded from one, such as `cell leaky`."""
    return {f"{key} {name}": package for (key, name), package in _loaded.items()}


@cache
def _offered(key: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUPS[key])}
