"""Undo what files of a user's own, loaded as by `--use`, did to the process that runs the tests."""

import sys
from pathlib import Path

from study.figures import FIGURES
from study.model import REGISTRIES, packages, used

KNOWN = {name for registry in (*REGISTRIES.values(), FIGURES) for name in registry}


def forget(folder: Path) -> None:
    """Forget all components that were added, and the modules in `folder`."""
    for registry in (*REGISTRIES.values(), FIGURES):
        for name in [name for name in registry if name not in KNOWN]:
            del registry[name]
    for known in (used._digests, used._files, packages._loaded):
        known.clear()
    packages._offered.cache_clear()
    for name, module in [*sys.modules.items()]:
        if str(folder) in str(getattr(module, "__file__", "")):
            del sys.modules[name]
