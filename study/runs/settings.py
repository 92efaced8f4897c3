"""Define the settings of a run, which describe one training completely.

A `Run` cannot be changed. When it is made, it fills in settings that were left out, and refuses
impossible combinations. Its identity is a hash of its settings and of its `rules`, which are the
versions of the code that computes the run.

A run draws its random numbers from several random streams. Each stream depends on the seed, and
otherwise only on the settings that matter to the stream. So runs with the same seed see the same
noise. If they also have the same cell and size, they start from the same weights. This is why runs
with the same seed can be compared in pairs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from hashlib import blake2b
from typing import Annotated, Any, get_args, get_type_hints

import numpy as np
import scipy
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from study import model
from study.errors import SettingError, shown, unknown

SCHEMA_VERSION = 2  # increase it when results change but settings do not

STARTS = ("zeros", "learned", "normal")
DATA = ("fresh", "fixed", "balanced")
UPDATES = ("batch", "epoch")
STATES = ("carried", "reset", "across_batches")
CUT_OFFSETS = ("fixed", "shifted", "random")
DEVICES = ("cpu", "cuda", "mps")
DTYPES = ("float32", "float64")
MOST_TRIED = 10_000  # largest number of steps for which a task is tried before it is trained on


def _refused(message: str, key: str = "") -> PydanticCustomError:
    """Return an error with the given message, in the form that pydantic requires.

    `key` is the name of the faulty setting. It is needed only in checks of a whole run, where
    pydantic does not know which setting is at fault.
    """
    return PydanticCustomError("settings", "{text}", {"text": message, "key": key})


@dataclass(frozen=True)
class _Named(AfterValidator):
    """Checks a name, and tells the JSON schema of `Run` which `names` are allowed."""

    names: Callable[[], Iterable[str]]

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> dict[str, Any]:
        """Return the JSON schema of text, with the allowed names added."""
        return handler(core_schema) | {"enum": [*self.names()]}


def _component(key: str) -> AfterValidator:
    def check(name: str) -> str:
        if model.registered(key, name) is None:
            raise _refused(f"{unknown(key, name, model.REGISTRIES[key])}; {model.ADD}")
        return name

    return _Named(check, lambda: model.REGISTRIES[key])


def _one_of(kind: str, allowed: Collection[str]) -> AfterValidator:
    def check(name: str) -> str:
        if name not in allowed:
            raise _refused(unknown(kind, name, allowed))
        return name

    return _Named(check, lambda: allowed)


def _known_optimizer(name: str) -> str:
    try:
        model.find_optimizer(name)
    except SettingError as error:
        raise _refused(str(error)) from error
    return name


def _plain_zero(value: Any) -> Any:
    """Return the value of a setting with -0.0 replaced by 0.0, also inside lists.

    The two zeros are equal as numbers but not as text, and a run's identity is a hash of text.
    """
    if isinstance(value, list):
        return [_plain_zero(part) for part in value]
    return value + 0.0 if isinstance(value, float) else value


def _scalar_settings(settings: dict[str, Any]) -> dict[str, Any]:
    for key, value in settings.items():
        parts = value if isinstance(value, list) else [value]
        if not all(part is None or isinstance(part, (bool, int, float, str)) for part in parts):
            raise _refused(f"{key!r} must be a number, true, false, text or a list of these")
    return {key: _plain_zero(value) for key, value in settings.items()}


Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
Number = Annotated[float, Field(allow_inf_nan=False), AfterValidator(_plain_zero)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), AfterValidator(_plain_zero)]
Share = Annotated[float, Field(ge=0, le=1), AfterValidator(_plain_zero)]
OptimizerSettings = Annotated[dict[str, Any], AfterValidator(_scalar_settings)]


class Run(BaseModel):
    """All settings of one training run. `None` marks a setting that does not apply to the run."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", defer_build=True, use_attribute_docstrings=True
    )

    # the task
    task: Annotated[str, _component("task")] = "alternating"
    """name of the task, an entry of TASKS"""
    pattern: Annotated[str, Field(pattern="^[01]{1,64}$")] | None = None
    """pattern that the labels repeat, as 0s and 1s in quotes; "10" unless given"""
    length: Annotated[int, Field(ge=2, le=1_000_000)] = 20
    """number of steps T in a training sequence"""
    test_length: Annotated[int, Field(ge=2, le=1_000_000)] | None = None
    """number of steps in a test sequence; the training length unless given"""
    noise: NotNegative | None = None
    """level of the input noise; 1 unless given"""
    noise_kind: Annotated[str, _one_of("noise kind", model.NOISE_KINDS)] | None = None
    """kind of noise: uniform (unless given), centred or gaussian"""
    cue: bool | None = None
    """whether the first input is 1, to mark the start of the pattern; true unless given"""
    reset_rate: Share | None = None
    """probability that the pattern restarts at a step, for task reset; 0.1 unless given"""
    start: Annotated[str, _one_of("start state", STARTS)] = "zeros"
    """state before step 0: zeros, learned, or normal (random, drawn anew for each sequence)"""

    # the data
    batch_size: Count = 8
    """number of sequences in a batch; their mean loss gives one gradient"""
    data: Annotated[str, _one_of("data", DATA)] = "fresh"
    """training data: fresh (new noise), fixed (the same every epoch) or balanced (one batch)"""
    epoch_sequences: Count | None = None
    """number of sequences in an epoch, a multiple of batch_size; one batch unless given"""
    update_per: Annotated[str, _one_of("update_per", UPDATES)] = "batch"
    """when the optimizer steps: per batch, or per epoch on the sum of the batches' gradients"""

    # the network
    cell: Annotated[str, _component("cell")] = "lstm"
    """name of the recurrent cell, an entry of CELLS"""
    hidden_size: Annotated[int, Field(ge=1, le=4096)] = 6
    """number of hidden units in each layer"""
    layers: Annotated[int, Field(ge=1, le=16)] = 1
    """number of stacked recurrent layers"""
    init: Annotated[str, _component("init")] = "default"
    """how weights are initialised, an entry of INITIALISATIONS"""
    init_value: Number | None = None
    """the number that the initialisation takes, such as the forget bias"""

    # the training
    optimizer: Annotated[str, _Named(_known_optimizer, model.optimizer_names)] = "adam"
    """name of the optimizer, an entry of OPTIMIZERS or a class of torch.optim"""
    lr: Positive = 0.01
    """learning rate"""
    momentum: NotNegative | None = None
    """momentum of the optimizers momentum and nesterov; 0.9 unless given"""
    optimizer_settings: OptimizerSettings = {}
    """other settings of the optimizer, named as in torch; defaults are filled in"""
    clip_norm: Positive | None = None
    """largest norm of the gradient; larger gradients are scaled down; no limit unless given"""
    accumulate: bool = False
    """whether gradients are never zeroed, so that they add up from update to update"""
    state: Annotated[str, _one_of("state", STATES)] = "carried"
    """hidden state: carried between steps, reset at every step, or also carried across_batches"""
    cut_every: Count | None = None
    """number of steps between cuts of the gradient through the state; no cuts unless given"""
    cut_offset: Annotated[str, _one_of("cut offset", CUT_OFFSETS)] | None = None
    """delay of these cuts: fixed (0 steps, unless given), shifted (half of cut_every) or random"""
    max_updates: Annotated[int, Field(ge=1, le=100_000_000)] = 1000
    """largest number of updates; a run that has not solved the task by then is right-censored"""

    # the evaluation
    eval_every: Count = 20
    """number of updates from one evaluation to the next"""
    eval_sequences: Count = 64
    """number of fresh sequences in each evaluation"""
    solved_evaluations: Count = 3
    """a run is solved after this many evaluations in a row without an error from step 1 on"""
    stop_when_solved: bool = True
    """whether training stops once the run is solved; if false, the solution may be lost again"""
    final_sequences: Count = 1000
    """number of fresh sequences in the final evaluation"""
    long_sequences: Count = 100
    """number of fresh sequences in the long final evaluation, each ten test lengths long"""

    # the computation
    engine: Annotated[str, _one_of("engine", (model.AUTO, *model.ENGINES))] = model.AUTO
    """training code: torch, fused, or auto (the faster of those that can train the run)"""
    device: Annotated[str, _one_of("device", DEVICES)] = "cpu"
    """device to train on: cpu, cuda or mps"""
    dtype: Annotated[str, _one_of("dtype", DTYPES)] = "float32"
    """precision of the numbers: float32 or float64"""
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    """seed of all random numbers that the run draws"""
    noise_seed: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = None
    """number of another draw of the data, with the same initial weights; the first unless given"""

    # settings of a user's own
    own: dict[str, Any] | None = None
    """settings of a task or cell of your own, such as `task.gap`; can be given by these names"""

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, settings: Any) -> Any:
        """Move settings such as `task.gap` into `own`."""
        if not isinstance(settings, dict):
            return settings
        own = {key: value for key, value in settings.items() if model.is_own(key)}
        rest = {key: value for key, value in settings.items() if key not in own}
        return rest | {"own": (rest.get("own") or {}) | own} if own else settings

    @model_validator(mode="after")
    def _resolve(self) -> Run:
        """Fill in settings that were left out, and refuse impossible combinations."""
        try:
            vars(self).update(_resolved(self))  # assignment would fail, since the run is frozen
        except SettingError as error:
            raise _refused(str(error), error.key) from error
        return self

    @property
    def run_id(self) -> str:
        """The run's identity: a hash of the schema version, the run's settings and its `rules`.

        The hash is written as 20 hex digits.
        """
        return self.identities([self.seed])[0]

    @property
    def task_settings(self) -> dict[str, Any]:
        """The keyword arguments of the task's function."""
        own = self.own or {}
        takes = model.TASKS[self.task].settings
        return {k: own[f"task.{k}"] if f"task.{k}" in own else getattr(self, k) for k in takes}

    @property
    def cell_rule(self) -> Callable[..., tuple]:
        """The rule of the cell, with the run's settings."""
        cell, own = model.CELLS[self.cell], self.own or {}
        settings = {key: own[f"cell.{key}"] for key in cell.settings}
        return partial(cell.rule, **settings) if settings else cell.rule

    @property
    def rules(self) -> dict[str, int | str | None]:
        """The versions of the code that computes this run, by setting.

        The settings are those that name the run's cell, task, initialisation and optimizer. For
        code of this package, the value is a version number, but version 1 is left out. For code
        that a user registered, the value is a digest of the source.
        """
        return model.rules_of(self.__dict__)

    def identities(self, seeds: Iterable[int]) -> list[str]:
        """Return the identities of runs that differ from this run only in their seed.

        There is one identity for each of the given seeds, in the same order. The other settings
        are hashed only once, so this is fast for many seeds.
        """
        # Settings that do not apply are None and are not hashed. So when a new setting is added to
        # the package, old runs keep their identities.
        settings = {k: v for k, v in self.__dict__.items() if k != "seed" and v is not None}
        settings["schema"] = SCHEMA_VERSION
        if rules := self.rules:
            settings["rules"] = rules
        text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
        common, run_ids = blake2b(text.encode(), digest_size=10), []
        for seed in seeds:
            digest = common.copy()
            digest.update(b"%d" % seed)
            run_ids.append(digest.hexdigest())
        return run_ids

    def with_seed(self, seed: int) -> Run:
        """Return a run with the given seed, and otherwise with the settings of this run."""
        return self.model_copy(update={"seed": seed})

    @property
    def sequences_per_update(self) -> int:
        """The number of sequences from which one optimizer step learns."""
        return self.sequences_per_epoch if self.update_per == "epoch" else self.batch_size

    @property
    def sequences_per_epoch(self) -> int:
        """The number of sequences in an epoch, or in a batch if `epoch_sequences` is None."""
        return self.epoch_sequences or self.batch_size

    @property
    def data_key(self) -> tuple[int, ...]:
        """The settings on which the random numbers of the run's sequences depend."""
        return (self.seed,) if self.noise_seed is None else (self.seed, self.noise_seed)

    @property
    def evaluation_length(self) -> int:
        """The number of steps in a test sequence."""
        return self.test_length or self.length

    @property
    def long_length(self) -> int:
        """The number of steps in each sequence of the long final evaluation, ten test lengths."""
        return 10 * self.evaluation_length


