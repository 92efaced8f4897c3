"""Rules: the versions of shipped components, the digests of own ones, and what they identify."""

import importlib
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import rules
from pydantic import ValidationError
from test_readme import example_of

import study
from study.grid import StoreWarning
from study.model.cells import CELLS, SHIPPED_CELLS, Cell
from study.model.initialisations import INITIALISATIONS
from study.model.optimizers import OPTIMIZERS
from study.model.rules import digest_of, is_shipped, rule_of
from study.model.source import PACKAGE
from study.model.tasks import TASKS
from study.runs.settings import Run

# --- shipped rules ------------------------------------------------------------------------------


def test_every_shipped_rule_is_recorded():
    known = rules.record()
    changed = [rule for rule in rules.rules() if not rules.is_recorded(known, *rule)]
    assert not changed, (
        "these rules changed. If any number changes in any bit, give the component's entry a new "
        "version (for training: raise SCHEMA_VERSION), and type: python -m tests.rules. If not, "
        'type: python -m tests.rules "HOW YOU FOUND THAT ALL BITS ARE EQUAL"'
    )


def test_an_edit_of_a_shipped_rule_needs_a_new_version_or_a_proof(tmp_path, monkeypatch):
    record = tmp_path / "record.json"
    record.write_text('{"cell gru": {"version": 1, "digests": {"before": ""}}}')
    monkeypatch.setattr(rules, "RECORD", record)
    monkeypatch.setattr(rules, "rules", lambda: iter([("cell gru", 1, "after")]))
    assert rules.update() == ["cell gru"]
    assert not rules.is_recorded(rules.record(), "cell gru", 1, "after")
    assert rules.update("same bits in all runs of main.yaml") == []
    assert rules.is_recorded(rules.record(), "cell gru", 1, "after")
    assert not rules.is_recorded(rules.record(), "cell gru", 2, "after")
    monkeypatch.setattr(rules, "rules", lambda: iter([("cell gru", 2, "new")]))
    assert rules.update() == []
    assert rules.record()["cell gru"]["digests"].keys() == {"new"}


def test_the_record_covers_every_entry():
    names = {name for name, *_ in rules.rules()}
    shipped = [name for name in CELLS if is_shipped("cell", name)]
    assert {f"{kind} {name}" for name in shipped for kind in ("cell", "gates")} <= names
    assert {"task parity", "init orthogonal", "optimizer adamw"} <= names
    assert {"training engines/torch_engine.py", "training engines/fused/loop.py"} <= names


def test_a_version_above_1_is_part_of_the_identity(monkeypatch):
    before = Run(cell="gru").run_id
    changed = replace(CELLS["gru"], version=2)
    monkeypatch.setitem(CELLS, "gru", changed)
    monkeypatch.setitem(SHIPPED_CELLS, "gru", changed)
    assert Run(cell="gru", engine="torch").rules == {"cell": 2}
    assert Run(cell="gru").run_id != before
    assert Run(cell="lstm", engine="torch").rules == {}
    assert Run(cell="lstm").rules == {"engine": 2}


# --- own rules ----------------------------------------------------------------------------------

OWN = '''
from study.model.optimizers import Optimizer
from study.model.initialisations import Initialisation
from study.model.tasks import Task, noise_from
from study.model.cells import Cell

HALF = 2


def leaky(x, state, w):
    """h' = h/2 + tanh(W_ih x + b_ih + W_hh h + b_hh)/2"""
    (h,) = state
    candidate = (x @ w["weight_ih"].T + w["bias_ih"] + h @ w["weight_hh"].T + w["bias_hh"]).tanh()
    return ((h + candidate) / HALF,)


def echo(uniforms, *, noise=1, noise_kind="uniform"):
    return noise_from(uniforms, noise, noise_kind), (uniforms[:, :, 0] > 0.5).astype(int)


def shrunk(layer, cell, value, rng):
    layer["weight_ih"] *= value / HALF


ENTRIES = {
    "cell": Cell(leaky, gates=("candidate",)),
    "task": Task(echo),
    "init": Initialisation(shrunk, default_value=1),
    "optimizer": Optimizer("Adam", {"betas": [0.9, 0.999], "eps": 1.0, "weight_decay": -0.0}),
}
'''
EDITS = {
    "cell": ("(h + candidate)", "(candidate - h)"),
    "task": ("> 0.5", ">= 0.5"),
    "init": ("*= value", "/= value"),
    "optimizer": ('"Adam"', '"AdamW"'),
}
REGISTRIES = {"cell": CELLS, "task": TASKS, "init": INITIALISATIONS, "optimizer": OPTIMIZERS}


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Register the entries of a text as `own`; return them."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # files change within a second here

    def register(text: str = OWN) -> dict:
        (tmp_path / "own_rules.py").write_text(text)
        sys.modules.pop("own_rules", None)
        importlib.invalidate_caches()
        entries = importlib.import_module("own_rules").ENTRIES
        for key, entry in entries.items():
            monkeypatch.setitem(REGISTRIES[key], "own", entry)
        return entries

    yield register
    sys.modules.pop("own_rules", None)


