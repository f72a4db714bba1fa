"""Thoughts are told from answers."""

from __future__ import annotations

import pytest

from cat_bench.backends.hf.chat import split


@pytest.mark.parametrize(
    ("text", "inside", "expected"),
    [
        ("The answer is 4.", False, (None, "The answer is 4.")),
        ("<think>\n2 + 2\n</think>\n\n4", False, ("2 + 2", "4")),
        ("\n<think></think>4", False, ("", "4")),
        ("2 + 2</think>4", True, ("2 + 2", "4")),
        ("2 + 2</think>4", False, ("2 + 2", "4")),
        ("<think>2 + 2 is", False, ("2 + 2 is", "")),
        ("2 + 2 is", True, ("2 + 2 is", "")),
        ("say <think> aloud", False, (None, "say <think> aloud")),
        ("", False, (None, "")),
    ],
)
def test_split(text: str, inside: bool, expected: tuple[str | None, str]) -> None:
    assert split(text, thinking=inside) == expected
