"""How numbers are read, with their separators, units and tolerances."""

from __future__ import annotations

from fractions import Fraction
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cat_bench.errors import ConfigError
from cat_bench.scorers.number import Number
from cat_bench.scorers.quantities import Decimal, first_quantity
from cat_bench.types.calls import JSON
from cat_bench.types.plugins import Context
from cat_bench.types.records import Question, Sample

ANY = cast("Context", None)


async def right(target: JSON, text: str, **params: JSON) -> bool:
    sample = Sample(Question("q", (), ""), target)
    (score,) = await Number(**params).score(sample, [text], ANY)
    return score.value == 1.0


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("1,234.5", "1234.5", ""),
        ("1.234,5", "1234.5", ""),
        ("1 234,5", "1234.5", ""),
        ("1'234.5", "1234.5", ""),
        ("12,34,567", "1234567", ""),
        ("1,234", "1234", ""),
        ("1.234", "1.234", ""),
        ("1.234.567", "1234567", ""),
        ("1,23", "1.23", ""),
        ("0,123", "0.123", ""),
        ("-5", "-5", ""),
        ("−5", "-5", ""),
        ("1/2", "1/2", ""),
        ("1 1/2", "3/2", ""),
        ("½", "1/2", ""),
        (r"\frac{3}{4}", "3/4", ""),
        ("2×10⁵", "200000", ""),
        ("2e-3", "0.002", ""),
        (r"3 \times 10^{8}", "300000000", ""),
        ("3 million", "3000000", ""),
        ("45 %", "45", "%"),
        ("45 percent", "45", "%"),
        ("-$5", "-5", "$"),
        ("5 dollars", "5", "$"),
        ("100 000 Euro", "100000", "€"),
        ("5 m²", "5", "m^2"),
        ("37 °C", "37", "°C"),
        ("٣", "3", ""),
    ],
)
def test_a_number_is_read(text: str, value: str, unit: str) -> None:
    found = first_quantity(text)
    assert found is not None
    assert (found.value, found.unit) == (Fraction(value), unit)


@pytest.mark.parametrize("text", ["", "seven", "1.2.3", "1,2,3", "1e999999999", "3/0", "x2"])
def test_what_is_no_number(text: str) -> None:
    assert first_quantity(text) is None


@given(st.integers(-(10**12), 10**12), st.sampled_from([",", ".", " ", "'"]))
def test_grouped_integers_are_read_whatever_the_separator(value: int, separator: str) -> None:
    shown = f"{value:,}".replace(",", separator)
    mark: Decimal = "," if separator == "." else "."
    found = first_quantity(shown, mark)
    assert found is not None
    assert found.value == value


@pytest.mark.parametrize(
    "text",
    [
        "Answer: 42",
        "x = 7 * 6 = 42",
        "Answer: 7 * 6 = 42",
        "It takes 3 steps.\nAnswer: 42 steps",
        r"\boxed{42}",
        "The answer is 42, not 41.",
        "It is 42.",
        "Antwort: 42",
        "Answer: 42.0",
    ],
)
async def test_where_the_number_is_read(text: str) -> None:
    assert await right(42, text)


async def test_units_and_tolerances() -> None:
    assert await right("5 km", "Answer: 5")
    assert await right("5", "Answer: 5 km")
    assert await right("5 km", "Answer: 5 km")
    assert not await right("5 km", "Answer: 5 miles")
    assert await right("45%", "Answer: 45")
    assert not await right("45%", "Answer: 0.45")
    assert not await right(5, "Answer: 5 m", unit="km")
    assert not await right("3.3333", "Answer: 3.33")
    assert await right("3.3333", "Answer: 3.33", relative=0.01)
    assert await right(0, "Answer: 0.001", absolute=0.01)
    assert not await right(0, "Answer: 0.001", relative=0.01)
    assert await right("1.234", "Answer: 1234", decimal=",")
    assert await right(-7, "Answer: -7")
    assert not await right(-7, "Answer: 7")


@pytest.mark.parametrize("params", [{"relative": -1.0}, {"absolute": float("nan")}])
def test_a_tolerance_is_a_number_from_0(params: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="is not a finite number of 0 or more"):
        Number(**params)  # type: ignore[arg-type]


def test_a_target_is_a_number() -> None:
    for target in (3, 2.5, "1,000", "45 %", "½", "-3 km"):
        assert Number().check(target) is None
    for odd in ("3 or 4", "2024-03-05", "about 3", "1.2.3", None, False):
        assert Number().check(odd) is not None
