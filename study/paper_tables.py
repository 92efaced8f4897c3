"""The paper's tables: each a function from the results to a Markdown table with its caption."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pandas as pd

from study.claims.comparisons import compared
from study.figures.theme import VARIANT_NAMES
from study.post import CELL_NAMES
from study.summary import as_text, summarise
from study.values import Runs, stored_table

SIZES = (1, 2, 4, 8, 16)
CELL_LABELS = CELL_NAMES | VARIANT_NAMES

COLUMNS = ("hypothesis", "claim", "group", "measure", "estimate", "low", "high", "n", "verdict")


def headline(results: Runs) -> str:
    """Share solved and median updates of the headline, by cell and optimizer."""
    lines = as_text(summarise(results.rows("headline"))).splitlines()
    head, *rows = [re.split(r" {2,}", line.strip()) for line in lines]
    caption = "Runs, share solved within the budget, median updates, and runs that diverged. Brackets: 95 % intervals."
    named = [[CELL_LABELS.get(row[0], row[0]), *row[1:]] for row in rows]
    return _markdown(head, named, caption)


def hypotheses(results: Runs) -> str:
    """Each hypothesis on the mechanism and the groups in which it held and failed."""
    judged = stored_table(results, "main/dynamics/verdicts", COLUMNS).dropna(subset="verdict")
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
    return _markdown(["A", "B", "Outcome", "Difference", "Pairs", "p"], rows, caption)


def guessing(results: Runs) -> str:
    """Share solved by training and by guessing weights, by cell and hidden size."""
    table = stored_table(results, "main/dynamics/verdicts", COLUMNS)
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
    return CELL_LABELS.get(cell, cell) + (f" ({rest})" if comma else "")


def _words(words: Sequence[str]) -> str:
    return " ".join(CELL_LABELS.get(word, word).replace("_", " ") for word in words)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    unbroken = [[re.sub(r", (?=\S+\])", ",\u00a0", cell) for cell in row] for row in rows]  # within an interval
    lines = [head, [":--"] * len(head), *unbroken]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{table}\n\n: {caption}\n".replace("[", r"\[").replace("]", r"\]")


TABLES: dict[str, Callable[[Runs], str]] = {
    "headline": headline,
    "hypotheses": hypotheses,
    "comparisons": comparisons,
    "guessing": guessing,
}
