"""A results folder as figures read it: each part when it is asked for, and what it lacks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from study.grid import StoreWarning, load, of_blocks, read_plan, weights_in


class Missing(Exception):
    """The results lack what is asked for."""


class OtherGrid(Missing):
    """The grid has no such block."""


class Results:
    """Stored results, read lazily; every part that is absent raises `Missing`, which says so."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    @cached_property
    def runs(self) -> pd.DataFrame:
        """All runs of the grid, curves included, weights not."""
        return load(self.folder)

    @cached_property
    def _weights(self) -> pd.DataFrame:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StoreWarning)  # `runs` has said it
            return load(self.folder, curves=False, weights=True).set_index("run_id", drop=False)

    @cached_property
    def planned(self) -> dict[str, set[str]]:
        """The runs that were planned, by block."""
        plan = read_plan(self.folder)
        groups = [] if plan is None else plan.groupby("block")["run_id"]
        return {str(name): set(ids) for name, ids in groups}

    def has_block(self, name: str) -> bool:
        """Whether the grid has such a block."""
        return name in self.planned

    def block(self, *names: str) -> pd.DataFrame:
        """The stored rows of some blocks; `OtherGrid` where the grid has none of them."""
        said = " or ".join(map(repr, names))
        if not any(map(self.has_block, names)):
            raise OtherGrid(f"the grid has no block {said}")
        rows = of_blocks(self.runs, *names)
        if rows.empty:
            raise Missing(f"no run of block {said} is stored")
        return rows

    def weights(self, run_id: str) -> dict[str, np.ndarray]:
        """The final weights of a run by parameter name; `Missing` where they were not kept."""
        kept = weights_in(self._weights.loc[run_id]) if run_id in self._weights.index else None
        if kept is None:
            raise Missing(
                f"the weights of run {run_id} were not kept; set `keep_weights: true` on its block"
            )
        return kept

    def lacks(self, names: Sequence[str]) -> str:
        """A sentence on planned runs of some blocks that have no result, for a caption; or ""."""
        planned = set().union(*(self.planned.get(name, set()) for name in names))
        rows = self.runs[self.runs["run_id"].isin(planned)]
        counts: dict[Any, int] = rows["status"].value_counts().to_dict()
        parts = [(len(planned) - len(rows), "not stored"), (counts.get("failed", 0), "failed")]
        parts.append((counts.get("skipped", 0), "skipped for want of their device"))
        said = [f"{n:,} {what}" for n, what in parts if n]
        return f"Of {len(planned):,} planned runs, {' and '.join(said)}." if said else ""
