"""The number that a reply ends on."""

from __future__ import annotations

import pytest

from cat_bench.signals.replies import number_in


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (r"Between 3 and 9, so \boxed{7}", 7),
        (r"First \boxed{2}, no: \boxed{ 8 } out of 10", 8),
        ("I give it 6", 6),
        ("6.5 I think", 6.5),
        (r"\boxed{11}", None),
        ("minus -3", None),
        ("v2 or x10", None),
        ("none at all", None),
        ("", None),
    ],
)
def test_number_in(text: str, number: float | None) -> None:
    assert number_in(text, low=0, high=10) == number
