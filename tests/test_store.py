"""The store: whole parts or none, damage that costs its own runs only, one row per run."""

import errno
import fcntl
import json
import os
import socket
import stat
import subprocess
import sys
import warnings
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drawn import whole

import study
from study.errors import BadInput
from study.grid import store as store_module
from study.grid.store import (
    Missing,
    Results,
    Store,
    StoreWarning,
    load,
    part_files,
    read_plan,
    read_rows,
    run_of,
    weights_in,
)
from study.grid.train import row_of
from study.model import CELLS
from study.runs.results import CURVES, SCHEMA, table_of
from study.runs.settings import SCHEMA_VERSION, Run, weights_of

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
OTHER_VERSION = SCHEMA.with_metadata({"study.schema": "0"})


def row(seed: int, minute: int = 0, **results) -> dict:
    filled = row_of(Run(seed=seed), {"status": "unsolved"} | results, 1, "test")
    return whole(filled, number=0.5) | {"finished_at": NOON + timedelta(minutes=minute)}


def ids(*seeds: int) -> list[str]:
    return [Run(seed=seed).run_id for seed in seeds]


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "results") as opened:
        yield opened


def stored(store: Store, name: str = "seed") -> list:
    """A column of all rows, by seed."""
    return read_rows(store.folder).sort_by("seed")[name].to_pylist()


def reopened(folder) -> list[str]:
    """What a store says when it is opened."""
    said: list[str] = []
    with Store(folder, said.append):
        return said


def checksum(content: bytes) -> str:
    return sha256(content).hexdigest()[:16]


def rename(part, number: str) -> None:
    """Give a part another number, or none, as in folders that older versions wrote."""
    part.rename(part.with_name(f"rows-{number}{part.name.split('-')[-1]}"))


def spoil(part) -> None:
    part.write_bytes(part.read_bytes()[:-9])


# --- rows ---------------------------------------------------------------------------------------


def test_rows_come_back(store):
    store.append([row(0, accuracy=0.5, curve_exact=[0.0, 1.0])])
    store.append([])
    (back,) = read_rows(store.folder).to_pylist()
    assert (back["run_id"], back["accuracy"], back["curve_exact"]) == (*ids(0), 0.5, [0.0, 1.0])
    assert back["converged_update"] is None
    (part,) = part_files(store.folder)
    assert part.name == f"rows-000001-{checksum(part.read_bytes())}.parquet"


def test_compacting_makes_one_sorted_part(store):
    for seed in range(5):
        store.append([row(seed)])
    before = read_rows(store.folder)
    store.compact()
    (part,) = part_files(store.folder)
    assert pq.read_table(part)["run_id"].to_pylist() == sorted(ids(*range(5)))
    assert read_rows(store.folder).equals(before)
    written = part.stat().st_mtime_ns
    store.compact()
    assert part.stat().st_mtime_ns == written, "one sorted part stays as it is"


def test_a_part_copied_from_elsewhere_counts(store, tmp_path):
    store.append([row(0)])
    with Store(tmp_path / "other") as other:
        other.append([row(1)])
    (part,) = part_files(other.folder)
    (store.folder / part.name).write_bytes(part.read_bytes())
    assert stored(store) == [0, 1]


def test_unknown_columns_are_handed_on(store):
    """Another version of the code has settings and results that this one does not know."""
    store.append([row(0) | {"warmup": 5}])
    store.append([row(1)])
    store.append([row(2) | {"warmup": 2.5, "note": "new"}])
    store.write_plan({"a": ids(0, 1, 2)})
    for _ in range(2):
        frame = load(store.folder).set_index("seed").sort_index()
        assert frame["warmup"].tolist()[::2] == [5, 2.5]
        assert frame["note"].isna().tolist() == [True, True, False]
        store.compact()


