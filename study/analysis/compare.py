"""Compare two result sets cell by cell: `python -m study.compare results/a results/b`.

Runs whose results are the same to the last bit are recognised and need no statistics. Every other cell is
tested for each of OUTCOMES, on shared seeds as pairs; what is called changed has a p-value below LEVEL after Holm's
correction over all tests made, so that of two sets with equal distributions anything is called changed in at
most 5 % of comparisons.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from study.analysis.comparison import OUTCOMES, Cell, Difference, differing_settings, judge, match
from study.command import run_command
from study.errors import BadInput, Problem, command
from study.grid import CONCLUSIVE, Results, StoreWarning, aligned, atomic_write, load, seed
from study.runs import CURVES, RESULTS

DONE, CHANGED = 0, 1  # and 2 for bad input
LEVEL = 0.05


# --- reading --------------------------------------------------------------------------------------


def read(path: str) -> tuple[pd.DataFrame, str]:
    """The rows of one set, with a fingerprint `bits` of each one's results, and its condition in words."""
    found = Results(path).condition()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreWarning)  # the condition says it
        frame = load(path)
    if frame.empty:
        raise BadInput([Problem(path, f"has no runs to compare: {found}")])
    frame["bits"] = _bits(frame)
    return frame.drop(columns=list(CURVES)), found


def _bits(frame: pd.DataFrame) -> list[int]:
    """A hash of each row's results; weights are left out, since a set keeps them or not, and timings differ."""
    names = [name for name in RESULTS if name not in ("weights", "reason")]
    columns = [
        [_bytes(value) for value in frame[name]] if name in CURVES else _texts(frame[name])
        for name in names
    ]
    return [hash(row) for row in zip(*columns, strict=True)]


def _texts(column: pd.Series) -> list[str]:
    """Values as text; whole numbers as floats, which pandas makes of them where a failed run has none."""
    numeric = pd.api.types.is_numeric_dtype(column)
    return list(map(repr, (column.astype(float) if numeric else column).tolist()))


def _bytes(values: np.ndarray | None) -> bytes | None:
    return None if values is None else np.asarray(values).tobytes()


# --- the report -----------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    options = _parse(arguments)
    return command(lambda: _compare(options))


def _compare(options: argparse.Namespace) -> int:
    (a, condition_a), (b, condition_b) = read(options.a), read(options.b)
    differences = differing_settings(a, b, options.across)
    crossed = list(
        dict.fromkeys([*options.across, *(found.name for found in differences if found.is_crossed)])
    )
    cells, usual = match(a, b, crossed)
    table = judge(cells, np.random.default_rng(options.seed))
    print(f"A  {options.a}: {condition_a}\nB  {options.b}: {condition_b}\n")
    print(_settings_text(differences))
    print(f"cells are named by what differs from: {usual}\n" if usual else "")
    print("\n".join(_runs_lines(cells)) + "\n")
    print("\n".join(_cells_lines(cells, table)))
    if options.out:
        atomic_write(Path(options.out), table.to_csv(index=False, lineterminator="\n").encode())
    uneven = any(len(rows) != len(cell.shared) for cell in cells for rows in cell.done)
    changed = bool(differences) or uneven or bool((table["p_holm"] < LEVEL).any())
    return CHANGED if options.strict and changed else DONE


def _settings_text(differences: Sequence[Difference]) -> str:
    if not differences:
        return "settings: the same values on both sides, defaults included"
    lines = ["settings that differ, defaults included:"]
    for found in differences:
        sides = (("A", found.only_a), ("B", found.only_b))
        values = "; ".join(f"only {side}: {_few(values)}" for side, values in sides if values)
        lines.append(
            f"  {found.name}: {values}{' (cells are matched across it)' * found.is_crossed}"
        )
    return "\n".join(lines)


