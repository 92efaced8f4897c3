"""The run: one training, described by its settings and by nothing else.

A `Run` is frozen and complete: what a grid leaves out is filled in here, what cannot be is refused,
and its identity is a hash of every setting that can change a number. Its random streams are keyed by
the settings they belong to, so that the same seed gives the same noise everywhere and, per cell and
size, the same initial weights: comparisons between runs of one seed are paired.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from hashlib import blake2b
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from study.errors import SettingError, unknown
from study.model import (
    AUTO,
    CELLS,
    CLASSES,
    ENGINES,
    INITIALISATIONS,
    NOISE_KINDS,
    TASK_SETTINGS,
    TASKS,
    choose,
    find_optimizer,
    initial_weights,
    lacks,
    resolve_settings,
    resolve_value,
    takes_momentum,
    weight_shapes,
)

SCHEMA_VERSION = 2  # raise it when a run's numbers change though its settings do not

STARTS = ("zeros", "learned", "normal")
DATA = ("fresh", "fixed")
UPDATES = ("batch", "epoch")
STATES = ("carried", "reset", "across_batches")
DEVICES = ("cpu", "cuda", "mps")
DTYPES = ("float32", "float64")


def _one_of(kind: str, allowed: Collection[str]) -> AfterValidator:
    def check(name: str) -> str:
        if name not in allowed:
            raise PydanticCustomError(
                "unknown_name", "{text}", {"text": unknown(kind, name, allowed)}
            )
        return name

    return AfterValidator(check)


def _known_optimizer(name: str) -> str:
    try:
        find_optimizer(name)
    except SettingError as error:
        raise PydanticCustomError("unknown_name", "{text}", {"text": str(error)}) from error
    return name


def _scalar_settings(settings: dict[str, Any]) -> dict[str, Any]:
    for key, value in settings.items():
        parts = value if isinstance(value, list) else [value]
        if not all(part is None or isinstance(part, (bool, int, float, str)) for part in parts):
            raise PydanticCustomError(
                "settings", "{text}", {"text": f"{key!r} must be a number, a flag or text"}
            )
    return settings


Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Run(BaseModel):
    """All settings of one training run. `None` stands for what does not apply, once resolved."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", defer_build=True)

    # the task
    task: Annotated[str, _one_of("task", TASKS)] = Field(
        "alternating", description="entry of TASKS"
    )
    pattern: Annotated[str, Field(pattern="^[01]{1,64}$")] | None = Field(
        None, description='text of 0s and 1s in quotes that the labels repeat; "10" unless given'
    )
    length: Annotated[int, Field(ge=2, le=1_000_000)] = Field(
        20, description="steps T of a training sequence"
    )
    test_length: Annotated[int, Field(ge=2, le=1_000_000)] | None = Field(
        None, description="steps of a test sequence; the training length unless given"
    )
    noise: NotNegative | None = Field(None, description="noise level; 1 unless given")
    noise_kind: Annotated[str, _one_of("noise kind", NOISE_KINDS)] | None = Field(
        None, description="uniform (unless given), centred or gaussian"
    )
    cue: bool | None = Field(None, description="whether x_0 is 1; true unless given")
    reset_rate: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="task reset: probability of a restart at a step; 0.1 unless given"
    )
    start: Annotated[str, _one_of("start state", STARTS)] = Field(
        "zeros",
        description="state before step 0: zeros, learned, or normal (drawn for each sequence)",
    )

    # the data
    batch_size: Count = Field(8, description="sequences whose mean loss gives one gradient")
    data: Annotated[str, _one_of("data", DATA)] = Field(
        "fresh",
        description="new noise for every sequence, or the same epoch_sequences sequences again",
    )
    epoch_sequences: Count | None = Field(
        None,
        description="sequences of an epoch; a multiple of batch_size, which it is unless given",
    )
    update_per: Annotated[str, _one_of("update_per", UPDATES)] = Field(
        "batch",
        description="an optimizer step after each batch, or after each epoch on the sum of its batches' gradients",
    )

    # the network
    cell: Annotated[str, _one_of("cell", CELLS)] = Field("lstm", description="entry of CELLS")
    hidden_size: Annotated[int, Field(ge=1, le=4096)] = Field(6, description="units of a layer")
    layers: Annotated[int, Field(ge=1, le=16)] = Field(1, description="stacked recurrent layers")
    init: Annotated[str, _one_of("init", INITIALISATIONS)] = Field(
        "default", description="entry of INITIALISATIONS"
    )
    init_value: Annotated[float, Field(allow_inf_nan=False)] | None = Field(
        None, description="the number an initialisation takes, such as the forget bias"
    )

    # the training
    optimizer: Annotated[str, AfterValidator(_known_optimizer)] = Field(
        "adam", description="entry of OPTIMIZERS, or a class of torch.optim"
    )
    lr: Positive = Field(0.01, description="learning rate")
    momentum: NotNegative | None = Field(
        None, description="of the optimizers momentum and nesterov; 0.9 unless given"
    )
    optimizer_settings: Annotated[dict[str, Any], AfterValidator(_scalar_settings)] = Field(
        default_factory=dict,
        description="other settings by torch's names; all of them once resolved",
    )
    clip_norm: Positive | None = Field(
        None,
        description="largest norm of the whole gradient, and of what accumulates; none unless given",
    )
    accumulate: bool = Field(False, description="never zero the gradient")
    state: Annotated[str, _one_of("state", STATES)] = Field(
        "carried", description="from step to step; reset at every step; carried across batches too"
    )
    cut_every: Count | None = Field(
        None, description="steps after which the gradient through the state is cut"
    )
    max_updates: Annotated[int, Field(ge=1, le=100_000_000)] = Field(
        1000, description="the budget: a run unsolved after it is right-censored"
    )

    # the evaluation
    eval_every: Count = Field(20, description="updates from one evaluation to the next")
    eval_sequences: Count = Field(64, description="fresh sequences of an evaluation")
    solved_evaluations: Count = Field(
        3,
        description="evaluations in a row, with every label over t >= 1 right, that make a run solved",
    )
    stop_when_solved: bool = Field(
        True, description="stop there, or train on to see whether it is lost again"
    )
    final_sequences: Count = Field(1000, description="fresh sequences of the final evaluation")
    long_sequences: Count = Field(
        100, description="fresh sequences of the final evaluation at 10 test lengths"
    )

    # the computation
    engine: Annotated[str, _one_of("engine", (AUTO, *ENGINES))] = Field(
        AUTO, description="entry of ENGINES, or auto: the faster one that can do the run"
    )
    device: Annotated[str, _one_of("device", DEVICES)] = Field(
        "cpu", description="cpu, cuda or mps"
    )
    dtype: Annotated[str, _one_of("dtype", DTYPES)] = Field(
        "float32", description="float32 or float64"
    )
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = Field(0, description="of all random streams")

    @model_validator(mode="after")
    def _resolve(self) -> Run:
        """Fill in what was left out, and refuse what cannot be."""
        reason = inapplicable(dict(vars(self)))
        for key, why in reason.items():
            if getattr(self, key) is not None:
                raise setting_error(key, why)
        try:
            object.__setattr__(
                self, "__dict__", vars(self) | _resolved(self)
            )  # frozen, but not yet out of its making
        except SettingError as error:
            raise setting_error(error.key, str(error)) from error
        return self

    @property
    def run_id(self) -> str:
        """The identity: a hash of every setting that applies and the schema version; 20 hexadecimal digits."""
        return self.identities([self.seed])[0]

    def identities(self, seeds: Iterable[int]) -> list[str]:
        """The identity that this run has under each of some seeds; fast for many."""
        # None says that a setting does not apply, so a new setting leaves the identity of old runs alone.
        settings = {
            key: value
            for key, value in self.__dict__.items()
            if key != "seed" and value is not None
        }
        shared = json.dumps(
            {"schema": SCHEMA_VERSION, **settings}, sort_keys=True, separators=(",", ":")
        )
        common = blake2b(shared.encode(), digest_size=10)
        found = []
        for seed in seeds:
            digest = common.copy()
            digest.update(b"%d" % seed)
            found.append(digest.hexdigest())
        return found

    def with_seed(self, seed: int) -> Run:
        """This run under another seed; no other setting depends on it. Made as pickle would, the fastest way."""
        other, state = Run.__new__(Run), self.__getstate__()
        other.__setstate__(state | {"__dict__": self.__dict__ | {"seed": seed}})
        return other

    @property
    def sequences_per_update(self) -> int:
        """Sequences seen by one optimizer step."""
        return self.sequences_per_epoch if self.update_per == "epoch" else self.batch_size

    @property
    def sequences_per_epoch(self) -> int:
        """Sequences of an epoch; one batch where epochs do not matter."""
        return self.epoch_sequences or self.batch_size

    @property
    def evaluation_length(self) -> int:
        """Steps of a test sequence."""
        return self.test_length or self.length

    @property
    def long_length(self) -> int:
        """Steps of the long final evaluation: ten test lengths."""
        return 10 * self.evaluation_length


