"""The digest of a function's source: what changes it, what does not, and what has none."""

import importlib
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from study.model import source
from study.model.source import NoSource, digest, digest_of_file

BASE = """
import math

from helpers import twice

SCALE = 0.5


def inner(x):
    return math.tanh(x)


def rule(x, state):
    (h,) = state
    return (twice(SCALE * inner(x)) + h,)
"""
HELPERS = "FACTOR = 2\n\n\ndef twice(x):\n    return FACTOR * x\n\n\ndef unused(x):\n    return x\n"


@pytest.fixture
def rule_of(tmp_path, monkeypatch):
    """Import texts as modules of these names, and return `own.rule`."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # files change within a second here
    written = {"package"}

    def forget():
        for name in written:
            sys.modules.pop(name, None)

    def imported(own: str = BASE, module: str = "own", **others: str):
        forget()
        for name, text in {module: own, "helpers": HELPERS, **others}.items():
            path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
            written.add(name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        importlib.invalidate_caches()
        return importlib.import_module(module).rule

    yield imported
    forget()


def of(function) -> str:
    return digest({"rule": function})


LAYOUT = [
    ("comment", ("(h,) = state", "(h,) = state  # unpacked")),
    ("docstring", ("def rule(x, state):\n", 'def rule(x, state):\n    """The rule."""\n')),
    ("docstring of the module", ("\nimport math", '"""A module."""\nimport math')),
    ("annotations", ("def rule(x, state):", "def rule(x: float, state: tuple) -> tuple:")),
    ("annotation of a constant", ("SCALE = 0.5", "SCALE: float = 0.5")),
    ("layout", ("(twice(SCALE * inner(x)) + h,)", "(\n        (twice(SCALE*inner(x)))+h,\n    )")),
    ("a way to write a number", ("SCALE = 0.5", "SCALE = 5e-1")),
    ("a function that is not used", ("SCALE = 0.5", "SCALE = 0.5\n\n\ndef other():\n    pass")),
]


@pytest.mark.parametrize(("old", "new"), [edit for _, edit in LAYOUT], ids=[n for n, _ in LAYOUT])
def test_layout_comments_docstrings_and_annotations_do_not_count(rule_of, old, new):
    assert old in BASE
    assert of(rule_of(BASE.replace(old, new))) == of(rule_of())


def test_the_order_of_definitions_and_the_names_of_files_do_not_count(rule_of):
    first, last = BASE.split("SCALE = 0.5")
    moved = f"{first}{last}\n\nSCALE = 0.5\n"
    assert of(rule_of(moved)) == of(rule_of()) == of(rule_of(module="renamed"))


RULE = [
    ("its own text", ("+ h", "- h")),
    ("a constant", ("SCALE = 0.5", "SCALE = 0.6")),
    ("a constant that is changed again", ("SCALE = 0.5", "SCALE = 0.5\nSCALE *= 2")),
    ("a condition", ("SCALE = 0.5", "if math.pi > 3:\n    SCALE = 0.5\nelse:\n    SCALE = 1.0")),
    ("a function that it calls", ("math.tanh", "math.sin")),
    ("where a name comes from", ("import math", "import cmath as math")),
    ("a default", ("def inner(x):", "def inner(x, y=1):")),
]


@pytest.mark.parametrize(("old", "new"), [edit for _, edit in RULE], ids=[n for n, _ in RULE])
def test_what_a_rule_uses_counts(rule_of, old, new):
    assert old in BASE
    assert of(rule_of(BASE.replace(old, new))) != of(rule_of())


@pytest.mark.parametrize(
    ("line", "use"),
    [
        ("from helpers import twice", "twice"),
        ("from helpers import *", "twice"),
        ("import helpers", "helpers.twice"),
        ("import helpers as others", "others.twice"),
        ("from between import twice", "twice"),
        ("import package.part", "package.part.twice"),
        ("from package import part", "part.twice"),
        ("from package.part import twice", "twice"),
        ("try:\n    from helpers import twice\nexcept ImportError:\n    twice = None", "twice"),
    ],
)
def test_other_own_files_count_as_far_as_they_are_used(rule_of, line, use):
    own = BASE.replace("from helpers import twice", line).replace("twice(S", f"{use}(S")
    more = {"between": "from helpers import twice\n", "package.part": HELPERS}

    def with_helpers(text: str) -> str:
        own_helpers = {"helpers": text, "package.part": text}
        return of(rule_of(own, **more | own_helpers))

    digests = [with_helpers(HELPERS)]
    digests.append(with_helpers(HELPERS.replace("FACTOR = 2", "FACTOR = 3")))
    digests.append(with_helpers(HELPERS.replace("return x\n", "return -x\n")))  # unused
    assert digests[0] != digests[1]
    assert digests[0] == digests[2]


def test_imports_inside_functions_and_from_the_same_package_count(rule_of):
    own = "def rule(x):\n    from .part import twice\n    return twice(x)\n"
    files = {"package.__init__": "", "package.part": HELPERS}
    edited = files | {"package.part": HELPERS.replace("FACTOR = 2", "FACTOR = 3")}
    first = of(rule_of(own, "package.own", **files))
    assert of(rule_of(own, "package.own", **edited)) != first


def test_a_module_used_as_a_whole_counts_as_a_whole(rule_of):
    own = "import helpers\n\n\ndef rule(x):\n    return getattr(helpers, 'tw' + 'ice')(x)\n"
    first = of(rule_of(own))
    assert of(rule_of(own, helpers=HELPERS.replace("return x\n", "return -x\n"))) != first


def test_what_changes_an_object_counts(rule_of):
    own = "TABLE = {}\nTABLE['a'] = 1\nTABLE.update(b=2)\n\n\ndef rule(x):\n    return TABLE[x]\n"
    first = of(rule_of(own))
    assert of(rule_of(own.replace("= 1", "= 3"))) != first
    assert of(rule_of(own.replace("b=2", "b=3"))) != first


def test_names_that_go_round_in_circles_end(rule_of):
    own = "from helpers import other\n\n\ndef rule(x):\n    return other(x)\n"
    back = "import own\n\n\ndef other(x):\n    return own.rule(x) if x else own\n"
    assert of(rule_of(own, helpers=back)) != of(
        rule_of(own, helpers=back.replace("else own", "else 1"))
    )


MADE = """
from functools import partial

