r"""Numbers without algebra, and the text of an answer without its typesetting.

A number's key is its value as a fraction, so equality is equality of keys and therefore transitive.
Decimals of six places or more may be roundings:

- a decimal that rounds a fraction with a small denominator is that fraction (0.333333 is 1/3);
- any other decimal, and any irrational number, is rounded to `PLACES` places, so that 1.414214 is
  the square root of 2;
- two numbers written without a decimal point are equal only if they are the same number, unless
  both are irrational and agree to `PLACES` places.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from functools import lru_cache

PLACES = 6
"""Decimal places at which a rounded number is compared (math-verify's `float_rounding`)."""

LONGEST = 1000
"""Characters beyond which an answer is compared as a string only."""

_REMEMBERED = 1 << 16

_MARKUP = re.compile(
    r"(?<!\\)\\(?:(?:left|right|[bB]igg?[lr]?)(?![a-zA-Z])\.?|(?:display|text)style(?![a-zA-Z])"
    r"|(?:limits|q?quad|hspace\{[^{}]*\}|phantom\{[^{}]*\})(?![a-zA-Z])|[!,;:()$])|\$"
    r"|(?<=(?<!\\)\\)[dtc](?=frac(?![a-zA-Z]))"
)
_SPACED_COMMAND = re.compile(r"(?<!\\)(\\[a-zA-Z]+)\\[,;:!]\s*(?=[a-zA-Z])")
_DECIMAL_COMMA = re.compile(r"-?0,\d{3,}")
_LONE_DOLLAR = re.compile(r"^\$|(?<=\d)\$$")
_JOINED = re.compile(r"(?<=\d)\s*(?:,\s*\\!|\\!\s*,|\{\s*,\s*\}|\\!)\s*(?=\d)")
_SHORT_FRACTION = re.compile(r"\\frac ?(\d) ?(\d)(?!\d)")
_SPACE = re.compile(r"(?<!\\)\\\s|[~\s]+")
_NEEDLESS_SPACE = re.compile(r"(?<![\w\\]) | (?!\w)")
_THOUSANDS = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:,\d{3})+(?!,?\d)")
_SPACED_THOUSANDS = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?: \d{3})+(?![\d ,])")
_BRACKET = re.compile(r"[(\[]|\\\{|\\begin")

_RATIO = (
    r"(?:(?P<whole>\d++)(?: |(?=\\)))?"
    r"(?:\\frac\{(?P<top>-?\d++)\}\{(?P<bottom>-?\d++)\}|(?P<over>\d++)/(?P<under>-?\d++))"
)
_DECIMAL = r"(?P<decimal>(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][-+]?\d\d?)?)"
_NUMBER = re.compile(rf"(?P<sign>[-+]*)(?:{_RATIO}|{_DECIMAL})")

_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ", "0123456789-+n", strict=True))
_VULGAR = {
    "½": (1, 2),
    "⅓": (1, 3),
    "⅔": (2, 3),
    "¼": (1, 4),
    "¾": (3, 4),
    "⅕": (1, 5),
    "⅖": (2, 5),
    "⅗": (3, 5),
    "⅘": (4, 5),
    "⅙": (1, 6),
    "⅚": (5, 6),
    "⅛": (1, 8),
    "⅜": (3, 8),
    "⅝": (5, 8),
    "⅞": (7, 8),
    "⅐": (1, 7),
    "⅑": (1, 9),
    "⅒": (1, 10),
}
_COMMANDS = {
    "−": "-",
    "–": "-",
    "·": r"\cdot ",
    "⋅": r"\cdot ",
    "×": r"\times ",
    "÷": "/",
    "∕": "/",
    "⁄": "/",
    "≤": r"\le ",
    "≥": r"\ge ",
    "≠": r"\ne ",
    "≈": r"\approx ",
    "±": r"\pm ",
    "∞": r"\infty ",
    "π": r"\pi ",
    "∪": r"\cup ",
    "∩": r"\cap ",
    "∈": r"\in ",
    "∖": "\\setminus ",
    "∅": r"\emptyset ",
    "°": r"^\circ ",
    "º": r"^\circ ",
    "ℝ": r"\mathbb{R}",
    "′": "'",
    "α": r"\alpha ",
    "β": r"\beta ",
    "γ": r"\gamma ",
    "θ": r"\theta ",
    "λ": r"\lambda ",
    "μ": r"\mu ",
    "φ": r"\phi ",
    "ω": r"\omega ",
    "∠": r"\angle ",
    "⟨": r"\langle ",
    "⟩": r"\rangle ",
    "，": ", ",
    "（": "(",
    "）": ")",
    "\u200b": "",
    "\ufeff": "",
}
_UNICODE = {
    **_COMMANDS,
    **{sign: rf" \frac{{{top}}}{{{bottom}}}" for sign, (top, bottom) in _VULGAR.items()},
}
_NOT_ASCII = re.compile("[" + "".join(map(re.escape, _UNICODE)) + "]")
_RAISED = re.compile("[" + "".join(_SUPERSCRIPTS) + "]+")
_ROOT = re.compile(r"√\s*(\((?:[^()]*)\)|\d+(?:\.\d+)?|[a-zA-Z])")


