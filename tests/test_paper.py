"""The paper: same results, same bytes; and every error that must stop the build stops it."""

import re
from pathlib import Path

import numpy as np
import pytest

from study.__main__ import main
from study.errors import BadInput
from study.grid import Results
from study.paper import build, text
from study.paper.claims import CLAIMS, Verdict, registry
from study.paper.claims.comparisons import FAMILY, Comparison, compared, difference
from study.paper.claims.predicates import CASES, filled
from study.paper.floats import Floats
from study.paper.tables import TABLES
from study.paper.text import fill, sentences, spoken, typed_numbers
from study.paper.trace import read_from
from study.paper.values import Value, read_table, rows_of, value_of

ROOT = Path(__file__).parent.parent
MAIN, PAPER = ROOT / "results" / "main", ROOT / "paper"
SOURCE = (PAPER / "source.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def results() -> Results:
    return Results(MAIN)


def test_the_committed_paper_is_what_the_results_give_to_the_last_byte(tmp_path):
    assert main(["paper", f"--results={MAIN}", f"--paper={PAPER}", f"--out={tmp_path}"]) == 0
    for name in ("paper.pdf", "paper.md", "paper.html", "numbers.json"):
        same = (tmp_path / name).read_bytes() == (PAPER / name).read_bytes()
        assert same, "`make paper` brings it up to date"


def test_a_value_has_its_estimate_interval_n_and_source(results):
    value = value_of(results, "solved headline lstm sgd")
    assert (value.estimate, value.n) == (185 / 200, 200)
    assert value.text == f"{value.estimate:.3f} [{value.low:.3f}, {value.high:.3f}]"
    assert value.source.startswith("headline lstm sgd: 200 runs, ")


def test_an_entry_of_a_table_has_its_interval_and_n(results):
    value = value_of(results, "entry forum/answers/loops solved step_after=epoch zeroed=false")
    share = value_of(results, "solved forum/post update_per=epoch accumulate=true")
    assert (value.estimate, value.n) == (share.estimate, share.n)
    assert value.bounds == pytest.approx(share.bounds, abs=1e-5)
    assert value.text == f"{value.estimate:.3f} [{value.low:.3f}, {value.high:.3f}]"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("solvd headline", "did you mean 'solved'"),
        ("solved headlin", "did you mean 'headline'"),
        ("solved headline lstn", "did you mean 'lstm'"),
        ("solved headline lstm adam lr=7", "matches no run that finished training"),
        ("solved headline", "would pool runs that differ in cell"),
        ("constant_answer", "missing 1 required positional argument"),
        ("figure convergance", "did you mean 'convergence'"),
        ("table headlines", "did you mean 'headline'"),
        ("entry forum/answers/loop solved", "loop.csv.*does not exist"),
        ("entry forum/answers/loops solved zeroed=true", "matches 3 rows"),
        ("entry forum/answers/loops solvd zeroed=false step_after=epoch", "did you mean 'solved'"),
        ("entry forum/answers/loops solved zeroing=false", "did you mean 'zeroed'"),
        ("entry main/dynamics/verdicts estimate H7.flip_sadle", "did you mean 'H7.flip_saddle'"),
        ("entry forum/answers/loops step_after zeroed=false step_after=epoch", "could not convert"),
        ("solved form/post", "form"),
        ("rows main/audit pases=true", "did you mean 'passes'"),
        ("figure forum/post_change", "did you mean 'post_changes'"),
    ],
)
def test_a_placeholder_that_cannot_be_filled_stops_the_build(results, call, message):
    with pytest.raises(BadInput, match=message):
        fill(f"Some {{{{{call}}}}}.", results, Floats(results, PAPER, {}).for_print, {})


def test_a_flipped_result_stops_the_build_and_names_the_sentence(results):
    """One LSTM trained with a cut gradient is made unsolved, and exactly one claim breaks."""
    changed, name = Results(MAIN), "one_step_gradient_suffices"
    row = rows_of(results, "states", "lstm", "cut_every=1").index[0]
    changed.runs = results.runs.copy()
    changed.runs.loc[row, ["status", "converged_update"]] = ["unsolved", None]
    with pytest.raises(BadInput) as caught:
        registry.judge(changed, sentences(SOURCE))
    (problem,) = caught.value.problems
    assert name in problem.where
    assert spoken(SOURCE, results)[name] in problem.message


