"""Score a final answer in words: it is right if it is one of the accepted answers.

Answers are compared after Unicode's NFKC, without white space, markup, enclosing quotes and closing
punctuation. Straight and curly quotes are the same, and so are capitals and small letters unless
`case` is set. The order of letters and words counts. There is no dictionary, translation or date
arithmetic.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from cat_bench.scorers.extraction import last_match
from cat_bench.scorers.statements import (
    last_line,
    pattern_of,
    plain_words,
    statements,
    strip_markup,
)
from cat_bench.types.calls import JSON
from cat_bench.types.plugins import Context
from cat_bench.types.records import Sample, Score

_VERSION = "1"


@dataclass(frozen=True)
class TextEqual:
    """1 where a text's final answer is one of the target's accepted answers, else 0.

    The answer is the last match of `pattern`; without a pattern, the text's last statement
    (`Answer: …`, `the answer is …`, a box), else its last line. A target is a text, a number, a
    truth value, or a list of accepted ones. Raises ConfigError for a pattern without one group.
    """

    pattern: str | None = None
    """A regular expression with one group, such as ``A: (.*)``."""

    case: bool = False
    """Whether capitals count."""

    accents: bool = True
    """Whether accents count; if not, ``Sao`` equals ``São``."""

    multiline: bool = False
    """Whether an answer may extend over several lines."""

    def __post_init__(self) -> None:
        pattern_of("text_equal", self.pattern)

    @property
    def version(self) -> str:
        """This scorer's version with its parameters."""
        return f"text_equal {_VERSION} unicode {unicodedata.unidata_version} {self._params}"

    @property
    def closing(self) -> str | None:
        """The required ending of a response; None if `pattern` describes it."""
        if self.pattern is not None:
            return None
        if self.multiline:
            return '"Answer:" and then the final answer, with nothing after it'
        return 'a line "Answer: " and the final answer alone'

    def answer(self, text: str) -> str | None:
        """Return the final answer as written, without markup; None if there is none."""
        if self._regex:
            stated = last_match(self._regex, text)
        else:
            stated = next(
                (s for s in statements(text, whole=self.multiline) if strip_markup(s)), None
            )
            stated = stated or (text if self.multiline else last_line(text))
        return strip_markup(stated or "") or None

    def check(self, target: JSON) -> str | None:
        """Return what is wrong with a target; None if it is an answer or a list of them."""
        accepted = target if isinstance(target, list) else [target]
        if not accepted or not all(isinstance(a, str | int | float) for a in accepted):
            return "has an answer that is not text: write a text, or a list of accepted texts"
        if not all(strip_markup(str(answer)) for answer in accepted):
            return "has an empty answer"
        lines = any("\n" in str(answer).strip() for answer in accepted)
        if lines and not (self.multiline or self.pattern):
            return "has an answer of several lines: set with: {multiline: true}"
        return None

    async def score(self, sample: Sample, texts: Sequence[str], ctx: Context) -> list[Score]:
        """Return one score per text; `details` holds the answer."""
        target = sample.target
        accepted = target if isinstance(target, list) else [target]
        keys = {self._key(str(answer)) for answer in accepted}
        return [self._score(keys, self.answer(text)) for text in texts]

    async def clusters(self, answers: Sequence[str | None]) -> list[str | None]:
        """Return each answer in its compared form; None for an empty one."""
        return [(self._key(answer) or None) if answer else None for answer in answers]

    def _score(self, keys: set[str], answer: str | None) -> Score:
        if answer is None:
            return Score(0.0, "no answer")
        return Score(float(self._key(answer) in keys), details={"answer": answer})

    def _key(self, answer: str) -> str:
        """Return the form in which answers are compared."""
        key = plain_words(answer, case=self.case)
        if self.accents:
            return key
        decomposed = unicodedata.normalize("NFD", key)
        return "".join(sign for sign in decomposed if not unicodedata.combining(sign))

    @property
    def _params(self) -> str:
        params = {"pattern": self.pattern, "case": self.case, "accents": self.accents}
        return repr({**params, "multiline": self.multiline})

    @cached_property
    def _regex(self) -> re.Pattern[str] | None:
        return pattern_of("text_equal", self.pattern)
