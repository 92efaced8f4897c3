"""Write the parts of the README and of docs/ that are generated from code and results.

`make readme` runs this module. A generated part stands between the markers `<!-- name -->` and
`<!-- end -->`. `SECTIONS` lists the parts of each page.
"""

import json
import re
from contextlib import redirect_stdout
from functools import partial
from inspect import getdoc, signature
from io import StringIO
from pathlib import Path
from textwrap import fill

import numpy as np
import pandas as pd
import pyarrow as pa

import study
from benchmarks.figure import provenance_line
from benchmarks.peers import PEERS
from benchmarks.store import read, read_manifests
from benchmarks.table import NOISE, auto_choices, bars, lone_costs, peer_ratios
from examples import monthly_series
from study.__main__ import COMMANDS, main
from study.dynamics import HYPOTHESES, outcomes, read_verdicts, verdict_table
from study.figures import FIGURES, title
from study.grid import of_blocks, summarise, summary_text
from study.paper import VALUES
from study.runs import COLUMNS, SETTINGS, Run
from study.stats import share
from study.text import cell_name, decimals_text, estimate_text
from study.text import markdown as table

ROOT = Path(__file__).parent.parent
RESULTS_FOLDER = ROOT / "results"
CONTRAST = "contrast results/main --block headline --between cell=lstm,gru --within optimizer"


# --- from the code ------------------------------------------------------------------------------


def settings() -> str:
    """Every setting of a run, its default and its meaning."""
    rows = []
    for name, field in ((name, Run.model_fields[name]) for name in SETTINGS):
        value = field.get_default(call_default_factory=True, validated_data={})
        text = "" if value in (None, {}) else f"`{json.dumps(value)}`".replace('"', "")
        rows.append((f"`{name}`", text, field.description))
    return table(("setting", "default", "meaning"), rows)


def columns() -> str:
    """Every stored column: its type, its unit, its meaning, and when it is missing."""
    kinds = {"string": "text", "int64": "integer", "double": "number", "bool": "true or false"}
    rows = []
    for name, column in COLUMNS.items():
        is_list = pa.types.is_list(column.type)
        kind = kinds.get(str(column.type.value_type if is_list else column.type), "time")
        text = f"list of {kind}s" if is_list else kind
        rows.append((f"`{name}`", text, column.unit, column.meaning, column.missing))
    return table(("column", "type", "unit", "meaning", "missing"), rows)


def commands() -> str:
    """Every command of the command line."""
    return table(
        ("command", "what it does"), ((f"`study {c}`", line) for c, (_, line) in COMMANDS.items())
    )


def values() -> str:
    """Every kind of number in the paper, and the words that each needs."""
    rows = []
    for name, function in VALUES.items():
        _, *words = (parameter.upper() for parameter in signature(function).parameters)
        line = (getdoc(function) or "").splitlines()[0].removeprefix("Return ")
        rows.append((f"`{' '.join((name, *words))}`", line[0].lower() + line[1:].rstrip(".")))
    return table(("key", "number"), rows)


def figures() -> str:
    """Every figure that `study figures` can draw."""
    return table(("figure", "what it shows"), ((f"`{name}`", title(name)) for name in FIGURES))


# --- from the results ---------------------------------------------------------------------------


def headline() -> str:
    """The summary of the headline block of the main grid, for two of its optimizers."""
    frame = of_blocks(study.load(RESULTS_FOLDER / "main", curves=False), "headline")
    frame = frame[frame["optimizer"].isin(["adam", "sgd"])]
    return f"```\n{summary_text(summarise(frame))}\n```"


def output(line: str) -> str:
    """What a command prints, given without the word `study`."""
    words = [str(ROOT / word) if word.startswith("results/") else word for word in line.split()]
    with redirect_stdout(StringIO()) as printed:
        code = main(words)
    assert code == 0
    return f"```\n{printed.getvalue().rstrip()}\n```"


def caption(results: str, figure: str) -> str:
    """The caption of a stored figure."""
    return (RESULTS_FOLDER / results / "figures" / f"{figure}.txt").read_text("utf-8").strip()


def hypotheses(results: str) -> str:
    """Each measure that decides a hypothesis, and the groups for which it holds or fails."""
    rows = (
        (
            row.hypothesis,
            f"{row.statement}: {row.measure}".replace("|", "\\|"),
            *map("; ".join, (row.held, row.failed)),
        )
        for row in verdict_table(RESULTS_FOLDER / results)
    )
    return table(
        ("key", "hypothesis, and the measure that decides it", "holds for", "fails for"), rows
    )


