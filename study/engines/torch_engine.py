"""Train runs with `torch.nn` and `torch.optim`, as a PyTorch user would.

This is the reference engine, against which every other engine is tested. Data and initial weights
are drawn on the CPU from the run's own random streams, so they are the same on every device. Import
this module only where it is needed, because torch is slow to import.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn

from study.engines import Curve, Outcome, never_stop
from study.model import (
    CELLS,
    TASKS,
    Cell,
    Score,
    converged_index,
    not_there,
    score,
    torch_optimizer,
)
from study.runs import Run, Sequences, cut_offsets, weights_of

__all__ = ["Network", "RuleLayers", "Trainer", "final_scores", "train", "unavailable"]

State = tuple[Tensor, ...]  # one tensor (layers, batch, hidden_size) per state of the cell


def unavailable(run: Run) -> str | None:
    """Return why this machine cannot train the run, or None if it can."""
    is_available = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    if run.device == "cpu" or is_available[run.device]():
        return None
    return not_there(run.device)


# --- the network --------------------------------------------------------------------------------


class RuleLayers(nn.Module):
    """Recurrent layers for a cell that `torch.nn` lacks, with the interface of `nn.LSTM`.

    The layers apply the cell's rule (see `study.model.cells`) step by step.
    """

    def __init__(
        self, cell: Cell, input_size: int, hidden_size: int, layers: int, dtype: torch.dtype
    ):
        super().__init__()
        self.cell, self.layers = cell, layers
        for layer in range(layers):
            shapes = cell.shapes(input_size if layer == 0 else hidden_size, hidden_size)
            for name, shape in shapes.items():
                parameter = nn.Parameter(torch.empty(shape, dtype=dtype))
                self.register_parameter(f"{name}_l{layer}", parameter)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the outputs of the last layer and the final state of all layers.

        The inputs have the shape (T, batch, I), and the outputs have the shape (T, batch, H).
        `state` is the state before step 0. It has one tensor (layers, batch, H) per state of the
        cell, and so has the final state.
        """
        finals = []
        for layer in range(self.layers):
            names = self.cell.shapes(1, 1)
            weights = {name: getattr(self, f"{name}_l{layer}") for name in names}
            current: State = tuple(part[layer] for part in state)
            outputs = []
            for x in inputs:
                current = self.cell.rule(x, current, weights)
                outputs.append(current[0])
            inputs = torch.stack(outputs)
            finals.append(current)
        return inputs, tuple(torch.stack(parts) for parts in zip(*finals, strict=True))


def _recurrent(run: Run, cell: Cell, dtype: torch.dtype) -> nn.Module:
    """Return the recurrent layers of the run, before their weights are set.

    `torch.nn` would draw weights from the global generator. To avoid this, its layers are made on
    the device "meta", which has no storage.
    """
    input_size = TASKS[run.task].input_size
    if cell.torch_class is None:
        cell = replace(cell, rule=run.cell_rule)
        return RuleLayers(cell, input_size, run.hidden_size, run.layers, dtype)
    options = {"nonlinearity": cell.nonlinearity} if cell.nonlinearity else {}
    sizes = (input_size, run.hidden_size, run.layers)
    return getattr(nn, cell.torch_class)(*sizes, dtype=dtype, device="meta", **options)


