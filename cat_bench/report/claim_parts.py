"""One figure of a claim, compared with the claim's threshold."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from typing import Literal, TypeAlias

Verdict: TypeAlias = Literal["supported", "contradicted", "undecided", "not measured"]
FEWEST, ALPHA = 30, 0.05


@dataclass(frozen=True, slots=True)
class Part:
    """One figure of a claim in words, with its interval and its threshold."""

    words: str
    value: float
    low: float
    high: float
    threshold: float = 0.0
    needed: int | None = None
    questions: int = 0
    p: float = 0.0
    flag: str | None = None
    decided: Verdict | None = None
    """The verdict of another rule, if one decides."""

    @property
    def verdict(self) -> Verdict:
        """Supported or contradicted if the interval lies on one side, else undecided."""
        if self.decided:
            return self.decided
        if self.flag or isnan(self.low) or 0 < self.questions < FEWEST or self.p >= ALPHA:
            return "undecided"
        above, below = self.low > self.threshold, self.high < self.threshold
        return "supported" if above else "contradicted" if below else "undecided"

    @property
    def more(self) -> int | None:
        """The number of further questions that would decide; None if it is decided."""
        few = FEWEST if 0 < self.questions < FEWEST else 0
        needed = max(self.needed or 0, few) if self.verdict == "undecided" else 0
        return max(1, needed - self.questions) if needed else None
