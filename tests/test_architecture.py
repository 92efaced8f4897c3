"""The architecture: imports point downwards, and only public names of packages are used."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "study"
LEVELS = [
    {"errors", "shipped", "text"},
    {"model", "stats"},
    {"command", "runs"},
    {"engines"},
    {"grid"},
    {"analysis", "dynamics"},
    {"figures"},
    {"paper", "page"},
    {"__init__", "__main__"},
]
LEVEL = {package: level for level, packages in enumerate(LEVELS) for package in packages}
MODULES = sorted(ROOT.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def package_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


def typing_only(tree: ast.Module) -> set[ast.AST]:
    """Nodes under `if TYPE_CHECKING:`, whose imports do not run."""
    guarded = [
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.If) and getattr(n.test, "id", "") == "TYPE_CHECKING"
    ]
    return {inner for block in guarded for inner in ast.walk(block)}


def imported(path: Path) -> set[str]:
    """The modules of the study that a file imports when it runs."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in set(ast.walk(tree)) - typing_only(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "study":
            found |= {f"study.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.startswith("study.")}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_packages_import_only_lower_packages_and_only_from_their_init(path):
    own = package_of(path)
    for module in imported(path):
        _, package, *inner = module.split(".")
        if package != own:
            assert LEVEL[package] < LEVEL[own], f"{own} imports {package}, which is not below it"
            assert not inner, f"{module} is inside {package}: import what its __init__ names"


@pytest.mark.parametrize(
    "path", [p for p in MODULES if p.name == "__init__.py" and p.parent != ROOT], ids=name_of
)
def test_every_package_lists_its_public_names(path):
    if path.parent.parent == ROOT:
        assert "__all__" in path.read_text(encoding="utf-8")


def forbidden(text: str) -> list[str]:
    """Code that uses a library's private attributes, patches it, or tampers with imports."""
    tree = ast.parse(text)
    libraries = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            libraries |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith(
            ("study", "__future__")
        ):
            libraries |= {alias.asname or alias.name for alias in node.names}
    found = []
    for node in ast.walk(tree):
        written = isinstance(getattr(node, "ctx", None), ast.Store | ast.Del)
        if isinstance(node, ast.Attribute):
            owner, is_private = ast.unparse(node.value), re.match("_[^_]", node.attr)
            found += [node] if is_private and owner not in ("self", "cls") else []
            found += [node] if owner == "sys" and node.attr in ("meta_path", "path_hooks") else []
            found += [node] if written and owner.split(".")[0] in libraries else []
        elif isinstance(node, ast.Subscript):
            found += [node] if written and ast.unparse(node.value) == "sys.modules" else []
        elif isinstance(node, ast.Call):
            function, first = ast.unparse(node.func), ast.unparse(node.args[0]) if node.args else ""
            sets = function in ("setattr", "delattr") and first.split(".")[0] in libraries
            found += (
                [node]
                if sets or re.match(r"sys\.modules\.(setdefault|update|pop)", function)
                else []
            )
    return [text for text in map(ast.unparse, found) if text != "os._exit"]  # which is public


SOURCES = [
    p for folder in ("study", "benchmarks") for p in sorted((ROOT.parent / folder).rglob("*.py"))
]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT.parent).as_posix())
def test_libraries_are_used_only_through_their_public_names(path):
    assert forbidden(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "import sys\nsys.meta_path.insert(0, finder)",
        "import sys\nsys.modules['a'] = b",
        "import sys\nsys.modules.setdefault('a', b)",
        "import torch\ntorch.compile = None",
        "import torch\nsetattr(torch.optim, 'Adam', mine)",
        "from joblib import parallel\nparallel.limit = 3",
        "import atexit\natexit._run_exitfuncs()",
        "pool._executor_manager_thread",
        "from loky import reusable_executor\nreusable_executor._executor",
    ],
)
def test_forbidden_code_is_found(text):
    assert forbidden(text)


@pytest.mark.parametrize(
    "text", ["self._rows = 1", "cls._kinds", "import sys\nsys.modules.get('a')", "a.b = 1"]
)
def test_allowed_code_is_not_reported(text):
    assert not forbidden(text)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_public_names_have_docstrings(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    nodes = [*tree.body, *(m for c in tree.body if isinstance(c, ast.ClassDef) for m in c.body)]
    public = [
        n
        for n in nodes
        if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")
    ]
    assert [
        n.name for n in public if not ast.get_docstring(n) and n.name not in ("forward", "train")
    ] == []


def test_only_the_torch_engine_imports_torch():
    """Planning, training with the fused engine and reading results do not need it."""
    code = "import sys, study.grid.__main__, study.analysis, study.engines.fused; "
    code += "print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
