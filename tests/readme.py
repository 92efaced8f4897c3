"""Write the parts of the README and of docs/ that come from the code and the results: `make readme`."""

import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

import study
from benchmarks.figure import provenance_line
from benchmarks.scale import PACK_SIZES, limit
from benchmarks.store import read, read_manifests
from benchmarks.table import auto_choices, ratios, shapes_of, torch_wins
from study.analysis import post
from study.figures.theme import n_of
from study.grid.report import of_blocks, summarise, summary_text
from study.runs.settings import Run
from study.text import cell_name

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
SHOWN = ("task", "convergence", "variants")  # figures


def settings_table() -> str:
    """Every setting of a run, its default and its meaning."""
    rows = [
        f"| `{name}` | {_default(name)} | {info.description} |"
        for name, info in Run.model_fields.items()
    ]
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows])


def _default(name: str) -> str:
    value = Run.model_fields[name].get_default(call_default_factory=True, validated_data={})
    return (
        ""
        if value is None or value == {}
        else f"`{str(value).lower() if isinstance(value, bool) else value}`"
    )


def headline_table() -> str:
    """The summary of the headline block of the committed results."""
    frame = study.load(ROOT / "results" / "main", curves=False)
    headline = of_blocks(frame, "headline")
    return f"```\n{summary_text(summarise(headline))}\n```"


def caption(figure: str, results: str = "main") -> str:
    """The caption of a figure that the README shows."""
    return (ROOT / f"results/{results}/figures/{figure}.txt").read_text(encoding="utf-8").strip()


def _answers(results: str, name: str) -> pd.DataFrame:
    return pd.read_csv(
        ROOT / "results" / results / "answers" / f"{name}.csv",
        keep_default_na=False,
        na_values=[""],
    )


def _share(row: pd.Series, name: str) -> str:
    return f"{row[name]:.2f} [{row[f'{name}_low']:.2f}, {row[f'{name}_high']:.2f}]"


def post_answer() -> str:
    """The plain answer to the post: each reading of its loop, then what zeroing and each change do."""
    loops = _answers("forum", "loops").set_index(["step_after", "zeroed"])
    zeroing = _answers("forum", "zeroing").set_index(["step_after", "change"])
    said = [
        _reading(step_after, loops.loc[(step_after, False)]) for step_after in ("epoch", "sequence")
    ]
    once = loops.loc[("all epochs", True)]
    said.append(
        f"With one step after all epochs, the loss that is printed cannot move: {_share(once, 'solved')} of "
        f"{once['n']:.0f} networks were solved."
    )
    never = _answers("forum", "momentum").query("momentum == 1 and not zeroed").iloc[0]
    said.append(
        f"Of the networks solved with a step after each epoch, {_share(never, 'lost')} gave a wrong answer again later."
    )
    effects = {
        "hurts": "makes it worse",
        "helps": "makes it better",
        "": "makes no clear difference",
    }
    for change in ("as it is", "Adam rate 0.01"):
        row = zeroing.loc[("epoch", change)].fillna("")
        where = (
            "at the post's settings"
            if change == "as it is"
            else f"with {change.replace(' rate', ', rate')}"
        )
        said.append(
            f"Zeroing {where} {effects[row['verdict']]}: {row['solved_zeroed']:.2f} solved instead of "
            f"{row['solved_never']:.2f}, a difference of {_share(row, 'gain')} over {row['n']} seeds."
        )
    return "\n".join(f"- {sentence}" for sentence in said) + f"\n\n{_changes_table()}"


def _reading(step_after: str, row: pd.Series) -> str:
    middle, low, high = (row[f"left_median_epoch{end}"] for end in ("", "_low", "_high"))
    return (
        f"With a step after each {step_after}, {_share(row, 'solved')} of {row['n']:.0f} networks solved the task "
        f"within {post.EPOCHS} epochs, and {_share(row, 'right_at_end')} were right at the end. "
        f"The loss left ln 2 (got below {post.BARS[0]:g} of it) in {_share(row, 'left')}; "
        f"the median epoch of that is {middle:g} [{low:g}, {high:g}]."
    )


