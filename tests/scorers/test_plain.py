"""Numbers, percentages and bare lists, which need no algebra."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cat_bench.scorers.plain import LONGEST, number, tidy
from cat_bench.scorers.units import split_unit


def key(answer: str) -> str | None:
    return number(split_unit(tidy(answer))[0])


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
        ("0.0833333333333333", "1/12"),
        ("0.083333", r"\frac{1}{12}"),
        ("0.6666666", r"\frac23"),
        ("0.3333331", "1/3"),
        ("0.262144", "4096/15625"),
        ("0.000244140625", "1/4096"),
        ("½", "0.5"),
        ("2½", "5/2"),
        ("1 000 000", "1000000"),
        (r"11,\! 111,\! 111,\! 100", "11111111100"),
        ("1e-05", "0.00001"),
    ],
)
def test_equal(one: str, two: str) -> None:
    assert key(one) == key(two) is not None


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("10", "0.1"),
        ("1/3", "0.33"),
        ("1/3", "333333/1000000"),
        ("355/113", "3.141593"),
        ("0.333334", "1/3"),
        ("1/1000", "1/1001"),
        ("1/649740", "1/649741"),
        ("0.0000001", "0.0000002"),
        ("0.0000001", "0"),
        ("5", "-5"),
    ],
)
def test_unequal(one: str, two: str) -> None:
    assert None is not key(one) != key(two) is not None


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
    assert key(answer) is None


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
        ("...", ""),
        (" . ", ""),
    ],
)
def test_tidy(answer: str, tidied: str) -> None:
    assert tidy(answer) == tidied


@given(st.text("0123456789.,/%$\\{}frac -ex()", max_size=30))
@example("0,\\")
def test_tidying_twice_changes_nothing_that_is_read(answer: str) -> None:
    assert number(tidy(tidy(answer))) == number(tidy(answer))


@given(st.fractions(max_denominator=999), st.fractions(max_denominator=999))
def test_fractions_are_the_same_only_if_they_are(one: Fraction, two: Fraction) -> None:
    assert (key(str(one)) == key(str(two))) == (one == two)


@given(st.fractions(min_value=-1000, max_value=1000, max_denominator=99), st.integers(7, 20))
def test_a_long_decimal_is_the_simple_fraction_that_it_rounds(value: Fraction, places: int) -> None:
    written = f"{Decimal(value.numerator) / Decimal(value.denominator):.{places}f}"
    if abs(value) > Fraction(1, 99) or not value:
        assert key(written) == key(str(value))


@given(st.decimals(allow_nan=False, allow_infinity=False, places=5))
def test_a_short_decimal_is_exact(value: Decimal) -> None:
    assert key(f"{value:f}") == key(str(Fraction(value)))
