"""Score multiple-choice answers: right if a text names the right option, by label or by text.

A question's options are in its `meta`, label → text, in the order in which they were shown
(`data.fields.options` puts them there, shuffled on request). Without options, an
answer is a single letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar

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
from cat_bench.types.records import Question, Sample, Score

OPTIONS = "options"
"""The meta field that holds a question's options."""
_LETTERS: Mapping[str, str] = dict.fromkeys("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "")
_AFTER = r"[ \t]*[)\].:,;：）、。-]"
"""The characters that may follow a label before further words."""


@dataclass(frozen=True)
class Choice:
    """1 if a text chooses the target's option, else 0; the target is the option's label.

    The choice is the last match of `pattern`; without a pattern, the last statement (`Answer: …`,
    `the answer is …`, a box) that names an option, else the last line if it names one. An option is
    named by its label (`B`, `(b)`, `B. Paris`) or by its whole text; if label and text differ, the
    label counts. Raises ConfigError for a pattern without exactly one group.
    """

    pattern: str | None = None
    """A regular expression with one group, such as ``A: (.*)``."""

    options: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    """The options of the current question; set by `for_question`."""

    version: ClassVar[str] = "choice 1"

    def __post_init__(self) -> None:
        pattern_of("choice", self.pattern)

    @property
    def closing(self) -> str | None:
        """The required ending of a response; None if `pattern` describes it."""
        if self.pattern is not None:
            return None
        return 'a line "Answer: " and the letter of the option that you choose'

    def for_question(self, question: Question) -> Choice:
        """Return the same scorer with this question's options."""
        options = question.meta.get(OPTIONS)
        return replace(self, options=options) if isinstance(options, Mapping) else self

    def answer(self, text: str) -> str | None:
        """Return the label of the option that a text chooses; None for no option or several."""
        labels = (self._label(strip_markup(part)) for part in self._find_statements(text))
        return next((label for label in labels if label is not None), None)

    def check(self, target: JSON) -> str | None:
        """Return what is wrong with a target; None if it is a label."""
        if isinstance(target, str) and target.strip():
            return None if self._label(target) else self._explain_unknown(target)
        return "has an answer that is not the label of an option"

    async def score(self, sample: Sample, texts: Sequence[str], ctx: Context) -> list[Score]:
        """Return one score per text; `details` holds the label."""
        reader = self.for_question(sample.question)
        right = reader._label(str(sample.target))  # noqa: SLF001 - the same class
        labels = [reader.answer(text) for text in texts]
        return [
            Score(0.0, "no answer")
            if label is None
            else Score(float(label == right), details={"answer": label})
            for label in labels
        ]

    async def clusters(self, answers: Sequence[str | None]) -> list[str | None]:
        """Return each answer's label; None stays None."""
        return [answer or None for answer in answers]

    def _find_statements(self, text: str) -> Iterator[str]:
        """Yield the statements that may name the choice, the last one first."""
        if self._regex:
            yield last_match(self._regex, text) or ""
            return
        yield from statements(text)
        line = last_line(text) or ""
        yield line
        yield re.split("[:：]", line)[-1]

    def _label(self, stated: str) -> str | None:
        """Return the label of the one option that a statement names."""
        words = plain_words(stated)
        if words in self._by_text:
            return self._by_text[words]
        match = self._leading.match(stated.strip())
        if match is None or self._several.match(stated.strip()):
            return None
        return self._by_label[match["label"].casefold()]

    @cached_property
    def _by_label(self) -> Mapping[str, str]:
        return {label.casefold(): label for label in self.options or _LETTERS}

    @cached_property
    def _by_text(self) -> Mapping[str, str]:
        """Labels by option text, without texts that two options share or that are labels."""
        texts = [plain_words(text) for text in self.options.values()]
        return {
            words: label
            for label, words in zip(self.options, texts, strict=True)
            if words and texts.count(words) == 1 and words not in self._by_label
        }

    @cached_property
    def _leading(self) -> re.Pattern[str]:
        """A label at the beginning, with or without an option's text after it."""
        texts = "|".join(re.escape(strip_markup(text)) for text in self.options.values() if text)
        then = rf"\s*$|{_AFTER}" + (rf"|\s+(?:{texts})" if texts else "")
        return re.compile(
            rf"(?:option|choice)?\s*[(\[（\"']?(?P<label>{self._labels})(?:[)\]）\"'](?!\w)|{then})",
            re.IGNORECASE,
        )

    @cached_property
    def _several(self) -> re.Pattern[str]:
        """Two labels in a row: `A, C`, `A and B`."""
        label = rf"[(\[]?(?:{self._labels})[)\]]?"
        return re.compile(
            rf"{label}(?:\s*[,;/&+]\s*|\s+(?:and|or|und|oder|et|ou|y|o|e)\s+){label}(?!\w)",
            re.IGNORECASE,
        )

    @property
    def _labels(self) -> str:
        by_length = sorted(self.options or _LETTERS, key=len, reverse=True)
        return "|".join(map(re.escape, by_length))

    @cached_property
    def _regex(self) -> re.Pattern[str] | None:
        return pattern_of("choice", self.pattern)

    @staticmethod
    def _explain_unknown(target: str) -> str:
        return (
            f"has the answer {target!r}, not the label of an option: name the column of the "
            "options as data.fields.options, or use the scorer text_equal"
        )