@lru_cache(maxsize=_REMEMBERED)
def tidy(answer: str) -> str:
    r"""Return the answer without spacing, delimiters, thousands separators and full stop.

    Dollar signs are removed too, except a currency's ``\$``. Outside brackets ``1,000`` is one
    number; every other comma is a separator and becomes ``, ``. Unicode signs become commands.
    """
    text = answer.strip()
    if len(text) > LONGEST:
        return text
    text = (text if text.isascii() else _ascii(text)).replace("**", "^")
    text = text[2:-2] if text.startswith(r"\[") and text.endswith(r"\]") else text
    text = text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text
    text = _LONE_DOLLAR.sub(r"\\$", text) if text.count("$") == 1 else text
    text = _JOINED.sub("", text)
    text = _SPACED_COMMAND.sub(r"\1 ", text)
    text = _MARKUP.sub(lambda mark: r"\$" if mark[0] == r"\$" else "", text)
    if not _BRACKET.search(text):
        text = _THOUSANDS.sub(lambda number: number[0].replace(",", ""), text)
        text = _SPACED_THOUSANDS.sub(lambda number: number[0].replace(" ", ""), text)
    text = _NEEDLESS_SPACE.sub("", _SPACE.sub(" ", text).strip())
    text = _SHORT_FRACTION.sub(r"\\frac{\1}{\2}", text)
    text = text.rstrip("\\")
    text = text.rstrip(".,;\\") if not text.endswith("...") else text
    return "" if text in {r"\$", "..."} else text.replace(",", ", ")


def _ascii(text: str) -> str:
    text = _ROOT.sub(lambda root: rf"\sqrt{{{root[1].strip('()')}}}", text)
    text = _NOT_ASCII.sub(lambda sign: _UNICODE[sign[0]], text)
    return _RAISED.sub(lambda run: f"^{{{''.join(_SUPERSCRIPTS[sign] for sign in run[0])}}}", text)


@lru_cache(maxsize=_REMEMBERED)
def number(text: str) -> str | None:
    """Return the key of one number: an integer, a decimal, a fraction, or mixed.

    None for anything else.
    """
    match = _NUMBER.fullmatch(text)
    if match is None or len(text) > LONGEST:
        return None
    sign = -1 if match["sign"].count("-") % 2 else 1
    if match["decimal"]:
        value = sign * Fraction(match["decimal"])
        return number_key(value, decimal="." in text or "e-" in text.lower())
    bottom = int(match["bottom"] or match["under"])
    if not bottom:
        return None
    part = Fraction(int(match["top"] or match["over"]), bottom)
    return number_key(sign * (int(match["whole"] or 0) + part))


def number_key(value: Fraction, *, decimal: bool = False) -> str:
    """Return the key of a value that is exact, or written as a `decimal`."""
    places = _places(value.denominator)
    if places is None or places < PLACES:
        return str(value)
    simple = _simplify(value, places)
    if simple is None:
        return rounded_key(value)
    return str(simple if decimal else value)


def _simplify(value: Fraction, places: int) -> Fraction | None:
    """Return the simple fraction that a decimal of six places or more rounds, or None.

    These fractions are so few that only one in three hundred decimals rounds one by chance.
    """
    simple = value.limit_denominator(100)
    if round(simple, PLACES) != round(value, PLACES):
        simple = value.limit_denominator(int(10 ** (min(places, 24) / 3)))
        if places == PLACES or abs(simple - value) * 10**places > 1:
            return None
    return simple if abs(simple - value) * 10**5 <= abs(value) else None


def rounded_key(value: Fraction) -> str:
    """Return the key of a number that is known only to six places (below 0.1: to six digits)."""
    exact = _WIDE.divide(Decimal(value.numerator), Decimal(value.denominator))
    digits = max(PLACES, PLACES - 1 - exact.adjusted()) if exact else PLACES
    grid = exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN, _WIDE)
    return f"≈{grid.normalize(_WIDE):f}"


_WIDE = Context(prec=200)


def _places(denominator: int) -> int | None:
    """Return the decimal places of a fraction with this denominator; None if they do not end."""
    places = 0
    for prime in (2, 5):
        power = 0
        while denominator % prime == 0:
            denominator //= prime
            power += 1
        places = max(places, power)
    return places if denominator == 1 else None
