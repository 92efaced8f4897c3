"""Read a grid file, which describes named blocks of runs, and make the list of its runs.

In each block, some settings are fixed and others vary:

    name: main
    defaults: {task: alternating, length: 20}
    blocks:
      sizes:
        fixed: {optimizer: adam}
        vary:
          cell: [lstm, gru]
          lr: {log_range: [0.001, 0.1, 5]}        # 5 values, evenly spaced in the logarithm
          noise: {linear_range: [0, 1, 3]}        # 3 values, evenly spaced; ends included
          seed: {range: [0, 30]}                  # integers, as in Python's range: 0 to 29
          hidden_size, length: [[2, 10], [6, 20]] # zipped: both vary together

A block has one run for every combination of the values that vary. The grid consists of the runs of
all blocks. A run that is in several blocks is trained only once.

Some settings do not apply to all runs. For example, `momentum` applies to few optimizers. A setting
in `defaults` is ignored for runs to which it does not apply. But a setting that a block fixes or
varies must apply to all runs of the block.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from study.errors import BadInput, Problem, SettingError, shown, unknown
from study.grid.yaml import KeyPath, Places, parse_yaml, read_yaml
from study.model import registered
from study.runs import SETTINGS, Run, inapplicable, own_kinds, own_problem
from study.shipped import shipped

SETTING_NAMES = tuple(SETTINGS)
RANGES = ("range", "linear_range", "log_range")
MOST_PROBLEMS = 20  # largest number of problems printed at a time
MOST_RUNS = 20_000_000  # largest number of runs in a grid; more would not fit into memory


@dataclass(frozen=True)
class Axis:
    """A setting that varies in a block of a grid, or several settings that vary together.

    In a grid file, an axis is one entry of `vary`. `keys` holds the names of the settings. Each
    item of `values` is a tuple with one value per setting.
    """

    keys: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Block:
    """A block of a grid, which is a named group of runs.

    `fixed` maps the names of the fixed settings to their values. `axes` holds the settings that
    vary, with their values. `keep_weights` says whether the trained weights of the block's runs are
    stored, and `keep_curves` whether their learning curves are. `figures` holds the names of the
    figures that show the block, or is None for the general one.
    """

    name: str
    fixed: dict[str, Any]
    axes: tuple[Axis, ...]
    keep_weights: bool = False
    keep_curves: bool = True
    figures: tuple[str, ...] | None = None

    @property
    def size(self) -> int:
        """The number of runs in this block, which has one run per combination of varying values."""
        return math.prod(len(axis.values) for axis in self.axes)

    @property
    def own_keys(self) -> set[str]:
        """The names of the settings that the block itself fixes or varies."""
        return set(self.fixed) | {key for axis in self.axes for key in axis.keys}


@dataclass
class Grid:
    """The content of a grid file.

    Each value is valid by itself. The function `expand` checks the combinations of values, and
    returns the runs of the grid. `defaults` maps the names of settings to their default values.
    `places` says which line of the file, or which option `--set`, gave each setting.
    """

    name: str
    defaults: dict[str, Any]
    blocks: list[Block]
    places: Places
    overrides: tuple[str, ...] = ()  # settings changed by `--set`, as KEY=VALUE

    @property
    def size(self) -> int:
        """The number of runs in all blocks, where a run that is in two blocks counts twice."""
        return sum(block.size for block in self.blocks)

    @property
    def figures(self) -> dict[str, Sequence[str] | None]:
        """The names of the figures that show each block, or None for the general figure."""
        return {block.name: block.figures for block in self.blocks}

    @property
    def title(self) -> str:
        """The grid's name and the settings changed by `--set`, joined by `+`.

        The results folder of the grid records this title.
        """
        return "+".join([self.name, *self.overrides])

    @property
    def folder_name(self) -> str:
        """The name of the results folder.

        If options `--set` changed settings, the name ends with a readable form of the changes and a
        hash.
        """
        if not self.overrides:
            return self.name
        readable = re.sub(r"[^\w.=,-]", "", "+".join(self.overrides))[:60]
        return f"{self.name}+{readable}-{sha256(self.title.encode()).hexdigest()[:6]}"


@dataclass
class Expansion:
    """All runs of a grid.

    A run's identity is a hash that names the run (`Run.run_id`). `sources` maps the identity of
    each run to a `Run` object and a seed. Runs that differ only in their seed share one `Run`
    object, so a million runs fit into memory. `blocks` maps the name of each block to the
    identities of its runs. `keep_weights` holds the identities of those runs for which trained
    weights are stored. `drop_curves` holds the identities of those runs that are stored without
    their learning curves, which are the runs of which no block keeps the curves.
    """

    sources: dict[str, tuple[Run, int]] = field(default_factory=dict)
    blocks: dict[str, list[str]] = field(default_factory=dict)
    keep_weights: set[str] = field(default_factory=set)
    drop_curves: set[str] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.sources)

    def run(self, run_id: str) -> Run:
        """Return the run with the identity `run_id`."""
        source, seed = self.sources[run_id]
        return source if source.seed == seed else source.with_seed(seed)


# --- the outline --------------------------------------------------------------------------------


def _named(pattern: str, rule: str) -> AfterValidator:
    def check(name: str) -> str:
        if not re.fullmatch(pattern, name, re.ASCII):
            raise PydanticCustomError("name", "{text}", {"text": f"{shown(name)} {rule}"})
        return name

    return AfterValidator(check)


FOLDER_NAME = r"[A-Za-z0-9][\w.-]{0,99}"
BLOCK_NAME = r"(?!(grid|defaults|name)$)[A-Za-z0-9][\w-]{0,99}"
_FOLDER = (
    "cannot be the name of a file or folder: use up to 100 letters, digits, '.', '_' or '-', "
    "beginning with a letter or digit"
)
_BLOCK = (
    "cannot be the name of a block: use up to 100 letters, digits, '_' or '-', beginning with a "
    "letter or digit, but not the words grid, defaults or name"
)
FileName = Annotated[str, _named(FOLDER_NAME, _FOLDER)]
BlockName = Annotated[str, _named(BLOCK_NAME, _BLOCK)]
Empty = BeforeValidator(
    lambda node: {} if node is None else node
)  # a key without a value has no entries
Settings = Annotated[dict[str, Any], Empty]


class BlockOutline(BaseModel, extra="forbid", strict=True, use_attribute_docstrings=True):
    """A block: one run for every combination of the values that vary."""

    description: str = ""
    """what the block is for"""
    fixed: Settings = {}
    """settings that have one value in the whole block"""
    vary: Settings = {}
    """settings that vary, each with a list or a range of values; or several, with a list of rows"""
    keep_weights: bool = False
    """whether the trained weights of the block's runs are stored"""
    keep_curves: bool = True
    """whether the learning curves of the block's runs are stored"""
    figures: list[FileName] | None = None
    """figures that show the block (see docs/commands.md); what it varies decides unless given"""


