"""Bad input: the place, what is wrong, what is allowed; exit code 2 and nothing written."""

from itertools import pairwise
from pathlib import Path

import pytest

from study.__main__ import main
from study.errors import BadInput
from study.grid.file import RANGES, SETTING_NAMES, expand, read_grid

HEAD = "name: bad\nblocks:\n  only:\n    "  # what follows begins at line 4, column 5

# What stands in the block, where it is wrong, and parts of the message.
IN_A_BLOCK = [
    ("fixed: {lr_rate: 0.1}", "4:13", "unknown key 'lr_rate'", "did you mean", "allowed: task,"),
    ("fxed: {lr: 0.1}", "4:5", "unknown key of a block 'fxed' (did you mean 'fixed'?)", "vary"),
    ("fixed: {cell: lstn}", "4:19", "unknown cell 'lstn' (did you mean 'lstm'?)", "gru, rnn_tanh"),
    ("vary: {cell: [gru, foo]}", "4:24", "unknown cell 'foo'; allowed: lstm"),
    ("fixed: {optimizer: adamm}", "4:24", "unknown optimizer 'adamm'", "adam", "NAdam"),
    ("fixed: {optimizer: LBFGS}", "4:24", "closure"),
    ("fixed: {device: gpu}", "4:21", "unknown device 'gpu'", "cpu, cuda, mps"),
    ("fixed: {init: ortho}", "4:19", "did you mean 'orthogonal'"),
    ("fixed: {hidden_size: six}", "4:26", "hidden_size = 'six' should be a valid integer"),
    ("fixed: {hidden_size: true}", "4:26", "hidden_size = True should be a valid integer"),
    ("fixed: {hidden_size: 2.5}", "4:26", "hidden_size = 2.5 should be a valid integer"),
    ("fixed: {hidden_size: 0}", "4:26", "hidden_size = 0 should be greater than or equal to 1"),
    ('fixed: {lr: "0.1"}', "4:17", "lr = '0.1' should be a valid number"),
    ("fixed: {lr: .inf}", "4:17", "lr = inf should be a finite number"),
    ("fixed: {noise: -0.1}", "4:20", "noise = -0.1 should be greater than or equal to 0"),
    ("fixed: {pattern: 10}", "4:22", "pattern = 10 should be a valid string", "in quotes"),
    ('fixed: {pattern: "102"}', "4:22", "0s and 1s"),
    ("vary: {seed: []}", "4:18", "'seed' has no values, so the block has no runs"),
    ("vary: {seed: 3}", "4:18", "'seed' needs a list, or {", "put a single value into 'fixed'"),
    ("vary: {lr: {lograng: [1, 2, 3]}}", "4:16", "'lograng'", "did you mean 'log_range'"),
    ("vary: {lr: {log_range: [0, 1, 3]}}", "4:28", "'log_range' must begin and end above 0"),
    ("vary: {lr: {linear_range: [0, 1]}}", "4:31", "needs [first, last, how many], not [0, 1]"),
    ("vary: {seed: {range: [3]}}", "4:26", "'range' needs [start, end] or [start, end, step]"),
    ("vary: {seed: {range: [3, 3]}}", "4:26", "between 1 and 20,000,000 values", "has 0"),
    ("vary: {seed: {range: [0, 1000000000000]}}", "4:26", "has 1,000,000,000,000"),
    ("fixed: {lr: !!python/name:os.system }", "4:17", "'python/name:os.system' is not allowed"),
    ("vary:\n      cell, lr: [[gru]]", "5:18", "a row of 'cell, lr' must be a list of 2 values"),
    ("vary:\n      cell, l: [[gru, 1]]", "5:7", "unknown key 'l'"),
    ("fixed: {lr: 0.1}\n    vary: {lr: [0.1, 0.2]}", "5:12", "'lr' is set more than once"),
    (
        "fixed: {lr: 0.1, lr: 0.2}",
        "4:22",
        "YAML: while constructing a mapping, found duplicate key",
    ),
    ("fixed: {lr: 0.1", "5:1", "YAML: while parsing a flow mapping, expected ',' or '}'"),
    ("[1, 2]", "4:5", "'only' must be a mapping of keys to values, not a list"),
    ("fixed: lr", "4:12", "'fixed' must be a mapping of keys to values, not text"),
    ("keep_weights: maybe", "4:19", "'keep_weights' must be true or false, not text"),
    ("keep_curves: 0", "4:18", "'keep_curves' must be true or false, not 0"),
    # settings that do not go together
    (
        "fixed: {task: parity, noise: 0.5}",
        "4:27",
        "'noise' does not apply to task 'parity', which takes no setting; leave it out",
    ),
    ("fixed: {reset_rate: 0.5}", "4:13", "task 'alternating', which takes pattern, noise, noise_"),
    ("fixed: {momentum: 0.5}", "4:13", "'momentum' does not apply to optimizer 'adam'"),
    ("fixed: {cell: gru, init: forget_bias}", "4:24", "needs a forget gate, but cell 'gru' has"),
    ("fixed: {cell: mingru, init: orthogonal}", "4:27", "needs a recurrent matrix"),
    ("fixed: {device: mps, dtype: float64}", "4:26", "no float64"),
    ("fixed: {batch_size: 4, data: fixed, epoch_sequences: 6}", "4:41", "multiple of batch_size"),
    ("fixed: {max_updates: 10}", "4:13", "leaves no room", "at least 60"),
    ("fixed: {optimizer_settings: {beta: 1}}", "4:13", "no setting 'beta'", "mean 'betas'"),
    ("fixed: {optimizer_settings: {betas: [0.9]}}", "4:13", "form of its default [0.9, 0.999]"),
    ("fixed: {optimizer_settings: {betas: [2, 2]}}", "4:13", "torch.optim refuses"),
    ("fixed: {engine: fused, optimizer: NAdam}", "4:13", "'fused' has no torch.optim.NAdam"),
]