def inapplicable(settings: dict[str, Any]) -> dict[str, str]:
    """Return the names of settings that do not apply to a run, each with the reason.

    `settings` holds the run's settings by name. A setting that is absent from it has its default.
    """
    task = settings.get("task", "alternating")
    takes = model.TASKS[task].settings if task in model.TASKS else model.TASK_SETTINGS
    why = f"does not apply to task {task!r}, which takes {', '.join(takes) or 'no setting'}"
    reasons = {
        key: f"{key!r} {why}; leave it out" for key in model.TASK_SETTINGS if key not in takes
    }
    names = {"task": task, "cell": settings.get("cell", "lstm")}
    own = own_settings(**names)
    for key in model.own_names(settings):
        owner = key.partition(".")[0]
        has = ", ".join(name for name in own if name.startswith(owner)) or "no setting of its own"
        if key not in own:
            why = f"does not apply to {owner} {names[owner]!r}, which takes {has}; leave it out"
            reasons[key] = f"{key!r} {why}"
    optimizer = settings.get("optimizer", "adam")
    if not model.takes_momentum(optimizer):
        reason = f"'momentum' does not apply to optimizer {optimizer!r}"
        reasons["momentum"] = f"{reason}, only to 'momentum' and 'nesterov'; leave it out"
    if settings.get("state") == "reset" or settings.get("cut_every") is None:
        reasons["cut_offset"] = "'cut_offset' needs 'cut_every'; leave it out"
    if settings.get("state") == "reset":
        reason = "'cut_every' does not apply to state 'reset'"
        reasons["cut_every"] = f"{reason}, where no gradient crosses a step; leave it out"
    if settings.get("data", "fresh") == "fresh" and settings.get("update_per", "batch") == "batch":
        reasons["epoch_sequences"] = "'epoch_sequences' needs data 'fixed' or update_per 'epoch'"
    if settings.get("data") == "balanced":
        reasons["epoch_sequences"] = "'epoch_sequences' does not apply to data 'balanced'"
    return reasons


