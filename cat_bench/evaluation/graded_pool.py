"""A pool with its scores, and the fields of a row for picks among its rollouts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from cat_bench.models.costs import Charge, Use, longest
from cat_bench.stats.exact import expected_parts, expected_score
from cat_bench.types.calls import JSON, FloatArray
from cat_bench.types.records import EXHAUSTED, Pool, Rollout, Score


@dataclass(frozen=True)
class GradedPool:
    """One question's rollouts with their scores and clusters."""

    pool: Pool
    scores: Mapping[str, Score]
    """Each rollout text's score."""
    labels: Mapping[int, int | None]
    """Each slot's cluster in the pool's partition by answer."""

    @property
    def rollouts(self) -> tuple[Rollout, ...]:
        """The pool's rollouts, in slot order."""
        return self.pool.rollouts

    @cached_property
    def values(self) -> list[float]:
        """The rollouts' scores in slot order; NaN for an unscored rollout."""
        return list(map(self._value, self.rollouts))

    @cached_property
    def charges(self) -> list[Charge]:
        """The charges for sampling the pool, failed calls included."""
        sampled = [Charge.of("policy", rollout.reply) for rollout in self.rollouts]
        return sampled + [Charge.of("policy", failed) for failed in self.pool.failures.values()]

    @cached_property
    def _longest(self) -> dict[int, float]:
        return {}

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

    def worth(
        self, weights: ArrayLike, picked: Sequence[Rollout] | None = None
    ) -> list[dict[str, JSON]]:
        """Return the fields of a row for each row of `weights`, shape (rows, rollouts).

        A weight is the probability that this rollout of `picked`, by default of all, is the pick.
        """
        picked = self.rollouts if picked is None else picked
        scores = [self.scores[rollout.text] for rollout in picked]
        expected = expected_score(weights, list(map(self._value, picked)))
        parts = expected_parts(weights, [score.parts for score in scores])
        overran = np.array([bool(score.details.get(EXHAUSTED)) for score in scores], dtype=float)
        exhausted = np.asarray(weights, dtype=float) @ overran
        reason = next((score.reason for score in scores if score.value is None), None)
        return [
            {
                "lost": float(expected.lost[k]),
                "abstained": float(expected.abstained[k]),
                "exhausted": float(exhausted[k]),
                **part_fields(parts[k]),
                **score_fields(expected.value[k], reason),
            }
            for k in range(len(parts))
        ]

    def abstention(self) -> dict[str, JSON]:
        """Return the fields of a row for an abstention: the score and all its parts are 0."""
        names = next((p for score in self.scores.values() if (p := score.parts)), {})
        return {"score": 0.0, "abstained": 1.0, **part_fields(dict.fromkeys(names, 0.0))}

    def _value(self, rollout: Rollout) -> float:
        value = self.scores[rollout.text].value
        return math.nan if value is None else value


def part_fields(parts: Mapping[str, float]) -> dict[str, JSON]:
    """Return the fields of a row for the parts of a score."""
    return {"parts": tuple(parts), "part_scores": tuple(parts.values())}


def score_fields(value: float | None, reason: str | None = None) -> dict[str, JSON]:
    """Return the fields of a row for a score; NaN or None is unscored, with the reason."""
    if value is None or math.isnan(value):
        return {"score": None, "failed": f"unscored: {reason or 'no pick could be graded'}"}
    return {"score": float(value)}


def variances(apart: Sequence[FloatArray], budgets: Sequence[int]) -> dict[int, float]:
    """Return the variance of a mean over disjoint parts by budget, if every part is large enough.

    `apart` holds each part's values, shape (budgets,).
    """
    found = np.var(np.stack(apart), axis=0, ddof=1) / len(apart)
    return {n: float(v) for n, v in zip(budgets, found, strict=True) if not math.isnan(v)}