# Each letter stands for ten of the one before: ten million values in all.
LAUGHS = "a: &a [1]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in pairwise("abcdefgh")
)
MANY = "{lr: {linear_range: [1, 2, 10000]}, seed: {range: [0, 9999]}}"

# A whole file, where it is wrong, and the message.
FILES = [
    ("", "grid.yaml", "a grid file must be a mapping of keys to values, not nothing"),
    ("blocks: {a: {}}", "grid.yaml", "the key 'name' is missing"),
    ("name: a", "grid.yaml", "the key 'blocks' is missing"),
    ("name: a\nblocks: {}", "grid.yaml:2:9", "'blocks' must contain at least one block"),
    ("name: a\nblock: {}\nblocks: {a: {}}", "grid.yaml:2:1", "did you mean 'blocks'?"),
    ("name: ../a\nblocks: {a: {}}", "grid.yaml:1:7", "cannot be the name of a file or folder"),
    (
        "name: 123\nblocks: {a: {}}",
        "grid.yaml:1:7",
        "'name' must be text, not 123; put it in quotes",
    ),
    ("name: [a]\nblocks: {a: {}}", "grid.yaml:1:7", "'name' must be text, not a list"),
    ("name: a\ndefaults: {lenght: 3}\nblocks: {a: {}}", "grid.yaml:2:12", "mean 'length'"),
    ("name: a\nblocks:\n  grid: {}", "grid.yaml:3:3", "cannot be the name of a block"),
    ("name: a\nblocks:\n  a.b: {}", "grid.yaml:3:3", "cannot be the name of a block"),
    ("name: a\nblocks:\n  1: {}", "grid.yaml:3:3", "a key must be text; put it in quotes"),
    ("name: a\nblocks:\n\ta: {}", "grid.yaml:3:1", "YAML: while scanning"),
    ("name: &a [*a]", "grid.yaml", "nested too deeply, or a value contains itself"),
    ("name: a" + " " * 200_000, "grid.yaml", "at most 200,000 are read"),
    (LAUGHS, "grid.yaml", "more than 100,000 values, counting repeats by aliases"),
    (
        f"name: a\nblocks:\n  b: {{vary: {MANY}}}",
        "grid.yaml:3:3",
        "block 'b' has 99,990,000 runs and the grid has 99,990,000; at most 20,000,000 are allowed",
    ),
]

OVERRIDES = [
    ("grid.lr", "must be KEY=VALUE, such as grid.hidden_size=[4,8]"),
    ("name.x=1", "must be KEY=VALUE"),
    ("grid.lrr=1", "unknown key 'lrr' (did you mean 'lr'?)"),
    ("gird.lr=1", "unknown scope 'gird' (did you mean 'grid'?)"),
    ("grid.noise=loud", "noise = 'loud' should be a valid number"),
    ("grid.lr=[1", "YAML: while parsing a flow sequence"),
    ("only.cell=gru", "'cell' varies with others in block 'only'; set all of 'cell, lr' at once"),
    ("name=../up", "name '../up' cannot be the name of a file or folder: use up to 100 letters"),
]

