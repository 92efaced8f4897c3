"""Make the paper's tables from stored results.

`TABLES` has one function per table. Each function takes the results and returns a `Table`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

from study import text
from study.dynamics import HYPOTHESES, outcomes
from study.grid import Results
from study.paper.claims import ANALYSED, compared
from study.paper.values import read_table, rows_of, value_of

LEARNING = ("resonance", "truncation")  # folders with verdicts on how networks learn
VERDICTS = "main/dynamics/verdicts"
SIZES = (1, 2, 4, 8, 16)
WIDEST = 50  # characters: longer cells of a table are broken into lines
# Plain English for words that pick runs; any other word `name=value` is written `name value`.
PHRASES = {
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


class Table(NamedTuple):
    """A table of the paper, as Markdown, with its caption, and what it was made from.

    `reads` names results folders, such as `main`, and stored tables.
    """

    markdown: str
    caption: str
    reads: tuple[str, ...] = ()


def headline(results: Results) -> Table:
    """Make the table that says how many headline runs solved the task, and how fast.

    The headline runs are the runs of the block `headline`. The table has one row per cell and
    optimizer.
    """
    rows = []
    for cell in text.CELL_NAMES:
        for optimizer, found in rows_of(results, "headline", cell).groupby("optimizer"):
            group = f"headline {cell} {optimizer}"
            solved, median = (
                value_of(results, f"solved {group}"),
                value_of(results, f"median {group}"),
            )
            diverged = int((found["status"] == "diverged").sum())
            names = text.cell_name(cell), text.optimizer_name(str(optimizer))
            rows.append([*names, f"{solved.n:,}", solved.text, median.text, str(diverged)])
    head = ["cell", "optimizer", "n", "solved [95 %]", "median updates [95 %]", "diverged"]
    caption = (
        "Results of the headline runs; n is the number of runs per cell and optimizer. “Solved” is "
        "the share of runs that solved the task within the budget, with its 95 % Wilson interval. "
        "“Median updates” is the Kaplan–Meier median of the convergence time; its 95 % interval "
        "inverts the curve's confidence band (Brookmeyer–Crowley). “Diverged” is the number of "
        "runs with a loss that became infinite or NaN."
    )
    return _table(head, rows, caption)


def hypotheses(results: Results) -> Table:
    """Make the table that lists in which groups of networks each hypothesis held or failed."""
    names = (*ANALYSED, *LEARNING)
    paths = [f"{name}/dynamics/verdicts" for name in names]
    tables = (read_table(results, path) for path in paths)
    headline, others, *learning = map(outcomes, tables)
    folders = [headline, others, {key: one for some in learning for key, one in some.items()}]
    rows = [
        [key, hypothesis.statement, *(str(found.get(key, "–")) for found in folders)]
        for key, hypothesis in HYPOTHESES.items()
        if any(key in found for found in folders)
    ]
    caption = (
        "The hypotheses. H6 to H17 say how networks solve the task, and R1 to R8a how they learn "
        "it. A hypothesis fails in a group of networks if any measure of the group meets the "
        "criterion for its failure, which was fixed in advance. The last two columns are about "
        "networks of other sizes, noise levels, lengths and cells, and about networks in "
        "training. A dash means that the hypothesis was not judged there."
    )
    return _table(
        ["Key", "Hypothesis", "Headline", "Other grid", "In training"], rows, caption, paths
    )


def comparisons(results: Results) -> Table:
    """Make the table of all comparisons of two groups of runs.

    The table has one row per comparison, with the difference and the corrected p-value.
    """
    rows = []
    for comparison, (value, p) in compared(results).items():
        groups = _words(comparison.a), _words(comparison.b)
        numbers = text.minus(value.text), str(value.n), text.power_text(p, 1)
        rows.append([*groups, comparison.outcome, *numbers])
    caption = (
        f"All {len(rows)} comparisons of two groups of runs, A and B, in the text. Runs are paired "
        "by seed. For the outcome “sooner”, the difference is the share of pairs in which A solves "
        "the task sooner minus the share in which A solves it later; p is from the paired "
        "Prentice–Wilcoxon test. For “solved”, it is the share solved in A minus the share solved "
        "in B, with Newcombe's interval; p is from McNemar's exact test. Brackets show 95 % "
        "intervals. All p-values are corrected by Holm's method over the whole table."
    )
    return _table(["A", "B", "Outcome", "Difference", "Pairs", "p"], rows, caption)


def guessing(results: Results) -> Table:
    """Make the table that compares networks with trained weights and networks with random weights.

    The entries are shares of networks that solve the task. The table has two rows per hidden size,
    one for trained and one for guessed (random) weights, and one column per cell.
    """
    ways = {"trained": ("H15.trained", 3), "guessed": ("H15.guessed/100", 4)}
    rows, n = [], {}
    for size, (way, (key, places)) in product(SIZES, ways.items()):
        call = f"entry {VERDICTS} estimate {key}/{size}"
        found = [value_of(results, f"{call} {cell}") for cell in text.CELL_NAMES]
        n[way] = max(value.n for value in found)
        numbers = [[value.estimate, *value.bounds] for value in found]
        texts = [[text.decimals_text(x, places) for x in three] for three in numbers]
        rows.append([str(size), way, *("{} [{}, {}]".format(*three) for three in texts)])
    caption = (
        "Shares of networks that solve the task by training and by guessing. “Trained” is the "
        f"share of runs that solve it after training under full noise (n = {n['trained']} runs per "
        "entry). “Guessed” is the share of networks that solve it when every weight is drawn "
        f"uniformly between −100 and 100 (n = {n['guessed']:,} networks per entry). Brackets show "
        "95 % Wilson intervals."
    )
    return _table(["Hidden size", "Weights", *text.CELL_NAMES.values()], rows, caption, [VERDICTS])


def _words(words: str) -> str:
    """Translate words that pick runs into plain English, such as `lstm sgd` into `LSTM, SGD`."""
    names = text.CELL_NAMES | text.VARIANT_NAMES | PHRASES
    texts = [names.get(word, text.optimizer_name(word)) for word in words.split()]
    return ", ".join(texts).replace("_", " ").replace("=", " ")


def _table(
    head: Sequence[str], rows: Sequence[Sequence[str]], caption: str, paths: Sequence[str] = ()
) -> Table:
    """Return a table of rows that were made from the stored tables `paths`, or else from runs."""
    within_intervals = re.compile(r", (?=\S+\])")
    unbroken = [[within_intervals.sub(",\u00a0", cell) for cell in row] for row in rows]
    longest = [max(map(len, column)) for column in zip(head, *unbroken, strict=True)]
    # the dashes are in proportion to the widths of columns in LaTeX, where long cells are broken
    dashes = [":" + "-" * (min(length, WIDEST) + 2) for length in longest]
    lines = [head, dashes, *unbroken]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    escaped = (part.replace("[", r"\[").replace("]", r"\]") for part in (table, caption))
    return Table(*escaped, reads=tuple(f"{path}.csv" for path in paths) or ("main",))


TABLES: dict[str, Callable[[Results], Table]] = {
    "headline": headline,
    "hypotheses": hypotheses,
    "comparisons": comparisons,
    "guessing": guessing,
}