def overview() -> str:
    """For each hypothesis, in how many groups of networks it held, and where it failed."""
    main, others, *learning = (
        outcomes(read_verdicts(RESULTS_FOLDER / name))
        for name in ("main", "dynamics", "resonance", "truncation", "automata")
    )
    found = [main, others, {key: one for some in learning for key, one in some.items()}]
    rows = (
        (key, hypothesis.statement, *(str(of_folder.get(key, "")) for of_folder in found))
        for key, hypothesis in HYPOTHESES.items()
        if any(key in of_folder for of_folder in found)
    )
    return table(("key", "hypothesis", "main grid", "other networks", "networks in training"), rows)


def rivals() -> str:
    """What other accounts predict for our measurements, and what these found."""
    names = ("main", "resonance", "automata")
    verdicts = pd.concat(read_verdicts(RESULTS_FOLDER / name) for name in names)

    def count(key: str, groups: str = "") -> str:
        rows = verdicts[(verdicts["key"] == key) & verdicts["group"].str.contains(groups)]
        return f"{rows['count'].sum():,.0f} of {rows['n'].sum():,}"

    def names_of(cells: list[str]) -> str:
        return " and ".join(map(cell_name, cells))

    formula = outcomes(verdicts)["R2a"]
    rows = [
        (
            "Bordelon et al.",
            "A linear network that learns an oscillation moves one pair of eigenvalues to it",
            "The first eigenvalue to cross has the angle of a harmonic in "
            f"{count('R1.on_harmonic')} networks. Their linearity is not enough for gated cells: "
            f"our formula to first order (R2a) holds for {names_of(formula.held)}, and fails for "
            f"{names_of(formula.failed)}",
        ),
        (
            "Benjamin",
            "A linear network with small weights gains one pole of its transfer function at a time",
            "The harmonic that crosses first is the one that the untrained network answers most "
            f"in {count('R1.strongest')}. We did not follow later ones",
        ),
        (
            "Dinc et al.",
            "Learning is abrupt where a slow point is left over from a saddle-node bifurcation, "
            "which has the angle 0",
            f"The pattern `10` crosses at π in {count('R1.on_harmonic', '/pattern 10$')}. On short "
            "sequences without noise, the loss leaves before the crossing; we did not look for "
            f"slow points there. It leaves only after it in {count('R3.after_crossing/quiet')}",
        ),
        (
            "Van Rossem and Saxe",
            "A network that has learned parity from enough data gets any length right, since "
            "states merge into an automaton",
            f"Of those that solve it at 40 steps, {count('R7.longer', '/parity')} get it right at "
            "400. We add when: an eigenvalue crosses at π under the input that flips, within a "
            f"factor of 1.25 of the leaving in {count('R7a.when', '/parity')}. We did not follow "
            "distances between states, and our data are fresh, not finite",
        ),
        (
            "Kurtkaya et al.",
            "Memory has slow points or limit cycles; the largest rate that learns falls as a power "
            "of the delay",
            "A stable 2-cycle carries the pattern at every input in "
            f"{count('H7.stable_cycle')}. We did not search for the largest rate at each length",
        ),
        (
            "Doya",
            "A network that becomes an oscillator or automaton must pass a bifurcation, where "
            "gradient descent may fail to converge",
            f"{count('R1.crossed')} networks pass one in time, and {count('R1.locked')} of these "
            "end on a cycle with the pattern",
        ),
        (
            "Casey",
            "A network that does a finite computation robustly has a closed set of states for "
            "each state of the automaton",
            "So the two points of a stable 2-cycle should carry the pattern, as they do in "
            f"{count('H7.stable_cycle')}. The others solve the task at the lengths tested",
        ),
    ]
    return table(("account", "what it predicts", "what we found"), rows)


def outcome(results: str, key: str) -> str:
    """How one hypothesis fared in its test, as a quotation."""
    found = outcomes(read_verdicts(RESULTS_FOLDER / results))[key]
    return f"> {key}: *{HYPOTHESES[key].statement}*. It {found}."


