"""The paper's figures and tables: put into the text, numbered, and referred to by their numbers.

`{{figure convergence}}` inserts a figure, `{{figure forum/post_loops}}` one of the results in `forum`, and
`{{table headline}}` a table; `{{see figure convergence}}` refers to it. Numbers follow the order of insertion.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING

from study.errors import BadInput, Problem, unknown
from study.figures import drawn
from study.grid import read_file
from study.paper.tables import TABLES, Table
from study.paper.values import Runs

if TYPE_CHECKING:
    from study.figures import Results

FLOAT = re.compile(r"\{\{\s*(see\s+)?(figure|table)\s+(\S+?)\s*\}\}")


def numbered(source: str) -> dict[tuple[str, str], int]:
    """The number of each figure and of each table that a text inserts, from 1 on in the order of insertion."""
    numbers: dict[tuple[str, str], int] = {}
    for see, kind, call in FLOAT.findall(source):
        if not see and (kind, call) not in numbers:
            numbers[kind, call] = 1 + sum(other == kind for other, _ in numbers)
    return numbers


def refuse_unmatched(source: str) -> None:
    """`BadInput` for each figure and table that is inserted twice, never referred to, or referred to and not there."""
    found = FLOAT.findall(source)
    inserted = [(kind, call) for see, kind, call in found if not see]
    referred = {(kind, call) for see, kind, call in found if see}
    problems = [
        (key, "is inserted twice") for key in dict.fromkeys(inserted) if inserted.count(key) > 1
    ]
    problems += [
        (
            (kind, call),
            f"is inserted and never referred to; write {{{{see {kind} {call}}}}} where the text means it",
        )
        for kind, call in dict.fromkeys(inserted)
        if (kind, call) not in referred
    ]
    problems += [
        (key, "is referred to and never inserted") for key in sorted(referred - set(inserted))
    ]
    if problems:
        raise BadInput(
            Problem(f"paper/source.md, {kind} {call}", what) for (kind, call), what in problems
        )


class Floats:
    """Figures and tables as Markdown; a figure must be the one that the results give.

    Called with the kind and the words after it: `figure forum/post_changes`, `table headline`, `see table headline`.
    For print they carry labels, which Typst numbers; for reading they carry the same numbers and an anchor.
    """

    def __init__(self, results: Runs, paper: Path, numbers: dict[tuple[str, str], int]):
        self.results, self.paper, self.numbers, self.for_print = results, paper, numbers, True
        self.opened: dict[str, Results] = {}
        self.inputs: dict[str, str] = {}  # of results folders, as `drawn` tells them
        self.stored: dict[str, tuple[str, str]] = {}  # titles and captions
        self.tables: dict[str, Table] = {}

    def for_reading(self) -> Floats:
        """The same figures and tables, made once for both, for Markdown."""
        other = copy(self)
        other.for_print = False
        return other

    def __call__(self, kind: str, call: str) -> str:
        """The Markdown of a figure, of a table, or of a reference to either."""
        if kind == "see":
            return self._reference(call)
        return self._figure(call) if kind == "figure" else self._table(call)

    def _reference(self, words: str) -> str:
        kind, _, call = words.partition(" ")
        if (kind, call) not in self.numbers:
            names = [" ".join(key) for key in self.numbers]
            raise BadInput([Problem(f"{{{{see {words}}}}}", unknown("insertion", words, names))])
        if self.for_print:
            return f"`#ref(<{_label(kind, call)}>)`{{=typst}}"
        number = self.numbers[kind, call]
        return f"[{kind.capitalize()}\u00a0{number}](#{kind}-{number})"

    def _figure(self, call: str) -> str:
        other, _, name = call.rpartition("/")
        folder = self.results.folder.parent / (other or self.results.folder.name)
        if call not in self.stored:
            self.stored[call] = self._stored(folder, name)
        title, caption = self.stored[call]
        path = os.path.relpath(folder / "figures" / name, self.paper)
        if self.for_print:
            return f"![{caption}]({path}.pdf){{#{_label('figure', call)}}}"
        return f"{self._anchor('figure', call)}![{title}]({path}.png)\n\n{self._title('figure', call, caption)}"

    def _stored(self, folder: Path, name: str) -> tuple[str, str]:
        """Title and caption of a stored figure, which is drawn for them unless it is known to be up to date."""
        if folder.name not in self.inputs:
            self.inputs[folder.name] = drawn.inputs(folder)
        title = drawn.current_title(folder, name, self.inputs[folder.name])
        if title is None:
            return self._drawn(folder, name)
        return title, read_file(folder / "figures" / f"{name}.txt").decode().removesuffix("\n")

    def _drawn(self, folder: Path, name: str) -> tuple[str, str]:
        """Title and caption of a figure as the results give them; `BadInput` where the stored figure is another."""
        import matplotlib.pyplot as plt  # here, since these take longer to load than the paper to build

        from study.figures import FIGURES, Results, draw, title

        _known("figure", name, FIGURES)
        print(
            f"note: {name} is drawn to be checked; `python -m study.figures {folder}` records it",
            file=sys.stderr,
        )
        if folder.name not in self.opened:
            self.opened[folder.name] = Results(folder)
        drawing = draw(name, self.opened[folder.name])
        plt.close(drawing.figure)
        refuse_stale(folder / "figures", name, drawing.caption, drawing.table.to_csv)
        return title(name), drawing.caption

    def _table(self, name: str) -> str:
        _known("table", name, TABLES)
        if name not in self.tables:
            self.tables[name] = TABLES[name](self.results)
        table = self.tables[name]
        if self.for_print:
            return f"{table.markdown}\n\n: {table.caption} {{#{_label('table', name)}}}\n"
        return f"{self._anchor('table', name)}{self._title('table', name, table.caption)}\n\n{table.markdown}\n"

    def _anchor(self, kind: str, call: str) -> str:
        return f'<a id="{kind}-{self.numbers[kind, call]}"></a>\n\n'

    def _title(self, kind: str, call: str, caption: str) -> str:
        return f"**{kind.capitalize()} {self.numbers[kind, call]}.** {caption}"


def _known(kind: str, name: str, registry: dict) -> None:
    if name not in registry:
        raise BadInput([Problem(f"{{{{{kind} {name}}}}}", unknown(kind, name, registry))])


def _label(kind: str, call: str) -> str:
    return f"{kind}-{call.replace('/', '-')}"


def refuse_stale(folder: Path, name: str, caption: str, to_csv: Callable[..., str]) -> None:
    """`BadInput` where a stored figure's caption or numbers are not those that the results give now."""
    stored = [folder / f"{name}.{kind}" for kind in ("txt", "csv")]
    fresh = [caption + "\n", to_csv(index=False, float_format="%.6g", lineterminator="\n")]
    for path, text in zip(stored, fresh, strict=True):
        if not path.is_file() or read_file(path) != text.encode():
            raise BadInput(
                [
                    Problem(
                        str(path),
                        "is not what the results give; run `python -m study.figures` first",
                    )
                ]
            )
