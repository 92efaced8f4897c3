"""The store: whole parts or none, damage that costs its own runs only, the last row of each run."""

import errno
import os
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import study
from study import store as store_module
from study.errors import BadInput
from study.runs import Run, weights_of
from study.store import SCHEMA, Store, StoreWarning, atomic_write, condition, load, read_rows, run_of, weights_in
from study.train import row_of

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def row(seed: int, minute: int = 0, **results) -> dict:
    filled = row_of(Run(seed=seed), {"status": "unsolved"} | results, 1, "test")
    return filled | {"finished_at": NOON + timedelta(minutes=minute)}


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path / "results").open()
    yield opened
    opened.close()


def parts(store: Store) -> list:
    return sorted(store.folder.glob("rows-*"))


def test_rows_come_back(store):
    store.append([row(0, accuracy=0.5, curve_exact=[0.0, 1.0])])
    (back,) = store.read().to_pylist()
    assert (back["run_id"], back["accuracy"], back["curve_exact"]) == (Run().run_id, 0.5, [0.0, 1.0])
    assert back["converged_update"] is None


def test_the_row_finished_last_counts(store):
    store.append([row(0, minute=5, accuracy=0.9)])
    store.append([row(0, minute=3, accuracy=0.1), row(1)])
    assert store.read(["accuracy", "seed"]).sort_by("seed").to_pydict() == {"accuracy": [0.9, None], "seed": [0, 1]}


def test_compacting_keeps_every_row_in_one_part(store):
    for seed in range(5):
        store.append([row(seed)])
    before = store.read().sort_by("run_id")
    assert len(parts(store)) == 5
    store.compact()
    assert len(parts(store)) == 1
    assert store.read().equals(before)
    store.compact()
    assert store.read().equals(before)


def test_a_crash_between_compacting_and_clearing_loses_nothing(store, monkeypatch):
    for seed in range(3):
        store.append([row(seed)])
    before = store.read().sort_by("run_id")

    def crash(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(store.folder), "unlink", crash)
    with pytest.raises(KeyboardInterrupt):
        store.compact()
    monkeypatch.undo()
    assert store.read().sort_by("run_id").equals(before)


@pytest.mark.parametrize("damage", ["cut short", "one bit", "empty"])
def test_damage_costs_its_own_runs_only_and_is_reported(store, damage):
    store.append([row(0)])
    store.append([row(1), row(2)])
    store.write_plan({"a": [Run().run_id]})
    victim = next(part for part in parts(store) if len(pq.read_table(part)) == 2)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes({"cut short": content[:-9], "one bit": content, "empty": b""}[damage])
    store.close()

    with pytest.warns(StoreWarning, match=f"{victim.name} is damaged"):
        assert load(store.folder)["seed"].tolist() == [0]
    again = Store(store.folder).open()
    assert again.damaged == [victim.name]
    assert again.read()["seed"].to_pylist() == [0]
    assert victim.with_suffix(".damaged").exists()
    again.close()


def test_two_grids_on_one_folder(store):
    with pytest.raises(BadInput, match="another grid is writing here"):
        Store(store.folder).open()
    store.close()
    Store(store.folder).open().close()


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_what_was_there(store, monkeypatch, call):
    store.append([row(0)])
    before = parts(store)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    if call == "write":
        monkeypatch.setattr("builtins.open", full)
    else:
        monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left"):
        store.append([row(1)])
    monkeypatch.undo()
    assert list(store.folder.glob(".*.tmp")) == []
    assert parts(store) == before
    assert store.read()["seed"].to_pylist() == [0]


def test_leftovers_of_a_crash_are_cleared(store):
    leftover = store.folder / ".rows-1.parquet.abc.tmp"
    leftover.write_bytes(b"half")
    store.close()
    Store(store.folder).open().close()
    assert not leftover.exists()


def test_atomic_write_replaces_whole(tmp_path):
    atomic_write(tmp_path / "a", b"one")
    atomic_write(tmp_path / "a", b"two")
    assert (tmp_path / "a").read_bytes() == b"two"


def test_results_of_another_schema_version_are_refused(store, monkeypatch):
    monkeypatch.setattr(store_module, "SCHEMA", SCHEMA.with_metadata({"study.schema": "0"}))
    store.append([row(0)])
    monkeypatch.undo()
    with pytest.raises(BadInput, match="schema version 0, this code reads 1"):
        read_rows(store.folder)


def test_a_column_that_older_results_lack_is_empty(store):
    table = pa.Table.from_pylist([row(0)], schema=SCHEMA).drop_columns(["clip_norm"])
    store._write(table)
    assert store.read(["clip_norm"]).to_pydict() == {"clip_norm": [None]}