def monthly() -> str:
    """The errors of the forecasts of a monthly series, and what the criteria say of them."""
    runs = pd.read_csv(monthly_series.RUNS)
    frames = [monthly_series.table(runs), monthly_series.verdicts(runs)]
    frames[1] = frames[1].replace({True: "yes", False: "no"})
    return "\n\n".join(table(list(frame), frame.itertuples(index=False)) for frame in frames)


def within_a_step() -> str:
    """How often replacing c within a step flips the answers, by forget bias and hidden size."""
    rows = read_verdicts(RESULTS_FOLDER / "phase").query("key == 'H12.within'")
    found = rows["group"].str.extract(r"forget bias (?P<bias>\S+), (?P<units>\d+) units")
    rows = rows.join(found).dropna(subset="bias")
    rows["text"] = [estimate_text(*row) for row in rows[["estimate", "low", "high"]].to_numpy()]
    wide = rows.pivot_table("text", "bias", "units", aggfunc="first")
    wide = wide.sort_index(key=lambda names: names.astype(float))
    sizes = sorted(wide, key=int)
    n = int(rows["n"].min())
    heads = ("forget bias", *(f"{size} units, n = {n}" for size in sizes))
    return table(heads, ([bias, *row[sizes]] for bias, row in wide.iterrows()))


def answers(results: str, name: str) -> pd.DataFrame:
    """A table that `study answers` wrote."""
    path = RESULTS_FOLDER / results / "answers" / f"{name}.csv"
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def post_in_short() -> str:
    """The answer to the post in some sentences."""
    loops, zeroing = answers("forum", "loops"), answers("forum", "zeroing")
    plateau = answers("forum", "plateau").query("lr == 0.1").set_index("zeroed")
    epochs = {zeroed: f"{row.left_median_epoch:,.0f}" for zeroed, row in plateau.iterrows()}
    loop = loops.query("step_after == 'epoch' and not zeroed")
    adam = zeroing.query("step_after == 'epoch' and change == 'Adam rate 0.01'")
    states = answers("notebook", "states")
    reset = states.query("block == 'between_steps' and state == 'reset'")
    text = f"""\
[A forum post](docs/post.md) asked why an LSTM of six units does not learn this task. It can, but it
takes luck: trained as written, {_count(loop, "solved")} solved the task within 500 epochs.
The loss lingers near ln 2, where a network answers one half at every step and the gradient
is almost flat. Never zeroing the gradients is not the
mistake it looks like: it amounts to SGD with momentum 1, which leaves that plateau after a median
of {epochs[False]} epochs rather than {epochs[True]}, but may roll out of a solution again. With
zeroed gradients and Adam at rate 0.01,
{_count(adam, "solved_zeroed")} solved it. The notebook's loop hands every step the
same start state, so nothing is remembered: {_count(reset, "solved")} solved it.
Brackets: 95 % intervals."""
    return fill(text, width=100)


def finding() -> str:
    """What the study found about how networks learn a pattern."""
    verdicts = pd.concat(
        read_verdicts(RESULTS_FOLDER / name) for name in ("resonance", "truncation")
    ).set_index(["key", "group"])

    def measured(key: str, group: str) -> str:
        row = verdicts.loc[(key, group)]
        return estimate_text(row["estimate"], row["low"], row["high"])

    near = verdicts.loc["R8a.near"]
    cured = verdicts.loc["R5.cured"]
    text = f"""\
**A state learns a pattern by growing a resonance at its frequency.** Before it learns, a network
rests at a fixed point and answers nearly the same at every step. If its state is pushed away, it
swings back. Training makes such a swing last longer and longer, at a frequency of the pattern,
until it no longer dies out: an eigenvalue has left the unit circle. Then a cycle forms that carries
the pattern. **The initial weights decide when.** Trained on a batch that needs no random numbers,
a copy of a network foretells at which update this happens. Among networks that differ only in
their seed, the forecast explains {measured("R2.r2", "lstm/sgd")} of the variance in LSTMs (R² of
logarithms), and {measured("R2.r2", "gru/sgd")} in
GRUs. Two things follow. Noise and long sequences only delay learning, and the time is predicted
within a factor of two in {near["count"].sum():.0f} of {near["n"].sum():.0f} settings. Gradients
that are cut every k steps can drown the pattern in a false signal. If the cuts fall at random
places at least one period apart, the median time at most doubles, in {cured["count"].sum():.0f} of
{cured["n"].sum():.0f} cases. Brackets are 95 % intervals."""
    return fill(text, width=100)


