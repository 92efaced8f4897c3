"""The store: whole parts or none, damage that costs its own runs only, the last row of each run."""

import errno
import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drawn import whole
from filelock import Timeout

import study
from study.errors import BadInput
from study.grid import parts as parts_module
from study.grid import store as store_module
from study.grid.files import atomic_write
from study.grid.joined import KEPT_LEVEL
from study.grid.store import Store, StoreWarning, condition, load, read_rows, run_of, weights_in
from study.grid.train import row_of
from study.runs import schema
from study.runs.schema import SCHEMA
from study.runs.settings import SCHEMA_VERSION, Run, weights_of

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def row(seed: int, minute: int = 0, **results) -> dict:
    filled = row_of(Run(seed=seed), {"status": "unsolved"} | results, 1, "test")
    return whole(filled, number=0.5) | {"finished_at": NOON + timedelta(minutes=minute)}


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path / "results").open()
    yield opened
    opened.close()


def parts(store: Store) -> list:
    return sorted(store.folder.glob("rows-*"))


def reopened(store: Store) -> tuple[Store, list[str]]:
    """The store opened again, and what it said."""
    store.close()
    said: list[str] = []
    opened = Store(store.folder, said.append).open()
    opened.close()
    return opened, said


def test_rows_come_back(store):
    store.append([row(0, accuracy=0.5, curve_exact=[0.0, 1.0])])
    (back,) = store.read().to_pylist()
    assert (back["run_id"], back["accuracy"], back["curve_exact"]) == (
        Run().run_id,
        0.5,
        [0.0, 1.0],
    )
    assert back["converged_update"] is None


def test_the_row_finished_last_counts(store):
    store.append([row(0, minute=5, accuracy=0.9)])
    store.append([row(0, minute=3, accuracy=0.1), row(1)])
    assert store.read(["accuracy", "seed"]).sort_by("seed").to_pydict() == {
        "accuracy": [0.9, 0.5],
        "seed": [0, 1],
    }


def test_one_part_may_have_a_run_twice_and_one_of_them_counts(store):
    store.append([row(0), row(0, minute=1, loss=0.25), row(1)])
    assert store.read(["seed", "loss"]).sort_by("seed").to_pylist() == [
        {"seed": 0, "loss": 0.25},
        {"seed": 1, "loss": 0.5},
    ]


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


@pytest.mark.parametrize("held", [0, 1500, 2**28])
def test_rows_at_hand_and_rows_read_again_make_the_same_part(store, monkeypatch, held):
    """Whether all, some or none of them are kept in memory until they become one part."""
    for seed in range(5):
        store.append([row(seed)])
    expected = store.read().sort_by("run_id")
    content = parts_module.parquet(expected, KEPT_LEVEL)
    for part in parts(store):
        part.unlink()
    monkeypatch.setattr(store_module, "MOST_HELD", held)
    again = Store(store.folder)
    again._rows = {}
    for seed in range(5):
        again.append([row(seed)])
    assert {0: 0, 1500: 2, 2**28: 5}[held] == len(again._held)
    again.compact()
    assert [part.read_bytes() for part in parts(store)] == [content]
    assert again._held == {}


@pytest.mark.parametrize("stretch", [1, 5, 40])
def test_rows_are_sorted_whether_they_come_in_stretches_or_mixed(store, stretch):
    ids = sorted(Run(seed=seed).run_id for seed in range(120))
    rows = {made["run_id"]: made for made in map(row, range(120))}
    starts = list(range(0, 120, stretch))
    for start in starts[1::2] + starts[::2]:
        store.append([rows[run_id] for run_id in ids[start : start + stretch]])
    before = store.read().sort_by("run_id")
    store.compact()
    assert pq.read_table(parts(store)[0])["run_id"].to_pylist() == ids
    assert store.read().equals(before)


@pytest.mark.parametrize(
    ("stored", "late", "packed"),
    [
        (range(20), range(20, 25), 20),
        ([0, 1, 2, 5], [3, 4, 6], 3),  # up to the first that lacks
        ([1, 2], [0, 3], 0),
    ],
)
def test_a_part_that_is_begun_ahead_is_the_same_in_the_end(store, stored, late, packed):
    ids = sorted(Run(seed=seed).run_id for seed in range(30))
    rows = {made["run_id"]: made for made in map(row, range(30))}
    for places in (stored, late):
        for place in places:
            store.append([rows[ids[place]]])
        if places is stored:
            store.pack_ahead([ids[place] for place in sorted([*stored, *late])])
    assert len(store._ahead.result()) == packed
    before = store.read().sort_by("run_id")
    assert store.compact(len) == len(before)
    (part,) = parts(store)
    assert store.read().equals(before)
    assert pq.read_table(part)["run_id"].to_pylist() == before["run_id"].to_pylist()
    assert pq.ParquetFile(part).num_row_groups == (2 if packed else 1), (
        "begun ahead, or all at once"
    )


