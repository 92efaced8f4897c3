"""Build the paper from stored results: `study paper`.

`paper/source.md` names its numbers (`{{solved headline lstm sgd}}`, see `VALUES`), its figures and
tables (`{{figure convergence}}`, `{{table headline}}`; `{{see figure convergence}}` refers to one)
and its claims (`{% claim name %}…{% end %}`, see `CLAIMS`). From it come `paper/paper.pdf` (pandoc
to Typst), `paper/paper.md` (the same text for the repository) and `paper/numbers.json` (each number
with its interval, n and provenance). Anything wrong stops the build.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pypandoc
import typst

from study.command import command, run
from study.errors import BadInput, Problem
from study.grid import atomic_write, read_file
from study.paper.claims import CLAIMS, Verdict, judge
from study.paper.floats import Floats, numbered, refuse_unmatched
from study.paper.values import Runs, Value, refusal, value_of

TITLE = "How recurrent state carries an alternating pattern"
AUTHOR = "The study's maintainers"
PLACEHOLDER = re.compile(r"\{\{\s*(.+?)\s*\}\}")
CLAIM = re.compile(r"\{% claim (\S+) %\}(.*?)\{% end %\}", flags=re.S)
# One and zero stay words of the language; every larger count is a value, as digits are.
COUNTED = re.compile(
    r"\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|twenty|thirty|forty|fifty"
    r"|sixty|seventy|eighty|ninety|hundred|thousand|million|twice|thrice|tenths?|hundredths?)s?\b",
    flags=re.I,
)
# May be typed: labels, quoted levels, gates' ranges, dates of citations, what a definition fixes.
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
        r"\btwo (logits|numbers|claims compare|diagonal rules|fixed sequences|groups|states|signs"
        r"|layers|points|things|readings of the gradient)\b",
    )
]


# --- the text -----------------------------------------------------------------------------------


def typed_numbers(source: str) -> list[str]:
    """The lines with a digit or a counting word outside placeholders and what ALLOWED lists."""
    found = []
    for number, line in enumerate(source.splitlines(), 1):
        rest = PLACEHOLDER.sub("", re.sub(r"\{%.*?%\}", "", line))
        for pattern in ALLOWED:
            rest = pattern.sub("", rest)
        if match := re.search(r"\d+", rest) or COUNTED.search(rest):
            found.append(f"line {number}: …{rest[max(match.start() - 30, 0) : match.end() + 20]}…")
    return found


def sentences(source: str) -> dict[str, str]:
    """The sentence of each claim by name, in the order of the text; repeated ones are joined."""
    found: dict[str, list[str]] = {}
    for name, sentence in CLAIM.findall(source):
        found.setdefault(name, []).append(sentence)
    return {name: " / ".join(said) for name, said in found.items()}


def fill(
    source: str, runs: Runs, insert: Callable[[str, str], str], values: dict[str, Value]
) -> str:
    """The text with every placeholder filled in; `BadInput` lists all that cannot be.

    `insert` makes figures, tables and references. What `values` lacks is computed and added.
    """
    problems: list[Problem] = []

    def replace(match: re.Match) -> str:
        call = " ".join(match[1].split())
        kind, _, rest = call.partition(" ")
        try:
            if kind in ("figure", "table", "see"):
                return insert(kind, rest)
            if call not in values:
                values[call] = value_of(runs, call)
            return values[call].text.replace("[", r"\[").replace("]", r"\]")
        except BadInput as error:
            problems.extend(error.problems)
            return match[0]

    text = PLACEHOLDER.sub(replace, CLAIM.sub(r"\2", source))
    if problems:
        raise BadInput(problems)
    return unbroken(text)


def unbroken(text: str) -> str:
    """The text with spaces that no line breaks at in `95 %` and `n = 50`."""
    return re.sub(r"\bn = (?=\d)", "n\u00a0=\u00a0", re.sub(r"(?<=\d) %", "\u00a0%", text))


# --- the build ----------------------------------------------------------------------------------


def build(results: Path, folder: Path, out: Path) -> dict[str, Verdict]:
    """Write paper.pdf, paper.md and numbers.json; returns the verdicts of all claims.

    `folder` holds source.md and what belongs to it. `BadInput` says what stopped the build.
    """
    source = _source(folder)
    if found := typed_numbers(source):
        where = "paper/source.md"
        raise BadInput(Problem(where, f"a number is typed by hand: {line}") for line in found)
    refuse_unmatched(source)
    runs = Runs(results)
    verdicts = judge(runs, sentences(source))
    floats = Floats(runs, folder, numbered(source))
    values: dict[str, Value] = {}
    for_print = fill(source, runs, floats.for_print, values)
    for_reading = fill(source, runs, floats.for_reading, values)
    numbers = {call: asdict(value) for call, value in sorted(values.items())}
    made = {
        "paper.pdf": _pdf(for_print, folder),
        "paper.md": _markdown(for_reading, folder).encode(),
        "numbers.json": f"{json.dumps(numbers, indent=1, ensure_ascii=False)}\n".encode(),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, content in made.items():
        atomic_write(out / name, content)
    return verdicts


def _source(folder: Path) -> str:
    path = folder / "source.md"
    try:
        return read_file(path).decode("utf-8")
    except UnicodeError as error:
        raise refusal(path, "is no UTF-8 text") from error


def _pdf(text: str, folder: Path) -> bytes:
    """The PDF, from Typst's own fonts and no network; a warning of Typst's is an error."""
    body = pypandoc.convert_text(text, "typst", format="markdown", extra_args=["--columns=1000"])
    names = f"#let title = {json.dumps(TITLE)}\n#let author = {json.dumps(AUTHOR)}\n"
    template = (folder / "template.typ").read_text(encoding="utf-8")
    references = '\n#bibliography("references.bib", style: "springer-basic-author-date")\n'
    main = folder / ".paper.typ"
    try:
        main.write_text(names + template + body + references, encoding="utf-8")
        made, warned = typst.compile_with_warnings(
            str(main), root=str(folder.parent), ignore_system_fonts=True, format="pdf"
        )
    except typst.TypstError as error:
        raise refusal("paper/source.md", f"Typst refuses it: {error}") from error
    finally:
        main.unlink(missing_ok=True)
    if warned:
        messages = [f"Typst warns: {warning.message}" for warning in warned]
        raise BadInput(Problem("paper/source.md", message) for message in messages)
    return made


def _markdown(text: str, folder: Path) -> str:
    """The text for GitHub: numbered headings under one title, citations linked to references."""
    options = ["--citeproc", f"--bibliography={folder / 'references.bib'}"]
    options += ["--metadata=link-citations:true", "--shift-heading-level-by=1"]
    options += ["--wrap=none", "--columns=1000"]
    counted = numbered_headings(text) + "\n\n# References\n\n::: {#refs}\n:::\n"
    body = pypandoc.convert_text(
        counted, "gfm", format="markdown-implicit_figures", extra_args=options
    )
    head = f"<!-- Made by `make paper` from source.md. -->\n\n# {TITLE}\n\n{AUTHOR}"
    return f"{head} · [PDF](paper.pdf)\n\n{body}"


def numbered_headings(text: str) -> str:
    """The Markdown with `3` or `3.1` before headings of two levels, unless `{.unnumbered}`."""
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


app = command("paper", "study paper\nstudy paper --claims")


@app.default
def build_paper(
    *,
    results: Path = Path("results/main"),
    paper: Path = Path("paper"),
    out: Path | None = None,
    claims: bool = False,
) -> int:
    """Build the paper (PDF and Markdown) from stored results; trains nothing, needs no network.

    The exit code is 1 if `--claims` finds a claim that the results refute.

    Parameters
    ----------
    results
        A results folder.
    paper
        The folder of source.md.
    out
        The folder to write to, by default that of source.md.
    claims
        Only list every claim with its verdict, its numbers and the runs that they rest on.
    """
    if claims:
        return _list_claims(Runs(results), sentences(_source(paper)))
    verdicts = build(results, paper, out or paper)
    print(f"{out or paper}/paper.pdf, paper.md, numbers.json: {len(verdicts)} claims hold")
    return 0


def _list_claims(runs: Runs, said: dict[str, str]) -> int:
    failed = 0
    for name, judged in CLAIMS.items():
        verdict = judged(runs)
        failed += not verdict.holds
        outcome = "holds" if verdict.holds else "FAILS"
        print(f"{outcome}  {name}\n  {said.get(name, '(no sentence)')}")
        for label, value in verdict.evidence.items():
            print(f"    {label}: {value.text}  n = {value.n}  ({value.source})")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run(app))
