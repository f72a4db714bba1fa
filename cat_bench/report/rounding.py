"""A number as text, in tables, checklists, pages and on the terminal: one rule for all of them.

To the nearest, a half away from zero, as spreadsheets do; `page/text.js` does the same in the page.
What does not exist is the empty text.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from math import isnan, nan


def fixed(value: float | None, digits: int = 1, *, sign: str = "") -> str:
    """A number with so many decimals; `sign` "+" shows the sign of what is not below zero.

    The ninth decimal is the last that counts, so that a half is one whatever sum it came from.
    """
    if value is None or isnan(value):
        return ""
    exact = Decimal(f"{value:.9f}").quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return f"{exact:{sign}z,.{digits}f}"


def percent(share: float | None) -> str:
    """A share in percent."""
    return measured(share)


def measured(
    value: float | None,
    low: float | None = nan,
    high: float | None = nan,
    *,
    scale: float = 100,
    digits: int = 1,
    sign: str = "",
) -> str:
    """A figure, a share in percent unless `scale` is 1, and its interval where there is one."""
    shown, *ends = (
        "" if x is None else fixed(scale * x, digits, sign=sign) for x in (value, low, high)
    )
    return f"{shown} [{', '.join(ends)}]" if shown and all(ends) else shown


def whole(count: float | None) -> str:
    """A count without decimals."""
    return fixed(count, 0)


def p_value(p: float) -> str:
    """A p value to three digits."""
    return "<0.001" if p < 0.001 else fixed(p, 3)
