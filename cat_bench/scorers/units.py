"""The units of measure, times and written amounts that may surround a number.

A unit in this table counts, so that 5 cm is not 5 m; other words behind a number name the counted
things and are dropped. A number without a unit agrees with a number with any unit.
"""

from __future__ import annotations

import re

_NAMES = {
    "millimeter": "mm millimeter millimetre",
    "centimeter": "cm centimeter centimetre",
    "meter": "m meter metre",
    "kilometer": "km kilometer kilometre",
    "inch": "in inch inche",
    "foot": "ft foot feet",
    "yard": "yd yard",
    "mile": "mi mile",
    "milligram": "mg milligram",
    "gram": "g gram",
    "kilogram": "kg kilogram",
    "ounce": "oz ounce",
    "pound": "lb pound",
    "second": "s sec second",
    "minute": "min minute",
    "hour": "h hr hour",
    "day": "day",
    "week": "week",
    "month": "month",
    "year": "yr year",
    "milliliter": "ml millilitre milliliter",
    "liter": "l litre liter",
    "gallon": "gal gallon",
    "dollar": "dollar usd buck",
    "cent": "cent",
    "euro": "euro eur",
    "sterling": "gbp",
    "degree": "degree deg",
    "radian": "radian rad",
    "mile/hour": "mph",
    "kilometer/hour": "kmh kph",
    "dozen": "dozen",
    "pair": "pair",
    "left": "left",
    "right": "right",
    "north": "north",
    "south": "south",
    "east": "east",
    "west": "west",
    "up": "up upward",
    "down": "down downward",
    "increase": "increase gain rise",
    "decrease": "decrease loss fall",
}
_UNITS = {alias: unit for unit, names in _NAMES.items() for alias in names.split()}
_SIGNS = {
    r"\$": "dollar",
    "USD": "dollar",
    "€": "euro",
    "EUR": "euro",
    "£": "sterling",
    "GBP": "sterling",
    "¥": "yen",
    "₹": "rupee",
    "¢": "cent",
    r"\cent": "cent",
}
_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_FUNCTIONS = frozenset(
    re.findall(r"\w+", "sin cos tan cot sec csc log exp sqrt mod div pi inf max min gcd lcm")
)

