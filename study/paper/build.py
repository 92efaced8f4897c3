"""Build the paper in all its forms from its text and stored results."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pypandoc
import typst

from study.errors import BadInput, Problem
from study.grid import Results, atomic_write
from study.paper.claims import Verdict, judge
from study.paper.floats import Floats, numbered
from study.paper.latex import archive
from study.paper.text import (
    AUTHOR,
    DATE,
    FRONT,
    PLACEHOLDER,
    TITLE,
    fill,
    numbered_headings,
    read_source,
    spoken,
)
from study.paper.values import VALUES, Value

REFERENCES = "\n\n# References\n\n::: {#refs}\n:::\n"


def build(results: Results, folder: Path, out: Path) -> dict[str, Verdict]:
    """Write the paper in all its forms to `out`, and return the verdicts of all claims.

    The forms are paper.pdf; paper.md, for the repository; paper.html, for browsers; and latex.zip,
    for archives. The numbers of the paper go to numbers.json.

    `folder` holds source.md, its templates and its references. If there is an error in the text or
    the results, the build writes nothing and raises `BadInput`.
    """
    source = read_source(folder)
    verdicts = judge(results, spoken(source, results))
    floats = Floats(results, folder, numbered(source))
    values: dict[str, Value] = {}
    filled = partial(fill, results=results, values=values)
    files = {
        "paper.pdf": _pdf(filled(source, insert=floats.for_print), folder),
        "paper.md": _markdown(filled(source, insert=floats.for_reading), folder).encode(),
        "paper.html": _article(filled(_titled(source), insert=floats.for_browser), folder).encode(),
        "latex.zip": archive(filled(source, insert=floats.for_archive), folder, floats.archived()),
    }
    numbers = {call: asdict(value) for call, value in sorted(values.items())}
    files["numbers.json"] = f"{json.dumps(numbers, indent=1, ensure_ascii=False)}\n".encode()
    out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        atomic_write(out / name, content)
    return verdicts


def _pdf(text: str, folder: Path) -> bytes:
    """Return the PDF of the text, set in the fonts that come with Typst.

    Raises `BadInput` for an error or a warning from Typst.
    """
    body = pypandoc.convert_text(text, "typst", format="markdown", extra_args=["--columns=1000"])
    given = {"title": TITLE, "author": AUTHOR, "date": DATE}
    names = "".join(f"#let {name} = {json.dumps(text)}\n" for name, text in given.items())
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
    options = [*_cited(folder), "--shift-heading-level-by=1"]
    body = pypandoc.convert_text(
        numbered_headings(text) + REFERENCES,
        "gfm",
        format="markdown-implicit_figures",
        extra_args=options,
    )
    head = f"<!-- Made by `make paper` from source.md. -->\n\n# {TITLE}\n\n{AUTHOR}, {DATE}"
    return f"{head} · [PDF](paper.pdf) · [article](paper.html)\n\n{body}"


def _article(text: str, folder: Path) -> str:
    """Return the text as an HTML page that needs no network, with figures as SVG and MathML.

    The page refers to the stored figures, which lie beside it in the repository.
    """
    options = [*_cited(folder), "--standalone", f"--template={folder / 'template.html'}"]
    options += [*FRONT, "--mathml", "--toc", "--toc-depth=2", "--section-divs"]
    options += [f"--variable=root:{os.path.relpath(folder.parent, folder)}"]
    counted = numbered_headings(text) + REFERENCES
    return pypandoc.convert_text(counted, "html", format="markdown", extra_args=options)


def _cited(folder: Path) -> list[str]:
    """Return options of pandoc that make citations link to the references, and keep lines whole."""
    options = ["--citeproc", f"--bibliography={folder / 'references.bib'}"]
    return [*options, "--metadata=link-citations:true", "--wrap=none", "--columns=1000"]


def _titled(source: str) -> str:
    """Return the paper's text in which each number shows its key when it is pointed at."""

    def title(match: re.Match) -> str:
        call = " ".join(match[1].split())
        return f'[{match[0]}]{{.number title="{call}"}}' if call.split()[0] in VALUES else match[0]

    return PLACEHOLDER.sub(title, source)
