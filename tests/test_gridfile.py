"""Grid files: axes, blocks, overrides, expansion."""

from pathlib import Path

import pytest

from study.errors import BadInput
from study.grid.file import Expansion, expand, grid_file, range_values, read_grid
from study.runs import Run

FILE = """
name: example
defaults: {length: 8, noise: 0.5}
blocks:
  sizes:
    fixed: {optimizer: sgd}
    vary:
      cell: [lstm, gru]
      hidden_size, lr: [[2, 0.1], [4, 1e-2]]
      seed: {range: [0, 3]}
  controls:
    keep_weights: true
    fixed: {task: parity}
  again:
    fixed: {optimizer: sgd, cell: gru, hidden_size: 4, lr: 0.01}
"""


@pytest.fixture
def expanded(tmp_path):
    """A grid file, expanded."""

    def make(text: str = FILE, *overrides: str) -> Expansion:
        path = tmp_path / "grid.yaml"
        path.write_text(text)
        return expand(read_grid(path, overrides))

    return make


def runs_of(expansion: Expansion) -> list[Run]:
    return [expansion.run(run_id) for run_id in expansion.sources]


def test_blocks_are_products_of_their_axes_and_the_grid_is_their_union(expanded):
    grid = expanded()
    assert {name: len(ids) for name, ids in grid.blocks.items()} == {
        "sizes": 12,
        "controls": 1,
        "again": 1,
    }
    assert len(grid) == 13  # the run of `again` stands in `sizes` too
    expected = Run(cell="gru", hidden_size=4, lr=0.01, optimizer="sgd", length=8, noise=0.5, seed=2)
    assert expected.run_id in grid.blocks["sizes"]
    assert grid.run(expected.run_id) == expected
    assert all(grid.run(run_id).run_id == run_id for run_id in grid.sources)


def test_a_default_that_does_not_apply_is_left_out(expanded):
    grid = expanded()
    (parity,) = (grid.run(run_id) for run_id in grid.blocks["controls"])
    assert (parity.task, parity.noise, parity.length) == ("parity", None, 8)


def test_weights_are_kept_where_a_block_asks(expanded):
    grid = expanded()
    assert grid.keep_weights == set(grid.blocks["controls"])


def test_curves_are_dropped_where_no_block_keeps_them_and_make_no_other_runs(expanded):
    grid = expanded(FILE.replace("  sizes:\n", "  sizes:\n    keep_curves: false\n"))
    assert grid.drop_curves == set(grid.blocks["sizes"]).difference(grid.blocks["again"])
    assert len(grid.drop_curves) == 11
    assert list(grid.sources) == list(expanded().sources)
    later = expanded(FILE.replace("  again:\n", "  again:\n    keep_curves: false\n"))
    assert later.drop_curves == set(), "the run of `again` stands in `sizes` too"


@pytest.mark.parametrize(
    ("override", "block", "runs"),
    [
        ("grid.cell=[lstm,gru,rnn_tanh]", "sizes", 18),
        ("grid.cell=rnn_relu", "sizes", 6),
        ("sizes.seed={range: [0, 5]}", "sizes", 20),
        ("again.length=[4, 6]", "again", 2),
        ("sizes.hidden_size, lr=[[2, 0.1]]", "sizes", 6),
        ("defaults.length=5", "controls", 1),
    ],
)
def test_overrides(expanded, override, block, runs):
    assert len(expanded(FILE, override).blocks[block]) == runs


def test_an_override_of_one_value_reaches_every_block(expanded):
    grid = expanded(FILE, "grid.length=5", "grid.cell=gru")
    assert {(run.length, run.cell) for run in runs_of(grid)} == {(5, "gru")}


def test_a_zipped_axis_is_found_however_it_is_spelt(expanded):
    text = FILE.replace("hidden_size, lr:", "hidden_size,lr:")
    grid = expanded(text, "sizes.hidden_size , lr=[[8, 0.3]]")
    assert {grid.run(run_id).hidden_size for run_id in grid.blocks["sizes"]} == {8}


def test_blocks_that_share_an_anchor_are_overridden_one_by_one(expanded):
    text = "name: a\nblocks:\n  b: {vary: &axes {lr: [0.1, 0.2]}}\n  c: {vary: *axes}\n"
    grid = expanded(text, "b.lr=0.3")
    assert [len(ids) for ids in grid.blocks.values()] == [1, 2]


def test_merged_keys_are_keys(expanded):
    text = (
        "name: a\ndefaults: &common {length: 8}\nblocks:\n  b:\n    fixed: {<<: *common, lr: 0.5}\n"
    )
    assert [(run.length, run.lr) for run in runs_of(expanded(text))] == [(8, 0.5)]


@pytest.mark.parametrize(
    ("kind", "bounds", "whole", "values"),
    [
        ("range", [0, 3], True, [0, 1, 2]),
        ("range", [10, 0, -5], True, [10, 5]),
        ("linear_range", [0, 1, 3], False, [0, 0.5, 1]),
        ("log_range", [0.01, 1, 3], False, [0.01, 0.1, 1]),
        ("log_range", [1e-3, 1e-1, 5], False, [0.001, 0.00316228, 0.01, 0.0316228, 0.1]),
        ("log_range", [5, 500, 3], True, [5, 50, 500]),
        ("log_range", [1, 4, 9], True, [1, 2, 3, 4]),
    ],
)
def test_ranges(kind, bounds, whole, values):
    assert range_values(kind, bounds, whole=whole) == values


def test_a_bare_name_that_is_no_file_is_an_experiment_of_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("smoke").mkdir()  # a folder is no grid file
    assert read_grid(grid_file("smoke")).name == "smoke"
    for name in ("smoke.yaml", "experiments/smoke", str(tmp_path / "smoke")):
        assert grid_file(name) == Path(name)
    with pytest.raises(BadInput, match=r"^smok: no such file, and .*did you mean 'smoke'.* main, "):
        grid_file("smok")
    Path("main").write_text("name: mine")
    assert grid_file("main") == Path("main")
