"""Numbers, percentages and bare lists, which need no algebra."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cat_bench.scorers.plain import LONGEST, plain, tidy


def values(answer: str) -> list[Fraction] | None:
    numbers = plain(tidy(answer))
    return None if numbers is None else list(numbers.exact)


def equal(one: str, two: str) -> bool:
    first, second = plain(tidy(one)), plain(tidy(two))
    assert first is not None
    assert second is not None
    assert first.equals(second) == second.equals(first)
    return first.equals(second) is True


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("14.0", "14"),
        ("$1,000", "1000"),
        (r"\$1{,}000", "1,000.00"),
        (r"1,\!000", "1000"),
        ("26.", "26"),
        ("+5", "5"),
        ("−3", "-3"),
        (".5", r"\frac12"),
        (r"\dfrac{1}{2}", "1/2"),
        ("1 1/2", "1.5"),
        (r"1 \frac{1}{2}", "3/2"),
        (r"-1\frac{1}{2}", "-3/2"),
        (r"\( 5 \)", "$5$"),
        ("1/3", "0.333333"),
        ("0.30000000000000004", "0.3"),
        ("1e-05", "0.00001"),
        (r"10\%", "10 percent"),
        (r"10\%", "10"),
        ("10%", "0.1"),
        (r"33\frac13\%", r"\frac{100}{3}"),
        ("61, 29", "29,61"),
        (r"\text{5}", "5"),
        ("12,345, 6", "6, 12345"),
    ],
)
def test_equal(one: str, two: str) -> None:
    assert equal(one, two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("10", "0.1"),
        ("1/3", "0.33"),
        ("1/3", "333333/1000000"),
        ("12, 345", "12345"),
        ("61, 61", "61"),
        ("0.0000001", "0.0000002"),
        ("0.0000001", "0"),
        ("5", "-5"),
    ],
)
def test_unequal(one: str, two: str) -> None:
    assert not equal(one, two)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "-1.8 billion",
        "10+John's age",
        "x=5",
        "1/0",
        "1/2/3",
        "1 2",
        "(1, x)",
        "[1, 2]",
        "5%, 6%",
        "1e999999999",
        r"\sqrt{2}",
        "9" * (LONGEST + 1),
    ],
)
def test_not_plain(answer: str) -> None:
    assert values(answer) is None


@pytest.mark.parametrize(
    ("answer", "tidied"),
    [
        (r"$\left( 3 , \dfrac{\pi}{2} \right)$", r"(3, \frac{\pi}{2})"),
        ("(10,100)", "(10, 100)"),
        ("x = 1,000.", "x=1000"),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix}1\\ 2\end{pmatrix}"),
        (r"\text{no solution}", r"\text{no solution}"),
        (r"\pi\, r", r"\pi r"),
        ("$$", ""),
        (" . ", ""),
    ],
)
def test_tidy(answer: str, tidied: str) -> None:
    assert tidy(answer) == tidied


@given(st.text("0123456789.,/%$\\{}frac -ex()", max_size=30))
def test_tidying_twice_changes_nothing_that_is_read(answer: str) -> None:
    assert plain(tidy(tidy(answer))) == plain(tidy(answer))


@given(st.lists(st.fractions(max_denominator=999), min_size=1, max_size=4))
def test_written_numbers_are_read_back(numbers: list[Fraction]) -> None:
    written = ", ".join(str(number) for number in numbers)
    assert values(written) == sorted(numbers)


def test_a_list_in_parentheses_has_an_order() -> None:
    one, two, bare = plain("(1, 2)"), plain("(2, 1)"), plain("1, 2")
    assert one is not None
    assert two is not None
    assert bare is not None
    assert one.equals(two) is False
    assert one.equals(bare) is None
    assert bare.equals(two) is None
