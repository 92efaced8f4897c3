"""Initial weights: torch's distribution by default, and the one change of each other entry."""

import numpy as np
import pytest
from scipy.stats import kstest

from study.model.cells import CELLS
from study.model.initialisations import INITIALISATIONS
from study.runs.settings import Run, weights_of


def weights(**settings):
    return weights_of(Run(**settings))


def test_default_is_uniform_within_one_over_root_hidden():
    drawn = np.concatenate([array.ravel() for array in weights(hidden_size=64).values()])
    assert kstest(drawn, "uniform", args=(-1 / 8, 2 / 8)).pvalue > 0.001


def test_only_the_forget_bias_differs():
    plain, biased = weights(), weights(init="forget_bias", init_value=3.0)
    assert biased["cell.bias_ih_l0"][6:12].tolist() == [3.0] * 6
    assert biased["cell.bias_hh_l0"][6:12].tolist() == [0.0] * 6
    for name, array in plain.items():
        same = array == biased[name]
        assert same.all() or (name.startswith("cell.bias") and same[:6].all() and same[12:].all())


@pytest.mark.parametrize("cell", [name for name, cell in CELLS.items() if cell.recurrent])
def test_orthogonal_blocks_are_orthogonal(cell):
    recurrent = weights(cell=cell, init="orthogonal", init_value=0.5)["cell.weight_hh_l0"]
    for block in recurrent.reshape(-1, 6, 6):
        np.testing.assert_allclose(block @ block.T, 0.25 * np.eye(6), atol=1e-12)


@pytest.mark.parametrize(("init", "sign"), [("identity", 1.0), ("negative_identity", -1.0)])
def test_identity_sets_the_candidate_only(init, sign):
    plain, changed = weights(cell="gru"), weights(cell="gru", init=init)
    np.testing.assert_array_equal(changed["cell.weight_hh_l0"][12:], sign * np.eye(6))
    np.testing.assert_array_equal(
        changed["cell.weight_hh_l0"][:12], plain["cell.weight_hh_l0"][:12]
    )
    assert not changed["cell.bias_ih_l0"][12:].any()


def test_scaled_multiplies_the_recurrent_weights():
    plain, scaled = weights(), weights(init="scaled", init_value=3.0)
    np.testing.assert_array_equal(scaled["cell.weight_hh_l0"], 3 * plain["cell.weight_hh_l0"])
    np.testing.assert_array_equal(scaled["cell.weight_ih_l0"], plain["cell.weight_ih_l0"])


@pytest.mark.parametrize("init", INITIALISATIONS)
def test_every_layer_is_initialised(init):
    drawn = weights(cell="lstm", layers=2, init=init)
    assert drawn["cell.weight_ih_l1"].shape == (24, 6)
    assert all(np.isfinite(array).all() for array in drawn.values())
    if init != "default":
        plain = weights(cell="lstm", layers=2)
        assert any((drawn[name] != plain[name]).any() for name in drawn if name.endswith("l1"))