class Outline(BaseModel, extra="forbid", strict=True, use_attribute_docstrings=True):
    """A grid file: named blocks of runs. Its keys are checked first, and its settings later."""

    name: FileName
    """name of the grid, and of its results folder unless --out names another"""
    description: str = ""
    """what the grid is for"""
    defaults: Settings = {}
    """settings of all blocks; ignored for runs to which they do not apply"""
    blocks: Annotated[dict[BlockName, BlockOutline], Empty, Field(min_length=1)]
    """the blocks, by name; a run that is in several blocks is trained only once"""


_WRONG = {
    "missing": "the key {name} is missing",
    "too_short": "{name} must contain at least one block",
    "bool_type": "{name} must be true or false, not {value}",
    "string_type": "{name} must be text, not {value}{quotes}",
    "list_type": "{name} must be a list, not {value}",
    "dict_type": "{name} must be a mapping of keys to values, not {value}",
    "model_type": "{name} must be a mapping of keys to values, not {value}",
}
_KINDS = {dict: "a mapping", list: "a list", str: "text", type(None): "nothing"}


def _outline(tree: Any, places: Places) -> Outline:
    """Check the keys of a grid file, and return its content.

    `tree` is the content as plain values, and `places` says where each value was set. Raises
    `BadInput` if keys are wrong or missing. The error lists at most MOST_PROBLEMS faults.
    """
    try:
        return Outline.model_validate(tree)
    except ValidationError as error:
        raise BadInput(
            _outline_problem(detail, places) for detail in error.errors()[:MOST_PROBLEMS]
        ) from error