def _changes_table() -> str:
    """Every single change where the step stands after each epoch, with its verdict in either way to treat gradients."""
    table = _answers("forum", "changes").query("step_after == 'epoch'").fillna({"verdict": ""})
    never, zeroed = (table[table["zeroed"] == kind].set_index("change") for kind in (False, True))
    lines = ["| one change | never zeroed: solved | | zeroed: solved | |", "|---|---|---|---|---|"]
    for change in never.index:
        cells = [
            f"{_share(part.loc[change], 'solved')} | {part.loc[change, 'verdict']}"
            for part in (never, zeroed)
        ]
        lines.append(f"| {change} | {' | '.join(cells)} |")
    return "\n".join(lines)


def notebook_answer() -> str:
    """What the notebook's loop can do, against one that carries the state."""
    table = _answers("notebook", "states").query(
        "block == 'between_steps' and start == 'zeros' and cue"
    )
    lines = [
        "| cell | state carried: solved | reset at each step: solved | its accuracy, best run | always answering 0 |"
    ]
    lines.append("|---|---|---|---|---|")
    for cell, rows in table.groupby("cell", sort=False):
        carried, reset = (rows[rows["state"] == state].iloc[0] for state in ("carried", "reset"))
        lines.append(
            f"| `{cell}` | {_share(carried, 'solved')} | {_share(reset, 'solved')} | {reset['accuracy_most']:.2f} "
            f"| {reset['accuracy_of_always_0']:.2f} |"
        )
    return "\n".join(
        [*lines, "", f"{n_of(table['n'])} runs a cell and column; brackets are 95 % intervals."]
    )


def benchmark_table() -> str:
    """Ratios at the shapes that have a bar, where torch wins, and how `auto` does; from the stored benchmarks."""
    folder = ROOT / "results" / "benchmarks"
    frame = read(folder)
    lines = [
        "| against | cell | hidden | models | its µs | fused µs | ratio | bar | | fused / floor |",
        "|" + "---|" * 10,
    ]
    for row in ratios(frame).itertuples():
        models = "" if row.models != row.models else f"{row.models:.0f}"
        verdict = "reached" if row.reached else "**not reached**"
        lines.append(
            f"| {row.peer} | `{row.cell}` | {row.hidden_size} | {models} | {row.peer_time} | {row.fused} "
            f"| {row.ratio:.3g} | {row.bar:g} | {verdict} | {row.over_floor:.3g} |"
        )
    choices, load = auto_choices(frame), frame["load_average"]
    slower, missed = (choices[choices[verdict]] for verdict in ("slower", "missed"))
    wrong = len(slower) + len(missed)
    notes = [
        f"torch is the faster engine, by more than 10 %, in {len(torch_wins(frame))} of {len(choices)} cases "
        f"(hidden × batch): {shapes_of(torch_wins(frame))}.",
        f"`auto` picks the clearly slower one in {wrong} of them"
        + (f": fused {shapes_of(slower)}; torch {shapes_of(missed)}." if wrong else "."),
        f"{provenance_line(read_manifests(folder))} Load averages: {load.min():.1f} to {load.max():.1f}.",
    ]
    return "\n".join([*lines, "", *notes])