def test_columns_that_older_parts_lack_are_null(store):
    store.append(table_of([row(0)]).drop_columns(["clip_norm"]))
    store.append([row(1, clip_norm=2.0)])
    assert stored(store, "clip_norm") == [None, 2.0]


def test_files_say_what_their_columns_mean_and_mix_with_older_files_that_do_not(store, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "described", lambda table: table)  # as before
        store.append([row(0) | {"note": "old"}])
    store.append([row(1)])
    store.append([row(0)])  # a second row of a run
    store.write_plan({"a": ids(0, 1)})
    old, new, _ = part_files(store.folder)
    assert b"unit" not in (pq.read_schema(old).field("loss").metadata or {})
    assert pq.read_schema(new).field("loss").metadata[b"unit"] == b"nats per label"
    before = read_rows(store.folder)
    assert load(store.folder)["note"].tolist().count("old") == 1
    store.compact()
    (joined,) = part_files(store.folder)
    assert pq.read_schema(joined).field("loss").metadata[b"unit"] == b"nats per label"
    assert read_rows(store.folder).equals(before)
    assert load(store.folder)["seed"].sort_values().tolist() == [0, 1]


@pytest.mark.parametrize("read", [read_rows, load, lambda folder: Results(folder).condition()])
def test_another_schema_version_is_refused_by_name(store, read):
    store.append([row(0)])
    store.append(table_of([row(1)]).replace_schema_metadata(OTHER_VERSION.metadata))
    message = f"has results of schema version 0, but this code reads version {SCHEMA_VERSION}"
    with pytest.raises(BadInput, match=rf"rows-\w+-\w+.parquet: {message}"):
        read(store.folder)


def test_columns_of_clashing_types_are_refused_by_name(store):
    """Whatever is read: otherwise, a grid would learn of it after its runs are trained."""
    store.append([row(0) | {"note": 5}])
    store.append([row(1) | {"note": "five"}])
    before = part_files(store.folder)
    message = "do not fit together: .*note has incompatible types: .*; keep them in separate"
    for read in (read_rows, lambda folder: load(folder, curves=False), reopened):
        store.__exit__()
        with pytest.raises(BadInput, match=message):
            read(store.folder)
    assert part_files(store.folder) == before


def test_a_known_column_of_another_type_is_no_damage(store):
    """Its rows are those of another version of the code, so they are not trained again."""
    table = table_of([row(0)])
    place = table.schema.get_field_index("lr")
    store.append(table.set_column(place, "lr", pa.array(["high"])))
    store.__exit__()
    (part,) = part_files(store.folder)
    with pytest.raises(
        BadInput, match=rf"{part.name}: .* lr has incompatible types: double vs str"
    ):
        reopened(store.folder)
    assert part.exists()


# --- which row counts ---------------------------------------------------------------------------

FLAT = np.concatenate([array.ravel() for array in weights_of(Run()).values()]).tolist()


LEAN = dict.fromkeys(CURVES)  # of runs whose curves were not kept


def kept(store: Store, name: str) -> list:
    """A column by seed, which compacting does not change."""
    before = stored(store, name)
    store.compact()
    assert stored(store, name) == before
    return before


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("minute", [-1440, 0, 1440])
def test_the_first_row_stored_counts_whatever_the_clock_says(store, at_once, minute):
    rows = [row(0, accuracy=0.9), row(0, minute, accuracy=0.1), row(1)]
    for part in [rows] if at_once else [rows[:1], rows[1:]]:
        store.append(part)
    assert kept(store, "accuracy") == [0.9, 0.5]


@pytest.mark.parametrize("minute", [-1440, 1440])
@pytest.mark.parametrize("status", ["failed", "skipped"])
def test_of_failed_or_skipped_rows_the_last_stored_counts(store, minute, status):
    """Such as after --retry-failed, when the clock was a day ahead before and is right now."""
    for place in range(3):
        store.append([row(0, minute * place, status=status, reason=f"reason {place}")])
    assert kept(store, "reason") == ["reason 2"]
    store.append([row(0, minute * 9, status=status, reason="reason 3")])
    assert kept(store, "reason") == ["reason 3"]
    store.append([row(0, minute * 10)])
    assert kept(store, "status") == ["unsolved"]