def _outline_problem(error: Any, places: Places) -> Problem:
    path, kind, value = error["loc"], error["type"], error["input"]
    if kind == "extra_forbidden":
        kind, model = ("key", Outline) if len(path) == 1 else ("key of a block", BlockOutline)
        return Problem(places.of_key(path), unknown(kind, path[-1], model.model_fields))
    if path[-1:] == ("[key]",):
        return Problem(places.of_key(path[:-1]), error["msg"])
    words = {"name": shown(path[-1]) if path else "a grid file"}
    words["value"] = _KINDS.get(type(value), shown(value))
    words["quotes"] = "" if type(value) in _KINDS else "; put it in quotes"
    message = _WRONG[kind].format(**words) if kind in _WRONG else f"{path[-1]} {error['msg']}"
    return Problem(places.of_value(path), message)


# --- the settings -------------------------------------------------------------------------------


def grid_file(name: str | Path) -> Path:
    """Return the path of the grid file `name`.

    The bare name of an experiment that comes with the package, such as `main`, stands for its file,
    unless a file has this name. Raises `BadInput` for a bare name that is neither.
    """
    path = Path(name)
    if path.is_file() or path.name != str(name) or path.suffix:
        return path
    files = {file.stem: file for file in sorted(shipped("experiments").glob("*.yaml"))}
    if path.name not in files:
        message = f"no such file, and {unknown('experiment', path.name, files)}"
        raise BadInput.at(path.name, message)
    return files[path.name]


def read_grid(path: str | Path, overrides: Sequence[str] = ()) -> Grid:
    """Read a grid file, change settings as `overrides` say, and check that each value is valid.

    An override is a text of the form `KEY=VALUE` (see `_override`). Combinations of values are not
    checked here. Raises `BadInput` if there are faults. The error lists at most MOST_PROBLEMS
    faults.
    """
    tree, places = read_yaml(path)
    outline = _outline(tree, places)
    for override in overrides:
        _override(outline, override, places)
    outline = _outline(outline.model_dump(warnings=False), places)  # an override may be wrong
    reader = _Reader(places, _own_kinds(outline))
    defaults = reader.settings(outline.defaults, ("defaults",))
    blocks = [reader.block(name, block) for name, block in outline.blocks.items()]
    if reader.problems:
        raise BadInput(reader.problems[:MOST_PROBLEMS])
    of_settings = (text for text in overrides if text.partition("=")[0].strip() != "name")
    return Grid(outline.name, defaults, blocks, places, tuple(of_settings))


def _own_kinds(outline: Outline) -> dict[str, type]:
    """Return the types of the settings of tasks and cells of a user's own, such as `task.gap`.

    The tasks and cells that a grid file names are loaded first, if packages offer them. Raises
    `BadInput` if a setting has two types.
    """
    parts = [outline.defaults, *(x for b in outline.blocks.values() for x in (b.fixed, b.vary))]
    for key, node in ((key, part.get(key)) for part in parts for key in ("task", "cell")):
        for name in node if isinstance(node, list) else [node]:
            if isinstance(name, str):
                registered(key, name)
    try:
        return own_kinds()
    except SettingError as error:
        raise BadInput.at("--use", str(error)) from error


