"""Read the paper's text and fill in its placeholders.

The text, `paper/source.md`, has placeholders of four kinds:

- numbers, such as `{{solved headline lstm sgd}}`, which functions in `VALUES` compute;
- figures and tables, such as `{{figure convergence}}` and `{{table headline}}`, and references to
  them, such as `{{see figure convergence}}`;
- claims, written `{% claim name %}…{% end %}`, which are sentences that functions in `CLAIMS` check
  against the results;
- numbers that are no results, such as `{{given 95}}`, which stand as they are typed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from study.errors import BadInput, Problem
from study.grid import Results, read_file
from study.paper.floats import numbered, refuse_unmatched
from study.paper.values import Value, value_of

TITLE = (
    "A recurrent network learns a pattern by growing a resonance, and its initial weights say when"
)
AUTHOR = "The maintainers of recurrent-state-study"
DATE = "December 2026"
# Options of pandoc that make a title page from these.
FRONT = [f"--metadata=title:{TITLE}", f"--metadata=author:{AUTHOR}", f"--metadata=date:{DATE}"]
FRONT += ["--metadata=lang:en"]
PLACEHOLDER = re.compile(r"\{\{\s*(.+?)\s*\}\}")
CLAIM = re.compile(r"\{% claim (\S+) %\}(.*?)\{% end %\}", flags=re.S)
# Digits in code, mathematics, citations and placeholders are not numbers of the author's own.
MARKED = re.compile(r"```.*?```|`.*?`|\$\$.*?\$\$|\$.*?\$|@\w+|\{\{.*?\}\}|\{%.*?%\}", flags=re.S)

Insert = Callable[[str, str], str]


def read_source(folder: Path) -> str:
    """Return the paper's text, `folder/source.md`.

    Raises `BadInput` for numbers that are typed without a mark (see `typed_numbers`), and for
    figures and tables that are not inserted once and referred to.
    """
    source = read_file(folder / "source.md").decode("utf-8")
    if lines := typed_numbers(source):
        advice = "compute the number by a placeholder, or mark it, as in {{given 95}}:"
        raise BadInput(Problem(f"{folder}/source.md", f"{advice} {line}") for line in lines)
    refuse_unmatched(source)
    return source


def typed_numbers(source: str) -> list[str]:
    """Return an excerpt of each line in which the paper's author typed a number without a mark.

    `source` is the paper's text. Its numbers must come from placeholders, which are filled in from
    the results or, if they begin with `given`, contain a number that is no result. Mathematics may
    have numbers too.
    """
    unmarked = MARKED.sub(lambda match: "\n" * match[0].count("\n"), source)
    return [
        f"line {number}: …{line[max(match.start() - 30, 0) : match.end() + 20]}…"
        for number, line in enumerate(unmarked.splitlines(), 1)
        if (match := re.search(r"\d+", line))
    ]


def sentences(source: str) -> dict[str, str]:
    """Return the sentence of each claim in the paper's text `source`, by the claim's name.

    The claims are in the order of the text. Several sentences of one claim are joined by ` / `.
    """
    found: dict[str, str] = {}
    for name, sentence in CLAIM.findall(source):
        found[name] = f"{found[name]} / {sentence}" if name in found else sentence
    return found


def speaker(source: str, results: Results) -> Callable[[str], str]:
    """Return a function that fills in a part of the paper's text `source`, as plain text."""
    numbers, values = numbered(source), {}

    def refer(kind: str, call: str) -> str:
        if kind == "see":
            kind, _, call = call.partition(" ")
        return f"{kind.capitalize()} {numbers[kind, call]}"

    return lambda part: re.sub(r"\\(?=[\[\]])", "", fill(part, results, refer, values))


def spoken(source: str, results: Results) -> dict[str, str]:
    """Return what `sentences` returns, but with all placeholders in the sentences filled in."""
    say = speaker(source, results)
    return {name: say(sentence) for name, sentence in sentences(source).items()}


def fill(source: str, results: Results, insert: Insert, values: dict[str, Value]) -> str:
    """Return the text with every placeholder filled in.

    `insert` takes the first word of a placeholder and its other words, and returns the Markdown of
    the figure, table or reference that they name. A number is taken from `values`. If it is missing
    there, it is computed and added. Raises `BadInput`, which lists all placeholders that cannot be
    filled in.
    """
    problems: list[Problem] = []

    def replace(match: re.Match) -> str:
        call = " ".join(match[1].split())
        kind, _, rest = call.partition(" ")
        try:
            if kind == "given":
                return rest
            if kind in ("figure", "table", "see"):
                return insert(kind, rest)
            if call not in values:
                values[call] = value_of(results, call)
            return values[call].text.replace("[", r"\[").replace("]", r"\]")
        except BadInput as error:
            problems.extend(error.problems)
            return match[0]

    text = PLACEHOLDER.sub(replace, CLAIM.sub(r"\2", source))
    if problems:
        raise BadInput(problems)
    return unbroken(text)


def unbroken(text: str) -> str:
    """Return the text with non-breaking spaces in `95 %` and `n = 50`."""
    return re.sub(r"\bn = (?=\d)", "n\u00a0=\u00a0", re.sub(r"(?<=\d) %", "\u00a0%", text))


def numbered_headings(text: str) -> str:
    """Put a number, such as `3` or `3.1`, before each heading of a Markdown text.

    Only headings of the first two levels are numbered. A heading marked `{.unnumbered}` gets no
    number and loses the mark.
    """
    counts = [0, 0]

    def number(match: re.Match) -> str:
        if match[3]:
            return f"{match[1]} {match[2]}"
        level = len(match[1])
        counts[level - 1] += 1
        counts[level:] = [0] * (2 - level)
        return f"{match[1]} {'.'.join(map(str, counts[:level]))} {match[2]}"

    return re.sub(r"^(##?) (.+?)( \{\.unnumbered\})?$", number, text, flags=re.M)
