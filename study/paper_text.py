"""How the paper refers to its figures and tables, for print and for reading: `{{see figure convergence}}`.

Figures and tables are numbered in the order in which the source inserts them, each kind by itself. In print a reference
is one of Typst's, which numbers alike; for reading it is a link to an anchor above the figure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from study.errors import BadInput, Problem, unknown

INSERTED = re.compile(r"\{\{\s*(figure|table) (\S+)\s*\}\}")
REFERRED = re.compile(r"\{\{\s*see (figure|table) (\S+)\s*\}\}")
_HEADING = re.compile(r"^(#+) (.+?)( \{\.unnumbered\})?$")


@dataclass(frozen=True)
class Numbers:
    """The number of each figure and table of a source, by kind and name; `BadInput` for one that is not referred to."""

    of: dict[tuple[str, str], int]

    @staticmethod
    def read(source: str) -> Numbers:
        """Count what a source inserts, and check that it refers to all of it and to nothing else."""
        inserted = list(dict.fromkeys(INSERTED.findall(source)))
        counts = {"figure": 0, "table": 0}
        found = {}
        for kind, name in inserted:
            counts[kind] += 1
            found[kind, name] = counts[kind]
        referred = set(REFERRED.findall(source))
        problems = [Problem(f"{kind} {name}", "the text never refers to it") for kind, name in found.keys() - referred]
        problems += [
            Problem(f"{{{{see {kind} {name}}}}}", unknown(kind, name, [n for k, n in inserted if k == kind]))
            for kind, name in referred - found.keys()
        ]
        if problems:
            raise BadInput(sorted(problems, key=str))
        return Numbers(found)

    def reference(self, kind: str, name: str, for_print: bool) -> str:
        """The Markdown of a reference."""
        if for_print:
            return f"`@{label(kind, name)}`{{=typst}}"
        number = self.of[kind, name]
        return f"[{kind.capitalize()} {number}](#{kind}-{number})"

    def figure(self, name: str, caption: str, path: str, for_print: bool) -> str:
        """The Markdown of a figure with its caption."""
        if for_print:
            return f"![{caption}]({path}){{#{label('figure', name)}}}"
        parts = (
            self._anchor("figure", name),
            f"![{self._title('figure', name)}]({path})",
            self._said("figure", name, caption),
        )
        return "\n\n".join(parts)

    def table(self, name: str, markdown: str, for_print: bool) -> str:
        """The Markdown of a table, whose caption is its last paragraph, after a colon."""
        body, _, caption = markdown.rstrip().rpartition("\n\n: ")
        if for_print:
            return f"{body}\n\n: {caption} {{#{label('table', name)}}}\n"
        return f"{self._anchor('table', name)}\n\n{self._said('table', name, caption)}\n\n{body}\n"

    def _title(self, kind: str, name: str) -> str:
        return f"{kind.capitalize()} {self.of[kind, name]}"

    def _anchor(self, kind: str, name: str) -> str:
        return f'<a id="{kind}-{self.of[kind, name]}"></a>'

    def _said(self, kind: str, name: str, caption: str) -> str:
        return f"**{self._title(kind, name)}.** {caption}"


def label(kind: str, name: str) -> str:
    """Typst's label of a figure or table."""
    return f"{kind}-{name.replace('/', '-')}"


def number_headings(text: str) -> str:
    """Sections and subsections with their numbers, as Typst gives them in print."""
    counts, lines = [0, 0], []
    for line in text.splitlines():
        heading = _HEADING.match(line)
        if not heading or heading[3]:
            lines.append(line)
            continue
        level = len(heading[1]) - 1
        counts[level] += 1
        counts[level + 1 :] = [0] * (1 - level)
        lines.append(f"{heading[1]} {'.'.join(map(str, counts[: level + 1]))} {heading[2]}")
    return "\n".join(lines) + "\n"


def in_print(text: str) -> str:
    """Markdown of a plain text: brackets that begin no link, true minus signs, powers of ten."""
    text = text.replace("[", r"\[").replace("]", r"\]")
    text = re.sub(r"(?<![\w.])(\d+(?:\.\d+)?)e([-+]\d+)", lambda m: rf"${m[1]} \times 10^{{{int(m[2])}}}$", text)
    return re.sub(r"(?<![\w$-])-(?=\d)", "\N{MINUS SIGN}", text)
