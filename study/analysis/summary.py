"""What frames of runs have in common: whose blocks they are, their censored times, what they pool, their summary."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa

from study import stats
from study.analysis import overview
from study.analysis.overview import CONCLUSIVE, FOLLOWING, NEEDED
from study.runs.settings import Run

__all__ = ["CONCLUSIVE", "FOLLOWING"]


def of_blocks(frame: pd.DataFrame, *blocks: str) -> pd.DataFrame:
    """The rows of some blocks, which may be none."""
    return frame[
        np.array([not set(blocks).isdisjoint(names) for names in frame["blocks"]], dtype=bool)
    ]


def censored_times(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Convergence times in updates, (n,) float and whether each is one, (n,) bool: see `overview.censored`."""
    converged = rows["converged_update"].to_numpy(float, na_value=np.nan)
    return overview.censored(
        converged, *(rows[name].to_numpy() for name in ("status", "updates", "max_updates"))
    )


def solved_share(rows: pd.DataFrame) -> stats.Estimate:
    """Share of conclusive runs that were ever solved."""
    return stats.share(int(rows["converged_update"].notna().sum()), len(rows))


def summarise(frame: pd.DataFrame, by: tuple[str, ...] = ("cell", "optimizer")) -> pd.DataFrame:
    """A row a group: n, share solved and median convergence update with intervals: see `overview.summarised`."""
    return pd.DataFrame(overview.summarised(_arrow(frame, *by, *NEEDED), by))


def as_text(summary: pd.DataFrame) -> str:
    """The summary for a terminal, with its intervals in brackets."""
    return overview.as_text(
        [dict(zip(map(str, summary), row, strict=True)) for row in summary.itertuples(index=False)]
    )


def pooled_settings(rows: pd.DataFrame) -> list[str]:
    """The settings other than the seed in which rows differ, those that only follow from others left out."""
    return overview.pooled_over(overview.numbered(_arrow(rows)))


def _arrow(frame: pd.DataFrame, *names: str) -> pa.Table:
    """Some columns, and those of the settings that there are."""
    settings = [name for name in Run.model_fields if name in frame]
    return pa.Table.from_pandas(
        frame[list(dict.fromkeys([*names, *settings]))], preserve_index=False
    )


def aligned(table: pd.DataFrame) -> str:
    """Columns of text, padded to the widest entry of each."""
    return overview.aligned({str(name): table[name] for name in table})
