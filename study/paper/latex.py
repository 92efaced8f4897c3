"""Make the LaTeX source of the paper, as an archive such as arXiv accepts it.

The source is one zip: paper.tex, which contains its list of references, and the figures as PDF. It
needs pdfLaTeX and common packages, but neither BibTeX nor internet access.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import pypandoc

from study.errors import BadInput, Problem
from study.grid import read_file
from study.paper.text import FRONT

LONG_AGO = (1980, 1, 1, 0, 0, 0)  # one date for all files, so that equal files give equal bytes
# Characters that LaTeX knows: those of its European fonts, and the signs that pandoc leaves.
KNOWN = re.compile(r"[\x00-\u017f–—‘’“”…†]")


def archive(text: str, folder: Path, figures: Mapping[str, Path]) -> bytes:
    """Return the zip of the paper's LaTeX source.

    `text` is the paper in Markdown, and `folder` holds its references and header.tex. `figures` has
    the PDF of each figure by its path in the zip. Raises `BadInput` if the source is not sound (see
    `faults`).
    """
    tex = source_of(text, folder)
    declared = read_file(folder / "header.tex").decode("utf-8")
    if messages := faults(tex, figures, declared):
        raise BadInput(Problem("paper/source.md, as LaTeX", message) for message in messages)
    files = {"paper.tex": tex.encode()}
    files |= {name: read_file(path) for name, path in figures.items()}
    content = BytesIO()
    with ZipFile(content, "w") as packed:
        for name, data in files.items():
            packed.writestr(ZipInfo(name, LONG_AGO), data, ZIP_DEFLATED)
    return content.getvalue()


def source_of(text: str, folder: Path) -> str:
    """Return the paper as a LaTeX document, with the references of `folder` at its end."""
    options = ["--standalone", "--citeproc", f"--bibliography={folder / 'references.bib'}"]
    options += ["--number-sections", f"--include-in-header={folder / 'header.tex'}"]
    options += [*FRONT, "--metadata=link-citations:true", "--variable=papersize:a4"]
    options += ["--variable=geometry:margin=25mm", "--variable=colorlinks:true", "--wrap=none"]
    references = "\n\n# References {.unnumbered}\n\n::: {#refs}\n:::\n"
    return pypandoc.convert_text(text + references, "latex", "markdown", extra_args=options)


def faults(tex: str, figures: Iterable[str], declared: str) -> list[str]:
    """Return what would stop LaTeX, or leave a gap in the document, as one message per fault.

    These faults are found without LaTeX: environments that are not closed, labels that are missing
    or occur twice, figures that are not in the archive, and characters that LaTeX does not know.
    `figures` are the files of the archive. `declared` is LaTeX that declares more characters.
    """
    messages, opened = [], []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+\*?)\}", tex):
        if kind == "begin":
            opened.append(name)
        elif not opened or opened.pop() != name:
            messages.append(f"the environment {name} is closed, but not open")
    messages += [f"the environment {name} is not closed" for name in opened]
    labels = re.findall(r"\\label\{(.+?)\}", tex)
    messages += [f"the label {label} occurs twice" for label in labels if labels.count(label) > 1]
    referred = re.findall(r"\\ref\{(.+?)\}", tex)
    messages += [f"the label {label} is missing" for label in referred if label not in labels]
    shown = re.findall(r"\\includegraphics(?:\[.*?\])?\{(.+?)\}", tex)
    messages += [f"{path} is not in the archive" for path in shown if path not in {*figures}]
    codes = {chr(int(code, 16)) for code in re.findall(r"DeclareUnicodeCharacter\{(\w+)", declared)}
    strange = sorted({*KNOWN.sub("", tex)} - codes)
    advice = "declare it in paper/header.tex with \\DeclareUnicodeCharacter"
    messages += [f"LaTeX does not know {sign} (U+{ord(sign):04X}); {advice}" for sign in strange]
    return [*dict.fromkeys(messages)]
