"""What `tests.fuzz` does to results folders: accidents, and what a stranger may have made up."""

from __future__ import annotations

import io
import math
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

import study
from study.figures import FIGURES
from study.grid.parts import write_index
from study.runs.schema import SCHEMA, TIMINGS
from tests.drawn import rows, write_results
from tests.fuzz_grids import WORDS, as_yaml


@cache
def original() -> Path:
    """A sound results folder with a block for every figure, made once."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-")) / "results"
    write_results(folder)
    (folder / "manifests").mkdir(exist_ok=True)
    (folder / "manifests" / "20260101T000000-0000.json").write_text("{}")
    return folder


@cache
def original_rows() -> dict[str, str]:
    """The sound rows as text, by identity, to the last bit."""
    return _as_text(study.load(original(), weights=True, unplanned=True))


def _as_text(frame: pd.DataFrame) -> dict[str, str]:
    columns = [name for name in SCHEMA.names if name in frame and name not in TIMINGS]
    return {
        row[0]: repr([_plain(value) for value in row])
        for row in frame[columns].itertuples(index=False, name=None)
    }


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tobytes()
    return (
        None
        if value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value))
        else value
    )


def extra_row() -> dict[str, Any]:
    """A row that the original has not."""
    return rows([20], first_seed=77, cell="gru", engine="torch")[0]


COMMITTED = ("main", "forum", "forum_factorial", "notebook", "dynamics", "devices")


def copy_committed(folder: Path) -> list[Path]:
    """What the paper reads: the committed results, without their pictures; where they are."""
    pictures = shutil.ignore_patterns("*.png", "*.pdf", "*.svg")
    for name in COMMITTED:
        shutil.copytree(Path("results") / name, folder / name, ignore=pictures)
    return [folder / name for name in COMMITTED]


@dataclass(frozen=True)
class Act:
    """One thing done to one entry of a folder; numbers say where, and which of several."""

    how: str
    what: str
    place: float
    number: int
    value: Any = None


@dataclass(frozen=True)
class Damaged:
    """A results folder with things done to it, and which command is to read it."""

    reader: str
    acts: tuple[Act, ...]
    figure: str

    @property
    def is_accident(self) -> bool:
        """Whether no one made anything up: then what is read must be rows that were there."""
        return all(act.how in ACCIDENTS for act in self.acts)

    def make(self, folder: Path) -> Path:
        """Copy a sound folder there, with a neighbour that nothing may write to, and do what is to be done to it."""
        if self.reader == "paper":
            folders = copy_committed(folder)
        else:
            folders = [folder / "results"]
            shutil.copytree(original(), folders[0])
        (folder / "outside").mkdir()
        (folder / "outside" / "kept.txt").write_text("mine")
        for act in self.acts:
            ACTS[act.how](folders[act.number % len(folders)], act)
        return folders[0]

    def hold_to_original(self, frame: pd.DataFrame) -> None:
        """After an accident, each row that is read is one that was there, to the last bit."""
        if self.is_accident:
            found, sound = (
                _as_text(frame[frame["run_id"] != extra_row()["run_id"]]),
                original_rows(),
            )
            strange = [run_id for run_id, text in found.items() if sound.get(run_id) != text]
            assert not strange, f"{len(strange)} rows are not those that were stored"
            assert frame["run_id"].is_unique, "a run is there twice"


def _victim(results: Path, act: Act) -> Path | None:
    """A file of the folder."""
    found = sorted(
        path for path in results.glob(act.what) if path.is_file() and not path.is_symlink()
    )
    return found[act.number % len(found)] if found else None


def _bytes(change: Callable[[bytearray, Act], bytes]) -> Callable[[Path, Act], None]:
    def act_on(results: Path, act: Act) -> None:
        victim = _victim(results, act)
        if victim:
            victim.write_bytes(change(bytearray(victim.read_bytes()), act))

    return act_on


def _flip(content: bytearray, act: Act) -> bytes:
    if content:
        content[int(act.place * (len(content) - 1))] ^= 1 << act.number % 8
    return bytes(content)


def _delete(results: Path, act: Act) -> None:
    victim = _victim(results, act)
    if victim:
        victim.unlink()


def _instead(make: Callable[[Path, Path], None]) -> Callable[[Path, Act], None]:
    """Something else stands where a file stood, or where one will be written."""

    def act_on(results: Path, act: Act) -> None:
        victim = _victim(results, act) or results / act.what.replace("*", "0123456789abcdef")
        if victim.is_dir() and not victim.is_symlink():
            shutil.rmtree(victim)
        victim.parent.mkdir(exist_ok=True)
        victim.unlink(missing_ok=True)
        make(victim, results.parent / "outside")

    return act_on


def _folder(victim: Path, outside: Path) -> None:
    victim.mkdir()
    (victim / "inside").write_text("x")


def _link(victim: Path, outside: Path) -> None:
    victim.symlink_to(outside / "kept.txt")


def _link_folder(results: Path, act: Act) -> None:
    """A folder of the results leads elsewhere."""
    name = ("manifests", "figures", "answers", "dynamics", ".notes")[act.number % 5]
    if (results / name).is_dir() and not (results / name).is_symlink():
        shutil.rmtree(results / name)
    if not (results / name).exists():
        (results / name).symlink_to(results.parent / "outside")


def _other_parquet(results: Path, act: Act) -> None:
    """Parquet of something else, under a name that fits it."""
    _put(results, act, FOREIGN[act.number % len(FOREIGN)]())


def _put(results: Path, act: Act, table: pa.Table) -> None:
    victim = _victim(results, act)
    sink = io.BytesIO()
    pq.write_table(table, sink)
    content = sink.getvalue()
    if victim is None or victim.name.startswith("rows-"):
        if victim and act.place < 0.5:
            victim.unlink()
        victim = results / f"rows-{sha256(content).hexdigest()[:16]}.parquet"
    victim.write_bytes(content)


FOREIGN: list[Callable[[], pa.Table]] = [
    lambda: pa.table({}),
    lambda: pa.table({"a": [1, 2]}),
    lambda: pa.table({"run_id": ["x"], "block": [1]}),
    lambda: pa.table({"run_id": ["x", None], "block": ["a", None]}),
    lambda: pa.table({"run_id": ["x"] * 3}).replace_schema_metadata(SCHEMA.metadata),
    SCHEMA.empty_table,
    lambda: pa.table(
        {name: pa.nulls(2, SCHEMA.field(name).type) for name in SCHEMA.names}, schema=SCHEMA
    ),
    lambda: pa.table(
        {"run_id": pa.nulls(30_000_000, pa.string()), "block": pa.nulls(30_000_000, pa.string())}
    ),
    lambda: pa.Table.from_pandas(
        pd.DataFrame({"run_id": ["x"], "block": ["a"]}).set_index("run_id")
    ),
    lambda: pa.table({"run_id": pa.array(["x"]).dictionary_encode(), "block": ["\x1b[2J"]}),
]


def _made_up(results: Path, act: Act) -> None:
    """The rows of a part, or of a table beside it, with an entry, a column or a type changed, and a name that fits."""
    victim = _victim(results, act)
    if victim is None or victim.suffix != ".parquet":
        return
    try:
        table = pq.read_table(victim)
    except (OSError, pa.ArrowException):
        return
    if not table.num_columns or not table.num_rows:
        return
    column = table.column_names[int(act.place * (table.num_columns - 1))]
    entries = table[column].to_pylist()
    row = act.number % len(entries)
    changed = _changed(entries, row, act.value)
    try:
        array = pa.array(changed, table.schema.field(column).type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        try:
            array = pa.array([act.value] * len(entries))
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            return
    place = table.column_names.index(column)
    kind = act.number % 7
    if kind == 0:
        table = table.remove_column(place)
    elif kind == 1:
        table = pa.concat_tables([table, table.slice(row, 1)])
    else:
        table = table.set_column(place, column, array)
    _put(results, act, table)


def _changed(entries: list, row: int, value: Any) -> list:
    if isinstance(entries[row], list) and not isinstance(value, list):
        return [*entries[:row], [*entries[row][:-1], value], *entries[row + 1 :]]
    return [*entries[:row], value, *entries[row + 1 :]]


ACCIDENTS: dict[str, Callable[[Path, Act], None]] = {
    "flip": _bytes(_flip),
    "truncate": _bytes(lambda content, act: bytes(content[: int(act.place * len(content))])),
    "empty": _bytes(lambda content, act: b""),
    "zeros": _bytes(lambda content, act: bytes(len(content))),
    "append": _bytes(lambda content, act: bytes(content) + b"\x00\xff" * (act.number % 50 + 1)),
    "delete": _delete,
}
ACTS: dict[str, Callable[[Path, Act], None]] = ACCIDENTS | {
    "noise": _bytes(
        lambda content, act: np.random.default_rng(act.number).bytes(act.number % 3000)
    ),
    "text": _bytes(lambda content, act: as_yaml(act.value).encode("utf-8", "replace")),
    "json bomb": _bytes(lambda content, act: b"[" * 100_000),
    "directory": _instead(_folder),
    "link": _instead(_link),
    "dangling": _instead(lambda victim, outside: victim.symlink_to(outside / "none")),
    "loop": _instead(lambda victim, outside: victim.symlink_to(victim)),
    "device": _instead(lambda victim, outside: victim.symlink_to("/dev/zero")),
    "pipe": _instead(lambda victim, outside: os.mkfifo(victim)),
    "linked folder": _link_folder,
    "other Parquet": _other_parquet,
    "made up": _made_up,
    "index": lambda results, act: write_index(
        results, {f"rows-{act.number:016x}.parquet": act.number}
    ),
}
FILES = (
    "rows-*.parquet",
    "rows-*.parquet",
    "plan.parquet",
    "parts.json",
    ".lock",
    ".holder",
    "dynamics/*.parquet",
    "*/*.csv",
    "manifests/*.json",
    "*",
)


def damages(reader: str) -> st.SearchStrategy[Damaged]:
    """Something done to a results folder, up to three times."""
    made_up = st.one_of(
        st.none(),
        st.integers(-2, 5),
        st.sampled_from([2**31, 2**62, -(2**62)]),
        st.floats(),
        st.sampled_from(WORDS),
    )
    act = st.builds(
        Act,
        st.sampled_from([*ACTS, "made up", "made up", "made up", "other Parquet"]),
        st.sampled_from(FILES),
        st.floats(0, 1),
        st.integers(0, 10_000),
        st.one_of(made_up, made_up, st.lists(made_up, max_size=4)),
    )
    acts = st.lists(act, min_size=1, max_size=3).map(tuple)
    return st.builds(Damaged, st.just(reader), acts, st.sampled_from(sorted(FIGURES)))
