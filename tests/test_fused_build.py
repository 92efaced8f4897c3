"""Where the fused engine keeps its compiled code, and what it does without."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from numba.core import config

from study.engines import fused
from study.engines.fused import build
from study.engines.fused.build import GATES
from study.errors import EnvironmentFault

ROOT = Path(build.__file__).parents[3]
# A module that compiles in a moment. It can delete a folder, like a user who clears their cache.
SMALL = """
import os, shutil
from numba import njit, types

for victim in filter(None, os.environ.get("VICTIM", "").split(":")):
    shutil.rmtree(victim, ignore_errors=True)

@njit(types.int64(types.int64), cache=True)
def plus_one(x):
    return x + 1
"""
LOAD = """
import sys
from study.engines import fused

assert fused.module_of("small", sys.argv[1]).plus_one(1) == 2
"""
TRAIN = """
import hashlib
from study.engines import fused
from study.runs import Run

digest, few = hashlib.sha256(), {"final_sequences": 2, "long_sequences": 2, "max_updates": 200}
for seed in range(10):
    run = Run(cell="rnn_tanh", optimizer="momentum", lr=0.1, engine="fused", seed=seed, **few)
    digest.update(fused.train(run).curve.loss.tobytes())
print(digest.hexdigest())
"""
NAME = f"study-fused-{os.getuid()}"


def environment(home: Path | str, temporary: Path | str, **more: str) -> dict[str, str]:
    """Return this process's environment with two other places for compiled code."""
    words = {"XDG_CACHE_HOME": str(home), "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
    return {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"} | words | more


def python(code: str, *words: str, env: dict[str, str], before: tuple[str, ...] = ()):
    """Run Python code in a process of its own."""
    command = [*before, sys.executable, "-c", code, *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Let this process keep compiled code in two new folders, and return them."""
    places = [tmp_path / "home", tmp_path / "temporary"]
    for name, place in zip(("XDG_CACHE_HOME", "TMPDIR"), places, strict=True):
        place.mkdir()
        monkeypatch.setenv(name, str(place))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(config, "CACHE_DIR", "")
    return [place / NAME for place in places]


def load_small() -> None:
    for name in [name for name in sys.modules if name.startswith(f"{build.fused.__name__}.small")]:
        del sys.modules[name]
    assert build.module_of.__wrapped__("small", SMALL).plus_one(1) == 2


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Compile a cell and train with it; return what was printed, the folder and how to do it again.

    NUMBA_CACHE_DIR is set, so Numba keeps machine code beside the folder of the sources.
    """
    cache = tmp_path_factory.mktemp("cache")
    env = environment(cache, cache, NUMBA_CACHE_DIR=str(cache))

    def again() -> str:
        done = python(TRAIN, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return again(), cache, again


def test_a_process_gets_the_same_bits_with_without_and_with_damaged_compiled_code(trained):
    """A power cut may leave files of compiled code empty; a process compiles them again."""
    first, cache, again = trained
    assert again() == first != ""
    index, *_ = cache.rglob("rnn_tanh*.nbi")
    code, *_ = cache.rglob("rnn_tanh*forward*.nbc")
    for path in (index, code):
        os.truncate(path, 0)
    next(cache.rglob("rnn_tanh*.py")).unlink()
    assert again() == first
    assert index.stat().st_size
    assert code.stat().st_size


@pytest.mark.skipif("+avx512f" not in build.MACHINE, reason="this processor has one lane width")
def test_narrower_vectors_give_the_same_bits(trained, tmp_path):
    """AVX2 has vectors of 8 numbers, and AVX-512 of 16."""
    narrow = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma,+bmi,+bmi2,+popcnt"}
    done = python(TRAIN, env=environment(tmp_path, tmp_path) | narrow)
    assert done.stdout == trained[0], done.stderr


def test_files_that_were_cut_short_are_done_without(folders, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    load_small()
    load_small()  # the process that compiles writes no bytecode
    files = [path for path in folders[0].rglob("small*") if path.is_file()]
    assert {path.suffix for path in files} == {".py", ".pyc", ".nbi", ".nbc", ".done"}
    for path in (path for path in files if path.suffix != ".pyc"):
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        assert not build._is_whole(folders[0], "small", SMALL)
        path.write_bytes(whole)
        assert build._is_whole(folders[0], "small", SMALL)
    for path in files:
        os.truncate(path, path.stat().st_size // 2)
    load_small()
    assert build._is_whole(folders[0], "small", SMALL)


def test_code_for_another_target_is_kept_apart(tmp_path):
    here, kept = environment("/proc", "/proc", NUMBA_CACHE_DIR=str(tmp_path)), []
    for env in (here, here | {"NUMBA_CPU_NAME": "generic"}):
        done = python(LOAD, SMALL, env=env)
        assert (done.returncode, done.stderr) == (0, "")
        kept.append({path: path.read_bytes() for path in tmp_path.rglob("small*")})
    assert len(kept[1]) == 2 * len(kept[0])
    assert kept[0].items() < kept[1].items()


@pytest.mark.parametrize("setting", ["CPU_NAME", "CPU_FEATURES"])
def test_each_target_has_a_module_of_its_own(tmp_path, monkeypatch, setting):
    here = build.module_name(tmp_path, "gru", "text")
    monkeypatch.setattr(config, setting, "other")
    assert build.module_name(tmp_path, "gru", "text") != here


def test_code_compiled_for_another_processor_is_not_used(tmp_path, monkeypatch):
    here = build.module_name(tmp_path, "gru", "text")
    monkeypatch.setattr(build, "MACHINE", "another processor")
    assert build.module_name(tmp_path, "gru", "text") != here


@pytest.mark.parametrize(
    ("is_compiled", "part"), [(False, ""), (True, ""), (True, "__pycache__")],
    ids=["while it compiles", "while it loads", "while it loads machine code"],
)  # fmt: skip
def test_a_folder_deleted_while_a_process_uses_it_is_done_without(
    folders, monkeypatch, is_compiled, part
):
    if is_compiled:
        load_small()
    monkeypatch.setenv("VICTIM", str(folders[0] / part))
    load_small()
    assert build._is_whole(folders[1], "small", SMALL)
    assert not build._is_whole(folders[0], "small", SMALL)


def test_where_a_folder_cannot_be_used_another_is_and_one_line_says_so(folders, monkeypatch, capfd):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc")
    load_small()
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"compiled code goes to {folders[1]} instead of /proc/{NAME} (")
    build.module_of("smaller", SMALL)
    load_small()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("options", ["size=1m", "size=64m,ro"], ids=["full", "read-only"])
def test_a_full_or_read_only_disk_is_done_without(tmp_path, options):
    mounted = tmp_path / "home"
    mounted.mkdir()
    script = f'mount -t tmpfs -o {options} none {mounted} && exec "$@"'
    before = ("unshare", "-rm", "sh", "-c", script, "sh")
    if shutil.which("unshare") is None or subprocess.run([*before, "true"], check=False).returncode:
        pytest.skip("this system lets no user mount a disk")
    done = python(LOAD, SMALL, env=environment(mounted, tmp_path), before=before)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"compiled code goes to .* instead of .*\n", done.stderr)


def test_where_no_folder_can_be_used_the_environment_is_at_fault(folders, monkeypatch):
    for name in ("XDG_CACHE_HOME", "TMPDIR"):
        monkeypatch.setenv(name, "/proc")
    with pytest.raises(EnvironmentFault, match=r"nothing can be compiled: /proc/.*NUMBA_CACHE_DIR"):
        load_small()


def test_a_cell_that_does_not_compile_is_refused_with_its_place(tmp_path):
    shutil.copytree(Path(fused.__file__).parents[2], tmp_path / "study")
    gates = tmp_path / "study" / "engines" / "fused" / "gates.py"
    broken = "def mine_forward(a, r, h, c, own):\n    return squashed(a[0] + r[0]), c, ()\n"
    gates.write_text(f"{gates.read_text()}\n\n{broken}")
    for name, old, new in [
        ("engines", '"lstm", "gru", "rnn_tanh"', '"mine", "lstm", "gru", "rnn_tanh"'),
        ("cells", "CELLS = {", 'CELLS = {\n    "mine": Cell(rnn_tanh, ("candidate",)),'),
    ]:
        path = tmp_path / "study" / "model" / f"{name}.py"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))
    (tmp_path / "grid.yaml").write_text("name: a\nblocks: {b: {fixed: {cell: mine}}}\n")
    done = subprocess.run(
        [sys.executable, "-m", "study", "grid", "grid.yaml", "--out", "out"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    place = f"{gates}:{len(gates.read_text().splitlines())}"
    assert f"cell 'mine' does not compile: {place}: NameError: name 'squashed'" in done.stderr
    assert done.returncode == 2
    assert not (tmp_path / "out").exists()


def test_of_numbas_report_the_reason_and_the_line_are_told():
    report = """numba.core.errors.TypingError: Failed in the pipeline (step: nopython frontend)
Unknown attribute 'real' of type Lanes(float32, 8)

File "x.py", line 9:
def gru_forward(a, r, h, c, own):
    <source elided>
    candidate = tanh(a[2] + reset * r[2])
    ^
"""
    line = GATES.read_text().splitlines().index("    candidate = tanh(a[2] + reset * r[2])") + 1
    message = str(build._does_not_compile("gru", report))
    assert message.endswith(f"gates.py:{line}: Unknown attribute 'real' of type Lanes(float32, 8)")
