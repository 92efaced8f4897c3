"""What is declared is what is pinned, and nothing in the repository names a package registry."""

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
    declared = {name_of(r) for r in project["dependencies"] + extras["dev"] + extras["paper"]} - {
        "study"
    }
    blocks = re.findall(
        r"^([A-Za-z0-9._-]+)==\S+.*?\\\n((?:    --hash.*\n)+)",
        (ROOT / "requirements.lock").read_text(),
        re.M,
    )
    pinned = {name_of(name) for name, _ in blocks}
    assert declared - pinned == {"torch"}  # which has a line of its own in the Makefile
    (torch,) = (r for r in project["dependencies"] if r.startswith("torch"))
    assert f"install --quiet {torch}" in (ROOT / "Makefile").read_text()
    assert f"install {torch}" in (ROOT / "docs" / "commands.md").read_text()


def test_no_registry_is_named():
    words = ("pypi" + ".org", "pythonhosted" + ".org", "conda" + ".anaconda.org", "npmjs" + ".com")
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    texts = [ROOT / name for name in files if not name.endswith((".parquet", ".png", ".pdf"))]
    assert texts
    for path in texts:
        text = path.read_text(encoding="utf-8")
        assert not [word for word in words if word in text], path