def own_settings(task: str, cell: str) -> dict[str, Any]:
    """Return the own settings of a task and a cell with their defaults, such as `task.gap`.

    Those settings of the task that are fields of `Run` are left out.
    """
    takes = {f"task.{k}": v for k, v in _settings_of("task", task) if k not in model.TASK_SETTINGS}
    return takes | {f"cell.{k}": v for k, v in _settings_of("cell", cell)}


def _settings_of(key: str, name: str) -> Iterable[tuple[str, Any]]:
    entry = model.REGISTRIES[key].get(name)
    return entry.settings.items() if entry else ()


def own_kinds() -> dict[str, type]:
    """Return the type of every own setting that the tasks and cells known at present take.

    Raises `SettingError` if a setting has two types.
    """
    kinds, takers = dict[str, type](), dict[str, str]()
    for key, pair in (("task", {"cell": ""}), ("cell", {"task": ""})):
        for name in model.REGISTRIES[key]:
            for setting, default in own_settings(**{key: name}, **pair).items():
                kind, taker = type(default), model.component(key, name)
                if kinds.setdefault(setting, kind) is not kind:
                    words = f"{model.KINDS[kinds[setting]]} in {takers[setting]}"
                    message = f"is {words}, but {model.KINDS[kind]} in {taker}; rename one of them"
                    raise SettingError(setting, f"{setting!r} {message}")
                takers.setdefault(setting, taker)
    return kinds


