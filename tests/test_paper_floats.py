"""The paper's figures and tables: numbered, referred to by number, and up to date."""

from pathlib import Path

import pytest
from drawn import write_results

from study.errors import BadInput
from study.grid import Results
from study.paper.floats import Floats, numbered, refuse_stale, refuse_unmatched
from study.paper.tables import TABLES, Table

ROOT = Path(__file__).parent.parent
TEXT = (
    "{{see table a}} {{figure b}} {{see figure o/c}} {{figure o/c}} {{ table a }} {{see  figure b}}"
)


@pytest.fixture
def floats() -> Floats:
    """Floats of which a figure and a table have been made already."""
    numbers = numbered("{{figure task}} {{table headline}}")
    made = Floats(Results(ROOT / "results" / "main"), ROOT / "paper", numbers)
    made.figures["task"] = ("A network at work.", "The task.")
    made.tables["headline"] = Table("| a |\n|:--|", "Runs.")
    return made


def test_figures_and_tables_are_numbered_apart_in_the_order_of_the_text():
    assert numbered(TEXT) == {("figure", "b"): 1, ("figure", "o/c"): 2, ("table", "a"): 1}
    refuse_unmatched(TEXT)


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ("{{figure d}}", "figure d: is inserted but never referred to; write {{see figure d}}"),
        ("{{see figure a}}", "figure a: is referred to but never inserted"),
        ("{{table a}}", "table a: is inserted twice"),
    ],
)
def test_unmatched_insertions_and_references_stop_the_build(added, message):
    with pytest.raises(BadInput) as caught:
        refuse_unmatched(f"{TEXT} {added}")
    (problem,) = caught.value.problems
    assert str(problem).startswith(f"paper/source.md, {message}")


def test_in_print_floats_have_labels_that_references_name(floats):
    assert floats.for_print("see", "figure task") == "`#ref(<figure-task>)`{=typst}"
    picture = "![The task.](../results/main/figures/task.pdf){#figure-task}"
    assert floats.for_print("figure", "task") == picture
    assert floats.for_print("table", "headline").endswith("\n: Runs. {#table-headline}\n")


def test_for_reading_floats_have_numbers_and_anchors_that_references_link_to(floats):
    assert floats.for_reading("see", "figure task") == "[Figure\u00a01](#figure-1)"
    assert floats.for_reading("figure", "task").split("\n\n") == [
        '<a id="figure-1"></a>',
        "![A network at work.](../results/main/figures/task.png)",
        "**Figure 1.** The task.",
    ]
    table = '<a id="table-1"></a>\n\n**Table 1.** Runs.\n\n| a |\n|:--|\n'
    assert floats.for_reading("table", "headline") == table


def test_for_archives_floats_have_labels_and_the_archive_has_their_files(floats):
    assert floats.for_archive("see", "table headline") == r"`Table~\ref{table-headline}`{=latex}"
    picture = "![The task.](figures/task.pdf){#figure-task}"
    assert floats.for_archive("figure", "task") == picture
    stored = ROOT / "paper" / "../results/main/figures/task.pdf"
    assert floats.archived() == {"figures/task.pdf": stored}


def test_for_browsers_floats_are_pictures_and_tables_that_references_link_to(floats):
    assert floats.for_browser("see", "table headline") == "[Table\u00a01](#table-1)"
    picture = "![**Figure 1.** The task.](../results/main/figures/task.svg)"
    alt = '{#figure-1 alt="A network at work."}'
    assert floats.for_browser("figure", "task") == picture + alt
    assert "::: wide\n| a |\n|:--|\n:::" in floats.for_browser("table", "headline")


def test_a_reference_to_an_unknown_float_is_refused(floats):
    for insert in (floats.for_print, floats.for_archive, floats.for_reading, floats.for_browser):
        with pytest.raises(BadInput, match="did you mean 'table headline'"):
            insert("see", "table headlines")


def test_a_figure_that_does_not_match_the_results_stops_the_build(tmp_path):
    for name in ("c.txt", "c.csv"):
        (tmp_path / name).write_text("old\n")
    refuse_stale(tmp_path, "c", "old", "old\n")
    with pytest.raises(BadInput, match="does not match the results"):
        refuse_stale(tmp_path, "c", "new", "old\n")


def test_a_lower_threshold_changes_nothing_if_curves_stay_below_it(tmp_path):
    """Three of four runs solve the task, at updates 20, 20 and 40; the other stops at 100."""
    table = TABLES["thresholds"](Results(write_results(tmp_path / "results")))
    (adam,) = (line for line in table.markdown.splitlines() if "LSTM | Adam" in line)
    numbers = [cell.split()[0] for cell in adam.strip("| ").split(" | ")[2:]]
    assert numbers == ["0.750", "0.750", "45", "45"]
    assert "in 3 successive evaluations" in table.caption