@pytest.mark.parametrize("key", EDITS)
def test_an_edited_component_makes_other_runs(own, key):

    def identity(old: str = "", new: str = "") -> str:
        own(OWN.replace(old, new))
        return Run(**{key: "own"}, engine="torch").run_id

    first = identity()
    assert Run(**{key: "own"}, engine="torch").rules.keys() == {key}
    assert identity(*EDITS[key]) != first
    assert (identity("HALF = 2", "HALF = 3") != first) == (key in ("cell", "init"))
    assert identity('"""h\' =', '"""the new h is') == first
    assert identity("HALF = 2", "HALF = (2)  # one half") == first


def test_the_fields_of_an_entry_are_part_of_its_rule(own):
    entry = own()["cell"]
    others = [
        Cell(entry.rule, gates=("update",)),
        Cell(entry.rule, gates=("candidate",), extra=("weight_decay", 1)),
        Cell(entry.rule, gates=("candidate",), torch_class="GRU"),
        Cell(entry.rule, gates=("candidate",), version=2),
    ]
    digests = {digest_of("own", cell) for cell in (entry, *others)}
    assert len(digests) == 5


def test_what_replaces_a_shipped_entry_or_borrows_its_parts_is_own(monkeypatch):
    """It has the version of the shipped one, which says nothing about what it is."""
    identities = {Run().run_id}
    for name, entry in (
        ("mine", CELLS["lstm"]),
        ("mine", CELLS["lstm_nfg"]),
        ("lstm", replace(CELLS["lstm"], torch_class=None)),
        ("lstm", CELLS["lstm_cifg"]),
    ):
        monkeypatch.setitem(CELLS, name, entry)
        assert not is_shipped("cell", name)
        identities.add(Run(cell=name, engine="torch").run_id)
        monkeypatch.setitem(CELLS, "lstm", SHIPPED_CELLS["lstm"])
    assert len(identities) == 5


def test_the_identity_of_an_own_component_is_stable(own):
    """Stored results of own components are found by it."""
    own()
    assert Run(cell="own", engine="torch").run_id == "156af3f682b2a401b01b"
    assert Run(task="own", engine="torch").run_id == "d756ab81d6a9a48ba153"


def test_numbers_of_own_entries_are_one_value(own):
    """A default of 1 is the same as 1.0, and one of -0.0 the same as 0.0."""
    own()
    assert Run(task="own").run_id == Run(task="own", noise=1.0).run_id
    assert Run(init="own").run_id == Run(init="own", init_value=1.0).run_id
    given = Run(optimizer="own", optimizer_settings={"eps": 1, "weight_decay": 0.0})
    assert Run(optimizer="own").run_id == given.run_id


def test_an_optimizer_that_is_entered_anew_has_its_new_settings(own):
    own()
    assert Run(optimizer="own").optimizer_settings["eps"] == 1.0
    own(OWN.replace('"eps": 1.0', '"eps": 2.0'))
    assert Run(optimizer="own").optimizer_settings["eps"] == 2.0


def test_a_component_without_source_is_refused(monkeypatch):
    names: dict = {}
    exec("def rule(x, state, w):\n    return state", names)
    monkeypatch.setitem(CELLS, "leaky", Cell(names["rule"], gates=("candidate",)))
    message = (
        "the rule of cell 'leaky' has no source file, so a change to it could not be noticed; "
        "define it in a file"
    )
    with pytest.raises(ValidationError, match=message) as caught:
        Run(cell="leaky")
    assert caught.value.errors()[0]["ctx"]["key"] == "cell"


def test_a_class_of_torch_has_no_rule():
    assert Run(optimizer="NAdam").rules == {}
    assert rule_of("optimizer", "NAdam", "torch") is None


