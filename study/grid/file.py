"""A grid file: named blocks of runs, written as what is fixed and what varies.

    name: main
    defaults: {task: alternating, length: 20}
    blocks:
      sizes:
        fixed: {optimizer: adam}
        vary:
          cell: [lstm, gru]
          lr: {log_range: [0.001, 0.1, 5]}        # 5 values, evenly spaced in the logarithm, ends included
          noise: {linear_range: [0, 1, 3]}        # 3 values, evenly spaced, ends included
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

from pydantic import TypeAdapter, ValidationError

from study.errors import BadInput, Problem, shown, unknown
from study.grid.yaml import KeyPath, Places, parse_value, read_yaml
from study.runs import Run, inapplicable

SETTINGS = tuple(Run.model_fields)
FILE_KEYS = ("name", "description", "defaults", "blocks")
BLOCK_KEYS = ("description", "fixed", "vary", "keep_weights")
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
RANGES = ("range", "linear_range", "log_range")
MOST_PROBLEMS = 20  # shown at a time
MOST_RUNS = 20_000_000  # of a grid: what one machine's memory can plan
MOST_VALUES = 2_000_000  # of all the ranges of a file


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


def read_grid(path: str | Path, overrides: Sequence[str] = ()) -> Grid:
    """Read a grid file and apply `KEY=VALUE` overrides; `BadInput` lists all that is wrong."""
    tree, places = read_yaml(path)
    reader = _Reader(places)
    reader.check_shape(tree)
    reader.stop_if_wrong()
    for override in overrides:
        _override(tree, override, places)
    grid = reader.grid(tree, tuple(overrides))
    reader.stop_if_wrong()
    return grid


# --- reading ------------------------------------------------------------------------------------


class _Reader:
    """Turns the plain tree into a `Grid` and collects every problem on the way."""

    def __init__(self, places: Places):
        self.places, self.problems, self.values_left = places, [], MOST_VALUES

    def stop_if_wrong(self) -> None:
        if self.problems:
            raise BadInput(self.problems[:MOST_PROBLEMS])

    def wrong(self, path: KeyPath, message: str, *, key: bool = False) -> None:
        where = self.places.of_key(path) if key else self.places.of_value(path)
        self.problems.append(Problem(where, message))

    def mapping(self, node: Any, path: KeyPath, allowed: Sequence[str] | None, kind: str) -> bool:
        """Whether a node is a mapping; its unknown keys are noted as problems."""
        if not isinstance(node, dict):
            name = path[-1] if path else "a grid file"
            self.wrong(
                path, f"{shown(name)} must be a mapping of keys to values, not {_kind(node)}"
            )
            return False
        for key in node:
            if allowed is not None and key not in allowed:
                self.wrong((*path, key), unknown(kind, key, allowed), key=True)
        return True

    def check_shape(self, tree: Any) -> None:
        """The file's outline, down to the keys of each block."""
        if not self.mapping(tree, (), FILE_KEYS, "key"):
            return
        for key in ("name", "blocks"):
            if key not in tree:
                self.wrong((), f"the key {key!r} is missing")
        for key in ("defaults", "blocks"):
            if key in tree and tree[key] is None:
                tree[key] = {}
        if "defaults" in tree:
            self.mapping(tree["defaults"], ("defaults",), None, "")
        if "blocks" in tree and self.mapping(tree["blocks"], ("blocks",), None, ""):
            if not tree["blocks"]:
                self.wrong(("blocks",), "'blocks' has no block")
            for name, block in tree["blocks"].items():
                self._check_block_shape(name, block)

    def _check_block_shape(self, name: Any, block: Any) -> None:
        path = ("blocks", name)
        if (
            not re.fullmatch(NAME, str(name))
            or "." in str(name)
            or name in ("grid", "defaults", "name")
        ):
            self.wrong(
                path,
                f"{shown(name)} cannot be the name of a block: use letters, digits, '_' or '-'",
                key=True,
            )
        if self.mapping(block, path, BLOCK_KEYS, "key of a block"):
            for part in ("fixed", "vary"):
                block.setdefault(part, {})
                block[part] = {} if block[part] is None else block[part]
                self.mapping(block[part], (*path, part), None, "")

    def grid(self, tree: dict, overrides: tuple[str, ...]) -> Grid:
        name = tree["name"]
        if not isinstance(name, str) or not re.fullmatch(NAME, name):
            self.wrong(
                ("name",),
                f"name {shown(name)} must be up to 100 letters, digits, '.', '_' or '-': it names a folder",
            )
        defaults = self.settings(tree.get("defaults", {}), ("defaults",))
        blocks = [self.block(name, block) for name, block in tree["blocks"].items()]
        description = str(tree.get("description") or "")
        return Grid(name, defaults, blocks, self.places, overrides, description)

    def block(self, name: str, block: dict) -> Block:
        path = ("blocks", name)
        fixed = self.settings(block["fixed"], (*path, "fixed"))
        axes = [self.axis(key, node, (*path, "vary", key)) for key, node in block["vary"].items()]
        seen = set(fixed)
        for axis in axes:
            for key in axis.keys:
                if key in seen:
                    where = (*path, "vary", ", ".join(axis.keys))
                    self.wrong(
                        where, f"{shown(key)} is set more than once in block {name!r}", key=True
                    )
                seen.add(key)
        keep = block.get("keep_weights", False)
        if not isinstance(keep, bool):
            self.wrong(
                (*path, "keep_weights"), f"'keep_weights' must be true or false, not {shown(keep)}"
            )
        return Block(name, fixed, tuple(axes), keep is True)

    def settings(self, node: dict, path: KeyPath) -> dict[str, Any]:
        """Settings with one value each."""
        return {key: self.value(key, value, (*path, key)) for key, value in node.items()}

    def value(self, key: Any, value: Any, path: KeyPath) -> Any:
        """One value of one setting, checked for its type and range."""
        if key not in SETTINGS:
            self.wrong(path, unknown("key", key, SETTINGS), key=True)
            return value
        message = value_problem(key, value)
        if message:
            self.wrong(path, message)
        return value

    def axis(self, key: Any, node: Any, path: KeyPath) -> Axis:
        """One entry of `vary`: a list, a range, or a zipped list of rows."""
        keys = tuple(part.strip() for part in str(key).split(","))
        unknown_keys = [part for part in keys if part not in SETTINGS]
        for part in unknown_keys:
            self.wrong(path, unknown("key", part, SETTINGS), key=True)
        if unknown_keys:
            return Axis(keys, ())
        values = self._range(keys, node, path) if isinstance(node, dict) else node
        if values is None and isinstance(node, dict):
            return Axis(keys, ())  # the range has said what is wrong
        if not isinstance(values, list):
            ranges = " / ".join(RANGES)
            message = f"must vary over a list, or {{{ranges}: [...]}}; one value goes to 'fixed'"
            self.wrong(path, f"{shown(key)} {message}")
            return Axis(keys, ())
        if not values:
            self.wrong(path, f"{shown(key)} is an empty axis: it makes no run")
        if len(keys) == 1:
            return Axis(
                keys, tuple((self.value(keys[0], v, (*path, i)),) for i, v in enumerate(values))
            )
        return Axis(keys, tuple(self._row(keys, row, (*path, i)) for i, row in enumerate(values)))

    def _row(self, keys: tuple[str, ...], row: Any, path: KeyPath) -> tuple[Any, ...]:
        if not isinstance(row, list) or len(row) != len(keys):
            self.wrong(
                path,
                f"a row of {shown(', '.join(keys))} must be a list of {len(keys)} values, not {shown(row)}",
            )
            return ()
        return tuple(
            self.value(key, value, (*path, i))
            for i, (key, value) in enumerate(zip(keys, row, strict=True))
        )

    def _range(self, keys: tuple[str, ...], node: dict, path: KeyPath) -> list | None:
        """The values of a range; whole numbers where the setting counts something."""
        kinds = [kind for kind in node if kind not in RANGES]
        if kinds or len(node) != 1 or len(keys) > 1:
            kind = kinds[0] if kinds else next(iter(node), None)
            message = unknown("range", kind, RANGES) if kinds else "give one range for one setting"
            self.wrong(path, message)
            return None
        ((kind, bounds),) = node.items()
        try:
            values = range_values(
                kind, bounds, most=self.values_left, whole=all(map(_counts, keys))
            )
            self.values_left -= len(values)
            return values
        except ValueError as error:
            self.wrong((*path, kind), str(error))
            return None