@pytest.mark.parametrize("minute", [-1440, 1440])
@pytest.mark.parametrize("better", ["solved", "unsolved", "diverged", "failed"])
@pytest.mark.parametrize("worse", ["failed", "skipped", "of a later version"])
def test_a_row_never_gives_way_to_a_less_conclusive_one(store, better, worse, minute):
    """As for runs skipped on a laptop, whose folder is put beside that of a GPU machine."""
    worse = "skipped" if worse == better else worse
    store.append([row(0, status=better), row(1, status=worse)])
    store.append([row(0, minute, status=worse), row(1, minute, status=better)])
    assert kept(store, "status") == [better, better]


@pytest.mark.parametrize("first", [True, False])
def test_a_row_with_weights_counts_for_every_reader(store, first):
    """Compacting must keep the weights, and must not change what is read without them."""
    rows = [row(0, weights=FLAT, loss=2.0), row(0, 5, loss=1.0)]
    for made in (*(rows if first else rows[::-1]), row(0, status="failed"), row(1)):
        store.append([made])
    store.write_plan({"a": ids(0, 1)})
    for _ in range(2):
        with warnings.catch_warnings(action="ignore", category=StoreWarning):
            frame = load(store.folder, weights=True).set_index("seed")
            lean = load(store.folder, curves=False).set_index("seed")
        assert frame.loc[0, "weights"].tolist() == FLAT
        assert frame.loc[0, "loss"] == lean.loc[0, "loss"] == 2.0
        assert "weights" not in lean
        store.compact()


@pytest.mark.parametrize("backwards", [False, True])
def test_of_finished_rows_the_one_that_has_most_counts_for_every_reader(store, backwards):
    """Weights come before curves: a run that is trained again keeps what it had, and more."""
    rows = [row(0, loss=4.0) | LEAN, row(0, loss=3.0), row(0, loss=2.0, weights=FLAT) | LEAN]
    rows.append(row(0, loss=1.0, weights=FLAT))
    for place, made in enumerate(rows[::-1] if backwards else rows):
        store.append([made])
        best = 1.0 if backwards else 4.0 - place
        assert stored(store, "loss") == [best]
        assert read_rows(store.folder, ["loss"])["loss"].to_pylist() == [best]
    store.compact()
    assert stored(store, "loss") == [1.0]
    assert stored(store, "curve_loss") == [rows[3]["curve_loss"]]


def test_parts_count_in_the_order_of_their_numbers_and_then_of_their_checksums(store):
    """Parts without a number are older, and equal numbers come from several machines."""
    for loss in range(4):
        store.append([row(0, loss=loss)])
    one, two, three, four = part_files(store.folder)
    assert [part.name[:11] for part in (one, four)] == ["rows-000001", "rows-000004"]
    rename(four, "")
    assert stored(store, "loss") == [3.0]
    rename(three, "000000-")
    rename(two, "1000000-")
    first, second, *_ = part_files(store.folder)
    assert first.name[-24:] < second.name[-24:]
    assert stored(store, "loss") == pq.read_table(first)["loss"].to_pylist()
    store.append([row(1)])
    assert part_files(store.folder)[-1].name.startswith("rows-1000001-")
    store.compact()
    (part,) = part_files(store.folder)
    assert part.name.startswith("rows-000000-"), "the smallest number of its parts"


