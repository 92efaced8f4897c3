"""Each readable update rule equals that of `torch.nn`, in values and gradients."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from study.engines.torch_engine import RuleLayers
from study.model.cells import CELLS, Cell

sizes = st.integers(1, 5)


def pair(
    cell: Cell, input_size: int, hidden: int, layers: int, seed: int
) -> tuple[nn.Module, RuleLayers]:
    """The module of `torch.nn` and the layers built from our rule, with the same random weights."""
    assert cell.torch_class
    options = {"nonlinearity": cell.nonlinearity} if cell.nonlinearity else {}
    theirs = getattr(nn, cell.torch_class)(
        input_size, hidden, layers, dtype=torch.float64, **options
    )
    generator = torch.Generator().manual_seed(seed)
    for parameter in theirs.parameters():
        parameter.data.normal_(generator=generator)
    ours = RuleLayers(cell, input_size, hidden, layers, torch.float64)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


@pytest.mark.parametrize("name", [name for name, cell in CELLS.items() if cell.torch_class])
@given(
    input_size=sizes,
    hidden=sizes,
    layers=st.integers(1, 3),
    length=sizes,
    batch=sizes,
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_rule_equals_torch(name, input_size, hidden, layers, length, batch, seed):
    cell = CELLS[name]
    theirs, ours = pair(cell, input_size, hidden, layers, seed)
    generator = torch.Generator().manual_seed(seed + 1)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=generator)

    inputs, state = (
        random(length, batch, input_size),
        tuple(random(layers, batch, hidden) for _ in cell.states),
    )
    outputs, after = theirs(inputs, state if len(state) > 1 else state[0])
    our_outputs, our_after = ours(inputs, state)
    assert_close(our_outputs, outputs)
    for mine, other in zip(our_after, after if len(state) > 1 else (after,), strict=True):
        assert_close(mine, other)

    weigh = random(*outputs.shape)
    (outputs * weigh).sum().backward()
    (our_outputs * weigh).sum().backward()
    gradients = dict(theirs.named_parameters())
    for parameter_name, parameter in ours.named_parameters():
        assert_close(parameter.grad, gradients[parameter_name].grad)


def assert_close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CELLS)
def test_docstring_starts_with_the_equation_and_names_source_and_state(name):
    doc = CELLS[name].rule.__doc__
    assert "=" in doc.splitlines()[0]
    assert re.search(r"torch\.nn|arXiv|\b(19|20)\d\d\b", doc)
    assert re.search(r"state\s+(is\s+)?\(", doc)


@pytest.mark.parametrize("name", CELLS)
def test_shapes_are_those_of_the_gates(name):
    cell = CELLS[name]
    assert cell.shapes(3, 5)["weight_ih"] == (5 * len(cell.gates), 3)
    assert ("weight_hh" in cell.shapes(3, 5)) == cell.recurrent
    assert cell.shapes(3, 5).get("weight_hh", (5 * len(cell.gates), 5)) == (5 * len(cell.gates), 5)


def test_gates_are_stacked_in_the_named_order():
    """A bias that shuts the forget gate makes the cell forget its cell state."""
    cell = CELLS["lstm"]
    weights = {name: torch.zeros(shape) for name, shape in cell.shapes(1, 1).items()}
    weights["bias_ih"][cell.gates.index("forget")] = -100.0
    _, c = cell.rule(torch.zeros(1, 1), (torch.zeros(1, 1), torch.ones(1, 1)), weights)
    assert c.item() == pytest.approx(0.0, abs=1e-30)