def setting_error(key: str, message: str) -> PydanticCustomError:
    """A `SettingError` in pydantic's form, which keeps the key."""
    return PydanticCustomError("setting", "{text}", {"text": message, "key": key})


def inapplicable(settings: dict[str, Any]) -> dict[str, str]:
    """Why a key does not apply beside the others, for each key that does not.

    `settings` need not be complete; a key that is absent has its default.
    """
    task = settings.get("task", "alternating")
    reasons = {
        key: f"{key!r} does not apply to task {task!r}"
        for key in TASK_SETTINGS
        if task in TASKS and key not in TASKS[task].settings
    }
    optimizer = settings.get("optimizer", "adam")
    if not takes_momentum(optimizer):
        reasons["momentum"] = (
            f"'momentum' does not apply to optimizer {optimizer!r}; 'momentum' and 'nesterov' take it"
        )
    if settings.get("state") == "reset":
        reasons["cut_every"] = (
            "'cut_every' does not apply to state 'reset', where no gradient crosses a step"
        )
    if settings.get("data", "fresh") == "fresh" and settings.get("update_per", "batch") == "batch":
        reasons["epoch_sequences"] = "'epoch_sequences' needs data 'fixed' or update_per 'epoch'"
    return reasons


def _resolved(run: Run) -> dict[str, Any]:
    """The settings of a run that follow from others or from a default that depends on them."""
    changes: dict[str, Any] = {}
    for key, default in TASKS[run.task].settings.items():
        if getattr(run, key) is None:
            changes[key] = default
    changes["test_length"] = run.test_length or run.length
    changes["init_value"] = resolve_value(run.init, run.init_value, run.cell, CELLS[run.cell])
    settings = resolve_settings(run.optimizer, run.momentum, run.optimizer_settings)
    if run.optimizer == "nesterov" and run.momentum == 0:
        raise SettingError(
            "momentum", "nesterov needs a momentum above 0; without it is optimizer 'sgd'"
        )
    changes["optimizer_settings"] = settings
    if takes_momentum(run.optimizer):
        changes["momentum"] = settings["momentum"]
    changes |= _resolved_epoch(run)
    changes["engine"] = _resolved_engine(run)
    _refuse_impossible(run)
    return changes


