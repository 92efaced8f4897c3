"""Pack numbers and texts into one short text, which `web/data.mjs` unpacks in the browser.

Packed are a length in four bytes, a JSON document, and the raw bytes of all arrays. In the document
an array is `{"$": [type, first byte, number of entries]}`. The whole is deflated and written in
base64, since a file that is opened from a disk may not load another one.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import numpy as np

TYPES = {"f4": "<f4", "f8": "<f8", "i4": "<i4", "u1": "|u1", "u2": "<u2"}
ALIGNED = 8  # an array begins at a multiple of this many bytes, as JavaScript's typed arrays must


def packed(value: Any) -> str:
    """Return a value as text. It consists of dicts, lists, texts, numbers and flat arrays.

    The types of arrays must be among TYPES. Raises `ValueError` for an array of another type, and
    for a number in the document that is not finite, which JSON cannot write.
    """
    parts, size = list[bytes](), 0

    def place(part: Any) -> Any:
        nonlocal size
        if isinstance(part, np.ndarray):
            kind = f"{part.dtype.kind}{part.dtype.itemsize}"
            if kind not in TYPES or part.ndim != 1:
                raise ValueError(f"cannot pack an array of {part.dtype} with {part.ndim} axes")
            content = part.astype(TYPES[kind]).tobytes()
            first, padding = size, -len(content) % ALIGNED
            parts.append(content + bytes(padding))
            size += len(content) + padding
            return {"$": [kind, first, len(part)]}
        if isinstance(part, dict):
            return {name: place(inner) for name, inner in part.items()}
        if isinstance(part, list | tuple):
            return [place(inner) for inner in part]
        return part.item() if isinstance(part, np.generic) else part

    document = place(value)
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    head = text.encode()
    head += b" " * (-(4 + len(head)) % ALIGNED)
    whole = len(head).to_bytes(4, "little") + head + b"".join(parts)
    return base64.b64encode(zlib.compress(whole, 9)).decode()


def unpacked(text: str) -> Any:
    """Return the value that `packed` made into text, with the same arrays."""
    whole = zlib.decompress(base64.b64decode(text))
    start = 4 + int.from_bytes(whole[:4], "little")

    def read(part: dict[str, Any]) -> Any:
        if "$" not in part:
            return part
        kind, first, n = part["$"]
        return np.frombuffer(whole, TYPES[kind], n, start + first)

    return json.loads(whole[4:start], object_hook=read)