@pytest.mark.parametrize(
    ("change", "count"),
    [
        ({}, 0),
        ({"train_seconds": 9.0, "runs_at_once": 5, "invocation": "other"}, 0),
        ({"weights": FLAT}, 0),
        (LEAN, 0),
        ({"status": "failed"}, 0),
        ({"loss": 0.5 + 2**-53}, 1),
        ({"loss": -0.0}, 1),
        ({"curve_loss": [0.25]}, 1),
        ({"first_error": 3}, 1),
        ({"status": "diverged", "diverged_update": 7}, 1),
    ],
)
def test_rows_whose_results_differ_in_bits_are_said_in_one_line(store, change, count):
    said: list[str] = []
    store._say = said.append
    nothing = {"loss": 0.0} if change.get("loss") == 0 else {}
    store.append([row(0, **nothing), row(1), row(2)])
    store.append([row(0) | change, row(1)])
    store.append([row(0, **nothing), row(2)])
    store.write_plan({"a": ids(0, 1, 2)})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load(store.folder)
        Results(store.folder).condition()
    store.compact()
    assert [str(w.message) for w in caught] == said
    message = f"{store.folder}: 1 run was trained more than once with results that differ in bits"
    assert [line.split(", as")[0] for line in said] == [message] * count


def test_differing_weights_are_said_where_they_are_read(store):
    store.append([row(0, weights=FLAT), row(1)])
    store.append([row(0, weights=[*FLAT[:-1], 7.0])])
    store.write_plan({"a": ids(0, 1)})
    with pytest.warns(StoreWarning, match="1 run was trained more than once"):
        load(store.folder, weights=True)


def test_rows_of_a_cell_whose_gates_were_edited_are_no_damage(store, monkeypatch):
    """A compacted part holds rows of all cells, and the weights of one no longer fit its rule."""
    gru = CELLS["gru"]
    monkeypatch.setitem(CELLS, "own", CELLS["rnn_tanh"])
    run = Run(cell="own", engine="torch")
    flat = np.concatenate([array.ravel() for array in weights_of(run).values()]).tolist()
    store.append([whole(row_of(run, {"status": "solved", "weights": flat}, 1, "test"))])
    store.append([row(0, weights=FLAT)])
    store.write_plan({"a": [run.run_id, *ids(0)]})
    store.compact()
    store.__exit__()
    monkeypatch.setitem(CELLS, "own", gru)
    assert reopened(store.folder) == []
    assert set(load(store.folder, weights=True)["cell"]) == {"own", "lstm"}
    monkeypatch.delitem(CELLS, "own")
    assert reopened(store.folder) == []
    with pytest.warns(StoreWarning, match="cell 'own' of 1 stored run is not loaded; --use FILE"):
        assert set(load(store.folder, weights=True)["cell"]) == {"own", "lstm"}


# --- damage -------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["cut short", "one bit", "empty"])
def test_damage_costs_its_own_runs_only_and_is_reported(store, damage):
    store.append([row(1), row(2)])
    (victim,) = part_files(store.folder)
    store.append([row(0)])
    store.write_plan({"a": ids(0)})
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes({"cut short": content[:-9], "one bit": content, "empty": b""}[damage])
    store.__exit__()
    with pytest.warns(StoreWarning, match=f"{victim.name} is damaged"):
        assert load(store.folder)["seed"].tolist() == [0]
    (line,) = reopened(store.folder)
    assert f"{victim.name} is damaged (its content does not match the checksum in its name)" in line
    assert victim.with_suffix(".damaged").exists()
    assert reopened(store.folder) == [], "damage is reported once"
    assert stored(store) == [0]


def test_damage_that_compacting_finds_is_set_aside_and_reported(store):
    said: list[str] = []
    store._say = said.append
    for seed in range(3):
        store.append([row(seed)])
        if seed == 0:
            (victim,) = part_files(store.folder)
    spoil(victim)
    store.compact()
    (line,) = said
    assert f"{victim.name} is damaged" in line
    assert victim.with_suffix(".damaged").exists()
    assert stored(store) == [1, 2]


