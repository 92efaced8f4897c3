"""What `tests.fuzz` draws for grid files: outlines, changed bytes, bombs, overrides, names; wrong in every way."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from study.grid.file import FILE_KEYS, RANGES, SETTINGS

HUGE = (2**31, 2**63 - 1, 2**63, 10**12, 10**18, 10**30, 10**400, -(10**30), 1e308, 5e-324, -0.0)
WORDS = (
    *(
        "-",
        "~",
        "null",
        "true",
        "yes",
        "0x1F",
        "0o17",
        "017",
        "1_000",
        "1:30",
        "1e3",
        ".inf",
        ".nan",
        "2001-01-01",
    ),
    *(
        "10",
        "é",
        "{}",
        "%s%n",
        "${HOME}",
        "../x",
        "/etc/passwd",
        "__import__('os').system('touch owned')",
    ),
    *(
        "lstm",
        "gru",
        "adam",
        "sgd",
        "nesterov",
        "LBFGS",
        "NAdam",
        "Adafactor",
        "parity",
        "alternating",
    ),
    *("fused", "torch", "auto", "cpu", "cuda", "mps", "float64"),
    *("", " ", "1" * 65, "x" * 5000, "\u202e", "\ud800", "\x00", "\x1b[2J", "\n", "a\nb"),
)


def mostly(
    usual: st.SearchStrategy, *odd: st.SearchStrategy, one_in: int = 20
) -> st.SearchStrategy:
    """The usual, and now and then something odd; `one_of` takes each strategy as often as any other."""
    return st.integers(1, one_in).flatmap(lambda n: st.one_of(*odd) if n == one_in else usual)


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 70),
    st.sampled_from(HUGE),
    st.integers(),
    st.floats(),
    st.sampled_from(WORDS),
    st.text(max_size=8),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
ranges = st.dictionaries(
    st.sampled_from([*RANGES, "lograng", ""]),
    st.lists(st.integers(-5, 40) | st.floats(0, 3) | scalars, max_size=4),
    max_size=2,
)
GOOD_VALUES = {
    "cell": st.sampled_from(["lstm", "gru", "rnn_tanh", "mingru"]),
    "optimizer": st.sampled_from(["sgd", "momentum", "nesterov", "adam", "NAdam", "rmsprop"]),
    "task": st.sampled_from(["alternating", "parity", "reset"]),
    "init": st.sampled_from(["default", "orthogonal", "forget_bias", "identity"]),
    "pattern": st.sampled_from(["10", "110"]),
    "noise_kind": st.sampled_from(["uniform", "centred", "gaussian"]),
    "start": st.sampled_from(["zeros", "learned", "normal"]),
    "data": st.sampled_from(["fresh", "fixed"]),
    "update_per": st.sampled_from(["batch", "epoch"]),
    "state": st.sampled_from(["carried", "reset", "across_batches"]),
    "device": st.just("cpu"),
    "dtype": st.sampled_from(["float32", "float64"]),
    "max_updates": st.integers(300, 3000),
    **dict.fromkeys(["cue", "accumulate", "stop_when_solved"], st.booleans()),
    **dict.fromkeys(["lr", "noise", "momentum", "clip_norm", "init_value"], st.floats(0.001, 2)),
    "reset_rate": st.floats(0, 1),
    "engine": st.sampled_from(["auto", "torch", "fused"]),
    "optimizer_settings": st.dictionaries(
        st.sampled_from(["betas", "eps", "weight_decay", "amsgrad", "alpha", "beta"]),
        values,
        max_size=2,
    ),
}
keys = mostly(
    st.sampled_from(SETTINGS),
    st.sampled_from(
        [
            "lr_rate",
            "Cell",
            "seed ",
            "cell, lr",
            "seed,lr",
            "cell,cell",
            ",",
            "",
            1,
            None,
            True,
            1.5,
        ]
    ),
    st.text(max_size=5),
    one_in=60,
)


def _pairs(draw: Callable, vary: bool) -> dict:
    found = {}
    for key in draw(st.lists(keys, max_size=4)):
        good = GOOD_VALUES.get(key, st.integers(2, 16)) if isinstance(key, str) else scalars
        several = st.lists(mostly(good, values, one_in=60), min_size=1, max_size=4)
        found[key] = draw(
            mostly(several, ranges, good, values) if vary else mostly(good, values, one_in=40)
        )
    return found


BLOCK_NAMES = mostly(
    st.sampled_from(["a", "b", "headline"]), st.sampled_from(["grid", "a.b", 1, None, 2.5])
)
BLOCK_EXTRA = st.dictionaries(
    st.sampled_from(["keep_weights", "description", "fxed", "fixed", "vary"]), values, max_size=1
)
FILE_EXTRA = st.dictionaries(st.sampled_from([*FILE_KEYS, "nmae", 3]), values, max_size=1)


@st.composite
def outlines(draw: Callable) -> Any:
    """The outline of a grid file, with anything in it."""
    blocks = {}
    for _ in range(draw(st.integers(1, 3))):
        block = {"fixed": _pairs(draw, False), "vary": _pairs(draw, True)}
        blocks[draw(BLOCK_NAMES)] = block | draw(mostly(st.just({}), BLOCK_EXTRA, one_in=8))
    tree: dict[Any, Any] = {"name": "fuzz", "defaults": _pairs(draw, False), "blocks": blocks}
    return tree | draw(mostly(st.just({}), FILE_EXTRA, one_in=8))


def trees() -> st.SearchStrategy[Any]:
    """What a file can hold: mostly the outline of a grid."""
    return mostly(outlines(), values)


def as_yaml(value: Any) -> str:
    """A value as YAML in flow style, its text in quotes where that keeps it text."""
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"? {as_yaml(key)} : {as_yaml(entry)}" for key, entry in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(as_yaml, value)) + "]"
    if isinstance(value, float):
        return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(repr(value), repr(value))
    if isinstance(value, str):
        return json.dumps(value)
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return str(value) if abs(value) < 10**4000 else hex(value)


def as_block_yaml(tree: Any, indent: str = "") -> str:
    """Mappings as lines, what is in them in flow style below the third level; as people write a grid."""
    if not isinstance(tree, dict) or not tree or len(indent) > 4:
        return as_yaml(tree)
    lines = [f"{indent}{as_yaml(key)}:{_below(entry, indent)}" for key, entry in tree.items()]
    return "\n".join(reversed(lines))


def _below(entry: Any, indent: str) -> str:
    text = as_block_yaml(entry, indent + "  ")
    return (
        f"\n{text}"
        if text.startswith(indent + "  ") and isinstance(entry, dict) and entry
        else f" {text}"
    )


TOKENS = (
    *(
        "&a ",
        "*a",
        "<<: *a",
        "<<: [*a, *a]",
        "!!python/object/apply:os.system [touch owned]",
        "!!python/name:os.system",
    ),
    *(
        "!!set {a}",
        "!!binary abc",
        "!!int ''",
        "!!bool maybe",
        "!!float x",
        "!!timestamp 2001-01-01",
        "! ",
        "!x ",
    ),
    *(
        "%YAML 1.1\n---\n",
        "%TAG ! tag:yaml.org,2002:python/\n---\n",
        "---\n",
        "...\n",
        "|\n",
        ">\n",
    ),
    *(
        "? ",
        "- ",
        ": ",
        "# ",
        '"',
        "'",
        "[",
        "]",
        "{",
        "}",
        ",",
        "=",
        "\\",
        "1:30",
        "0b11",
        ".nan",
        "null",
    ),
    *(
        "\t",
        "\x00",
        "\ufeff",
        "\r",
        "\x85",
        "\u2028",
        "\n\n",
        "\x1b",
        "\ud800",
        "0x" + "f" * 6000,
        "9" * 5000,
    ),
)
ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "utf-7")


@st.composite
def mutated_files(draw: Callable, good: str) -> bytes:
    """A good file with pieces put in, taken out, doubled and swapped; in some encoding, with bytes changed."""
    text = good
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 30)))
        piece = draw(
            st.one_of(
                st.sampled_from(TOKENS),
                st.sampled_from(WORDS),
                st.just(text[start:end]),
                st.text(max_size=3),
            )
        )
        text = text[: draw(st.sampled_from([start, end]))] + piece + text[end:]
    content = text.encode(
        draw(mostly(st.just("utf-8"), st.sampled_from(ENCODINGS), one_in=3)), "replace"
    )
    if draw(st.integers(0, 4)) == 0:
        content = bytearray(content)
        for place in draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
            content[place] = draw(st.integers(0, 255))
    return bytes(content)


def bombs() -> st.SearchStrategy[str]:
    """Small texts that stand for much: by aliases, merges, depth, length, references to themselves."""
    return st.one_of(*(strategy() for strategy in (_aliases, _recursions, _repeated, _many_runs)))


@st.composite
def _aliases(draw: Callable) -> str:
    """Each level holds the one before it several times."""
    wide, deep = draw(st.integers(2, 12)), draw(st.integers(2, 40))
    first, level = draw(
        st.sampled_from(
            [
                ("[lol]", lambda last: f"[{', '.join([last] * wide)}]"),
                ("{k: 1}", lambda last: f"{{{', '.join(f'k{j}: {last}' for j in range(wide))}}}"),
                ("{k: 1}", lambda last: f"{{<<: [{', '.join([last] * wide)}]}}"),
            ]
        )
    )
    lines = [f"a0: &a0 {first}", *(f"a{i}: &a{i} {level(f'*a{i - 1}')}" for i in range(1, deep))]
    return "\n".join(lines)


def _recursions() -> st.SearchStrategy[str]:
    return st.sampled_from(
        ["&a [*a]", "&a {b: *a}", "a: &a {<<: *a}", "a: &a {<<: [*a, *a]}", "&a {? *a : 1}"]
    )


@st.composite
def _repeated(draw: Callable) -> str:
    """One piece again and again: nested, in a row, or each line further in."""
    opening = ["[", "{a: ", "- ", "? ", "[{a: ", "]", "a: [", "!!seq [", "&a [", '["]",']
    opening += ["[1,", "[[],", "{a: 1,", "[&a 1,", "[!!str a,", "- 1\n", "a: 1\n", "? a\n"]
    plain = [
        "x",
        "9",
        "0x",
        "&",
        "!",
        "*",
        "%",
        "?",
        "'",
        '"',
        "#",
        "\n",
        " ",
        "\t",
        ":",
        "a,",
        "é",
    ]
    if draw(st.integers(0, 5)) == 0:
        return "\n".join(" " * i + "a:" for i in range(draw(st.integers(1, 600))))
    return draw(st.sampled_from(opening + plain)) * draw(
        st.sampled_from([10, 100, 1000, 10_000, 60_000])
    )


@st.composite
def _many_runs(draw: Callable) -> str:
    """Blocks of a few lines that ask for up to 10²⁰ runs each."""
    counts = st.integers(0, 7).map(lambda power: 10**power)
    ranges = [f"{{range: [0, {draw(counts)}]}}", f"{{linear_range: [1, 2, {draw(counts)}]}}"]
    ranges.append(f"{{range: [2, {draw(counts)}]}}")
    vary = dict(zip(("seed", "lr", "length"), ranges, strict=True))
    block = f"{{vary: {{{', '.join(f'{name}: {entry}' for name, entry in vary.items())}}}}}"
    return "name: a\nblocks:\n" + "".join(
        f"  b{i}: {block}\n" for i in range(draw(st.integers(1, 3)))
    )


SCOPES = mostly(
    st.sampled_from(["grid", "sizes", "kept", "defaults"]),
    st.sampled_from(["name", "gird", "", "blocks", "."]),
)


@st.composite
def _override(draw: Callable) -> str:
    key = draw(keys.map(str))
    good = GOOD_VALUES.get(key, st.integers(2, 16))
    usual = st.one_of(good, st.lists(good, min_size=1, max_size=3)).map(as_yaml)
    value = draw(mostly(usual, st.sampled_from([*WORDS, *TOKENS]), values.map(as_yaml), one_in=8))
    dot, equals = (
        draw(mostly(st.just("."), st.just(""))),
        draw(mostly(st.just("="), st.sampled_from(["", "==", " = "]))),
    )
    return f"{draw(SCOPES)}{dot}{key}{equals}{value}"


def overrides() -> st.SearchStrategy[list[str]]:
    """One `--set` or more."""
    return st.lists(mostly(_override(), st.text(max_size=20)), min_size=1, max_size=3)


def paths() -> st.SearchStrategy[str]:
    """Names of a grid that would lead elsewhere."""
    words = [
        "..",
        ".",
        "/",
        "//",
        "x",
        "~",
        "\\",
        "CON",
        "-",
        " ",
        "é",
        "$HOME",
        "\x00",
        "\n",
        "\u2024\u2024",
    ]
    parts = st.sampled_from([*words, "a" * 99, "a" * 300])
    return (
        st.lists(parts, min_size=1, max_size=5).map("".join)
        | st.lists(parts, min_size=1, max_size=5).map("/".join)
        | st.text(max_size=120)
    )
