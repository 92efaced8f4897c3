"""The paper's tables: each a function from the results to a `Table`, in Markdown and with its caption."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from study.grid import summarise, summary_text
from study.paper.claims.comparisons import compared
from study.paper.values import Runs, stored_table
from study.text import (
    CELL_NAMES,
    VARIANT_NAMES,
    cell_name,
    decimals_text,
    minus,
    optimizer_name,
    power_text,
)

SIZES = (1, 2, 4, 8, 16)
PHRASES = {  # filters of runs as a reader would say them; others as `name value`
    "cut_every=1": "gradient cut after 1 step",
    "cut_every=2": "gradient cut after 2 steps",
    "noise=0": "no noise",
    "noise=1": "full noise",
    "start=normal": "random start",
    "cue=true": "cue",
    "cue=false": "no cue",
    "init=default": "default weights",
    "init=identity": "identity",
    "init_value=-1": "forget bias −1",
    "init_value=3": "forget bias 3",
    "hidden_size=1": "one unit",
}

COLUMNS = ("hypothesis", "claim", "group", "measure", "estimate", "low", "high", "n", "verdict")


@dataclass(frozen=True)
class Table:
    """A table as Markdown, and its caption."""

    markdown: str
    caption: str


def headline(results: Runs) -> Table:
    """Share solved and median updates of the headline, by cell and optimizer."""
    summary = summarise(results.rows("headline"))
    order = {cell: place for place, cell in enumerate(CELL_NAMES)}
    lines = summary_text(
        summary.sort_values("cell", key=lambda cells: cells.map(order), kind="stable")
    ).splitlines()
    head, *rows = [re.split(r" {2,}", line.strip()) for line in lines]
    named = [[cell_name(cell), optimizer_name(optimizer), *rest] for cell, optimizer, *rest in rows]
    caption = (
        "The runs of the headline: their number n, the share solved within the budget with its 95 % Wilson interval, "
        "the Kaplan–Meier median of the convergence time in updates with the 95 % interval that inverts the curve's "
        "own (Brookmeyer and Crowley), and how many diverged."
    )
    return _table(head, named, caption)


def hypotheses(results: Runs) -> Table:
    """Each hypothesis on the mechanism and the groups in which it held and failed."""
    judged = stored_table(results, "main/dynamics/verdicts", COLUMNS).dropna(subset="verdict")
    rows = []
    for (number, claim), found in judged.groupby(["hypothesis", "claim"], sort=True):
        said = found.groupby("group", sort=False)["verdict"].agg(
            lambda verdicts: "failed" in set(verdicts)
        )
        held, failed = (
            _groups(list(map(str, said.index[said == outcome]))) for outcome in (False, True)
        )
        rows.append([str(number), str(claim), held, failed])
    caption = (
        "The hypotheses on the mechanism, by their numbers in the study's plan. A hypothesis fails in a group of "
        "networks where what was said beforehand to prove it wrong came about, be it in one network of them."
    )
    return _table(["No.", "Hypothesis", "Held in", "Failed in"], rows, caption)


def comparisons(results: Runs) -> Table:
    """Every comparison of the family with its difference and corrected p-value."""
    rows = [
        [
            _words(comparison.a),
            _words(comparison.b),
            comparison.outcome,
            minus(value.text),
            str(value.n),
            power_text(p, 1),
        ]
        for comparison, (value, p) in compared(results).items()
    ]
    caption = (
        f"The {len(rows)} comparisons of two groups of runs that the text makes, paired by seed. Sooner: share of "
        "pairs in which A is solved sooner less that in which it is later, with a 95 % interval; p by the paired "
        "Prentice–Wilcoxon test. Solved: share solved of A less that of B, with Newcombe's 95 % interval for paired "
        "shares; p by McNemar's exact test. p is Holm's, over the whole table."
    )
    return _table(["A", "B", "Outcome", "Difference", "Pairs", "p"], rows, caption)


def guessing(results: Runs) -> Table:
    """Share solved by training and by guessing weights, by hidden size and cell."""
    table = stored_table(results, "main/dynamics/verdicts", COLUMNS)
    table = table[table["hypothesis"] == 15]
    ways = {
        "trained": ("solved by training", 3),
        "guessed": ("solved by guessing weights in ±100", 4),
    }
    rows = [
        [
            str(size),
            way,
            *(_share(table, cell, f"{measure}, hidden size {size}", places) for cell in CELL_NAMES),
        ]
        for size in SIZES
        for way, (measure, places) in ways.items()
    ]
    n = {
        way: table.loc[table["measure"].str.startswith(measure), "n"].max()
        for way, (measure, _) in ways.items()
    }
    caption = (
        f"Share solved by training ({n['trained']:.0f} runs an entry, full noise) and by guessing all weights "
        f"uniformly in ±100 ({n['guessed']:,.0f} guesses an entry), by hidden size and cell. Brackets: 95 % Wilson "
        "intervals."
    )
    return _table(["Hidden size", "Weights", *CELL_NAMES.values()], rows, caption)


def _share(table: pd.DataFrame, cell: str, measure: str, places: int) -> str:
    row = table[(table["group"] == cell) & (table["measure"] == measure)].iloc[0]
    value, low, high = (decimals_text(row[name], places) for name in ("estimate", "low", "high"))
    return f"{value} [{low}, {high}]"


def _groups(groups: Sequence[str]) -> str:
    """Groups of networks in words, a cell once: `lstm, sgd` and `lstm, adam` are `LSTM (SGD, Adam)`."""
    kinds: dict[str, list[str]] = {}
    for group in groups:
        cell, _, kind = group.partition(", ")
        kinds.setdefault(cell_name(cell), []).extend([optimizer_name(kind)] if kind else [])
    said = []
    for cell, names in kinds.items():
        first, *others = names or [""]
        if first.startswith("hidden size "):
            others = [name.removeprefix("hidden size ") for name in others]
        said.append(cell + (f" ({', '.join([first, *others])})" if first else ""))
    return "; ".join(said) or "none"


def _words(words: Sequence[str]) -> str:
    """What picks a group of runs, in words: `LSTM, SGD`."""
    names = CELL_NAMES | VARIANT_NAMES | PHRASES
    return ", ".join(
        names.get(word, optimizer_name(word)).replace("_", " ").replace("=", " ") for word in words
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> Table:
    unbroken = [
        [re.sub(r", (?=\S+\])", ",\u00a0", cell) for cell in row] for row in rows
    ]  # within an interval
    lines = [head, [":--"] * len(head), *unbroken]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return Table(*(text.replace("[", r"\[").replace("]", r"\]") for text in (table, caption)))


TABLES: dict[str, Callable[[Runs], Table]] = {
    "headline": headline,
    "hypotheses": hypotheses,
    "comparisons": comparisons,
    "guessing": guessing,
}
