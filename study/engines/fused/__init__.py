"""The fused engine: a whole run inside one compiled loop.

Numba compiles one loop per data type and two functions per cell, which `build` puts together from
`loop`, `layers`, `gates` and `lanes`. The loop does the forward pass, back-propagation through
time, the optimizer step, the evaluation and the decision to stop. Python only draws the data (see
`data`), a few evaluations ahead, from the random streams that every engine uses.
`tests/test_fused.py` compares this engine with the reference, the torch engine.

The processor computes with lanes: vectors of 16 numbers, two hidden units by eight sequences. No
lane depends on another, except where gradients and losses are summed, in a fixed order. So a run
gets the same bits from vectors of any width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from time import perf_counter

import numpy as np

from study.engines import Curve, Outcome, never_stop
from study.engines.fused.build import (
    NUMBERS,
    OPTIONS,
    compile_all,
    compiled,
    gates_of,
    is_compiled,
    marked,
    module_of,
    traits,
)
from study.engines.fused.data import Data, Feed, feed_of, side_by_side
from study.engines.fused.lanes import SLOTS
from study.engines.fused.places import SHAPE, places_of
from study.model import Score, find_optimizer, lacks, runs_side_by_side, score_of
from study.runs import Run, cut_offsets, weights_of

__all__ = [
    "Training", "followed", "gates_of", "is_ready", "looks", "marked", "module_of", "prepare",
    "train", "traits", "unavailable",
]  # fmt: skip

STARTS = {"zeros": 0, "learned": 1, "normal": 2}
# For each class of torch.optim: its number in the loop, and its settings in the loop's order.
SETTINGS = {
    "SGD": (0, ("momentum", "dampening", "weight_decay", "nesterov")),
    "RMSprop": (1, ("alpha", "eps", "weight_decay", "momentum", "centered")),
    "Adagrad": (2, ("lr_decay", "weight_decay", "initial_accumulator_value", "eps")),
    "Adam": (3, ("betas", "eps", "weight_decay", "amsgrad")),
    "AdamW": (4, ("betas", "eps", "weight_decay", "amsgrad")),
}
MOST_SETTINGS = 5  # numbers that the settings of an optimizer take
EVAL_EVERY = OPTIONS.index("EVAL_EVERY")
FIRST_AHEAD = 4  # evaluations for which data are drawn at first, then for twice as many each time
MOST_AHEAD = 256  # the most evaluations for which data are drawn at a time
MOST_NUMBERS = 2_000_000  # the most inputs drawn at a time, unless one evaluation needs more


def unavailable(run: Run) -> str | None:
    """Return why the fused engine cannot train the run, or None if it can."""
    return lacks(run.cell, find_optimizer(run.optimizer).torch_class, run.device)


def is_ready(run: Run) -> bool:
    """Whether the loop for the run's cell and data type is compiled on this machine."""
    return is_compiled(run.cell, run.dtype)


def prepare(*runs: Run) -> None:
    """Compile the loop for the runs' cells and data types, once for all processes on this machine.

    Processes that prepare the same runs at the same time share the work.
    """
    compile_all((run.cell, run.dtype) for run in runs)
    for run in runs:
        compiled(run.cell, run.dtype)


def train(run: Run, check: Callable[[], None] = never_stop) -> Outcome:
    """Train one run until it has solved the task, used up its updates, or diverged.

    `check` is called every few evaluations and may raise an exception to stop the training.
    """
    (outcome,) = train_together([run], lambda _, seconds: check())
    return outcome


def company(run: Run) -> tuple[object, ...] | None:
    """Return what runs must have in common to be trained side by side, or None if this one cannot.

    A batch of one or two sequences leaves most lanes empty, so several runs share them.
    """
    is_apart = run.state == "across_batches" or run.cut_offset == "random"
    if is_apart or runs_side_by_side("fused", run.batch_size) == 1:
        return None
    names = (
        *SHAPE, "cut_offset", "length", "test_length", "batch_size", "data", "epoch_sequences",
        "update_per", "eval_every", "eval_sequences",
    )  # fmt: skip
    return tuple(getattr(run, name) for name in names)


