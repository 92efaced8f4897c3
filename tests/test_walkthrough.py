"""The walk-through runs, and the digits that the notebook printed can be reproduced."""

import nbformat
import numpy as np
import pytest
import torch
from torch import nn
from walkthrough import WALKTHROUGH, executed

BYTES = 150_000


def outputs_of(notebook) -> list[tuple]:
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [(c.execution_count, [output.output_type for output in c.outputs]) for c in cells]


# The warnings come from the kernel's client.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_every_cell_runs_and_its_assertions_hold():
    assert outputs_of(executed()) == outputs_of(nbformat.read(WALKTHROUGH, as_version=4))
    assert WALKTHROUGH.stat().st_size < BYTES


# The digits that the notebook printed, one row per vector of three units: five outputs and four
# cell states of its loop, then the first and last output and the last cell state of its one call.
PRINTED = """
    -0.1500 -0.0961 0.2719
    0.0745 -0.2756 0.4170
    0.0724 -0.3120 0.2302
    -0.0685 0.0069 0.3191
    0.1004 -0.1014 0.2815
    -0.3462 -0.1863 0.8630
    0.2830 -0.5666 0.8108
    0.5445 -0.6505 0.3713
    -0.1566 0.0116 0.6756
    -0.2600 -0.0558 0.0722
    0.0898 0.0230 -0.1873
    0.2407 0.0637 -0.2616
"""
LOOP_OUTPUTS, LOOP_CELLS, ONE_CALL = np.split(
    np.array(PRINTED.split(), float).reshape(-1, 3), [5, 9]
)


def starts() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(1, 1, 3), torch.randn(1, 1, 3)


@pytest.fixture
def notebook():
    """Its network, inputs and two start states, after three runs each of its cells 4 and 7."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(2)
        for _ in range(3):
            lstm, inputs = nn.LSTM(4, 3), torch.stack([torch.randn(1, 4) for _ in range(5)])
        for _ in range(3):
            loop_start = starts()
        yield lstm, inputs, loop_start, starts()


def test_the_notebooks_loop_restarts_at_every_step(notebook):
    lstm, inputs, start, _ = notebook
    steps = [lstm(x.view(1, 1, -1), start) for x in inputs]
    np.testing.assert_allclose([out.flatten() for out, _ in steps], LOOP_OUTPUTS, atol=5.1e-5)
    cells = [c.flatten() for _, (_, c) in steps][:4]
    np.testing.assert_allclose(cells, LOOP_CELLS, atol=5.1e-5)
    carried, _ = lstm(inputs, start)
    assert torch.allclose(steps[0][0], carried[:1], atol=1e-6)
    assert not torch.allclose(steps[1][0], carried[1:2], atol=1e-2)


def test_its_one_call_begins_from_a_new_start_state(notebook):
    lstm, inputs, _, start = notebook
    outputs, (_, c) = lstm(inputs, start)
    printed = torch.cat([outputs[0], outputs[-1], c[0]])
    np.testing.assert_allclose(printed, ONE_CALL, atol=5.1e-5)