def range_values(kind: str, bounds: Any, *, whole: bool, most: int = MOST_VALUES) -> list:
    """The values of `range`, `linear_range` or `log_range`, `most` at most; `ValueError` says what it wants.

    Values of the last two are rounded to 6 significant digits, or to whole numbers, so that they
    are the same on every machine.
    """
    numbers = isinstance(bounds, list) and all(
        type(b) in (int, float) and abs(b) < 1e18 for b in bounds
    )
    if kind == "range":
        if (
            not numbers
            or len(bounds) not in (2, 3)
            or any(type(b) is not int for b in bounds)
            or 0 in bounds[2:]
        ):
            raise ValueError(
                f"'range' wants [start, end] or [start, end, step] in whole numbers, not {shown(bounds)}"
            )
        _refuse_longer(most, len(range(*bounds)))
        return list(range(*bounds))
    if (
        not numbers
        or len(bounds) != 3
        or type(bounds[2]) is not int
        or not 2 <= bounds[2] <= 100_000
    ):
        raise ValueError(
            f"{kind!r} wants [first, last, how many (2 to 100,000)], not {shown(bounds)}"
        )
    first, last, count = bounds
    _refuse_longer(most, count)
    if kind == "log_range":
        if min(first, last) < 1e-18:
            raise ValueError(f"'log_range' wants ends above 0 (from 1e-18), not {shown(bounds)}")
        values = [first * (last / first) ** (i / (count - 1)) for i in range(count)]
    else:
        values = [first + (last - first) * i / (count - 1) for i in range(count)]
    return list(dict.fromkeys(round(v) if whole else float(f"{v:.6g}") for v in values))


