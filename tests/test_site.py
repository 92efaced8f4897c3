"""The site of `make docs` can be built, and its links lead somewhere."""

from pathlib import Path

from mkdocs.commands.build import build
from mkdocs.config import load_config

ROOT = Path(__file__).parent.parent


def test_no_link_of_the_site_is_broken(tmp_path, monkeypatch):
    """It is strict about links, their anchors, and pages that are not in its navigation.

    The plugins are left out, since the reference of the package takes them many seconds.
    """
    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")  # a notice of the theme
    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path), plugins=[])
    build(config)
    assert config.strict
    assert "<math" in (tmp_path / "theory.html").read_text("utf-8")
    assert (tmp_path / "reference" / "study.dynamics.html").exists()
