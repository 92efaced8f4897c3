"""Numbers on command lines that are not ported yet; gone with the last of them."""

from __future__ import annotations

import argparse


def positive(text: str) -> int:
    """A whole number from 1 to 100,000, for an option that counts."""
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0 (at most 100,000)")
    return int(text)


def seed(text: str) -> int:
    """A whole number from 0 to 2⁶³ − 1, for an option that is a seed."""
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0")
    return int(text)
