"""The torch engine against plain PyTorch loops, and each training option against its claim."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from study.engines.torch_engine import Network, Trainer, train
from study.model.cells import CELLS
from study.model.optimizers import OPTIMIZERS
from study.runs.settings import Run, Sequences, cut_offsets, weights_of


def trained(run: Run) -> dict[str, torch.Tensor]:
    """Final weights of a run trained by the engine's own updates."""
    trainer = Trainer(run)
    for _ in range(run.max_updates):
        trainer.update()
    return {name: value.detach().clone() for name, value in trainer.network.state_dict().items()}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], **tolerance) -> bool:
    return all(
        torch.allclose(a[name], b[name], **(tolerance or {"rtol": 0, "atol": 0})) for name in a
    )


def plain_training(run: Run) -> list[torch.Tensor]:
    """Final weights from a loop as a PyTorch user would write it, for fresh data."""
    cell = CELLS[run.cell]
    options = {"nonlinearity": cell.nonlinearity} if cell.nonlinearity else {}
    recurrent = getattr(nn, cell.torch_class)(
        1, run.hidden_size, run.layers, dtype=torch.float64, **options
    )
    readout = nn.Linear(run.hidden_size, 2, dtype=torch.float64)
    parameters = [*recurrent.parameters(), *readout.parameters()]
    for parameter, array in zip(parameters, weights_of(run).values(), strict=True):
        parameter.data = torch.from_numpy(array.copy())
    settings = {
        k: tuple(v) if isinstance(v, list) else v for k, v in run.optimizer_settings.items()
    }
    optimizer = getattr(torch.optim, OPTIMIZERS[run.optimizer].torch_class)(
        parameters, lr=run.lr, **settings
    )
    sequences = Sequences(run, "training", run.length)
    for _ in range(run.max_updates):
        inputs, labels = sequences.draw(run.batch_size)
        optimizer.zero_grad()
        # Contiguous, as in the engine, since MKL may round differently otherwise.
        outputs, _ = recurrent(torch.from_numpy(inputs).transpose(0, 1).contiguous())
        logits = readout(outputs)
        nn.functional.cross_entropy(
            logits.flatten(0, 1), torch.from_numpy(labels).T.flatten()
        ).backward()
        optimizer.step()
    return [parameter.detach() for parameter in parameters]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("cell", [name for name, cell in CELLS.items() if cell.torch_class])