def scaled(x, by, *, offset=0.0):
    return by * x + offset


def made(by):
    def inner(x):
        return scaled(x, by)

    return inner


class Base:
    unit = {unit}


class Unit(Base):
    pass


rule = {made}
"""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("made(1.0)", "made(2.0)"),
        ("made([1, {'a': None}])", "made([1, {'a': 2}])"),
        ("made(made(1.0))", "made(made(2.0))"),
        ("made(Unit)", "made(Base)"),
        ("made(len)", "made(min)"),
        ("partial(scaled, by=1.0)", "partial(scaled, by=2.0)"),
        ("partial(scaled, 1.0)", "partial(made, 1.0)"),
        ("lambda x: x + 1", "lambda x: x + 2"),
        ("lambda x, y=1: x + y", "lambda x, y=2: x + y"),
        ("[lambda x: x + n for n in (1, 2)][0]", "[lambda x: x + n for n in (1, 3)][0]"),
    ],
)
def test_values_that_a_function_holds_count(rule_of, one, other):
    digests = [of(rule_of(MADE.format(made=made, unit=1))) for made in (one, other, one)]
    assert digests[0] == digests[2] != digests[1]


def test_a_class_that_a_function_holds_counts_with_its_bases(rule_of):
    digests = {of(rule_of(MADE.format(made="made(Unit)", unit=unit))) for unit in (1, 2)}
    assert len(digests) == 2


def test_libraries_count_by_name(rule_of):
    assert "numpy" in str(source._library(Path(np.__file__)))
    own = "import numpy as np\n\n\ndef rule(x):\n    return np.{}(x)\n"
    digests = [of(rule_of(own.format(name))) for name in ("tanh", "sin", "tanh")]
    assert digests[0] == digests[2] != digests[1]


# --- what has none ------------------------------------------------------------------------------


def test_a_function_typed_into_a_session_is_refused():
    names: dict = {}
    exec("def rule(x):\n    return x\n", names)
    for function in (names["rule"], partial(names["rule"], 1)):
        with pytest.raises(NoSource, match="has no source file, so a change to it could not be"):
            of(function)


@pytest.mark.parametrize("held", ["object()", "__import__('numpy').ones(2)", "made(object())"])
def test_an_object_whose_changes_could_not_be_noticed_is_refused(rule_of, held):
    with pytest.raises(NoSource, match=r"depends on an object of type (numpy\.ndarray|builtins.o)"):
        of(rule_of(MADE.format(made=f"made({held})", unit=1)))


def test_a_file_that_was_edited_after_its_import_is_refused(rule_of, tmp_path):
    rule = rule_of()
    (tmp_path / "own.py").write_text(BASE.replace("+ h", "- h"))
    with pytest.raises(NoSource, match=r"differs from what .*own\.py says now; start Python again"):
        of(rule)


# --- the same on every Python -------------------------------------------------------------------

CONSTRUCTS = '''"""Constructs that versions of Python parse or unparse differently."""

from dataclasses import dataclass


@dataclass
class Point:
    """A point."""

    x: float
    y: "float" = 0.0
    """height"""


def rule(x: int, *rest: str, key: float = 1.0, **more: object) -> "tuple[int, ...]":
    """A docstring with ''\\' quotes and é."""
    total: int = 0
    quotes = "it's", 'a "b"', "both ' and \\"", b"\\x00", "é \\N{SNOWMAN} \\U0001fadf \\n"
    text = f"{x!r:>{key}} and {more['a']} {{}}" "joined" f"{x=}" f"{f'{x:}'}" f""
    a, (b, *c) = x, (1, *rest)
    for i, j in enumerate(rest):
        total += -(-i) ** -2 + (lambda: (yield))()
    with (open(text) as one, open("b") as two):
        pass
    match x:
        case {"a": [1, *_]} | "b":
            return quotes[1:, ..., *rest], (y := 1e999j), not (a or b)
    return (x if a else b if c else i), [z for z in j], {**more}, {*rest}, ()