class _Reader:
    """Checks the settings in a grid file and their values, and lists the faults in `problems`.

    `own` maps the names of settings of a user's own to their types.
    """

    def __init__(self, places: Places, own: dict[str, type]):
        self.places, self.problems, self.own = places, [], own
        self.names = (*SETTING_NAMES, *own)

    def _add(self, place: str, message: str) -> None:
        self.problems.append(Problem(place, message))

    def block(self, name: str, outline: BlockOutline) -> Block:
        """Check the settings of the block called `name`, and return the block."""
        fixed = self.settings(outline.fixed, ("blocks", name, "fixed"))
        axes, seen = [], set(fixed)
        for key, node in outline.vary.items():
            path = ("blocks", name, "vary", key)
            axes.append(self.axis(key, node, path))
            for part in axes[-1].keys:
                if part in seen:
                    message = f"{shown(part)} is set more than once in block {name!r}"
                    self._add(self.places.of_key(path), message)
                seen.add(part)
        figures = None if outline.figures is None else tuple(outline.figures)
        kept = outline.keep_weights, outline.keep_curves
        return Block(name, fixed, tuple(axes), *kept, figures)

    def settings(self, node: dict, path: KeyPath) -> dict[str, Any]:
        """Check a mapping that gives each setting a single value, and return its content.

        `path` leads to the mapping in the grid file.
        """
        return {key: self.value(key, value, (*path, key)) for key, value in node.items()}

    def value(self, key: str, value: Any, path: KeyPath) -> Any:
        """Check that the setting `key` exists and may have this value, and return the value.

        The value is returned even if it is wrong. `path` leads to the value in the grid file.
        """
        if key not in self.names:
            self._add(self.places.of_key(path), unknown("key", key, self.names))
        elif message := self._problem(key, value):
            self._add(self.places.of_value(path), message)
        return value

    def _problem(self, key: str, value: Any) -> str | None:
        own = key in self.own
        return own_problem(key, value, self.own[key]) if own else value_problem(key, value)

    def axis(self, key: str, node: Any, path: KeyPath) -> Axis:
        """Check one entry of `vary`, and return it as an `Axis`.

        `key` names one setting, or several settings separated by commas. `node` holds their values:
        a list or a range for one setting, or a list of rows for several. Each row is a list with
        one value per setting. `path` leads to the entry in the grid file.
        """
        keys = tuple(part.strip() for part in key.split(","))
        unknown_keys = [part for part in keys if part not in self.names]
        for part in unknown_keys:
            self._add(self.places.of_key(path), unknown("key", part, self.names))
        if unknown_keys:
            return Axis(keys, ())
        values, place = node, self.places.of_value(path)
        if isinstance(node, dict):
            values = self._range(keys, node, path)
        elif not isinstance(node, list):
            values, ranges = [], " / ".join(RANGES)
            message = f"needs a list, or {{{ranges}: [...]}}; put a single value into 'fixed'"
            self._add(place, f"{shown(key)} {message}")
        elif not node:
            self._add(place, f"{shown(key)} has no values, so the block has no runs; add a value")
        rows = [[value] for value in values] if len(keys) == 1 else values
        return Axis(keys, tuple(self._row(keys, row, (*path, i)) for i, row in enumerate(rows)))

    def _row(self, keys: tuple[str, ...], row: Any, path: KeyPath) -> tuple[Any, ...]:
        if not isinstance(row, list) or len(row) != len(keys):
            message = f"must be a list of {len(keys)} values, not {shown(row)}"
            self._add(self.places.of_value(path), f"a row of {shown(', '.join(keys))} {message}")
            return ()
        return tuple(
            self.value(key, value, (*path, i))
            for i, (key, value) in enumerate(zip(keys, row, strict=True))
        )

    def _range(self, keys: tuple[str, ...], node: dict, path: KeyPath) -> list:
        """Return the values of a range such as `{range: [0, 30]}`, or [] if the range is wrong.

        The values are rounded to integers if the setting takes only integers. `keys` should name
        only one setting, and `path` leads to the range in the grid file.
        """
        place, kind = self.places.of_value(path), next(iter(node), None)
        if kind not in RANGES:
            self._add(place, unknown("range", kind, RANGES))
        elif len(node) != 1 or len(keys) != 1:
            self._add(place, "give exactly one range, for exactly one setting")
        else:
            try:
                whole = self._problem(keys[0], 2.5) and not self._problem(keys[0], 2)
                return range_values(kind, node[kind], whole=bool(whole))
            except ValueError as error:
                self._add(self.places.of_value((*path, kind)), str(error))
        return []


