"""What is to be trained, in which packs, and how long it will take."""

import json
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from study.errors import EnvironmentFault
from study.grid import plan as plan_module
from study.grid.file import Expansion, expand, read_grid
from study.grid.plan import (
    EVALUATION_BYTES,
    FOLDER_BYTES,
    GUESS,
    PACK_SECONDS,
    ROW_BYTES,
    SECONDS,
    WEIGHT_BYTES,
    Plan,
    estimate_bytes,
    estimate_seconds,
    make_packs,
    make_plan,
    measure_speed,
    unprepared,
    work,
)
from study.grid.progress import disk_size
from study.grid.train import prepare
from study.model.engines import ENGINES, Engine
from study.runs.settings import Run, weights_of

ROOT = Path(__file__).parent.parent


def stored(**rows: str) -> pd.DataFrame:
    """Stored runs by identity: a status, with a `+` where weights are kept; each took 3 seconds.

    A `-` says that the learning curve was not kept.
    """
    frame = pd.DataFrame(
        [(i, text.strip("+-"), "+" in text, "-" not in text) for i, text in rows.items()],
        columns=["run_id", "status", "has_weights", "has_curve"],
    )
    return frame.assign(**dict.fromkeys(SECONDS, 1.0))


def expansion(**runs: Run) -> Expansion:
    sources = {run_id: (run, run.seed) for run_id, run in runs.items()}
    return Expansion(sources, {"all": list(runs)}, {"e", "f"})


FUSED = Run()
CELLS = {name: Run(cell=cell) for name, cell in zip("abc", ("gru", "rnn_tanh", "mgu"), strict=True)}


def test_a_plan_compares_a_grid_with_what_is_stored():
    runs = {name: FUSED.with_seed(seed) for seed, name in enumerate("abcdefg")}
    found = stored(a="solved", b="failed", c="skipped", e="solved+", f="unsolved", old="solved")
    plan = make_plan(expansion(**runs), ["all"], found)
    assert plan.todo == ["c", "d", "f", "g"], "new, skipped, and without the weights to be kept"
    assert plan.stored == {"solved": 2, "failed": 1}
    assert plan.unplanned == 1
    assert "b" in make_plan(expansion(**runs), ["all"], found, retry_failed=True).todo
    shares = [make_plan(expansion(**runs), ["all"], found, share=(i, 2)) for i in (1, 2)]
    assert sorted(shares[0].selected + shares[1].selected) == list("abcdefg")


def test_a_run_is_trained_again_for_its_curve_and_keeps_what_it_has():
    grid = expansion(**{name: FUSED.with_seed(seed) for seed, name in enumerate("abcdef")})
    grid.drop_curves = {"d", "e"}
    found = stored(a="solved", b="diverged-", c="solved-+", d="solved-", e="solved", f="solved-+")
    plan = make_plan(grid, ["all"], found)
    assert plan.todo == ["b", "c", "e", "f"], "all but e lack curves, and e lacks weights"
    assert plan.stored == {"solved": 2}
    kept = {name: (plan.job(name).keep_weights, plan.job(name).keep_curves) for name in plan.todo}
    assert kept == {"b": (False, True)} | dict.fromkeys("cef", (True, True))
    plan = make_plan(grid, ["all"], stored())
    assert [name for name in "abcdef" if not plan.job(name).keep_curves] == ["d", "e"]


def test_runs_without_their_device_are_skipped_and_runs_come_engine_by_engine():
    runs = {
        "a": Run(engine="torch"),
        "b": Run(),
        "c": Run(engine="torch", device="mps"),
        "d": Run(),
    }
    plan = make_plan(expansion(**runs), ["all"], stored(c="skipped"))
    assert plan.todo == ["b", "d", "a"]
    assert plan.stored == {"skipped": 1}
    assert make_plan(expansion(**runs), ["all"], stored()).skipped == {
        "c": "this machine has no device 'mps'"
    }


def test_runs_with_the_same_data_follow_each_other():
    noises = {f"n{noise:g}": Run(noise=noise) for noise in (0.0, 0.5, 1.0)}
    runs = {f"{name}{seed}": run.with_seed(seed) for name, run in noises.items() for seed in (0, 1)}
    runs |= {f"other{name}": run.with_seed(0) for name, run in runs.items()}
    todo = make_plan(expansion(**runs), ["all"], stored()).todo
    data = [(runs[name].seed, runs[name].noise) for name in todo]
    changes = sum(first != second for first, second in pairwise(data))
    assert changes == len(set(data)) - 1


def test_runs_that_share_lanes_are_packed_by_whole_groups():
    """Of batches of one, eight runs fill the lanes; they differ only in their seeds."""
    templates = {"a": Run(batch_size=1), "b": Run(batch_size=1, lr=0.5)}
    runs = {f"{name}{k}": run.with_seed(k) for k in range(24) for name, run in templates.items()}
    sources = {name: (templates[name[0]], run.seed) for name, run in runs.items()}
    plan = make_plan(Expansion(sources, {"all": list(runs)}, set()), ["all"], stored())
    packs = make_packs(plan, dict.fromkeys(runs, PACK_SECONDS / 3), jobs=1)
    assert [len(pack) for pack in packs] == [8] * 6
    assert all(len({name[0] for name in pack}) == 1 for pack in packs)


