"""Follow the vote of one question sample by sample, over random orders of its pool.

It is for rules that need many decisions from the same orders: one rule at many thresholds, or
samples that are divided among several questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cat_bench.stats.stopping import IntArray, Label
from cat_bench.stats.stopping_orders import membership, random_orders
from cat_bench.types.calls import FloatArray


@dataclass(frozen=True, slots=True)
class Pooled:
    """One question's pool: each rollout's answer, its score in [0, 1] and its tokens."""

    labels: Sequence[Label]
    worth: FloatArray
    tokens: FloatArray


@dataclass(frozen=True)
class VotePaths:
    """A question in many random orders, after 0, 1, ... samples.

    `votes` (orders, samples + 1, answers) counts each answer's votes so far; there are at least two
    columns. `drawn` (orders, samples) is the answer of each sample, -1 for none, and `lengths` its
    tokens. `worth` (answers,) is the mean score of an answer's rollouts.
    """

    votes: NDArray[np.int16]
    drawn: IntArray
    lengths: FloatArray
    worth: FloatArray

    @classmethod
    def of(
        cls, pool: Pooled, *, rng: np.random.Generator, count: int, last: int | None = None
    ) -> VotePaths:
        """Return `count` random orders of a pool, up to the `last` sample."""
        orders = random_orders(len(pool.labels), rng, count=count)[:, :last]
        members = membership(pool.labels)
        width = max(len(members), 2)
        votes = np.zeros((count, orders.shape[1] + 1, width), dtype=np.int16)
        scores, drawn = np.zeros(width), np.full(len(pool.labels), -1)
        for answer, members_of_answer in enumerate(members):
            votes[:, 1:, answer] = members_of_answer[orders].cumsum(axis=1)
            scores[answer], drawn[members_of_answer] = pool.worth[members_of_answer].mean(), answer
        return cls(votes, drawn[orders], pool.tokens[orders], scores)

    @cached_property
    def leaders(self) -> tuple[IntArray, IntArray]:
        """The most votes of an answer and the second most, shapes (orders, samples + 1)."""
        ordered = np.partition(self.votes, -2, axis=2)
        return ordered[..., -1].astype(np.int64), ordered[..., -2].astype(np.int64)

    @cached_property
    def scores(self) -> FloatArray:
        """The score of the vote so far, shape (orders, samples + 1); tied answers share evenly."""
        top = self.leaders[0]
        leads = (self.votes == top[..., None]) & (top[..., None] > 0)
        scores: FloatArray = (leads @ self.worth) / np.maximum(leads.sum(axis=2), 1)
        return scores

    @cached_property
    def tokens(self) -> FloatArray:
        """The tokens of all samples so far, shape (orders, samples + 1)."""
        return np.pad(self.lengths.cumsum(axis=1), ((0, 0), (1, 0)))