def test_what_was_packed_ahead_is_packed_anew_if_a_run_was_trained_again(store):
    ids = sorted(Run(seed=seed).run_id for seed in range(3))
    rows = {made["run_id"]: made for made in map(row, range(3))}
    store.append([rows[ids[0]], rows[ids[1]]])
    store.pack_ahead(ids)
    assert len(store._ahead.result()) == 2
    store.append(
        [rows[ids[2]], rows[ids[1]] | {"finished_at": NOON + timedelta(hours=1), "loss": 0.125}]
    )
    store.compact()
    assert store.read().sort_by("run_id")["loss"].to_pylist() == [0.5, 0.125, 0.5]


def test_what_was_packed_ahead_is_packed_anew_if_its_part_was_damaged(store):
    ids = sorted(Run(seed=seed).run_id for seed in range(4))
    rows = {made["run_id"]: made for made in map(row, range(4))}
    store.append([rows[ids[0]]])
    (spoilt,) = parts(store)
    store.append([rows[ids[1]]])
    store.pack_ahead(ids)
    assert len(store._ahead.result()) == 2
    spoilt.write_bytes(spoilt.read_bytes()[:-1])
    store.append([rows[ids[2]], rows[ids[3]]])
    store.compact()
    assert store.read()["run_id"].to_pylist() == ids[1:]
    assert spoilt.with_suffix(".damaged").exists()


def test_a_part_at_hand_that_is_damaged_on_the_disk_is_set_aside(store):
    for seed in range(3):
        store.append([row(seed)])
    spoilt = parts(store)[0]
    lost = pq.read_table(spoilt, columns=["seed"])["seed"].to_pylist()
    spoilt.write_bytes(spoilt.read_bytes()[:-1])
    store.compact()
    assert sorted(store.read(["seed"])["seed"].to_pylist() + lost) == [0, 1, 2]
    assert spoilt.with_suffix(".damaged").exists()


def test_what_is_made_of_the_rows_while_they_are_written_is_given_back(store):
    for seed in range(3):
        store.append([row(seed)])
    assert (
        store.compact(lambda rows: rows["seed"].to_pylist())
        == store.read(["seed"])["seed"].to_pylist()
    )
    assert store.compact(len) is None, "there is one part already"


def test_a_crash_between_compacting_and_clearing_loses_nothing(store, monkeypatch):
    for seed in range(3):
        store.append([row(seed)])
    before = store.read().sort_by("run_id")

    def crash(*_, **__):
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
    again, said = reopened(store)
    assert len(said) == 1
    assert f"{victim.name} was damaged" in said[0]
    assert again.read()["seed"].to_pylist() == [0]
    assert victim.with_suffix(".damaged").exists()
    again.close()
    assert reopened(store)[1] == [], "damage is reported once"


def test_a_deleted_part_is_reported_with_its_runs(store):
    store.append([row(0)])
    store.append([row(1), row(2)])
    store.write_plan({"a": [Run(seed=seed).run_id for seed in range(3)]})
    victim = next(part for part in parts(store) if len(pq.read_table(part)) == 2)
    victim.unlink()
    with pytest.warns(StoreWarning) as warned:
        assert load(store.folder)["seed"].tolist() == [0]
    assert any(f"{victim.name} is missing" in str(one.message) for one in warned)
    assert str(condition(store.folder)).endswith("missing: a 2; 1 missing part")
    _, said = reopened(store)
    assert len(said) == 1
    assert f"{victim.name} is missing, with 2 runs" in said[0]
    assert reopened(store)[1] == [], "what is missing is reported once"


@pytest.mark.parametrize(
    "content", [None, b"", b"[1, 2]", b'{"rows-1.parquet": "two"}', b"[" * 100_000]
)
def test_the_list_of_parts_is_made_anew_where_it_is_gone_or_damaged(store, content):
    store.append([row(0)])
    store.write_plan({"a": [Run().run_id]})
    index = store.folder / "parts.json"
    before = index.read_bytes()
    index.unlink() if content is None else index.write_bytes(content)
    assert load(store.folder)["seed"].tolist() == [0]
    _, said = reopened(store)
    assert len(said) == 1
    assert "made anew from the 1 parts there" in said[0]
    assert index.read_bytes() == before


def test_a_plan_that_is_gone_is_reported(store):
    store.append([row(0)])
    _, said = reopened(store)
    assert said == [f"{store.folder}/plan.parquet is missing or damaged: made anew"]