def _counted(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"


def _few(values: Sequence[str], most: int = 8) -> str:
    return ", ".join(values[:most]) + (
        f" and {len(values) - most} more" if len(values) > most else ""
    )


# --- runs -----------------------------------------------------------------------------------------


def _runs_lines(cells: Sequence[Cell]) -> list[str]:
    """How many runs both sides have, and what is missing or did not come to its end on one, cell by cell."""
    shared, same = sum(len(cell.shared) for cell in cells), sum(cell.same for cell in cells)
    lines = [
        f"runs: {shared:,} trained to their end on both sides, {same:,} of them the same to the last bit"
    ]
    uneven = [cell for cell in cells if not len(cell.a) == len(cell.b) == len(cell.shared)]
    neither = sum(
        len(_unfinished(cell.a).index.intersection(_unfinished(cell.b).index)) for cell in uneven
    )
    if neither:
        lines.append(f"  failed or skipped on both sides: {_counted(neither, 'run')}")
    for side, ours, theirs in (("A", "a", "b"), ("B", "b", "a")):
        pairs = [(cell.label, getattr(cell, ours), getattr(cell, theirs)) for cell in uneven]
        lines += _missing_lines(side, pairs)
        lines += _unfinished_lines(side, pairs)
    return lines


def _unfinished(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[~rows["status"].isin(CONCLUSIVE)]


def _missing_lines(side: str, pairs: Sequence[tuple[str, pd.DataFrame, pd.DataFrame]]) -> list[str]:
    """Cells of which one side lacks runs that the other has."""
    counts = [
        (label, len(theirs.index.difference(ours.index)), len(theirs))
        for label, ours, theirs in pairs
    ]
    return _listed(
        f"missing in {side}", [(f"{label}: {n} of {size}", n) for label, n, size in counts if n]
    )


def _unfinished_lines(
    side: str, pairs: Sequence[tuple[str, pd.DataFrame, pd.DataFrame]]
) -> list[str]:
    """Cells with runs that failed or were skipped on one side and came to their end on the other."""
    lines = []
    for status in ("failed", "skipped"):
        entries = []
        for label, ours, theirs in pairs:
            done_there = ours.index.isin(theirs.index[theirs["status"].isin(CONCLUSIVE)])
            rows = ours[(ours["status"] == status) & done_there].sort_index()
            if len(rows):
                reason = (str(rows["reason"].iloc[0]).strip().splitlines() or [""])[-1]
                seeds = _few([str(seed) for seed in rows.index], 4)
                entries.append((f"{label}: seed {seeds}: {reason}", len(rows)))
        lines += _listed(f"{status} in {side} only", entries)
    return lines


def _listed(title: str, entries: Sequence[tuple[str, int]], most: int = 12) -> list[str]:
    if not entries:
        return []
    lines = [f"  {title}: {_counted(sum(n for _, n in entries), 'run')}"]
    lines += [f"    {text}" for text, _ in entries[:most]]
    return lines + ([f"    and {len(entries) - most} more cells"] if len(entries) > most else [])


# --- cells ----------------------------------------------------------------------------------------


def _cells_lines(cells: Sequence[Cell], table: pd.DataFrame) -> list[str]:
    """How many cells are the same, differ within chance, or changed; the changed ones as a table."""
    both = sum(1 for cell in cells if all(len(rows) for rows in cell.done))
    tested, changed = len(table["cell"].unique()), table[table["p_holm"] < LEVEL]
    count = len(changed["cell"].unique())
    lines = [
        f"cells: {both} on both sides: {both - tested} the same to the last bit, "
        f"{tested - count} different within chance, {count} changed"
    ]
    if tested:
        tests = f"{len(table)} tests ({len(OUTCOMES)} outcomes of {_counted(tested, 'cell')})"
        lines.append(
            f"  changed: p below {LEVEL:g} after Holm's correction over {tests}; intervals are 95 % each"
        )
    return [*lines, "", _as_text(changed)] if count else lines


def _as_text(changed: pd.DataFrame) -> str:
    shown = changed.sort_values("p_holm", kind="stable")
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
        for row in shown.itertuples()
    ]
    return aligned(pd.DataFrame(rows))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m study.compare",
        description="Compare two result sets cell by cell: what changed beyond chance, what is missing or failed on "
        "either side, which settings differ. Cells are runs with the same settings but for the seed.",
        epilog="examples:\n  python -m study.compare results/main results/mine --strict\n"
        "  python -m study.compare results/cpu results/gpu --across device --across engine\n\n"
        "exit codes: 0 done; 1 with --strict where something changed: a cell beyond chance (Holm's correction over "
        "all tests,\n5 %), a setting, or a run trained to its end on one side only; 2 bad input. Other bits within "
        "chance are no change.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("a", metavar="A", help="a results folder, such as results/main")
    parser.add_argument("b", metavar="B", help="another")
    parser.add_argument("--strict", action="store_true", help="exit with 1 where something changed")
    parser.add_argument(
        "--across", action="append", default=[], metavar="SETTING", help="match cells across this"
    )
    parser.add_argument(
        "--seed", type=seed, default=0, help="of the bootstrap intervals (default: 0)"
    )
    parser.add_argument("--out", metavar="FILE", help="write every test made as CSV")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(run_command(main))
