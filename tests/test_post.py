"""Each reading of the forum post's loop, in plain torch, against the runs of the grid `forum`."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from study.engines import fused, torch_engine
from study.grid.file import expand, read_grid
from study.runs.settings import Run, Sequences, weights_of

GRID = Path(__file__).parent.parent / "experiments" / "forum.yaml"
EPOCHS = 40
ENGINES = {"torch": torch_engine, "fused": fused}


@pytest.fixture(scope="module")
def grid():
    return expand(read_grid(GRID))


def plain_loop(
    run: Run, step_after: str, zero: bool, epochs: int = EPOCHS
) -> tuple[list[float], np.ndarray]:
    """The post's training: the loss of every forward pass, and the final weights as one vector."""
    lstm, readout = nn.LSTM(1, 6, dtype=torch.float64), nn.Linear(6, 2, dtype=torch.float64)
    parameters = [*lstm.parameters(), *readout.parameters()]
    for parameter, array in zip(parameters, weights_of(run).values(), strict=True):
        parameter.data = torch.from_numpy(array.copy())
    inputs, labels = map(torch.from_numpy, Sequences(run, "training", 50).draw(2))
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    losses = []
    for _ in range(epochs):
        for i in range(2):
            outputs, _ = lstm(inputs[i].view(50, 1, -1))
            scores = nn.functional.log_softmax(readout(outputs.view(50, -1)), dim=1)
            loss = nn.NLLLoss()(scores, labels[i])
            loss.backward()
            losses.append(loss.item())
            if step_after == "sequence":
                optimizer.step()
                if zero:
                    optimizer.zero_grad()
        if step_after == "epoch":
            optimizer.step()
            if zero:
                optimizer.zero_grad()
    if step_after == "loops":
        optimizer.step()
    return losses, np.concatenate([parameter.detach().numpy().ravel() for parameter in parameters])


def of_the_grid(grid, block: str, **settings) -> Run:
    """A run of the grid in float64 with few epochs, and otherwise unchanged."""
    found = [grid.run(run_id) for run_id in grid.blocks[block]]
    (run,) = [
        run for run in found if all(getattr(run, key) == value for key, value in settings.items())
    ]
    short = EPOCHS * (2 if run.update_per == "batch" else 1)
    changes = {"max_updates": short, "eval_every": short // EPOCHS} if run.max_updates > 1 else {}
    few = {"eval_sequences": 2, "final_sequences": 2, "long_sequences": 2}
    return run.model_copy(update={"dtype": "float64"} | changes | few)


def flat(outcome) -> np.ndarray:
    return np.concatenate([array.ravel() for array in outcome.weights.values()])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("accumulate", [True, False])
@pytest.mark.parametrize(("step_after", "update_per"), [("epoch", "epoch"), ("sequence", "batch")])
def test_the_grid_trains_what_the_post_trains(grid, step_after, update_per, accumulate, engine):
    run = of_the_grid(grid, "post", seed=1, update_per=update_per, accumulate=accumulate)
    losses, weights = plain_loop(run, step_after, zero=not accumulate)
    outcome = ENGINES[engine].train(run)
    exactly = engine == "torch"
    np.testing.assert_allclose(flat(outcome), weights, rtol=0, atol=0 if exactly else 1e-9)
    by_epoch = np.reshape(losses, (EPOCHS, 2)).mean(axis=1)
    np.testing.assert_allclose(
        outcome.curve.training_loss[1:], by_epoch, rtol=0, atol=1e-15 if exactly else 1e-9
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_a_step_after_all_epochs_is_one_long_step(grid, engine):
    """The weights stay the same for 500 epochs, so 500 equal gradients add up."""
    run = of_the_grid(grid, "step_after_the_loops", seed=1)
    losses, weights = plain_loop(run, "loops", zero=False, epochs=500)
    assert len(set(losses)) == 2  # the printed loss of either sequence never moves
    np.testing.assert_allclose(flat(ENGINES[engine].train(run)), weights, rtol=1e-9, atol=1e-9)


def test_every_setting_of_the_post(grid):
    """Every run of the block has the settings that the post names."""
    for run_id in grid.blocks["post"]:
        run = grid.run(run_id)
        epochs = run.max_updates * run.sequences_per_update / run.sequences_per_epoch
        network = (run.cell, run.hidden_size, run.layers, run.length, epochs)
        assert network == ("lstm", 6, 1, 50, 500)
        assert (run.optimizer, run.lr, run.clip_norm) == ("sgd", 0.1, None)
        assert (run.pattern, run.noise, run.noise_kind, run.cue) == ("10", 1.0, "uniform", True)
        data = (run.data, run.sequences_per_epoch, run.batch_size, run.start)
        assert data == ("fixed", 2, 1, "zeros")


def test_the_post_to_the_letter_does_not_run():
    """`sequence_1 = 1` replaces the sequence by a number, which the post's forward cannot view."""
    sequence = torch.rand(50)
    sequence = 1
    with pytest.raises(AttributeError):
        sequence.view(50, 1, -1)


def never_zeroed_and_momentum_one(engine):
    """Weights and losses of 200 updates: gradients never zeroed, momentum 1, and plain SGD."""
    base = {"length": 50, "data": "fixed", "epoch_sequences": 2, "batch_size": 1, "lr": 0.1}
    base["max_updates"] = 200
    base |= {"dtype": "float64", "eval_sequences": 2, "final_sequences": 2, "long_sequences": 2}
    kinds = (
        {"optimizer": "sgd", "accumulate": True},
        {"optimizer": "momentum", "momentum": 1.0},
        {"optimizer": "sgd"},
    )
    outcomes = [engine.train(Run(**base, **kind)) for kind in kinds]
    return [
        np.concatenate([flat(outcome), outcome.curve.training_loss[1:]]) for outcome in outcomes
    ]


@pytest.mark.parametrize("engine", [torch_engine, fused], ids=["torch", "fused"])
def test_never_zeroing_is_momentum_one_to_the_last_bit(engine):
    """The buffer of momentum 1 without dampening is the sum of all gradients so far."""
    never, heavy, plain = never_zeroed_and_momentum_one(engine)
    assert np.array_equal(never, heavy)
    assert not np.allclose(never, plain, atol=1e-3)