def train_together(
    runs: Sequence[Run], check: Callable[[int, float], None] = lambda i, seconds: None
) -> list[Outcome]:
    """Train runs of one `company`, or a single run, and return their outcomes in the same order.

    Every run gets the same bits as if it were trained alone. `check` is called every few
    evaluations, with the number of a run and the seconds that its training took so far.
    """
    waiting, outcomes = list(range(len(runs)))[::-1], dict[int, Outcome]()
    places = SLOTS // runs[0].batch_size if len(runs) > 1 else 1
    live = dict[int, Training]()
    while waiting or live:
        while waiting and len(live) < places:
            number = waiting.pop()
            live[number] = Training(runs[number])
            check(number, 0.0)
            if places > 1:
                segment([live[number]], 1)  # which does not train, but evaluates before any update
        segment(list(live.values()))
        for number, training in list(live.items()):
            check(number, training.train_seconds + training.evaluation_seconds)
            if training.is_over():
                outcomes[number] = _outcome(live.pop(number), min(places, len(runs)))
    return [outcomes[number] for number in range(len(runs))]


def followed(run: Run) -> Iterator[tuple[int, float, dict[str, np.ndarray]]]:
    """Train one run as `train` does, to the same bits, and yield what each evaluation finds.

    Yields the number of updates done, the loss in nats per label, and the weights by parameter
    name: first before any update, and then after every `eval_every` updates. If the run diverges,
    it ends without the evaluation at which it does. Several runs may be followed in turns.
    """
    training = Training(run)
    for update, loss in looks(training):
        yield update, loss, training.weights()


def looks(training: Training) -> Iterator[tuple[int, float]]:
    """Train on from one evaluation to the next, and yield what `followed` does but for the weights.

    Each time, the network can be looked at, or `fork` can make a copy to go on from there.
    """
    while not training.is_over():
        segment([training], 1)
        if training.option("DIVERGED"):
            return
        update, _, loss, *_ = training.points[-1][-1]
        yield int(update), float(loss)


def _outcome(training: Training, side_by_side: int) -> Outcome:
    """Return the outcome of a run whose training is over, after its final evaluations."""
    # Read DIVERGED now, since the evaluation on long sequences may set it too.
    diverged = training.option("DIVERGED") or None
    started = perf_counter()
    final, long = training.final_scores()
    return Outcome(
        curve=training.curve(),
        updates=training.option("UPDATES"),
        diverged_update=diverged,
        final=final,
        long=long,
        weights=training.weights(),
        train_seconds=training.train_seconds,
        evaluation_seconds=training.evaluation_seconds,
        final_seconds=perf_counter() - started,
        side_by_side=side_by_side,
    )


def segment(trainings: Sequence[Training], ahead: int | None = None) -> None:
    """Draw data for the next `ahead` evaluations of runs, and train until these are done.

    By default, each segment of a run is for twice as many evaluations as the one before, up to a
    limit, or for as many as another run has already drawn. Several runs must be of one `company`,
    and each evaluated once before; they share the time of the segment equally.
    """
    lead, started = trainings[0], perf_counter()
    runs = SLOTS // lead.run.batch_size if len(trainings) > 1 else 1
    ahead = ahead or min(training.most_ahead() for training in trainings)
    updates = (ahead - lead.option("FRESH")) * lead.run.eval_every
    drawn = [training.batches_of(updates) for training in trainings]
    batches = side_by_side(drawn, lead.run.batch_size) if runs > 1 else drawn[0]
    drawing = perf_counter()
    tests = [training.evaluation.take(training.evaluations, ahead) for training in trainings]
    drawing = perf_counter() - drawing
    looped = [training.looped() for training in trainings]
    points, _ = enter(trainings, batches, tests, lead.evaluation, runs)
    seconds = (perf_counter() - started - drawing) / len(trainings)
    evaluated = sum((t.looped() - before)[1] for t, before in zip(trainings, looped, strict=True))
    for training, before, rows in zip(trainings, looped, points, strict=False):
        spent = seconds - evaluated / len(trainings)
        training.count(
            before, spent, drawing / len(trainings), rows[: training.option("EVALUATED")]
        )
        training.evaluations += ahead


