"""The table that a grid prints at its end: by cell and optimizer, what was solved and how fast."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from study import stats
from study.runs import Run
from study.tasks import TASK_SETTINGS

CONCLUSIVE = ("solved", "unsolved", "diverged")  # the run was trained to its end


FOLLOWING = ("seed", "test_length", "optimizer_settings", "engine")  # in which pooling is no news


def of_blocks(frame: pd.DataFrame, *blocks: str) -> pd.DataFrame:
    """The rows of some blocks, which may be none."""
    return frame[np.array([not set(blocks).isdisjoint(names) for names in frame["blocks"]], dtype=bool)]


def censored_times(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Convergence times in updates, (n,) float and whether each is one, (n,) bool.

    An unsolved run is censored at the last update it did. A diverged run will never be solved, so it
    is censored at its whole budget: leaving earlier would count as if it might still have been.
    """
    solved = rows["converged_update"].notna().to_numpy()
    budget = np.where(rows["status"] == "diverged", rows["max_updates"], rows["updates"])
    return np.where(solved, rows["converged_update"].astype(float), budget), solved


def solved_share(rows: pd.DataFrame) -> stats.Estimate:
    """Share of conclusive runs that were ever solved."""
    return stats.share(int(rows["converged_update"].notna().sum()), len(rows))


def summarise(frame: pd.DataFrame, by: tuple[str, ...] = ("cell", "optimizer")) -> pd.DataFrame:
    """A row a group: n, share solved and median convergence update with intervals, other statuses.

    The share and the median are over conclusive runs; failed and skipped ones are counted beside them. A
    group that pools settings other than the seed names them, and has no intervals: its runs are no sample
    of one thing.
    """
    frame, rows = frame.reset_index(drop=True), []
    values = _numbered(frame)
    for group, members in frame.groupby(list(by), sort=True):
        conclusive = members[members["status"].isin(CONCLUSIVE)]
        pooled = _pooled(values.iloc[conclusive.index])
        share = solved_share(conclusive)
        median = stats.time_to_share(stats.solved_curve(*censored_times(conclusive)))
        counts = members["status"].value_counts()
        rows.append(
            dict(zip(by, group, strict=True))
            | {"n": share.n, "solved": share.value, "median_update": median.value}
            | _unless(pooled, {"solved_low": share.low, "solved_high": share.high})
            | _unless(pooled, {"median_low": median.low, "median_high": median.high})
            | {"pooled_over": ", ".join(pooled)}
            | {status: int(counts.get(status, 0)) for status in ("diverged", "failed", "skipped")}
        )
    return pd.DataFrame(rows)


def _unless(pooled: list[str], bounds: dict[str, float]) -> dict[str, float]:
    return dict.fromkeys(bounds, np.nan) if pooled else bounds


def pooled_settings(rows: pd.DataFrame) -> list[str]:
    """The settings other than the seed in which rows differ, those that only follow from others left out."""
    return _pooled(_numbered(rows))


def _numbered(rows: pd.DataFrame) -> pd.DataFrame:
    """Each setting's values as numbers, equal for equal ones: they are compared group by group, and that is quick."""
    names = [name for name in Run.model_fields if name in rows]
    return pd.DataFrame({name: pd.factorize(rows[name], use_na_sentinel=False)[0] for name in names})


def _pooled(numbered: pd.DataFrame) -> list[str]:
    values, names = numbered.to_numpy(), [str(name) for name in numbered]
    differing = {name for name, differs in zip(names, (values != values[:1]).any(axis=0), strict=True) if differs}
    following = {*FOLLOWING, *(TASK_SETTINGS if "task" in differing else ())}
    return [name for name in names if name in differing and name not in following]


def summarise_blocks(frame: pd.DataFrame) -> pd.DataFrame:
    """The summary of each block by itself: blocks differ in what else varies, so they are not mixed."""
    frame = frame.explode("blocks").rename(columns={"blocks": "block"})
    return summarise(frame.fillna({"block": "?"}), by=("block", "cell", "optimizer"))


def as_text(summary: pd.DataFrame) -> str:
    """The summary for a terminal, with its intervals in brackets."""
    table = summary.loc[:, :"n"].drop(columns="n")
    table["n"] = summary["n"].map("{:,}".format)
    table["solved [95 %]"] = _with_intervals(summary, ("solved", "solved_low", "solved_high"), "{:.3f}".format)
    table["median updates [95 %]"] = _with_intervals(summary, ("median_update", "median_low", "median_high"), _updates)
    for status in ("diverged", "failed", "skipped"):
        if summary[status].any():
            table[status] = summary[status]
    if summary["pooled_over"].any():
        table["pooled over"] = summary["pooled_over"]
    return aligned(table)


def _with_intervals(summary: pd.DataFrame, names: tuple[str, str, str], text: Callable[[float], str]) -> list[str]:
    """`estimate [low, high]` for each row, a dash where no run was conclusive."""
    values = summary[list(names)].to_numpy(float)
    rows = zip(values, summary["n"], strict=True)
    return [_interval_text(float(v[0]), float(v[1]), float(v[2]), text) if n else "-" for v, n in rows]


def _interval_text(value: float, low: float, high: float, text: Callable[[float], str]) -> str:
    return text(value) if np.isnan(low) else f"{text(value)} [{text(low)}, {text(high)}]"


def aligned(table: pd.DataFrame) -> str:
    """Columns of text, padded to the widest entry of each."""
    columns = [[str(name), *map(str, table[name])] for name in table]
    padded = [[entry.ljust(max(map(len, column))) for entry in column] for column in columns]
    return "\n".join("  ".join(line).rstrip() for line in zip(*padded, strict=True))


def _updates(value: float) -> str:
    return f"{value:,.0f}" if np.isfinite(value) else "beyond budget"