'''
GOLDEN = "d5b391b8c7784275c78d"


def test_the_digest_is_the_same_on_every_python(tmp_path):
    path = tmp_path / "constructs.py"
    path.write_text(CONSTRUCTS, encoding="utf-8")
    assert digest_of_file(path) == GOLDEN


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_other_pythons_agree(tmp_path, version):
    """They read all modules of this package, too. It needs only the standard library there."""
    python = shutil.which(f"python{version}")
    path = tmp_path / "constructs.py"
    path.write_text(CONSTRUCTS, encoding="utf-8")
    paths = [path, *sorted(source.PACKAGE.rglob("*.py"))]
    code = "import pathlib, runpy, sys; of = runpy.run_path(sys.argv[1])['digest_of_file']; "
    code += "print('\\n'.join(of(pathlib.Path(path)) for path in sys.argv[2:]))"
    command = [python or "", "-W", "ignore", "-c", code, source.__file__, *map(str, paths)]
    if not python or subprocess.run([python, "-V"], capture_output=True, check=False).returncode:
        pytest.skip(f"Python {version} is not installed")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [digest_of_file(path) for path in paths]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.11 has no such syntax")
def test_type_parameters_do_not_count(tmp_path):
    digests = set()
    for place, text in enumerate(("def f[T](x: T) -> T:\n    return x", "def f(x):\n    return x")):
        path = tmp_path / f"{place}.py"
        path.write_text(text)
        digests.add(digest_of_file(path))
    assert len(digests) == 1
