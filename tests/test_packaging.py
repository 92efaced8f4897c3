"""Every declared package is pinned, and nothing in the repository names a package registry."""

import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def name_of(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower().replace("_", "-").replace(".", "-")


def test_every_dependency_is_pinned_by_hash():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = {name_of(r) for r in project["dependencies"] + extras["dev"] + extras["paper"]}
    lock = (ROOT / "requirements.lock").read_text()
    pinned = {name_of(name) for name in re.findall(r"^(\S+?)==\S+.*\n +--hash", lock, re.M)}
    assert declared - pinned == {"study", "torch"}  # torch has its own line in the Makefile
    (torch,) = (r for r in project["dependencies"] if r.startswith("torch"))
    assert f"install --quiet {torch}" in (ROOT / "Makefile").read_text()
    assert f"install {torch}" in (ROOT / "docs" / "commands.md").read_text()


def test_no_registry_is_named():
    words = ("pypi" + ".org", "pythonhosted" + ".org", "conda" + ".anaconda.org", "npmjs" + ".com")
    pattern = [argument for word in words for argument in ("-e", word)]
    command = ["git", "grep", "--fixed-strings", "--files-with-matches", *pattern]
    found = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    assert (found.returncode, found.stdout) == (1, "")  # 1: searched, and found nothing
