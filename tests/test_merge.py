"""`study merge`: folders of one grid become one, and nothing is lost where they overlap."""

import json

import pytest
from test_store import ids, row, spoil

from study.__main__ import main
from study.grid.store import Store, part_files, read_plan, read_rows


@pytest.fixture
def make(tmp_path):
    def make(name, rows, plan, grid="main", manifest="first"):
        with Store(tmp_path / name) as store:
            store.append(rows)
            blocks = {block: ids(*seeds) for block, seeds in plan.items()}
            store.write_plan(blocks, grid, {block: ["task"] for block in blocks})
            store.write_manifest("one", {"command": manifest})
        return str(store.folder)

    return make


def statuses(folder) -> dict[int, str]:
    table = read_rows(folder, ["seed", "status"])
    return dict(zip(table["seed"].to_pylist(), table["status"].to_pylist(), strict=True))


def test_rows_plans_and_manifests_come_together(make, tmp_path, capsys):
    a = make("a", [row(0), row(1, status="failed", minute=9)], {"x": [0, 1, 2], "y": [0]})
    b = make("b", [row(1), row(2) | {"new": 1}], {"x": [0, 1, 2], "z": [3]}, manifest="second")
    out = tmp_path / "out"
    for _ in range(2):  # again into the same folder changes nothing
        assert main(["merge", a, b, "--out", str(out)]) == 0
        assert "3 of 4 planned runs are stored; missing by block: z 1" in capsys.readouterr().out
        assert statuses(out) == {0: "unsolved", 1: "unsolved", 2: "unsolved"}
        assert read_rows(out, ["new"])["new"].null_count == 2
        plan = read_plan(out)
        assert plan.attrs["grid"] == "main"
        assert plan.attrs["figures"] == {block: ["task"] for block in "xyz"}
        assert plan.groupby("block")["run_id"].apply(list).to_dict() == {
            "x": ids(0, 1, 2),
            "y": ids(0),
            "z": ids(3),
        }
        names = ["one-b.json", "one.json"]
        assert sorted(path.name for path in (out / "manifests").iterdir()) == names
        found = [json.loads((out / "manifests" / name).read_text())["command"] for name in names]
        assert found == ["second", "first"]
        assert len(part_files(out)) == 1


def test_one_of_the_folders_may_take_the_others(make):
    a, b = make("a", [row(0)], {"x": [0, 1]}), make("b", [row(1)], {"x": [0, 1]})
    assert main(["merge", a, b, "--out", a]) == 0
    assert set(statuses(a)) == {0, 1}
    assert set(statuses(b)) == {1}


def test_a_damaged_part_is_named(make, tmp_path, capsys):
    a, b = make("a", [row(0)], {"x": [0, 1]}), make("b", [row(1)], {"x": [0, 1]})
    (part,) = part_files(tmp_path / "a")
    spoil(part)
    assert main(["merge", a, b, "--out", str(tmp_path / "out")]) == 0
    assert f"{part} is damaged" in capsys.readouterr().err
    assert set(statuses(tmp_path / "out")) == {1}


def test_the_first_folder_given_counts_and_differences_are_said_in_one_line(make, tmp_path, capsys):
    a = make("a", [row(0, loss=0.25), row(1), row(2, status="failed", reason="A")], {"x": [0, 1]})
    b = make(
        "b", [row(0, 9, loss=0.75), row(1), row(2, -9, status="failed", reason="B")], {"x": [0]}
    )
    out = tmp_path / "out"
    assert main(["merge", a, b, "--out", str(out)]) == 0
    said = capsys.readouterr().err.splitlines()
    assert [line.split(" with")[0] for line in said] == [
        f"note: {out}: 1 run was trained more than once"
    ]
    table = read_rows(out).sort_by("seed")
    assert table["loss"].to_pylist()[:2] == [0.25, 0.5]
    assert table["reason"].to_pylist() == [None, None, "B"]


def test_columns_of_clashing_types_are_refused_and_nothing_is_written(make, tmp_path, capsys):
    a = make("a", [row(0) | {"note": 1}], {"x": [0]})
    b = make("b", [row(1) | {"note": "one"}], {"x": [0]})
    c = make("c", [row(2)], {"x": [2]})
    for arguments in ([a, b, "--out", str(tmp_path / "out")], [c, a, "--out", b]):
        assert main(["merge", *arguments]) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: merge: rows of different versions of the code do not fit")
        assert "note" in said
        assert not (tmp_path / "out").exists()
        assert set(statuses(b)) == {1}
    assert main(["merge", a, c, "--out", str(tmp_path / "out")]) == 0
    assert read_rows(tmp_path / "out", ["note"])["note"].to_pylist().count(1) == 1


def test_folders_of_different_grids_are_refused_and_nothing_is_written(make, tmp_path, capsys):
    a, b = make("a", [row(0)], {"x": [0]}), make("b", [row(1)], {"x": [1]}, grid="other")
    for arguments in (
        [a, b, "--out", str(tmp_path / "out")],
        [a, "--out", b],
        [a, str(tmp_path / "c"), "--out", str(tmp_path / "out")],
        ["--out", str(tmp_path / "out")],
    ):
        assert main(["merge", *arguments]) == 2
        assert not (tmp_path / "out").exists()
        assert set(statuses(b)) == {1}
    said = capsys.readouterr().err
    assert "error: merge: needs one or more results folders of the same grid" in said
    assert f"error: {b}: belongs to grid 'other'" in said
    assert "c: holds no results" in said
