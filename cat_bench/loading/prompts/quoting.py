"""Quote a model's text between tags so that nothing in it can close them, or pass for a heading.

A model may read a look-alike as a tag. So letters of other alphabets, other signs for `<` and `/`,
and invisible characters count as the characters that they resemble.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_LESS = re.compile(
    "[<\uff1c\ufe64\u2039\u00ab\u2329\u3008\u27e8\u276e\u2770\u02c2\u1438\u227a\u22d6]"
)
"""The beginning of a tag or of a look-alike."""
_SLASHES = frozenset("/\\|\u2044\u2215\u29f8\u29f5\u2571\u27cb\u2572")
_UNSEEN = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Characters that are blank, though Unicode calls them letters or symbols."""
_BLANK = frozenset(("Cc", "Cf", "Cn", "Co", "Cs", "Me", "Mn", "Zl", "Zp", "Zs"))
"""The categories of characters that cannot be seen, or only on the one before."""
_LOOKS = str.maketrans(
    "\u0430\u0441\u0435\u043e\u0440\u0445\u0443\u0456\u0458\u0455\u0501\u04bb\u04cf\u043c\u043a\u0442\u043f\u0433\u0432"
    "\u03b1\u03bf\u03c1\u03c4\u03b9\u03ba\u03bd\u03b5\u03f2\u0578\u0261\u0251\u0192\u0280\u027e\u0131\u0581\u057d",
    "aceopxyijsdhlmktnrbaoptikvecngafrrigu",
)
"""Cyrillic, Greek, Armenian and phonetic letters, and the Latin ones that they look like."""


def quote_tag(text: str, tag: str) -> str:
    """Return `text`, with the first sign of all that looks like `<tag` or `</tag` escaped."""
    name = tag.casefold()
    return _LESS.sub(lambda sign: "&lt;" if _looks_like(name, text, sign.end()) else sign[0], text)


def _looks_like(name: str, text: str, at: int) -> bool:
    """Return whether the text from `at` on looks like this name, after slashes and blanks."""
    seen = 0
    while at < len(text):
        for sign in _looks(text[at]):
            if not seen and sign in _SLASHES:
                continue
            if sign != name[seen]:
                return False
            seen += 1
            if seen == len(name):
                return True
        at += 1
    return False


@lru_cache(maxsize=4096)
def _looks(character: str) -> str:
    """Return what a character looks like in lower case; "" for one that cannot be seen."""
    if character in _UNSEEN or unicodedata.category(character) in _BLANK:
        return ""
    normal = unicodedata.normalize("NFKD", character)
    visible = "".join(c for c in normal if unicodedata.category(c) not in _BLANK)
    return visible.casefold().translate(_LOOKS)


def quote_heading(text: str, heading: str) -> str:
    """Return `text` with a backslash before each line that is this heading."""
    return heading_of(heading).sub(r"\1\\\2", text)


@lru_cache
def heading_of(title: str) -> re.Pattern[str]:
    """Return the pattern of a line that is a Markdown heading of this title, however marked up.

    Its second group is the heading.
    """
    words = r"[ \t]+".join(map(re.escape, title.split()))
    marks = r"[*_]{0,3}"
    line = rf"(?:#{{1,6}}[ \t]*{marks}|[*_]{{2,3}}){words}{marks}:?{marks}[ \t]*#*"
    return re.compile(rf"^([ \t]{{0,3}})({line})[ \t]*$", re.IGNORECASE | re.MULTILINE)
