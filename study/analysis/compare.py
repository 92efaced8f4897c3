"""Compare two sets of results cell by cell: `study compare results/main results/mine`.

A cell is all runs with the same settings but for the seed. A setting with one value in A and
another in B, such as a default that changed, does not keep cells apart: they are matched across it.
Runs whose results are the same to the last bit need no statistics. Every other cell is tested for
each outcome, in pairs on shared seeds. It has changed where a p-value is below LEVEL after Holm's
correction over all tests made, so two sets with equal distributions show any change in at most 5 %
of comparisons.
"""

import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import scipy

from study import stats
from study.command import DONE, NOT_ALL_WELL, Names, Seed, command, run
from study.errors import BadInput, Problem, unknown
from study.grid import (
    CONCLUSIVE,
    FOLLOWING,
    Results,
    StoreWarning,
    aligned,
    atomic_write,
    censored_times,
    load,
)
from study.runs import CURVES, RESULTS, SETTINGS

LEVEL = 0.05  # of p-values after Holm's correction
KEY = [name for name in SETTINGS if name != "seed"]
ONE_SIDED = "missing|failed only"  # kinds of runs that one side alone has

# --- reading --------------------------------------------------------------------------------------


def read(path: Path) -> tuple[pd.DataFrame, str]:
    """The rows of one set, with `bits`, a hash of their results, and its condition in words."""
    said = Results(path).condition()
    with warnings.catch_warnings(action="ignore", category=StoreWarning):  # `said` says it
        frame = load(path)
    if frame.empty:
        raise BadInput([Problem(str(path), f"has no runs to compare: {said}")])
    return frame.assign(bits=bits_of(frame)).drop(columns=list(CURVES)), said


def bits_of(frame: pd.DataFrame) -> list[int]:
    """A hash of each row's results; weights are left out, since a set may keep them or not."""
    names = [name for name in RESULTS if name not in ("status", "reason", "weights", *CURVES)]
    numbers = map(_bytes, frame[names].astype(float).to_numpy())
    curves = (frame[name].map(_bytes) for name in CURVES if name in RESULTS)
    return list(map(hash, zip(frame["status"], numbers, *curves, strict=True)))


def _bytes(values: np.ndarray | None) -> bytes | None:
    """The bytes of numbers, every NaN alike."""
    if values is None:
        return None
    values = np.asarray(values, float)
    return np.where(np.isnan(values), np.nan, values).tobytes()


# --- matching -------------------------------------------------------------------------------------


def differing_settings(
    a: pd.DataFrame, b: pd.DataFrame
) -> dict[str, tuple[list[str], list[str], bool]]:
    """By setting: values only in A, values only in B, and whether each set has just one."""
    found = {}
    for name in KEY:
        x, y = (set(_text(rows[name].drop_duplicates())) for rows in (a, b))
        if x != y:
            found[name] = (sorted(x - y), sorted(y - x), len(x) == len(y) == 1)
    return found


def _text(values: pd.Series) -> pd.Series:
    """Values as text, none as a dash; a whole number alike among integers and among floats."""
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        return values.astype(float).map("{:.12g}".format).replace("nan", "-")
    return values.astype(object).where(values.notna(), "-").astype(str)