class Network(nn.Module):
    """The network of a run: recurrent layers, and a linear readout with one logit per class.

    `cell` holds the recurrent layers, of a class of `torch.nn` if the run's cell has one, and
    `readout` is a `torch.nn.Linear`. If the run learns its start state, the start state is a
    parameter too. `initial` maps parameter names to initial weights. By default, the run's own
    initial weights are used. `device` replaces the run's device.
    """

    def __init__(
        self, run: Run, initial: Mapping[str, np.ndarray] | None = None, device: str | None = None
    ):
        super().__init__()
        dtype, outputs = getattr(torch, run.dtype), TASKS[run.task].outputs
        self.run, self.spec = run, CELLS[run.cell]
        self.cell = _recurrent(run, self.spec, dtype)
        self.readout = nn.Linear(run.hidden_size, outputs, dtype=dtype, device="meta")
        self.start = nn.ParameterDict()
        arrays = weights_of(run) if initial is None else initial
        weights = {n: torch.tensor(array, dtype=dtype).contiguous() for n, array in arrays.items()}
        for name, tensor in weights.items():
            if name.startswith("start."):
                self.start[name.removeprefix("start.")] = nn.Parameter(tensor)
        self.load_state_dict(weights, assign=True)
        self.to(device or run.device)

    def start_state(self, batch: int, drawn: np.ndarray | None = None) -> State:
        """Return the state before step 0, as one tensor (layers, batch, H) per state of the cell.

        If the array `drawn` is given, it contains this state and has the shape (batch, states,
        layers, H). Otherwise the state is learned or, if the run learns no start state, zero.
        """
        like = self.readout.weight
        if drawn is not None:
            parts = np.ascontiguousarray(drawn.transpose(1, 2, 0, 3))
            return tuple(torch.as_tensor(parts, dtype=like.dtype, device=like.device))
        shape = (self.run.layers, batch, self.run.hidden_size)
        if self.run.start == "learned":
            return tuple(self.start[name].expand(shape).contiguous() for name in self.spec.states)
        return tuple(like.new_zeros(shape) for _ in self.spec.states)

    def forward(
        self, inputs: Tensor, state: State | None = None, cut_offset: int = 0
    ) -> tuple[Tensor, State]:
        """Return logits (T, batch, K) and the final state for inputs (T, batch, input_size).

        K is the number of the task's classes. `state` is the state before step 0, by default the
        network's start state (see `start_state`). `cut_offset` says where a network in training
        cuts the gradient (see `cut_offsets`).
        """
        if state is None:
            state = self.start_state(inputs.shape[1])
        if self.run.state == "reset":
            outputs, state = self._reset_every_step(inputs, state)
        elif self.run.cut_every is not None and self.training:
            cuts = range(cut_offset or self.run.cut_every, len(inputs), self.run.cut_every)
            outputs, state = self._cut_gradient(inputs, state, cuts)
        else:
            outputs, state = self._recur(inputs, state)
        return self.readout(outputs), state

    def _recur(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Run the recurrent layers from `state`, and return the outputs and the final state.

        `nn.LSTM` takes a pair of states, and the other classes of `torch.nn` take one tensor.
        """
        if self.spec.torch_class is None:
            return self.cell(inputs, state)
        only, *others = state
        outputs, after = self.cell(inputs, state if others else only)
        return outputs, after if others else (after,)

    def _reset_every_step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Start every step from the start state, and return the outputs and the start state.

        A loop that passes the same (h0, c0) at every step gives the same result. The steps are
        independent, so they are computed as a batch of sequences with one step each.
        """
        steps, batch, size = inputs.shape
        spread = tuple(part.repeat(1, steps, 1) for part in state)
        outputs, _ = self._recur(inputs.reshape(1, steps * batch, size), spread)
        return outputs.reshape(steps, batch, -1), state

    def _cut_gradient(self, inputs: Tensor, state: State, cuts: range) -> tuple[Tensor, State]:
        """Carry the state through all steps, but cut its gradient before each of the steps `cuts`.

        This is truncated back-propagation through time. Returns the outputs and the final state.
        """
        pieces = []
        for piece in inputs.tensor_split(tuple(cuts)):
            outputs, state = self._recur(piece, state)
            pieces.append(outputs)
            state = _detach(state)
        return torch.cat(pieces), state


def _detach(state: State) -> State:
    return tuple(part.detach() for part in state)


# --- the data -----------------------------------------------------------------------------------

Batch = tuple[Tensor, Tensor, np.ndarray | None]  # inputs (T, n, I), labels (T, n), start states


def _draw_batch(run: Run, sequences: Sequences, n: int) -> Batch:
    """Return the run's next n sequences as inputs (T, n, I), labels (T, n) and start states.

    Inputs and labels are on the run's device. The start states are an array on the CPU, or None if
    the run draws no start states.
    """
    inputs, labels = sequences.draw(n)
    time_first = np.ascontiguousarray(inputs.transpose(1, 0, 2))
    x = torch.as_tensor(time_first, dtype=getattr(torch, run.dtype), device=run.device)
    y = torch.as_tensor(np.ascontiguousarray(labels.T), device=run.device)
    return x, y, sequences.draw_starts(n)


def _training_batches(run: Run) -> Iterator[Batch]:
    """Yield the run's training batches without end.

    Every batch is fresh if `run.data` is "fresh". Otherwise the batches of one epoch are repeated
    in the same order.
    """
    sequences = Sequences(run, "training", run.length)
    if run.data == "fresh":
        while True:
            yield _draw_batch(run, sequences, run.batch_size)
    batches = run.sequences_per_epoch // run.batch_size
    epoch = [_draw_batch(run, sequences, run.batch_size) for _ in range(batches)]
    while True:
        yield from epoch


# --- training -----------------------------------------------------------------------------------


class Trainer:
    """A network in training. Each call of `update` takes one optimizer step."""

    def __init__(self, run: Run, initial: Mapping[str, np.ndarray] | None = None):
        self.run = run
        self.network = Network(run, initial)
        self.optimizer = torch_optimizer(
            run.optimizer, run.optimizer_settings, list(self.network.parameters()), run.lr
        )
        self.batches = _training_batches(run)
        self.batches_per_update = run.sequences_per_update // run.batch_size
        self.carried: State | None = None
        self.updates = 0

    def update(self) -> float:
        """Take one optimizer step, and return the mean loss before it, in nats per label."""
        if not self.run.accumulate:
            self.optimizer.zero_grad()
        total, offset = 0.0, 0
        if self.run.cut_every is not None:
            offset = int(cut_offsets(self.run, self.updates, 1)[0])
        for _ in range(self.batches_per_update):
            loss = self._loss(next(self.batches), offset)
            loss.backward()
            total += loss.item()
        if self.run.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.run.clip_norm)
        self.optimizer.step()
        self.updates += 1
        return total / self.batches_per_update

    def _loss(self, batch: Batch, cut_offset: int) -> Tensor:
        inputs, labels, starts = batch
        state = self.carried or self.network.start_state(inputs.shape[1], starts)
        logits, state = self.network(inputs, state, cut_offset)
        if self.run.state == "across_batches":
            self.carried = _detach(state)
        return nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())

    def evaluate(self, sequences: Sequences, n: int) -> Score:
        """Return the network's score on the next n sequences.

        Every sequence begins from the start state.
        """
        inputs, labels, starts = _draw_batch(self.run, sequences, n)
        self.network.eval()
        with torch.no_grad():
            logits, _ = self.network(inputs, self.network.start_state(n, starts))
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        self.network.train()
        correct = (logits.argmax(-1) == labels).T.cpu().numpy()
        return score(loss.item(), correct)