def verdict_table() -> str:
    """Every measure that decides a hypothesis about the mechanism, and for which networks it held or failed."""
    verdicts = pd.read_csv(ROOT / "results" / "main" / "dynamics" / "verdicts.csv")
    lines = ["| | hypothesis, and what decides it | held | failed |", "|---|---|---|---|"]
    for (hypothesis, claim, measure), rows in verdicts.dropna(subset="verdict").groupby(
        ["hypothesis", "claim", "measure"], sort=False
    ):
        found = {"held": [], "failed": []}
        for row in rows.itertuples():
            found[str(row.verdict)].append(_decided(row))
        cells = (
            f"{claim}: {measure}".replace("|", "\\|"),
            "; ".join(found["held"]),
            "; ".join(found["failed"]),
        )
        lines.append(f"| {hypothesis} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _decided(row) -> str:
    """A group, its estimate with the interval, and how many networks agree."""
    cell, _, rest = row.group.partition(", ")
    name = cell_name(cell) + (f", {rest}" if rest else "")
    agree = "" if np.isnan(row.count) else f", {row.count:.0f} of {row.n}"
    return f"{name}: {row.estimate:.4g} [{row.low:.4g}, {row.high:.4g}]{agree}"


def _origin(found: dict) -> str:
    return f"Seed {found['seed']}, {found['date']}, commit {found['code']['commit'][:7]}, {found['on']['cpu']}."


def fuzz_table() -> str:
    """What came of the fuzz's examples, by property and in all."""
    found = json.loads((ROOT / "results" / "fuzz.json").read_text())
    table = pd.DataFrame(found["counts"]).T
    columns = ["examples", "refused", "accepted", "tracebacks", "hangs"]
    total = table[columns].sum()
    longest = {**table["longest_seconds"], "in all": table["longest_seconds"].max()}
    table.loc["in all", columns] = total
    names = {name: name.replace("damage,", "damaged results before") for name in table.index}
    rows = [
        f"| {names[name]} | {' | '.join(f'{row[column]:,.0f}' for column in columns)} | {longest[name]:.1f} s |"
        for name, row in table.iterrows()
    ]
    head = f"| | {' | '.join(columns)} | longest |"
    return "\n".join([head, "|---|" + "---|" * (len(columns) + 1), *rows, "", _origin(found)])


def scale_table() -> str:
    """What a large grid costs outside its training, and how far the model of throughput is from real workers."""
    found = json.loads((ROOT / "results" / "benchmarks" / "scale.json").read_text())
    rows = [
        f"| {what} | {found[name]['seconds']:.1f} s | {found[name]['peak_mebibytes']:,.0f} MiB |"
        for name, what in (
            ("dry_run", "dry run of 1,000,000 runs"),
            ("million_rows_load", "loading a table of 1,000,000 rows"),
            ("million_rows_draw", "drawing `convergence` from it"),
        )
    ]
    parent = found["parent"]
    said = [
        f"{at['workers']} workers with {at['pack']} a pack {at['measured']:g} runs a second (model: {at['model']:g})"
        for at in found["checked"]
    ]
    limits = [
        f"{rate:,.0f} runs a second with {pack:,} run{'s' * (pack > 1)} a pack (from {rate / 100:,.0f} workers on)"
        for pack, rate in ((pack, limit(pack, parent)) for pack in PACK_SIZES)
    ]
    return "\n".join(
        [
            *("| | time | memory |", "|---|---|---|", *rows, ""),
            f"The parent spends {1e3 * parent['run_seconds']:.3f} ms on a run and "
            f"{1e3 * parent['pack_seconds']:.2f} ms on a pack. Workers that sleep instead of training did: "
            f"{'; '.join(said)}. The parent becomes the limit at {', at '.join(limits)}; the workers are those of runs "
            "of 10 ms, about the mean of the main grid, and a hundred times as many with runs of 1 s.",
            "",
            f"Commit {found['code']['commit'][:7]}, {found['machine']['cpu']}, {found['machine']['cores']} cores.",
        ]
    )


SECTIONS = {
    "settings": settings_table,
    "headline": headline_table,
    **{f"caption {name}": partial(caption, name) for name in SHOWN},
    "verdicts": verdict_table,
    "post": post_answer,
    "caption post_changes": partial(caption, "post_changes", "forum"),
    "notebook": notebook_answer,
    "benchmarks": benchmark_table,
    "scale": scale_table,
    "caption scale": partial(caption, "scale", "benchmarks"),
    "fuzz": fuzz_table,
}


def section(name: str) -> str:
    """What is between a section's marks, on the one page that has them."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    (found,) = re.findall(rf"<!-- {name} -->\n(.*?)\n?<!-- end -->", text, flags=re.S)
    return found


def write() -> None:
    """Bring every section up to date."""
    new = {name: f"<!-- {name} -->\n{make()}\n<!-- end -->" for name, make in SECTIONS.items()}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name, section in new.items():
            text = re.sub(
                rf"<!-- {name} -->\n.*?<!-- end -->", lambda _, new=section: new, text, flags=re.S
            )
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