def _refuse_longer(most: int, count: int) -> None:
    if count > most:
        raise ValueError(
            f"{count:,} values are too many: the ranges of a file have at most {MOST_VALUES:,} in all"
        )


@cache
def _adapter(key: str) -> TypeAdapter:
    info = Run.model_fields[key]
    annotation: Any = info.annotation
    for item in info.metadata:
        annotation = Annotated[annotation, item]
    return TypeAdapter(annotation)


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
        wanted = (
            first["msg"].replace("Input should be", "should be").replace("String should", "should")
        )
        return f"{key} = {shown(value)} {wanted} ({Run.model_fields[key].description})"
    return None


def _kind(node: Any) -> str:
    names = {dict: "a mapping", list: "a list", str: "text", type(None): "nothing"}
    return names.get(type(node), shown(node))


# --- overriding ---------------------------------------------------------------------------------


def _override(tree: dict, text: str, places: Places) -> None:
    """Apply one `--set KEY=VALUE` to the plain tree.

    `grid.K` sets K in every block, `BLOCK.K` in one, `defaults.K` as a default, `name` the name. A list
    or a range varies, any other value is fixed.
    """
    where = f"--set {text if len(text) <= 100 else text[:100]}"
    target, equals, value_text = text.partition("=")
    scope, _, key = target.strip().partition(".")
    key = ", ".join(part.strip() for part in key.split(","))
    blocks = tree["blocks"]
    scopes = ["grid", "defaults", "name", *blocks]
    if not equals or bool(key) == (scope == "name"):
        raise BadInput(
            [Problem(where, "wants KEY=VALUE, such as grid.hidden_size=[4,8] or defaults.lr=0.1")]
        )
    if scope not in scopes:
        raise BadInput([Problem(where, unknown("scope", scope, scopes))])
    value = parse_value(value_text, where)
    if scope == "name":
        tree["name"] = value
        places.mark(("name",), where, where)
    elif scope == "defaults":
        tree["defaults"] = (tree.get("defaults") or {}) | {key: value}
        places.mark(("defaults", key), where, where)
    else:
        for name in blocks if scope == "grid" else [scope]:
            _override_block(blocks[name], ("blocks", name), key, value, places, where)


def _override_block(
    block: dict, path: KeyPath, key: str, value: Any, places: Places, where: str
) -> None:
    block["vary"] = {
        ", ".join(part.strip() for part in str(a).split(",")): v for a, v in block["vary"].items()
    }
    for axis in block["vary"]:
        if axis != key and set(key.split(", ")) & set(axis.split(", ")):
            raise BadInput(
                [
                    Problem(
                        where,
                        f"{shown(key)} is zipped in block {path[-1]!r}: set {shown(axis)} as a whole",
                    )
                ]
            )
    varies = (
        isinstance(value, list)
        or (isinstance(value, dict) and key != "optimizer_settings")
        or "," in key
    )
    part, other = ("vary", "fixed") if varies else ("fixed", "vary")
    block[other].pop(key, None)
    block[part][key] = value
    places.mark((*path, part, key), where, where)


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
                problem = _combination_problem(grid, block, settings, error)
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
    total = 0
    for block in grid.blocks:
        total += block.size
        if total > MOST_RUNS:
            where = grid.places.of_key(("blocks", block.name))
            sizes = f"block {block.name!r} has {block.size:,} runs" + f", the grid {total:,}" * (
                total > block.size
            )
            raise BadInput([Problem(where, f"{sizes}; at most {MOST_RUNS:,} can be planned")])


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


def _combination_problem(
    grid: Grid, block: Block, settings: dict, error: ValidationError
) -> Problem:
    """Where a combination went wrong: at the key at fault, if the file has it, else at the block."""
    first = error.errors()[0]
    key = first.get("ctx", {}).get("key") or (first["loc"][0] if first["loc"] else "")
    paths = [("blocks", block.name, "fixed", key), ("defaults", key)]
    paths += [
        ("blocks", block.name, "vary", ", ".join(a.keys)) for a in block.axes if key in a.keys
    ]
    named = {
        paths[0]: key in block.fixed,
        paths[1]: key in grid.defaults and key not in block.own_keys,
    }
    path = next((p for p in reversed(paths) if named.get(p, True)), ("blocks", block.name))
    message = first["msg"] if str(key) in first["msg"] else f"{key}: {first['msg']}"
    return Problem(grid.places.of_key(path), f"{message} (block {block.name!r})")
