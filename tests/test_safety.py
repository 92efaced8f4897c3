"""Results and grid files of strangers run no code and write inside their results folder only."""

import ast
import json
import os
import pickle
import warnings
from base64 import b64decode
from hashlib import sha256
from pathlib import Path
from shutil import copytree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drawn import rows, write_results

import study
from study.__main__ import main
from study.grid.store import Store, StoreWarning, part_files
from study.runs.results import SCHEMA
from tests.test_store import spoil

ROOT = Path(__file__).parent.parent
SOURCES = sorted(
    path for folder in ("study", "benchmarks") for path in (ROOT / folder).rglob("*.py")
)
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "yaml", "imp", "runpy"}
BUILTINS = {"eval", "exec", "compile", "__import__"}
CALLS = {"torch.load", "joblib.load", "os.system", "os.popen", "pd.eval", "frame.eval"}
# Its own source, beside it: the gates on plain numbers.
EXEMPT = {
    # It runs the package's own `gates`; errors in it are reported with its name and line.
    "study/engines/fused/build.py": [
        "exec(compile(GATES.read_text(encoding='utf-8'), GATES.name, 'exec'), names)",
        "compile(GATES.read_text(encoding='utf-8'), GATES.name, 'exec')",
    ],
    # It compares what is compiled with a function that is there already, and runs nothing.
    "study/model/source.py": ["compile(self.content, str(self.path), 'exec', dont_inherit=True)"],
}


def dangers(text: str) -> list[str]:
    """The calls and imports of a source that could run what a file says."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module] if node.module.split(".")[0] in MODULES else []
        elif isinstance(node, ast.Call) and _is_danger(node):
            found.append(ast.unparse(node))
    return found


def _is_danger(call: ast.Call) -> bool:
    name, words = ast.unparse(call.func), {word.arg: word.value for word in call.keywords}
    constants = {
        key: value.value for key, value in words.items() if isinstance(value, ast.Constant)
    }
    if name.rpartition(".")[2] == "YAML" and constants.get("typ") != "safe":
        return True
    if any(
        key in words and constants.get(key, True) is not False for key in ("allow_pickle", "shell")
    ):
        return True
    return name in BUILTINS | CALLS or name.rpartition(".")[2] in {"read_pickle", "unsafe_load"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_unpickled_or_evaluated(path):
    name = str(path.relative_to(ROOT))
    assert dangers(path.read_text(encoding="utf-8")) == EXEMPT.get(name, [])


DANGEROUS = """import pickle
from pickle import loads
import yaml
torch.load(path, weights_only=False)
np.load(path, allow_pickle=wanted)
frame['a'].read_pickle(path)
exec(compile(text, 'a', 'exec'))
subprocess.run(command, shell=True)
ruamel.yaml.YAML(typ=kind)"""
HARMLESS = "YAML(typ='safe', pure=True); np.load(path, allow_pickle=False); network.eval()"


def test_the_search_finds_what_is_dangerous_and_nothing_else():
    assert all(map(dangers, DANGEROUS.splitlines()))
    assert not dangers(HARMLESS)


class Payload:
    """What touches a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("column", ["run_id", "weights"])
def test_parquet_that_carries_a_pickle_is_not_unpickled(tmp_path, column):
    """Arrow's extension types may name a Python class, which old versions unpickled."""
    results = write_results(tmp_path / "results")
    table = pa.Table.from_pylist(rows([20], first_seed=77), schema=SCHEMA)
    metadata = {
        "ARROW:extension:name": "arrow.py_extension_type",
        "ARROW:extension:metadata": pickle.dumps(Payload(tmp_path / "owned")),
    }
    field = SCHEMA.field(column).with_metadata(metadata)
    schema = SCHEMA.set(SCHEMA.get_field_index(column), field)
    pq.write_table(pa.Table.from_arrays(table.columns, schema=schema), tmp_path / "part")
    content = (tmp_path / "part").read_bytes()
    assert b"owned" in b64decode(pq.read_metadata(tmp_path / "part").metadata[b"ARROW:schema"])
    pickle.loads(pickle.dumps(Payload(tmp_path / "works")))
    assert (tmp_path / "works").exists()
    (results / f"rows-{sha256(content).hexdigest()[:16]}.parquet").write_bytes(content)
    assert 77 in study.load(results, weights=True, unplanned=True)["seed"].tolist()
    with Store(results) as store:
        store.compact()
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("name", ["plan.parquet", ".holder", "rows-0123456789abcdef.parquet"])
def test_a_pickle_under_the_name_of_a_file_of_results_is_not_unpickled(tmp_path, name):
    results = write_results(tmp_path / "results")
    (results / name).write_bytes(pickle.dumps(Payload(tmp_path / "owned")))
    with warnings.catch_warnings(action="ignore", category=StoreWarning):
        study.load(results)
    with Store(results):
        pass
    assert not (tmp_path / "owned").exists()