def _count(rows: pd.DataFrame, name: str) -> str:
    """A count of networks, and their share: `97 of 200 networks (0.485 [0.417, 0.554])`."""
    count, n = round(rows[name] @ rows["n"]), int(rows["n"].sum())
    found = share(count, n)
    return f"{count} of {n} networks ({estimate_text(found.value, found.low, found.high)})"


def stored(results: str, name: str, query: str, headings: dict[str, str]) -> str:
    """The rows of an answer's table that match a query; `headings` names the columns to show."""
    rows = answers(results, name).query(query)
    entries = ([_entry(row, column) for column in headings] for _, row in rows.iterrows())
    return table(list(headings.values()), entries)


def _entry(row: pd.Series, column: str) -> str:
    """One value with its interval, if it has one: `0.52 [0.42, 0.62]`."""
    value = row[column]
    if isinstance(value, float) and not np.isfinite(value):
        return ""
    if f"{column}_low" in row:
        low, high = row[f"{column}_low"], row[f"{column}_high"]
        return "{} [{}, {}]".format(
            *(decimals_text(x, 2 * (value <= 1)) for x in (value, low, high))
        )
    text = f"{value:.2f}" if isinstance(value, float) else str(value)
    return {"True": "yes", "False": "no"}.get(text, text)


IN_EPOCHS = "step_after == 'epoch'"
FROM_ZEROS = "block == 'between_steps' and start == 'zeros' and cue"
ANSWERS = {
    "loops": ("forum", "loops", "n > 0", {
        "step_after": "step after each", "zeroed": "zeroed", "n": "networks", "solved": "solved",
        "right_at_end": "right at the end", "left": "loss left ln 2", "left_median_epoch": "when",
    }),
    "plateau": ("forum", "plateau", "n > 0", {
        "lr": "rate", "zeroed": "zeroed", "epochs": "budget in epochs", "n": "networks",
        "left": "loss left ln 2", "left_median_epoch": "when",
    }),
    "momentum": ("forum", "momentum", "n > 0", {
        "momentum": "momentum", "zeroed": "zeroed", "n": "networks", "solved": "solved",
        "lost": "wrong again later",
    }),
    "changes": ("forum", "changes", f"{IN_EPOCHS} and not zeroed", {
        "change": "one change", "n": "networks", "solved": "solved", "verdict": "",
    }),
    "zeroing": ("forum", "zeroing", IN_EPOCHS, {
        "change": "one change", "solved_never": "never zeroed", "solved_zeroed": "zeroed",
        "gain": "difference", "verdict": "zeroing",
    }),
    "notebook": ("notebook", "states", FROM_ZEROS, {
        "cell": "cell", "state": "state", "n": "networks", "solved": "solved",
        "accuracy_most": "best accuracy", "accuracy_of_always_0": "always answering 0",
    }),
}  # fmt: skip


# --- from the benchmarks ------------------------------------------------------------------------


def benchmarks() -> str:
    """Times and ratios, the bars, what a lone run costs, and how `auto` chooses."""
    frame, manifests = (of(RESULTS_FOLDER / "benchmarks") for of in (read, read_manifests))
    goals = bars(frame)
    goals["reached"] = np.where(goals["reached"], "reached", "**missed**")
    choices = auto_choices(frame)
    slower = choices[choices["fused"] > NOISE * choices["torch"]]
    counts = ", ".join(f"{n} of `{cell}`" for cell, n in slower["cell"].value_counts().items())
    wrong = int((choices["slower"] | choices["missed"]).sum())
    lone = "; ".join(
        f"{row['min']:.1f} to {row['max']:.1f} times as much at batch size {size}"
        for size, row in lone_costs(frame).iterrows()
    )
    vectors = {one["configuration"]["vectors"] for one in manifests.values()}
    return f"""\
{_numbers(peer_ratios(frame))}

{_numbers(goals)}

Trained alone, a network costs more per update than beside others:
{lone}.
torch.nn is more than 10 % faster than the fused loop in {len(slower)} of {len(choices)} cases:
{counts or "none"}.
The setting `engine: auto` chooses an engine that is clearly slower in {wrong} cases.

The floor's vectors: {", ".join(vectors)}. {provenance_line(manifests)}"""


