"""Read numbers with their units from a text, as exact fractions.

Every number is read on its own, by the rules in docs/writing-a-scorer.md. An ambiguous text without
a rule (`1.2.3`, `1,2,3`) is not a number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, TypeAlias

from cat_bench.scorers.statements import strip_markup

Decimal: TypeAlias = Literal[".", ","] | None

_LONGEST = 400
"""The most characters of one number, and the largest exponent."""
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_RAISED = re.compile("[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_SIGNS = str.maketrans(dict.fromkeys("‐‑‒–−", "-") | {"⁄": "/", "’": "'", "٫": ".", "٬": ","})
_VULGAR = re.compile(r"(\d?)([¼½¾⅐-⅞])")
_LATEX = (
    (re.compile(r"\\[dtc]?frac\s*\{\s*(\d+)\s*\}\s*\{\s*(\d+)\s*\}"), r" \1/\2"),
    (re.compile(r"\\(?:times|cdot)(?![a-zA-Z])"), "×"),
    (re.compile(r"\{,\}|\\!,|,\\!"), ","),
    (re.compile(r"\^\s*\{?\s*\\circ\s*\}?"), "°"),
    (re.compile(r"\\(?=[%$])"), ""),
    (re.compile(r"\\[,;: !]"), " "),
)
_SCALES = {"hundred": 2, "thousand": 3, "k": 3, "million": 6, "billion": 9, "bn": 9, "trillion": 12}
_UNITS = {
    "%": ("percent", "per cent", "pct"),
    "$": ("dollar", "usd", "us$"),
    "€": ("euro", "eur"),
    "£": ("pound", "gbp"),
    "°": ("degree", "deg"),
}
"""Units with several names; all other units are compared as written."""
_ONE_NAME = {name: sign for sign, names in _UNITS.items() for name in names}
_BODY = r"\d{1,3}(?:[ '](?=\d{3}(?!\d))\d{3})+(?:[.,]\d+)?|\d+(?:[.,]\d+)*|\.\d+"
_NUMBER = re.compile(
    r"(?<![\w.,/])(?:(?<![\w)])(?P<sign>[-+])\s?)?(?P<before>US\$|[$€£¥₹])?\s?(?P<inner>-)?"
    r"(?:(?:(?P<whole>\d+) )?(?P<top>\d+) ?/ ?(?P<bottom>\d+)(?![\d/])"
    rf"|(?P<body>{_BODY})"
    r"(?:[eE](?P<e>[-+]?\d+)(?!\w)| ?[×x*·] ?10 ?\^ ?[{(]?(?P<power>[-+]?\d+)[})]?)?)"
    r"(?! ?/ ?\d)"
    rf"(?: ?(?P<scale>(?:{'|'.join(_SCALES)})(?![^\W_])))?"
    r"(?P<unit> ?(?:[%‰]|°(?: ?[CFK](?!\w))?|[$€£¥₹])"
    r"| ?[^\W\d_°][^\s\d,;:.!?()\[\]]*(?:\^?-?\d+)?(?: [^\W\d_]+){0,2}(?=\s*(?:$|[.,;:!?)\]\n])))?"
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number and its unit ("" for none); two are equal if both parts are."""

    value: Fraction
    unit: str
    written: str = field(compare=False)


def first_quantity(text: str, decimal: Decimal = None, *, unit: str = "") -> Quantity | None:
    """Return the first number of a text, or None; `unit` is the default unit."""
    return next(_quantities(text, decimal, one_name(unit)), None)


def last_quantity(text: str, decimal: Decimal = None) -> Quantity | None:
    """Return the last number of a text, or None."""
    for line in reversed(text.splitlines()):
        quantities = list(_quantities(line, decimal))
        if quantities:
            return quantities[-1]
    return None


def whole_quantity(text: str, decimal: Decimal = None, *, unit: str = "") -> Quantity | None:
    """Return the number, with its unit, that makes up the whole text; None for any other text."""
    tidied = _tidy(text).rstrip(".")
    quantity = next(_quantities(text, decimal, one_name(unit)), None)
    return quantity if quantity and quantity.written == tidied else None


def one_name(unit: str) -> str:
    """Return the canonical name of a unit: symbols unchanged, longer words in the singular."""
    unit = " ".join(unit.split())
    if len(unit) <= 3 and unit.casefold() not in _ONE_NAME:
        return unit
    word = unit.casefold()
    return _ONE_NAME.get(word) or _ONE_NAME.get(word.removesuffix("s")) or word.removesuffix("s")


def _quantities(text: str, decimal: Decimal, unit: str = "") -> Iterator[Quantity]:
    for match in _NUMBER.finditer(_tidy(text)):
        if (value := _value(match, decimal)) is not None:
            unit_name = one_name(match["unit"] or "") or one_name(match["before"] or "") or unit
            yield Quantity(value, unit_name, match[0].strip())


def _tidy(text: str) -> str:
    """Return the text with every number on one line, with plain signs and digits."""
    text = _RAISED.sub(lambda match: "^" + match[0].translate(_SUPERSCRIPTS), text)
    text = _VULGAR.sub(lambda match: f"{match[1]} {match[2]}" if match[1] else match[2], text)
    for form, spelling in _LATEX:
        text = form.sub(spelling, text)
    return strip_markup(text).translate(_SIGNS)


def _value(match: re.Match[str], decimal: Decimal) -> Fraction | None:
    if len(match[0]) > _LONGEST:
        return None
    if match["bottom"]:
        if not int(match["bottom"]):
            return None
        value = int(match["whole"] or 0) + Fraction(int(match["top"]), int(match["bottom"]))
    else:
        digits = _normalise_marks(match["body"], decimal)
        exponent = int(match["e"] or match["power"] or 0)
        if digits is None or abs(exponent) > _LONGEST:
            return None
        value = Fraction(digits) * _ten_to(exponent)
    value *= _ten_to(_SCALES.get(match["scale"] or "", 0))
    return -value if "-" in (match["sign"], match["inner"]) else value


def _ten_to(exponent: int) -> Fraction:
    return Fraction(f"1e{exponent}")


def _normalise_marks(body: str, decimal: Decimal) -> str | None:
    """Return the digits with at most a decimal point; None if the marks are not a number's."""
    body = body.replace(" ", "").replace("'", "")
    mark = decimal or _decimal_mark(body)
    groups, _, places = body.partition(mark) if mark else (body, "", "")
    opposite = {".": ",", ",": "."}.get(mark or "", "," if "," in body else ".")
    if not (places or "0").isdigit() or not _is_grouped(groups, opposite):
        return None
    return f"{groups.replace(opposite, '') or '0'}.{places or '0'}"


def _decimal_mark(body: str) -> Decimal:
    """Return which mark of a number is the decimal one, or None."""
    if "," in body and "." in body:
        return "," if body.rfind(",") > body.rfind(".") else "."
    if body.count(".") == 1:
        return "."
    if body.count(",") == 1:
        before, _, after = body.partition(",")
        thousands = len(after) == 3 and len(before) <= 3 and not before.startswith("0")
        return None if thousands else ","
    return None


def _is_grouped(digits: str, separator: str) -> bool:
    """Return whether digits form groups of three (in India: of two, then three), or one group."""
    first, *rest = digits.split(separator)
    if not rest:
        return True
    sizes = {len(group) for group in rest[:-1]}
    return 1 <= len(first) <= 3 and len(rest[-1]) == 3 and (sizes <= {3} or sizes <= {2})
