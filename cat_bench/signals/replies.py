"""Reading a number out of a model's reply: the last box, else the last whole number."""

from __future__ import annotations

import re

_BOX = re.compile(r"\\boxed\s*\{\s*(-?\d+(?:\.\d+)?)\s*\}")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w])")


def number_in(text: str, *, low: float, high: float) -> float | None:
    r"""Return the last number of `text`, or a boxed one; None if absent or out of range."""
    numbers = _BOX.findall(text) or _NUMBER.findall(text)
    if not numbers:
        return None
    value = float(numbers[-1])
    return value if low <= value <= high else None
