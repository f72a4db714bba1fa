r"""Answers that need no algebra: a number, a percentage, or a list of numbers.

Most answers are of this kind, and exact rational arithmetic decides them in microseconds without a
parser. The rules are math-verify's, without its accidents: two exact numbers are equal when they
are the same number; where one has a decimal point, both are rounded to `PLACES`; a percentage is
equal to the number before its sign and to that number over 100; a bare list has no order, but
(unlike a set) it has a length; a list in parentheses has both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

PLACES = 6
"""Decimal places at which a decimal number is compared (math-verify's `float_rounding`)."""

LONGEST = 1000
"""Characters beyond which an answer is compared as a string only."""

_REMEMBERED = 1 << 16

_MARKUP = re.compile(
    r"(?<!\\)\\(?:(?:left|right)(?![a-zA-Z])\.?|displaystyle(?![a-zA-Z])|[!,;:()$])|\$"
    r"|(?<=(?<!\\)\\)[dtc](?=frac(?![a-zA-Z]))"
)
_SHORT_FRACTION = re.compile(r"\\frac ?(\d) ?(\d)(?!\d)")
_SPACE = re.compile(r"(?<!\\)\\\s|[~\s]+")
_NEEDLESS_SPACE = re.compile(r"(?<![\w\\]) | (?!\w)")
_THOUSANDS = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:,\d{3})+(?!,?\d)")
_TUPLE = re.compile(r"\([^()]*,[^()]*\)$")
_BRACKET = re.compile(r"[(\[]|\\\{|\\begin")

_IN_TEXT = re.compile(r"^\\(?:text|math)(?:rm|bf|it)?\{([^{}]*)\}$")
PERCENT = re.compile(r"(?:\\?%| ?percent|\\text\{percent\})$")
_RATIO = (
    r"(?:(?P<whole>\d++)(?: |(?=\\)))?"
    r"(?:\\frac\{(?P<top>\d++)\}\{(?P<bottom>\d++)\}|(?P<over>\d++)/(?P<under>\d++))"
)
_DECIMAL = r"(?P<decimal>(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][-+]?\d\d?)?)"
_NUMBER = re.compile(rf"(?P<sign>[-+−]?)[£€¥]?(?:{_RATIO}|{_DECIMAL})(?:, |$)")
_NUMBERS = re.compile(rf"(?:{re.sub('P<[a-z]+>', ':', _NUMBER.pattern)})+")


@dataclass(frozen=True, slots=True)
class Plain:
    """Values, as written and as rounded; sorted unless `ordered` (a list in parentheses).

    `inexact` when any value has a decimal point.
    """

    exact: tuple[Fraction, ...]
    rounded: tuple[Fraction, ...]
    inexact: bool
    percent: bool = False
    ordered: bool = False

    def equals(self, other: Plain) -> bool | None:
        """Whether two plain answers are the same; symmetric, but (percentages) not transitive.

        None where that needs algebra: a list with an order against one without.
        """
        if self.ordered != other.ordered:
            return None
        if self.percent == other.percent:
            return _match(self, other)
        first, second = (self, other) if self.percent else (other, self)
        hundredth = _of([value / 100 for value in first.exact], inexact=first.inexact)
        return _match(first, second) or _match(hundredth, second)


@lru_cache(maxsize=_REMEMBERED)
def tidy(answer: str) -> str:
    """The answer without spacing, delimiters, dollar signs, thousands separators, full stop.

    Outside brackets ``1,000`` is one number; every comma that is left separates and reads ``, ``.
    """
    text = answer.strip()
    if len(text) > LONGEST:
        return text
    text = _MARKUP.sub("", text).replace("{,}", ",")
    if not _BRACKET.search(text):
        text = _THOUSANDS.sub(lambda number: number[0].replace(",", ""), text)
    text = _NEEDLESS_SPACE.sub("", _SPACE.sub(" ", text).strip())
    text = _SHORT_FRACTION.sub(r"\\frac{\1}{\2}", text)
    return text.rstrip(".,;").replace(",", ", ")


@lru_cache(maxsize=_REMEMBERED)
def plain(text: str) -> Plain | None:
    """Read a tidied answer as numbers; None where it is anything else."""
    text = _IN_TEXT.sub(r"\1", text)
    body = PERCENT.sub("", text)
    percent = body != text
    ordered = _TUPLE.match(body) is not None
    body = body[1:-1] if ordered else body
    if len(text) > LONGEST or not _NUMBERS.fullmatch(body) or (percent and "," in body):
        return None
    values = [_value(number) for number in _NUMBER.finditer(body)]
    if None in values:
        return None
    inexact = "." in body or "e-" in body.lower()
    exact = [value for value in values if value is not None]
    return _of(
        exact if ordered else sorted(exact), inexact=inexact, percent=percent, ordered=ordered
    )


def _match(one: Plain, two: Plain) -> bool:
    if one.inexact or two.inexact:
        return one.rounded == two.rounded
    return one.exact == two.exact


def _of(
    values: Iterable[Fraction], *, inexact: bool, percent: bool = False, ordered: bool = False
) -> Plain:
    exact = tuple(values)
    return Plain(exact, tuple(round(v, PLACES) or v for v in exact), inexact, percent, ordered)


def _value(number: re.Match[str]) -> Fraction | None:
    sign = -1 if number["sign"] in {"-", "−"} else 1
    if number["decimal"]:
        return sign * Fraction(number["decimal"])
    bottom = int(number["bottom"] or number["under"])
    if not bottom:
        return None
    top = int(number["top"] or number["over"])
    return sign * (int(number["whole"] or 0) + Fraction(top, bottom))
