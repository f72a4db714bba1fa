"""Reading the final answer out of a completion."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cat_bench.scorers.extraction import last_boxed, last_match


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{5}", "5"),
        (r"\boxed{\frac{1}{\sqrt{2}}} and more {text}.", r"\frac{1}{\sqrt{2}}"),
        (r"\boxed{1} or rather \boxed{2}", "2"),
        (r"\fbox{3}", "3"),
        (r"\framebox[2cm][l]{x}", "x"),
        (r"\boxed {7}", "7"),
        (r"$\boxed 12.$", "12"),
        (r"\boxed 5 is the answer", "5"),
        (r"\boxed\frac{1}{2}", r"\frac{1}{2}"),
        (r"\text{\boxed{5}}", "5"),
        (r"\boxed{\text{Total: } \boxed{9}}", "9"),
        (r"\boxed{\left\{ x \right.}", r"\left\{ x \right."),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        ("\\boxed{\n  4\n}", "4"),
        (r"} { \boxed{5}", "5"),
        (r"\boxed{1}, I repeat: \boxed{\frac{1", "1"),
        (r"\boxed{5}. (I was told to use \boxed{}.)", "5"),
        (r"\boxed{5", None),
        (r"\boxed{}", None),
        (r"\boxed{ }", None),
        (r"\boxed", None),
        (r"\boxedish{5}", None),
        ("the answer is 5", None),
        ("", None),
    ],
)
def test_last_boxed(text: str, answer: str | None) -> None:
    assert last_boxed(text) == answer


PIECES = ("\\", "boxed", "fbox", "\\boxed", "\\framebox", "{", "}", "[", "]", "$", " ", "5", "x")


@settings(max_examples=500)
@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_what_stands_before_the_first_box_does_not_matter(text: str) -> None:
    scanned_from_the_start = last_boxed(r"\boxedness " + text)
    assert last_boxed(text) == scanned_from_the_start
    assert last_boxed("{ } } \\{ { " + text) == scanned_from_the_start


def test_a_degenerate_text_is_read_once() -> None:
    endless = r"\boxed{" * 30_000
    assert last_boxed(endless) is None
    assert last_boxed(endless + "5}") == "5"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("A: 5\nno,\nA:  6 ", "6"),
        ("A: \n", None),
        ("answer 5", None),
    ],
)
def test_last_match(text: str, answer: str | None) -> None:
    assert last_match(re.compile("A: (.*)"), text) == answer


def test_a_group_that_took_no_part_is_no_answer() -> None:
    assert last_match(re.compile("A(: .*)?"), "A") is None
