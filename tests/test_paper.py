"""The paper: the same bytes twice, and everything that must stop the build stops it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from study.errors import BadInput
from study.paper import __main__ as paper
from study.paper import claims
from study.paper.__main__ import build, fill, sentences, typed_numbers
from study.paper.claims import CLAIMS, Verdict, comparisons
from study.paper.floats import Floats
from study.paper.values import Runs, value_of

ROOT = Path(__file__).parent.parent
MAIN, PAPER = ROOT / "results" / "main", ROOT / "paper"
SOURCE = (PAPER / "source.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def results() -> Runs:
    return Runs.read(MAIN)


@pytest.fixture(scope="module")
def floats(results):
    return Floats(results, PAPER, {})


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    build(MAIN, PAPER, folder)
    return folder


@pytest.mark.parametrize("name", ["paper.pdf", "paper.md", "numbers.json"])
def test_the_committed_paper_is_what_the_results_give_to_the_last_byte(built, name):
    assert (built / name).read_bytes() == (PAPER / name).read_bytes(), (
        "`make paper` brings it up to date"
    )


def test_a_value_has_its_estimate_interval_n_and_source(results):
    value = value_of(results, "solved headline lstm sgd")
    assert (value.estimate, value.n) == (183 / 200, 200)
    assert value.text == f"{value.estimate:.3f} [{value.low:.3f}, {value.high:.3f}]"
    assert value.source.startswith("headline lstm sgd: 200 runs, ")


def test_an_entry_of_a_table_has_its_interval_and_n(results):
    value = value_of(results, "entry forum/answers/loops solved step_after=epoch zeroed=false")
    share = value_of(results, "solved forum/post update_per=epoch accumulate=true")
    assert (value.estimate, value.n) == (share.estimate, share.n)
    assert value.low == pytest.approx(share.low, abs=1e-5)
    assert value.text == f"{value.estimate:.3f} [{value.low:.3f}, {value.high:.3f}]"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("solvd headline", "did you mean 'solved'"),
        ("solved headlin", "did you mean 'headline'"),
        ("solved headline lstn", "did you mean 'lstm'"),
        ("solved headline lstm adam lr=7", "matches no run"),
        ("solved headline", "would pool runs that differ in cell"),
        ("constant_answer", "missing a required argument"),
        ("figure convergance", "did you mean 'convergence'"),
        ("table headlines", "did you mean 'headline'"),
        ("entry forum/answers/loop solved", "loop.csv.*is not there"),
        ("entry forum/answers/loops solved zeroed=true", "matches 3 rows"),
        ("entry forum/answers/loops solvd zeroed=false step_after=epoch", "did you mean 'solved'"),
        ("entry forum/answers/loops solved zeroing=false", "did you mean 'zeroed'"),
        ("solved form/post", "form"),
        ("rows main/audit pases=true", "did you mean 'passes'"),
        ("figure forum/post_change", "did you mean 'post_changes'"),
    ],
)
def test_an_unknown_or_stale_name_stops_the_build(results, floats, call, message):
    with pytest.raises(BadInput, match=message):
        fill(f"Some {{{{{call}}}}}.", results, floats)


def test_a_flipped_result_stops_the_build_and_names_the_sentence(results):
    """One LSTM of the block with a cut gradient is made unsolved, and one claim alone breaks."""
    frame = results.frame.copy()
    said = sentences(SOURCE)
    (row, *_) = results.rows("states", "lstm", "cut_every=1").index
    frame.loc[row, ["status", "converged_update"]] = ["unsolved", None]
    with pytest.raises(BadInput) as caught:
        claims.judge(Runs(frame, results.folder), said)
    (problem,) = caught.value.problems
    assert "one_step_gradient_suffices" in problem.where
    assert said["one_step_gradient_suffices"] in problem.message


TURNED = {  # by table: the columns that claims read, each with what it is subtracted from
    "forum/answers/zeroing": {"gain": 0},
    "forum/answers/loops": {"solved": 1.3},
    "forum/answers/changes": {"solved_gain": 0, "solved": 1, "ends_near": 50},
    "forum_factorial/answers/effects": {"log_odds_ratio": 0},
    "main/figures/length_generalisation": {"estimate": 1},
    "main/figures/solved_map": {"estimate": 20},
    "main/audit": {"passes": 1},
    "main/dynamics/verdicts": {"estimate": 1},
}

UPSIDE_DOWN = {  # measures of the verdicts that claims bound to one side of one half: the other end
    r"solved by training, hidden size 1$": 1.0,
    r"solved by guessing": 0.0,
}


@pytest.fixture(scope="module")
def turned(tmp_path_factory) -> Path:
    """The tables that claims rest on: each share turned into one minus it, each difference into its negative."""
    folder = tmp_path_factory.mktemp("results")
    for name, columns in TURNED.items():
        table = pd.read_csv(MAIN.parent / f"{name}.csv", keep_default_na=False, na_values=[""])
        table = table.replace({"estimate": np.inf}, 5.0)
        for column, whole in columns.items():
            low, high = (
                ("low", "high") if column in ("estimate", "log_odds_ratio") else _bounds(column)
            )
            turned = {low: table[high], high: table[low]} if low in table else {}
            values = {column: table[column].astype(float)} | turned
            table = table.assign(**{target: whole - value for target, value in values.items()})
        for measure, value in UPSIDE_DOWN.items() if name == "main/dynamics/verdicts" else ():
            table.loc[table["measure"].str.match(measure), ["estimate", "low", "high"]] = value
        path = folder / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(path, index=False)
    return folder / "main"


def _bounds(column: str) -> tuple[str, str]:
    return f"{column}_low", f"{column}_high"


@pytest.mark.parametrize("name", CLAIMS)
def test_every_claim_can_fail(results, turned, name):
    """With solved and unsolved exchanged in every run, and the tables turned, no claim is left standing."""
    frame = results.frame.copy()
    solved = frame["converged_update"].notna()
    frame["converged_update"] = frame["max_updates"].astype(float).where(~solved)
    frame["accuracy"] = 1 - frame["accuracy"] / 2
    frame.loc[["headline" in names for names in frame["blocks"]], "lr"] = 30.0
    devices = Runs.read(MAIN.parent / "devices").frame.copy()
    devices.loc[
        (devices["dtype"] == "float64") & (devices["engine"] == "fused"), "converged_update"
    ] += 5
    turned_runs = Runs(frame, turned, {"devices": Runs(devices)})
    assert not CLAIMS[name](turned_runs).holds


def test_a_sentence_without_predicate_and_a_predicate_without_sentence_stop_the_build(
    results, monkeypatch
):
    monkeypatch.setattr(claims, "CLAIMS", {"known": lambda _: Verdict(True, {})})
    with pytest.raises(BadInput) as caught:
        claims.judge(results, {"knwn": "Water is wet."})
    unknown, unsaid = caught.value.problems
    assert "did you mean 'known'" in unknown.message
    assert "Water is wet." in unknown.message
    assert (unsaid.where, unsaid.message) == ("claim known", "has no sentence in the text")


def test_no_number_is_typed():
    assert typed_numbers(SOURCE) == []
    assert typed_numbers("It took 575 updates.")
    assert typed_numbers("It took six hundred updates.")
    assert typed_numbers("Each of the eleven or the twelve pairs.")
    assert typed_numbers("A cycle of period two, from one start.") == []
    assert typed_numbers("It took {{median headline lstm sgd}} updates with $x_0 = 1$.") == []


def test_a_number_stays_with_its_unit():
    assert paper.unbroken("n = 50 runs, 95 % intervals, in = out") == (
        "n\u00a0=\u00a050 runs, 95\u00a0% intervals, in = out"
    )


def test_headings_are_numbered_as_in_print():
    source = "# Abstract {.unnumbered}\n\n# A\n\n## B\n\n## C\n\n# D\n\n## E\n"
    assert paper.numbered_headings(source).split("\n\n") == [
        *("# Abstract", "# 1 A", "## 1.1 B", "## 1.2 C", "# 2 D", "## 2.1 E\n")
    ]


def test_holm_is_over_the_whole_family(results):
    """The largest corrected p is at least the largest raw one, and the smallest is multiplied by the family's size."""
    raw = {c: comparisons._difference(results, c)[1] for c in comparisons.FAMILY}
    adjusted = {c: p for c, (_, p) in comparisons.compared(results).items()}
    first = min(raw, key=lambda comparison: raw[comparison])
    assert adjusted[first] == pytest.approx(min(raw.values()) * len(raw))
    assert all(adjusted[c] >= raw[c] for c in raw)


def test_pairs_that_are_none_are_refused(results):
    with pytest.raises(BadInput, match="no pairs of one seed each"):
        comparisons._difference(
            results, comparisons.Comparison("headline", ("lstm",), ("lstm", "sgd"), "solved")
        )


def test_a_warning_of_typst_stops_the_build(tmp_path):
    (tmp_path / "template.typ").write_text('#set text(font: "No Such Font")\n')
    (tmp_path / "references.bib").write_text("")
    with pytest.raises(BadInput, match="Typst warns"):
        paper._pdf("Text.", tmp_path)


def test_claims_are_listed_with_their_runs(capsys):
    assert paper.main(["--claims", "--results", str(MAIN), "--paper", str(PAPER)]) == 0
    listed = capsys.readouterr().out
    assert listed.count("holds  ") == len(CLAIMS)
    assert "200 runs, " in listed
