"""Imports point down only: a module may use what stands on a lower floor, and nothing beside or above it."""

import ast
from pathlib import Path

import pytest

FLOORS = [
    {"command", "errors", "names", "numerals"},
    {"files", "imports", "limits", "options"},
    {"lock"},
    {"cells", "measures", "optimizers", "tasks", "yamlfile", "stats.intervals", "stats.multiple"},
    {"engines", "initialisations", "stats.survival", "stats.paired", "stats.logistic"},
    {"runs", "stats", "engines.fused.lanes"},
    {"schema", "machine"}
    | {"engines.fused.build", "engines.fused.gates", "engines.fused.layers", "engines.fused.loop"},
    {"rows"},
    {"parts"},
    {"joined"},
    {"engines.torch_engine", "engines.fused", "gridfile", "store", "provenance"}
    | {"dynamics", "dynamics.build", "dynamics.kernels", "dynamics.step"},
    {"train", "plan", "overview", "progress", "drawn", "dynamics.network"},
    {"summary", "collector"},
    {"sensitivity", "tuning", "comparison", "dynamics.tables", "workers", "post"},
    {"processes"},
    {"schedule"},
    {"cluster"},
    {"grid", "tune", "audit", "answers", "compare", "figures.results", "values", "dynamics.cycles"},
    {
        "figures.theme",
        "claims.verdict",
        "dynamics.interventions",
        "dynamics.learning",
        "dynamics.noise",
    }
    | {"dynamics.probes", "dynamics.slips", "dynamics.existence", "dynamics.verdicts"},
    {"figures.convergence", "figures.devices", "figures.factorial", "figures.lengths"}
    | {
        "figures.ranking",
        "figures.rates",
        "figures.task",
        "figures.post",
        "figures.notebook",
        "dynamics.analyses",
    }
    | {
        "figures.bifurcation",
        "figures.portrait",
        "figures.prefix",
        "figures.spectra",
        "claims.comparisons",
    },
    {"figures.interventions", "claims.training", "claims.post", "claims.mechanism"},
    {"figures", "claims", "paper_tables"},
    {"paper_floats"},
    {"paper"},
    {"", "__main__", "figures.__main__", "dynamics.__main__"},
]
FLOOR = {module: floor for floor, modules in enumerate(FLOORS) for module in modules}
ROOT = Path(__file__).parent.parent / "study"


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def typing_only(tree: ast.Module) -> set[ast.AST]:
    """Nodes under `if TYPE_CHECKING:`, which are not imported when the program runs."""
    blocks = (node for node in ast.walk(tree) if isinstance(node, ast.If))
    guarded = (block for block in blocks if getattr(block.test, "id", "") == "TYPE_CHECKING")
    return {inner for block in guarded for inner in ast.walk(block)}


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = set(ast.walk(tree)) - typing_only(tree)
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    names = {node.module for node in froms if node.module != "study"}
    names |= {
        f"study.{alias.name}" for node in froms if node.module == "study" for alias in node.names
    }
    names |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {
        name.removeprefix("study").lstrip(".") for name in names if name.split(".")[0] == "study"
    }


MODULES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_point_down(path):
    module = module_name(path)
    assert module in FLOOR, f"{module} has no floor: give it one in this test"
    wrong = {name for name in imports(path) if FLOOR[name] >= FLOOR[module]}
    assert not wrong, f"{module} imports {wrong}, which stand no lower"


def test_every_floor_is_inhabited():
    assert set(FLOOR) == {module_name(path) for path in MODULES}


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_public_names_have_docstrings(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    kinds = (ast.FunctionDef, ast.ClassDef)
    public = [
        node for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")
    ]
    classes = [node for node in public if isinstance(node, ast.ClassDef)]
    public += [
        method
        for node in classes
        for method in node.body
        if isinstance(method, ast.FunctionDef) and not method.name.startswith("_")
    ]
    without = [
        node.name
        for node in public
        if not ast.get_docstring(node) and node.name not in ("forward", "train")
    ]
    assert not without
