"""Components of a user's own: from files by `--use`, and from installed packages."""

import json
import logging
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from joblib import Parallel, delayed
from test_readme import example_of

from study.__main__ import main
from study.errors import BadInput
from study.figures import FIGURES
from study.grid.cluster import fault_in_files
from study.model import REGISTRIES, packages, registered, use, used_files, using
from study.runs import Run
from tests.forgetting import forget
from tests.grids import QUICK, grid_file, statuses

GRID = QUICK.replace("[lstm, gru, rnn_tanh]", "[leaky, rnn_tanh]").replace("[0, 8]", "[0, 3]")
LION = GRID.replace("      seed:", "      optimizer: [lion, adam]\n      seed:")


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    """A folder without files, in a process that has loaded none."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # files change within a second here
    monkeypatch.chdir(tmp_path)
    yield
    forget(tmp_path)


def options(**texts: str) -> list[str]:
    """Write files with these names and texts, and return the options that use them."""
    for name, text in texts.items():
        Path(f"{name}.py").write_text(text, encoding="utf-8")
    return [word for name in texts for word in ("--use", f"{name}.py")]


def test_own_components_are_trained_and_the_rest_goes_on_without_them(tmp_path, capsys):
    own = options(leaky=example_of("leaky"), lion=example_of("lion"))
    assert main(["grid", grid_file(tmp_path, LION), "--out", "out", "--jobs", "2", *own]) == 0
    assert len(statuses(Path("out"))) == 12
    assert set(statuses(Path("out"))) <= {"solved", "unsolved"}
    said = capsys.readouterr().out
    assert "cell 'leaky' is from leaky.py:" in said
    assert "optimizer 'lion' is from lion.py:" in said
    assert said.endswith("\nTo draw its figures: study figures out --use leaky.py --use lion.py\n")
    (path,) = Path("out/manifests").glob("*.json")
    digests = {name: sha256(Path(name).read_bytes()).hexdigest()[:16] for name in own[1::2]}
    assert json.loads(path.read_text())["used"] == digests
    assert str(tmp_path) not in path.read_text()
    forget(tmp_path)
    for words in (["summary"], ["audit", "--sample", "1"], ["prune", "--other-versions"]):
        assert main([words[0], "out", *words[1:]]) == 0
        said = "".join(capsys.readouterr())
        for name in ("cell 'leaky'", "optimizer 'lion'"):
            (line,) = [line for line in said.splitlines() if name in line]
            assert line.endswith("not loaded; --use FILE.py loads your own")
    assert main(["grid", grid_file(tmp_path, LION), "--out", "out"]) == 2
    assert "unknown cell 'leaky'" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")  # Dask warns of what it finds on the machine
def test_a_dask_worker_loads_the_files(tmp_path):
    distributed = pytest.importorskip("distributed")
    own = options(leaky=example_of("leaky"))
    about = {"dashboard_address": ":0", "silence_logs": logging.CRITICAL}
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, **about) as cluster:
        there = ["--backend", "dask", "--scheduler", cluster.scheduler_address]
        assert main(["grid", grid_file(tmp_path, GRID), "--out", "out", *own, *there]) == 0
    assert len(statuses(Path("out"))) == 6
    assert set(statuses(Path("out"))) <= {"solved", "unsolved"}
    assert fault_in_files(used_files()) is None
    assert "put it at the same path" in str(fault_in_files({"/none.py": ""}))
    changed = dict.fromkeys(used_files(), "another")
    assert "has another version of" in str(fault_in_files(changed))


def test_every_process_of_joblib_loads_the_files():
    """So does `study dynamics`, whose workers make the runs of rows."""
    options(leaky=example_of("leaky"))
    with using(["leaky.py"]):
        calls = (delayed(registered)("cell", name) for name in ("leaky", "other"))
        found = Parallel(n_jobs=2)(calls)
    assert [entry is None for entry in found] == [False, True]


# --- what is refused ----------------------------------------------------------------------------

SHIPPED = "from study.model import *\nCELLS['lstm'] = Cell(CELLS['gru'].rule, CELLS['gru'].gates)\n"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("none.py", None, "--use none.py: cannot be read: No such file or directory"),
        ("my-cell.py", "", "--use my-cell.py: must be a Python file whose name can be imported"),
        ("json.py", "", "--use json.py: another module is called 'json'"),
        ("own.py", "x = 1\ndef f(:\n", "own.py:2: invalid syntax"),
        ("own.py", "\n\nx = [][1]\n", "own.py:3: IndexError: list index out of range"),
        ("own.py", "\nraise SystemExit(3)\n", "own.py:2: SystemExit: 3"),
        ("own.py", SHIPPED, "own.py:2: cell 'lstm' exists already; choose another name"),
        ("own.py", "from study.model import *\nTASKS['own'] = len\n",
         "own.py:2: task 'own' must be a Task, not a builtin_function_or_method"),
        ("own.py", "from study.model import *\nCELLS['a b'] = CELLS['gru']\n",
         "own.py:2: cell 'a b' has a name with other characters"),
    ],
)  # fmt: skip
def test_a_faulty_file_is_refused_with_its_line(name, text, said, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(REGISTRIES["cell"], "lstm", REGISTRIES["cell"]["lstm"])  # restored
    if text is not None:
        Path(name).write_text(text)
    assert main(["grid", grid_file(tmp_path), "--out", "out", "--use", name]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert err.startswith(f"error: {said}")
    assert not Path("out").exists()


def test_a_file_cannot_replace_a_figure(monkeypatch, capsys):
    monkeypatch.setitem(FIGURES, "task", FIGURES["task"])  # restored
    own = options(own="from study.figures import FIGURES\nFIGURES['task'] = FIGURES['spectra']\n")
    assert main(["figures", "out", *own]) == 2
    assert "figure 'task' exists already; choose another name" in capsys.readouterr().err


RULE = """
from study.model import *