def test_load_is_a_frame_with_a_row_a_run_and_its_blocks(store):
    store.append([row(seed) for seed in range(3)])
    ids = [Run(seed=seed).run_id for seed in range(3)]
    store.write_plan({"a": ids[:2], "b": [ids[1]]})
    frame = study.load(store.folder)
    assert dict(zip(frame["seed"], frame["blocks"], strict=True)) == {0: ("a",), 1: ("a", "b")}
    assert len(study.load(store.folder, unplanned=True)) == 3
    assert "curve_exact" in frame
    assert "curve_exact" not in study.load(store.folder, curves=False)


def test_load_says_what_is_missing(store):
    store.append([row(0)])
    store.write_plan({"a": [Run(seed=seed).run_id for seed in range(3)]})
    with pytest.warns(StoreWarning, match="2 of 3 planned runs are not stored"):
        load(store.folder)


@pytest.mark.parametrize("damage", [lambda plan: plan.unlink(), lambda plan: plan.write_bytes(b"PAR1 and no more")])
def test_without_its_plan_a_folder_still_has_its_rows(store, damage):
    store.append([row(0)])
    store.write_plan({"a": [Run().run_id]})
    damage(store.folder / "plan.parquet")
    with pytest.warns(StoreWarning, match="plan.parquet is missing or damaged"):
        frame = load(store.folder)
    assert frame["blocks"].tolist() == [()]


def test_weights_that_are_not_finite_are_weights(store):
    size = sum(array.size for array in weights_of(Run()).values())
    store.append([row(0, weights=[float("nan")] * size)])
    store.write_plan({"a": [Run().run_id]})
    back = weights_in(load(store.folder, weights=True).iloc[0])
    assert np.isnan(back["readout.bias"]).all()


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir()])
def test_load_of_no_results(tmp_path, make):
    make(tmp_path / "none")
    with pytest.raises(BadInput, match="holds no results"):
        load(tmp_path / "none")


def test_load_of_a_misspelt_folder_names_the_nearest_and_of_a_file_says_so(store, tmp_path):
    store.append([row(0)])
    with pytest.raises(BadInput, match=r"reslts: holds no results \(did you mean 'results'\?\)"):
        load(tmp_path / "reslts")
    (part,) = parts(store)
    with pytest.raises(BadInput, match="is a file"):
        load(part)


def test_condition_by_hand(store):
    """Of 4 planned runs 3 are stored, one of them failed; one that is stored is not planned; one part is damaged."""
    store.append([row(0), row(1, status="failed"), row(2), row(9)])
    store.append([row(5)])
    store.write_plan({"a": [Run(seed=seed).run_id for seed in (0, 1)], "b": [Run(seed=seed).run_id for seed in (2, 3)]})
    victim = next(part for part in parts(store) if len(pq.read_table(part)) == 1)
    victim.write_bytes(b"")
    found = condition(store.folder)
    assert (found.planned, found.stored, found.missing, found.unplanned) == (
        4,
        {"unsolved": 2, "failed": 1},
        {"b": 1},
        1,
    )
    assert found.damaged == (victim.name,)
    assert str(found) == "3 of 4 planned runs are stored (1 failed); missing: b 1; 1 damaged part, left out"


def test_condition_without_a_plan(store):
    store.append([row(0)])
    assert str(condition(store.folder)) == "1 runs are stored, of no plan"


@pytest.mark.parametrize("read", [load, condition])
def test_every_reader_refuses_another_schema_version_by_name(store, monkeypatch, read):
    store.append([row(0)])
    monkeypatch.setattr(store_module, "SCHEMA", SCHEMA.with_metadata({"study.schema": "0"}))
    store.append([row(1)])
    monkeypatch.undo()
    with pytest.raises(BadInput, match=r"rows-\w+.parquet: has results of schema version 0, this code reads 1"):
        read(store.folder)


@pytest.mark.parametrize(
    "run",
    [
        Run(),
        Run(optimizer="nesterov", momentum=0.5),
        Run(task="parity", clip_norm=1.0, cut_every=3),
        Run(optimizer="adam", optimizer_settings={"eps": 1e-4}),
        Run(optimizer="NAdam"),
        Run(data="fixed", epoch_sequences=16, update_per="epoch", init="forget_bias"),
    ],
    ids=lambda run: run.run_id,
)
def test_a_row_gives_back_its_run(store, run):
    store.append([row_of(run, {"status": "unsolved"}, 1, "test")])
    store.write_plan({"a": [run.run_id]})
    (_, back), *_ = load(store.folder).iterrows()
    assert run_of(back) == run
    assert run_of(back).run_id == run.run_id


def test_weights_come_back_by_name(store):
    run = Run(cell="gru", layers=2, start="learned")
    flat = np.concatenate([array.ravel() for array in weights_of(run).values()])
    store.append([row_of(run, {"status": "solved", "weights": flat.tolist()}, 1, "test"), row(0)])
    store.write_plan({"a": [run.run_id, Run().run_id]})
    frame = load(store.folder, weights=True).set_index("run_id")
    back = weights_in(frame.loc[run.run_id])
    assert all(np.array_equal(back[name], array) for name, array in weights_of(run).items())
    assert weights_in(frame.loc[Run().run_id]) is None
