"""Score a numeric answer, with an optional tolerance and unit.

The rules of reading (docs/writing-a-scorer.md):

- if a number has both `,` and `.`, the last of them is the decimal mark;
- a single comma before exactly three digits separates thousands: `1,234` is 1234;
- any other single mark is the decimal mark: `1.234` is 1.234, and `3,14` is 3.14;
- `decimal` names the decimal mark and overrides these rules;
- spaces and apostrophes separate thousands.

Values are exact fractions, so nothing is lost before the comparison.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Literal

from cat_bench.errors import ConfigError
from cat_bench.scorers.extraction import last_match
from cat_bench.scorers.quantities import Quantity, first_quantity, last_quantity, whole_quantity
from cat_bench.scorers.statements import pattern_of, statements
from cat_bench.types.calls import JSON
from cat_bench.types.plugins import Context
from cat_bench.types.records import Sample, Score

_VERSION = "1"


@dataclass(frozen=True)
class Number:
    """1 where a text's final number is the target's, else 0.

    The number is read from the last match of `pattern`. Without a pattern, it is read from the last
    statement (`Answer: …`, `the answer is …`, a box) that has a number: the first number after the
    last `=` there. Without such a statement, it is the last number of the text. Two numbers are the
    same if they differ by at most `absolute`, or by `relative` times the larger one; if both have a
    unit, it must be the same.

    Raises ConfigError for a tolerance that is negative or not finite, and for a pattern without
    exactly one group.
    """

    pattern: str | None = None
    """A regular expression with one group, such as ``A: (.*)``."""

    relative: float = 0.0
    """The largest difference that does not count, as a share of the larger number."""

    absolute: float = 0.0
    """The largest difference that does not count."""

    unit: str | None = None
    """The unit of a number without a unit; a different unit is then a different answer."""

    decimal: Literal[".", ","] | None = None
    """The decimal mark; None: it is inferred from each number."""

    def __post_init__(self) -> None:
        pattern_of("number", self.pattern)
        for name in ("relative", "absolute"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ConfigError(
                    "number", name, f"{getattr(self, name)} is not a finite number of 0 or more"
                )

    @property
    def version(self) -> str:
        """This scorer's version with its parameters."""
        tolerance = f"relative {self.relative:g} absolute {self.absolute:g}"
        reading = f"unit {self.unit!r} decimal {self.decimal!r} pattern {self.pattern!r}"
        return f"number {_VERSION} {tolerance} {reading}"

    @property
    def closing(self) -> str | None:
        """The required ending of a response; None if `pattern` describes it."""
        if self.pattern is not None:
            return None
        unit = f" in {self.unit}" if self.unit else ""
        return f'a line "Answer: " and the final number alone{unit}'

    def answer(self, text: str) -> str | None:
        """Return the final number as written, with its unit; None if there is none."""
        if self._regex:
            quantity = first_quantity(last_match(self._regex, text) or "", self.decimal)
            return quantity.written if quantity else None
        for stated in statements(text):
            if quantity := first_quantity(re.split("[=≈]", stated)[-1], self.decimal):
                return quantity.written
        quantity = last_quantity(text, self.decimal)
        return quantity.written if quantity else None

    def check(self, target: JSON) -> str | None:
        """Return what is wrong with a target; None if it is a number."""
        if isinstance(target, bool) or not isinstance(target, str | int | float):
            return "has an answer that is not a number"
        return None if self._read(str(target)) else f"has the answer {target!r}, not a number"

    async def score(self, sample: Sample, texts: Sequence[str], ctx: Context) -> list[Score]:
        """Return one score per text; `details` holds the answer."""
        gold = self._read(str(sample.target))
        return [self._score(gold, self.answer(text)) for text in texts]

    async def clusters(self, answers: Sequence[str | None]) -> list[int | None]:
        """Return labels 0, 1, … in ascending order of the values; None for no number.

        This is complete linkage: in ascending order, each number joins the first cluster in which
        it equals every member, so the order of the answers does not matter.
        """
        read = {answer: self._read(answer) for answer in answers if answer}
        distinct = {quantity for quantity in read.values() if quantity is not None}
        clusters: list[list[Quantity]] = []
        labels: dict[Quantity, int] = {}
        for quantity in sorted(distinct, key=lambda q: (q.value, q.unit)):
            fits = (
                all(self._is_same(quantity, other) for other in members) for members in clusters
            )
            label = next((number for number, fit in enumerate(fits) if fit), len(clusters))
            if label == len(clusters):
                clusters.append([])
            clusters[label].append(quantity)
            labels[quantity] = label
        quantities = (read.get(answer) if answer else None for answer in answers)
        return [None if quantity is None else labels[quantity] for quantity in quantities]

    def _score(self, gold: Quantity | None, answer: str | None) -> Score:
        quantity = self._read(answer) if answer else None
        if quantity is None or gold is None:
            return Score(0.0, "no answer")
        return Score(float(self._is_same(gold, quantity)), details={"answer": answer})

    def _is_same(self, first: Quantity, second: Quantity) -> bool:
        if first.unit and second.unit and first.unit != second.unit:
            return False
        largest = max(abs(first.value), abs(second.value))
        slack = max(Fraction(self.absolute), Fraction(self.relative) * largest)
        return abs(first.value - second.value) <= slack

    def _read(self, answer: str) -> Quantity | None:
        return whole_quantity(answer, self.decimal, unit=self.unit or "")

    @cached_property
    def _regex(self) -> re.Pattern[str] | None:
        return pattern_of("number", self.pattern)
