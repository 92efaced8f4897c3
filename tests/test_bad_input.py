"""Bad input of every kind: file, line, key, what is allowed; exit code 2; nothing written."""

import os
from pathlib import Path

import pytest

from study.__main__ import main as command
from study.grid.store import Store

HEAD = "name: bad\nblocks:\n  only:\n"  # three lines; what follows begins at line 4

# (what follows the head, where it is wrong, what the message must say)
IN_A_BLOCK = {
    "misspelt key": (
        "    fixed: {lr_rate: 0.1}",
        "4:13",
        ["unknown key 'lr_rate'", "did you mean", "allowed: task,"],
    ),
    "misspelt key of a block": (
        "    fxed: {lr: 0.1}",
        "4:5",
        ["'fxed'", "did you mean 'fixed'", "vary"],
    ),
    "unknown cell": (
        "    fixed: {cell: lstn}",
        "4:19",
        ["unknown cell 'lstn'", "did you mean 'lstm'", "gru, rnn_tanh"],
    ),
    "unknown cell in a list": (
        "    vary:\n      cell: [gru, foo]",
        "5:19",
        ["unknown cell 'foo'", "allowed: lstm"],
    ),
    "unknown optimizer": (
        "    fixed: {optimizer: adamm}",
        "4:24",
        ["unknown optimizer", "adam", "rmsprop"],
    ),
    "optimizer that cannot be": ("    fixed: {optimizer: LBFGS}", "4:24", ["closure"]),
    "unknown task": ("    fixed: {task: alternate}", "4:19", ["did you mean 'alternating'"]),
    "unknown device": (
        "    fixed: {device: gpu}",
        "4:21",
        ["unknown device 'gpu'", "cpu, cuda, mps"],
    ),
    "unknown init": ("    fixed: {init: ortho}", "4:19", ["did you mean 'orthogonal'"]),
    "unknown engine": ("    fixed: {engine: jax}", "4:21", ["unknown engine 'jax'", "torch"]),
    "wrong type": (
        "    fixed: {hidden_size: six}",
        "4:26",
        ["hidden_size", "'six'", "valid integer"],
    ),
    "a flag for a number": (
        "    fixed: {hidden_size: true}",
        "4:26",
        ["hidden_size", "valid integer"],
    ),
    "text for a number": ('    fixed: {lr: "0.1"}', "4:17", ["lr", "valid number"]),
    "a number for text": ("    fixed: {pattern: 10}", "4:22", ["pattern", "in quotes"]),
    "a fraction of a unit": ("    fixed: {hidden_size: 2.5}", "4:26", ["hidden_size", "integer"]),
    "below its range": (
        "    fixed: {hidden_size: 0}",
        "4:26",
        ["hidden_size", "greater than or equal to 1"],
    ),
    "negative rate": ("    fixed: {lr: -1}", "4:17", ["lr", "greater than 0"]),
    "infinite rate": ("    fixed: {lr: .inf}", "4:17", ["lr", "finite"]),
    "negative noise": ("    fixed: {noise: -0.1}", "4:20", ["noise", "greater than or equal to 0"]),
    "bad pattern": ('    fixed: {pattern: "102"}', "4:22", ["pattern", "0s and 1s"]),
    "empty axis": ("    vary:\n      seed: []", "5:13", ["'seed' is an empty axis"]),
    "empty range": ("    vary:\n      seed: {range: [3, 3]}", "5:13", ["empty axis"]),
    "scalar in vary": (
        "    vary:\n      seed: 3",
        "5:13",
        ["'seed' must vary over a list", "'fixed'"],
    ),
    "unknown range": (
        "    vary:\n      lr: {lograng: [1, 2, 3]}",
        "5:11",
        ["'lograng'", "did you mean 'log_range'"],
    ),
    "log range to zero": ("    vary:\n      lr: {log_range: [0, 1, 3]}", "5:23", ["above 0"]),
    "log range from next to nothing": (
        "    vary:\n      hidden_size: {log_range: [1e-300, 1e300, 3]}",
        "5:32",
        ["'log_range' wants", "not [1e-300"],
    ),
    "a range without end": (
        "    vary:\n      seed: {range: [0, 1000000000000]}",
        "5:21",
        ["at most 2,000,000 in all"],
    ),
    "ranges too long together": (
        "    vary:\n      seed: {range: [0, 1500000]}\n      length: {range: [2, 1000000]}",
        "6:23",
        ["999,998 values are too many", "2,000,000 in all"],
    ),
    "a linear range of too many": (
        "    vary:\n      lr: {linear_range: [0.1, 1, 1000000]}",
        "5:26",
        ["100,000"],
    ),
    "more runs than can be planned": (
        "    vary:\n      seed: {range: [0, 10000]}\n      lr: {linear_range: [0.1, 1, 10000]}",
        "3:3",
        ["100,000,000 runs", "at most 20,000,000"],
    ),
    "tag": ("    fixed: {lr: !!python/name:os.system }", "4:17", ["has no use here"]),
    "range without an end": ("    vary:\n      seed: {range: [3]}", "5:21", ["[start, end]"]),
    "zipped row too short": (
        "    vary:\n      cell, lr:\n        - [gru]",
        "6:11",
        ["'cell, lr'", "list of 2 values"],
    ),
    "zipped unknown key": ("    vary:\n      cell, l: [[gru, 1]]", "5:7", ["unknown key 'l'"]),
    "set twice": (
        "    fixed: {lr: 0.1}\n    vary: {lr: [0.1, 0.2]}",
        "5:12",
        ["'lr' is set more than once"],
    ),
    "duplicate key": ("    fixed: {lr: 0.1, lr: 0.2}", "4:22", ["YAML syntax", "duplicate key"]),
    "broken YAML": ("    fixed: {lr: 0.1", "5:1", ["YAML syntax"]),
    "block that is a list": ("    [1, 2]", "4:5", ["must be a mapping", "not a list"]),
    "fixed that is text": ("    fixed: lr", "4:12", ["'fixed' must be a mapping"]),
    "keep_weights that is no flag": ("    keep_weights: maybe", "4:19", ["true or false"]),
    "does not apply to the task": (
        "    fixed: {task: parity, noise: 0.5}",
        "4:27",
        ["'noise' does not apply", "parity"],
    ),
    "does not apply to the optimizer": (
        "    fixed: {optimizer: adam, momentum: 0.5}",
        "4:30",
        ["momentum", "nesterov"],
    ),
    "init without its gate": (
        "    fixed: {cell: gru, init: forget_bias}",
        "4:24",
        ["needs a forget gate", "gru"],
    ),
    "impossible together": ("    fixed: {device: mps, dtype: float64}", "4:26", ["no float64"]),
    "batch that does not divide": (
        "    fixed: {data: fixed, batch_size: 4}\n    vary: {epoch_sequences: [8, 6]}",
        "5:12",
        ["6 is no multiple of batch_size 4"],
    ),
    "budget below its evaluations": (
        "    fixed: {max_updates: 10}",
        "4:13",
        ["leaves no room", "at least 60"],
    ),
    "setting the optimizer lacks": (
        "    fixed: {optimizer: adam, optimizer_settings: {beta: 1}}",
        "4:30",
        ["no setting 'beta'", "did you mean 'betas'"],
    ),
    "setting of another length": (
        "    fixed: {optimizer: adam, optimizer_settings: {betas: [0.9]}}",
        "4:30",
        ["'betas'", "like its default [0.9, 0.999]"],
    ),
    "setting of another type": (
        "    fixed: {optimizer: adam, optimizer_settings: {amsgrad: maybe}}",
        "4:30",
        ["'amsgrad'", "like its default False"],
    ),
    "engine that cannot": (
        "    fixed: {engine: fused, optimizer: NAdam}",
        "4:13",
        ["'fused' has no optimizer"],
    ),
    "cell without recurrent matrix": (
        "    fixed: {cell: mingru, init: orthogonal}",
        "4:27",
        ["needs a recurrent matrix", "'mingru'"],
    ),
    "setting the optimizer refuses": (
        "    fixed: {optimizer: adam, optimizer_settings: {betas: [2, 2]}}",
        "4:30",
        ["torch.optim refuses"],
    ),
}