_SIGN = "|".join(map(re.escape, _SIGNS))
_BEFORE = re.compile(rf"([-+]?)\s*({_SIGN})\s*(?=[-\d.\\])")
_BEHIND = re.compile(rf"(?<=[\d}}.])\s*({_SIGN})$")
_DEGREES = re.compile(
    r"\s*\^(?:\{\s*\\circ\s*\}|\\circ)\s*(?:\\text\{\s*(?P<scale>[CF])\s*\}|(?P<letter>[CF]))?$"
    r"|\\degree$"
)
_ANGLE = re.compile(r"\\?(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
_PERCENT = re.compile(
    r"\s*(?:\\?%|\\text\{\s*\\?%\s*\}|\s(?:percentage|percent|pct)"
    r"|\\text\{\s*(?:percentage|percent|pct)\s*\})$"
)
_MODULO = re.compile(
    r"\s*(?:\\p?mod\s*(?:\{(?P<braced>[^{}]*)\}|(?P<bare>\w+))"
    r"|\\?\(\s*(?:\\text\{\s*mod\s*\}|\\?mod)\s*(?P<inside>[^()]*)\)"
    r"|\s(?:\\text\{\s*mod\s*\}|mod)\s*(?P<plain>\w+))$"
)
_CONGRUENT = re.compile(r"^.{1,9}?\\equiv\s*")
_ORDINAL = re.compile(r"(?<=\d)\s*\^?\{?\s*(?:\\text\{\s*)?(?:st|nd|rd|th)\s*\}?\s*\}?$")
_TEXT = re.compile(r"(?<=[\d})\]a-zA-Z])\s*((?:\\text\{[^{}]*\}(?:\^\{?-?\d\}?)?[\s/.]*)+)$")
_WORDS = re.compile(r"(?<=[\d})])(\s*)([A-Za-z][A-Za-z.]+(?:[ /][A-Za-z.]+)*?(?: ?\^\{?\d\}?)?)$")
_QUOTIENT = re.compile(
    r"(?<=[\d})])\s+((?:[kcm]?m|mi|ft|[km]?g|[mk]?[lL]|k?[JNW])/(?:s|h|hr|min|day|[ckm]?m|k?g|mol|[lL])"
    r"(?:\^\{?\d\}?)?)$"
)
_QUALIFIED = re.compile(r"\b(?:or|least|most|more|less|fewer|above|below|over|under)\b")
_POWER = re.compile(r"\^\{?(\d)\}?")
_AMOUNT = re.compile(rf"(?<=\d)\s*(?:\\text\{{\s*)?({'|'.join(_SCALES)})\s*\}}?(?![a-z])")


def split_unit(text: str) -> tuple[str, str]:
    """Return a text without the unit around its number, and the unit, or an empty string."""
    text, unit = _split_sign(_AMOUNT.sub(_scale, text))
    for pattern, name in ((_PERCENT, ""), (_DEGREES, "degree"), (_ORDINAL, "")):
        if pattern is _DEGREES and _ANGLE.search(text):
            continue
        mark = pattern.search(text)
        if mark and (rest := pattern.sub("", text)):
            scale = "".join(filter(None, mark.groups())) if pattern is _DEGREES else ""
            return rest, f"degree of {scale}" if scale else name or unit
    if quotient := _QUOTIENT.search(text):
        return text[: quotient.start()], _unit(quotient[1])
    for pattern in (_TEXT, _WORDS):
        match = pattern.search(text)
        words = match and (match[1] if pattern is _TEXT else match[2])
        if match and words and _is_unit(words, attached=pattern is _WORDS and not match[1]):
            rest, sign = _split_sign(text[: match.start()].rstrip())
            return _PERCENT.sub("", rest), _unit(words) or sign or unit
    return text, unit


def split_modulus(text: str) -> tuple[str, str]:
    r"""Return a residue such as ``x \equiv 2 \pmod 5`` without its modulus, and that, or ""."""
    if not (modulus := _MODULO.search(text)):
        return text, ""
    digits = "".join(filter(None, modulus.groups()))
    return _CONGRUENT.sub("", text[: modulus.start()]), f"mod {digits.strip()}"


def clash(first: str, second: str) -> bool:
    """Return whether two units disagree; one left out, or less detailed, agrees."""
    if not first or not second or first == second:
        return False
    return not (first.startswith(f"{second} of ") or second.startswith(f"{first} of "))


def _scale(amount: re.Match[str]) -> str:
    return rf"\cdot 10^{{{_SCALES[amount[1]]}}}"


def _split_sign(text: str) -> tuple[str, str]:
    before = _BEFORE.match(text)
    if before:
        return before[1] + text[before.end() :], _SIGNS[before[2]]
    behind = _BEHIND.search(text)
    return (text[: behind.start()], _SIGNS[behind[1]]) if behind else (text, "")


def _is_unit(words: str, *, attached: bool) -> bool:
    """Return whether words behind a number name counted things; letters may be variables."""
    if _QUALIFIED.search(words):
        return False
    if words.startswith(r"\text"):
        return True
    parts = _POWER.sub("", words).lower().split()
    if attached and len(parts[0]) > 4:
        return not _FUNCTIONS & set(parts)
    if attached or any(len(word) < 3 for word in parts):
        return all(_find_unit(word) and len(word) > 1 for word in parts) and (
            not attached or len(parts[0]) > 3
        )
    return not _FUNCTIONS & set(parts)


def _unit(words: str) -> str:
    """Return the unit that words name, with its power, or an empty string."""
    power = _POWER.search(words)
    parts = re.sub(r"\\text|[{}^\d.]", " ", words).lower().replace("/", " per ").split()
    raised = power[1] if power else ""
    if any(word in {"square", "sq", "squared"} for word in parts):
        raised = "2"
    if any(word in {"cubic", "cu", "cubed"} for word in parts):
        raised = "3"
    names = ["/" if word == "per" else _find_unit(word) for word in parts]
    name = "".join(filter(None, names)).strip("/")
    return name + (f"^{raised}" if name and raised not in {"", "1"} else "")


def _find_unit(word: str) -> str:
    word = word.strip(".")
    return _UNITS.get(word) or _UNITS.get(word.removesuffix("s")) or ""
