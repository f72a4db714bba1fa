"""A pool with its scores, and the fields of a row for picks among its rollouts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from cat_bench.models.costs import Sampled, costs
from cat_bench.stats.exact import expected_parts, expected_score
from cat_bench.types.calls import JSON, FloatArray
from cat_bench.types.records import EXHAUSTED, UNLABELLED, Pool, Rollout, Score


@dataclass(frozen=True, slots=True)
class Part:
    """Some rollouts of a pool with their scores; NaN for an unscored rollout."""

    rollouts: Sequence[Rollout]
    values: Sequence[float]


@dataclass(frozen=True)
class GradedPool:
    """One question's rollouts with their scores and clusters."""

    pool: Pool
    scores: Mapping[str, Score]
    """Each rollout text's score."""
    labels: Mapping[int, int | None]
    """Each slot's cluster in the pool's partition by answer."""
    answers: Mapping[int, str | None] = field(default_factory=dict)
    """Each slot's answer."""
    digests: Mapping[int, str] = field(default_factory=dict)
    """The SHA-256 of each slot's text."""
    labelled: bool = True
    """Whether the question has a target; without one, no score exists."""

    @property
    def rollouts(self) -> tuple[Rollout, ...]:
        """The pool's rollouts, in slot order."""
        return self.pool.rollouts

    @cached_property
    def verdicts(self) -> list[Score]:
        """The rollouts' scores with their details, in slot order."""
        return [self.scores[rollout.text] for rollout in self.rollouts]

    @property
    def values(self) -> Sequence[float]:
        """The rollouts' scores in slot order; NaN for an unscored rollout."""
        return self.choices.values

    @cached_property
    def sampled(self) -> Sampled:
        """The results of sampling the pool, failed calls included."""
        replies = [rollout.reply for rollout in self.rollouts]
        return Sampled([*replies, *self.pool.failures.values()])

    @cached_property
    def _costs(self) -> dict[int, dict[str, float]]:
        return {}

    def costs(self, n: int) -> Mapping[str, float]:
        """Return the costs of n average rollouts and no other call."""
        if n not in self._costs:
            self._costs[n] = costs(self.sampled.use(n), pool=self.sampled, bill=())
        return self._costs[n]

    @cached_property
    def order(self) -> list[int]:
        """The slots that the plan assigns: those that hold a rollout or may still get one."""
        passing = (slot for slot, failure in self.pool.failures.items() if not failure.permanent)
        return sorted([*(r.slot for r in self.rollouts), *passing])

    @cached_property
    def quarters(self) -> list[Part]:
        """Four disjoint parts of the pool, of equal size."""
        size = len(self.rollouts) // 4
        places = [slice(k * size, (k + 1) * size) for k in range(4)]
        return [Part(self.rollouts[place], self.values[place]) for place in places]

    def servable_budgets(self, budgets: Sequence[int]) -> list[int]:
        """Return the budgets for which the pool holds enough rollouts."""
        return [n for n in budgets if n <= len(self.rollouts)]

    def score_picks(
        self, weights: ArrayLike, picked: Sequence[Rollout] | None = None
    ) -> list[dict[str, JSON]]:
        """Return the fields of a row for each row of `weights`, shape (rows, rollouts).

        A weight is the probability that this rollout of `picked`, by default of all, is the pick.
        """
        shares = np.asarray(weights, dtype=float)
        if not self.labelled:
            lacking = (1 - shares.sum(axis=1)).clip(0, 1).tolist()
            return [{"abstained": mass, **score_fields(None, UNLABELLED)} for mass in lacking]
        if picked is None:
            return self.choices.score_picks(shares)
        return Choices([self.scores[rollout.text] for rollout in picked]).score_picks(shares)

    @cached_property
    def choices(self) -> Choices:
        """The rollouts as texts that a method may pick."""
        return Choices(self.verdicts)

    def abstention(self) -> dict[str, JSON]:
        """Return the fields of a row for an abstention: the score and all its parts are 0."""
        if not self.labelled:
            return {"abstained": 1.0, **score_fields(None, UNLABELLED)}
        names = next((p for score in self.scores.values() if (p := score.parts)), {})
        return {"score": 0.0, "abstained": 1.0, **part_fields(dict.fromkeys(names, 0.0))}


class Choices:
    """The scores of texts that a method may pick, and what its picks are worth."""

    def __init__(self, scores: Sequence[Score]) -> None:
        self.values = list(map(_value, scores))
        """The scores; NaN for an unscored text."""
        self.reason = why_unscored(scores)
        """Why a text is unscored."""
        parts = [score.parts for score in scores]
        self._parts = parts if any(parts) else []
        overran = [bool(score.details.get(EXHAUSTED)) for score in scores]
        self._overran = np.array(overran, dtype=float) if any(overran) else None

    def score_picks(self, weights: FloatArray) -> list[dict[str, JSON]]:
        """Return the fields of a row for each row of `weights`, shape (rows, texts)."""
        expected = expected_score(weights, self.values)
        nothing = [0.0] * len(weights)
        exhausted = nothing if self._overran is None else (weights @ self._overran).tolist()
        parts = expected_parts(weights, self._parts) if self._parts else [{}] * len(weights)
        columns = (expected.value.tolist(), expected.lost.tolist(), expected.abstained.tolist())
        return [
            {
                "lost": lost,
                "abstained": abstained,
                "exhausted": overran,
                **part_fields(named),
                **score_fields(value, self.reason),
            }
            for value, lost, abstained, overran, named in zip(
                *columns, exhausted, parts, strict=True
            )
        ]


def _value(score: Score) -> float:
    return math.nan if score.value is None else score.value


def part_fields(parts: Mapping[str, float]) -> dict[str, JSON]:
    """Return the fields of a row for the parts of a score."""
    return {"parts": tuple(parts), "part_scores": tuple(parts.values())}


def why_unscored(scores: Iterable[Score]) -> str | None:
    """Return the reason of the first score that is missing."""
    return next((score.reason for score in scores if score.value is None), None)


def score_fields(value: float | None, reason: str | None = None) -> dict[str, JSON]:
    """Return the fields of a row for a score; NaN or None is unscored, with the reason."""
    if reason == UNLABELLED:
        return {"score": None, "unlabelled": 1.0}
    if value is None or math.isnan(value):
        return {"score": None, "failed": f"unscored: {reason or 'no pick could be graded'}"}
    return {"score": float(value)}


def variances(quarters: Sequence[Sequence[float]], budgets: Sequence[int]) -> dict[int, float]:
    """Return the variance of a mean over four quarters by budget, if each of them has a value.

    `quarters` holds the values of each quarter, one for each budget.
    """
    found = {}
    for n, *values in zip(budgets, *quarters, strict=True):
        a, b, c, d = values
        mean = (a + b + c + d) / 4  # `sum` would round otherwise from Python 3.12 on
        a, b, c, d = a - mean, b - mean, c - mean, d - mean
        variance = (a * a + b * b + c * c + d * d) / 3 / 4
        if not math.isnan(variance):
            found[n] = variance
    return found
