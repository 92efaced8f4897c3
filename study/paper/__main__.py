"""Build the paper from stored results alone: `python -m study.paper`.

`paper/source.md` names its numbers (`{{solved headline lstm sgd}}`, see `VALUES`), its figures and tables
(`{{figure convergence}}`, `{{table headline}}`; `{{see figure convergence}}` refers to one) and its claims
(`{% claim name %}…{% end %}`, see `CLAIMS`).
From it come `paper/paper.pdf` (pandoc to Typst), `paper/paper.md` (the same text for the repository) and
`paper/numbers.json` (each number with its interval, n and provenance). Anything wrong stops the build.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pypandoc
import typst

from study.command import run_command
from study.errors import BadInput, Problem, command
from study.grid import atomic_write, read_file
from study.paper.claims import CLAIMS, Verdict, judge
from study.paper.floats import Floats, numbered, refuse_unmatched
from study.paper.values import Runs, Value, value_of

TITLE = "How recurrent state carries an alternating pattern"
AUTHOR = "The study's maintainers"
PLACEHOLDER = re.compile(r"\{\{\s*(.+?)\s*\}\}")
CLAIM = re.compile(r"\{% claim (\S+) %\}(.*?)\{% end %\}", flags=re.S)
# One and zero stay words of the language; every larger count is a value, as digits are.
COUNTED = re.compile(
    r"\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|twenty|thirty|forty|fifty|sixty|seventy"
    r"|eighty|ninety|hundred|thousand|million|twice|thrice|tenths?|hundredths?)s?\b",
    flags=re.I,
)
# What may be typed: the labels, quoted levels, gates' ranges, dates of citations, what a definition fixes.
ALLOWED = [
    re.compile(pattern, flags=re.I)
    for pattern in (
        r"\$[^$]*\$",  # mathematics
        r"`[^`]*`",
        r"@\w+",
        r"\b1, 0, 1, 0\b",
        r"\blabel is 1 at even steps and 0 at odd ones\b",
        r"\bStep 0\b",
        r"\banswering 0\b",
        r"\bdecays between (0|−1) and 1\b",
        r"\b95 %",
        r"\b(period|every|order) two\b",
        r"\btwo (logits|numbers|claims compare|diagonal rules|fixed sequences|groups|states|signs|layers|points|things"
        r"|readings of the gradient)\b",
    )
]


# --- the text -----------------------------------------------------------------------------------


def typed_numbers(source: str) -> list[str]:
    """The lines of a source with a digit or a counting word outside values, claims' names and what ALLOWED lists."""
    found = []
    for number, line in enumerate(source.splitlines(), 1):
        rest = PLACEHOLDER.sub("", re.sub(r"\{%.*?%\}", "", line))
        for pattern in ALLOWED:
            rest = pattern.sub("", rest)
        if match := re.search(r"\d+", rest) or COUNTED.search(rest):
            found.append(f"line {number}: …{rest[max(match.start() - 30, 0) : match.end() + 20]}…")
    return found


def sentences(source: str) -> dict[str, str]:
    """The sentence of each claim, by name, in the order of the text; all of them where a claim stands twice."""
    found: dict[str, list[str]] = {}
    for name, sentence in CLAIM.findall(source):
        found.setdefault(name, []).append(sentence)
    return {name: " / ".join(said) for name, said in found.items()}


def fill(
    source: str,
    results: Runs,
    insert: Callable[[str, str], str],
    known: Mapping[str, Value] | None = None,
) -> tuple[str, dict[str, Value]]:
    """The text with every placeholder filled in, and the values it used; `BadInput` lists all that cannot be.

    Values that are `known` already are not computed again.
    """
    values = dict(known or {})
    problems: list[Problem] = []

    def replace(match: re.Match) -> str:
        call = " ".join(match[1].split())
        kind, _, rest = call.partition(" ")
        try:
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
    return unbroken(text), values


def unbroken(text: str) -> str:
    """The text with spaces that no line breaks at in `95 %` and `n = 50`."""
    return re.sub(r"\bn = (?=\d)", "n\u00a0=\u00a0", re.sub(r"(?<=\d) %", "\u00a0%", text))


# --- the build ----------------------------------------------------------------------------------


def build(folder: Path, paper: Path, out: Path) -> dict[str, Verdict]:
    """Write paper.pdf, paper.md and numbers.json; the verdicts of all claims. `BadInput` says what stopped it."""
    source = _source(paper)
    results = Runs.read(folder)
    _refuse_typed_numbers(source)
    refuse_unmatched(source)
    verdicts = judge(results, sentences(source))
    floats = Floats(results, paper, numbered(source))
    for_print, values = fill(source, results, floats)
    for_reading, _ = fill(source, results, floats.for_reading(), values)
    pdf = _pdf(for_print, paper)
    out.mkdir(parents=True, exist_ok=True)
    atomic_write(out / "paper.pdf", pdf)
    atomic_write(out / "paper.md", _markdown(for_reading, paper).encode())
    numbers = {call: asdict(value) for call, value in sorted(values.items())}
    atomic_write(
        out / "numbers.json", (json.dumps(numbers, indent=1, ensure_ascii=False) + "\n").encode()
    )
    return verdicts


