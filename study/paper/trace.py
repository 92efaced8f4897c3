"""Define the command `study trace`, which says where the paper's content comes from.

A key is a placeholder of the text, such as `solved headline lstm sgd`, `figure convergence` or
`table headline`, or `claim NAME`. The keys of numbers are the keys of `paper/numbers.json`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from study.command import command, run
from study.errors import BadInput, echo, nearest, shown
from study.figures import title
from study.grid import Results
from study.paper.claims import CLAIMS
from study.paper.floats import numbered
from study.paper.tables import TABLES
from study.paper.text import CLAIM, PLACEHOLDER, read_source, sentences, speaker
from study.paper.values import VALUES, value_of

# What writes the tables of a results folder, by the first part of their paths, in order.
WRITERS = {"dynamics": "dynamics", "answers": "answers", "audit.csv": "audit", "figures": "figures"}
# What trains the runs of a results folder, where it is not `study grid experiments/FOLDER.yaml`.
TRAINERS = {
    "devices": "study grid experiments/devices.yaml --jobs 1",  # alone on the machine
    "series": "python examples/monthly_series.py",
}


class Origin(NamedTuple):
    """The origin of a number, figure, table or claim.

    `lines` has pairs of a label and a text that say what the key stands for. `reads` has
    the names of results folders, such as `main`, and of tables in them, such as
    `main/dynamics/verdicts.csv`.
    """

    lines: list[tuple[str, str]]
    reads: set[str]


def keys_of(source: str) -> list[str]:
    """Return every key of the paper's text `source`: numbers, figures, tables, then claims."""
    calls = {" ".join(call.split()) for call in PLACEHOLDER.findall(source)}
    kinds = [*VALUES, "figure", "table"]
    found = [call for call in calls if call.split()[0] in kinds]
    found.sort(key=lambda call: (kinds.index(call.split()[0]), call))
    return found + [f"claim {name}" for name in sentences(source)]


def origin(results: Results, source: str, key: str) -> Origin:
    """Return what a key of the paper's text `source` stands for, and what it was made from."""
    kind, _, name = key.partition(" ")
    if kind == "claim":
        verdict = CLAIMS[name](results)
        lines = [("claim", "holds" if verdict.holds else "FAILS")]
        lines += [(call, f"{v.text}, n = {v.n:,}") for call, v in verdict.evidence.items()]
        return Origin(
            lines, {read_from(results, value.source) for value in verdict.evidence.values()}
        )
    if kind == "figure":
        folder, _, figure = f"{results.folder.name}/{name}".rpartition("/")
        path = f"{folder.split('/')[-1]}/figures/{figure}"
        number = numbered(source)[kind, name]
        stored = f"{results.folder.parent / path}.csv; its picture and caption lie beside it"
        lines = [(kind, f"{number}: {title(figure)}"), ("numbers", stored)]
        return Origin(lines, {f"{path}.csv"})
    if kind == "table":
        table = TABLES[name](results)
        lines = [(kind, f"{numbered(source)[kind, name]}: {table.caption}")]
        return Origin(lines, set(table.reads))
    value = value_of(results, key)
    lines = [("value", value.text), ("estimate", f"{value.estimate:.6g}")]
    if value.low is not None and value.high is not None:
        lines.append(("interval", f"{value.low:.6g} to {value.high:.6g} (95 %)"))
    lines += [
        ("n", f"{value.n:,}"),
        ("rows", f"{results.folder.parent}/{_rows(results, value.source)}"),
    ]
    return Origin(lines, {read_from(results, value.source)})


def read_from(results: Results, source: str) -> str:
    """Return the results folder, or the table in one, that the source of a `Value` names."""
    first = re.split(r"[\s:]", source)[0]
    if first.endswith(".csv"):
        return first
    folder, slash, _ = first.partition("/")
    return folder if slash else results.folder.name


def _rows(results: Results, source: str) -> str:
    """Return the place of the rows behind a value, and the words that pick them."""
    where = read_from(results, source)
    if where.endswith(".csv"):
        return source
    return f"{where}/rows-*.parquet, {source.removeprefix(f'{where}/')}"


def commands(results: Results, reads: Iterable[str]) -> Iterator[str]:
    """Yield the commands that make anew what a key was made from, and then the paper.

    `reads` is that of an `Origin`. Commands whose output is stored already do little.
    """
    reads = set(reads)
    for folder in sorted({name.split("/")[0] for name in reads}):
        path = results.folder.parent / folder
        tables = {name.split("/")[1] for name in reads if name.startswith(f"{folder}/")}
        if "figures" in tables and (path / "dynamics").is_dir():
            tables.add("dynamics")  # figures read its tables
        yield TRAINERS.get(folder, f"study grid experiments/{folder}.yaml")
        yield from (f"study {writer} {path}" for part, writer in WRITERS.items() if part in tables)
    yield "study paper"


def places(source: str, key: str) -> Iterator[tuple[int, str]]:
    """Yield each sentence of the paper's text in which a key stands, after its paragraph's line.

    A figure or table stands where the text refers to it. For a claim, the line is its own.
    """
    kind, _, name = key.partition(" ")
    if kind == "claim":
        for match in CLAIM.finditer(source):
            if match[1] == name:
                yield 1 + source.count("\n", 0, match.start()), match[2]
        return
    wanted = f"see {key}" if kind in ("figure", "table") else key
    for match in re.finditer(r"\S.*(?:\n.*\S.*)*", source):
        text = " ".join(re.sub(r"\{%.*?%\}", "", match[0]).split())
        for sentence in re.split(r"(?<=[.!?])\s+", text):
            if wanted in PLACEHOLDER.findall(sentence):
                yield 1 + source.count("\n", 0, match.start()), sentence


app = command(
    "trace",
    "study trace\n"
    "study trace solved headline lstm sgd\n"
    "study trace figure convergence\n"
    "study trace claim post_is_a_coin",
)


@app.default
def trace(*key: str, results: Path = Path("results/main"), paper: Path = Path("paper")) -> None:
    """Say where a number, figure, table or claim of the paper comes from, and how to make it again.

    The command prints what the key stands for, the stored rows or table behind it, the sentences in
    which it stands, and the commands to type. Without a key, it lists all keys of the paper.

    Parameters
    ----------
    key
        A key of numbers.json, or `figure NAME`, `table NAME` or `claim NAME`.
    results
        A results folder, such as results/main.
    paper
        The folder that holds source.md.
    """
    source = read_source(paper)
    keys, wanted = keys_of(source), " ".join(" ".join(key).split())
    if not wanted:
        echo(*keys, sep="\n")
        return
    if wanted not in keys:
        hint = nearest(wanted, keys)
        raise BadInput.at("", f"unknown key {shown(wanted)}{hint}; `study trace` lists all keys")
    found = Results(results)
    say = speaker(source, found)
    lines, reads = origin(found, source, wanted)
    echo(wanted)
    echo(*(f"  {label}: {text}" for label, text in lines), sep="\n")
    for number, sentence in places(source, wanted):
        echo(f"  {paper / 'source.md'}, line {number}: {say(sentence)}")
    echo("commands:", *commands(found, reads), sep="\n  ")


if __name__ == "__main__":
    sys.exit(run(app))
