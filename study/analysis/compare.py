"""Compare two sets of results, A and B.

An example is `study compare results/main results/mine`. A group is all runs of a set that have the
same settings apart from the seed. Each group of A is matched with the group of B that has the same
settings. A setting is ignored in this matching if it has one value in all of A and another value in
all of B. This happens, for example, if a default changed.

Two groups with results that are the same to the last bit need no statistics. In every other pair of
groups, three outcomes are tested: the share solved, the convergence time, and the results on long
sequences. Runs are paired by seed if the two groups share enough seeds. A group has *changed* if
the p-value of one of its tests is below LEVEL after Holm's correction over all tests. So if A and B
come from equal distributions, a comparison reports a change with a probability of at most 5 %.
"""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import scipy

from study import stats
from study.command import NOT_ALL_WELL, Names, Seed, command
from study.errors import BadInput, echo, unknown
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
from study.model import own_names
from study.runs import CURVES, RESULTS, settings_in

LEVEL = 0.05  # corrected p-values below it count as changes
ONE_SIDED = "missing|failed only"  # kinds of runs that have finished training in only one set

# --- reading --------------------------------------------------------------------------------------


def read(path: Path) -> tuple[pd.DataFrame, str]:
    """Return the rows of one set of results, and a sentence on how complete the set is.

    `path` is the results folder. There is one row per run, without the run's learning curves. The
    column `bits` has a hash of each run's results, and `curve_bits` one of its learning curve.
    Raises `BadInput` if the set has no runs.
    """
    condition = Results(path).condition()
    with warnings.catch_warnings(action="ignore", category=StoreWarning):  # `condition` says it too
        frame = load(path)
    if frame.empty:
        raise BadInput.at(str(path), f"has no runs to compare: {condition}")
    frame = frame.assign(bits=bits_of(frame), curve_bits=curve_bits_of(frame))
    return frame.drop(columns=list(CURVES)), condition


def bits_of(frame: pd.DataFrame) -> list[int]:
    """Return one hash per row of `frame`, so that runs can be compared bit by bit.

    Two rows have equal hashes if their results are the same to the last bit. Weights and curves are
    left out of the hash, because not every set stores them.
    """
    names = [name for name in RESULTS if name not in ("status", "reason", "weights", *CURVES)]
    numbers = map(_bytes, frame[names].astype(float).to_numpy())
    return list(map(hash, zip(frame["status"], numbers, strict=True)))


def curve_bits_of(frame: pd.DataFrame) -> pd.Series:
    """Return one hash per row of `frame` for its learning curve, or 0 if the curve is missing."""
    has_curve = frame["curve_update"].notna()
    curves = (frame.loc[has_curve, name].map(_bytes) for name in CURVES)
    hashes = pd.Series(list(map(hash, zip(*curves, strict=True))), frame.index[has_curve], "int64")
    return hashes.reindex(frame.index, fill_value=0)


def _bytes(values: np.ndarray) -> bytes:
    """Return the bytes of an array of numbers, with every NaN written as the same bytes."""
    return np.where(np.isnan(values), np.nan, values).astype(float).tobytes()


# --- matching -------------------------------------------------------------------------------------


def _key(rows: pd.DataFrame) -> list[str]:
    """Return the names of all settings but the seed."""
    return [name for name in settings_in(rows) if name != "seed"]


def differing_settings(
    a: pd.DataFrame, b: pd.DataFrame
) -> dict[str, tuple[list[str], list[str], bool]]:
    """Return the settings that do not take the same set of values in A and in B.

    The result maps the name of each such setting to three things: the values that occur only in A,
    the values that occur only in B, and whether the setting has a single value in A and a single
    value in B.
    """
    differing = {}
    for name in _key(a):
        x, y = (set(_text(rows[name].drop_duplicates())) for rows in (a, b))
        if x != y:
            differing[name] = (sorted(x - y), sorted(y - x), len(x) == len(y) == 1)
    return differing


def _text(values: pd.Series) -> pd.Series:
    """Return values as text.

    A missing value becomes a dash, and the numbers 1 and 1.0 become the same text.
    """
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        return values.astype(float).map("{:.12g}".format).replace("nan", "-")
    return values.astype(object).where(values.notna(), "-").astype(str)