def test_a_part_of_something_else_is_set_aside(store):
    store.append([row(0)])
    content = b"not Parquet"
    name = f"rows-{checksum(content)}.parquet"
    (store.folder / name).write_bytes(content)
    store.__exit__()
    (line,) = reopened(store.folder)
    assert name in line
    assert "it cannot be read" in line
    assert stored(store) == [0]


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("deleted", range(6))
def test_a_crash_while_compacting_changes_no_row(store, monkeypatch, deleted, numbered):
    """Whichever parts are left beside the joined one, the same rows count as before."""
    for place in range(5):
        rows = [row(seed, loss=place) for seed in range(place)]
        store.append([*rows, row(9, status="failed", reason=f"reason {place}")])
    if not numbered:
        for part in part_files(store.folder):
            rename(part, "")
    before, unlink = read_rows(store.folder), type(store.folder).unlink

    def crash(path, **how):
        deletions.append(path)
        if len(deletions) > deleted:
            raise KeyboardInterrupt
        unlink(path, **how)

    deletions: list = []
    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(type(store.folder), "unlink", crash)
        store.compact()
    assert len(part_files(store.folder)) == 6 - deleted
    assert read_rows(store.folder).equals(before)
    store.compact()
    assert read_rows(store.folder).equals(before)


def test_a_reader_that_meets_a_compaction_looks_again(store, monkeypatch):
    for seed in range(3):
        store.append([row(seed)])
    find, calls = store_module.part_files, []

    def then_compacted(folder):
        found = find(folder)
        calls.append(len(found))
        if len(calls) == 1:
            monkeypatch.setattr(store_module, "part_files", find)
            store.compact()
            monkeypatch.setattr(store_module, "part_files", then_compacted)
        return found

    monkeypatch.setattr(store_module, "part_files", then_compacted)
    assert stored(store) == [0, 1, 2]
    assert calls == [3, 1, 1]


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_what_was_there(store, monkeypatch, call):
    store.append([row(0)])
    before = part_files(store.folder)

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
    assert part_files(store.folder) == before
    assert stored(store) == [0]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_flush_a_folder_is_written_to_all_the_same(
    store, monkeypatch, number
):
    """So it is with CIFS and some file systems by FUSE."""
    fsync = os.fsync

    def of_files_only(opened: int) -> None:
        if stat.S_ISDIR(os.fstat(opened).st_mode):
            raise OSError(number, "not here")
        fsync(opened)

    monkeypatch.setattr(os, "fsync", of_files_only)
    store.append([row(0)])
    assert stored(store) == [0]


OWN = [".rows-000001-0123456789abcdef.parquet", ".plan.parquet", "..holder", "manifests/.one.json"]
FOREIGN = [".notes/note", ".mine.tmp", ".rows-1.parquet.tmp", "parts.json", "rows-2024.parquet"]


def test_leftovers_of_a_crash_are_cleared_and_other_hidden_files_stay(tmp_path):
    (tmp_path / "manifests").mkdir()
    leftovers = [tmp_path / f"{name}.{'0123456789abcdef' * 2}.tmp" for name in OWN]
    for leftover in leftovers:
        leftover.write_bytes(b"half")
    reopened(tmp_path)
    assert not any(leftover.exists() for leftover in leftovers)
    with Store(tmp_path) as store:
        store.append([row(0)])
    for name in FOREIGN:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    assert reopened(tmp_path) == []
    assert {(tmp_path / name).read_text() for name in FOREIGN} == {"mine"}


