"""The reference page is what the code says, and says what every name means."""

from __future__ import annotations

import re

import pytest

from cat_bench.audit.candidates import Candidate
from cat_bench.audit.session import _row
from cat_bench.rewards.equivalence import Equivalence
from tools.reference import PAGE, page
from tools.reference_columns import meaning
from tools.reference_parameters import parameter


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tools.reference"


def test_every_column_of_an_audit_is_listed() -> None:
    candidate = Candidate("cat", "equivalence", Equivalence())
    columns = _row(candidate, [], {})
    section = page().partition("### `audit.csv`")[2].partition("\n### ")[0]
    assert re.findall(r"^\| `(\w+)`", section, re.MULTILINE) == list(columns)


def test_a_name_without_a_meaning_is_refused() -> None:
    with pytest.raises(LookupError, match="does not say what 'surprise'"):
        meaning("table.csv", "surprise")
    with pytest.raises(LookupError, match="scorer new: write a docstring under the field 'surp"):
        parameter("scorer new", Equivalence, "surprise")