WHOLE_FILES = {
    "empty": ("", "grid.yaml", ["must be a mapping"]),
    "no name": ("blocks: {a: {}}", "grid.yaml", ["'name' is missing"]),
    "no blocks": ("name: a", "grid.yaml", ["'blocks' is missing"]),
    "empty blocks": ("name: a\nblocks: {}", "2:9", ["no block"]),
    "unknown top key": (
        "name: a\nblock: {}\nblocks: {a: {}}",
        "2:1",
        ["unknown key 'block'", "did you mean 'blocks'"],
    ),
    "name that leaves the folder": ("name: ../a\nblocks: {a: {}}", "1:7", ["names a folder"]),
    "misspelt default": (
        "name: a\ndefaults: {lenght: 3}\nblocks: {a: {}}",
        "2:12",
        ["did you mean 'length'"],
    ),
    "reserved block name": (
        "name: a\nblocks:\n  grid: {}",
        "3:3",
        ["cannot be the name of a block"],
    ),
    "block name with a dot": (
        "name: a\nblocks:\n  a.b: {}",
        "3:3",
        ["cannot be the name of a block"],
    ),
    "nameless block": ("name: a\nblocks:\n  '': {}", "3:3", ["cannot be the name of a block"]),
    "name too long": (f"name: {'a' * 300}\nblocks: {{a: {{}}}}", "1:7", ["up to 100 letters"]),
    "too deep": ("name: " + "[" * 3000, "grid.yaml", ["nested too deeply"]),
    "a tab": ("name: a\nblocks:\n\ta: {}", "3:1", ["YAML syntax"]),
}