def range_values(kind: str, bounds: Any, *, whole: bool) -> list:
    """Return the values of a range. `kind` is `range`, `linear_range` or `log_range`.

    For `range`, `bounds` is [start, end] or [start, end, step], as in Python. For the other kinds,
    `bounds` is [first, last, how many]. The values of these two kinds are rounded, so that they are
    the same on every machine. They are rounded to integers if `whole` is true, and otherwise to 6
    significant digits. Raises `ValueError` for invalid bounds.
    """
    is_list = isinstance(bounds, list) and all(type(b) in (int, float) for b in bounds)
    types = [type(b) for b in bounds] if is_list and all(abs(b) < 1e18 for b in bounds) else []
    if kind == "range":
        if types not in ([int] * 2, [int] * 3) or 0 in bounds[2:]:
            form = "[start, end] or [start, end, step] in integers"
            raise ValueError(f"'range' needs {form}, not {shown(bounds)}")
        values = range(*bounds)
        if not 0 < len(values) <= MOST_RUNS:
            limits = f"between 1 and {MOST_RUNS:,} values"
            raise ValueError(f"'range' needs {limits}, but {shown(bounds)} has {len(values):,}")
        return list(values)
    if len(types) != 3 or types[2] is not int or not 2 <= bounds[2] <= MOST_RUNS:
        raise ValueError(f"{kind!r} needs [first, last, how many], not {shown(bounds)}")
    first, last, count = bounds
    if kind == "log_range" and min(first, last) < 1e-18:
        rule = "must begin and end above 0 (at 1e-18 or more)"
        raise ValueError(f"'log_range' {rule}, not {shown(bounds)}")
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


def value_problem(key: str, value: Any) -> str | None:
    """Return a message that says why the setting `key` cannot have this value, or None if it can.

    This function does not check whether the value is compatible with other settings.
    """
    try:
        _adapter(key).validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "settings":
            return f"{key}: {first['msg']}"
        rule = re.sub("^(Input|String) ", "", first["msg"])
        return f"{key} = {shown(value)} {rule} ({Run.model_fields[key].description})"
    return None


# --- overriding ---------------------------------------------------------------------------------


def _override(outline: Outline, text: str, places: Places) -> None:
    """Change a setting in the content of a grid file, as the option `--set KEY=VALUE` asks.

    `outline` is the content, and `text` is KEY=VALUE. `places` records that the option gave the
    setting. These rules apply to a setting with the name K:

    - The KEY `grid.K` sets K in every block, `BLOCK.K` in one block, and `defaults.K` among the
      defaults. The KEY `name` sets the name of the grid.
    - If VALUE is a list or a range, K varies over its values. Any other VALUE fixes K.
    """
    where = f"--set {text[:100]}"
    target, equals, value_text = text.partition("=")
    scope, _, key = target.strip().partition(".")
    key, scopes = _joined(key), ["grid", "defaults", "name", *outline.blocks]
    if not equals or bool(key) == (scope == "name"):
        raise BadInput.at(where, "must be KEY=VALUE, such as grid.hidden_size=[4,8]")
    if scope not in scopes:
        raise BadInput.at(where, unknown("scope", scope, scopes))
    try:
        value, _ = parse_yaml(value_text, where)
    except BadInput as error:  # without line and column, which an option does not have
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
    """Return a key of `vary` with a comma and a space between the names of settings.

    For example, `hidden_size,lr` becomes `hidden_size, lr`.
    """
    return ", ".join(part.strip() for part in key.split(","))


def _override_block(name: str, block: BlockOutline, key: str, value: Any, where: str) -> str:
    """Change a setting in a block, and return whether the block now fixes or varies the setting.

    The result is the word `fixed` or `vary`. `key` is the name of the setting. It may also name
    several settings that vary together, separated by commas. `name` is the name of the block.
    `where` is the place that an error message gives.
    """
    vary = {_joined(axis): values for axis, values in block.vary.items()}
    for axis in vary:
        if axis != key and set(key.split(", ")) & set(axis.split(", ")):
            advice = f"set all of {shown(axis)} at once"
            message = f"{shown(key)} varies with others in block {name!r}; {advice}"
            raise BadInput.at(where, message)
    is_range = isinstance(value, dict) and key != "optimizer_settings"
    if isinstance(value, list) or is_range or "," in key:
        fixed = {name: given for name, given in block.fixed.items() if name != key}
        block.fixed, block.vary = fixed, vary | {key: value}
        return "vary"
    vary.pop(key, None)
    block.fixed, block.vary = block.fixed | {key: value}, vary
    return "fixed"