def match(
    a: pd.DataFrame, b: pd.DataFrame, crossed: Sequence[str] = ()
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """The rows of A and of B by cell and seed, and the values that the labels of cells leave out.

    A label has the cell and every setting that is not as in most runs. Cells are in order of their
    settings. `BadInput` where a cell has a seed twice.
    """
    key = [name for name in KEY if name not in crossed]
    settings = pd.concat([a[key], b[key]], keys=["A", "B"]).apply(_text)
    distinct = settings.drop_duplicates().sort_values(key)
    labels, usual = _labels(distinct, settings.mode().iloc[0])
    named = pd.Series(labels, pd.MultiIndex.from_frame(distinct))
    found = []
    for side, rows in (("A", a), ("B", b)):
        cells = named.loc[pd.MultiIndex.from_frame(settings.loc[[side]])].to_numpy()
        held = rows.assign(cell_label=pd.Categorical(cells, categories=labels))
        twice = held.loc[held.duplicated(["cell_label", "seed"]), "cell_label"]
        if len(twice):
            how = f"matched across {', '.join(crossed)}, " if crossed else ""
            message = f"{how}{side} has a seed more than once in {twice.iloc[0]}"
            raise BadInput([Problem("cells", message)])
        found.append(held.set_index(["cell_label", "seed"]).sort_index())
    return found[0], found[1], usual


def _labels(distinct: pd.DataFrame, common: pd.Series) -> tuple[list[str], str]:
    """A short label per combination of settings, and the common values that labels leave out."""

    def combinations(names: list[str]) -> int:
        return len(set(map(tuple, distinct[names].to_numpy())))

    key = sorted(map(str, distinct), key=lambda name: name != "cell")
    names = [name for name in key if name not in FOLLOWING and combinations([name]) > 1]
    for name in FOLLOWING:  # only where it tells apart cells that would have one label without it
        if name in distinct and combinations([*names, name]) > combinations(names):
            names.append(name)
    labels = []
    for row in distinct.to_dict("records"):
        shown = [name for name in names if name == "cell" or row[name] != common[name]]
        labels.append(" ".join(f"{name}={row[name]}" for name in shown) or "the usual settings")
    left_out = (name for name in names if name != "cell" and common[name] != "-")
    return labels, " ".join(f"{name}={common[name]}" for name in left_out)


def kinds(a: pd.DataFrame, b: pd.DataFrame, names: Sequence[str] = "AB") -> pd.DataFrame:
    """The rows of either set by cell and seed, with `kind`; `a` and `b` are from `match`.

    The kind is `same` or `different` for runs trained to their end on both sides. A run is
    `unavailable` if it was skipped, or is missing where its device may not be: no difference.
    """
    both = a.combine_first(b)
    status = pd.DataFrame({name: rows["status"] for name, rows in zip(names, (a, b), strict=True)})
    missing, failed = status.isna(), status == "failed"
    choices = {
        "unavailable": (status == "skipped").any(axis=1)
        | missing.any(axis=1) & (both["device"] != "cpu"),
        "failed on both sides": failed.all(axis=1),
    }
    choices |= {f"missing in {name}": missing[name] for name in names}
    choices |= {f"failed only in {name}": failed[name] for name in names}
    choices["same"] = a["bits"].reindex(both.index) == b["bits"].reindex(both.index)
    return both.assign(kind=np.select(list(choices.values()), list(choices), "different"))


# --- judging --------------------------------------------------------------------------------------


def judge(a: pd.DataFrame, b: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """One row per outcome of each cell whose bits differ: A, B, B - A, interval, p, Holm's p.

    `a` and `b` are from `match`. Seeds are paired where at least half of the smaller side has them
    on both sides; otherwise all runs of both are compared.
    """
    made = []
    sides = [rows[rows["status"].isin(CONCLUSIVE)] for rows in (a, b)]
    groups = [dict(list(rows.groupby(level=0, observed=True))) for rows in sides]
    for cell in filter(groups[1].__contains__, groups[0]):
        first, second = (group[cell].droplevel(0) for group in groups)
        if first["bits"].equals(second["bits"]):
            continue
        shared = first.index.intersection(second.index)
        paired = 2 * len(shared) >= min(len(first), len(second))
        if paired:
            first, second = first.loc[shared], second.loc[shared]
        head = {"cell": cell, "n_a": len(first), "n_b": len(second), "paired": paired}
        for outcome, x, y, found, p in _outcomes(first, second, paired, rng):
            values = {"outcome": outcome, "a": float(x), "b": float(y), "difference": found.value}
            made.append(head | values | {"low": found.low, "high": found.high, "p": p})
    names = ["cell", "outcome", "n_a", "n_b", "paired", "a", "b", "difference", "low", "high", "p"]
    table = pd.DataFrame(made, columns=names)
    return table.assign(p_holm=stats.holm(table["p"].to_numpy(float)))


def _outcomes(
    a: pd.DataFrame, b: pd.DataFrame, paired: bool, rng: np.random.Generator
) -> Iterator[tuple[str, float, float, stats.Estimate, float]]:
    """Each outcome: its name, its value in A and in B, B minus A, and the p-value of no difference.

    Runs are followed up to the shorter budget. Tests of pairs, or else of two samples: McNemar or
    Fisher of shares; Prentice-Wilcoxon or log-rank of times; Prentice-Wilcoxon or Mann-Whitney of
    the shares of exact sequences at ten test lengths, which count as 0 for diverged runs.
    """
    horizon = float(min(a["max_updates"].min(), b["max_updates"].min()))
    x, y = (
        (np.minimum(times, horizon), solved & (times <= horizon))
        for times, solved in map(censored_times, (a, b))
    )
    share = (stats.paired_share_difference if paired else stats.share_difference)(y[1], x[1])
    yield "share solved", x[1].mean(), y[1].mean(), share, share.p

    means = [float(stats.restricted_means(*sample, horizon)) for sample in (x, y)]
    updates = stats.rmst_difference(y, x, horizon, rng, paired=paired)
    p = stats.paired_prentice_wilcoxon(*y, *x)[1] if paired else stats.logrank(y, x)
    yield "updates", means[0], means[1], updates, p

    u, v = (rows["long_exact"].fillna(0.0).to_numpy(float) for rows in (a, b))
    if paired:
        exact = stats.bootstrap(lambda i: (v[i] - u[i]).mean(-1), [len(u)], rng)
        p = stats.paired_prentice_wilcoxon(u, np.ones(len(u), bool), v, np.ones(len(v), bool))[1]
    else:
        exact = stats.bootstrap(lambda i, j: v[i].mean(-1) - u[j].mean(-1), [len(v), len(u)], rng)
        p = float(scipy.stats.mannwhitneyu(u, v).pvalue)
    yield "exact at 10 T", u.mean(), v.mean(), exact, p


# --- the report -----------------------------------------------------------------------------------


def headline(runs: pd.DataFrame) -> str:
    """How many runs are the same to the last bit, and why others may not be; from `kinds`."""
    counts = runs["kind"].value_counts()
    said = [f"{counts.get('same', 0):,} of {len(runs):,} runs are the same to the last bit"]
    different, unavailable = (runs[runs["kind"] == kind] for kind in ("different", "unavailable"))
    engines = [f"{n:,} of {engine}" for engine, n in different["engine"].value_counts().items()]
    why = f" ({', '.join(engines)}; torch's runs may differ in the last bits on another processor)"
    said.append(f"{len(different):,} differ{why if engines else ''}")
    said += [
        f"{n:,} {kind}"
        for kind, n in counts.drop(["same", "different", "unavailable"], errors="ignore").items()
    ]
    if len(unavailable):
        devices = ", ".join(sorted(unavailable["device"].unique()))
        skipped = f"{len(unavailable):,} were skipped for want of a device ({devices})"
        said.append(f"{skipped}, which is no difference")
    return "; ".join(said)


def _runs_lines(runs: pd.DataFrame, most: int = 12) -> list[str]:
    """The runs that are missing, or failed, on one side only: by cell."""
    lines = []
    for kind, rows in runs[runs["kind"].str.match(ONE_SIDED)].groupby("kind"):
        cells = list(rows.groupby(level=0, observed=True))
        for cell, members in cells[:most]:
            seeds = ", ".join(map(str, members.index.get_level_values(1)[:8]))
            reason = str(members["reason"].iloc[0]).strip().rpartition("\n")[2]
            why = f": {reason}" if str(kind).startswith("failed") else ""
            lines.append(f"{kind}: {len(members)} runs of {cell}, such as seed {seeds}{why}")
        lines += [f"{kind}: {len(cells) - most} more cells"] if len(cells) > most else []
    return lines


def _few(values: Sequence[str], most: int = 8) -> str:
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return (", ".join(values[:most]) or "none") + more


def _cells_lines(a: pd.DataFrame, b: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """Cells the same, different within chance, and changed; the changed ones as a table."""
    both = len(set(a.index.get_level_values(0)) & set(b.index.get_level_values(0)))
    tested, changed = table["cell"].nunique(), table[table["p_holm"] < LEVEL]
    count = changed["cell"].nunique()
    lines = [
        f"cells: {both:,} on both sides: {both - tested:,} the same to the last bit, "
        f"{tested - count:,} different within chance, {count:,} changed"
    ]
    if tested:
        lines.append(
            f"  changed: p below {LEVEL:g} after Holm's correction over {len(table):,} tests; "
            "intervals are 95 % each"
        )
    return [*lines, "", _changed_text(changed)] if count else lines


def _changed_text(changed: pd.DataFrame) -> str:
    rows = [
        {
            "cell": row.cell,
            "outcome": row.outcome,
            "n": f"{row.n_a} pairs" if row.paired else f"{row.n_a} and {row.n_b}",
            "A": f"{row.a:.4g}",
            "B": f"{row.b:.4g}",
            "B - A [95 %]": f"{row.difference:+.4g} [{row.low:+.4g}, {row.high:+.4g}]",
            "p (Holm)": f"{row.p_holm:.2g}",
        }
        for row in changed.sort_values("p_holm", kind="stable").itertuples()
    ]
    return aligned(pd.DataFrame(rows))


app = command(
    "compare",
    "study compare results/main results/mine --strict\n"
    "study compare results/cpu results/gpu --across device --across engine",
)


@app.default
def compare(
    a: Path,
    b: Path,
    /,
    *,
    brief: bool = False,
    strict: bool = False,
    across: Names = (),
    seed: Seed = 0,
    out: Path | None = None,
) -> int:
    """Say what differs between two sets of results: which runs are the same, and what changed.

    Exit codes: 0 done; 1 with --strict where a cell changed beyond chance, settings differ, or a
    run is on one side only; 2 bad input. Runs skipped for want of their device are no change.

    Parameters
    ----------
    a
        A results folder, such as results/main.
    b
        Another.
    brief
        Print only the first line: how many runs are the same to the last bit.
    strict
        Exit with 1 where something changed.
    across
        Match cells across this setting; repeatable.
    seed
        Seed of the bootstrap intervals.
    out
        Write every test made to this CSV file.
    """
    for name in across:
        if name not in KEY:
            raise BadInput([Problem(f"--across {name}", unknown("setting", name, KEY))])
    (rows_a, condition_a), (rows_b, condition_b) = read(a), read(b)
    differing = differing_settings(rows_a, rows_b)
    crossed = [*across, *(name for name, (*_, single) in differing.items() if single)]
    rows_a, rows_b, usual = match(rows_a, rows_b, list(dict.fromkeys(crossed)))
    runs = kinds(rows_a, rows_b, (str(a), str(b)))
    print(f"{b} against {a}: {headline(runs)}.")
    if brief and not strict and not out:
        return DONE
    table = judge(rows_a, rows_b, np.random.default_rng(seed))
    if not brief:
        print(f"\nA  {a}: {condition_a}\nB  {b}: {condition_b}\n")
        print("settings that differ, defaults included:" if differing else "settings: the same")
        for name, (only_a, only_b, single) in differing.items():
            across_it = " (cells are matched across it)" if single else ""
            print(f"  {name}: only A: {_few(only_a)}; only B: {_few(only_b)}{across_it}")
        print(f"cells are named by what differs from: {usual}\n" if usual else "")
        print("\n".join([*_runs_lines(runs), *_cells_lines(rows_a, rows_b, table)]))
    if out:
        atomic_write(out, table.to_csv(index=False, lineterminator="\n").encode())
    one_sided = runs["kind"].str.match(ONE_SIDED).any()
    changed = bool(differing) or one_sided or (table["p_holm"] < LEVEL).any()
    return NOT_ALL_WELL if strict and changed else DONE


if __name__ == "__main__":
    sys.exit(run(app))