def plan_of(costs: dict[str, float], torch: str = "") -> Plan:
    runs = {name: Run(engine="torch" if name in torch else "fused") for name in costs}
    return Plan(expansion(**runs), list(costs), list(costs))


def test_packs_are_of_one_engine_and_of_about_equal_time_or_equal_number():
    costs = dict.fromkeys("abcdefgh", PACK_SECONDS / 2)
    assert make_packs(plan_of(costs, torch="fgh"), costs | {"h": 100.0}, jobs=1) == [
        ("a", "b"), ("c", "d"), ("e",), ("f", "g"), ("h",),
    ]  # fmt: skip
    assert make_packs(plan_of(costs), costs, jobs=2) == [(name,) for name in costs], "none waits"
    assert make_packs(plan_of(costs), costs, jobs=1, pack_size=5) == [tuple("abcde"), tuple("fgh")]
    assert make_packs(plan_of({}), {}, jobs=1) == []


def test_runs_take_what_their_siblings_took_and_others_what_was_measured(monkeypatch):
    measured = []

    def speed(run: Run) -> float | None:
        measured.append(run.cell)
        return {"gru": 2.0, "rnn_tanh": 3.0}.get(run.cell)

    monkeypatch.setattr(plan_module, "measure_speed", speed)
    runs = CELLS | {"d": Run(cell="gru", hidden_size=9), "e": FUSED, "f": FUSED.with_seed(1)}
    grid = expansion(**runs)
    grid.sources["f"] = (FUSED, 1)
    plan = Plan(grid, list(runs), list("abcdf"))
    seconds, is_known = estimate_seconds(plan, stored(e="solved"))
    assert not is_known
    assert seconds["f"] == 3.0
    assert seconds["a"] == 2.0 * work(runs["a"])
    assert seconds["b"] == 3.0 * work(runs["b"])
    assert seconds["c"] in (2.0 * work(runs["c"]), 3.0 * work(runs["c"]))
    assert sorted(measured) == ["gru", "gru", "mgu", "rnn_tanh"]
    monkeypatch.setattr(plan_module, "measure_speed", lambda run: None)
    assert estimate_seconds(plan, stored())[0]["a"] == GUESS * work(runs["a"])
    assert estimate_seconds(Plan(grid, ["f"], ["f"]), stored(e="solved")) == ({"f": 3.0}, True)


@pytest.mark.parametrize(
    "name", ["main", "dynamics", "forum", "forum_factorial", "notebook"]
)  # the results of `devices` depend on those of the machine
def test_the_disk_that_a_grid_needs_is_estimated_within_a_factor_of_two(name):
    grid = expand(read_grid(ROOT / "experiments" / f"{name}.yaml"))
    estimate, most = estimate_bytes(make_plan(grid, grid.blocks, stored()), stored())
    really = sum(path.stat().st_size for path in (ROOT / "results" / name).glob("*.parquet"))
    assert really / 2 < estimate < really * 2
    assert really < most * 1.1


def test_runs_without_curves_or_results_need_little_disk():
    runs = {"a": Run(), "b": Run(device="mps", engine="torch")}
    grid = Expansion({name: (run, 0) for name, run in runs.items()}, {"all": ["a", "b"]})

    def size(found: pd.DataFrame) -> float:
        estimate, most = estimate_bytes(make_plan(grid, ["all"], found), found)
        assert estimate == most or not grid.drop_curves
        return most

    assert size(stored()) == size(stored(b="skipped"))
    curve = size(stored())
    grid.drop_curves = {"a", "b"}
    curve -= size(stored())
    assert curve == 51 * EVALUATION_BYTES
    grid.keep_weights = {"a", "b"}
    weights = sum(array.size for array in weights_of(Run()).values())
    assert size(stored()) == FOLDER_BYTES + 2 * ROW_BYTES + weights * WEIGHT_BYTES


@pytest.mark.parametrize(
    ("count", "text"),
    [(20_000, "20 kB"), (1.25e6, "1.2 MB"), (3.34e7, "33 MB"), (1.1e11, "110 GB")],
)
def test_sizes_on_the_disk_are_rounded(count, text):
    assert disk_size(count) == text


def test_a_speed_is_measured(quick):
    speed = measure_speed(quick())
    assert speed is not None
    assert speed > 0
    assert measure_speed(Run().model_copy(update={"engine": "torch", "cell": "none"})) is None


def test_an_engine_that_cannot_be_imported_is_a_fault_of_the_machine(monkeypatch):
    monkeypatch.setitem(ENGINES, "gone", Engine("study.engines.gone", version=1))
    run = Run().model_copy(update={"engine": "gone"})
    with pytest.raises(EnvironmentFault, match=r"'gone' cannot be loaded: No module named"):
        prepare(run)
    prepare(Run().model_copy(update={"cell": "none"}))  # which is the run's own failure


def test_a_cell_is_compiled_once_for_all_its_runs(monkeypatch, tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text(json.dumps({"name": "g", "blocks": {"a": {"vary": {"cell": ["gru", "lstm"]}}}}))
    grid = expand(read_grid(Path(path)))
    monkeypatch.setattr("study.engines.fused.is_ready", lambda run: run.cell == "lstm")
    plan = make_plan(grid, ["a"], stored())
    assert [run.cell for run in unprepared(plan)] == ["gru"]
