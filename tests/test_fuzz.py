"""Grid files and overrides wrong in every way: a right grid, or exit code 2 and nothing written."""

import contextlib
import io
import json
import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from study.__main__ import main
from study.errors import BadInput
from study.grid.file import RANGES, SETTING_NAMES, expand, read_grid

LARGE = 2_000  # runs; a larger grid is read, and not expanded here
GOOD = """name: good
defaults: {length: 8, noise: 0.5}
blocks:
  sizes: {fixed: {optimizer: sgd}, vary: {cell: [lstm, gru], seed: {range: [0, 3]}}}
  kept: {keep_weights: true, fixed: {task: parity}, vary: {lr: [0.1, 1e-2]}}
"""
HUGE = (2**31, 2**63, 10**18, 10**400, 1e308, 5e-324, float("nan"))
WORDS = (
    "-", "~", "null", "yes", "1_000", "1e3", ".inf", "2001-01-01", "10", "{}", "%s{name}", "../x",
    "lstm", "gru", "adam", "nesterov", "LBFGS", "parity", "fused", "cpu", "float64", "", " ",
    "x" * 5000, "\u202e", "\ud800", "\x00", "\x1b[2J", "a\nb", "&a [*a]", "!!python/name:os.system",
)  # fmt: skip

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 70), st.floats(), st.text(max_size=8),
    st.sampled_from(HUGE), st.sampled_from(WORDS),
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
keys = st.sampled_from([*SETTING_NAMES, "lr_rate", "cell, lr", "seed,lr", "cell,cell", ",", ""])
ends = st.lists(st.integers(-5, 40) | st.floats(0, 3) | scalars, max_size=4)
ranges = st.dictionaries(st.sampled_from([*RANGES, "lograng"]), ends, max_size=2)
pairs = st.dictionaries(keys, values, max_size=3)
axes = st.dictionaries(keys, ranges | st.lists(values, max_size=3) | values, max_size=3)
blocks = st.fixed_dictionaries(
    {},
    optional={"fixed": pairs, "vary": axes, "fxed": values}
    | {"keep_weights": values, "keep_curves": values},
)
named = st.dictionaries(st.sampled_from(["a", "b", "grid", "a.b"]), blocks | values, max_size=3)
trees = st.fixed_dictionaries(
    {"name": st.just("fuzz") | values, "blocks": named},
    optional={"defaults": pairs, "description": values, "nmae": values},
)
slips = st.tuples(st.integers(0, len(GOOD)), st.integers(0, 9), st.text(max_size=5))
files = st.one_of(
    st.just(GOOD),
    trees.map(json.dumps),  # JSON is YAML
    slips.map(lambda slip: GOOD[: slip[0]] + slip[2] + GOOD[slip[0] + slip[1] :]),
)
scopes = st.sampled_from(["grid", "sizes", "defaults", "name", "gird", ""])
overrides = st.builds("{}.{}={}".format, scopes, keys, values.map(json.dumps)) | st.text(max_size=9)


@example(GOOD, ["name.=[]"])
@given(files, st.lists(overrides, max_size=2))
@settings(max_examples=250, deadline=None)
def test_a_grid_is_right_or_refused(text, changes):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "grid.yaml")
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            grid = read_grid(path, changes)
            assert grid.size > LARGE or len(expand(grid)) > 0
        except BadInput as error:
            said, errors = io.StringIO(), [f"error: {problem}" for problem in error.problems]
            errors = list(dict.fromkeys(errors))  # an error of every block is printed once
            with contextlib.chdir(folder), contextlib.redirect_stderr(said):
                assert main(["grid", str(path), *(f"--set={change}" for change in changes)]) == 2
            assert said.getvalue().splitlines() == errors
            assert all(line.isprintable() and len(line) < 2000 for line in errors)
            assert [found.name for found in Path(folder).iterdir()] == ["grid.yaml"]
