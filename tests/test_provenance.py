"""A manifest names the commit of this package's own repository, or says why it names none."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from study.__main__ import main
from study.grid.provenance import code_state
from tests.grids import grid_file

GIT = shutil.which("git") or pytest.skip("needs git", allow_module_level=True)
AUTHOR = ["-c", "user.name=A", "-c", "user.email=a@b.c"]


def git(folder: Path, *words: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = [GIT, "-C", str(folder), *AUTHOR, *words]
    return subprocess.run(command, env=clean, check=True, capture_output=True, text=True).stdout


def committed(folder: Path) -> str:
    """Commit all of a folder to a new repository there; return the commit."""
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "All")
    return git(folder, "rev-parse", "HEAD").strip()


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A folder with a package `study` in it, from which the code appears to run."""
    root = tmp_path / "root"
    (root / "study").mkdir(parents=True)
    (root / "study" / "code.py").write_text("")
    monkeypatch.setattr("study.grid.provenance.ROOT", root)
    return root


def unknown(why: str) -> dict:
    return {"commit": None, "dirty": None, "why": why}


def test_the_commit_and_changes_since_are_named(root):
    commit = committed(root)
    assert code_state() == {"commit": commit, "dirty": False}
    (root / "study" / "code.py").write_text("changed")
    assert code_state() == {"commit": commit, "dirty": True}


def test_variables_of_git_do_not_lead_to_another_repository(root, tmp_path, monkeypatch):
    """Git sets GIT_DIR and more in hooks, from which a grid may be started."""
    commit, other = committed(root), tmp_path / "other"
    shutil.copytree(root / "study", other / "study")
    (other / "more").write_text("")
    assert committed(other) != commit
    for name in ("GIT_DIR", "GIT_COMMON_DIR"):
        monkeypatch.setenv(name, str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(root))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert code_state() == {"commit": commit, "dirty": False}


@pytest.mark.parametrize("where", [".venv/lib/python3.11/site-packages", "."])
def test_a_surrounding_repository_is_not_the_packages_own(tmp_path, monkeypatch, where):
    """The package was installed, or copied, into a folder of another project."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "own.py").write_text("")
    committed(project)
    (project / where / "study").mkdir(parents=True)
    monkeypatch.setattr("study.grid.provenance.ROOT", (project / where).resolve())
    state = code_state()
    assert (state["commit"], state["dirty"]) == (None, None)
    assert re.match("git: fatal: path '.*study' .*not in 'HEAD'", state["why"])


def test_a_package_that_another_project_tracks_is_not_in_its_own_repository(tmp_path, monkeypatch):
    vendored = tmp_path / "vendor"
    (vendored / "study").mkdir(parents=True)
    (vendored / "study" / "code.py").write_text("")
    committed(tmp_path)
    monkeypatch.setattr("study.grid.provenance.ROOT", vendored)
    assert code_state() == unknown("the package is inside the repository of another project")


def test_a_package_without_a_repository_says_so(root, capfd):
    assert code_state()["why"].startswith("git: fatal: not a git repository")
    assert capfd.readouterr() == ("", "")


def test_a_repository_without_a_commit_says_so(root):
    git(root, "init", "-q")
    assert code_state()["why"].startswith("git: fatal: ")


def test_the_repository_of_another_user_is_refused_by_git_with_its_reason(
    root, tmp_path, monkeypatch, capfd
):
    """The reason names no path, since a manifest has none of this machine's."""
    committed(root)
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    foreign = "GIT_TEST_ASSUME_DIFFERENT_OWNER=1 GIT_CONFIG_NOSYSTEM=1"
    wrapper.write_text(f'#!/bin/sh\n{foreign} HOME=/nowhere exec "{GIT}" "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", str(wrapper.parent), prepend=os.pathsep)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert code_state() == unknown("git: fatal: detected dubious ownership in repository at …")
    assert capfd.readouterr() == ("", "")


def test_a_grid_without_git_needs_no_noise(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("PATH", str(tmp_path))
    words = ["--out", str(tmp_path / "out"), "--jobs", "1", "--set", "grid.seed=[0]"]
    assert main(["grid", grid_file(tmp_path), *words]) == 0
    (path,) = (tmp_path / "out" / "manifests").iterdir()
    code = json.loads(path.read_text())["code"]
    assert code["why"] == "git cannot be run: No such file or directory"
    assert "git" not in capfd.readouterr().err