def test_a_cell_that_the_fused_engine_trains_counts_with_its_gates(tmp_path, monkeypatch):
    """Its gates are in `gates.py`; the torch engine does not use them."""
    text = (PACKAGE / "engines" / "fused" / "gates.py").read_text()
    gates = tmp_path / "gates.py"
    monkeypatch.setattr("study.model.rules.GATES", gates)
    found = []
    for edited in ("dh * (one - f)", "dh * (one + f)", "dh * ( one - f )"):
        gates.write_text(text.replace("dh * (one - f)", edited))
        entry = Cell(CELLS["mgu"].rule, CELLS["mgu"].gates)
        monkeypatch.setitem(CELLS, "mgu", entry)
        found.append([Run(cell="mgu", engine=engine).run_id for engine in ("fused", "torch")])
    assert found[0] == found[2]
    assert found[0][0] != found[1][0]
    assert found[0][1] == found[1][1]


# --- the whole way, with a copy of the package that is edited ------------------------------------

GRID = """
name: mine
defaults:
  {hidden_size: 4, length: 6, max_updates: 20, eval_every: 5, final_sequences: 9, long_sequences: 4}
blocks:
  only: {fixed: {cell: leaky}, vary: {seed: {range: [0, 3]}}}
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A folder with a copy of the package, and a file with the README's cell."""
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(PACKAGE, root / "study", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "leaky.py").write_text(example_of("leaky"))
    (root / "mine.yaml").write_text(GRID)
    return root


def run_in(copy: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words],
        cwd=copy, env=os.environ | {"PYTHONPATH": str(copy)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def loaded(folder: Path, **options: bool):
    """The rows of a folder, read by a process that has not loaded the cell."""
    with pytest.warns(StoreWarning, match=r"cell 'leaky' of \d stored runs is not loaded; --use"):
        return study.load(folder, **options)


def test_an_edited_cell_of_the_readme_is_trained_anew_and_its_old_runs_can_be_removed(copy):
    own = ["--use", "leaky.py"]
    grid = ["-m", "study", "grid", "mine.yaml", "--jobs", "1", "--out", "mine", *own]
    assert "to do: 3 runs" in run_in(copy, *grid)
    first = loaded(copy / "mine")
    cells = copy / "leaky.py"
    edit(cells, "return ((h + candidate) / 2,)", "return ((h + candidate) / 2,)  # half")
    assert "nothing to train" in run_in(copy, *grid, "--dry-run")
    edit(cells, "((h + candidate) / 2,)", "((h + 3 * candidate) / 4,)")
    said = run_in(copy, *grid)
    assert (
        "3 stored runs were made by another version of cell 'leaky'; they are kept but not used "
        "(study prune mine --other-versions removes them)"
    ) in said
    assert "to do: 3 runs" in said
    assert "no longer in the grid" not in said
    now = loaded(copy / "mine")
    assert len(now) == len(first) == 3
    assert not set(now["run_id"]) & set(first["run_id"])
    assert now["rules"].nunique() == 1
    assert (now["loss"] != first["loss"]).all()
    assert len(loaded(copy / "mine", unplanned=True)) == 6
    said = run_in(copy, "-m", "study", "prune", "mine", "--other-versions", *own)
    assert "runs removed: 3 made by another version of cell 'leaky'" in said
    assert "mine: 3 runs removed, 3 left" in said
    left = loaded(copy / "mine", unplanned=True)
    assert set(left["run_id"]) == set(now["run_id"])


DIGESTS = """
import pandas as pd
from study.dynamics.analyses import ANALYSES, survey_digest
runs = pd.DataFrame({"run_id": ["a"], "cell": ["gru"], "weights": [[0.0]], "long_first_error": [1]})
print(*(analysis.digest(runs) for analysis in ANALYSES.values()), survey_digest(runs))
"""


def test_tables_of_dynamics_know_the_arithmetic_of_the_gates(copy):
    gates = copy / "study" / "engines" / "fused" / "gates.py"
    before = run_in(copy, "-c", DIGESTS).split()
    edit(gates, "Return the next h, the next c", "Return h, the next c")
    assert run_in(copy, "-c", DIGESTS).split() == before, "a docstring changes no table"
    edit(gates, "return (one - z) * candidate + z * h, c, (reset", "return z * h, c, (reset")
    after = run_in(copy, "-c", DIGESTS).split()
    assert all(old != new for old, new in zip(before, after, strict=True))