ESCAPE = "\x1b[2J\x07\r\x9b31m\u202e"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Results with control characters in every name and text, the folder's own name included."""
    parent = tmp_path_factory.mktemp("hostile")
    made = rows([20, None, 40], cell="lstm", optimizer="adam")
    made += [row | {"status": "failed", "reason": f"a\n{ESCAPE}"} for row in rows([20], lr=0.5)]
    made += [row | {"cell": f"{ESCAPE}cell"} for row in rows([20], first_seed=5, lr=0.25)]
    for name in (f"one{ESCAPE}", "two"):
        with Store(parent / name) as store:
            store.append([row | {f"{ESCAPE}column": 1} for row in made])
            store.append([made[0] | {"loss": 0.125}])
            store.append(rows([20], first_seed=90, lr=2.0))
            spoil(part_files(store.folder)[-1])
            ids = {f"{ESCAPE}block": [row["run_id"] for row in made], "b": ["none"]}
            store.write_plan(ids, f"{ESCAPE}grid")
        made = made[:4]
    return parent


@pytest.mark.parametrize(
    "words",
    [
        ["summary", "one", "--by", "block,cell,lr"],
        ["summary", "one", "--by", "cell", "--format", "csv"],
        ["summary", "one", "--by", "cell", "--format", "latex"],
        ["summary", "one", "--block", "none"],
        ["compare", "one", "two"],
        ["compare", "two", "one"],
        ["figures", "one", "--format", "png"],
        ["figures", "one", "--only", "portrait"],
        ["audit", "one"],
        ["tune", "one", "--block", "none"],
        ["answers", "one"],
        ["dynamics", "one"],
        ["merge", "one", "two", "--out", "merged"],
        ["grid", "grid.yaml", "--out", "one"],
    ],
    ids=" ".join,
)
@pytest.mark.filterwarnings("default:Glyph")
def test_no_control_character_of_stored_results_reaches_the_terminal(
    hostile, tmp_path, monkeypatch, capfd, words
):
    copytree(hostile, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    Path("grid.yaml").write_text("{name: good, blocks: {a: {vary: {seed: [0]}}}}")
    main([f"one{ESCAPE}" if word == "one" else word for word in words])
    said = "".join(capfd.readouterr())
    assert not set(ESCAPE).difference("[2J31m").intersection(said)
    assert "\\x1b[2J\\x07\\r\\x9b31m\\u202e" in said


def test_only_one_function_of_the_package_prints():
    printing = []
    for path in (ROOT / "study").rglob("*.py"):
        calls = (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call))
        printing += [path.name for call in calls if ast.unparse(call.func) == "print"]
    assert printing == ["errors.py"], "print through study.errors.echo"


NAMES = ("../x", "..", "/tmp/x", "a/b", "a\\b", "~root", "$HOME", "", "a\n", "-a", "x" * 101)


@pytest.mark.parametrize("how", ["in the file", "--set", "a block", "a block's field"])
@pytest.mark.parametrize("name", [*NAMES, "nul\0x"])
def test_a_name_leads_nowhere(tmp_path, monkeypatch, capsys, name, how):
    """Names of grids and of blocks are words, and nothing is written for one that is a path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    grid = {
        "name": name if how == "in the file" else "good",
        "blocks": {"a": {"vary": {"seed": [0]}}},
    }
    if how == "a block":
        grid["blocks"] = {name: {"vary": {"seed": [0]}}}
    if how == "a block's field":
        grid["blocks"]["a"]["out"] = name
    Path("grid.yaml").write_text(json.dumps(grid))
    more = ["--set", f"name={json.dumps(name)}"] if how == "--set" else []
    assert main(["grid", "grid.yaml", *more]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == [
        "inner",
        "inner/grid.yaml",
    ]


def test_a_link_in_a_results_folder_is_not_followed_out_of_it(tmp_path, monkeypatch, capfd):
    """Where manifests would go to a folder elsewhere, the grid is refused and writes nothing."""
    monkeypatch.chdir(tmp_path)
    grid = {
        "name": "good",
        "blocks": {"a": {"fixed": {"max_updates": 15, "eval_every": 5}, "vary": {"seed": [0]}}},
    }
    Path("grid.yaml").write_text(json.dumps(grid))
    Path("outside").mkdir()
    Path("results/good").mkdir(parents=True)
    os.symlink(Path("outside").resolve(), "results/good/manifests")
    assert main(["grid", "grid.yaml", "--jobs", "1"]) == 2
    assert "results/good/manifests" in capfd.readouterr().err
    assert not list(Path("outside").iterdir())


@pytest.mark.parametrize("target", ["kept.txt", "none.txt"])
def test_a_figure_replaces_a_link_and_writes_nothing_through_it(tmp_path, target):
    results = write_results(tmp_path / "results")
    (tmp_path / "kept.txt").write_text("mine")
    (results / "figures").mkdir()
    links = [results / "figures" / f"convergence.{kind}" for kind in ("csv", "txt", "png")]
    for link in links:
        link.symlink_to(tmp_path / target)
    assert main(["figures", str(results), "--only", "convergence", "--format", "png"]) == 0
    assert not any(link.is_symlink() for link in links)
    assert (tmp_path / "kept.txt").read_text() == "mine"
    assert not (tmp_path / "none.txt").exists()