def _source(paper: Path) -> str:
    path = paper / "source.md"
    try:
        return read_file(path).decode("utf-8")
    except UnicodeError as error:
        raise BadInput([Problem(str(path), "is no UTF-8 text")]) from error


def _refuse_typed_numbers(source: str) -> None:
    if found := typed_numbers(source):
        raise BadInput(
            Problem("paper/source.md", f"a number is typed by hand: {line}") for line in found
        )


def _pdf(text: str, paper: Path) -> bytes:
    """The PDF, from Typst's own fonts and no network; a warning of Typst's is an error."""
    body = pypandoc.convert_text(text, "typst", format="markdown", extra_args=["--columns=1000"])
    names = f"#let title = {json.dumps(TITLE)}\n#let author = {json.dumps(AUTHOR)}\n"
    whole = names + (paper / "template.typ").read_text(encoding="utf-8") + body
    whole += '\n#bibliography("references.bib", style: "springer-basic-author-date")\n'
    main = paper / ".paper.typ"
    try:
        main.write_text(whole, encoding="utf-8")
        root = paper.parent
        made, warned = typst.compile_with_warnings(
            str(main), root=str(root), ignore_system_fonts=True, format="pdf"
        )
    except typst.TypstError as error:
        raise BadInput([Problem("paper/source.md", f"Typst refuses it: {error}")]) from error
    finally:
        main.unlink(missing_ok=True)
    if warned:
        raise BadInput(
            Problem("paper/source.md", f"Typst warns: {warning.message}") for warning in warned
        )
    return made


def _markdown(text: str, paper: Path) -> str:
    """The text for GitHub: headings with numbers under one title, citations linked to the references at the end."""
    options = [
        "--citeproc",
        f"--bibliography={paper / 'references.bib'}",
        "--metadata=link-citations:true",
    ]
    options += ["--shift-heading-level-by=1", "--wrap=none", "--columns=1000"]
    counted = numbered_headings(text) + "\n\n# References\n\n::: {#refs}\n:::\n"
    body = pypandoc.convert_text(
        counted, "gfm", format="markdown-implicit_figures", extra_args=options
    )
    return f"<!-- Made by `make paper` from source.md. -->\n\n# {TITLE}\n\n{AUTHOR} · [PDF](paper.pdf)\n\n{body}"


def numbered_headings(text: str) -> str:
    """The Markdown with `3` or `3.1` before each heading of the first two levels that is not `{.unnumbered}`."""
    counts = [0, 0]

    def number(match: re.Match) -> str:
        if match[3]:
            return f"{match[1]} {match[2]}"
        level = len(match[1])
        counts[level - 1] += 1
        counts[level:] = [0] * (2 - level)
        return f"{match[1]} {'.'.join(map(str, counts[:level]))} {match[2]}"

    return re.sub(r"^(##?) (.+?)( \{\.unnumbered\})?$", number, text, flags=re.M)


# --- the command --------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    options = _parse(arguments)
    return command(lambda: _paper(options))


def _paper(options: argparse.Namespace) -> int:
    paper = Path(options.paper)
    if options.claims:
        return _list_claims(Runs.read(Path(options.results)), paper)
    verdicts = build(Path(options.results), paper, Path(options.out or paper))
    print(f"{options.out or paper}/paper.pdf, paper.md, numbers.json: {len(verdicts)} claims hold")
    return 0


def _list_claims(results: Runs, paper: Path) -> int:
    """Every claim with its sentence, verdict, numbers and runs; exit code 1 when one fails."""
    said = sentences(_source(paper))
    failed = 0
    for name, judged in CLAIMS.items():
        verdict = judged(results)
        failed += not verdict.holds
        print(
            f"{'holds' if verdict.holds else 'FAILS'}  {name}\n  {said.get(name, '(no sentence)')}"
        )
        for label, value in verdict.evidence.items():
            print(f"    {label}: {value.text}  n = {value.n}  ({value.source})")
    return 1 if failed else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m study.paper",
        description="Build the paper (PDF and Markdown) from stored results; trains nothing, needs no network.",
        epilog="example:\n  python -m study.paper --claims\n\nexit codes: 0 done, 1 a claim fails, 2 not built",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--results", default="results/main", help="a results folder (default: results/main)"
    )
    parser.add_argument(
        "--paper", default="paper", metavar="FOLDER", help="where source.md is (default: paper)"
    )
    parser.add_argument(
        "--out", metavar="FOLDER", help="where to write (default: where source.md is)"
    )
    parser.add_argument(
        "--claims", action="store_true", help="list every claim, its verdict, numbers and runs"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(run_command(main))
