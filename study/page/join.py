"""Join the files in `web` and the packed data into one HTML page."""

from __future__ import annotations

import re
from pathlib import Path

WEB = Path(__file__).parent / "web"
# In this order: a module imports only from modules before it.
MODULES = (
    "data", "cells", "linear", "dynamics", "stats", "draw", "words", "player", "flat", "plane",
    "strips", "touch", "tour", "networks", "foreseen", "learning", "post", "rows", "runs", "main",
)  # fmt: skip
IMPORT = re.compile(r"^import \{[^}]*\} from \"\./[\w.]+\";\n", re.M)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|class)\b)", re.M)


def module(name: str) -> str:
    """Return the text of a JavaScript module as a part of the page's one script.

    The files import each other, so that node can test them. A page that is opened from a disk may
    not import files. So imports and exports are taken away, and the modules share one scope.
    """
    text = (WEB / f"{name}.mjs").read_text(encoding="utf-8")
    return EXPORT.sub("", IMPORT.sub("", text))


def joined(data: str) -> str:
    """Return the page as HTML text. `data` is what `study.page.packed` returned."""
    parts = {
        "style": (WEB / "style.css").read_text(encoding="utf-8"),
        "script": "\n".join(f"// {name}.mjs\n{module(name)}" for name in MODULES),
        "data": data,
    }
    page = (WEB / "index.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], page)