def rule(x, state, w):
    (h,) = state
    after = (x @ w["weight_ih"].T + w["bias_ih"] + h @ w["weight_hh"].T + w["bias_hh"]).tanh()
    return {returned}

CELLS["own"] = Cell(rule, gates=("candidate",))
"""
INIT = """
from study.model import *

def change(layer, cell, value, rng):
    {change}

INITIALISATIONS["own"] = Initialisation(change)
"""
OPTIMIZER = """
import torch
from study.model import *

class Own(torch.optim.SGD):
    def step(self):
        weight = self.param_groups[0]["params"][0]
        {step}

OPTIMIZERS["own"] = Optimizer({made})
"""
TASK = """
from study.model import *

def make(uniforms):
    return uniforms, (uniforms[:, :, 0] * 0).astype({kind})

TASKS["own"] = Task(make)
"""


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("cell", RULE.format(returned="after"),
         "own.py:4: cell 'own': its rule returns a Tensor, but must return the tuple (h,)"),
        ("cell", RULE.format(returned="(after, h)"), "own.py:4: cell 'own': its rule returns 2 va"),
        ("cell", RULE.format(returned="(after.T,)"),
         "own.py:4: cell 'own': its state h is torch.float32 (4, 2), but must be torch.float32"),
        ("cell", RULE.format(returned="(after.double(),)"),
         "own.py:4: cell 'own': its state h is torch.float64 (2, 4), but must be torch.float32"),
        ("cell", RULE.format(returned="(after / 0,)"), "own.py:4: cell 'own': its state h is not"),
        ("cell", RULE.format(returned="(after.detach(),)"),
         "own.py:4: cell 'own': its rule gives a state without a gradient"),
        ("cell", RULE.format(returned="(h + (after - after).abs().sqrt(),)"),
         "own.py:4: cell 'own': the gradient of weight_ih is not finite"),
        ("cell", RULE.format(returned="w['weight_no']"), "own.py:4: cell 'own': its rule raises"),
        ("init", INIT.format(change="layer['weight_hh'] = 2 * layer['weight_hh']"),
         "own.py:4: initialisation 'own': it replaces weight_hh; change the array in place"),
        ("init", INIT.format(change="layer['bias_ih'] += float('nan')"),
         "own.py:4: initialisation 'own': it makes bias_ih not finite"),
        ("optimizer", OPTIMIZER.format(made="Own", step="self.gone()"),
         "own.py:5: optimizer 'own': its class raises AttributeError"),
        ("optimizer", OPTIMIZER.format(made="Own", step="weight.data /= 0"),
         "own.py:5: optimizer 'own': its steps make weights that are not finite"),
        ("optimizer", OPTIMIZER.format(made="'Adamm'", step="pass"),
         "own.py: optimizer 'own': 'Adamm' is neither in torch.optim nor derived from"),
        ("task", TASK.format(kind="int"), ""),
        ("task", TASK.format(kind="float"), "its labels are float64 (2, 6), but must be int64"),
    ],
)  # fmt: skip
def test_a_plan_tries_each_own_component(key, text, said, tmp_path, capsys):
    grid = GRID.replace("cell: [leaky, rnn_tanh]", f"{key}: [own]")
    words = ["grid", grid_file(tmp_path, grid), "--out", "out", *options(own=text), "--dry-run"]
    assert main(words) == (2 if said else 0)
    err = capsys.readouterr().err
    assert said in err
    assert "own.py:" in err or not said
    assert not Path("out").exists()


# --- identity -----------------------------------------------------------------------------------


def run_ids(folder: Path, **texts: str) -> list[str]:
    """The identities of runs with the components `leaky` and `lion`, and of a shipped one."""
    for name, text in texts.items():
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    use([str(folder / f"{name}.py") for name in texts])
    ids = [Run(**settings).run_id for settings in ({"cell": "leaky"}, {"optimizer": "lion"}, {})]
    forget(folder.parent)
    sys.path.remove(str(folder))
    return ids


def test_the_code_of_a_file_counts_in_the_identity_but_not_its_place(tmp_path):
    shipped, leaky, lion = Run().run_id, example_of("leaky"), example_of("lion")
    first = run_ids(tmp_path / "a", leaky=leaky, lion=lion)
    assert run_ids(tmp_path / "b", leaky=f"# moved\n{leaky}", lion=lion) == first
    cell = run_ids(tmp_path / "c", leaky=leaky.replace("/ 2", "/ 3"), lion=lion)
    optimizer = run_ids(tmp_path / "d", leaky=leaky, lion=lion.replace("1 - second", "second"))
    assert [a == b for a, b in zip(first, cell, strict=True)] == [False, True, True]
    assert [a == b for a, b in zip(first, optimizer, strict=True)] == [True, False, True]
    assert first[2] == shipped


# --- packages -----------------------------------------------------------------------------------


def install(folder: Path, text: str, points: str) -> None:
    """Put a package `my-parts` where Python finds installed packages."""
    about = folder / "my_parts-1.2.dist-info"
    about.mkdir(parents=True, exist_ok=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-parts\nVersion: 1.2\n")
    (about / "entry_points.txt").write_text(points)
    (folder / "my_parts.py").write_text(text)
    sys.path.insert(0, str(folder))


POINTS = "[study.cells]\nleaky = my_parts:CELL\n[study.optimizers]\nlion = my_parts:LION\n"


def parts() -> str:
    cell = example_of("leaky").replace('CELLS["leaky"]', "CELL")
    return f"{cell}\n{example_of('lion')}".replace('OPTIMIZERS["lion"]', "LION")


def test_a_package_is_loaded_when_a_grid_names_its_component(tmp_path, capsys):
    install(tmp_path / "site-packages", parts(), POINTS)
    other = grid_file(tmp_path, GRID.replace("leaky", "gru"))
    assert main(["grid", other, "--dry-run"]) == 0
    assert "my_parts" not in sys.modules
    assert main(["grid", grid_file(tmp_path, LION), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "cell 'leaky' is from package my-parts 1.2" in said
    assert "optimizer 'lion' is from package my-parts 1.2" in said
    assert packages.packages_used()["cell leaky"] == "my-parts 1.2"
    first = [Run(cell="leaky").run_id, Run(optimizer="lion").run_id]
    forget(tmp_path)
    edited = parts().replace("/ 2", "/ 3").replace("1 - second", "second")
    install(tmp_path / "site-packages", edited, POINTS)
    assert Run(cell="leaky").run_id != first[0]
    assert Run(optimizer="lion").run_id != first[1], "the class of a package counts with its source"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise ImportError('no libgone')", "cannot load my_parts:CELL, its cell 'leaky': ImportE"),
        ("CELL = 3", "my_parts:CELL, its cell 'leaky', must be a Cell"),
    ],
)
def test_a_faulty_package_is_named(text, said, tmp_path):
    install(tmp_path / "site-packages", text, POINTS)
    with pytest.raises(BadInput, match=rf"package my-parts 1\.2: {said}"):
        Run(cell="leaky")
