"""The paper's figures and tables: numbered, referred to by number, all of them in the text and up to date."""

from pathlib import Path

import pandas as pd
import pytest

from study.errors import BadInput
from study.paper.floats import Floats, numbered, refuse_stale, refuse_unmatched
from study.paper.tables import Table
from study.paper.values import Runs

ROOT = Path(__file__).parent.parent
TEXT = (
    "{{see table a}} {{figure b}} {{see figure o/c}} {{figure o/c}} {{ table a }} {{see  figure b}}"
)


@pytest.fixture
def floats():
    """A figure and a table that are already made."""
    made = Floats(
        Runs(pd.DataFrame(), ROOT / "results" / "main"),
        ROOT / "paper",
        numbered("{{figure task}} {{table headline}}"),
    )
    made.stored["task"] = ("A network at work.", "The task.")
    made.tables["headline"] = Table("| a |\n|:--|", "Runs.")
    return made


def test_figures_and_tables_are_numbered_apart_in_the_order_of_the_text():
    assert numbered(TEXT) == {("figure", "b"): 1, ("figure", "o/c"): 2, ("table", "a"): 1}
    refuse_unmatched(TEXT)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f"{TEXT} {{{{figure d}}}}",
            "figure d: is inserted and never referred to; write {{see figure d}}",
        ),
        (f"{TEXT} {{{{see figure a}}}}", "figure a: is referred to and never inserted"),
        (f"{TEXT} {{{{table a}}}}", "table a: is inserted twice"),
    ],
)
def test_what_is_not_matched_stops_the_build(text, message):
    with pytest.raises(BadInput) as caught:
        refuse_unmatched(text)
    (problem,) = caught.value.problems
    assert f"{problem.where}: {problem.message}".startswith(f"paper/source.md, {message}")


def test_in_print_they_have_labels_that_references_name(floats):
    assert floats("see", "figure task") == "`#ref(<figure-task>)`{=typst}"
    assert (
        floats("figure", "task") == "![The task.](../results/main/figures/task.pdf){#figure-task}"
    )
    assert floats("see", "table headline") == "`#ref(<table-headline>)`{=typst}"
    assert floats("table", "headline").endswith("\n: Runs. {#table-headline}\n")


def test_for_reading_they_have_numbers_and_anchors_that_references_link_to(floats):
    reading = floats.for_reading()
    assert reading("see", "figure task") == "[Figure\u00a01](#figure-1)"
    anchor, picture, caption = reading("figure", "task").split("\n\n")
    assert (anchor, caption) == ('<a id="figure-1"></a>', "**Figure 1.** The task.")
    assert picture == ("![A network at work.](../results/main/figures/task.png)")
    assert reading("see", "table headline") == "[Table\u00a01](#table-1)"
    assert reading("table", "headline").startswith(
        '<a id="table-1"></a>\n\n**Table 1.** Runs.\n\n| a |'
    )


@pytest.mark.parametrize("of", [Floats.for_reading, lambda floats: floats])
def test_a_reference_to_what_is_not_in_the_text_is_refused(floats, of):
    with pytest.raises(BadInput, match="did you mean 'table headline'"):
        of(floats)("see", "table headlines")


def test_a_figure_that_is_not_of_the_results_stops_the_build(tmp_path):
    for name in ("c.txt", "c.csv"):
        (tmp_path / name).write_text("old\n")
    with pytest.raises(BadInput, match="is not what the results give"):
        refuse_stale(tmp_path, "c", "new", lambda **_: "new")
