"""Every declared package is pinned, the package has one name, and no package registry is named."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import study
from study.__main__ import main
from study.command import DISTRIBUTION, EXTRAS
from study.errors import BadInput
from study.grid.cluster import Cluster

ROOT = Path(__file__).parent.parent


def name_of(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower().replace("_", "-").replace(".", "-")


def test_every_dependency_is_pinned_by_hash():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    listed = [project["dependencies"], *(extras[name] for name in ("dev", "docs", "paper"))]
    declared = {name_of(requirement) for requirements in listed for requirement in requirements}
    lock = (ROOT / "requirements.lock").read_text()
    pinned = {name_of(name) for name in re.findall(r"^(\S+?)==\S+.*\n +--hash", lock, re.M)}
    assert declared - pinned == {DISTRIBUTION, "torch"}  # torch has its own line in the Makefile
    (torch,) = (r for r in project["dependencies"] if r.startswith("torch"))
    assert f"install --quiet {torch}" in (ROOT / "Makefile").read_text()
    assert f"install {torch}" in (ROOT / "docs" / "commands.md").read_text()


def test_pip_knows_the_package_by_one_name_that_is_not_a_strangers(monkeypatch):
    """`pip install study` would install another project's package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    own = [r for r in project["optional-dependencies"]["dev"] if "study" in r]
    assert (project["name"], own) == (DISTRIBUTION, [f"{DISTRIBUTION}[cluster,docs,paper]"])
    words = ["git", "grep", "-nE", "pip install.* '?study\\b", "--", ":!tests"]
    found = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (1, "")
    monkeypatch.setitem(sys.modules, "distributed", None)  # as if it were not installed
    with pytest.raises(BadInput, match=f"pip install '{DISTRIBUTION}\\[cluster]'"):
        Cluster("tcp://localhost:1")


def test_extras_bring_the_packages_that_commands_name():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for module, extra in EXTRAS.items():
        assert any(name.startswith(module) for name in map(name_of, extras[extra]))


def test_the_paper_needs_its_source_and_says_where_that_is(tmp_path, capsys):
    assert main(["paper", "--paper", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {tmp_path}: has no file source.md; ")
    assert (Path(line.split("cp -r ")[1].removesuffix(" paper")) / "source.md").is_file()


def test_the_version_is_known_without_installing_the_package(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{study.__version__}\n"
    assert f"\nversion: {study.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_the_package_is_marked_as_typed():
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert "py.typed" in data["package-data"]["study"]
    assert (ROOT / "study" / "py.typed").exists()


def test_no_registry_is_named():
    words = ("pypi" + ".org", "pythonhosted" + ".org", "conda" + ".anaconda.org", "npmjs" + ".com")
    pattern = [argument for word in words for argument in ("-e", word)]
    command = ["git", "grep", "--fixed-strings", "--files-with-matches", *pattern]
    found = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    assert (found.returncode, found.stdout) == (1, "")  # 1: searched, and found nothing