def own_problem(key: str, value: Any, kind: type) -> str | None:
    """Return a message that says why an own setting cannot have this value, or None if it can."""
    words = f"{key} = {shown(value)} must be {model.KINDS[kind]}"
    return None if model.fits(value, kind) else words


def _resolved_own(run: Run) -> dict[str, Any] | None:
    """Return the values of the run's own settings, each with the type of its default."""
    own, given = own_settings(run.task, run.cell), run.own or {}
    kinds = own_kinds() if own else {}
    for key in own.keys() & given.keys():
        if problem := own_problem(key, given[key], kinds[key]):
            raise SettingError(key, problem)
    return {k: _plain_zero(kinds[k](given.get(k, own[k]))) for k in sorted(own)} or None


def _resolved(run: Run) -> dict[str, Any]:
    """Return the final values of the settings that depend on other settings of the run, by name.

    Raises `SettingError` if settings of the run contradict each other.
    """
    for key, why in _impossible(run):
        raise SettingError(key, why)
    resolved = {
        key: value
        for key, value in model.TASKS[run.task].settings.items()
        if key in model.TASK_SETTINGS and getattr(run, key) is None
    }
    resolved["own"] = _resolved_own(run)
    settings = run.model_copy(update=resolved).task_settings
    for length in (run.length, run.evaluation_length, run.long_length):
        steps = min(length, MOST_TRIED)
        if fault := model.data_fault(model.TASKS[run.task], steps, **settings):
            message = f"gives wrong data for sequences of {steps} steps: {fault}"
            place = "" if model.is_shipped("task", run.task) else model.place_of("task", run.task)
            at = f" ({place})" if place else ""
            raise SettingError("task", f"task {run.task!r} {message}{at}")
    resolved["test_length"] = run.test_length or run.length
    cell = model.CELLS[run.cell]
    resolved["init_value"] = model.resolve_value(run.init, run.init_value, run.cell, cell)
    settings = model.resolve_settings(run.optimizer, run.momentum, run.optimizer_settings)
    resolved["optimizer_settings"] = {k: _plain_zero(value) for k, value in settings.items()}
    if model.takes_momentum(run.optimizer):
        resolved["momentum"] = settings["momentum"]
    if run.data == "fixed" or run.update_per == "epoch":
        resolved["epoch_sequences"] = run.sequences_per_epoch
    if run.cut_offset == "fixed":  # None too, so that old runs keep their identities
        resolved["cut_offset"] = None
    resolved["engine"] = _resolved_engine(run)
    model.rules_of(vars(run) | resolved)
    return {key: _as_number(key, value) for key, value in resolved.items()}


