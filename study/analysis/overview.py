"""The table that a grid prints at its end: by block, cell and optimizer, what was solved and how fast.

It works on Arrow's tables, since pandas would take a grid longer to import than to train a hundred runs.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from study import stats
from study.grid.store import plan_table
from study.model.tasks import TASK_SETTINGS
from study.runs.settings import Run

pc: Any = pyarrow.compute  # makes its functions when it is imported

CONCLUSIVE = ("solved", "unsolved", "diverged")  # the run was trained to its end
FOLLOWING = ("seed", "test_length", "optimizer_settings", "engine")  # in which pooling is no news
NEEDED = ("status", "converged_update", "updates", "max_updates")
BESIDE = ("diverged", "failed", "skipped")  # statuses that are counted beside the share solved


def in_blocks(rows: pa.Table, folder: Path) -> pa.Table:
    """The rows of a folder's plan, once for each block that their run is in, which is a column; `?` without a plan."""
    plan = plan_table(folder)
    if plan is None:
        return rows.append_column("block", pa.array(["?"] * len(rows), pa.string()))
    places = pc.index_in(plan["run_id"], value_set=rows["run_id"])
    there = places.is_valid()
    return rows.take(places.filter(there)).append_column("block", plan["block"].filter(there))


def summarised(rows: pa.Table, by: tuple[str, ...]) -> list[dict[str, Any]]:
    """A row a group: n, share solved and median convergence update with intervals, other statuses.

    The share and the median are over conclusive runs; failed and skipped ones are counted beside them. A
    group that pools settings other than the seed names them, and has no intervals: its runs are no sample
    of one thing. Of the settings, those that `rows` lacks are taken not to differ.
    """
    values = numbered(rows)
    statuses, converged, updates, most = (rows[name].to_numpy() for name in NEEDED)
    is_conclusive = np.isin(statuses.astype(object), CONCLUSIVE)
    times, solved = censored(converged, statuses, updates, most)
    found = []
    for group, members in _members(rows, by):
        conclusive = members[is_conclusive[members]]
        pooled = pooled_over(values[conclusive])
        share = stats.share(int(solved[conclusive].sum()), len(conclusive))
        median = stats.time_to_share(stats.solved_curve(times[conclusive], solved[conclusive]))
        counts = Counter(statuses[members])
        found.append(
            dict(zip(by, group, strict=True))
            | {"n": share.n, "solved": share.value, "median_update": median.value}
            | _unless(pooled, {"solved_low": share.low, "solved_high": share.high})
            | _unless(pooled, {"median_low": median.low, "median_high": median.high})
            | {"pooled_over": ", ".join(pooled)}
            | {status: counts[status] for status in BESIDE}
        )
    return found


def _members(rows: pa.Table, by: tuple[str, ...]) -> list[tuple[tuple, np.ndarray]]:
    """The groups in order, each with the places of its rows."""
    found: dict[tuple, list[int]] = defaultdict(list)
    for place, group in enumerate(zip(*(rows[name].to_pylist() for name in by), strict=True)):
        found[group].append(place)
    return [(group, np.array(places)) for group, places in sorted(found.items())]


def _unless(pooled: list[str], bounds: dict[str, float]) -> dict[str, float]:
    return dict.fromkeys(bounds, np.nan) if pooled else bounds


def censored(
    converged: np.ndarray, statuses: np.ndarray, updates: np.ndarray, max_updates: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Convergence times in updates, (n,) float and whether each is one, (n,) bool; `converged` is nan where none is.

    An unsolved run is censored at the last update it did. A diverged run will never be solved, so it
    is censored at its whole budget: leaving earlier would count as if it might still have been.
    """
    solved = ~np.isnan(converged.astype(float))
    return np.where(
        solved, converged.astype(float), np.where(statuses == "diverged", max_updates, updates)
    ), solved


def numbered(rows: pa.Table) -> np.ndarray:
    """Each setting's values as numbers, equal for equal ones, (n, settings): they are compared group by group."""
    same = np.zeros(len(rows), np.int32)
    return np.column_stack(
        [_codes(rows[name]) if name in rows.column_names else same for name in Run.model_fields]
    )


def _codes(column: pa.ChunkedArray) -> np.ndarray:
    return column.combine_chunks().dictionary_encode(null_encoding="encode").indices.to_numpy()


def pooled_over(values: np.ndarray) -> list[str]:
    """The settings other than the seed in which rows, as numbers, differ; those that follow from others left out."""
    names = list(Run.model_fields)
    differing = {
        name
        for name, differs in zip(names, (values != values[:1]).any(axis=0), strict=True)
        if differs
    }
    following = {*FOLLOWING, *(TASK_SETTINGS if "task" in differing else ())}
    return [name for name in names if name in differing and name not in following]


# --- for a terminal -----------------------------------------------------------------------------


def as_text(summary: Sequence[Mapping[str, Any]]) -> str:
    """The summary for a terminal, with its intervals in brackets."""
    names = list(summary[0])
    columns: dict[str, Iterable] = {
        name: [row[name] for row in summary] for name in names[: names.index("n")]
    }
    columns["n"] = [f"{row['n']:,}" for row in summary]
    columns["solved [95 %]"] = _with_intervals(summary, "solved", "solved", "{:.3f}".format)
    columns["median updates [95 %]"] = _with_intervals(summary, "median_update", "median", _updates)
    columns |= {
        status: [row[status] for row in summary]
        for status in BESIDE
        if any(row[status] for row in summary)
    }
    if any(row["pooled_over"] for row in summary):
        columns["pooled over"] = [row["pooled_over"] for row in summary]
    return aligned(columns)


def _with_intervals(
    summary: Sequence[Mapping[str, Any]], estimate: str, ends: str, text: Callable[[float], str]
) -> list[str]:
    """`estimate [low, high]` for each row, a dash where no run was conclusive."""
    numbers = (
        (row[estimate], row[f"{ends}_low"], row[f"{ends}_high"], row["n"]) for row in summary
    )
    return [_interval_text(value, low, high, text) if n else "-" for value, low, high, n in numbers]


def _interval_text(value: float, low: float, high: float, text: Callable[[float], str]) -> str:
    return text(value) if np.isnan(low) else f"{text(value)} [{text(low)}, {text(high)}]"


def _updates(value: float) -> str:
    return f"{value:,.0f}" if np.isfinite(value) else "beyond budget"


def aligned(columns: Mapping[str, Iterable]) -> str:
    """Columns of text, padded to the widest entry of each."""
    texts = [[str(name), *map(str, entries)] for name, entries in columns.items()]
    padded = [[entry.ljust(max(map(len, column))) for entry in column] for column in texts]
    return "\n".join("  ".join(line).rstrip() for line in zip(*padded, strict=True))
