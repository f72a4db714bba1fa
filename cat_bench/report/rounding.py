"""Numbers as text in tables, checklists, the page and the terminal, by one rule.

Numbers are rounded to the nearest, halves away from zero, as in spreadsheets; `page/text.js` does
the same on the page. A missing number is the empty string.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from math import isnan, nan


def format_fixed(value: float | None, digits: int = 1, *, sign: str = "") -> str:
    """Return a number with `digits` decimals; `sign` "+" also marks positive numbers and 0.

    The number is rounded to nine decimals first, so that halves with rounding errors stay halves.
    """
    if value is None or isnan(value):
        return ""
    exact = Decimal(f"{value:.9f}").quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return f"{exact:{sign}z,.{digits}f}"


def percent(share: float | None) -> str:
    """Return a share in percent."""
    return format_measured(share)


def format_measured(
    value: float | None,
    low: float | None = nan,
    high: float | None = nan,
    *,
    scale: float = 100,
    digits: int = 1,
    sign: str = "",
) -> str:
    """Return a figure, in percent unless `scale` is 1, with its interval if it has one."""
    figure, *ends = (
        "" if x is None else format_fixed(scale * x, digits, sign=sign) for x in (value, low, high)
    )
    return f"{figure} [{', '.join(ends)}]" if figure and all(ends) else figure


def format_count(count: float | None) -> str:
    """Return a count without decimals."""
    return format_fixed(count, 0)


def p_value(p: float) -> str:
    """Return a p value to three digits."""
    return "<0.001" if p < 0.001 else format_fixed(p, 3)
