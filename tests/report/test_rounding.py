"""One rule of rounding: what is a half goes up, wherever the number came from."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING

import pytest

from cat_bench.leaderboard import COLUMNS, render
from cat_bench.leaderboard.rows import NUMBERS
from cat_bench.report import markdown, summarise
from cat_bench.report.cells import rows_of
from cat_bench.report.rounding import format_count, format_fixed, format_measured, p_value, percent

if TYPE_CHECKING:
    from tests.report.conftest import Runs


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [
        (34.25, 1, "34.3"),
        (34.35, 1, "34.4"),
        (34.45, 1, "34.5"),
        (-2.25, 1, "-2.3"),
        (100 * (0.1 + 0.2) / 0.3 / 100 + 33.25, 1, "34.3"),
        (34.2499999, 1, "34.2"),
        (0.5, 0, "1"),
        (1.5, 0, "2"),
        (2.5, 0, "3"),
        (12_345.5, 0, "12,346"),
        (-0.04, 1, "0.0"),
        (0.0005, 3, "0.001"),
    ],
)
def test_a_half_goes_away_from_zero(value: float, digits: int, shown: str) -> None:
    assert format_fixed(value, digits) == shown


def test_signs_and_intervals() -> None:
    assert format_fixed(-0.0, sign="+") == "+0.0"
    assert format_measured(0.02249, -0.0225, 0.0675, sign="+") == "+2.2 [-2.3, +6.8]"
    assert format_measured(0.8125, 0.5, None, scale=1, digits=3) == "0.813"
    assert p_value(0.0345) == "0.035"
    assert p_value(0.0004) == "<0.001"


def test_what_does_not_exist_is_empty() -> None:
    assert [
        format_fixed(nan),
        percent(None),
        format_measured(nan, 0.1, 0.2),
        format_count(nan),
        p_value(nan),
    ] == [""] * 5


def test_a_tie_is_the_same_text_in_table_and_leaderboard(runs: Runs) -> None:
    """The mean of cat is 34.25 %, that of majority 36.5 %, the difference -2.25 points."""
    rows = [
        *runs.scores("majority", 8, [0.0, 0.46, 0.5, 0.5]),
        *runs.scores("cat", 8, [0.0, 0.44, 0.43, 0.5], draw=0),
    ]
    folder = runs.build(rows)
    (cat,) = (row for row in rows_of(summarise(folder)) if row["method"] == "cat")
    numbers = {name: f"{cat[name]:.6f}" for name in NUMBERS if name in cat}
    texts = {"method": "cat", "n": "8", "pool_size": "8", "reference": "majority"}
    row = dict.fromkeys(COLUMNS, "") | numbers | texts
    for text in (markdown(folder), render([row])):
        (line,) = (line for line in text.splitlines() if "| cat " in line and "-2." in line)
        assert " 34.3 " in line
        assert " -2.3 [" in line
