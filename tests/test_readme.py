"""The README and the docs are true: their numbers come from the results, and their examples run."""

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest
import torch
from readme import SECTIONS, generated

from study.__main__ import app
from study.engines import engine_of
from study.grid.file import expand, read_grid

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
EXTENSIONS = {  # by entry: its module, its registry, and the setting that names it
    "leaky": ("study.model.cells", "CELLS", "cell"),
    "adam_long": ("study.model.optimizers", "OPTIMIZERS", "optimizer"),
    "echo": ("study.model.tasks", "TASKS", "task"),
    "shrunk_inputs": ("study.model.initialisations", "INITIALISATIONS", "init"),
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
    app.parse_args(words, exit_on_error=False, print_error=False)


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


def test_the_example_of_look_prints_what_the_page_shows(capsys):
    """Numbers may differ in their third digit, since another processor rounds otherwise."""
    pairs = re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", TEXT["hypotheses.md"], flags=re.S)
    ((code, expected),) = pairs
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
    _, registry, _ = EXTENSIONS[entry]
    (code,) = [code for code in examples("python") if f'{registry}["{entry}"]' in code]
    return code


def module_of(*entries: str) -> str:
    """The text of a module that adds these examples; each finds the names of its own module."""
    lines = [f"from {EXTENSIONS[entry][0]} import *" for entry in entries]
    return "\n".join([*lines, *map(example_of, entries)])


@pytest.mark.parametrize("entry", EXTENSIONS)
def test_an_extension_trains(entry, quick, tmp_path, monkeypatch):
    module, registry, setting = EXTENSIONS[entry]
    names = vars(import_module(module))
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"adds_{entry}.py").write_text(module_of(entry), encoding="utf-8")
    try:
        import_module(f"adds_{entry}")
        run = quick(**{setting: entry})
        outcome = engine_of(run).train(run)
    finally:
        names[registry].pop(entry, None)
    assert outcome.diverged_update is None
    assert 0 < outcome.final.accuracy <= 1


def test_the_extensions_pass_the_tests_of_their_registries(tmp_path):
    """They run in another process, which adds the entries before it collects the tests."""
    (tmp_path / "extensions.py").write_text(module_of(*EXTENSIONS), encoding="utf-8")
    files = [f"tests/test_{name}.py" for name in REGISTRY_TESTS]
    options = ["-p", "extensions", "-p", "no:cacheprovider", "-k", " or ".join(EXTENSIONS)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *files],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(tmp_path)}, stdout=subprocess.PIPE,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