OPTIONS = {
    "unknown block": (["--only", "onyl"], ["unknown block 'onyl'", "did you mean 'only'"]),
    "override without a value": (["--set", "grid.lr"], ["KEY=VALUE"]),
    "override of an unknown key": (
        ["--set", "grid.lrr=1"],
        ["--set grid.lrr=1", "unknown key 'lrr'", "'lr'"],
    ),
    "override of an unknown scope": (
        ["--set", "gird.lr=1"],
        ["unknown scope 'gird'", "did you mean 'grid'"],
    ),
    "override with a wrong value": (
        ["--set", "grid.noise=loud"],
        ["--set grid.noise=loud", "valid number"],
    ),
    "override that is no YAML": (["--set", "grid.lr=[1"], ["--set grid.lr=[1", "YAML syntax"]),
    "override of a name's part": (["--set", "name.x=1"], ["KEY=VALUE"]),
    "override of a zipped key": (["--set", "only.cell=gru"], ["is zipped", "as a whole"]),
}

GOOD = HEAD + "    vary:\n      cell, lr: [[gru, 0.1]]\n"


def main(arguments: list[str]) -> int:
    """The grid command."""
    return command(["grid", *arguments])


def files_below(folder: Path) -> set[tuple[str, int]]:
    return {(str(path), path.stat().st_mtime_ns) for path in folder.rglob("*")}


def refused(folder: Path, capsys, arguments: list[str]) -> str:
    """What a command says that must exit with 2 and leave the disk as it was."""
    before = files_below(folder)
    assert main(arguments) == 2
    assert files_below(folder) == before
    out, err = capsys.readouterr()
    assert out == ""
    assert all(line.startswith("error: ") for line in err.splitlines())
    return err


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("case", IN_A_BLOCK)
def test_bad_block(case, tmp_path, capsys):
    text, place, messages = IN_A_BLOCK[case]
    (tmp_path / "grid.yaml").write_text(HEAD + text + "\n")
    said = refused(tmp_path, capsys, ["grid.yaml"])
    assert f"grid.yaml:{place}: " in said
    assert all(message in said for message in messages), said


@pytest.mark.parametrize("case", WHOLE_FILES)
def test_bad_file(case, tmp_path, capsys):
    text, place, messages = WHOLE_FILES[case]
    (tmp_path / "grid.yaml").write_text(text)
    said = refused(tmp_path, capsys, ["grid.yaml"])
    assert f"{place}: " in said
    assert all(message in said for message in messages), said


@pytest.mark.parametrize("case", OPTIONS)
def test_bad_option(case, tmp_path, capsys):
    arguments, messages = OPTIONS[case]
    (tmp_path / "grid.yaml").write_text(GOOD)
    said = refused(tmp_path, capsys, ["grid.yaml", *arguments])
    assert all(message in said for message in messages), said


def test_missing_file(tmp_path, capsys):
    assert "experiments/none.yaml: cannot be read: No such file" in refused(
        tmp_path, capsys, ["experiments/none.yaml"]
    )


def test_a_folder_for_a_file(tmp_path, capsys):
    assert "cannot be read" in refused(tmp_path, capsys, [str(tmp_path)])


def test_a_file_that_is_no_text(tmp_path, capsys):
    (tmp_path / "grid.yaml").write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in refused(tmp_path, capsys, ["grid.yaml"])


def test_results_where_a_file_stands(tmp_path, capsys):
    (tmp_path / "grid.yaml").write_text(GOOD)
    (tmp_path / "results").write_text("not a folder")
    assert main(["grid.yaml", "--jobs", "1"]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"grid.yaml", "results"}


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_out_that_is_a_file(tmp_path, capsys, more):
    (tmp_path / "grid.yaml").write_text(GOOD)
    (tmp_path / "taken").write_text("not a folder")
    assert "is a file" in refused(tmp_path, capsys, ["grid.yaml", "--out", "taken", *more])


def test_out_with_a_name_too_long(tmp_path, capsys):
    (tmp_path / "grid.yaml").write_text(GOOD)
    assert "cannot be a folder" in refused(tmp_path, capsys, ["grid.yaml", "--out", "x" * 300])


def test_out_that_holds_another_grid(tmp_path, capsys):
    (tmp_path / "grid.yaml").write_text(GOOD)
    store = Store(tmp_path / "results" / "bad").open()
    store.write_plan({"only": []}, "other")
    store.close()
    assert "holds the results of grid 'other', not of 'bad'" in refused(
        tmp_path, capsys, ["grid.yaml"]
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path, capsys):
    (tmp_path / "grid.yaml").write_text(GOOD)
    (tmp_path / "results").mkdir(mode=0o500)
    assert main(["grid.yaml"]) == 2
    assert "Permission denied" in capsys.readouterr().err


@pytest.mark.parametrize("jobs", ["0", "-1", "two", "1.5"])
def test_bad_number_of_jobs(tmp_path, capsys, jobs):
    (tmp_path / "grid.yaml").write_text(GOOD)
    assert "--jobs" in refused(tmp_path, capsys, ["grid.yaml", "--jobs", jobs])


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--run-seconds", "0"),
        ("--run-seconds", "nan"),
        ("--run-seconds", "soon"),
        ("--worker-memory", "64"),
        ("--worker-memory", "2G"),
    ],
)
def test_bad_limit(tmp_path, capsys, option, value):
    (tmp_path / "grid.yaml").write_text(GOOD)
    assert option in refused(tmp_path, capsys, ["grid.yaml", option, value])
