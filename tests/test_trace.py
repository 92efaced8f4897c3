"""Tracing: every key of the paper leads to its rows, its sentence and commands."""

import json
from pathlib import Path

import pytest

from study.__main__ import app, main
from study.grid import Results
from study.paper.text import read_source
from study.paper.trace import commands, keys_of, origin, places, read_from

ROOT = Path(__file__).parent.parent
SOURCE = read_source(ROOT / "paper")
KEYS = keys_of(SOURCE)
STORED = json.loads((ROOT / "paper" / "numbers.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def results() -> Results:
    return Results(ROOT / "results" / "main")


def trace(capsys, *words: str) -> tuple[int, str, str]:
    folders = ("--results", str(ROOT / "results" / "main"), "--paper", str(ROOT / "paper"))
    return main(["trace", *words, *folders]), *capsys.readouterr()


def test_the_keys_of_numbers_are_those_of_the_stored_numbers(capsys):
    floats_and_claims = ("figure ", "table ", "claim ")
    assert {key for key in KEYS if not key.startswith(floats_and_claims)} == {*STORED}
    assert trace(capsys) == (0, "\n".join(KEYS) + "\n", "")


def test_every_key_has_a_sentence():
    assert [key for key in KEYS if not list(places(SOURCE, key))] == []


def test_every_number_and_figure_leads_to_stored_results_and_known_commands(results):
    reads = {read_from(results, value["source"]) for value in STORED.values()}
    for key in KEYS:
        if key.startswith("figure "):
            reads |= origin(results, SOURCE, key).reads
    assert len(reads) > 10
    assert [name for name in reads if not (ROOT / "results" / name).exists()] == []
    for line in commands(results, reads):
        program, *words = line.split()
        if program == "study":
            app.parse_args(words, exit_on_error=False, print_error=False)
        assert all((ROOT / word).exists() for word in words if "/" in word), line


def test_commands_come_in_the_order_in_which_each_needs_the_one_before(results):
    reads = ["main/figures/spectra.csv", "forum/answers/loops.csv", "forum"]
    assert [line.replace(f"{ROOT}/", "") for line in commands(results, reads)] == [
        "study grid experiments/forum.yaml",
        "study answers results/forum",
        "study grid experiments/main.yaml",
        "study dynamics results/main",
        "study figures results/main",
        "study paper",
    ]


def test_a_number_of_a_table_is_traced_to_its_row_and_sentence(capsys):
    key = next(key for key in KEYS if key.startswith("entry "))
    table = key.split()[1]
    code, told, _ = trace(capsys, *key.split())
    assert code == 0
    assert f"{ROOT}/results/{table}.csv" in told
    assert f"value: {STORED[key]['text']}\n" in told
    assert "source.md, line " in told
    assert f"  study grid experiments/{table.split('/')[0]}.yaml" in told
    assert "{{" not in told
    assert "{%" not in told


def test_an_unknown_key_is_refused_with_the_nearest(capsys):
    figure = next(key for key in KEYS if key.startswith("figure "))
    code, told, error = trace(capsys, figure.replace("figure", "figur"))
    assert (code, told) == (2, "")
    assert f"did you mean '{figure}'" in error
    assert error.count("\n") == 1
