"""Summarise how many runs solved the task, and how fast.

`study grid` prints this summary when it ends. Figures, tables and the paper use the same functions
to find the share of runs that solved the task, and the times at which runs solved it. These times
are right-censored, since a run that did not solve the task was followed only for a limited time.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from study.model import TASK_SETTINGS, own_names
from study.runs import CONCLUSIVE, settings_in
from study.stats import Estimate, share, solved_curve, time_to_share

# The seed, and settings that are derived from other settings. Runs that differ only in these form
# one sample.
FOLLOWING = ("seed", "test_length", "optimizer_settings", "engine")
POOLED = (
    "The column `pooled over` names the settings in which the runs of a group differ. "
    "Such a group has no intervals."
)
COUNTED = ("diverged", "failed", "skipped")  # statuses that have a column of counts


def of_blocks(frame: pd.DataFrame, *blocks: str) -> pd.DataFrame:
    """Return the rows of those runs that are in at least one of the named blocks of the grid."""
    chosen = set(blocks)
    return frame[np.array([not chosen.isdisjoint(names) for names in frame["blocks"]], dtype=bool)]


def by_block(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with one row per run and block, in which a run in two blocks has two rows.

    The new column `block` holds the name of the block. A run that is in no block has one row, in
    which the name is `?`.
    """
    blocks = [list(names) or ["?"] for names in frame["blocks"]]
    rows = frame.assign(block=pd.Series(blocks, frame.index, dtype=object))
    return rows.explode("block", ignore_index=True)


def conclusive(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the runs that finished training.

    These runs have the status `solved`, `unsolved` or `diverged`.
    """
    return frame[frame["status"].isin(CONCLUSIVE)]


def censored_times(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the times at which runs solved the task, and whether each run solved it.

    For n rows, the times are a float array of shape (n,), in updates. The second result is a bool
    array of shape (n,). A run that did not solve the task is right-censored, and its time is its
    last update. But if the run diverged, its time is its whole budget of updates. An earlier time
    would suggest that the run might still have solved the task.
    """
    converged = rows["converged_update"].to_numpy(float, na_value=np.nan)
    followed = np.where(rows["status"] == "diverged", rows["max_updates"], rows["updates"])
    solved = ~np.isnan(converged)
    return np.where(solved, converged, followed.astype(float)), solved


def solved_share(rows: pd.DataFrame) -> Estimate:
    """Return the share of runs that ever solved the task, with Wilson's 95 % interval.

    All rows must belong to runs that finished training (see `conclusive`).
    """
    return share(int(rows["converged_update"].notna().sum()), len(rows))


def pooled_settings(rows: pd.DataFrame) -> list[str]:
    """Return the names of the settings that do not have the same value in all rows.

    The seed is left out, and so are settings that are derived from other settings.
    """
    names = [name for name in settings_in(rows) if name in rows and _differs(rows[name])]
    following = {*FOLLOWING, *(TASK_SETTINGS if "task" in names else ())}
    following |= {name for name in own_names(names) if name.partition(".")[0] in names}
    return [name for name in names if name not in following]


def _differs(values: pd.Series) -> bool:
    first = values.iloc[0] if len(values) else None
    same = values.isna() if pd.isna(first) else values == first
    return not bool(same.all())


def summarise(frame: pd.DataFrame, by: Sequence[str] = ("cell", "optimizer")) -> pd.DataFrame:
    """Return a frame that says how many runs in each group solved the task, and how fast.

    The frame has one row per group. A group consists of the runs with equal values in the columns
    `by`. The column `n` is the number of runs in the group that finished training. For these n
    runs, further columns give the share that solved the task, and the median number of updates
    needed to solve it. Both have a 95 % interval. Three more columns count the diverged, failed and
    skipped runs of the group.

    If runs of a group differ in settings other than the seed, the column `pooled_over` names these
    settings. Then the runs are not a sample from one distribution, so the group has no intervals.
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
    """Format the frame from `summarise` as text, with intervals in brackets."""
    text = aligned(readable(summary))
    return f"{text}\n\n{POOLED}" if summary["pooled_over"].any() else text


def readable(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the frame from `summarise` with texts for readers, such as intervals in brackets.

    A group in which no run has finished training has `-` in place of estimates. Columns that say
    the same of every group, such as counts that are all 0, are left out.
    """
    table = summary.loc[:, :"n"].map(setting_text)
    table["n"] = summary["n"].map("{:,}".format)
    table["solved [95 %]"] = _with_intervals(summary, "solved", "solved", "{:.3f}".format)
    table["median updates [95 %]"] = _with_intervals(summary, "median_update", "median", _updates)
    for status in COUNTED:
        if summary[status].any():
            table[status] = summary[status]
    if summary["pooled_over"].any():
        table["pooled over"] = summary["pooled_over"]
    return table


def setting_text(value: Any) -> str:
    """Return the value of a setting as text: as in a grid file, or `none` if it is missing.

    Whole floats are written as integers, since pandas turns integers into floats in a column with
    missing values.
    """
    if pd.isna(value):
        return "none"
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    return f"{value:.12g}" if isinstance(value, float) else str(value)


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
    """Return a table as text, with each entry padded to the width of its column."""
    texts = [[str(name), *map(str, table[name])] for name in table]
    padded = [[entry.ljust(max(map(len, column))) for entry in column] for column in texts]
    return "\n".join("  ".join(line).rstrip() for line in zip(*padded, strict=True))
