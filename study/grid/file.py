"""A grid file: named blocks of runs, written as what is fixed and what varies.

    name: main
    defaults: {task: alternating, length: 20}
    blocks:
      sizes:
        fixed: {optimizer: adam}
        vary:
          cell: [lstm, gru]
          lr: {log_range: [0.001, 0.1, 5]}        # 5 values, evenly spaced in the logarithm
          noise: {linear_range: [0, 1, 3]}        # 3 values, evenly spaced; ends included
          seed: {range: [0, 30]}                  # whole numbers as Python's range: 0 to 29
          hidden_size, length: [[2, 10], [6, 20]] # zipped: the two vary together

A block is every combination of what varies. The grid is the union of its blocks, each run once. A
default applies where it can; a setting that a block names itself must apply in all of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from study.errors import BadInput, Problem, shown, unknown
from study.grid.yaml import KeyPath, Places, parse_yaml, read_yaml
from study.runs import Run, inapplicable

SETTINGS = tuple(Run.model_fields)
SCOPES = ("grid", "defaults", "name")  # of --set, beside the names of blocks
RANGES = ("range", "linear_range", "log_range")
MOST_PROBLEMS = 20  # shown at a time
MOST_RUNS = 20_000_000  # of a grid: what one machine's memory can plan


@dataclass(frozen=True)
class Axis:
    """Settings that vary together, and the values they take."""

    keys: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Block:
    """One named block of a grid."""

    name: str
    fixed: dict[str, Any]
    axes: tuple[Axis, ...]
    keep_weights: bool = False

    @property
    def size(self) -> int:
        """How many combinations it has."""
        return math.prod(len(axis.values) for axis in self.axes)

    @property
    def own_keys(self) -> set[str]:
        """The settings that the block names itself."""
        return set(self.fixed) | {key for axis in self.axes for key in axis.keys}


@dataclass
class Grid:
    """A grid file, read and checked key by key; `expand` makes its runs."""

    name: str
    defaults: dict[str, Any]
    blocks: list[Block]
    places: Places
    overrides: tuple[str, ...] = ()
    description: str = ""

    @property
    def size(self) -> int:
        """How many combinations its blocks have together."""
        return sum(block.size for block in self.blocks)


@dataclass
class Expansion:
    """Every run of a grid, once, by identity; and the identities of each block.

    Runs that differ in their seed alone share one `Run`, so that a million fit into memory.
    """

    sources: dict[str, tuple[Run, int]] = field(default_factory=dict)
    blocks: dict[str, list[str]] = field(default_factory=dict)
    keep_weights: set[str] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.sources)

    def run(self, run_id: str) -> Run:
        """The run of an identity."""
        source, seed = self.sources[run_id]
        return source if source.seed == seed else source.with_seed(seed)


# --- the outline --------------------------------------------------------------------------------


def _named(pattern: str, wanted: str) -> AfterValidator:
    def check(name: str) -> str:
        if not re.fullmatch(pattern, name, re.ASCII):
            raise PydanticCustomError("name", "{text}", {"text": f"{shown(name)} {wanted}"})
        return name

    return AfterValidator(check)


_FOLDER = "must be up to 100 letters, digits, '.', '_' or '-': it names a folder"
_BLOCK = "cannot be the name of a block: use letters, digits, '_' or '-'"
FileName = Annotated[str, _named(r"[A-Za-z0-9][\w.-]{0,99}", _FOLDER)]
BlockName = Annotated[str, _named(r"(?!(grid|defaults|name)$)[A-Za-z0-9][\w-]{0,99}", _BLOCK)]
Empty = BeforeValidator(lambda node: {} if node is None else node)  # a key without a value
Settings = Annotated[dict[str, Any], Empty]


class _BlockOutline(BaseModel, extra="forbid", strict=True):
    description: str = ""
    fixed: Settings = {}
    vary: Settings = {}
    keep_weights: bool = False


class _Outline(BaseModel, extra="forbid", strict=True):
    """The keys of a grid file; the settings in it are checked afterwards."""

    name: FileName
    description: str = ""
    defaults: Settings = {}
    blocks: Annotated[dict[BlockName, _BlockOutline], Empty, Field(min_length=1)]


_WRONG = {
    "missing": "the key {name} is missing",
    "too_short": "{name} has no block",
    "bool_type": "{name} must be true or false, not {value}",
    "string_type": "{name} must be text, not {value}",
    "dict_type": "{name} must be a mapping of keys to values, not {value}",
    "model_type": "{name} must be a mapping of keys to values, not {value}",
}
_KINDS = {dict: "a mapping", list: "a list", str: "text", type(None): "nothing"}


def _outline(tree: Any, places: Places) -> _Outline:
    """The checked outline of a file; `BadInput` lists what is wrong with it."""
    try:
        return _Outline.model_validate(tree)
    except ValidationError as error:
        problems = [_outline_problem(found, places) for found in error.errors()[:MOST_PROBLEMS]]
        raise BadInput(problems) from error


def _outline_problem(error: Any, places: Places) -> Problem:
    path, kind, value = error["loc"], error["type"], error["input"]
    if kind == "extra_forbidden":
        allowed = _Outline if len(path) == 1 else _BlockOutline
        of_what = "key" if len(path) == 1 else "key of a block"
        return Problem(places.of_key(path), unknown(of_what, path[-1], allowed.model_fields))
    if path[-1:] == ("[key]",):
        return Problem(places.of_key(path[:-1]), error["msg"])
    words = {"name": shown(path[-1]) if path else "a grid file"}
    words["value"] = _KINDS.get(type(value), shown(value))
    message = _WRONG[kind].format(**words) if kind in _WRONG else f"{path[-1]} {error['msg']}"
    return Problem(places.of_value(path), message)


# --- the settings -------------------------------------------------------------------------------


def read_grid(path: str | Path, overrides: Sequence[str] = ()) -> Grid:
    """Read a grid file and apply `KEY=VALUE` overrides; `BadInput` lists all that is wrong."""
    tree, places = read_yaml(path)
    outline = _outline(tree, places)
    for override in overrides:
        _override(outline, override, places)
    outline = _outline(outline.model_dump(), places)
    reader = _Reader(places)
    defaults = reader.settings(outline.defaults, ("defaults",))
    blocks = [reader.block(name, block) for name, block in outline.blocks.items()]
    if reader.problems:
        raise BadInput(reader.problems[:MOST_PROBLEMS])
    return Grid(outline.name, defaults, blocks, places, tuple(overrides), outline.description)


class _Reader:
    """Checks settings and their values, and collects every problem on the way."""

    def __init__(self, places: Places):
        self.places, self.problems = places, []

    def _wrong(self, path: KeyPath, message: str) -> None:
        self.problems.append(Problem(self.places.of_value(path), message))

    def _wrong_key(self, path: KeyPath, message: str) -> None:
        self.problems.append(Problem(self.places.of_key(path), message))

    def block(self, name: str, outline: _BlockOutline) -> Block:
        """A block with its axes."""
        path = ("blocks", name)
        fixed = self.settings(outline.fixed, (*path, "fixed"))
        axes, seen = [], set(fixed)
        for key, node in outline.vary.items():
            axis = self.axis(key, node, (*path, "vary", key))
            for part in axis.keys:
                if part in seen:
                    message = f"{shown(part)} is set more than once in block {name!r}"
                    self._wrong_key((*path, "vary", key), message)
                seen.add(part)
            axes.append(axis)
        return Block(name, fixed, tuple(axes), outline.keep_weights)

    def settings(self, node: dict, path: KeyPath) -> dict[str, Any]:
        """Settings with one value each."""
        return {key: self.value(key, value, (*path, key)) for key, value in node.items()}

    def value(self, key: str, value: Any, path: KeyPath) -> Any:
        """One value of one setting, checked for its type and range."""
        if key not in SETTINGS:
            self._wrong_key(path, unknown("key", key, SETTINGS))
        elif message := value_problem(key, value):
            self._wrong(path, message)
        return value

    def axis(self, key: str, node: Any, path: KeyPath) -> Axis:
        """One entry of `vary`: a list, a range, or a zipped list of rows."""
        keys = tuple(part.strip() for part in key.split(","))
        unknown_keys = [part for part in keys if part not in SETTINGS]
        for part in unknown_keys:
            self._wrong_key(path, unknown("key", part, SETTINGS))
        if unknown_keys:
            return Axis(keys, ())
        values = self._range(keys, node, path) if isinstance(node, dict) else node
        if not isinstance(values, list):
            ranges = " / ".join(RANGES)
            message = f"must vary over a list, or {{{ranges}: [...]}}; one value goes to 'fixed'"
            self._wrong(path, f"{shown(key)} {message}")
            return Axis(keys, ())
        if not values and not isinstance(node, dict):
            self._wrong(path, f"{shown(key)} is an empty axis: it makes no run")
        rows = [[value] for value in values] if len(keys) == 1 else values
        return Axis(keys, tuple(self._row(keys, row, (*path, i)) for i, row in enumerate(rows)))

    def _row(self, keys: tuple[str, ...], row: Any, path: KeyPath) -> tuple[Any, ...]:
        if not isinstance(row, list) or len(row) != len(keys):
            wanted = f"must be a list of {len(keys)} values, not {shown(row)}"
            self._wrong(path, f"a row of {shown(', '.join(keys))} {wanted}")
            return ()
        return tuple(
            self.value(key, value, (*path, i))
            for i, (key, value) in enumerate(zip(keys, row, strict=True))
        )

    def _range(self, keys: tuple[str, ...], node: dict, path: KeyPath) -> list:
        """The values of a range; whole numbers where the setting counts something."""
        kinds = [kind for kind in node if kind not in RANGES]
        if kinds:
            self._wrong(path, unknown("range", kinds[0], RANGES))
        elif len(node) != 1 or len(keys) != 1:
            self._wrong(path, "give one range for one setting")
        else:
            ((kind, bounds),) = node.items()
            try:
                return range_values(kind, bounds, whole=_counts(keys[0]))
            except ValueError as error:
                self._wrong((*path, kind), str(error))
        return []


def range_values(kind: str, bounds: Any, *, whole: bool) -> list:
    """The values of `range`, `linear_range` or `log_range`; `ValueError` says what it needs.

    Values of the last two are rounded to 6 significant digits, or to whole numbers, so that they
    are the same on every machine.
    """
    is_list = isinstance(bounds, list) and all(type(b) in (int, float) for b in bounds)
    types = [type(b) for b in bounds] if is_list and all(abs(b) < 1e18 for b in bounds) else []
    if kind == "range":
        if types not in ([int] * 2, [int] * 3) or 0 in bounds[2:]:
            wanted = "[start, end] or [start, end, step] in whole numbers"
            raise ValueError(f"'range' needs {wanted}, not {shown(bounds)}")
        values = range(*bounds)
        if not 0 < len(values) <= MOST_RUNS:
            wanted = f"between 1 and {MOST_RUNS:,} values"
            raise ValueError(f"'range' needs {wanted}, and {shown(bounds)} has {len(values):,}")
        return list(values)
    if len(types) != 3 or types[2] is not int or not 2 <= bounds[2] <= MOST_RUNS:
        raise ValueError(f"{kind!r} needs [first, last, how many], not {shown(bounds)}")
    first, last, count = bounds
    if kind == "log_range" and min(first, last) < 1e-18:
        raise ValueError(f"'log_range' needs ends above 0 (from 1e-18), not {shown(bounds)}")
    if kind == "log_range":
        values = [first * (last / first) ** (i / (count - 1)) for i in range(count)]
    else:
        values = [first + (last - first) * i / (count - 1) for i in range(count)]
    return list(dict.fromkeys(round(v) if whole else float(f"{v:.6g}") for v in values))


@cache
def _adapter(key: str) -> TypeAdapter:
    info: Any = Run.model_fields[key]
    annotated: Any = Annotated[info.annotation, info]
    return TypeAdapter(annotated)


def _counts(key: str) -> bool:
    return value_problem(key, 2.5) is not None and value_problem(key, 2) is None


def value_problem(key: str, value: Any) -> str | None:
    """What is wrong with a value of a setting by itself, or None."""
    try:
        _adapter(key).validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] in ("unknown_name", "settings"):
            return f"{key}: {first['msg']}"
        wanted = first["msg"].replace("Input should", "should").replace("String should", "should")
        return f"{key} = {shown(value)} {wanted} ({Run.model_fields[key].description})"
    return None


# --- overriding ---------------------------------------------------------------------------------


def _override(outline: _Outline, text: str, places: Places) -> None:
    """Apply one `--set KEY=VALUE`.

    `grid.K` sets K in every block, `BLOCK.K` in one, `defaults.K` as a default, `name` the name. A
    list or a range varies, any other value is fixed.
    """
    where = f"--set {text[:100]}"
    target, equals, value_text = text.partition("=")
    scope, _, key = target.strip().partition(".")
    key, scopes = _joined(key), [*SCOPES, *outline.blocks]
    if not equals or bool(key) == (scope == "name"):
        example = "grid.hidden_size=[4,8] or defaults.lr=0.1"
        raise BadInput.at(where, f"must be KEY=VALUE, such as {example}")
    if scope not in scopes:
        raise BadInput.at(where, unknown("scope", scope, scopes))
    try:
        value, _ = parse_yaml(value_text, where)
    except BadInput as error:  # the line and column of an option say nothing
        raise BadInput.at(where, error.problems[0].message) from error
    if scope == "name":
        outline.name = value
        places.mark(("name",), where, where)
    elif scope == "defaults":
        outline.defaults = outline.defaults | {key: value}
        places.mark(("defaults", key), where, where)
    else:
        for name in outline.blocks if scope == "grid" else [scope]:
            part = _override_block(name, outline.blocks[name], key, value, where)
            places.mark(("blocks", name, part, key), where, where)


def _joined(key: str) -> str:
    """A zipped key in one spelling: `hidden_size,lr` as `hidden_size, lr`."""
    return ", ".join(part.strip() for part in key.split(","))


def _override_block(name: str, block: _BlockOutline, key: str, value: Any, where: str) -> str:
    """Set a key of one block; return the part of the block that it now stands in."""
    vary = {_joined(axis): values for axis, values in block.vary.items()}
    for axis in vary:
        if axis != key and set(key.split(", ")) & set(axis.split(", ")):
            message = f"{shown(key)} is zipped in block {name!r}: set {shown(axis)} as a whole"
            raise BadInput.at(where, message)
    is_range = isinstance(value, dict) and key != "optimizer_settings"
    if isinstance(value, list) or is_range or "," in key:
        block.vary = vary | {key: value}
        block.fixed = {k: v for k, v in block.fixed.items() if k != key}
        return "vary"
    block.vary = {axis: values for axis, values in vary.items() if axis != key}
    block.fixed = block.fixed | {key: value}
    return "fixed"


# --- expanding ----------------------------------------------------------------------------------


def expand(grid: Grid) -> Expansion:
    """Every run of the grid; `BadInput` lists the combinations that make no run."""
    expansion = Expansion()
    problems: dict[tuple[str, str], Problem] = {}
    _refuse_too_many(grid)
    for block in grid.blocks:
        ids = expansion.blocks.setdefault(block.name, [])
        for settings, seeds in _combinations(grid, block):
            try:
                first = Run(**settings, seed=seeds[0])
            except ValidationError as error:
                problem = _combination_problem(grid, block, error)
                problems.setdefault((problem.where, problem.message), problem)
                if len(problems) >= MOST_PROBLEMS:
                    raise BadInput(problems.values()) from error
                continue
            for run_id, seed in zip(first.identities(seeds), seeds, strict=True):
                expansion.sources.setdefault(run_id, (first, seed))
                ids.append(run_id)
        expansion.blocks[block.name] = list(dict.fromkeys(ids))
        if block.keep_weights:
            expansion.keep_weights.update(ids)
    if problems:
        raise BadInput(problems.values())
    return expansion


def _refuse_too_many(grid: Grid) -> None:
    if grid.size > MOST_RUNS:
        largest = max(grid.blocks, key=lambda block: block.size)
        sizes = f"block {largest.name!r} has {largest.size:,} runs, the grid {grid.size:,}"
        where = grid.places.of_key(("blocks", largest.name))
        raise BadInput.at(where, f"{sizes}; at most {MOST_RUNS:,} can be planned")


def _combinations(grid: Grid, block: Block) -> Iterator[tuple[dict[str, Any], list[int]]]:
    """Each combination of a block's axes but the seed, with the seeds it is to have."""
    own = block.own_keys
    seed_axes = [axis for axis in block.axes if axis.keys == ("seed",)]
    other_axes = [axis for axis in block.axes if axis.keys != ("seed",)]
    for chosen in product(*(axis.values for axis in other_axes)):
        settings = grid.defaults | block.fixed
        for axis, values in zip(other_axes, chosen, strict=True):
            settings |= zip(axis.keys, values, strict=True)
        for key in inapplicable(settings):
            if key not in own:
                settings.pop(key, None)
        seed = settings.pop("seed", 0)
        yield settings, [value for (value,) in seed_axes[0].values] if seed_axes else [seed]


def _combination_problem(grid: Grid, block: Block, error: ValidationError) -> Problem:
    """A combination that makes no run: at the key at fault if the file has it, else the block."""
    first = error.errors()[0]
    key = first.get("ctx", {}).get("key") or (first["loc"][0] if first["loc"] else "")
    path: KeyPath = ("blocks", block.name)
    for axis in block.axes:
        if key in axis.keys:
            path = (*path, "vary", ", ".join(axis.keys))
    if key in block.fixed:
        path = (*path, "fixed", key)
    elif key in grid.defaults and key not in block.own_keys:
        path = ("defaults", key)
    message = first["msg"] if str(key) in first["msg"] else f"{key}: {first['msg']}"
    return Problem(grid.places.of_key(path), f"{message} (block {block.name!r})")
