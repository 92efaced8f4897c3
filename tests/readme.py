"""Write the parts of the README that come from the code and the results: `make readme`."""

import re
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

import study
from benchmarks.figure import provenance_line
from benchmarks.store import read, read_manifests
from benchmarks.table import auto_choices, ratios, shapes_of, torch_wins
from study.figures.theme import cell_name
from study.runs import Run
from study.summary import as_text, summarise

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
SHOWN = ("task", "convergence", "variants")  # figures


def settings_table() -> str:
    """Every setting of a run, its default and its meaning."""
    rows = [f"| `{name}` | {_default(name)} | {info.description} |" for name, info in Run.model_fields.items()]
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows])


def _default(name: str) -> str:
    value = Run.model_fields[name].get_default(call_default_factory=True, validated_data={})
    return "" if value is None or value == {} else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def headline_table() -> str:
    """The summary of the headline block of the committed results."""
    frame = study.load(ROOT / "results" / "main", curves=False)
    headline = frame[["headline" in blocks for blocks in frame["blocks"]]]
    return f"```\n{as_text(summarise(headline))}\n```"


def caption(figure: str) -> str:
    """The caption of a figure that the README shows."""
    return (ROOT / f"results/main/figures/{figure}.txt").read_text(encoding="utf-8").strip()


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
        cells = (f"{claim}: {measure}".replace("|", "\\|"), "; ".join(found["held"]), "; ".join(found["failed"]))
        lines.append(f"| {hypothesis} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _decided(row) -> str:
    """A group, its estimate with the interval, and how many networks agree."""
    cell, _, rest = row.group.partition(", ")
    name = cell_name(cell) + (f", {rest}" if rest else "")
    agree = "" if np.isnan(row.count) else f", {row.count:.0f} of {row.n}"
    return f"{name}: {row.estimate:.3g} [{row.low:.3g}, {row.high:.3g}]{agree}"


SECTIONS = {
    "settings": settings_table,
    "headline": headline_table,
    **{f"caption {name}": partial(caption, name) for name in SHOWN},
    "verdicts": verdict_table,
    "benchmarks": benchmark_table,
}


def section(name: str) -> str:
    """What the README has between a section's marks."""
    (found,) = re.findall(rf"<!-- {name} -->\n(.*?)\n?<!-- end -->", README.read_text(encoding="utf-8"), flags=re.S)
    return found


def write() -> None:
    """Bring every section of the README up to date."""
    text = README.read_text(encoding="utf-8")
    for name, make in SECTIONS.items():
        new = f"<!-- {name} -->\n{make()}\n<!-- end -->"
        text = re.sub(rf"<!-- {name} -->\n.*?<!-- end -->", lambda _, new=new: new, text, flags=re.S)
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
