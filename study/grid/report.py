"""The summary of results: how many runs solved the task, and how fast.

A grid prints this table when it ends. Figures, tables and the paper also take their censored times
and shares from here.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from study.model import TASK_SETTINGS
from study.runs import CONCLUSIVE, Run
from study.stats import Estimate, share, solved_curve, time_to_share

# Settings that follow from others, and the seed: rows that differ only in these are one sample.
FOLLOWING = ("seed", "test_length", "optimizer_settings", "engine")
COUNTED = ("diverged", "failed", "skipped")  # statuses with a column of counts


def of_blocks(frame: pd.DataFrame, *blocks: str) -> pd.DataFrame:
    """The rows of some blocks."""
    chosen = set(blocks)
    return frame[np.array([not chosen.isdisjoint(names) for names in frame["blocks"]], dtype=bool)]


def by_block(frame: pd.DataFrame) -> pd.DataFrame:
    """Each row once per block of its run, with a column `block`; `?` for a run in no block."""
    blocks = [list(names) or ["?"] for names in frame["blocks"]]
    rows = frame.assign(block=pd.Series(blocks, frame.index, dtype=object))
    return rows.explode("block", ignore_index=True)


def conclusive(frame: pd.DataFrame) -> pd.DataFrame:
    """The runs that were trained to their end."""
    return frame[frame["status"].isin(CONCLUSIVE)]


def censored_times(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Convergence times in updates, (n,) float, and whether each run converged, (n,) bool.

    An unsolved run is censored at its last update. A diverged run will never solve the task, so it
    is censored at its whole budget: an earlier time would suggest that it might still have solved
    it.
    """
    converged = rows["converged_update"].to_numpy(float, na_value=np.nan)
    followed = np.where(rows["status"] == "diverged", rows["max_updates"], rows["updates"])
    solved = ~np.isnan(converged)
    return np.where(solved, converged, followed.astype(float)), solved


def solved_share(rows: pd.DataFrame) -> Estimate:
    """Share of runs that ever solved the task, with Wilson's interval; `rows` are conclusive."""
    return share(int(rows["converged_update"].notna().sum()), len(rows))


def pooled_settings(rows: pd.DataFrame) -> list[str]:
    """The settings in which rows differ, except the seed and settings that follow from others."""
    differing = {name for name in Run.model_fields if name in rows and _differs(rows[name])}
    following = {*FOLLOWING, *(TASK_SETTINGS if "task" in differing else ())}
    return [name for name in Run.model_fields if name in differing - following]


def _differs(values: pd.Series) -> bool:
    first = values.iloc[0] if len(values) else None
    same = values.isna() if pd.isna(first) else values == first
    return not bool(same.all())


def summarise(frame: pd.DataFrame, by: Sequence[str] = ("cell", "optimizer")) -> pd.DataFrame:
    """One row per group: n, share solved and median convergence update, with 95 % intervals.

    Share and median are over conclusive runs; failed and skipped runs are counted separately. If a
    group pools settings other than the seed, it lists them and has no intervals, since its runs are
    not a sample from one distribution.
    """
    groups = frame.groupby(list(by), sort=True, dropna=False)
    return pd.DataFrame(
        [dict(zip(by, group, strict=True)) | _summary(rows) for group, rows in groups]
    )


def _summary(rows: pd.DataFrame) -> dict[str, object]:
    ended = conclusive(rows)
    pooled = pooled_settings(ended)
    solved, median = solved_share(ended), time_to_share(solved_curve(*censored_times(ended)))
    if pooled:
        solved, median = solved.without_interval(), median.without_interval()
    estimates = solved.columns("solved") | median.columns("median_update", ends="median")
    counts = {status: int((rows["status"] == status).sum()) for status in COUNTED}
    return {"n": solved.n, **estimates, "pooled_over": ", ".join(pooled), **counts}


# --- for a terminal -----------------------------------------------------------------------------


def summary_text(summary: pd.DataFrame) -> str:
    """The summary as text, with intervals in brackets; a dash if no run was conclusive."""
    table = summary.loc[:, :"n"].copy()
    table["n"] = summary["n"].map("{:,}".format)
    table["solved [95 %]"] = _with_intervals(summary, "solved", "solved", "{:.3f}".format)
    table["median updates [95 %]"] = _with_intervals(summary, "median_update", "median", _updates)
    for status in COUNTED:
        if summary[status].any():
            table[status] = summary[status]
    if summary["pooled_over"].any():
        table["pooled over"] = summary["pooled_over"]
    return aligned(table)


def _with_intervals(
    summary: pd.DataFrame, estimate: str, ends: str, text: Callable[[float], str]
) -> list[str]:
    names = [estimate, f"{ends}_low", f"{ends}_high", "n"]
    texts = []
    for value, low, high, n in summary[names].itertuples(index=False):
        interval = "" if np.isnan(low) else f" [{text(low)}, {text(high)}]"
        texts.append(f"{text(value)}{interval}" if n else "-")
    return texts


def _updates(value: float) -> str:
    return f"{value:,.0f}" if np.isfinite(value) else "beyond budget"


def aligned(table: pd.DataFrame) -> str:
    """A table as text, each column padded to its widest entry."""
    texts = [[str(name), *map(str, table[name])] for name in table]
    padded = [[entry.ljust(max(map(len, column))) for entry in column] for column in texts]
    return "\n".join("  ".join(line).rstrip() for line in zip(*padded, strict=True))