def _numbers(rows: pd.DataFrame) -> str:
    """A Markdown table of rows, with three digits of each number and nothing for NaN."""
    texts = rows.astype(object).map(
        lambda value: f"{float(f'{value:.3g}'):,g}" if isinstance(value, float) else value
    )
    names = [_HEADINGS.get(name, name.replace("_", " ")) for name in texts]
    return table(names, texts.replace("nan", "").itertuples(index=False))


_HEADINGS = {
    "fused": "fused, µs", "floor": "fused / floor",
    **{name: f"{name} / fused" for name in PEERS if name not in ("fused", "floor")},
}  # fmt: skip


def scale() -> str:
    """The cost of planning and loading a million runs."""
    costs = json.loads((RESULTS_FOLDER / "benchmarks" / "scale.json").read_text())
    rows = [
        (line, f"{costs[name]['seconds']:.1f} s", f"{costs[name]['peak_mebibytes']:,} MiB")
        for name, line in (("dry_run", "dry run"), ("load", "loading the rows"))
    ]
    commit = costs["code"]["commit"] or "unknown"
    origin = f"Commit {commit[:7]} on {costs['machine']['cpu']}."
    return f"{table(('with a million runs', 'time', 'memory'), rows)}\n\n{origin}"


def whole_grid() -> str:
    """The processor time of the main grid, and PyTorch's estimated from a sample."""
    costs = json.loads((RESULTS_FOLDER / "benchmarks" / "grid.json").read_text())
    fused, ends = costs["fused_seconds"], [costs[f"torch_{end}"] for end in ("low", "high")]
    torch, *interval = (f"{x / 3600:.2f}" for x in (costs["torch_seconds"], *ends))
    ratio, *ratios = (f"{x / fused:.0f}" for x in (costs["torch_seconds"], *ends))
    rows = [
        (f"fused, all {costs['runs']:,} runs", f"{fused:.0f} s"),
        (f"PyTorch, from {costs['torch_runs']} runs", f"{torch} h [{', '.join(interval)}]"),
        ("ratio", f"{ratio} [{', '.join(ratios)}]"),
    ]
    commit = costs["code"]["commit"] or "unknown"
    origin = f"Commit {commit[:7]} on {costs['machine']['cpu']}. Brackets are 95 % intervals."
    return f"{table(('the main grid', 'processor time'), rows)}\n\n{origin}"


SECTIONS = {
    "README.md": {"finding": finding, "post": post_in_short, "headline": headline},
    "docs/settings.md": {"settings": settings},
    "docs/columns.md": {"columns": columns},
    "docs/commands.md": {
        "commands": commands,
        "contrast": partial(output, CONTRAST),
        "figures": figures,
    },
    "docs/paper.md": {"values": values},
    "docs/hypotheses.md": {
        "overview": overview,
        "phase": within_a_step,
        "resonance": partial(hypotheses, "resonance"),
        "truncation": partial(hypotheses, "truncation"),
        "automata": partial(hypotheses, "automata"),
        "main": partial(hypotheses, "main"),
        "dynamics": partial(hypotheses, "dynamics"),
    },
    "docs/theory.md": {
        **{
            key: partial(outcome, "resonance", key)
            for key in ("R1", "R2", "R2a", "R3", "R4", "R8", "R8a")
        },
        "R5": partial(outcome, "truncation", "R5"),
    },
    "docs/post.md": {
        **{name: partial(stored, *answer) for name, answer in ANSWERS.items()},
        "caption": partial(caption, "forum", "post_changes"),
    },
    "docs/truncation.md": {"series": monthly},
    "docs/rivals.md": {"rivals": rivals},
    "docs/benchmarks.md": {"benchmarks": benchmarks, "grid": whole_grid, "scale": scale},
}


def generated(page: str) -> dict[str, str]:
    """The generated parts of a page, by name."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return dict(re.findall(r"<!-- (\w+) -->\n(.*?)\n?<!-- end -->", text, flags=re.S))


def write() -> None:
    """Bring every part up to date."""
    for page, parts in SECTIONS.items():
        text = (ROOT / page).read_text(encoding="utf-8")
        for name, make in parts.items():
            before, rest = text.split(f"<!-- {name} -->\n")
            after = rest.split("<!-- end -->", 1)[1]
            text = f"{before}<!-- {name} -->\n{make()}\n<!-- end -->{after}"
        (ROOT / page).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
