"""Define the command `study paper`, which builds the paper from stored results.

`study.paper.text` explains the placeholders in the paper's text. Any error stops the build.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

from study.command import command, run
from study.errors import BadInput, echo
from study.grid import Results
from study.paper.build import build
from study.paper.claims import CLAIMS
from study.paper.text import read_source, spoken
from study.shipped import shipped

app = command("paper", "study paper\nstudy paper --claims")


@app.default
def build_paper(
    *,
    results: Path = Path("results/main"),
    paper: Path = Path("paper"),
    out: Path | None = None,
    claims: bool = False,
) -> int:
    """Build the paper (PDF, Markdown, HTML and LaTeX) from stored results.

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
        return _list_claims(found, spoken(read_source(paper), found))
    verdicts = build(Results(results), paper, out or paper)
    files = "paper.pdf, paper.md, paper.html, latex.zip, numbers.json"
    echo(f"wrote {files} to {out or paper}; {len(verdicts)} claims hold")
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