def _resolved_engine(run: Run) -> str:
    optimizer_class = find_optimizer(run.optimizer).torch_class
    if run.engine == AUTO:
        cell = CELLS[run.cell]
        shape = (run.length, run.batch_size, run.hidden_size)
        return choose(cell, run.cell, optimizer_class, run.device, shape)
    reason = lacks(run.cell, optimizer_class, run.device) if run.engine == "fused" else None
    if reason:
        raise SettingError("engine", reason)
    return run.engine


def _resolved_epoch(run: Run) -> dict[str, Any]:
    if run.data == "fresh" and run.update_per == "batch":
        return {}
    sequences = run.epoch_sequences or run.batch_size
    if sequences % run.batch_size:
        raise SettingError(
            "epoch_sequences",
            f"{sequences} is no multiple of batch_size {run.batch_size}: a batch would be cut",
        )
    return {"epoch_sequences": sequences}


def _refuse_impossible(run: Run) -> None:
    if run.device == "mps" and run.dtype == "float64":
        raise SettingError("dtype", "device 'mps' has no float64; use float32, or another device")
    if run.max_updates < run.eval_every * run.solved_evaluations:
        needed = run.eval_every * run.solved_evaluations
        raise SettingError(
            "max_updates",
            f"{run.max_updates} leaves no room for {run.solved_evaluations} evaluations in a row, "
            f"one every {run.eval_every} updates: at least {needed}",
        )
    if run.cut_every is not None and run.cut_every >= run.length:
        raise SettingError(
            "cut_every", f"{run.cut_every} cuts nothing in a sequence of {run.length} steps"
        )