def _as_number(key: str, value: Any) -> Any:
    """Return a default `value` of the setting `key` in the form that a user's value would have.

    If the setting is a floating-point number, 1 becomes 1.0 and -0.0 becomes 0.0.
    """
    return _plain_zero(float(value)) if key in _numbers() and value is not None else value


@cache
def _numbers() -> set[str]:
    """Return the names of the settings whose values are floating-point numbers."""
    hints = get_type_hints(Run).items()
    return {name for name, hint in hints if float in (hint, *get_args(hint))}


def _resolved_engine(run: Run) -> str:
    optimizer_class = model.find_optimizer(run.optimizer).torch_class
    reason = model.lacks(run.cell, optimizer_class, run.device)
    if run.engine == model.AUTO:
        cell, shape = model.CELLS[run.cell], (run.length, run.batch_size, run.hidden_size)
        if reason:
            return "torch"
        return model.choose(cell, run.cell, optimizer_class, run.device, shape)
    if run.engine == "fused" and reason:
        raise SettingError("engine", reason)
    return run.engine


def _impossible(run: Run) -> Iterator[tuple[str, str]]:
    """Yield the name of each setting that contradicts the run's other settings, and the reason."""
    given = vars(run) | (run.own or {})
    for key, why in inapplicable(given).items():
        if given.get(key) is not None:
            yield key, why
    if run.optimizer == "nesterov" and run.momentum == 0:
        yield "momentum", "nesterov needs a momentum above 0; for no momentum, use optimizer 'sgd'"
    if run.sequences_per_epoch % run.batch_size:
        why = f"{run.epoch_sequences} is not a multiple of batch_size {run.batch_size}"
        yield "epoch_sequences", why
    if run.data == "balanced":
        size = run.batch_size
        if run.task != "alternating":
            yield "data", f"'balanced' needs task 'alternating', but the task is {run.task!r}"
        if run.start == "normal":
            yield "data", "'balanced' does not apply to start 'normal', which is random"
        if run.update_per == "epoch":
            yield "update_per", "'epoch' does not apply to data 'balanced', which is a single batch"
        if size < 2 * run.length or size & (size - 1):
            why = f"{size} must be a power of 2 of at least twice the length, which is {run.length}"
            yield "batch_size", f"{why}, for data 'balanced'"
    if run.device == "mps" and run.dtype == "float64":
        yield "dtype", "device 'mps' has no float64; use float32, or another device"
    least = run.eval_every * run.solved_evaluations
    if run.max_updates < least:
        why = f"leaves no room for {run.solved_evaluations} consecutive evaluations"
        rule = f"one every {run.eval_every} updates; raise it to at least {least}"
        yield "max_updates", f"{run.max_updates} {why}, {rule}"
    if run.cut_every is not None and run.cut_every >= run.length:
        yield "cut_every", f"{run.cut_every} must be below the length, which is {run.length} steps"
    if run.cut_every == 1 and run.cut_offset not in (None, "fixed"):
        yield "cut_offset", f"{run.cut_offset!r} needs a cut_every of at least 2, but it is 1"


# --- random streams -----------------------------------------------------------------------------


def stream(purpose: str, *key: object) -> np.random.Generator:
    """Return a random stream (a Philox generator) that depends only on the arguments.

    `purpose` says what the stream is for, such as "initial weights". `key` holds the settings that
    the stream depends on, such as the seed. Each must be a value that JSON can represent.
    """
    text = json.dumps(["study streams 1", purpose, *key], separators=(",", ":"))
    digest = blake2b(text.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, dtype="<u8")))


