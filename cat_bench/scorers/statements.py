r"""Where a text states its final answer: `Answer: …`, `the answer is …`, a box, or the last line.

The scorers of words, choices and numbers read the same places. `_WORDS` has the word for "answer"
in several languages; a task's `pattern` covers other languages and forms.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from cat_bench.errors import ConfigError, one_line
from cat_bench.scorers.extraction import last_boxed

_WORDS = (
    "answer|antwort|réponse|reponse|respuesta|risposta|resposta|räspuns|răspuns|antwoord|svar|"
    "vastaus|odpowiedź|odpověď|odpoveď|odgovor|válasz|ответ|відповідь|отговор|απάντηση|cevap|"
    "yanıt|jawaban|đáp án|उत्तर|جواب|الجواب|الإجابة|תשובה"
)
_UNSPACED = "答案|答え|回答|解答|정답|답"
"""Words for "answer" in scripts that put no space before them."""
_STATED = re.compile(
    rf"(?:(?<!\w)(?:{_WORDS})(?:[ \t]+(?:is|choice|option))?|(?:{_UNSPACED})(?:是|は|은|는)?)"
    r"[ \t*_]*[:：][ \t*_]*(?P<after>[^\n]*)"
    r"|(?<!\w)answer(?:[ \t]+(?:choice|option))?[ \t]+is(?:[ \t]+|(?=\\|\$))(?P<said>[^\n]*)"
    r"|答案是(?P<shi>[^\n]*)",
    re.IGNORECASE,
)
_BOX = re.compile(r"\\(?:boxed|fbox|framebox)\b")
_IN_TEXT = re.compile(
    r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|operatorname)\{([^{}]*)\}"
)
_EMPHASIS = re.compile(r"\*\*|__|`+")
_STARRED = re.compile(r"(?<![\w*])\*(?=\S)([^*\n]+)(?<=\S)\*(?![\w*])")
_CLOSED = re.compile(r"(?:[\s.,;:。]|(?<=[^\W\d_])[!?！？؟])+$")
_ENCLOSED = re.compile(r"\"([^\"]*)\"|'([^']*)'|\(([^()]*)\)|\[([^\[\]]*)\]")
_DOLLARS = re.compile(r"\$([^$]+)\$|\\\((.+?)\\\)")
_FLAT = str.maketrans(
    {"’": "'", "‘": "'", "ʼ": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"'}
    | dict.fromkeys("‐‑‒–—−", "-")
)


def pattern_of(scorer: str, pattern: str | None) -> re.Pattern[str] | None:
    """Return a scorer's `pattern`, compiled; raise ConfigError unless it has one group."""
    if pattern is None:
        return None
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        problem = f"{one_line(repr(pattern))}: {one_line(error)}"
        raise ConfigError(scorer, "pattern", problem) from error
    if compiled.groups != 1:
        problem = f"{pattern!r} has {compiled.groups} groups; put ( ) around the answer alone"
        raise ConfigError(scorer, "pattern", problem)
    return compiled


def statements(text: str, *, whole: bool = False) -> Iterator[str]:
    """Yield the statements of the answer in a text, the last one first; some may be empty.

    With `whole`, a statement extends over lines to the end of the text.
    """
    places = [(match.start(), match) for match in _STATED.finditer(text)]
    last_box = max((match.start() for match in _BOX.finditer(text)), default=-1)
    boxed = last_boxed(text) if last_box >= 0 else None
    for start, match in reversed(places):
        if boxed is not None and last_box > start:
            yield boxed
            boxed = None
        line = next(part for part in match.groups() if part is not None)
        rest = text[match.end() - len(line) :]
        yield rest if whole or not line.strip(" \t*_") else line
    if boxed is not None:
        yield boxed


def last_line(text: str) -> str | None:
    """Return the last line that is not blank, or None."""
    lines = (line.strip() for line in reversed(text.splitlines()))
    return next((line for line in lines if line), None)


def strip_markup(text: str) -> str:
    """Return a text without markup: emphasis, dollars, `\\text{…}`, outer quotes."""
    text = unicodedata.normalize("NFKC", text)
    text = _DOLLARS.sub(lambda match: match[1] or match[2], text)
    text = _IN_TEXT.sub(r"\1", text)
    text = _STARRED.sub(r"\1", _EMPHASIS.sub("", text))
    return " ".join(text.split())


def plain_words(text: str, *, case: bool = False) -> str:
    """Return a text with straight quotes and plain hyphens, without enclosing or closing marks.

    The text is in lower case, unless `case` counts. Quotes and brackets around the whole, closing
    punctuation, and spaces beside commas, semicolons and colons are removed. A text that consists
    only of these is unchanged.
    """
    flat = strip_markup(text).translate(_FLAT)
    flat = flat if case else unicodedata.normalize("NFKC", flat.casefold())
    flat = re.sub(r"\s*([,;:])\s*", r"\1", flat).strip()
    stripped, previous = flat, ""
    while stripped != previous:
        previous = stripped
        stripped = _CLOSED.sub("", stripped).lstrip("¿¡ ")
        if enclosed := _ENCLOSED.fullmatch(stripped):
            stripped = next(part for part in enclosed.groups() if part is not None).strip()
    return stripped or flat