def match(
    a: pd.DataFrame, b: pd.DataFrame, crossed: Sequence[str] = ()
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Match the groups of A and B by labelling their runs.

    A group is all runs with the same settings apart from the seed. The settings in `crossed` are
    ignored. Returns the rows of A, the rows of B, and a text that lists the most common settings.
    The rows are indexed by the label of the group and by the seed. A label names the group's cell,
    and every other setting that does not have its most common value. Labels are sorted by the
    groups' settings. Raises `BadInput` if A or B has two runs with the same seed in one group.
    """
    key = [name for name in _key(a) if name not in crossed]
    settings = pd.concat([a[key], b[key]], keys=["A", "B"]).apply(_text)
    distinct = settings.drop_duplicates().sort_values(key)
    labels, usual = _labels(distinct, settings.mode().iloc[0])
    named = pd.Series(labels, pd.MultiIndex.from_frame(distinct))
    sides = []
    for side, rows in (("A", a), ("B", b)):
        cells = named.loc[pd.MultiIndex.from_frame(settings.loc[[side]])].to_numpy()
        labelled = rows.assign(cell_label=pd.Categorical(cells, categories=labels))
        twice = labelled.loc[labelled.duplicated(["cell_label", "seed"]), "cell_label"]
        if len(twice):
            how = f"if {', '.join(crossed)} is ignored, " if crossed else ""
            message = f"{how}{side} has two runs with the same seed in the group {twice.iloc[0]}"
            raise BadInput.at("groups", message)
        sides.append(labelled.set_index(["cell_label", "seed"]).sort_index())
    return sides[0], sides[1], usual


def _labels(distinct: pd.DataFrame, common: pd.Series) -> tuple[list[str], str]:
    """Return a label for each group of runs, and a text with the settings that labels leave out.

    Each row of `distinct` has the settings of a group. `common` has the most common value of each
    setting. A label names the cell, and every other setting that does not have its most common
    value. The text lists the most common values of the settings that can occur in labels.
    """

    def combinations(names: list[str]) -> int:
        return len(set(map(tuple, distinct[names].to_numpy())))

    key = sorted(map(str, distinct), key=lambda name: name != "cell")
    names = [name for name in key if name not in FOLLOWING and combinations([name]) > 1]
    for name in FOLLOWING:  # only if groups would otherwise share a label
        if name in distinct and combinations([*names, name]) > combinations(names):
            names.append(name)
    labels = []
    for row in distinct.to_dict("records"):
        naming = [name for name in names if name == "cell" or row[name] != common[name]]
        labels.append(" ".join(f"{name}={row[name]}" for name in naming) or "most common settings")
    left_out = (name for name in names if name != "cell" and common[name] != "-")
    return labels, " ".join(f"{name}={common[name]}" for name in left_out)


def kinds(a: pd.DataFrame, b: pd.DataFrame, names: Sequence[str] = "AB") -> pd.DataFrame:
    """Say for each run whether both sets have it, and whether its results are the same in both.

    `a` and `b` come from `match`, and `names` are the names of the two sets, here A and B. Returns
    one row per run in A or B, indexed by group and seed. The column `kind` has one of these values:

    - `same`: the run finished training in both sets, with the same results to the last bit;
    - `different`: the run finished training in both sets, with results that are not the same;
    - `unavailable`: a set skipped the run, or the run needs a device other than the CPU and a set
      lacks the run. This does not count as a difference;
    - `missing in A`, or `missing in B`: the named set lacks the run;
    - `failed only in A`, or `failed only in B`: the run failed in the named set;
    - `failed on both sides`: the run failed in both sets.

    If A and B trained the run with different engines, the column `engine` names both. The column
    `curves_kept` says whether all sets that have the run stored its learning curve.
    """
    both, reverse = a.combine_first(b), b.combine_first(a)
    engines = both["engine"] + " and " + reverse["engine"]
    both["engine"] = both["engine"].where(both["engine"] == reverse["engine"], engines)
    status = pd.DataFrame({name: rows["status"] for name, rows in zip(names, (a, b), strict=True)})
    missing, failed = status.isna(), status == "failed"
    choices = {
        "unavailable": (status == "skipped").any(axis=1)
        | missing.any(axis=1) & (both["device"] != "cpu"),
        "failed on both sides": failed.all(axis=1),
    }
    choices |= {f"missing in {name}": missing[name] for name in names}
    choices |= {f"failed only in {name}": failed[name] for name in names}
    choices["same"] = _same(a.reindex(both.index), b.reindex(both.index))
    kept = (both["curve_bits"] != 0) & (reverse["curve_bits"] != 0)
    kind = np.select(list(choices.values()), list(choices), "different")
    return both.assign(kind=kind, curves_kept=kept)


def _same(a: pd.DataFrame, b: pd.DataFrame) -> pd.Series:
    """Say for each run whether its results are the same in `a` and `b`, which have the same index.

    Learning curves are compared only if both sets kept them.
    """
    x, y = a["curve_bits"], b["curve_bits"]
    return (a["bits"] == b["bits"]) & ((x == y) | (x == 0) | (y == 0))


# --- judging --------------------------------------------------------------------------------------


def judge(a: pd.DataFrame, b: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Test whether groups have changed between A and B, and return one row per test.

    `a` and `b` come from `match`. Groups with the same results in A and B are not tested. A row has
    an outcome's value in A and in B, the difference B - A with its 95 % interval, the p-value `p`,
    and `p_holm`, which is `p` after Holm's correction over the table.

    A group has runs in A and runs in B. Take the smaller of these two sets of runs. If at least
    half of its seeds occur in the other set too, runs are paired by seed, and only seeds that both
    have count. Otherwise all of the group's runs in A are compared with all of its runs in B.
    """
    tests = []
    sides = [rows[rows["status"].isin(CONCLUSIVE)] for rows in (a, b)]
    groups = [dict(list(rows.groupby(level=0, observed=True))) for rows in sides]
    for cell in filter(groups[1].__contains__, groups[0]):
        first, second = (group[cell].droplevel(0) for group in groups)
        if first.index.equals(second.index) and _same(first, second).all():
            continue
        shared = first.index.intersection(second.index)
        paired = 2 * len(shared) >= min(len(first), len(second))
        if paired:
            first, second = first.loc[shared], second.loc[shared]
        for outcome, x, y, gain, p in _outcomes(first, second, paired, rng):
            head = (cell, outcome, len(first), len(second), paired, float(x), float(y))
            tests.append((*head, gain.value, gain.low, gain.high, p))
    names = ["cell", "outcome", "n_a", "n_b", "paired", "a", "b", "difference", "low", "high", "p"]
    table = pd.DataFrame(tests, columns=names)
    return table.assign(p_holm=stats.holm(table["p"].to_numpy(float)))


def _outcomes(
    a: pd.DataFrame, b: pd.DataFrame, paired: bool, rng: np.random.Generator
) -> Iterator[tuple[str, float, float, stats.Estimate, float]]:
    """Compare the runs of one group, and yield a tuple for each of three outcomes.

    `a` and `b` are the group's runs in A and in B. If `paired` is true, row i of `a` and row i of
    `b` have the same seed. Each tuple has the outcome's name, its value in A, its value in B, the
    difference B - A, and the p-value. The outcomes are the share of runs that solved the task, the
    restricted mean convergence time in updates, and the share of long sequences (ten times the test
    length, 10 T) with every label right. A run that solved the task after the smaller budget of A
    and B counts as unsolved. In a run that diverged, no sequence counts as right.

    With paired runs, the share solved is tested by McNemar's test and the other two outcomes by the
    paired Prentice-Wilcoxon test. With unpaired runs, the share solved is tested by Fisher's exact
    test, the convergence time by the log-rank test, and the long sequences by the Mann-Whitney
    test.
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
    """Return sentences on how many runs are the same to the last bit, and how the others differ.

    `runs` comes from `kinds`.
    """
    counts = runs["kind"].value_counts()
    clauses = [_differing(runs.loc[runs["kind"] == "different", "engine"])]
    for kind, n in counts.drop(["same", "different", "unavailable"], errors="ignore").items():
        verb = "" if str(kind).startswith("failed") else "is " if n == 1 else "are "
        clauses.append(f"{n:,} {verb}{kind}")
    sentences = [
        f"{counts.get('same', 0):,} of {len(runs):,} runs are the same to the last bit.",
        f"{'; '.join(clauses)}.",
    ]
    if lacking := int(((runs["kind"] == "same") & ~runs["curves_kept"]).sum()):
        sentences.append(
            f"The learning curves of {lacking:,} of these were not compared, because at least one "
            "set did not keep them."
        )
    devices = sorted(runs.loc[runs["kind"] == "unavailable", "device"].unique())
    if devices:
        lacking = f"{' and '.join(devices)} {'was' if len(devices) == 1 else 'were'} not available"
        why = f"because {lacking} to at least one set; this does not count as a difference"
        sentences.append(f"{counts['unavailable']:,} could not be compared, {why}.")
    return " ".join(sentences)


def _differing(engines: pd.Series) -> str:
    """Return a clause on how many runs differ and which engines trained them.

    `engines` names the engine, or the two engines, of each run that differs.
    """
    counts = engines.value_counts().sort_index()  # torch is last, followed by the note on it
    trained = [f"{n:,} trained by {engine}" for engine, n in counts.items()]
    if not trained:
        return "None differ"
    text = f"{len(engines):,} differ{'s' * (len(engines) == 1)}"
    only = f", {'all ' * (len(engines) > 1)}trained by {counts.index[0]}"
    text += only if len(trained) == 1 else f": {' and '.join(trained)}"
    return text + " (the last bits of torch results depend on the processor)" * ("torch" in counts)


def _runs_lines(runs: pd.DataFrame, most: int = 12) -> list[str]:
    """Return lines that name the groups with runs that are missing, or failed, in only one set.

    There is one line per group and kind of run. `runs` comes from `kinds`. If there are more than
    `most` lines, the rest are left out, and a last line counts them.
    """
    lines = []
    one_sided = runs[runs["kind"].str.match(ONE_SIDED)]
    for (kind, cell), members in one_sided.groupby(["kind", "cell_label"], observed=True):
        seeds = ", ".join(map(str, members.index.get_level_values(1)[:8]))
        reason = str(members["reason"].iloc[0]).strip().rpartition("\n")[2]
        why = f": {reason}" if str(kind).startswith("failed") else ""
        lines.append(f"{kind}: {cell} (number of runs: {len(members)}; first seeds: {seeds}){why}")
    more = [f"missing or failed runs in {len(lines) - most} more groups"] * (len(lines) > most)
    return [*lines[:most], *more]


def _few(values: Sequence[str], most: int = 8) -> str:
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return (", ".join(values[:most]) or "none") + more


def _cells_lines(a: pd.DataFrame, b: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """Return lines that count the groups by verdict, followed by a table of the changed groups.

    `a` and `b` come from `match`, and `table` comes from `judge`. There are three verdicts: the
    same to the last bit, changed (a corrected p-value is below LEVEL), and different within chance.
    """
    both = len(set(a.index.get_level_values(0)) & set(b.index.get_level_values(0)))
    tested, changed = table["cell"].nunique(), table[table["p_holm"] < LEVEL]
    count = changed["cell"].nunique()
    lines = [
        f"groups in both sets: {both:,} ({both - tested:,} the same to the last bit, "
        f"{tested - count:,} different within chance, {count:,} changed)"
    ]
    if tested:
        correction = f"after Holm's correction over {len(table):,} tests"
        lines.append(f"  changed: p below {LEVEL:g} {correction}; each interval is a 95 % interval")
    return [*lines, "", _changed_text(changed)] if count else lines


def _changed_text(changed: pd.DataFrame) -> str:
    rows = [
        {
            "group": row.cell,
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
) -> int | None:
    """Show which runs are the same in two sets of results, and which groups of runs changed.

    A group is all runs with the same settings apart from the seed. Exit codes: 0 if the comparison
    is done; 1 with --strict if a group changed beyond chance, settings differ, or a run is missing
    or failed in one set only; 2 for bad input. A run that was skipped because its device was not
    available does not count as a change.

    Parameters
    ----------
    a
        A results folder, such as results/main.
    b
        Another results folder.
    brief
        Print only the first line, which says how many runs are the same to the last bit.
    strict
        Exit with code 1 if anything differs.
    across
        Ignore this setting when groups of runs are matched. May be given several times.
    seed
        Seed of the bootstrap intervals.
    out
        Write all tests to this CSV file.
    """
    (rows_a, condition_a), (rows_b, condition_b) = read(a), read(b)
    for name in own_names({*rows_a, *rows_b}):
        rows_a, rows_b = (rows.assign(**{name: rows.get(name)}) for rows in (rows_a, rows_b))
    for name in across:
        if name not in _key(rows_a):
            raise BadInput.at(f"--across {name}", unknown("setting", name, _key(rows_a)))
    differing = differing_settings(rows_a, rows_b)
    crossed = [*across, *(name for name, (*_, single) in differing.items() if single)]
    rows_a, rows_b, usual = match(rows_a, rows_b, list(dict.fromkeys(crossed)))
    runs = kinds(rows_a, rows_b, (str(a), str(b)))
    echo(headline(runs))
    if brief and not strict and not out:
        return None
    table = judge(rows_a, rows_b, np.random.default_rng(seed))
    if not brief:
        echo(f"\nA  {a}: {condition_a}\nB  {b}: {condition_b}\n")
        echo(
            "settings that differ (settings left at their defaults are compared too):"
            if differing
            else "settings: the same"
        )
        for name, (only_a, only_b, single) in differing.items():
            across_it = " (ignored when groups are matched)" if single else ""
            echo(f"  {name}: only A: {_few(only_a)}; only B: {_few(only_b)}{across_it}")
        common = "most common settings, not repeated in the names of the groups below"
        echo(f"{common}: {usual}\n" if usual else "")
        echo("\n".join([*_runs_lines(runs), *_cells_lines(rows_a, rows_b, table)]))
    if out:
        atomic_write(out, table.to_csv(index=False, lineterminator="\n").encode())
    one_sided = runs["kind"].str.match(ONE_SIDED).any()
    changed = bool(differing) or one_sided or (table["p_holm"] < LEVEL).any()
    return NOT_ALL_WELL if strict and changed else None
