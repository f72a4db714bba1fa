"""Write CSV whose free text no spreadsheet runs as a formula.

A text that begins like a formula is written behind an apostrophe, and read without it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_FORMULA = re.compile(r" *[=+\-@\t\r\n＝＋－＠']")
"""The first characters of a formula, and the apostrophe, so that reading restores the text."""


def guard(text: str) -> str:
    """Return the text as a cell that no spreadsheet runs."""
    return f"'{text}" if _FORMULA.match(text) else text


def unguard(cell: str) -> str:
    """Return the text that `guard` wrote as this cell."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell, 1) else cell


def csv_of(table: pd.DataFrame) -> bytes:
    """Return the table as CSV in UTF-8, with guarded texts and header; numbers do not change.

    A carriage return becomes a space, because it would begin an unguarded line.
    """
    cells = table.rename(columns=lambda name: _cell(str(name)))
    for place, name in enumerate(cells.columns):
        column = cells.iloc[:, place]
        if any(isinstance(cell, str) for cell in column):
            texts = [_cell(cell) if isinstance(cell, str) else cell for cell in column]
            cells[name] = texts
    return cells.to_csv(index=False, lineterminator="\n").encode("utf-8", "backslashreplace")


def _cell(text: str) -> str:
    return guard(text.replace("\r", " "))
