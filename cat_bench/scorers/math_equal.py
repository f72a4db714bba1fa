"""Score a final answer by mathematical equality with the target (math-verify).

The answer is the last box of a text, or the last match of `pattern`. A text without an answer is
wrong. So is one whose answer exceeds the time or memory for reading (leaving it out would reward
such answers); its score gives this as the reason. If the target cannot be read, or grading fails in
another way, a text is unscored.
"""

from __future__ import annotations

import re
from asyncio import gather
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.metadata import version

from cat_bench.errors import ConfigError
from cat_bench.scorers.equivalence import Equivalence, form_at_sight
from cat_bench.scorers.extraction import last_boxed, last_match
from cat_bench.scorers.plain import tidy
from cat_bench.scorers.reading import is_listed
from cat_bench.scorers.statements import pattern_of
from cat_bench.scorers.workers import Undecided
from cat_bench.types.calls import JSON
from cat_bench.types.plugins import Context
from cat_bench.types.records import EXHAUSTED, Sample, Score

_VERSION = "4"
_DOUBT = (
    "are words, which math_equal compares letter by letter, not as mathematics: a scorer for text "
    "may be meant"
)
_LIBRARIES = ("math-verify", "sympy", "latex2sympy2_extended")


@cache
def _libraries() -> tuple[str, ...]:
    """Return the libraries with their versions; cached, because every comparison reads them."""
    return tuple(f"{name} {version(name)}" for name in _LIBRARIES)


@dataclass(frozen=True)
class MathEqual:
    r"""1 where a text's final answer equals the target, else 0.

    Raises ConfigError for a pattern that is not a regular expression with exactly one group, and
    for a timeout that is not positive.
    """

    pattern: str | None = None
    """A regular expression with one group, such as ``A: (.*)``; None: the last boxed answer."""

    ordered: bool = False
    """Whether the order of a bare list counts: `1, 2` is then read as `(1, 2)`."""

    timeout: float = 5.0
    """The seconds for reading one answer."""

    workers: int | None = None
    """Grading processes; None: one for each core, at most 8."""

    def __post_init__(self) -> None:
        if self.timeout <= 0:
            raise ConfigError("math_equal", "timeout", f"{self.timeout} is not above 0 seconds")
        if self.workers is not None and self.workers < 1:
            raise ConfigError("math_equal", "workers", f"{self.workers} is not at least 1")
        pattern_of("math_equal", self.pattern)

    @property
    def version(self) -> str:
        """This scorer's version and those of the libraries that decide its verdicts."""
        grader = f"math_equal {_VERSION}" + (" ordered" if self.ordered else "")
        pattern = [f"pattern {self.pattern!r}"] if self.pattern else []
        return ", ".join((grader, *pattern, *_libraries()))

    def answer(self, text: str) -> str | None:
        """Return the final answer as written; None if there is none."""
        answer = last_match(self._regex, text) if self._regex else last_boxed(text)
        return self._read(answer) if answer and tidy(answer) else None

    def check(self, target: JSON) -> str | None:
        """Return what is wrong with a target; None if it is an answer."""
        if isinstance(target, list | dict):
            return f"has a {type(target).__name__} as its answer: write it as one text"
        return None if target is not None and str(target).strip() else "has no answer to compare"

    def doubt(self, target: JSON) -> str | None:
        """Return why a target may not suit this scorer; None if it is mathematics."""
        form = form_at_sight(tidy(str(target)))
        return _DOUBT if form and form.key.startswith("word ") else None

    async def score(self, sample: Sample, texts: Sequence[str], ctx: Context) -> Sequence[Score]:
        """Return one score per text; `details` holds the answer. The target is the gold answer."""
        gold = self._read(str(sample.target))
        answers = [self.answer(text) for text in texts]
        distinct = list(dict.fromkeys(answers))
        scores = await gather(*(self._grade(gold, answer) for answer in distinct))
        by_answer = dict(zip(distinct, scores, strict=True))
        return [by_answer[answer] for answer in answers]

    async def clusters(self, answers: Sequence[str | None]) -> list[int | None]:
        """Return labels 0, 1, ... that do not depend on order; None for an empty answer."""
        distinct = {answer for answer in answers if answer and tidy(answer)}
        labels = await self._relation.partition(distinct)
        return [None if answer is None else labels.get(answer) for answer in answers]

    def for_worker(self) -> MathEqual:
        """Return the same scorer with a single grading process, for one of many processes."""
        return replace(self, workers=1)

    async def _grade(self, gold: str, answer: str | None) -> Score:
        if answer is None:
            return Score(0.0, "no answer")
        details: JSON = {"answer": answer}
        if tidy(answer) == tidy(gold):
            return Score(1.0, details=details)
        target, form = await gather(self._relation.form(gold), self._relation.form(answer))
        if isinstance(target, Undecided):
            return Score(None, f"the target: {target.reason}", details)
        if isinstance(form, Undecided) and form.exhausted:
            return Score(0.0, form.reason, {**details, EXHAUSTED: True})
        if isinstance(form, Undecided):
            return Score(None, form.reason, details)
        return Score(float(target.agrees(form)), details=details)

    def _read(self, answer: str) -> str:
        """Return the answer, in parentheses if it is an ordered list without brackets."""
        return f"({answer})" if self.ordered and is_listed(tidy(answer)) else answer

    @cached_property
    def _relation(self) -> Equivalence:
        return Equivalence(self.timeout, self.workers)

    @cached_property
    def _regex(self) -> re.Pattern[str] | None:
        return pattern_of("math_equal", self.pattern)
