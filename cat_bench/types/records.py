"""The records that the whole package uses: questions, rollouts, estimates, scores.

Records are frozen. A `Question` holds no target, so an aggregator cannot see gold;
only scorers (and supervised rewards) see a `Sample`. The records of a call are in `calls`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cat_bench.types.calls import JSON, Failure, FloatArray, Message, Reply


@dataclass(frozen=True, slots=True)
class Question:
    """One question to a model. `text` is the problem to quote, without instructions."""

    id: str
    messages: tuple[Message, ...]
    text: str
    meta: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """One dataset row: a question and its target (a gold answer, or a rubric).

    The target of an unlabelled row is None.
    """

    question: Question
    target: JSON
    cluster: str | None = None
    """A label shared by rows that are not independent (a repeated prompt); None: independent."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One completion of one question, at its place in the pool."""

    slot: int
    reply: Reply

    @property
    def text(self) -> str:
        """The completion, without any reasoning text."""
        return self.reply.text


@dataclass(frozen=True, slots=True)
class Pool:
    """All rollouts of one question under one model and one set of sampling parameters."""

    question: Question
    rollouts: tuple[Rollout, ...]
    failures: Mapping[int, Failure] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Estimate:
    """An aggregator's result: weighted picks, a new text, or an abstention.

    `picks` holds (slot, weight) over all tied rollouts, weights summing to 1, so that the score is
    the expectation over ties. `fallback` says why this is not the intended result.
    """

    picks: tuple[tuple[int, float], ...] = ()
    text: str | None = None
    fallback: str | None = None
    reason: str | None = None
    """The reason for an abstention."""

    @property
    def abstained(self) -> bool:
        """Whether there is neither a pick nor a text; this scores 0 and is counted."""
        return not self.picks and self.text is None

    @classmethod
    def pick(cls, *rollouts: Rollout, fallback: str | None = None) -> Estimate:
        """Return an estimate that picks one rollout, or several tied ones with equal weight."""
        if not rollouts:
            return cls.abstain("there was nothing to pick from")
        weight = 1 / len(rollouts)
        return cls(picks=tuple((r.slot, weight) for r in rollouts), fallback=fallback)

    @classmethod
    def synthesised(cls, text: str, *, fallback: str | None = None) -> Estimate:
        """Return an estimate with a new text, which is none of the rollouts."""
        return cls(text=text, fallback=fallback)

    @classmethod
    def abstain(cls, reason: str) -> Estimate:
        """Return an estimate without an answer."""
        return cls(reason=reason)


UNLABELLED = "unlabelled"
"""The `reason` of a score that is None because the question has no target."""
EXHAUSTED = "exhausted"
"""The detail of a score of 0 whose answer exceeded the time or memory for grading."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The effect of a stopping rule at each cap, which is a number of rollouts.

    Values are exact expectations, except at the caps in `means`.
    """

    picks: FloatArray
    """The chance of each rollout to be the pick, (caps, pool); rows sum to 1 - P(abstain)."""
    drawn: FloatArray
    """The chance of each rollout to be sampled, (caps, pool)."""
    sequential: FloatArray
    """The expected number of tokens on the critical path, (caps,)."""
    written: FloatArray | None = None
    """The expected share of each rollout that is written, (caps, pool); None: as `drawn`."""
    means: tuple[int, ...] = ()
    """The indices of the caps whose values are means over random orders."""
    each: FloatArray | None = None
    """The picks of each random order at these caps, (orders, means, pool)."""

    @property
    def exact(self) -> bool:
        """Whether all values are expectations, without Monte-Carlo error."""
        return not self.means


@dataclass(frozen=True, slots=True)
class Score:
    """A scorer's verdict on one text; `reason` says why `value` is None (unscored) or low."""

    value: float | None
    reason: str | None = None
    details: Mapping[str, JSON] = field(default_factory=dict)

    @property
    def parts(self) -> Mapping[str, float]:
        """The scores of parts of the rubric (a theme, an axis), by name."""
        parts: Mapping[str, float] = self.details.get("parts", {})
        return parts


@dataclass(frozen=True, slots=True)
class Marks:
    """The rewards of a group, in the order of its rollouts (None: unscored), with notes about them.

    `reference` is the text that rollouts were compared with. `notes` may hold `abstained`,
    `fallback`, `unscored` (place in the group → reason), `rubric` (its criteria) and further facts.
    """

    values: Sequence[float | None]
    reference: str | None = None
    notes: Mapping[str, JSON] = field(default_factory=dict)
