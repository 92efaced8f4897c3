"""Find the files that come with the package: its experiments, and the source of its paper."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def shipped(folder: str) -> Path:
    """Return the folder `experiments` or `paper` that comes with the package.

    In an installed package it is inside the package. In the repository it is beside the package.
    """
    inside = PACKAGE / "share" / folder
    return inside if inside.is_dir() else PACKAGE.parent / folder