GOOD = HEAD + "vary:\n      cell, lr: [[gru, 0.1]]\n"


def problems(text: str, *overrides: str) -> list[str]:
    """What is wrong with a grid file, in the present folder."""
    Path("grid.yaml").write_text(text)
    with pytest.raises(BadInput) as caught:
        expand(read_grid("grid.yaml", overrides))
    return [str(problem) for problem in caught.value.problems]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("text", "place", "parts"), [(t, p, m) for t, p, *m in IN_A_BLOCK])
def test_bad_block(text, place, parts):
    (said,) = problems(HEAD + text + "\n")
    assert said.startswith(f"grid.yaml:{place}: ")
    assert [part for part in parts if part not in said] == [], said


@pytest.mark.parametrize("number", ["1" + "0" * 400, "1" + "0" * 5000, ".inf", "-.inf", ".nan"])
def test_a_number_that_is_no_finite_float_has_one_short_line(number):
    for text in (
        *(f"fixed: {{{key}: {number}}}" for key in SETTING_NAMES),
        *(f"vary: {{{key}: [{number}]}}" for key in SETTING_NAMES),
        *(f"vary: {{lr: {{{kind}: [1, {number}, 3]}}}}" for kind in RANGES),
        *(f"vary: {{lr: {{{kind}: [1, 2, {number}]}}}}" for kind in RANGES),
        f"fixed: {{optimizer_settings: {{eps: {number}}}}}",
        f"fixed: {{optimizer_settings: {{betas: [0.9, {number}]}}}}",
    ):
        (said,) = problems(HEAD + text + "\n")
        assert said.startswith("grid.yaml:4:")
        assert len(said) < 300, said


@pytest.mark.parametrize(("text", "place", "message"), FILES, ids=[m for *_, m in FILES])
def test_bad_file(text, place, message):
    (said,) = problems(text)
    assert said.startswith(f"{place}: ")
    assert message in said


def test_settings_that_do_not_go_together_are_named_once_with_their_blocks():
    blocks = "{b: {}, c: {}, d: {vary: {cell: [gru, lstm]}}, e: {fixed: {max_updates: 60}}}"
    (said,) = problems(f"name: bad\ndefaults: {{max_updates: 10}}\nblocks: {blocks}\n")
    assert said.startswith("grid.yaml:2:12: max_updates: 10 leaves no room")
    assert said.endswith("(blocks 'b', 'c', 'd')")


@pytest.mark.parametrize(("override", "message"), OVERRIDES)
def test_bad_override(override, message):
    (said,) = problems(GOOD, override)
    assert said.startswith(f"--set {override}: ")
    assert message in said


def refused(capsys, *arguments: str) -> str:
    """What the command says, which must exit with 2 and leave the disk as it was."""
    before = {path: path.lstat().st_mtime_ns for path in Path().rglob("*")}
    assert main(["grid", *arguments]) == 2
    assert {path: path.lstat().st_mtime_ns for path in Path().rglob("*")} == before
    out, err = capsys.readouterr()
    assert out == ""
    assert all(line.startswith("error: ") for line in err.splitlines())
    return err


def test_every_problem_has_a_line(capsys):
    text = "fixed: {lr_rate: 1, cell: lst}\n    vary: {seed: []}\n"
    Path("grid.yaml").write_text(HEAD + text)
    said = refused(capsys, "grid.yaml").splitlines()
    assert [line.split(": ")[1] for line in said] == [
        f"grid.yaml:{p}" for p in ("4:13", "4:31", "5:18")
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.yaml"], "none.yaml: cannot be read: No such file"),
        (["."], "cannot be read"),
        (["binary.yaml"], "binary.yaml: cannot be read: 'utf-8' codec"),
        (["grid.yaml", "--only", "onyl"], "unknown block 'onyl' (did you mean 'only'?)"),
        (["grid.yaml", "--set", "grid.lrr=1"], "--set grid.lrr=1: unknown key 'lrr'"),
        (["grid.yaml", "--out", "taken"], "is a file"),
        (["grid.yaml", "--out", "taken", "--dry-run"], "is a file"),
        (["grid.yaml", "--jobs", "0"], "--jobs"),
        (["grid.yaml", "--jobs", "two"], "--jobs"),
        (["grid.yaml", "--job", "2"], "--job"),
    ],
)
def test_bad_option(capsys, arguments, message):
    Path("grid.yaml").write_text(GOOD)
    Path("binary.yaml").write_bytes(b"\xff\xfe\x00")
    Path("taken").write_text("not a folder")
    assert message in refused(capsys, *arguments)
