"""Writes CSV that a spreadsheet takes for text: no cell of free text is run as a formula.

A text that begins like a formula is written behind an apostrophe, and read without it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_FORMULA = re.compile(r" *[=+\-@\t\r\n＝＋－＠']")
"""How a formula may begin; the apostrophe, so that reading gives back what was written."""


def guard(text: str) -> str:
    """The text as a cell that no spreadsheet runs."""
    return f"'{text}" if _FORMULA.match(text) else text


def unguard(cell: str) -> str:
    """The text that `guard` wrote as this cell."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell, 1) else cell


def csv_of(table: pd.DataFrame) -> bytes:
    """The table as CSV in UTF-8, its texts and its header guarded; numbers stay as they are.

    A carriage return, which would begin a line that nothing guards, becomes a space.
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
