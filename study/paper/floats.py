"""The paper's figures and tables: put into the text, numbered, and referred to by their numbers.

`{{figure convergence}}` inserts a figure, `{{figure forum/post_loops}}` one of the results in
`forum`, and `{{table headline}}` a table; `{{see figure convergence}}` refers to it. Numbers follow
the order of insertion.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import matplotlib.pyplot as plt

from study.errors import BadInput, Problem, unknown
from study.figures import FIGURES, Results, draw, drawn, title
from study.grid import read_file
from study.paper.tables import TABLES, Table
from study.paper.values import Runs, refusal

FLOAT = re.compile(r"\{\{\s*(see\s+)?(figure|table)\s+(\S+?)\s*\}\}")


def numbered(source: str) -> dict[tuple[str, str], int]:
    """The number of each figure and of each table that a text inserts, from 1 on in order."""
    numbers: dict[tuple[str, str], int] = {}
    for see, kind, call in FLOAT.findall(source):
        if not see and (kind, call) not in numbers:
            numbers[kind, call] = 1 + sum(other == kind for other, _ in numbers)
    return numbers


def refuse_unmatched(source: str) -> None:
    """`BadInput` for figures and tables inserted twice, never referred to, or missing."""
    found = FLOAT.findall(source)
    inserted = [f"{kind} {call}" for see, kind, call in found if not see]
    referred = {f"{kind} {call}" for see, kind, call in found if see}
    unseen = "is inserted and never referred to; write {{{{see {}}}}} where the text means it"
    messages = {name: unseen.format(name) for name in inserted if name not in referred}
    messages |= {name: "is inserted twice" for name in inserted if inserted.count(name) > 1}
    messages |= dict.fromkeys(sorted(referred - {*inserted}), "is referred to and never inserted")
    if messages:
        raise BadInput(Problem(f"paper/source.md, {name}", text) for name, text in messages.items())


class Floats:
    """Figures and tables as Markdown, each made once; a figure must be what the results give.

    `for_print` and `for_reading` take the kind and the words after it: `figure forum/post_changes`,
    `table headline`, `see table headline`. For print there are labels, which Typst numbers; for
    reading the same numbers, and anchors.
    """

    def __init__(self, runs: Runs, paper: Path, numbers: dict[tuple[str, str], int]):
        self.runs, self.paper, self.numbers = runs, paper, numbers
        self.opened: dict[Path, tuple[Results, str]] = {}  # and the digest of what figures read
        self.figures: dict[str, tuple[str, str]] = {}  # titles and captions
        self.tables: dict[str, Table] = {}

    def for_print(self, kind: str, call: str) -> str:
        """The Markdown of a figure, of a table, or of a reference to either, for Typst."""
        if kind == "see":
            return f"`#ref(<{_label(*self._referred(call))}>)`{{=typst}}"
        label = f"{{#{_label(kind, call)}}}"
        if kind == "figure":
            _, caption = self._figure(call)
            return f"![{caption}]({self._path(call)}.pdf){label}"
        table = self._table(call)
        return f"{table.markdown}\n\n: {table.caption} {label}\n"

    def for_reading(self, kind: str, call: str) -> str:
        """The Markdown of a figure, of a table, or of a reference to either, for the repository."""
        if kind == "see":
            kind, call = self._referred(call)
            number = self.numbers[kind, call]
            return f"[{kind.capitalize()}\u00a0{number}](#{kind}-{number})"
        number = self.numbers[kind, call]
        anchor, name = f'<a id="{kind}-{number}"></a>', f"**{kind.capitalize()} {number}.**"
        if kind == "figure":
            title, caption = self._figure(call)
            return f"{anchor}\n\n![{title}]({self._path(call)}.png)\n\n{name} {caption}"
        table = self._table(call)
        return f"{anchor}\n\n{name} {table.caption}\n\n{table.markdown}\n"

    def _referred(self, words: str) -> tuple[str, str]:
        kind, _, call = words.partition(" ")
        if (kind, call) not in self.numbers:
            names = map(" ".join, self.numbers)
            raise refusal(f"{{{{see {words}}}}}", unknown("insertion", words, names))
        return kind, call

    def _folder(self, call: str) -> Path:
        other = call.rpartition("/")[0]
        return self.runs.folder.parent / other if other else self.runs.folder

    def _path(self, call: str) -> str:
        """Where a figure is, seen from the paper, without its suffix."""
        return os.path.relpath(self._folder(call) / "figures" / Path(call).name, self.paper)

    def _figure(self, call: str) -> tuple[str, str]:
        """Title and caption of a stored figure, drawn unless it is known to be up to date."""
        if call not in self.figures:
            folder, name = self._folder(call), Path(call).name
            if folder not in self.opened:
                self.opened[folder] = Results(folder), drawn.inputs(folder)
            results, inputs = self.opened[folder]
            if drawn.is_current(folder, name, inputs):
                caption = read_file(folder / "figures" / f"{name}.txt").decode()
                self.figures[call] = title(name), caption.removesuffix("\n")
            else:
                self.figures[call] = drawn_again(results, name)
        return self.figures[call]

    def _table(self, name: str) -> Table:
        if name not in self.tables:
            _known("table", name, TABLES)
            self.tables[name] = TABLES[name](self.runs)
        return self.tables[name]


def drawn_again(results: Results, name: str) -> tuple[str, str]:
    """Title and caption of a figure drawn anew; `BadInput` if the stored one differs."""
    _known("figure", name, FIGURES)
    command = f"`study figures {results.folder}`"
    print(f"note: {name} is drawn to be checked; {command} records it", file=sys.stderr)
    drawing = draw(name, results)
    plt.close(drawing.figure)
    table = drawing.table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    refuse_stale(results.folder / "figures", name, drawing.caption, table)
    return title(name), drawing.caption


def refuse_stale(folder: Path, name: str, caption: str, table: str) -> None:
    """`BadInput` where a stored figure has another caption, or other numbers, than these."""
    for path, text in ((f"{name}.txt", f"{caption}\n"), (f"{name}.csv", table)):
        if not (folder / path).is_file() or read_file(folder / path) != text.encode():
            raise refusal(folder / path, "is not what the results give; run `study figures` first")


def _known(kind: str, name: str, registry: dict) -> None:
    if name not in registry:
        raise refusal(f"{{{{{kind} {name}}}}}", unknown(kind, name, registry))


def _label(kind: str, call: str) -> str:
    return f"{kind}-{call.replace('/', '-')}"