def enter(
    trainings: Sequence[Training], batches: Data, tests: Sequence[Data], feed: Feed, runs: int
) -> tuple[np.ndarray, np.ndarray]:
    """Call the loop with batches for `runs` runs side by side, the first of them `trainings`.

    `tests` are the sequences of each run's next evaluations, which are like those of `feed`.
    Returns one row of measurements per run and evaluation, (R, evaluations, 6), as `train_segment`
    in `loop` describes them, and `found` (2, n) of the last, as `evaluate` in `loop` describes it.
    """
    lead = trainings[0]
    run = lead.run
    training = places_of(run, run.length, run.batch_size, learns=True, runs=runs)
    testing = places_of(run, feed.length, feed.n, learns=False)
    for one in trainings:
        one.set_option("EVALUATED", 0)
        one.set_option("LIVE", 1)
    memory, options, numbers = (
        _stacked([getattr(one, name) for one in trainings], runs)
        for name in ("memory", "options", "numbers")
    )
    options[len(trainings) :, EVAL_EVERY] = 1
    points = np.full((runs, len(tests[0][0]), 6), math.nan)
    found = np.zeros((2, -(-feed.n // SLOTS) * SLOTS), run.dtype)
    lead.loop(
        (memory, training.wide("all"), training.wide("one"), training.idle, training.rest),
        (*training.rooms(), *testing.rooms()), np.stack([training.table, testing.table]), options,
        numbers, (*batches, lead.carried, lead.cuts),
        tuple(_stacked(arrays, runs) for arrays in zip(*tests, strict=True)),
        (points, found, np.zeros(2, np.int64)),
    )  # fmt: skip
    if runs > 1:
        for r, one in enumerate(trainings):
            one.memory, one.options, one.numbers = memory[r], options[r], numbers[r]
    return points, found[:, : feed.n]


def _stacked(arrays: Sequence[np.ndarray], runs: int) -> np.ndarray:
    """Return arrays of one shape as one array with `runs` rows; rows left over are zero.

    A single array is not copied.
    """
    if runs == 1:
        return arrays[0][None]
    rest = np.zeros((runs - len(arrays), *arrays[0].shape), arrays[0].dtype)
    return np.concatenate([np.stack(arrays), rest])


class Training:
    """A run that is being trained: its weights, and its variables in the loop."""

    def __init__(self, run: Run):
        self.run, self.loop = run, compiled(run.cell, run.dtype)
        self.options, self.numbers = _options(run), _numbers(run)
        self.places = places_of(run, run.length, run.batch_size, learns=True)
        self.memory = np.zeros((5, self.places.order.size), run.dtype)
        self.initial = weights_of(run)
        theta = np.concatenate([np.ravel(array) for array in self.initial.values()])
        self.memory[0] = theta[self.places.order]
        self.memory[0, self.places.idle] = self.places.rest
        self.carried = np.zeros(self.places.starts, run.dtype)
        self.cuts = cut_offsets(run, 0, 1)
        self.ahead, self.batches, self.evaluations = FIRST_AHEAD, 0, 0
        self.points: list[np.ndarray] = []
        self.evaluation_seconds, started = 0.0, perf_counter()
        self.evaluation = feed_of(run, "evaluation", run.evaluation_length, run.eval_sequences)
        # As in every engine, drawing the training data counts as training.
        self.training = feed_of(run, "training", run.length, run.batch_size, by_step=True)
        self.epoch = run.sequences_per_epoch // run.batch_size if run.data != "fresh" else 0
        self.training.take(0, self.epoch)
        self.train_seconds = perf_counter() - started

    def fork(self) -> Training:
        """Return a copy that trains on to the same bits, and is evaluated after every update."""
        other = copy(self)
        for name in ("memory", "options", "numbers", "carried"):
            setattr(other, name, getattr(self, name).copy())
        other.run = self.run.model_copy(update={"eval_every": 1})
        other.set_option("EVAL_EVERY", 1)
        other.points = list(self.points)
        return other

    def option(self, name: str) -> int:
        """Return the value of one of the loop's integer variables, whose names are OPTIONS."""
        return int(self.options[OPTIONS.index(name)])

    def set_option(self, name: str, value: int) -> None:
        """Set one of the loop's integer variables, whose names are OPTIONS."""
        self.options[OPTIONS.index(name)] = value

    def is_over(self) -> bool:
        """Whether the run has diverged, used up its updates, or solved the task and may stop."""
        solved = 0 < self.option("STOP_AFTER") <= self.option("CONSECUTIVE")
        spent = self.option("UPDATES") >= self.run.max_updates
        return bool(self.option("DIVERGED") or solved or spent)

    def most_ahead(self) -> int:
        """Return for how many evaluations the next segment may draw data."""
        run, left = self.run, self.run.max_updates - self.option("UPDATES")
        batches = run.eval_every * run.sequences_per_update // run.batch_size
        training = run.eval_every * run.sequences_per_update * run.length
        per_evaluation = training + run.eval_sequences * run.evaluation_length
        most = min(max(1, MOST_NUMBERS // per_evaluation), -(-left // run.eval_every) + 1)
        ready = self.evaluation.end - self.evaluations
        if not self.epoch:
            ready = min(ready, (self.training.end - self.batches) // batches)
        return max(1, min(most, max(ready, min(self.ahead, MOST_AHEAD))))

    def batches_of(self, updates: int) -> Data:
        """Return the batches of the next updates. The loop repeats those of a fixed epoch."""
        run, self.ahead = self.run, self.ahead * 2
        count = updates * run.sequences_per_update // run.batch_size
        first, self.batches = self.batches, self.batches + count
        self.set_option("NEXT_BATCH", 0)
        self.set_option("NEXT_UPDATE", 0)
        if run.cut_offset == "random":
            self.cuts = cut_offsets(run, self.option("UPDATES"), updates)
        if not self.epoch:
            return self.training.take(first, count)
        next_ = first % self.epoch
        inputs, labels, starts = (
            np.roll(part, -next_, axis=0) if next_ else part
            for part in self.training.take(0, self.epoch)
        )
        return inputs, labels, starts

    def looped(self) -> np.ndarray:
        """Return the seconds of training and of evaluation that the loop has measured so far."""
        first = NUMBERS.index("TRAIN_SECONDS")
        return self.numbers[first : first + 2].copy()

    def count(self, before: np.ndarray, seconds: float, drawing: float, points: np.ndarray) -> None:
        """Add the run's `seconds` of one segment to its total, and keep the segment's `points`.

        `drawing` are the seconds spent drawing data for evaluation, and `before` is what `looped`
        returned before the segment. As in every engine, all time except evaluation counts as
        training. The loop measures only a part of the training time, so the training times in
        `points` are scaled up to the whole.
        """
        trained, evaluated = (self.looped() - before).tolist()
        share = seconds / max(trained, 1e-9)
        points[:, 5] = self.train_seconds + (points[:, 5] - before[0]) * share
        self.train_seconds += seconds
        self.evaluation_seconds += drawing + evaluated
        self.points.append(points)

    def final_scores(self) -> tuple[Score | None, Score | None]:
        """Return the scores at the test length and at ten times the test length.

        Both are None if the run diverged.
        """
        run = self.run
        if self.option("DIVERGED"):
            return None, None
        final = self._score("final", run.evaluation_length, run.final_sequences)
        return final, self._score("final, long", run.long_length, run.long_sequences)

    def _score(self, purpose: str, length: int, n: int) -> Score:
        """Score the network on the first n sequences for a purpose, of `length` steps."""
        feed = feed_of(self.run, purpose, length, n)
        self.set_option("FRESH", 1)  # so that the loop evaluates at once
        points, found = enter([self], self.training.take(0, 0), [feed.take(0, 1)], feed, 1)
        return score_of(float(points[0, 0, 2]), found[0], length - found[1], length)

    def curve(self) -> Curve:
        """Return the measurements of all evaluations so far."""
        update, *rest = np.concatenate(self.points).T
        return Curve(update.astype(np.int64), *rest)

    def weights(self) -> dict[str, np.ndarray]:
        """Return the current weights by parameter name, in torch's shapes."""
        flat, found, end = self.memory[0, self.places.where], {}, 0
        for name, array in self.initial.items():
            first, end = end, end + array.size
            found[name] = flat[first:end].reshape(array.shape)
        return found


def _numbers(run: Run) -> np.ndarray:
    _, names = SETTINGS[find_optimizer(run.optimizer).torch_class]
    settings = np.hstack([run.optimizer_settings[name] for name in names]).astype(float)
    numbers = np.zeros(len(NUMBERS) + MOST_SETTINGS)
    numbers[:2] = run.lr, run.clip_norm or 0.0
    numbers[NUMBERS.index("SETTINGS") :][: len(settings)] = settings
    return numbers


def _options(run: Run) -> np.ndarray:
    values = {
        "MAX_UPDATES": run.max_updates,
        "EVAL_EVERY": run.eval_every,
        "BATCHES_PER_UPDATE": run.sequences_per_update // run.batch_size,
        "ACCUMULATE": run.accumulate,
        "START_KIND": STARTS[run.start],
        "ACROSS": run.state == "across_batches",
        "OPTIMIZER": SETTINGS[find_optimizer(run.optimizer).torch_class][0],
        "STOP_AFTER": run.solved_evaluations if run.stop_when_solved else 0,
        "FRESH": 1,
    }
    return np.array([int(values.get(name, 0)) for name in OPTIONS], np.int64)