@pytest.mark.parametrize("when", ["written", "listed"])
def test_a_crash_while_a_part_is_stored_is_no_damage(store, monkeypatch, when):
    """A part that is there and not listed counts; the index is never ahead of the parts."""
    store.write_plan({"a": [Run(seed=seed).run_id for seed in range(2)]})
    store.append([row(0)])

    def crash(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(
        parts_module, {"written": "write_index", "listed": "write_part"}[when], crash
    )
    with pytest.raises(KeyboardInterrupt):
        store.append([row(1)])
    monkeypatch.undo()
    again, said = reopened(store)
    assert said == []
    assert sorted(again.read()["seed"].to_pylist()) == ([0, 1] if when == "written" else [0])
    assert json.loads((store.folder / "parts.json").read_text()) == dict.fromkeys(
        [p.name for p in parts(store)], 1
    )


def test_a_part_that_is_damaged_before_compacting_is_set_aside_and_reported(store):
    """It was once dropped without a word."""
    said: list[str] = []
    store._say = said.append
    for seed in range(3):
        store.append([row(seed)])
    victim = parts(store)[0]
    lost = pq.read_table(victim, columns=["seed"])["seed"].to_pylist()
    victim.write_bytes(victim.read_bytes()[:-9])
    store.compact()
    assert len(said) == 1
    assert f"{victim.name} was damaged" in said[0]
    assert victim.with_suffix(".damaged").exists()
    assert sorted(store.read()["seed"].to_pylist() + lost) == [0, 1, 2]


@pytest.mark.parametrize("sound", [0, 1, 3])
def test_rows_that_are_no_results_are_found_when_parts_are_joined(store, sound):
    """Parts that this process wrote are not looked through one by one, unless something is wrong with them."""
    for seed in range(sound):
        store.append([row(seed)])
    store.append([row(3, accuracy=2.0)])
    store.compact()
    assert sorted(read_rows(store.folder)["seed"].to_pylist()) == list(range(sound))
    assert len(list(store.folder.glob("*.damaged"))) == 1


def test_a_reader_that_meets_a_compaction_looks_again(store, monkeypatch):
    """Between the list of files and their reading, many parts become one."""
    for seed in range(3):
        store.append([row(seed)])
    find, calls = parts_module.part_files, []

    def then_compacted(folder):
        found = find(folder)
        calls.append(len(found))
        if len(calls) == 1:
            monkeypatch.setattr(parts_module, "part_files", find)
            store.compact()
            monkeypatch.setattr(parts_module, "part_files", then_compacted)
        return found

    monkeypatch.setattr(parts_module, "part_files", then_compacted)
    tables, faults = parts_module.read_parts(store.folder, ["seed", "run_id"], SCHEMA)
    assert calls == [3, 1]
    assert sorted(pa.concat_tables(tables)["seed"].to_pylist()) == [0, 1, 2]
    assert not faults


def crafted(folder: Path, content: bytes) -> Path:
    """A part whose name fits whatever its content is."""
    path = folder / f"rows-{sha256(content).hexdigest()[:16]}.parquet"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: b"no Parquet at all", "it is no Parquet"),
        (
            lambda: parts_module.parquet(pa.table({"run_id": [1]}, SCHEMA_OF_NUMBERS)),
            "its columns are not those",
        ),
        (
            lambda: parts_module.parquet(
                pa.table({"a": ["x"]}).replace_schema_metadata(SCHEMA.metadata)
            ),
            "its columns",
        ),
    ],
)
def test_a_part_that_was_made_up_is_set_aside(store, make, why):
    store.append([row(0)])
    store.write_plan({"a": [Run().run_id]})
    made_up = crafted(store.folder, make())
    with pytest.warns(StoreWarning, match=f"{made_up.name} is damaged"):
        assert load(store.folder)["seed"].tolist() == [0]
    (line,) = reopened(store)[1]
    assert why in line


SCHEMA_OF_NUMBERS = pa.schema([("run_id", pa.int64())], metadata=SCHEMA.metadata)


def test_the_refusal_of_a_second_grid_names_the_first(store):
    with pytest.raises(
        BadInput, match=rf"process {os.getpid()} on {socket.gethostname()}, since 2\d\d\d-.* UTC"
    ):
        Store(store.folder).open()


def test_a_lock_that_a_killed_grid_left_is_taken_over_and_said(tmp_path):
    code = "import os, sys; from study.store import Store; Store(sys.argv[1]).open(); os.kill(os.getpid(), 9)"
    killed = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    killed.wait(timeout=60)
    said: list[str] = []
    Store(tmp_path, said.append).open().close()
    (line,) = said
    assert f"the grid before (process {killed.pid} on {socket.gethostname()}" in line
    assert "was killed; going on" in line
    Store(tmp_path, said.append).open().close()
    assert said == [line], "a lock that was let go is no news"


