"""The paper's tables: each a function from the results to a Markdown table with its caption."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pandas as pd

from study.claims.comparisons import compared
from study.figures.theme import CELL_NAMES, VARIANT_NAMES
from study.summary import as_text, summarise
from study.values import Runs, stored_table

SIZES = (1, 2, 4, 8, 16)
CELL_LABELS = CELL_NAMES | VARIANT_NAMES


def headline(results: Runs) -> str:
    """Share solved and median updates of the headline, by cell and optimizer."""
    lines = as_text(summarise(results.rows("headline"))).splitlines()
    head, *rows = [re.split(r" {2,}", line.strip()) for line in lines]
    caption = "Runs, share solved within the budget, median updates, and runs that diverged. Brackets: 95 % intervals."
    return _markdown(head, rows, caption)


def hypotheses(results: Runs) -> str:
    """Each hypothesis on the mechanism and the groups in which it held and failed."""
    judged = stored_table(results, "main/dynamics/verdicts").dropna(subset="verdict")
    rows = []
    for (number, claim), found in judged.groupby(["hypothesis", "claim"], sort=True):
        said = found.groupby("group", sort=False)["verdict"].agg(lambda verdicts: "failed" in set(verdicts))
        held, failed = ([_label(group) for group in said.index[said == outcome]] for outcome in (False, True))
        rows.append([str(number), str(claim), "; ".join(held) or "none", "; ".join(failed) or "none"])
    caption = (
        "The hypotheses on the mechanism, by their numbers in the study's plan. A hypothesis fails in a group of "
        "networks where what was said beforehand to prove it wrong came about, be it in one network of them."
    )
    return _markdown(["No.", "Hypothesis", "Held in", "Failed in"], rows, caption)


def comparisons(results: Runs) -> str:
    """Every comparison of the family with its difference and corrected p-value."""
    rows = [
        [
            comparison.block,
            _words(comparison.a),
            _words(comparison.b),
            comparison.outcome,
            value.text,
            str(value.n),
            f"{p:.1g}",
        ]
        for comparison, (value, p) in compared(results).items()
    ]
    caption = (
        f"The {len(rows)} comparisons of two groups of runs that the text makes, paired by seed. Sooner: share of "
        "pairs in which A is solved sooner less that in which it is later; p by the paired Prentice–Wilcoxon test. "
        "Solved: share solved of A less that of B; p by McNemar's exact test. p is Holm's, over the whole table."
    )
    return _markdown(["Block", "A", "B", "Outcome", "Difference", "Pairs", "p"], rows, caption)


def changes(results: Runs) -> str:
    """Share solved under each change to the post, in each reading of it."""
    table = stored_table(results, "forum/answers/changes")
    readings = [(step, zeroed) for zeroed in (False, True) for step in ("epoch", "sequence")]
    rows = []
    for change in table["change"].unique():
        cells = [str(change)]
        for step, zeroed in readings:
            picked = (table["change"] == change) & (table["step_after"] == step) & (table["zeroed"] == zeroed)
            cells.append(_change(table[picked]))
        rows.append(cells)
    head = ["Change", *(f"{'zeroed' if zeroed else 'never zeroed'}, step a {step}" for step, zeroed in readings)]
    least, most = table["n"].min(), table["n"].max()
    caption = (
        f"Share solved under one change at a time to the post, with 95 % Wilson intervals, n = {least} to {most} runs "
        "an entry. + more, − less often solved than as it is (McNemar's test, Benjamini–Hochberg over the table, "
        "level 0.05). A dash: not run."
    )
    return _markdown(head, rows, caption)


def _change(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "–"
    row = rows.iloc[0]
    sign = {"rescues": " +", "hurts": " −"}.get(row["verdict"], "")
    return f"{row['solved']:.2f} [{row['solved_low']:.2f}, {row['solved_high']:.2f}]{sign}"


def guessing(results: Runs) -> str:
    """Share solved by training and by guessing weights, by cell and hidden size."""
    table = stored_table(results, "main/dynamics/verdicts")
    table = table[table["hypothesis"] == 15]
    ways = {"trained": "solved by training", "guessed": "solved by guessing weights in ±100"}
    rows = [
        [CELL_LABELS[cell], way, *(_share(table, cell, f"{measure}, hidden size {size}") for size in SIZES)]
        for cell in ("lstm", "gru", "rnn_tanh", "rnn_relu")
        for way, measure in ways.items()
    ]
    n = {way: table.loc[table["measure"].str.startswith(measure), "n"].max() for way, measure in ways.items()}
    caption = (
        f"Share solved by training ({n['trained']:.0f} runs an entry, full noise) and by guessing all weights "
        f"uniformly in ±100 ({n['guessed']:,.0f} guesses an entry), by hidden size. Brackets: 95 % Wilson intervals."
    )
    return _markdown(["Cell", "", *map(str, SIZES)], rows, caption)


def _share(table: pd.DataFrame, cell: str, measure: str) -> str:
    row = table[(table["group"] == cell) & (table["measure"] == measure)].iloc[0]
    return f"{row['estimate']:.2g} [{row['low']:.2g}, {row['high']:.2g}]"


def _label(group: str) -> str:
    cell, comma, rest = str(group).partition(", ")
    return CELL_LABELS.get(cell, cell).replace(", ", " ") + (f" ({rest})" if comma else "")


def _words(words: Sequence[str]) -> str:
    return " ".join(CELL_LABELS.get(word, word).replace("_", " ").replace(", ", " ") for word in words)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    lines = [head, [":--"] * len(head), *rows]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{table}\n\n: {caption}\n".replace("[", r"\[").replace("]", r"\]")


TABLES: dict[str, Callable[[Runs], str]] = {
    "headline": headline,
    "hypotheses": hypotheses,
    "comparisons": comparisons,
    "changes": changes,
    "guessing": guessing,
}
