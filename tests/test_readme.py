"""The README and the docs are true: their numbers come from the results, and their examples run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from readme import SECTIONS, generated

from study.__main__ import app, main
from study.command import with_use
from study.engines import engine_of
from study.grid.file import expand, read_grid
from study.grid.own import refuse_faulty
from study.model import use
from tests.forgetting import forget

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
EXTENSIONS = {  # by entry: the setting that names it
    "leaky": "cell",
    "adam_long": "optimizer",
    "lion": "optimizer",
    "echo": "task",
    "recall": "task",
    "shrunk_inputs": "init",
}
REGISTRY_TESTS = ("cells", "optimizers", "tasks", "initialisations", "runs", "torch_engine")


def examples(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", "\n".join(TEXT.values()), flags=re.S)


@pytest.mark.parametrize(
    ("page", "name"), [(page, name) for page, parts in SECTIONS.items() for name in parts]
)
def test_a_generated_part_is_up_to_date(page, name):
    assert generated(page)[name] == SECTIONS[page][name](), "`make readme` brings it up to date"


def test_the_readme_is_short():
    assert len(TEXT["README.md"].splitlines()) <= 160


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#]+)", TEXT[page.name]):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_every_room_is_in_the_readme():
    tree = TEXT["README.md"].split("## Where things are")[1].split("```")[1]
    rooms = [path.parent.name for path in (ROOT / "study").glob("*/__init__.py")]
    assert [room for room in rooms if f"  {room}/ " not in tree] == []


COMMANDS = re.findall(
    r"^ {4}(?:\.venv/bin/)?study (.+?)(?: +#.*)?$", "\n".join(TEXT.values()), flags=re.M
)


@pytest.mark.parametrize("line", sorted(set(COMMANDS)))
def test_commands_can_be_parsed(line, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = [word.replace("$SLURM_ARRAY_TASK_ID", "1") for word in line.split()]
    how = {"exit_on_error": False, "print_error": False}
    _, bound, _ = with_use(app).parse_args(words, **how)
    app.parse_args(bound.args, **how)


@pytest.mark.parametrize("example", examples("yaml"))
def test_the_example_grids_expand(example, tmp_path):
    (tmp_path / "example.yaml").write_text(example)
    assert expand(read_grid(tmp_path / "example.yaml"))


def test_the_pandas_example_counts_every_run_and_agrees_with_its_summary(monkeypatch):
    monkeypatch.chdir(ROOT)
    names: dict = {}
    (example,) = [code for code in examples("python") if "study.load(" in code]
    exec(example, names)
    table, counts = names["table"].set_index(["cell", "optimizer"]), names["counts"]
    assert counts.sum(axis=None) == len(names["headline"])
    assert counts["unsolved"].sum() > 0
    shares = counts["solved"] / counts.sum(axis=1)
    pd.testing.assert_series_equal(shares, table["solved"], check_names=False)


SHOWN = re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", TEXT["hypotheses.md"], flags=re.S)


@pytest.mark.parametrize(("code", "expected"), SHOWN, ids=["predict", "look"])
def test_examples_print_what_the_page_shows(code, expected, capsys):
    """Numbers may differ in their third digit, since another processor rounds otherwise."""
    number = r"\d+\.\d+(?:e-\d+)?"
    with torch.random.fork_rng():
        exec(code, {})
    printed = capsys.readouterr().out
    assert re.sub(number, "", printed) == re.sub(number, "", expected)
    found, shown = (
        [float(text) for text in re.findall(number, page)] for page in (printed, expected)
    )
    assert found == pytest.approx(shown, rel=1e-2, abs=1e-2)


def example_of(entry: str) -> str:
    (code,) = [code for code in examples("python") if f'["{entry}"] = ' in code]
    return code


@pytest.fixture
def used(tmp_path, monkeypatch):
    """A function that loads the file of an example, as `--use` does, until the test ends."""

    def load(entry: str) -> None:
        path = tmp_path / f"adds_{entry}.py"
        path.write_text(example_of(entry), encoding="utf-8")
        use([str(path)])

    monkeypatch.setattr(sys, "path", [*sys.path])
    yield load
    forget(tmp_path)


@pytest.mark.parametrize("entry", EXTENSIONS)
def test_an_extension_trains(entry, quick, used):
    used(entry)
    run = quick(**{EXTENSIONS[entry]: entry})
    refuse_faulty([run])
    outcome = engine_of(run).train(run)
    assert outcome.diverged_update is None
    assert 0 < outcome.final.accuracy <= 1


def test_the_figure_of_the_example_is_drawn(tmp_path, used):
    used("losses")
    words = ["figures", str(ROOT / "results" / "main"), "--only", "losses", "--format", "png"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    assert (tmp_path / "losses.png").stat().st_size > 1000
    assert (tmp_path / "losses.txt").read_text().startswith("Each dot is one of ")


def test_the_extensions_pass_the_tests_of_their_registries(tmp_path):
    """They run in another process, which adds the entries before it collects the tests."""
    entries = EXTENSIONS.keys() - {"lion"}  # these tests need a formula for each own class
    code = "\n".join(map(example_of, entries))
    (tmp_path / "extensions.py").write_text(code, encoding="utf-8")
    files = [f"tests/test_{name}.py" for name in REGISTRY_TESTS]
    options = ["-p", "extensions", "-p", "no:cacheprovider", "-k", " or ".join(entries)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *files],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(tmp_path)}, stdout=subprocess.PIPE,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