def test_where_locks_are_files_a_dead_holder_is_named(tmp_path, monkeypatch):
    """Some shared file systems have no locks; there the lock file stays when its grid is killed."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()

    def held(self, **_):
        raise Timeout(str(self.lock_file))

    monkeypatch.setattr("study.grid.lock.FileLock.acquire", held)
    holder = {"process": dead.pid, "host": socket.gethostname(), "since": "2026-01-01 12:00:00"}
    (tmp_path / ".holder").write_text(json.dumps(holder))
    with pytest.raises(
        BadInput, match=rf"runs no more \(process {dead.pid} .*delete .*/\.lock and repeat"
    ):
        Store(tmp_path).open()
    (tmp_path / ".holder").write_text(json.dumps(holder | {"host": "elsewhere"}))
    with pytest.raises(
        BadInput, match=rf"another grid is writing here \(process {dead.pid} on elsewhere"
    ):
        Store(tmp_path).open()


@pytest.mark.parametrize(
    "holder", [b"", b"[]", b'{"process": 1}', b'{"process": "1", "host": 2, "since": []}', b"\xff"]
)
def test_a_note_of_the_holder_that_cannot_be_read_is_no_obstacle(tmp_path, holder):
    (tmp_path / ".holder").write_bytes(holder)
    first = Store(tmp_path).open()
    (tmp_path / ".holder").write_bytes(holder)
    with pytest.raises(BadInput, match="another grid is writing here; wait"):
        Store(tmp_path).open()
    first.close()


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
    monkeypatch.setattr(schema, "SCHEMA", SCHEMA.with_metadata({"study.schema": "0"}))
    store.append([row(0)])
    monkeypatch.undo()
    with pytest.raises(BadInput, match=f"schema version 0, this code reads {SCHEMA_VERSION}"):
        read_rows(store.folder)


def test_a_column_that_older_results_lack_is_empty(store):
    table = pa.Table.from_pylist([row(0)], schema=SCHEMA).drop_columns(["clip_norm"])
    store.append_table(table)
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


@pytest.mark.parametrize(
    "damage", [lambda plan: plan.unlink(), lambda plan: plan.write_bytes(b"PAR1 and no more")]
)
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
    store.write_plan(
        {
            "a": [Run(seed=seed).run_id for seed in (0, 1)],
            "b": [Run(seed=seed).run_id for seed in (2, 3)],
        }
    )
    victim = next(part for part in parts(store) if len(pq.read_table(part)) == 1)
    victim.write_bytes(b"")
    found = condition(store.folder)
    assert (found.planned, found.stored, found.missing, found.unplanned) == (
        4,
        {"unsolved": 2, "failed": 1},
        {"b": 1},
        1,
    )
    assert list(found.faults.damaged) == [victim.name]
    assert (
        str(found)
        == "3 of 4 planned runs are stored (1 failed); missing: b 1; 1 damaged part, left out"
    )


def test_condition_without_a_plan(store):
    store.append([row(0)])
    assert str(condition(store.folder)) == "1 runs are stored, of no plan"


@pytest.mark.parametrize("read", [load, condition])
def test_every_reader_refuses_another_schema_version_by_name(store, monkeypatch, read):
    store.append([row(0)])
    monkeypatch.setattr(schema, "SCHEMA", SCHEMA.with_metadata({"study.schema": "0"}))
    store.append([row(1)])
    monkeypatch.undo()
    with pytest.raises(
        BadInput,
        match=rf"rows-\w+.parquet: has results of schema version 0, this code reads {SCHEMA_VERSION}",
    ):
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
    store.append([whole(row_of(run, {"status": "unsolved"}, 1, "test"))])
    store.write_plan({"a": [run.run_id]})
    (_, back), *_ = load(store.folder).iterrows()
    assert run_of(back) == run
    assert run_of(back).run_id == run.run_id


def test_weights_come_back_by_name(store):
    run = Run(cell="gru", layers=2, start="learned")
    flat = np.concatenate([array.ravel() for array in weights_of(run).values()])
    store.append(
        [whole(row_of(run, {"status": "solved", "weights": flat.tolist()}, 1, "test")), row(0)]
    )
    store.write_plan({"a": [run.run_id, Run().run_id]})
    frame = load(store.folder, weights=True).set_index("run_id")
    back = weights_in(frame.loc[run.run_id])
    assert all(np.array_equal(back[name], array) for name, array in weights_of(run).items())
    assert weights_in(frame.loc[Run().run_id]) is None