@pytest.mark.parametrize("name", [*FOREIGN, "plan.parquet"])
def test_a_folder_of_other_things_is_refused_and_nothing_is_written(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    message = f"holds other things, such as '{name.split('/')[0]}', and no results; choose a new"
    with pytest.raises(BadInput, match=message):
        reopened(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / name).read_text() == "mine"


# --- one writer ---------------------------------------------------------------------------------


def test_a_second_writer_is_refused_and_told_who_the_first_is(store):
    who = rf"process {os.getpid()} on {socket.gethostname()}, since 2\d\d\d-.* UTC"
    with pytest.raises(BadInput, match=rf"another process is writing here \({who}\)"):
        reopened(store.folder)
    (store.folder / ".holder").write_bytes(b"\xff")
    with pytest.raises(BadInput, match="another process is writing here; wait"):
        reopened(store.folder)
    store.__exit__()
    assert reopened(store.folder) == []


def test_a_lock_that_a_killed_process_left_is_taken_over_and_said(tmp_path):
    code = (
        "import os, sys; from study.grid.store import Store; Store(sys.argv[1]).__enter__(); "
        "os.kill(os.getpid(), 9)"
    )
    killed = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    killed.wait()
    (line,) = reopened(tmp_path)
    assert f"the last writer (process {killed.pid} on {socket.gethostname()}" in line
    assert "was killed; continuing" in line
    assert reopened(tmp_path) == [], "a lock that was released is no news"


def test_a_file_system_without_locks_has_one_writer_and_one_line_says_so(tmp_path, monkeypatch):
    """So it is with NFS without its lock service."""

    def flock(*_):
        raise OSError(errno.ENOLCK, "not here")

    monkeypatch.setattr(fcntl, "flock", flock)
    said = []
    taken = pytest.raises(BadInput, match=rf"another process .* \(process {os.getpid()} on")
    with Store(tmp_path, said.append), taken:
        reopened(tmp_path)
    (line,) = said
    assert "this file system has no locks, so the file .lock.soft keeps others out" in line
    monkeypatch.undo()
    assert reopened(tmp_path) == []


def test_a_writer_whose_lock_file_was_deleted_still_keeps_others_out(store):
    (store.folder / ".lock").unlink()
    for _ in range(2):
        with pytest.raises(
            BadInput, match=rf"another process is writing here \(process {os.getpid()}"
        ):
            reopened(store.folder)
    store.__exit__()
    assert reopened(store.folder) == []


@pytest.mark.parametrize(
    "change",
    [
        {"host": "elsewhere"},
        {"started": 0.5},
        {"pid": 2**22 + 1},
        {"pid": "\x1b"},
        {"pid": 2**99},
        {"pid": None},
    ],
)
def test_a_writer_that_is_gone_keeps_nobody_out(tmp_path, change):
    """Another process may have its number by now, and on another host it cannot be looked up."""
    holder = store_module._identity_of(psutil.Process()) | {"since": "noon"} | change
    (tmp_path / ".holder").write_text(json.dumps(holder))
    (line,) = reopened(tmp_path)
    assert f"on {holder['host']}, since noon) was killed; continuing" in line
    assert "\x1b" not in line


# --- reading ------------------------------------------------------------------------------------


def test_load_is_a_frame_with_one_row_per_run_and_its_blocks(store):
    store.append([row(seed) for seed in range(3)])
    store.write_plan({"a": ids(0, 1, 7), "b": ids(1)}, "grid")
    with pytest.warns(StoreWarning, match="1 of 3 planned runs are not stored"):
        frame = study.load(store.folder)
    store.write_plan({"a": ids(0, 1), "b": ids(1)}, "grid")
    assert dict(zip(frame["seed"], frame["blocks"], strict=True)) == {0: ("a",), 1: ("a", "b")}
    assert len(study.load(store.folder, unplanned=True)) == 3
    assert "curve_exact" in frame
    assert "weights" not in frame
    assert "curve_exact" not in study.load(store.folder, curves=False)
    assert read_plan(store.folder).attrs["grid"] == "grid"


def test_without_its_plan_a_folder_still_has_its_rows(store):
    store.append([row(0)])
    store.write_plan({"a": ids(0)})
    (store.folder / "plan.parquet").write_bytes(b"PAR1 and no more")
    with pytest.warns(StoreWarning, match="plan.parquet is missing or damaged"):
        frame = load(store.folder)
    assert frame["blocks"].tolist() == [()]
    assert Results(store.folder).condition() == "1 runs without a plan are stored"


def test_what_holds_no_results_is_refused_with_the_nearest_name(store, tmp_path):
    store.append([row(0)])
    (part,) = part_files(store.folder)
    (tmp_path / "empty").mkdir()
    for path, message in (
        (tmp_path / "empty", "empty: holds no results; `study grid FILE` makes them"),
        (tmp_path / "reslts", r"reslts: holds no results \(did you mean 'results'\?\)"),
        (part, "is a file"),
    ):
        with pytest.raises(BadInput, match=message):
            load(path)


def test_condition_by_hand(store):
    """Of 4 planned runs, 3 are stored, one failed; one run is not planned; one part is damaged."""
    store.append([row(5)])
    spoil(*part_files(store.folder))
    store.append([row(0), row(1, status="failed"), row(2), row(9)])
    store.write_plan({"a": ids(0, 1), "b": ids(2, 3)})
    assert Results(store.folder).condition() == (
        "3 of 4 planned runs are stored (1 failed); missing by block: b 1; "
        "1 damaged file was left out"
    )


def test_results_offer_blocks_and_weights_and_say_what_they_lack(store):
    flat = np.concatenate([array.ravel() for array in weights_of(Run()).values()])
    store.append([row(0, weights=flat.tolist()), row(1), row(2, status="failed")])
    store.write_plan({"a": ids(0, 1, 3), "b": ids(1, 2), "c": ids(4)})
    results = Results(store.folder)
    with warnings.catch_warnings(action="ignore", category=StoreWarning):
        assert sorted(results.block("a")["seed"]) == [0, 1]
        assert sorted(results.block("a", "b", "none")["seed"]) == [0, 1, 2]
        with pytest.raises(Missing, match="the grid has no block 'x' or 'y'"):
            results.block("x", "y")
        with pytest.raises(Missing, match="no run of block 'c' is stored"):
            results.block("c")
        assert results.has_block("c")
        np.testing.assert_array_equal(
            results.weights(*ids(0))["readout.bias"], weights_of(Run())["readout.bias"]
        )
        with pytest.raises(Missing, match="were not kept; set `keep_weights: true`"):
            results.weights(*ids(1))
        assert (
            results.lacks(["a", "b"]) == "Of 4 planned runs, 1 had yet to be trained and 1 failed."
        )
        assert results.lacks([]) == ""
    assert results.planned["b"] == set(ids(1, 2))
    assert results.beside("other") is results.beside("other")
    assert results.beside("other").folder == store.folder.parent / "other"


@pytest.mark.parametrize(
    "run",
    [
        Run(optimizer="nesterov", momentum=0.5, clip_norm=1.0),
        Run(task="parity", cut_every=3, optimizer_settings={"eps": 1e-4}),
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


@pytest.mark.parametrize(
    ("change", "message"),
    [({"lr": 2.0}, "has the settings of another run"), ({"lr": -1.0}, "cannot be trained: ")],
)
def test_a_row_whose_settings_are_not_its_runs_is_refused(change, message):
    with pytest.raises(BadInput, match=f"run {ids(0)[0]}: {message}"):
        run_of(row(0) | change)


def test_weights_come_back_by_name_finite_or_not(store):
    run = Run(cell="gru", layers=2, start="learned")
    flat = np.concatenate([array.ravel() for array in weights_of(run).values()])
    flat[-1] = np.nan
    kept = {"status": "solved", "weights": flat.tolist()}
    store.append([whole(row_of(run, kept, 1, "test")), row(0)])
    store.write_plan({"a": [run.run_id, *ids(0)]})
    frame = load(store.folder, weights=True).set_index("run_id")
    back = weights_in(frame.loc[run.run_id])
    assert np.isnan(back.popitem()[1].ravel()[-1])
    assert all(np.array_equal(array, weights_of(run)[name]) for name, array in back.items())
    assert weights_in(frame.loc[ids(0)[0]]) is None