# --- expanding ----------------------------------------------------------------------------------


def expand(grid: Grid) -> Expansion:
    """Return all runs of the grid.

    Raises `BadInput` if the grid is too large or has invalid combinations of settings. The error
    lists at most MOST_PROBLEMS of these combinations.
    """
    if grid.size > MOST_RUNS:
        largest = max(grid.blocks, key=lambda block: block.size)
        sizes = f"block {largest.name!r} has {largest.size:,} runs and the grid has {grid.size:,}"
        where = grid.places.of_key(("blocks", largest.name))
        raise BadInput.at(where, f"{sizes}; at most {MOST_RUNS:,} are allowed: remove values")
    # The blocks of each problem are the keys of a dict, which keeps their order.
    expansion, problems = Expansion(), dict[Problem, dict[str, None]]()
    for block in grid.blocks:
        ids = expansion.blocks.setdefault(block.name, [])
        for settings, seeds in _combinations(grid, block):
            try:
                first = Run(**settings, seed=seeds[0])
            except ValidationError as error:
                problem = _combination_problem(grid, block, error)
                problems.setdefault(problem, {})[block.name] = None
                if len(problems) >= MOST_PROBLEMS:
                    raise BadInput(_with_blocks(problems)) from error
                continue
            for run_id, seed in zip(first.identities(seeds), seeds, strict=True):
                expansion.sources.setdefault(run_id, (first, seed))
                ids.append(run_id)
        expansion.blocks[block.name] = list(dict.fromkeys(ids))
        if block.keep_weights:
            expansion.keep_weights.update(ids)
        if not block.keep_curves:
            expansion.drop_curves.update(ids)
    for block in grid.blocks:
        if block.keep_curves:
            expansion.drop_curves.difference_update(expansion.blocks[block.name])
    if problems:
        raise BadInput(_with_blocks(problems))
    return expansion


def _with_blocks(problems: dict[Problem, dict[str, None]]) -> Iterator[Problem]:
    """Yield each problem after adding the names of its blocks to the end of its message."""
    for problem, blocks in problems.items():
        noun, names = "blocks" if len(blocks) > 1 else "block", ", ".join(map(repr, blocks))
        yield Problem(problem.where, f"{problem.message} ({noun} {names})")


def _combinations(grid: Grid, block: Block) -> Iterator[tuple[dict[str, Any], list[int]]]:
    """Yield the runs of a block as pairs of a combination of settings and a list of seeds.

    A combination is a dict from the names of all settings but the seed to their values. A pair
    stands for one run per seed.
    """
    own_keys = block.own_keys
    seed_axes = [axis for axis in block.axes if axis.keys == ("seed",)]
    other_axes = [axis for axis in block.axes if axis.keys != ("seed",)]
    for chosen in product(*(axis.values for axis in other_axes)):
        settings = grid.defaults | block.fixed
        for axis, values in zip(other_axes, chosen, strict=True):
            settings |= zip(axis.keys, values, strict=True)
        for key in inapplicable(settings).keys() - own_keys:
            settings.pop(key, None)
        seed = settings.pop("seed", 0)
        yield settings, [value for (value,) in seed_axes[0].values] if seed_axes else [seed]


def _combination_problem(grid: Grid, block: Block, error: ValidationError) -> Problem:
    """Return a `Problem` that says why `Run` refused a combination of a block's settings.

    `error` is the error that `Run` raised. The problem gives the place of the faulty setting. If no
    single setting is at fault, the problem gives the place of the block.
    """
    first = error.errors()[0]
    key = first.get("ctx", {}).get("key") or (first["loc"][0] if first["loc"] else "")
    path: KeyPath = ("defaults", key) if key in grid.defaults else ("blocks", block.name)
    if key in block.fixed:
        path = ("blocks", block.name, "fixed", key)
    for axis in block.axes:
        if key in axis.keys:
            path = ("blocks", block.name, "vary", ", ".join(axis.keys))
    message = first["msg"] if str(key) in first["msg"] else f"{key}: {first['msg']}"
    return Problem(grid.places.of_key(path), message)