def test_training_equals_plain_pytorch_to_the_last_bit(quick, cell, optimizer):
    run = quick(cell=cell, optimizer=optimizer, lr=0.05, dtype="float64", layers=2)
    for mine, theirs in zip(trained(run).values(), plain_training(run), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


@pytest.mark.parametrize("cell", [name for name, cell in CELLS.items() if cell.torch_class])
@pytest.mark.parametrize("state", ["carried", "across_batches"])
def test_a_cell_without_torch_class_trains_by_its_rule(quick, monkeypatch, cell, state):
    """A cell of torch.nn, trained like a cell that torch.nn lacks, trains the same."""
    run = quick(cell=cell, dtype="float64", layers=2, start="learned", state=state, cut_every=2)
    reference = trained(run)
    spec = CELLS[cell]
    monkeypatch.setitem(CELLS, cell, type(spec)(spec.rule, spec.gates, spec.states))
    assert equal(trained(run), reference, rtol=1e-9, atol=1e-12)


def test_never_zeroing_gradients_equals_momentum_one_to_the_last_bit(quick):
    common = {"dtype": "float64", "lr": 0.1}
    never_zeroed = trained(quick(optimizer="sgd", accumulate=True, **common))
    assert equal(never_zeroed, trained(quick(optimizer="momentum", momentum=1.0, **common)))
    assert not equal(never_zeroed, trained(quick(optimizer="sgd", **common)))


def test_with_several_batches_per_update_the_two_differ_only_by_rounding(quick):
    """The order of the sum differs: (G + g1) + g2 against G + (g1 + g2)."""
    common = {
        "dtype": "float64",
        "lr": 0.1,
        "data": "fixed",
        "epoch_sequences": 8,
        "update_per": "epoch",
    }
    never_zeroed = trained(quick(optimizer="sgd", accumulate=True, **common))
    assert equal(
        never_zeroed,
        trained(quick(optimizer="momentum", momentum=1.0, **common)),
        rtol=1e-9,
        atol=1e-12,
    )


def test_an_update_per_epoch_sums_the_gradients_of_its_batches(quick):
    """The step on two batches of 4 is that on one batch of 8 with twice the learning rate."""
    common = {
        "dtype": "float64",
        "optimizer": "sgd",
        "data": "fixed",
        "epoch_sequences": 8,
        "update_per": "epoch",
    }
    two = trained(quick(batch_size=4, lr=0.1, **common))
    one = trained(quick(batch_size=8, lr=0.2, **common))
    assert equal(two, one, rtol=1e-10, atol=1e-12)


def test_fixed_data_repeats_every_epoch(quick):
    batches = Trainer(quick(data="fixed", epoch_sequences=8)).batches
    first, second, third = (next(batches)[0] for _ in range(3))
    assert torch.equal(first, third)
    assert not torch.equal(first, second)


def test_fresh_data_never_repeats(quick):
    batches = Trainer(quick()).batches
    drawn = [next(batches)[0] for _ in range(10)]
    assert all(not torch.equal(a[1:], b[1:]) for i, a in enumerate(drawn) for b in drawn[:i])


@pytest.mark.parametrize("cell", CELLS)
def test_reset_passes_the_same_state_at_every_step(quick, cell):
    """The notebook's loop does so: it passes the same (h0, c0) each time."""
    network = Network(quick(cell=cell, state="reset", start="normal", dtype="float64"))
    drawn = np.random.default_rng(0).normal(size=(3, len(CELLS[cell].states), 1, 4))
    inputs = torch.rand(6, 3, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    state = network.start_state(3, drawn)
    logits, _ = network(inputs, state)
    for step in range(6):
        output, _ = network._recur(inputs[step : step + 1], state)
        torch.testing.assert_close(logits[step], network.readout(output)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("cell", [name for name, cell in CELLS.items() if cell.torch_class])
def test_cutting_the_gradient_changes_gradients_but_not_outputs(quick, cell):
    whole, cut = (
        Network(quick(cell=cell, dtype="float64")),
        Network(quick(cell=cell, dtype="float64", cut_every=2)),
    )
    inputs = torch.rand(6, 3, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    outputs = [network(inputs, network.start_state(3, None))[0] for network in (whole, cut)]
    torch.testing.assert_close(*outputs, rtol=1e-12, atol=1e-12)
    for output in outputs:
        output[-1].sum().backward()
    a, b = whole.cell.weight_hh_l0.grad, cut.cell.weight_hh_l0.grad
    assert not torch.allclose(a, b)


def test_a_gradient_cut_at_every_step_reaches_back_one_step(quick):
    network = Network(quick(dtype="float64", cell="rnn_tanh", cut_every=1))
    inputs = torch.rand(6, 3, 1, dtype=torch.float64, requires_grad=True)
    network(inputs, network.start_state(3, None))[0][-1].sum().backward()
    assert (inputs.grad[-1] != 0).all()
    assert (inputs.grad[:-1] == 0).all()


@pytest.mark.parametrize("cell", ["rnn_tanh", "mgu"])
@pytest.mark.parametrize(("offset", "reached"), [(0, 6), (1, 7), (2, 5)])
def test_the_gradient_is_cut_where_the_step_minus_the_offset_is_a_multiple(
    quick, cell, offset, reached
):
    """With cut_every 3, the last of 8 steps reaches back to the last cut: at 6, at 7 or at 5."""
    network = Network(quick(cell=cell, dtype="float64", cut_every=3, layers=2))
    inputs = torch.rand(8, 3, 1, dtype=torch.float64, requires_grad=True)
    logits, _ = network(inputs, network.start_state(3, None), offset)
    logits[-1].sum().backward()
    assert (inputs.grad[reached:] != 0).all()
    assert (inputs.grad[:reached] == 0).all()


@pytest.mark.parametrize("kind", ["fixed", "shifted", "random"])
def test_all_batches_of_an_update_have_its_cut_offset(quick, monkeypatch, kind):
    run = quick(cut_every=4, cut_offset=kind, epoch_sequences=8, update_per="epoch")
    trainer, seen = Trainer(run), []
    loss = trainer._loss
    monkeypatch.setattr(trainer, "_loss", lambda batch, o: seen.append(o) or loss(batch, o))
    for _ in range(10):
        trainer.update()
    assert seen == cut_offsets(run, 0, 10).repeat(2).tolist()
    assert set(seen) == {"fixed": {0}, "shifted": {2}, "random": {0, 1, 2, 3}}[kind]


def test_evaluations_ignore_the_cuts_and_runs_differ_by_their_offsets(quick):
    kinds = ("fixed", "shifted", "random")
    outcomes = [train(quick(cut_every=3, cut_offset=kind, lr=0.05)) for kind in kinds]
    assert len({outcome.curve.loss[0] for outcome in outcomes}) == 1
    assert len({outcome.curve.loss[-1] for outcome in outcomes}) == 3


def test_state_across_batches_starts_where_the_last_batch_ended(quick):
    trainer = Trainer(quick(state="across_batches"))
    trainer.update()
    carried = [part.clone() for part in trainer.carried]
    assert all(part.abs().max() > 0 and not part.requires_grad for part in carried)
    trainer.update()
    assert not torch.equal(carried[0], trainer.carried[0])


@pytest.mark.parametrize(("task", "outputs"), [("cyclic", 3), ("permutation", 6)])
def test_a_task_of_several_classes_trains_with_the_loss_of_all_of_them(quick, task, outputs):
    run = quick(task=task, dtype="float64", optimizer="sgd", lr=0.5)
    before = weights_of(run)
    assert before["readout.weight"].shape == (outputs, 4)
    after = trained(run)
    assert all((after[name].numpy() != array).any() for name, array in before.items())
    trainer = Trainer(run)
    with torch.no_grad():  # equal logits for all classes but the first, which is answered
        trainer.network.readout.weight.zero_()
        trainer.network.readout.bias.zero_()[0] = 1
    scored = trainer.evaluate(Sequences(run, "evaluation", 9), 50)
    labels = Sequences(run, "evaluation", 9).draw(50)[1]
    assert scored.accuracy == pytest.approx((labels[:, 1:] == 0).mean())
    expected = math.log(math.e + outputs - 1) - (labels == 0).mean()
    assert scored.loss == pytest.approx(expected)


def test_a_task_of_three_classes_is_solved():
    run = Run(
        task="cyclic", cell="gru", hidden_size=8, length=4, lr=0.05, max_updates=800, engine="torch"
    )
    outcome = train(run)
    assert outcome.curve.exact[-3:].tolist() == [1, 1, 1]
    assert outcome.updates < 800


def test_a_learned_start_state_is_trained(quick):
    weights = trained(quick(start="learned"))
    assert all(weights[f"start.{name}"].abs().max() > 0 for name in ("h", "c"))


def test_clipping_bounds_the_step(quick):
    run = quick(optimizer="sgd", lr=1.0, clip_norm=1e-3, max_updates=15)
    after, before = trained(run), weights_of(run)
    moved = math.sqrt(sum(((after[n].numpy() - before[n]) ** 2).sum() for n in before))
    assert 0 < moved <= 15 * 1e-3 * 1.001


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_other_devices_agree_with_the_cpu(quick, device):
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available[device]:
        pytest.skip(f"this machine has no {device}")
    cpu, other = train(quick()), train(quick(device=device))
    np.testing.assert_allclose(cpu.curve.loss, other.curve.loss, rtol=1e-3)


def test_given_weights_are_copied_in_any_memory_order(quick):
    run = quick(start="learned", dtype="float64")
    given = weights_of(run)
    before = {name: array.copy() for name, array in given.items()}
    outcome = train(run, given)
    turned = {name: np.asfortranarray(array) for name, array in given.items()}
    assert all(parameter.is_contiguous() for parameter in Network(run, turned).parameters())
    other = train(run, turned)
    for name, array in given.items():
        np.testing.assert_array_equal(array, before[name])
        np.testing.assert_array_equal(outcome.weights[name], other.weights[name])
        assert (outcome.weights[name] != array).any(), name


@pytest.fixture
def two_threads():
    """Torch's number of threads is 2, where other tests have 1."""
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.mark.usefixtures("two_threads")
def test_training_leaves_torchs_global_state_alone(quick):
    generator, dtype = torch.get_rng_state(), torch.get_default_dtype()
    train(quick(dtype="float64"))
    assert torch.get_num_threads() == 2
    assert torch.equal(torch.get_rng_state(), generator)
    assert torch.get_default_dtype() == dtype


def test_a_run_stops_once_it_has_solved_the_task():
    run = Run(hidden_size=4, length=4, lr=0.05, max_updates=400, eval_every=5, solved_evaluations=3)
    outcome = train(run)
    assert outcome.curve.exact[-3:].tolist() == [1, 1, 1]
    assert outcome.updates == outcome.curve.update[-1] < 400
    assert outcome.final.exact > 0.9
    longer = train(
        run.model_copy(update={"stop_when_solved": False, "max_updates": outcome.updates + 20})
    )
    assert longer.updates == outcome.updates + 20
    np.testing.assert_array_equal(
        longer.curve.exact[: len(outcome.curve.exact)], outcome.curve.exact
    )


def test_a_budget_that_eval_every_does_not_divide_is_used_up(quick):
    outcome = train(quick(lr=1e-6, max_updates=32))
    assert outcome.curve.update.tolist() == [0, 5, 10, 15, 20, 25, 30, 32]


def test_divergence_is_reported_with_its_update(quick):
    outcome = train(quick(cell="rnn_relu", optimizer="sgd", lr=1e30, max_updates=100))
    assert outcome.diverged_update is not None
    assert outcome.updates == outcome.diverged_update
    assert outcome.final is None
    assert np.isfinite(outcome.curve.loss[0])


@pytest.mark.parametrize("cell", CELLS)
def test_a_network_that_knows_the_answer_scores_one(quick, cell):
    """Built by hand: labels are constant, so the readout's biases suffice."""
    run = quick(cell=cell, pattern="1", dtype="float64")
    trainer = Trainer(run)
    with torch.no_grad():
        trainer.network.readout.weight.zero_()
        trainer.network.readout.bias.copy_(torch.tensor([0.0, 5.0]))
    scored = trainer.evaluate(Sequences(run, "evaluation", 9), 7)
    assert (scored.accuracy, scored.exact, scored.first_error) == (1.0, 1.0, None)
    assert scored.loss == pytest.approx(math.log(1 + math.exp(-5)))
