"""The paper's tables: each a function from the results to a Markdown table with its caption."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pandas as pd

from study.claims.comparisons import compared
from study.figures.theme import VARIANT_NAMES
from study.paper_text import in_print
from study.post import CELL_NAMES
from study.summary import as_text, summarise
from study.values import Runs, stored_table

SIZES = (1, 2, 4, 8, 16)
PER = 10_000  # guesses
CELL_LABELS = CELL_NAMES | VARIANT_NAMES


def headline(results: Runs) -> str:
    """Share solved and median updates of the headline, by cell and optimizer."""
    lines = as_text(summarise(results.rows("headline"))).splitlines()
    head, *rows = [re.split(r" {2,}", line.strip()) for line in lines]
    caption = (
        "Runs, share solved within the budget with its 95 % Wilson interval, median updates (Kaplan–Meier) with the "
        "95 % interval that inverts the curve's, and runs that diverged."
    )
    named = [[CELL_LABELS.get(row[0], row[0]), SPOKEN.get(row[1], row[1]), *row[2:]] for row in rows]
    return _markdown(head, named, caption)


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
        "Solved: share solved of A less that of B; p by McNemar's exact test. Brackets: 95 %, Newcombe's for paired "
        "shares. p is Holm's, over the whole table."
    )
    return _markdown(["A", "B", "Outcome", "Difference", "Pairs", "p"], rows, caption)


def guessing(results: Runs) -> str:
    """Share solved by training and by guessing weights, by cell and hidden size."""
    table = stored_table(results, "main/dynamics/verdicts")
    table = table[table["hypothesis"] == 15]
    ways = {"trained": "solved by training", "guessed": "solved by guessing weights in ±100"}
    heads = {"trained": "trained: share", "guessed": f"guessed: of {PER:,}"}
    rows = [
        [CELL_LABELS[cell], heads[way], *(_share(table, cell, f"{measure}, hidden size {size}", per) for size in SIZES)]
        for cell in ("lstm", "gru", "rnn_tanh", "rnn_relu")
        for (way, measure), per in zip(ways.items(), (1, PER), strict=True)
    ]
    n = {way: table.loc[table["measure"].str.startswith(measure), "n"].max() for way, measure in ways.items()}
    caption = (
        f"Share solved by training ({n['trained']:.0f} runs an entry, full noise), and how many of {PER:,} guesses of "
        f"all weights, uniform in ±100, solve it ({n['guessed']:,.0f} guesses an entry), by hidden size. "
        "Brackets: 95 % Wilson intervals."
    )
    return _markdown(["Cell", "", *(f"{size} unit{'s' * (size > 1)}" for size in SIZES)], rows, caption)


def _share(table: pd.DataFrame, cell: str, measure: str, per: int) -> str:
    row = table[(table["group"] == cell) & (table["measure"] == measure)].iloc[0]
    estimate, low, high = (per * row[name] for name in ("estimate", "low", "high"))
    return f"{estimate:.3g} [{low:.2g}, {high:.2g}]"


def _label(group: str) -> str:
    cell, comma, rest = str(group).partition(", ")
    return CELL_LABELS.get(cell, cell) + (f" ({SPOKEN.get(rest, rest)})" if comma else "")


SPOKEN = {  # a word that picks runs, as a table says it
    "sgd": "SGD",
    "adam": "Adam",
    "rmsprop": "RMSprop",
    "cue=true": "with the cue",
    "cue=false": "without the cue",
    "start=normal": "random start",
    "noise=0": "no noise",
    "noise=1": "full noise",
    "hidden_size=1": "1 unit",
    "init=default": "torch's start matrix",
    "init=identity": "identity",
}
SPOKEN_BEFORE = {"cut_every": "gradient cut every", "init_value": "forget bias", "length": "length"}


def _words(words: Sequence[str]) -> str:
    return ", ".join(_spoken(word) for word in words)


def _spoken(word: str) -> str:
    name, _, value = word.partition("=")
    if name in SPOKEN_BEFORE:
        return f"{SPOKEN_BEFORE[name]} {value}"
    return CELL_LABELS.get(word, SPOKEN.get(word, word))


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    unbroken = [[re.sub(r", (?=\S+\])", ",\u00a0", cell) for cell in row] for row in rows]  # within an interval
    lines = [head, [":--"] * len(head), *unbroken]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return in_print(f"{table}\n\n: {caption}\n")


TABLES: dict[str, Callable[[Runs], str]] = {
    "headline": headline,
    "hypotheses": hypotheses,
    "comparisons": comparisons,
    "guessing": guessing,
}
