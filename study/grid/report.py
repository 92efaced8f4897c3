"""The table that anyone wants first: how many runs solved the task, and how fast.

A grid prints it at its end. Figures, tables and the paper take their censored times and shares from
here too.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from study.model import TASK_SETTINGS
from study.runs import CONCLUSIVE, Run
from study.stats import Estimate, share, solved_curve, time_to_share

# Settings that follow from others.
FOLLOWING = ("seed", "test_length", "optimizer_settings", "engine")
BESIDE = ("diverged", "failed", "skipped")  # statuses counted beside the share solved


def of_blocks(frame: pd.DataFrame, *blocks: str) -> pd.DataFrame:
    """The rows of some blocks; there may be none."""
    wanted = set(blocks)
    return frame[np.array([not wanted.isdisjoint(names) for names in frame["blocks"]], dtype=bool)]


def by_block(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows once per block of their run, with a column `block`; `?` for a run of no block."""
    blocks = [list(names) or ["?"] for names in frame["blocks"]]
    return frame.assign(block=pd.Series(blocks, frame.index, dtype=object)).explode(
        "block", ignore_index=True
    )


def conclusive(frame: pd.DataFrame) -> pd.DataFrame:
    """The runs that were trained to their end."""
    return frame[frame["status"].isin(CONCLUSIVE)]


def censored_times(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Convergence times in updates, (n,) float, and whether each run converged, (n,) bool.

    An unsolved run is censored at its last update. A diverged run will never solve the task, so it
    is censored at its whole budget: leaving earlier would count as if it might still have solved
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
    """The settings other than the seed in which rows differ, but for those that follow others."""
    differing = {name for name in Run.model_fields if name in rows and _differs(rows[name])}
    following = {*FOLLOWING, *(TASK_SETTINGS if "task" in differing else ())}
    return [name for name in Run.model_fields if name in differing - following]


def _differs(values: pd.Series) -> bool:
    first = values.iloc[0] if len(values) else None
    same = values.isna() if pd.isna(first) else values == first
    return not bool(same.all())


def summarise(frame: pd.DataFrame, by: Sequence[str] = ("cell", "optimizer")) -> pd.DataFrame:
    """One row per group: n, share solved and median convergence update, with 95 % intervals.

    Share and median are over conclusive runs; failed and skipped runs are counted beside them. A
    group that pools settings other than the seed names them and has no intervals, since its runs
    are not a sample of one thing.
    """
    return pd.DataFrame(
        [
            dict(zip(by, group, strict=True)) | _summary(rows)
            for group, rows in frame.groupby(list(by), sort=True, dropna=False)
        ]
    )


def _summary(rows: pd.DataFrame) -> dict[str, object]:
    ended = conclusive(rows)
    pooled = pooled_settings(ended)
    solved, median = solved_share(ended), time_to_share(solved_curve(*censored_times(ended)))
    if pooled:
        solved, median = solved.without_interval(), median.without_interval()
    found = solved.columns("solved") | median.columns("median_update", ends="median")
    counts = {status: int((rows["status"] == status).sum()) for status in BESIDE}
    return {"n": solved.n, **found, "pooled_over": ", ".join(pooled), **counts}


# --- for a terminal -----------------------------------------------------------------------------


def summary_text(summary: pd.DataFrame) -> str:
    """The summary for a terminal, intervals in brackets; a dash where no run was conclusive."""
    names = list(summary)
    shown = summary[names[: names.index("n")]].copy()
    shown["n"] = summary["n"].map("{:,}".format)
    shown["solved [95 %]"] = _with_intervals(summary, "solved", "solved", "{:.3f}".format)
    shown["median updates [95 %]"] = _with_intervals(summary, "median_update", "median", _updates)
    for status in BESIDE:
        if summary[status].any():
            shown[status] = summary[status]
    if summary["pooled_over"].any():
        shown["pooled over"] = summary["pooled_over"]
    return aligned(shown)


def _with_intervals(
    summary: pd.DataFrame, estimate: str, ends: str, text: Callable[[float], str]
) -> list[str]:
    names = [estimate, f"{ends}_low", f"{ends}_high", "n"]
    found = []
    for value, low, high, n in summary[names].itertuples(index=False):
        interval = "" if np.isnan(low) else f" [{text(low)}, {text(high)}]"
        found.append(f"{text(value)}{interval}" if n else "-")
    return found


def _updates(value: float) -> str:
    return f"{value:,.0f}" if np.isfinite(value) else "beyond budget"


def aligned(table: pd.DataFrame) -> str:
    """A table as text, each column padded to its widest entry."""
    texts = [[str(name), *map(str, table[name])] for name in table]
    padded = [[entry.ljust(max(map(len, column))) for entry in column] for column in texts]
    return "\n".join("  ".join(line).rstrip() for line in zip(*padded, strict=True))
