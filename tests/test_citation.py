"""What describes the study to others is up to date: its citation, and the tables in results/."""

import json
from pathlib import Path

import datapackage
from ruamel.yaml import YAML

import study

ROOT = Path(__file__).parent.parent
CITATION = YAML(typ="safe").load(ROOT / "CITATION.cff")


def test_the_citation_and_the_deposit_say_the_same():
    deposit = json.loads((ROOT / ".zenodo.json").read_text())
    assert deposit.pop("upload_type") == CITATION["type"]
    assert deposit.pop("access_right") == "open"
    assert deposit == {
        "title": CITATION["title"],
        "description": CITATION["abstract"],
        "version": CITATION["version"],
        "license": CITATION["license"],
        "keywords": CITATION["keywords"],
        "creators": CITATION["authors"],
    }


def test_the_changelog_begins_with_this_version():
    lines = (ROOT / "CHANGELOG.md").read_text().splitlines()
    (latest, *_) = (line for line in lines if line.startswith("## "))
    assert latest.split()[1].strip(",") == CITATION["version"] == study.__version__


def test_the_stored_tables_are_described():
    assert datapackage.FILE.read_text() == datapackage.text(), "`make readme` brings it up to date"