class Sequences:
    """Draws fresh sequences of a run's task from random streams of their own.

    The streams depend on the run's seed and on `purpose`, which says what the sequences are for.
    Each sequence has `length` steps. Several calls that draw a few sequences each give the same
    sequences as one call that draws them all.
    """

    def __init__(self, run: Run, purpose: str, length: int):
        self._run, self.length, self._task = run, length, model.TASKS[run.task]
        self._balanced = run.data == "balanced" and purpose == "training"
        self._noise = stream(purpose, *run.data_key)
        self._starts = stream(f"{purpose}: start states", *run.data_key)
        self._settings = run.task_settings

    def draw(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the inputs and the labels of the next n sequences.

        The inputs are (n, T, input_size) float64 and the labels (n, T) int64. T is the number of
        steps in a sequence.
        """
        if self._balanced:
            uniforms = balanced(self._run, n, self.length)
        else:
            uniforms = self._noise.random((n, self.length, self._task.draws_per_step))
        return self._task.make(uniforms, **self._settings)

    def draw_starts(self, n: int) -> np.ndarray | None:
        """Return the states before step 0 for the next n sequences.

        They are drawn from a standard normal distribution, as an array (n, states, layers, H)
        float64. `states` is the number of state vectors of the cell, and H is the hidden size.
        Returns None unless the run's setting `start` is `normal`.
        """
        run = self._run
        shape = (n, len(model.CELLS[run.cell].states), run.layers, run.hidden_size)
        return self._starts.standard_normal(shape) if run.start == "normal" else None


def balanced(run: Run, n: int, length: int) -> np.ndarray:
    """Return numbers from which a task makes the sequences of `balanced` data (n, length, 1).

    The noise then has only two values, its mean plus and minus its standard deviation. Over a
    batch, the product of the noise at any one, two or three steps has the same mean as over random
    noise. So the mean loss of the batch is the expected loss, up to third order in the noise,
    though nothing was drawn at random. The
    batch is an orthogonal array of strength 3 (Hedayat, Sloane & Stufken 1999): the rows of a
    Hadamard matrix and their negatives, whose columns are the steps.
    """
    order = run.batch_size // 2
    rows = scipy.linalg.hadamard(order)[:, :length]
    signs = np.concatenate([rows, -rows])[np.arange(n) % run.batch_size, :, None]
    low, high = model.LEVELS[run.noise_kind or "uniform"]
    return np.where(signs > 0, high, low)


def cut_offsets(run: Run, first: int, count: int) -> np.ndarray:
    """Return where the gradient is cut in each of `count` updates, from update `first` (0, 1, …).

    The result (count,) int64 has one offset per update. In an update with offset o, the gradient
    through the state is cut before each step t >= 1 for which t - o is a multiple of `cut_every`.
    All batches of an update have the same offset, which lies between 0 and `cut_every` - 1.
    """
    every = run.cut_every or 1
    if run.cut_offset != "random":
        return np.full(count, every // 2 if run.cut_offset == "shifted" else 0)
    return (every * stream("cuts", run.seed).random(first + count)[first:]).astype(np.int64)


def weights_of(run: Run) -> dict[str, np.ndarray]:
    """Return a run's initial weights as float64 arrays, by parameter name.

    `initial_weights` explains the names and shapes. Runs with the same seed, cell, size and
    initialisation start from the same weights, whatever their optimizer, engine, device and dtype.
    If the run learns its start states, they are weights too. Each start state is called
    `start.<state>`, has the shape (layers, 1, H) for hidden size H, and begins at zero.
    """
    key = (run.seed, run.cell, model.TASKS[run.task].input_size, run.hidden_size, run.layers)
    weights = model.initial_weights(
        model.CELLS[run.cell],
        input_size=model.TASKS[run.task].input_size,
        hidden_size=run.hidden_size,
        layers=run.layers,
        outputs=model.TASKS[run.task].outputs,
        init=run.init,
        init_value=run.init_value,
        rng=stream("initial weights", *key),
        init_rng=stream("initialisation", *key),
    )
    return weights | {name: np.zeros(shape) for name, shape in _start_shapes(run).items()}


def shapes_of(run: Run) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a run's weights by parameter name, in the order of `weights_of`."""
    task, cell = model.TASKS[run.task], model.CELLS[run.cell]
    shapes = model.weight_shapes(cell, task.input_size, run.hidden_size, run.layers, task.outputs)
    return shapes | _start_shapes(run)


def _start_shapes(run: Run) -> dict[str, tuple[int, ...]]:
    states = model.CELLS[run.cell].states if run.start == "learned" else ()
    return {f"start.{name}": (run.layers, 1, run.hidden_size) for name in states}