TURNED = {  # table -> the columns that claims read, each with the number it is subtracted from
    "forum/answers/zeroing": {"gain": 0},
    "forum/answers/loops": {"solved": 1.3},
    "forum/answers/changes": {"solved_gain": 0, "solved": 1, "ends_near": 50},
    "forum_factorial/answers/effects": {"log_odds_ratio": 0},
    "forum_factorial/answers/combinations": {"solved_by_500": 1.3},
    "main/figures/length_generalisation": {"estimate": 1},
    "main/audit": {"passes": 1},
    "main/dynamics/verdicts": {"estimate": 1},
    "dynamics/dynamics/verdicts": {"estimate": 1},
    "resonance/dynamics/verdicts": {"estimate": 1},
    "truncation/dynamics/verdicts": {"estimate": 1},
    "phase/dynamics/verdicts": {"estimate": 1},
    "automata/dynamics/verdicts": {"estimate": 1},
    "forum/answers/plateau": {"left_median_epoch": 6000},
    "series/runs": {"error": 3},
}
# Measures whose value and its complement would both satisfy the claim are set to these instead.
UPSIDE_DOWN = {
    "H7.stable_cycle$": 0.0, "H15.trained/1$": 1.0, "H15.guessed/": 0.0, "R5.rank": -0.5,
    "R8a.without_noise": 1.0,
}  # fmt: skip


def turn(results: Results, folder: Path, only: str = "") -> Results:
    """Copy all results to `folder`, with those below `only` turned.

    In turned results, solved and unsolved are exchanged and each share is one minus itself.
    """
    for name, columns in TURNED.items():
        table = read_table(results, name).replace({"estimate": np.inf}, 5.0)
        is_turned = name.startswith(only)
        for column, whole in columns.items() if is_turned else ():
            prefix = "" if column in ("estimate", "log_odds_ratio") else f"{column}_"
            ends = {f"{prefix}low": f"{prefix}high", f"{prefix}high": f"{prefix}low"}
            pairs = {column: column} | {a: b for a, b in ends.items() if b in table}
            table = table.assign(**{a: whole - table[b].astype(float) for a, b in pairs.items()})
        for key, value in UPSIDE_DOWN.items() if "key" in table and is_turned else ():
            table.loc[table["key"].str.match(key), ["estimate", "low", "high"]] = value
        (folder / f"{name}.csv").parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(folder / f"{name}.csv", index=False)
    turned = Results(folder / "main")
    for name in ("main", "dynamics", "notebook"):
        stored = results if name == "main" else results.beside(name)
        other = turned if name == "main" else turned.beside(name)
        other.planned, other.runs = stored.planned, stored.runs.copy()
        frame, solved = other.runs, stored.runs["converged_update"].notna()
        if name.startswith(only):
            updates = frame["max_updates"].astype(float).where(~solved)
            frame["converged_update"], frame["accuracy"] = updates, 1 - frame["accuracy"] / 2
            frame.loc[["headline" in names for names in frame["blocks"]], "lr"] = 30.0
    stored, devices = results.beside("devices"), turned.beside("devices")
    devices.planned, devices.runs = stored.planned, stored.runs.copy()
    fused = (devices.runs["dtype"] == "float64") & (devices.runs["engine"] == "fused")
    devices.runs.loc[fused, "converged_update"] += 5
    return turned


@pytest.fixture(scope="module")
def turned(results, tmp_path_factory) -> Results:
    """Results in which every folder is turned."""
    return turn(results, tmp_path_factory.mktemp("results"))


@pytest.mark.parametrize("name", CLAIMS)
def test_every_claim_can_fail(turned, name):
    assert not CLAIMS[name](turned).holds


@pytest.fixture(scope="module")
def evidence(results) -> dict[str, dict[str, Value]]:
    """The values that decide each claim."""
    return {name: claim(results).evidence for name, claim in CLAIMS.items()}


def test_the_evidence_of_every_claim_is_traced_to_stored_results(results, evidence):
    sources = {value.source for found in evidence.values() for value in found.values()}
    reads = {read_from(results, source) for source in sources}
    assert [name for name in reads if not (MAIN.parent / name).exists()] == []


@pytest.mark.parametrize("folder", ["dynamics", "notebook", "forum_factorial"])
def test_a_claim_fails_if_one_of_its_folders_refutes_it(results, evidence, folder, tmp_path):
    """Each claim about runs of this folder breaks, although the main folder still supports it."""
    changed = turn(results, tmp_path, only=folder)
    about = re.compile(rf"(^|\s){folder}/")
    read = {name for name, calls in evidence.items() if any(map(about.search, calls))}
    assert read
    assert [name for name in sorted(read) if CLAIMS[name](changed).holds] == []


# The sentence of this claim speaks of the headline's ReLU networks alone.
OF_THE_HEADLINE = {"multipliers_foretell_no_robustness"}


@pytest.mark.parametrize("name", sorted(registry.MECHANISM.keys() - OF_THE_HEADLINE))
def test_a_claim_reads_every_analysed_folder_that_has_its_measures(results, evidence, name):
    for call in evidence[name]:
        other = call.replace("entry main/", "entry dynamics/")
        if other not in evidence[name]:
            with pytest.raises(BadInput, match="unknown key"):
                value_of(results, other)


def test_a_sentence_without_predicate_and_a_predicate_without_sentence_stop_the_build(
    results, monkeypatch
):
    monkeypatch.setattr(registry, "CLAIMS", {"known": lambda _: Verdict(True, {})})
    with pytest.raises(BadInput) as caught:
        registry.judge(results, {"knwn": "Water is wet."})
    unknown, missing = map(str, caught.value.problems)
    assert "did you mean 'known'" in unknown
    assert "Water is wet." in unknown
    assert missing == "claim known: has no sentence in the text"


