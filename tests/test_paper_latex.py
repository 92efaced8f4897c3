"""The LaTeX source of the paper: each fault that LaTeX would find is found without it."""

from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest

from study.errors import BadInput
from study.paper.latex import LONG_AGO, archive, faults

PAPER = Path(__file__).parent.parent / "paper"
SOUND = r"""
\begin{figure}\includegraphics[width=1in]{figures/a.pdf}\label{figure-a}\end{figure}
Figure~\ref{figure-a} shows “−1”.
"""
MINUS = r"\DeclareUnicodeCharacter{2212}{\ensuremath{-}}"


def test_a_sound_source_has_no_faults():
    assert faults(SOUND, ["figures/a.pdf"], MINUS) == []


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (r"\end{figure}", "", "the environment figure is not closed"),
        (r"\begin{figure}", "", "the environment figure is closed, but not open"),
        (r"\label{figure-a}", "", "the label figure-a is missing"),
        ("Figure~", r"\label{figure-a}", "the label figure-a occurs twice"),
        ("a.pdf", "b.pdf", "figures/b.pdf is not in the archive"),
        ("−", "⁻", "LaTeX does not know ⁻ (U+207B)"),
    ],
)
def test_each_fault_is_found(before, after, message):
    (found,) = faults(SOUND.replace(before, after), ["figures/a.pdf"], MINUS)
    assert found.startswith(message)


def test_the_archive_has_its_figures_and_references_and_no_dates(tmp_path):
    (tmp_path / "a.pdf").write_bytes(b"a picture")
    figures = {"figures/a.pdf": tmp_path / "a.pdf"}
    text = "See `Figure~\\ref{figure-a}`{=latex} and @cho2014.\n\n"
    text += "![A.](figures/a.pdf){#figure-a}\n"
    with ZipFile(BytesIO(archive(text, PAPER, figures))) as files:
        assert files.read("figures/a.pdf") == b"a picture"
        assert r"\bibitem[\citeproctext]{ref-cho2014}" in files.read("paper.tex").decode()
        assert {file.date_time for file in files.infolist()} == {LONG_AGO}
    with pytest.raises(BadInput, match="is not in the archive"):
        archive(text, PAPER, {})
