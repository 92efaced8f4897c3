"""Compare two values of a setting, such as two cells, in pairs of runs with the same seed.

The two runs of a pair may differ only in this setting, in settings that depend on it, and in the
learning rate. If the rates differ, the comparison is fair only if both were tuned with equal effort
(see `study.analysis.tune`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from study import stats
from study.analysis.tune import unfair
from study.errors import BadInput, Problem
from study.grid import censored_times, conclusive, setting_text
from study.model import TASK_SETTINGS, own_names
from study.runs import settings_in

OUTCOMES = ("solved", "sooner")
TUNING = "tuning"  # the names of blocks with tuning runs begin with this word
# Settings that may differ between the two runs of a pair if the setting before the colon does.
DEPENDENT = {
    "task": TASK_SETTINGS,
    "optimizer": ("momentum", "optimizer_settings"),
    "init": ("init_value",),
    "data": ("epoch_sequences",),
    "length": ("test_length",),
}


def effect(a: pd.DataFrame, b: pd.DataFrame, outcome: str) -> stats.Contrast:
    """Return how much more often the runs in `a` have an outcome than the runs in `b`.

    Row i of `a` and row i of `b` are a pair. For the outcome `solved`, the effect is the share of
    runs in `a` that solve the task, minus this share in `b`, with Newcombe's interval and McNemar's
    p-value. For `sooner`, it is the share of pairs in which the run in `a` solves the task sooner,
    minus the share in which it solves it later, with Newcombe's interval and the p-value of the
    paired Prentice-Wilcoxon test. Times are censored at the smaller of the two budgets.
    """
    horizon = min(a["max_updates"].min(), b["max_updates"].min())
    samples = []
    for times, solved in map(censored_times, (a, b)):
        samples += [np.minimum(times, horizon), solved & (times <= horizon)]
    if outcome == "solved":
        return stats.paired_share_difference(samples[1], samples[3])
    return replace(stats.paired_order(*samples), p=stats.paired_prentice_wilcoxon(*samples)[1])


def contrasts(
    rows: pd.DataFrame,
    setting: str,
    values: Sequence[str],
    within: Sequence[str] = (),
    tuning: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Compare two values of a setting, for every combination of the settings in `within`.

    `values` holds the two values a and b, as texts (see `setting_text`). `tuning` holds tuning
    runs, which show whether different learning rates were tuned with equal effort. If it is None,
    any rates are compared. The table has one row per combination and outcome, with these columns:
    the settings in `within`, a, b, outcome, n (the number of pairs), difference (see `effect`), its
    ends low and high, p, and p_holm, which is p after Holm's correction over the table.

    Only runs that finished training count. A combination without pairs has no row. Raises
    `BadInput` if runs differ in more than they may, if rates were not tuned fairly, or if there are
    no pairs.
    """
    found, reasons = [], dict[str, None]()
    for names, group in _combinations(conclusive(rows), within):
        a, b = (_with(group, {setting: value}).set_index("seed", drop=False) for value in values)
        seeds = a.index.intersection(b.index).sort_values()
        if seeds.empty:
            continue
        _refuse_other_differences(a, b, setting, values)
        a, b = a.loc[seeds], b.loc[seeds]
        if tuning is not None and setting != "lr" and a["lr"].iloc[0] != b["lr"].iloc[0]:
            varied = _varying(tuning, within)
            alike = _with(tuning, {name: setting_text(names[name]) for name in varied})
            reasons |= dict.fromkeys(unfair(alike, pd.concat([a, b])))
        for outcome in OUTCOMES:
            of = effect(a, b, outcome)
            estimate = {"difference": of.value, "low": of.low, "high": of.high, "p": of.p}
            pair = {"a": values[0], "b": values[1], "outcome": outcome, "n": of.n}
            found.append(names | pair | estimate)
    place = f"{setting}={','.join(values)}"
    if reasons:
        raise BadInput(Problem(place, f"{why} (--untuned compares them anyway)") for why in reasons)
    if not found:
        raise BadInput.at(place, "no two runs that finished training form a pair of equal seeds")
    table = pd.DataFrame(found)
    return table.assign(p_holm=stats.holm(table["p"].to_numpy()))


def tuning_runs(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the runs that finished training in blocks with names that begin with `TUNING`.

    `rows` has one row per run and block (see `by_block`).
    """
    rows = conclusive(rows[rows["block"].str.startswith(TUNING)])
    return rows.drop_duplicates("run_id")


def _combinations(
    rows: pd.DataFrame, within: Sequence[str]
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Yield each combination of the settings in `within`, and the runs that have it."""
    if not within:
        yield {}, rows
        return
    for values, group in rows.groupby(list(within), dropna=False):
        yield dict(zip(within, values, strict=True)), group


def _with(rows: pd.DataFrame, values: dict[str, str]) -> pd.DataFrame:
    """Return the runs in which each setting has the given value, a text from `setting_text`."""
    for name, value in values.items():
        rows = rows[rows[name].map(setting_text) == value]
    return rows


def _varying(rows: pd.DataFrame, names: Iterable[str]) -> list[str]:
    """Return those of the named settings that do not have the same value in all rows."""
    return [name for name in names if len(rows[name].drop_duplicates()) > 1]


def _refuse_other_differences(
    a: pd.DataFrame, b: pd.DataFrame, setting: str, values: Sequence[str]
) -> None:
    """Raise `BadInput` if runs differ in settings in which neither a sample nor a pair may."""
    sides = [f"{setting}={value}" for value in values]
    for runs, side in zip((a, b), sides, strict=True):
        if varied := _varying(runs, [name for name in settings_in(a) if name != "seed"]):
            advice = "name these in --within, or pick runs with --block or --where"
            raise BadInput.at(side, f"runs differ in {', '.join(varied)}; {advice}")
    may_differ = {setting, *DEPENDENT.get(setting, ()), "lr", "engine", "seed"}
    may_differ |= {name for name in own_names(a) if name.startswith(f"{setting}.")}
    names = settings_in(a)
    first, second = (runs.iloc[0].map(setting_text) for runs in (a[names], b[names]))
    differing = [name for name in names if first[name] != second[name]]
    if differing := [name for name in differing if name not in may_differ]:
        message = f"runs differ in {', '.join(differing)} too, so they cannot be paired"
        raise BadInput.at(" and ".join(sides), message)
