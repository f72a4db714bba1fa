"""CSV for spreadsheets: no free text is a formula, and numbers stay numbers."""

from __future__ import annotations

import csv
from io import StringIO

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cat_bench.system.spreadsheet import csv_of, guard, unguard

FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\n=1", "＝1", "  =1"]


@given(st.text())
def test_reading_gives_back_what_was_written(text: str) -> None:
    assert unguard(guard(text)) == text
    assert not guard(text).lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_of_a_table_is_a_formula(text: str) -> None:
    table = pd.DataFrame({"score": [-0.5, 1.0], text: [text, None], "n": pd.array([-1, None])})
    header, first, second = csv.reader(StringIO(csv_of(table).decode(), newline=""))
    assert header == ["score", f"'{text}", "n"]
    assert first == ["-0.5", f"'{text}", "-1"]
    assert second == ["1.0", "", ""]


def test_no_line_begins_within_a_cell() -> None:
    table = pd.DataFrame({"group": ["plain\r=1+1"], "score": [1.0]})
    assert csv_of(table) == b"group,score\nplain =1+1,1.0\n"
