"""Make the paper's tables from stored results.

`TABLES` has one function per table. Each function takes the results and returns a `Table`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd

from study import text
from study.analysis import sensitivity
from study.dynamics import HYPOTHESES, outcomes
from study.grid import Results
from study.paper.claims import ANALYSED, compared
from study.paper.values import read_table, rows_of, value_of

LEARNING = ("resonance", "truncation", "automata")  # folders with verdicts on how networks learn
VERDICTS = "main/dynamics/verdicts"
RESONANCE = "resonance/dynamics/verdicts.csv"
SIZES = (1, 2, 4, 8, 16)
THRESHOLDS = (0.5, 1.0)  # shares of error-free sequences
WIDEST = 50  # characters: longer cells of a table are broken into lines
# The names that the text gives to hypotheses, with their keys.
NAMES = {
    "R1": "*Angle*, R1",
    "R2": "*Timing*, R2",
    "R2a": "*Formula*, R2a",
    "R3": "*Distance*, R3",
    "R4": "*Square root*, R4",
    "R5": "*Interference*, R5",
    "R8": "*One number*, R8",
    "R8a": "*One number*, R8a",
}
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
# The rules of the cells that the paper's text does not define, and their sources.
RULES = {
    "gru_v1": (
        r"$n_t = \tanh(W_n x_t + U_n (r_t \circ h_{t-1}) + b_n)$, else as the GRU",
        "@cho2014",
    ),
    "mgu": (
        r"$f_t = \sigma(W_f x_t + U_f h_{t-1} + b_f)$, "
        r"$n_t = \tanh(W_n x_t + U_n (f_t \circ h_{t-1}) + b_n)$, "
        r"$h_t = (1 - f_t) \circ h_{t-1} + f_t \circ n_t$",
        "@zhou2016",
    ),
    "lstm_peephole": (
        r"$p_i \circ c_{t-1}$, $p_f \circ c_{t-1}$ and $p_o \circ c_t$ are added in the gates "
        r"$i$, $f$ and $o$",
        "@gers2000peepholes",
    ),
    "lstm_cifg": (r"$i_t = 1 - f_t$", "@greff2017"),
    "lstm_nfg": (r"$f_t = 1$", "@hochreiter1997"),
    "lstm_no_recurrence": (r"$U_i = U_f = U_o = U_g = 0$", "@levy2018"),
    "mingru": (
        r"$z_t = \sigma(W_z x_t + b_z)$, "
        r"$h_t = (1 - z_t) \circ h_{t-1} + z_t \circ (W_n x_t + b_n)$",
        "@feng2024",
    ),
    "minlstm": (
        r"$f_t, i_t = \sigma(W x_t + b)$, "
        r"$h_t = (f_t \circ h_{t-1} + i_t \circ (W_n x_t + b_n)) / (f_t + i_t)$",
        "@feng2024",
    ),
    "diagonal_positive": (r"$h_t = \sigma(d) \circ h_{t-1} + W x_t + b$", "@sarrof2024"),
    "diagonal_signed": (r"$h_t = \tanh(d) \circ h_{t-1} + W x_t + b$", "@grazzi2024"),
    "diagonal_complex": (
        r"$h_t + i c_t = \sigma(d)\, e^{i \theta} \circ (h_{t-1} + i c_{t-1}) + W x_t + b$",
        "after @orvieto2023",
    ),
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
        [NAMES.get(key, key), hypothesis.statement, *(str(f.get(key, "–")) for f in folders)]
        for key, hypothesis in HYPOTHESES.items()
        if any(key in found for found in folders)
    ]
    caption = (
        "The hypotheses. H6 to H17 say how networks solve the task, and R1 to R8a how they learn "
        "it; names are those of the text. A hypothesis fails in a group of networks if any measure "
        "of the group meets the criterion for its failure, which was fixed in advance. The last "
        "two columns are about networks of other sizes, noise levels, lengths and cells, and about "
        "networks in training. A dash means that the hypothesis was not judged there."
    )
    return _table(
        ["Key", "Hypothesis", "Headline", "Other grid", "In training"],
        rows,
        caption,
        [f"{path}.csv" for path in paths],
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


def thresholds(results: Results) -> Table:
    """Make the table that says how the headline depends on what counts as solved.

    A run counts as solved once its share of error-free sequences reaches a threshold. The table has
    one row per cell and optimizer.
    """
    runs = results.block("headline")
    in_a_row = int(runs["solved_evaluations"].max())
    rng, options = np.random.default_rng(0), {"consecutive": [in_a_row], "thresholds": THRESHOLDS}
    found = sensitivity(runs, rng, ["cell", "optimizer"], **options)
    rows = []
    for cell in text.CELL_NAMES:
        for optimizer, group in found[found["cell"] == cell].groupby("optimizer"):
            texts = [
                text.estimate_text(row[name], row[f"{name}_low"], row[f"{name}_high"])
                for name in ("solved", "restricted_mean_update")
                for row in group.sort_values("threshold").to_dict("records")
            ]
            rows.append([text.cell_name(cell), text.optimizer_name(str(optimizer)), *texts])
    head = [f"{name}, {level:g}" for name in ("solved", "mean update") for level in THRESHOLDS]
    caption = (
        "The headline if a run counts as solved once the share of error-free sequences reaches "
        f"another threshold (in the head) in {in_a_row} successive evaluations: share of runs "
        "that solved the task, and mean number of updates until they did. In this restricted mean, "
        "an unsolved run counts as taking all updates allowed. Brackets show 95 % intervals for "
        f"n = {int(found['n'].min())} runs per row."
    )
    return _table(["cell", "optimizer", *head], rows, caption)


def crossings(results: Results) -> Table:
    """Make the table of how many crossings are at a harmonic, with one row per cell.

    Counts are sums over the patterns that were tried with the cell.
    """
    verdicts = read_table(results, "resonance/dynamics/verdicts", "hypothesis=R1")
    verdicts = verdicts.assign(cell=verdicts["group"].str.partition("/")[0])
    rows = []
    for cell in text.CELL_NAMES:
        found = dict(iter(verdicts[verdicts["cell"] == cell].groupby("key")))
        sums = {key: some[["count", "n"]].sum().astype(int) for key, some in found.items()}
        counts = [
            f"{sums[f'R1.{name}']['count']:,} of {sums[f'R1.{name}']['n']:,}"
            for name in ("crossed", "before_training", "on_harmonic", "strongest", "locked")
        ]
        chance = found["R1.chance"]
        covered = (chance["estimate"] * chance["n"]).sum() / chance["n"].sum()
        rows.append(
            [text.cell_name(cell), str(len(chance)), *counts, text.decimals_text(covered, 2)]
        )
    head = ["cell", "patterns", "crossed", "there before training", "on a harmonic"]
    head += ["on the strongest", "then on the cycle", "chance"]
    caption = (
        "Where eigenvalues leave the unit circle, counted over all patterns. “Crossed”: networks "
        "with a crossing, of all. “There before training”: networks whose outermost eigenvalue was "
        "within π/T of a harmonic at the start, of all. The next three columns count crossings: "
        "within π/T of a harmonic, at the harmonic to which the untrained network responds most, "
        "and followed by a stable cycle that carries the pattern. “Chance”: mean share of the "
        "circle within π/T of a harmonic. The results of each pattern are in the CSV file of "
        "verdicts."
    )
    return _table(head, rows, caption, [RESONANCE])


def predictions(results: Results) -> Table:
    """Make the table of how well the initial weights predict the crossing.

    There is one row per cell and optimizer. Measures are medians over settings.
    """
    verdicts = read_table(results, "resonance/dynamics/verdicts", "hypothesis=R2")
    groups = {str(group): some for group, some in verdicts.groupby("group", sort=False)}
    order = [f"{c}/{o}" for c, o in product(text.CELL_NAMES, text.OPTIMIZER_NAMES)]
    order += [group for group in groups if group not in order]
    rows = []
    for group in order:
        found = groups[group].set_index("key")
        cell, _, optimizer = group.partition("/")
        simple = found.loc[found.index.str.startswith("R2.baseline"), "estimate"].max()
        row = [text.cell_name(cell), text.optimizer_name(optimizer), f"{found.loc['R2.r2', 'n']:g}"]
        for key in ("R2.r2", "R2.slope", "R2.ratio", "R2.again_r2"):
            names = ["estimate", "low", "high"]
            numbers = [
                text.decimals_text(x, 2)
                for x in found[names].to_dict("index").get(key, {}).values()
            ]
            row.append("{} [{}, {}]".format(*numbers) if numbers else "–")
        rows.append([*row, text.decimals_text(simple, 2)])
    head = ["cell", "optimizer", "settings", "R²", "slope", "ratio", "R², other noise", "simple"]
    caption = (
        "How well the update of the crossing is predicted from the initial weights: medians over "
        "settings, with 95 % intervals. R² and slope relate the logarithms of the measured and the "
        "predicted update across seeds; the ratio is that of the updates, measured over predicted. "
        "“Other noise”: R² between two trainings from the same initial weights on different noise, "
        "where this was tried. “Simple”: the largest R² of a number known before training (the "
        "distance of the spectrum from the pattern's angles, its radius, and the size of the first "
        "gradient)."
    )
    return _table(head, rows, caption, [RESONANCE])


def exponents(results: Results) -> Table:
    """Make the table of how the time on the plateau depends on the learning rate."""
    verdicts = read_table(results, "resonance/dynamics/verdicts", "hypothesis=R4")
    rows = []
    groups = [
        f"{cell}/length {length}" for cell in ("lstm", "gru", "rnn_tanh") for length in (20, 50)
    ]
    for group in groups:
        found = verdicts[verdicts["group"] == group].set_index("key")
        cell, _, length = group.partition("/length ")
        keys = ("R4.exponent/zeroed", "R4.exponent/never", "R4.drift", "R4.left/never")
        rows.append(
            [
                text.cell_name(cell),
                length,
                *(_estimate(found[found.index == key].iloc[0]) for key in keys),
            ]
        )
    head = ["cell", "length", "zeroed", "never zeroed", "drift", "left, never zeroed"]
    caption = (
        "Exponents of the time on the plateau as a power of the learning rate, if gradients are "
        "zeroed and if they never are. “Drift” is the exponent of the ratio t²/t of the two times. "
        "The theory expects −1, −½ and 0. “Left” is the share of networks that left the plateau. "
        "Brackets show 95 % intervals; there are none where the median time of some rate has none."
    )
    return _table(head, rows, caption, [RESONANCE])


def _estimate(row: pd.Series) -> str:
    bounds = (row["low"], row["high"]) if pd.notna([row["low"], row["high"]]).all() else ()
    return text.estimate_text(row["estimate"], *bounds)


def variants(results: Results) -> Table:
    """Make the table of the rules of the cells that the text does not define."""
    names = [[text.cell_name(cell), *rule] for cell, rule in RULES.items()]
    caption = (
        "Rules of the other cells. Symbols are as in the text; what a row does not define is as in "
        "the GRU or the LSTM."
    )
    return _table(["cell", "rule", "source"], names, caption, ())


def rivals(results: Results) -> Table:
    """Make the table of other accounts of how recurrent networks learn, and what bears on them."""

    def number(words: str) -> str:
        return value_of(results, f"entry {words}").text

    learning, solving = (f"{name}/dynamics/verdicts estimate" for name in ("resonance", "main"))
    rows = [
        [
            "@bordelon2025",
            "In linear networks, learning moves one outlier eigenvalue of the recurrent weights, "
            "or a conjugate pair if the target is a damped oscillation.",
            "We see the same in nonlinear and gated cells, in the Jacobian at a fixed point, and "
            "past the circle, where linear theory ends: see the table of crossings.",
        ],
        [
            "Benjamin, essay",
            "In linear networks, plateaus are saddles at which poles of the transfer function are "
            "added one by one.",
            "One harmonic crosses first. What happens to the others later was not measured.",
        ],
        [
            "@dinc2025",
            "Learning is abrupt near the ghost of a saddle-node bifurcation, whose eigenvalue is "
            "$+1$. Too large a learning rate stops it.",
            "Eigenvalues cross at the angles of the pattern, and none of our patterns has one at "
            "$+1$. The GRU's loss falls before the crossing in "
            f"{number(f'{learning} R3.loss_first/0.1 gru')} of networks at the smallest rate and "
            f"in {number(f'{learning} R3.loss_first/3 gru')} at the largest.",
        ],
        [
            "@kurtkaya2025",
            "Short-term memory uses slow points or limit cycles; the largest learning rate that "
            "works falls as a power of the delay.",
            "Solved networks sit on a cycle: a share of "
            f"{number(f'{solving} H7.stable_cycle lstm')} of the LSTMs. We measured times, which "
            "scale as $(T/\\eta)\\,s(\\kappa)$, and no largest rate.",
        ],
        [
            "@vanrossem2025",
            "An automaton forms as states merge whose futures agree; shown for parity.",
            "This is about inputs that decide the labels. Ours do not, and the cycle is the "
            "automaton. It predicts no time.",
        ],
        [
            "@doya1993; @tsung1993",
            "A network that learns to oscillate must pass a bifurcation, near which descent may "
            "fail or go back and forth.",
            "It passes at the angle of the pattern. Most networks then lock, but of the tanh "
            "networks on $00100110$ only "
            f"{number(f'{learning} R1.locked rnn_tanh/pattern_00100110')}.",
        ],
        [
            "@casey1996",
            "A network that performs a finite automaton must mimic its states, which fixes its "
            "attractors: here, a cycle.",
            "Nearly all LSTM, GRU and tanh networks have the cycle, but of the ReLU networks "
            f"{number(f'{solving} H7.stable_cycle rnn_relu')}, and these slip.",
        ],
        [
            "@eisenmann2023",
            "At certain bifurcations the gradient becomes infinite or zero, which may account for "
            "jumps of the loss.",
            "At small rates and without noise, the loss of LSTMs and GRUs falls before the "
            "crossing, at a distance of about $1/T$; noise or large rates bring the two together.",
        ],
    ]
    caption = (
        "Other accounts of how recurrent networks learn or work, what each says, and which of our "
        "measurements bears on it. Brackets show 95 % intervals."
    )
    return _table(
        ["account", "what it says", "what we measured"],
        rows,
        caption,
        [RESONANCE, f"{VERDICTS}.csv"],
    )


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
    return _table(
        ["Hidden size", "Weights", *text.CELL_NAMES.values()], rows, caption, [f"{VERDICTS}.csv"]
    )


def _words(words: str) -> str:
    """Translate words that pick runs into plain English, such as `lstm sgd` into `LSTM, SGD`."""
    names = text.CELL_NAMES | text.VARIANT_NAMES | PHRASES
    texts = [names.get(word, text.optimizer_name(word)) for word in words.split()]
    return ", ".join(texts).replace("_", " ").replace("=", " ")


def _table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    caption: str,
    reads: Sequence[str] = ("main",),
) -> Table:
    """Return a table of `rows`, which were made from what `reads` names (see `Table`)."""
    within_intervals = re.compile(r", (?=\S+\])")
    unbroken = [[within_intervals.sub(",\u00a0", cell) for cell in row] for row in rows]
    longest = [max(map(len, column)) for column in zip(head, *unbroken, strict=True)]
    # the dashes are in proportion to the widths of columns in LaTeX, where long cells are broken
    dashes = [":" + "-" * (min(length, WIDEST) + 2) for length in longest]
    lines = [head, dashes, *unbroken]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    escaped = (part.replace("[", r"\[").replace("]", r"\]") for part in (table, caption))
    return Table(*escaped, reads=tuple(reads))


TABLES: dict[str, Callable[[Results], Table]] = {
    "headline": headline,
    "hypotheses": hypotheses,
    "comparisons": comparisons,
    "thresholds": thresholds,
    "guessing": guessing,
    "crossings": crossings,
    "predictions": predictions,
    "exponents": exponents,
    "variants": variants,
    "rivals": rivals,
}