def test_gaps_are_filled_in_every_combination_and_alike_in_all_texts():
    assert filled("{adaptive} {1|2}") == [
        *(("adam 1",), ("adam 2",), ("rmsprop 1",), ("rmsprop 2",))
    ]
    assert filled("a {gated}", "{gated}") == [("a lstm", "lstm"), ("a gru", "gru")]


def test_no_number_is_typed():
    assert typed_numbers(SOURCE) == []
    assert typed_numbers("It took 575 updates.")
    assert typed_numbers("A cycle of period two, from one start.") == []
    assert typed_numbers("It took {{median headline lstm sgd}} updates with $x_0 = 1$.") == []
    assert typed_numbers("Brackets are {{given 95}} % intervals [@cho2014].") == []
    assert typed_numbers("A formula,\n$$x\n= 1,$$\nand 2.") == ["line 4: …and 2.…"]


def test_a_given_number_stands_as_it_is_typed(results):
    assert fill("At {{given 95}} %.", results, lambda *_: "", {}) == "At 95\u00a0%."


def test_a_typed_number_stops_the_build_and_is_told_how_to_be_marked(tmp_path):
    (tmp_path / "source.md").write_text("It took 575 updates.")
    with pytest.raises(BadInput, match=r"mark it, as in \{\{given 95\}\}: line 1: …It took 575"):
        text.read_source(tmp_path)


def test_a_number_stays_with_its_unit():
    unbroken = text.unbroken("n = 50 runs, 95 % intervals, in = out")
    assert unbroken == "n\u00a0=\u00a050 runs, 95\u00a0% intervals, in = out"


def test_headings_are_numbered_as_in_print():
    source = "# Abstract {.unnumbered}\n\n# A\n\n## B\n\n## C\n\n# D\n\n## E\n"
    numbered = "# Abstract\n\n# 1 A\n\n## 1.1 B\n\n## 1.2 C\n\n# 2 D\n\n## 2.1 E\n"
    assert text.numbered_headings(source) == numbered


def test_holm_corrects_over_the_whole_family(results):
    """No corrected p is below its raw one, and the smallest is multiplied by the family's size."""
    raw = {comparison: difference(results, comparison)[1] for comparison in FAMILY}
    adjusted = {comparison: p for comparison, (_, p) in compared(results).items()}
    first = min(raw, key=lambda comparison: raw[comparison])
    assert adjusted[first] == pytest.approx(raw[first] * len(raw))
    assert all(adjusted[comparison] >= p for comparison, p in raw.items())


def test_groups_that_are_not_paired_are_refused(results):
    with pytest.raises(BadInput, match="the two groups differ in seeds"):
        difference(results, Comparison("headline", "lstm", "lstm sgd", "solved"))


def test_a_warning_of_typst_stops_the_build(tmp_path):
    (tmp_path / "template.typ").write_text('#set text(font: "No Such Font")\n')
    (tmp_path / "references.bib").write_text("")
    with pytest.raises(BadInput, match="Typst warns"):
        build._pdf("Text.", tmp_path)


ANCHORS = re.compile(r'(?:href|src)="([^"]*)"')


def test_the_article_has_every_target_of_its_links_and_needs_no_network():
    page = (PAPER / "paper.html").read_text(encoding="utf-8")
    targets = ANCHORS.findall(page)
    own = {target for target in targets if target.startswith("#")}
    assert own - {f"#{name}" for name in re.findall(r'\bid="([^"]*)"', page)} == set()
    outside = [target for target in targets if re.match(r"https?:", target)]
    assert [target for target in outside if f'<a href="{target}"' not in page] == []
    files = {target.split("#")[0] for target in {*targets} - own - {*outside}}
    assert [name for name in sorted(files) if not (PAPER / name).is_file()] == []
    assert sum(name.endswith(".svg") for name in files) == len(re.findall("{{figure ", SOURCE))
    assert not re.findall("<script|<link|@import|url\\(", page)


def test_the_table_of_crossings_sums_over_patterns(results):
    call = "count resonance/dynamics/verdicts R1.crossed lstm/pattern_{}"
    counts = [value_of(results, call.format(pattern)) for pattern in CASES["pattern"]]
    crossed, networks = sum(c.estimate for c in counts), sum(c.n for c in counts)
    assert f"| {crossed:g} of {networks} |" in TABLES["crossings"](results).markdown


def test_claims_are_listed_with_their_numbers_and_runs(capsys):
    assert main(["paper", "--claims", "--results", str(MAIN), "--paper", str(PAPER)]) == 0
    listed = capsys.readouterr().out
    assert "{{" not in listed
    assert "  From a hidden size of 4 on, every LSTM" in listed
    assert listed.count("holds  ") == len(CLAIMS)
    assert "200 runs, " in listed
