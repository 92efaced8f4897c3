"""Each readable update rule equals that of `torch.nn`, in values and gradients."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from study.engines.torch_engine import RuleLayers
from study.model.cells import CELLS, Cell
from study.model.rules import GATES

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


def test_a_complex_diagonal_cell_is_a_product_of_complex_numbers():
    cell, rng = CELLS["diagonal_complex"], np.random.default_rng(0)
    weights = {name: rng.normal(size=shape) for name, shape in cell.shapes(2, 3).items()}
    x, h, c = (rng.normal(size=(4, size)) for size in (2, 3, 3))
    given = {name: torch.from_numpy(array) for name, array in weights.items()}
    state = tuple(map(torch.from_numpy, (h, c)))
    after = [part.numpy() for part in cell.rule(torch.from_numpy(x), state, given)]
    d, angle = np.split(weights["weight_eigenvalue"], 2)
    weight = weights["weight_ih"][:3] + 1j * weights["weight_ih"][3:]
    bias = weights["bias_ih"][:3] + 1j * weights["bias_ih"][3:]
    expected = np.exp(1j * angle) / (1 + np.exp(-d)) * (h + 1j * c) + x @ weight.T + bias
    np.testing.assert_allclose(after[0] + 1j * after[1], expected, rtol=1e-13)


FUNCTIONS = {
    "tanh": torch.tanh, "sigmoid": torch.sigmoid, "sine": torch.sin, "cosine": torch.cos,
    "rectified": torch.relu, "zero_of": torch.zeros_like, "one": 1.0,
    "where_positive": lambda test, x: torch.where(test > 0, x, 0.0),
}  # fmt: skip


@pytest.mark.parametrize("name", ["diagonal_signed", "diagonal_complex"])
def test_gates_and_their_gradients_are_those_of_the_rule_and_of_autograd(name):
    """For one unit, on numbers: the gates in `gates.py` against the rule, in float64."""
    gates, cell = dict(FUNCTIONS), CELLS[name]
    exec(GATES.read_text(encoding="utf-8"), gates)
    generator = torch.Generator().manual_seed(1)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=generator)

    for _ in range(20):
        a, h, c, dh, dc = random(len(cell.gates)), *random(4)
        own = random(cell.extra[1])
        weights = {"weight_ih": torch.eye(len(a)).double(), "bias_ih": 0 * a, cell.extra[0]: own}
        parts = [part.requires_grad_() for part in (a, h, c, own)]
        state = tuple(part.reshape(1, 1) for part in (h, c)[: len(cell.states)])
        after = [part[0, 0] for part in cell.rule(a[None], state, weights)]
        expected = torch.autograd.grad(
            sum(d * part for d, part in zip((dh, dc), after, strict=False)), parts,
            allow_unused=True,
        )  # fmt: skip
        with torch.no_grad():
            h_next, c_next, kept = gates[f"{name}_forward"](a, (), h, c, own)
            found = gates[f"{name}_backward"](kept, h, c, h_next, c_next, dh, dc, own)
        of_a, of_r, of_h, of_c, of_own = found
        assert of_r == ()
        for mine, theirs in zip((h_next, c_next), after, strict=False):
            assert_close(mine, theirs.detach())
        assert_close(torch.stack(of_a), expected[0])
        assert_close(of_h, expected[1])
        assert_close(of_c, dc if expected[2] is None else expected[2])
        assert_close(torch.stack(of_own), expected[3])


def test_gates_are_stacked_in_the_named_order():
    """A bias that shuts the forget gate makes the cell forget its cell state."""
    cell = CELLS["lstm"]
    weights = {name: torch.zeros(shape) for name, shape in cell.shapes(1, 1).items()}
    weights["bias_ih"][cell.gates.index("forget")] = -100.0
    _, c = cell.rule(torch.zeros(1, 1), (torch.zeros(1, 1), torch.ones(1, 1)), weights)
    assert c.item() == pytest.approx(0.0, abs=1e-30)
