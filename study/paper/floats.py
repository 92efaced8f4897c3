"""Put figures and tables into the paper, number them, and refer to them by number.

`{{figure convergence}}` inserts a figure and `{{table headline}}` a table. The name of a figure
from another results folder begins with this folder. For example, `{{figure forum/post_loops}}`
inserts the figure `post_loops` of results/forum. `{{see figure convergence}}` refers to a figure by
its number. Figures and tables are numbered in the order of insertion.
"""

from __future__ import annotations

import os
import re
import sys
from functools import cache
from pathlib import Path

import matplotlib.pyplot as plt

from study.errors import BadInput, Problem, echo, unknown
from study.figures import FIGURES, draw, drawn, title
from study.grid import Results, read_file
from study.paper.tables import TABLES, Table

FLOAT = re.compile(r"\{\{\s*(see\s+)?(figure|table)\s+(\S+?)\s*\}\}")


def numbered(source: str) -> dict[tuple[str, str], int]:
    """Return the number of each figure and table that a text inserts.

    The keys are pairs of kind and name, such as ("figure", "convergence"). Figures and tables are
    numbered separately, from 1 in the order of insertion.
    """
    numbers: dict[tuple[str, str], int] = {}
    for see, kind, call in FLOAT.findall(source):
        if not see and (kind, call) not in numbers:
            numbers[kind, call] = 1 + sum(other == kind for other, _ in numbers)
    return numbers


def refuse_unmatched(source: str) -> None:
    """Raise `BadInput` unless every figure and table is inserted once and referred to."""
    found = FLOAT.findall(source)
    inserted = [f"{kind} {call}" for see, kind, call in found if not see]
    referred = {f"{kind} {call}" for see, kind, call in found if see}
    unseen = "is inserted but never referred to; write {{{{see {}}}}} where the text discusses it"
    messages = {name: unseen.format(name) for name in inserted if name not in referred}
    messages |= {name: "is inserted twice" for name in inserted if inserted.count(name) > 1}
    messages |= dict.fromkeys(sorted(referred - {*inserted}), "is referred to but never inserted")
    if messages:
        raise BadInput(Problem(f"paper/source.md, {name}", text) for name, text in messages.items())


