"""Define the command `study paper`, which builds the paper from stored results.

The text, `paper/source.md`, has placeholders of three kinds:

- numbers, such as `{{solved headline lstm sgd}}`, which functions in `VALUES` compute;
- figures and tables, such as `{{figure convergence}}` and `{{table headline}}`, and references to
  them, such as `{{see figure convergence}}`;
- claims, written `{% claim name %}…{% end %}`, which are sentences that functions in `CLAIMS` check
  against the results.

The build writes `paper/paper.pdf` (with pandoc and Typst), `paper/paper.md` (the same text for the
repository) and `paper/numbers.json` (each number with its interval, n and source). Any error stops
the build.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import matplotlib
import pypandoc
import typst

from study.command import command, run
from study.errors import BadInput, Problem, echo
from study.grid import Results, atomic_write, read_file
from study.paper.claims import CLAIMS, Verdict, judge
from study.paper.floats import Floats, numbered, refuse_unmatched
from study.paper.values import Value, value_of
from study.shipped import shipped

TITLE = "How recurrent state carries an alternating pattern"
AUTHOR = "The study's maintainers"
PLACEHOLDER = re.compile(r"\{\{\s*(.+?)\s*\}\}")
CLAIM = re.compile(r"\{% claim (\S+) %\}(.*?)\{% end %\}", flags=re.S)
# Numbers that may be typed: labels, the level of intervals, ranges of decays, keys of citations,
# and numbers that a definition fixes.
ALLOWED = [
    re.compile(pattern, flags=re.I)
    for pattern in (
        r"\$\$.*?\$\$|\$[^$]*\$",  # mathematics
        r"@\w+",
        r"\b1, 0, 1, 0\b",
        r"\blabel is 1 at even steps and 0 at odd ones\b",
        r"\bStep 0\b",
        r"\banswering 0\b",
        r"\bdecays between (0|−1) and 1\b",
        r"\b95 %",
    )
]


# --- the text -----------------------------------------------------------------------------------


def typed_numbers(source: str) -> list[str]:
    """Return an excerpt of each line in which the paper's author typed a number by hand.

    `source` is the paper's text. Its numbers must come from placeholders, which are filled in from
    the results. Only numbers that match a pattern in `ALLOWED` may be typed.
    """
    lines = []
    for number, line in enumerate(source.splitlines(), 1):
        rest = PLACEHOLDER.sub("", re.sub(r"\{%.*?%\}", "", line))
        for pattern in ALLOWED:
            rest = pattern.sub("", rest)
        if match := re.search(r"\d+", rest):
            lines.append(f"line {number}: …{rest[max(match.start() - 30, 0) : match.end() + 20]}…")
    return lines


def sentences(source: str) -> dict[str, str]:
    """Return the sentence of each claim in the paper's text `source`, by the claim's name.

    The claims are in the order of the text. Several sentences of one claim are joined by ` / `.
    """
    found: dict[str, str] = {}
    for name, sentence in CLAIM.findall(source):
        found[name] = f"{found[name]} / {sentence}" if name in found else sentence
    return found


def spoken(source: str, results: Results) -> dict[str, str]:
    """Return what `sentences` returns, but with all placeholders in the sentences filled in."""
    numbers, values = numbered(source), {}

    def refer(kind: str, call: str) -> str:
        kind, _, call = call.partition(" ")
        return f"{kind.capitalize()} {numbers[kind, call]}"

    found = sentences(source)
    texts = {name: fill(text, results, refer, values) for name, text in found.items()}
    return {name: re.sub(r"\\(?=[\[\]])", "", text) for name, text in texts.items()}


def fill(
    source: str, results: Results, insert: Callable[[str, str], str], values: dict[str, Value]
) -> str:
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


# --- the build ----------------------------------------------------------------------------------


def build(results: Results, folder: Path, out: Path) -> dict[str, Verdict]:
    """Write paper.pdf, paper.md and numbers.json to `out`, and return the verdicts of all claims.

    `folder` holds source.md, its template and its references. If there is an error in the text or
    the results, the build writes nothing and raises `BadInput`.
    """
    source = _source(folder)
    if lines := typed_numbers(source):
        messages = [f"replace the typed number by a placeholder in {line}" for line in lines]
        raise BadInput(Problem("paper/source.md", message) for message in messages)
    refuse_unmatched(source)
    verdicts = judge(results, spoken(source, results))
    floats = Floats(results, folder, numbered(source))
    values: dict[str, Value] = {}
    for_print = fill(source, results, floats.for_print, values)
    for_reading = fill(source, results, floats.for_reading, values)
    numbers = {call: asdict(value) for call, value in sorted(values.items())}
    files = {
        "paper.pdf": _pdf(for_print, folder),
        "paper.md": _markdown(for_reading, folder).encode(),
        "numbers.json": f"{json.dumps(numbers, indent=1, ensure_ascii=False)}\n".encode(),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        atomic_write(out / name, content)
    return verdicts


def _source(folder: Path) -> str:
    return read_file(folder / "source.md").decode("utf-8")


def _pdf(text: str, folder: Path) -> bytes:
    """Return the PDF of the text, set in the fonts that come with Typst.

    Raises `BadInput` for an error or a warning from Typst.
    """
    body = pypandoc.convert_text(text, "typst", format="markdown", extra_args=["--columns=1000"])
    names = f"#let title = {json.dumps(TITLE)}\n#let author = {json.dumps(AUTHOR)}\n"
    template = (folder / "template.typ").read_text(encoding="utf-8")
    references = '\n#bibliography("references.bib", style: "springer-basic-author-date")\n'
    main = folder / ".paper.typ"
    try:
        main.write_text(names + template + body + references, encoding="utf-8")
        pdf, warnings = typst.compile_with_warnings(
            str(main), root=str(folder.parent), ignore_system_fonts=True, format="pdf"
        )
    except typst.TypstError as error:
        raise BadInput.at("paper/source.md", f"Typst cannot compile it: {error}") from error
    finally:
        main.unlink(missing_ok=True)
    if messages := [f"Typst warns: {warning.message}" for warning in warnings]:
        raise BadInput(Problem("paper/source.md", message) for message in messages)
    return pdf


def _markdown(text: str, folder: Path) -> str:
    """Return the text as Markdown for GitHub, with the paper's title and numbered headings.

    Citations link to the list of references at the end.
    """
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
    """Build the paper (PDF and Markdown) from stored results.

    Nothing is trained, and no internet access is needed. With `--claims` the exit code is 1 if the
    results refute a claim.

    Parameters
    ----------
    results
        A results folder, such as results/main.
    paper
        The folder that holds source.md.
    out
        The folder to write to. The default is the folder of source.md.
    claims
        Build nothing, and list each claim with its verdict and the numbers and runs behind it.
    """
    if not (paper / "source.md").is_file():
        copy = (
            f"to start from the source of this study's paper, type: cp -r {shipped('paper')} paper"
        )
        raise BadInput.at(str(paper), f"has no file source.md; {copy}")
    matplotlib.use("Agg")  # files only; no display is needed
    if claims:
        found = Results(results)
        return _list_claims(found, spoken(_source(paper), found))
    verdicts = build(Results(results), paper, out or paper)
    echo(f"wrote paper.pdf, paper.md, numbers.json to {out or paper}; {len(verdicts)} claims hold")
    return 0


def _list_claims(results: Results, sentence_of: dict[str, str]) -> int:
    verdicts = {name: claim(results) for name, claim in CLAIMS.items()}
    for name, verdict in verdicts.items():
        outcome = "holds" if verdict.holds else "FAILS"
        echo(f"{outcome}  {name}\n  {sentence_of.get(name, '(no sentence in the text)')}")
        for label, value in verdict.evidence.items():
            echo(f"    {label}: {value.text}  n = {value.n}  ({value.source})")
    return int(not all(verdict.holds for verdict in verdicts.values()))


if __name__ == "__main__":
    sys.exit(run(app))