# --- random streams -----------------------------------------------------------------------------


def stream(purpose: str, *key: object) -> np.random.Generator:
    """A counter-based stream (Philox) of its own for a purpose and the values it belongs to."""
    text = json.dumps(["study streams 1", purpose, *key], separators=(",", ":"))
    digest = blake2b(text.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, dtype="<u8")))


class Sequences:
    """Fresh sequences of a run's task, drawn one after another from one stream.

    What the k-th sequence holds does not depend on how many are asked for at a time.
    """

    def __init__(self, run: Run, purpose: str, length: int):
        self._run, self.length, self._task = run, length, TASKS[run.task]
        self._noise = stream(purpose, run.seed)
        self._starts = (
            stream(f"{purpose}: start states", run.seed) if run.start == "normal" else None
        )
        self._settings = {key: getattr(run, key) for key in self._task.settings}

    def draw(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """The next n: inputs (n, T, input_size) float64, labels (n, T) int64."""
        uniforms = self._noise.random((n, self.length, self._task.draws_per_step))
        return self._task.make(uniforms, **self._settings)

    def draw_starts(self, n: int) -> np.ndarray | None:
        """The next n normal start states (n, states, layers, H) float64; None for other starts."""
        if self._starts is None:
            return None
        states = len(CELLS[self._run.cell].states)
        return self._starts.standard_normal((n, states, self._run.layers, self._run.hidden_size))


def weights_of(run: Run) -> dict[str, np.ndarray]:
    """A run's initial weights, float64, by parameter name (see `initial_weights`).

    The same for every optimizer, engine, device and dtype of one seed, cell and size. A learned
    start state begins at zero: `start.<state>`, (layers, 1, H).
    """
    cell, task = CELLS[run.cell], TASKS[run.task]
    key = (run.seed, run.cell, task.input_size, run.hidden_size, run.layers)
    weights = initial_weights(
        cell,
        input_size=task.input_size,
        hidden_size=run.hidden_size,
        layers=run.layers,
        outputs=CLASSES,
        init=run.init,
        init_value=run.init_value,
        rng=stream("initial weights", *key),
        init_rng=stream("initialisation", *key),
    )
    if run.start == "learned":
        weights |= {
            f"start.{name}": np.zeros((run.layers, 1, run.hidden_size)) for name in cell.states
        }
    return weights


def shapes_of(run: Run) -> dict[str, tuple[int, ...]]:
    """The shapes of `weights_of`, in its order, without drawing any."""
    cell = CELLS[run.cell]
    shapes = weight_shapes(cell, TASKS[run.task].input_size, run.hidden_size, run.layers, CLASSES)
    if run.start == "learned":
        shapes |= {f"start.{name}": (run.layers, 1, run.hidden_size) for name in cell.states}
    return shapes
