r"""Answers that are not mathematics: words, letters of choices, names of points, times, numerals.

Adjacent letters are a word if they are inside ``\text{}`` or are three or more with no operator,
digit or command; a case-sensitive name if they are only capitals, two or more (AC is not CA); and a
product otherwise (xy is yx).
"""

from __future__ import annotations

import re

from cat_bench.scorers.plain import number

_CHOICE = re.compile(
    r"\(([A-Z])\)(?:\s*[A-Za-z]{2,}.*)?|([A-Z])(?:[.:)]|[.:)]\s*[A-Za-z].*)"
    r"|\(([A-J])\)\s*(?:\d|\.\d|\\(?:d?frac|sqrt|text|\$)).*"
)
_DATE = re.compile(r"\d{4}-\d\d?-\d\d?|\d\d?/\d\d?/\d{4}")
_NUMERAL = re.compile(r"([0-9A-Fa-f]+)_(?:\{\s*(?:\\text\{)?\s*(\w+)\s*\}?\s*\}|(\d))")
_BASES = dict(
    zip(
        re.findall(r"\w+", "two three four five six seven eight nine ten eleven twelve sixteen"),
        (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 16),
        strict=True,
    )
)
_TIME = re.compile(
    r"(\d{1,2}):([0-5]\d)(?::([0-5]\d))?\s*(?:\\text\{\s*)?([aApP])?(?:\.?\s*[mM]\.?)?\s*\}?"
)
_RATIO = re.compile(r"(\d+(?:\s*:\s*\d+)+)")
_WORDS = re.compile(r"[A-Za-z][A-Za-z'’. -]*[A-Za-z'’.]|[A-Za-z]")
_LONG = re.compile(r"[A-Za-z]{3,}")
_SHORT_WORDS = frozenset(re.findall(r"\w+", "no on up in at to of or if us we he me my"))
_COMMANDS = frozenset(re.findall(r"\w+", "sin cos tan cot sec csc log exp sqrt infinity inf"))
_NOTHING = re.compile(
    r"(?:there (?:is|are) )?no (?:real |possible |such )?(?:solutions?|roots?)|none"
    r"|(?:the )?empty set|does not exist|undefined|dne"
)
_ALL = re.compile(r"(?:all |any |the |set of )*(?:real numbers?|reals)")


def literal(text: str) -> str | None:
    """Return the key of an answer that is not mathematics; None for any other."""
    if choice := _CHOICE.fullmatch(text):
        return f"letter {choice[1] or choice[2] or choice[3]}"
    if text.count(":") and (clock := _clock(text)):
        return clock
    if "_" in text and (numeral := _numeral(text)):
        return numeral
    return f"date {text}" if _DATE.fullmatch(text) else _word(text)


def _word(text: str) -> str | None:
    if not _WORDS.fullmatch(text):
        return None
    if len(text) == 1:
        return None if text in "ei" else f"letter {text}"
    if text.isupper() and text.isalpha() and len(text) < 5 and text not in {"YES", "NO", "TRUE"}:
        return f"name {text}"
    simple = " ".join(re.sub(r"[^a-z' ]", " ", text.lower().replace("’", "'")).split())
    if _NOTHING.fullmatch(simple):
        return "empty" if "solution" in simple or "set" in simple else f"word {simple}"
    if _ALL.fullmatch(simple):
        return "(number -oo, number oo)"
    runs = simple.split()
    if simple in _COMMANDS or not (_LONG.search(simple) or simple in _SHORT_WORDS):
        return None
    return None if runs[0] in _COMMANDS else f"word {simple}"


def _clock(text: str) -> str | None:
    """Return the key of a time of day (24-hour clock) or of a ratio in lowest terms."""
    if time := _TIME.fullmatch(text):
        hour = int(time[1])
        if time[4]:
            hour = hour % 12 + (12 if time[4] in "pP" else 0)
        return f"time {hour}:{time[2]}" + (f":{time[3]}" if int(time[3] or 0) else "")
    if _RATIO.fullmatch(text):
        from math import gcd

        parts = [int(part) for part in text.split(":")]
        if len(parts) == 2 and parts[1]:
            return f"number {number(f'{parts[0]}/{parts[1]}')}"
        common = gcd(*parts) or 1
        return "ratio " + ":".join(str(part // common) for part in parts)
    return None


def _numeral(text: str) -> str | None:
    """Return the key of digits with an index for the base."""
    numeral = _NUMERAL.fullmatch(text)
    if not numeral or not any(sign.isdigit() for sign in numeral[1]):
        return None
    base = _BASES.get(numeral[2] or numeral[3]) or (numeral[2] or numeral[3])
    if not str(base).isdigit():
        return None
    digits = numeral[1].lstrip("0").upper() or "0"
    return f"numeral {digits} to base {base}"


def numeral_and_base(key: str) -> tuple[str, str] | None:
    """Return the digits' key and the base as a unit; None if `key` is not a numeral's."""
    if not key.startswith("numeral "):
        return None
    digits, _, base = key.removeprefix("numeral ").partition(" to ")
    value = number(digits)
    return (f"number {value}" if value else f"numeral {digits}"), base
