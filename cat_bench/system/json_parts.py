"""JSON of strangers: counted before it is parsed, as `[],[],…` takes 25 times its size.

A parsed text has at most `PARTS_MOST` objects and lists: in the worst case they take a gigabyte.
"""

from __future__ import annotations

import json
from pathlib import Path

from cat_bench.types.calls import JSON

PARTS_MOST = 4_000_000
"""The most objects and lists of one text: a reply of a million tokens with log-probabilities."""
FILE_MOST = 1 << 28
"""The most bytes of a file that is read as a whole."""


def parse_json(text: bytes | str, *, refuse_constants: bool = False) -> JSON:
    """Return the value of a JSON text; with `refuse_constants`, NaN and infinities are refused.

    Raises ValueError, also if the text is nested too deeply.
    """
    check_parts(text)
    try:
        return json.loads(text, parse_constant=_refuse if refuse_constants else None)
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def check_parts(text: bytes | str) -> None:
    """Raise ValueError if a JSON text has more objects and lists than `PARTS_MOST`."""
    if len(text) <= PARTS_MOST:
        return
    opened = ("[", "{") if isinstance(text, str) else (b"[", b"{")
    if sum(map(text.count, opened)) > PARTS_MOST:  # type: ignore[arg-type]
        raise ValueError(f"has more than {PARTS_MOST:,} objects and lists")


def read_json(file: Path, *, refuse_constants: bool = False) -> JSON:
    """Return what a JSON file holds. Raises OSError, and ValueError as `parse_json`."""
    with file.open("rb") as opened:
        raw = opened.read(FILE_MOST + 1)
    if len(raw) > FILE_MOST:
        raise ValueError(f"is longer than {FILE_MOST:,} bytes")
    return parse_json(raw.decode("utf-8"), refuse_constants=refuse_constants)


def _refuse(constant: str) -> JSON:
    raise ValueError(f"{constant} is no number")