class Floats:
    """The figures and tables of the paper, and references to them, as Markdown.

    `for_print` returns Markdown for the PDF, and `for_archive` for the LaTeX source, with labels
    that Typst and LaTeX turn into numbers. `for_reading` returns Markdown for the repository, and
    `for_browser` for the HTML article, with the numbers themselves and with targets of links. All
    take a placeholder in two parts: its first word, `kind`, and the rest, `call`. Examples are
    `figure` with `forum/post_changes`, and `see` with `table headline`.

    `numbers` is the result of `numbered`. Each figure and table is made once. Raises `BadInput` if
    a stored figure is out of date.
    """

    def __init__(self, results: Results, paper: Path, numbers: dict[tuple[str, str], int]):
        self.results, self.paper, self.numbers = results, paper, numbers
        self.inputs = cache(drawn.inputs)  # cached: it reads all results of a folder
        self.figures: dict[str, tuple[str, str]] = {}  # title and caption by call
        self.tables: dict[str, Table] = {}

    def for_print(self, kind: str, call: str) -> str:
        """Return a figure, a table, or a reference to either, as Markdown for Typst."""
        if kind == "see":
            return f"`#ref(<{_label(*self._referred(call))}>)`{{=typst}}"
        return self._labelled(kind, call, f"{self._path(call)}.pdf")

    def for_archive(self, kind: str, call: str) -> str:
        """Return a figure, a table, or a reference to either, as Markdown for LaTeX."""
        if kind == "see":
            kind, call = self._referred(call)
            return f"`{kind.capitalize()}~\\ref{{{_label(kind, call)}}}`{{=latex}}"
        return self._labelled(kind, call, _archived(call))

    def archived(self) -> dict[str, Path]:
        """Return the PDF of each figure, by its path in the archive of the LaTeX source."""
        calls = (call for kind, call in self.numbers if kind == "figure")
        return {_archived(call): (self.paper / f"{self._path(call)}.pdf") for call in calls}

    def _labelled(self, kind: str, call: str, picture: str) -> str:
        """Return a figure, whose file is `picture`, or a table, with a label."""
        label = f"{{#{_label(kind, call)}}}"
        if kind == "figure":
            _, caption = self._figure(call)
            return f"![{caption}]({picture}){label}"
        table = self._table(call)
        return f"{table.markdown}\n\n: {table.caption} {label}\n"

    def for_reading(self, kind: str, call: str) -> str:
        """Return a figure, a table, or a reference to either, as Markdown for GitHub."""
        if kind == "see":
            return self._link(call)
        number = self.numbers[kind, call]
        anchor, name = f'<a id="{kind}-{number}"></a>', f"**{kind.capitalize()} {number}.**"
        if kind == "figure":
            title, caption = self._figure(call)
            return f"{anchor}\n\n![{title}]({self._path(call)}.png)\n\n{name} {caption}"
        table = self._table(call)
        return f"{anchor}\n\n{name} {table.caption}\n\n{table.markdown}\n"

    def for_browser(self, kind: str, call: str) -> str:
        """Return a figure, a table, or a reference to either, as Markdown for the HTML article."""
        if kind == "see":
            return self._link(call)
        number = self.numbers[kind, call]
        target, name = f"#{kind}-{number}", f"**{kind.capitalize()} {number}.**"
        if kind == "figure":
            title, caption = self._figure(call)
            alt = title.replace('"', "'")
            return f'![{name} {caption}]({self._path(call)}.svg){{{target} alt="{alt}"}}'
        table = self._table(call)
        scrolling = f"::: wide\n{table.markdown}\n:::"
        return f"::: {{{target} .table}}\n{name} {table.caption}\n\n{scrolling}\n:::\n"

    def _link(self, words: str) -> str:
        kind, call = self._referred(words)
        number = self.numbers[kind, call]
        return f"[{kind.capitalize()}\u00a0{number}](#{kind}-{number})"

    def _referred(self, words: str) -> tuple[str, str]:
        kind, _, call = words.partition(" ")
        if (kind, call) not in self.numbers:
            names = map(" ".join, self.numbers)
            raise BadInput.at(f"{{{{see {words}}}}}", unknown("figure or table", words, names))
        return kind, call

    def _of(self, call: str) -> tuple[Results, str]:
        """Return the results that the figure `call` shows, and the figure's name.

        For example, `forum/post_loops` is the figure `post_loops` of the results in the folder
        `forum`.
        """
        other, _, name = call.rpartition("/")
        return self.results.beside(other) if other else self.results, name

    def _path(self, call: str) -> str:
        """Return the path of a figure relative to the paper's folder, without its suffix."""
        results, name = self._of(call)
        return os.path.relpath(results.folder / "figures" / name, self.paper)

    def _figure(self, call: str) -> tuple[str, str]:
        """Return the title and caption of a stored figure.

        If the stored figure may be out of date, it is drawn anew to check it.
        """
        if call not in self.figures:
            results, name = self._of(call)
            if drawn.is_current(results.folder, name, self.inputs(results.folder)):
                caption = read_file(results.folder / "figures" / f"{name}.txt").decode()
                self.figures[call] = title(name), caption.removesuffix("\n")
            else:
                self.figures[call] = drawn_again(results, name)
        return self.figures[call]

    def _table(self, name: str) -> Table:
        if name not in self.tables:
            _known("table", name, TABLES)
            self.tables[name] = TABLES[name](self.results)
        return self.tables[name]


def drawn_again(results: Results, name: str) -> tuple[str, str]:
    """Draw a figure anew, and return its title and caption.

    Raises `BadInput` if the stored figure has another caption or other numbers.
    """
    _known("figure", name, FIGURES)
    command = f"`study figures {results.folder}`"
    echo(f"note: drawing {name} to check it; run {command} to avoid this", file=sys.stderr)
    drawing = draw(name, results)
    plt.close(drawing.figure)
    refuse_stale(results.folder / "figures", name, drawing.caption, drawing.csv())
    return title(name), drawing.caption


def refuse_stale(folder: Path, name: str, caption: str, table: str) -> None:
    """Raise `BadInput` unless a stored figure has the given caption and table of numbers."""
    for path, text in ((f"{name}.txt", f"{caption}\n"), (f"{name}.csv", table)):
        if not (folder / path).is_file() or read_file(folder / path) != text.encode():
            message = f"does not match the results; run `study figures {folder.parent}` first"
            raise BadInput.at(str(folder / path), message)


def _known(kind: str, name: str, registry: dict) -> None:
    if name not in registry:
        raise BadInput.at(f"{{{{{kind} {name}}}}}", unknown(kind, name, registry))


def _label(kind: str, call: str) -> str:
    return f"{kind}-{call.replace('/', '-')}"


def _archived(call: str) -> str:
    return f"figures/{call.replace('/', '-')}.pdf"
