"""A pool with its scores, and the fields of a row for picks among its rollouts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from cat_bench.models.costs import Charge, Use, costs, longest
from cat_bench.stats.exact import expected_parts, expected_score
from cat_bench.types.calls import JSON, FloatArray
from cat_bench.types.records import EXHAUSTED, UNLABELLED, Pool, Rollout, Score


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

    @cached_property
    def values(self) -> list[float]:
        """The rollouts' scores in slot order; NaN for an unscored rollout."""
        return list(map(_value, self.verdicts))

    @cached_property
    def charges(self) -> list[Charge]:
        """The charges for sampling the pool, failed calls included."""
        sampled = [Charge.of("policy", rollout.reply) for rollout in self.rollouts]
        return sampled + [Charge.of("policy", failed) for failed in self.pool.failures.values()]

    @cached_property
    def _longest(self) -> dict[int, float]:
        return {}

    @cached_property
    def _costs(self) -> dict[int, dict[str, float]]:
        return {}

    def costs(self, n: int) -> Mapping[str, float]:
        """Return the costs of n average rollouts and no other call."""
        if n not in self._costs:
            self._costs[n] = costs(self.use(n), pool=self.charges, bill=())
        return self._costs[n]

    def use(self, n: int, *, path: float = 0.0) -> Use:
        """Return the cost of n average rollouts, plus `path` sequential tokens of other calls."""
        if n not in self._longest:
            self._longest[n] = longest(self.charges, n)
        return Use.of(n, self.charges, longest=self._longest[n], path=path)

    @cached_property
    def order(self) -> list[int]:
        """The slots that the plan assigns: those that hold a rollout or may still get one."""
        passing = (slot for slot, failure in self.pool.failures.items() if not failure.permanent)
        return sorted([*(r.slot for r in self.rollouts), *passing])

    @cached_property
    def quarters(self) -> list[GradedPool]:
        """Four disjoint parts of the pool, of equal size."""
        size = len(self.rollouts) // 4
        parts = (self.rollouts[k * size : (k + 1) * size] for k in range(4))
        return [replace(self, pool=replace(self.pool, rollouts=part)) for part in parts]

    def servable_budgets(self, budgets: Sequence[int]) -> list[int]:
        """Return the budgets for which the pool holds enough rollouts."""
        return [n for n in budgets if n <= len(self.rollouts)]

    def score_picks(
        self, weights: ArrayLike, picked: Sequence[Rollout] | None = None
    ) -> list[dict[str, JSON]]:
        """Return the fields of a row for each row of `weights`, shape (rows, rollouts).

        A weight is the probability that this rollout of `picked`, by default of all, is the pick.
        """
        if not self.labelled:
            lacking = (1 - np.asarray(weights, dtype=float).sum(axis=1)).clip(0, 1).tolist()
            return [{"abstained": mass, **score_fields(None, UNLABELLED)} for mass in lacking]
        if picked is None:
            scores, values = self.verdicts, self.values
        else:
            scores = [self.scores[rollout.text] for rollout in picked]
            values = list(map(_value, scores))
        expected = expected_score(weights, values)
        shares = {name: getattr(expected, name).tolist() for name in ("lost", "abstained")}
        parts = expected_parts(weights, [score.parts for score in scores])
        overran = np.array([bool(score.details.get(EXHAUSTED)) for score in scores], dtype=float)
        shares["exhausted"] = (np.asarray(weights, dtype=float) @ overran).tolist()
        reason = why_unscored(scores)
        return [
            {
                **{name: share[k] for name, share in shares.items()},
                **part_fields(parts[k]),
                **score_fields(value, reason),
            }
            for k, value in enumerate(expected.value.tolist())
        ]

    def abstention(self) -> dict[str, JSON]:
        """Return the fields of a row for an abstention: the score and all its parts are 0."""
        if not self.labelled:
            return {"abstained": 1.0, **score_fields(None, UNLABELLED)}
        names = next((p for score in self.scores.values() if (p := score.parts)), {})
        return {"score": 0.0, "abstained": 1.0, **part_fields(dict.fromkeys(names, 0.0))}


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


def variances(apart: Sequence[FloatArray], budgets: Sequence[int]) -> dict[int, float]:
    """Return the variance of a mean over disjoint parts by budget, if every part is large enough.

    `apart` holds each part's values, shape (budgets,).
    """
    values = np.array(apart)
    off = values - values.sum(axis=0) / len(apart)  # as np.var does, at a third of its time
    found = (off * off).sum(axis=0) / (len(apart) - 1) / len(apart)
    return {n: v for n, v in zip(budgets, found.tolist(), strict=True) if not math.isnan(v)}