class Stopwatch:
    """A stopwatch that adds up the seconds spent inside its `with` blocks.

    A block ends only when the device has finished the work that was started in the block.
    """

    def __init__(self, device: str):
        self.device, self.seconds = device, 0.0

    def __enter__(self) -> None:
        self._wait()
        self._started = perf_counter()

    def __exit__(self, *_: object) -> None:
        self._wait()
        self.seconds += perf_counter() - self._started

    def _wait(self) -> None:
        if self.device != "cpu":
            getattr(torch, self.device).synchronize()


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one thread inside torch, so that results do not depend on the number of cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@one_thread()
def train(
    run: Run,
    initial: Mapping[str, np.ndarray] | None = None,
    check: Callable[[], None] = never_stop,
) -> Outcome:
    """Train one run until it has solved the task, used up its updates, or diverged.

    If `initial` is given, it maps parameter names to initial weights, which replace the run's own
    initial weights. `check` is called after every evaluation and may raise an exception to stop the
    training.
    """
    trainer = Trainer(run, initial)
    training, evaluating, finishing = (Stopwatch(run.device) for _ in range(3))
    evaluation = Sequences(run, "evaluation", run.evaluation_length)
    points: list[tuple[int, float, Score, float]] = []
    losses: list[float] = []
    update, diverged = 0, None

    def evaluate() -> None:
        with evaluating:
            scored = trainer.evaluate(evaluation, run.eval_sequences)
        training_loss = float(np.mean(losses)) if losses else math.nan
        points.append((update, training_loss, scored, training.seconds))
        losses.clear()
        check()

    evaluate()
    while update < run.max_updates and diverged is None:
        with training:
            is_due = False
            while not is_due and diverged is None:
                losses.append(trainer.update())
                update += 1
                is_due = update % run.eval_every == 0 or update == run.max_updates
                diverged = None if math.isfinite(losses[-1]) else update
        if diverged is None:
            evaluate()
            if not math.isfinite(points[-1][2].loss):
                diverged = update
            exact = np.array([scored.exact for _, _, scored, _ in points])
            if run.stop_when_solved and converged_index(exact, run.solved_evaluations) is not None:
                break
    with finishing:
        final, long = (None, None) if diverged else _final_scores(run, trainer)
    weights = trainer.network.state_dict().items()
    return Outcome(
        curve=_curve(points),
        updates=update,
        diverged_update=diverged,
        final=final,
        long=long,
        weights={name: value.detach().cpu().numpy() for name, value in weights},
        train_seconds=training.seconds,
        evaluation_seconds=evaluating.seconds,
        final_seconds=finishing.seconds,
    )


@one_thread()
def final_scores(run: Run, weights: Mapping[str, np.ndarray]) -> tuple[Score, Score]:
    """Return two scores of a network with the given weights, on the run's final sequences.

    The first score is for sequences of the test length, and the second is for sequences ten times
    as long. `weights` maps parameter names to arrays, like the result of `weights_of`.
    """
    return _final_scores(run, Trainer(run, weights))


def _final_scores(run: Run, trainer: Trainer) -> tuple[Score, Score]:
    final = trainer.evaluate(Sequences(run, "final", run.evaluation_length), run.final_sequences)
    long = trainer.evaluate(Sequences(run, "final, long", run.long_length), run.long_sequences)
    return final, long


def _curve(points: list[tuple[int, float, Score, float]]) -> Curve:
    updates, training_losses, scores, seconds = zip(*points, strict=True)
    loss, accuracy, exact = np.array([(s.loss, s.accuracy, s.exact) for s in scores]).T
    times = (np.array(updates), np.array(training_losses))
    return Curve(*times, loss, accuracy, exact, np.array(seconds))
