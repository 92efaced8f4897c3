"""What a plan asks of engines: a run that cannot answer is left to fail by itself, with its reason."""

import sys
from types import SimpleNamespace

import pytest

from study.grid import machine
from study.grid.train import train_run
from study.model.engines import ENGINES
from study.runs.settings import Run


@pytest.fixture
def without_engine(monkeypatch) -> Run:
    """A run whose engine cannot be imported."""
    monkeypatch.setitem(ENGINES, "gone", "study.engines.gone")
    return Run().model_copy(update={"engine": "gone"})


def test_an_engine_that_cannot_be_imported_is_the_runs_own_failure(without_engine):
    assert machine.why_unavailable(without_engine) is None
    assert machine.is_ready(without_engine)
    assert machine.measure_speed(without_engine) is None
    row = train_run(without_engine)
    assert row["status"] == "failed"
    assert "No module named 'study.engines.gone'" in row["reason"]


def test_a_speed_is_measured_and_a_budget_follows_from_it(quick):
    run = quick(max_updates=40, eval_every=10)
    speed = machine.measure_speed(run)
    assert speed is not None
    assert min(speed.update, speed.evaluation, speed.final) > 0
    assert speed.budget(run) == pytest.approx(
        40 * speed.update + 5 * speed.evaluation + speed.final
    )
    assert speed.times(2).budget(run) == pytest.approx(2 * speed.budget(run))


def test_a_run_that_raises_has_no_speed():
    assert machine.measure_speed(Run().model_copy(update={"cell": "no_such_cell"})) is None


@pytest.mark.parametrize(
    ("version", "platform", "absent"),
    [
        ("cuda = None\nhip = None", "linux", {"cuda", "mps"}),
        ("cuda = None\nhip = None", "darwin", {"cuda"}),
        ("cuda = '13.0'\nhip = None", "linux", {"mps"}),
        ("cuda = None\nhip = '7.1'", "linux", {"mps"}),
        ("", "linux", {"mps"}),  # a torch of another make: it has to be asked
        ("cuda: Optional[str] = None\nhip: Optional[str] = None\n", "darwin", {"cuda"}),
    ],
)
def test_a_device_that_this_build_of_torch_cannot_have_is_absent_without_importing_it(
    tmp_path, monkeypatch, version, platform, absent
):
    (tmp_path / "version.py").write_text(version)
    monkeypatch.setattr(
        machine, "find_spec", lambda name: SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    )
    monkeypatch.setattr(sys, "platform", platform)
    assert {device for device in ("cpu", "cuda", "mps") if machine.surely_absent(device)} == absent


def test_what_is_surely_absent_torch_has_not():
    for device in ("cpu", "cuda", "mps"):
        run = Run().model_copy(update={"engine": "torch", "device": device})
        if why := machine.surely_absent(device):
            assert machine.why_unavailable(run) == why
