"""Shape a next-token distribution and draw from it in NumPy, as `hf` does.

Penalties change the raw logits first; then come temperature, top-k, top-p and min-p, each as
transformers defines it. Arrays of scores have shape (rows, vocabulary); a filtered token has the
score minus infinity.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cat_bench.models.backends.hf.distribution import Distribution
from cat_bench.models.backends.small.network import Array, Ints, softmax


def filter_scores(scores: Array, distribution: Distribution) -> Array:
    """Return the scores at the distribution's temperature, which is not 0, after its filters."""
    scores = scores / np.float32(distribution.temperature)
    if distribution.top_k:
        count = min(distribution.top_k, scores.shape[-1])
        least = np.partition(scores, -count, axis=-1)[:, -count, None]
        scores = np.where(scores < least, -np.inf, scores)
    if distribution.top_p < 1:
        order = scores.argsort(axis=-1, kind="stable")
        mass = softmax(np.take_along_axis(scores, order, axis=-1)).cumsum(axis=-1)
        removed = mass <= 1 - distribution.top_p
        removed[:, -1] = False
        out = np.empty_like(removed)
        np.put_along_axis(out, order, removed, axis=-1)
        scores = np.where(out, -np.inf, scores)
    if distribution.min_p:
        probabilities = softmax(scores.copy())
        least = distribution.min_p * probabilities.max(axis=-1, keepdims=True)
        scores = np.where(probabilities < least, -np.inf, scores)
    return scores.astype(np.float32, copy=False)


def draw(probabilities: Array, uniforms: Array) -> Ints:
    """Return one token per row: shapes (rows, vocabulary) and (rows, 1) to (rows,).

    It is the first token whose cumulated mass exceeds the number's share of the sum, which is near
    1 in float32. A token of probability 0 is never drawn.
    """
    cumulated = probabilities.cumsum(axis=-1, dtype=np.float64).astype(np.float32)
    total = cumulated[:, -1:]
    share = np.minimum(uniforms * total, np.nextafter(total, np.float32(0)))
    return np.asarray((cumulated <= share).sum(axis=-1), dtype=np.int64)


class History:
    """The tokens of each row's prompt, and the count of each written token: (rows, vocabulary)."""

    def __init__(
        self, distribution: Distribution, prompts: Sequence[Sequence[int]], vocabulary: int
    ) -> None:
        self._distribution = distribution
        self._counts = np.zeros((len(prompts), vocabulary), dtype=np.float32)
        self._prompted = np.zeros((len(prompts), vocabulary), dtype=np.bool_)
        for row, prompt in enumerate(prompts):
            self._prompted[row, list(prompt)] = True

    def add(self, tokens: Ints) -> None:
        """Count one more token for each row."""
        self._counts[np.arange(len(tokens)), tokens] += 1

    def keep(self, rows: Ints) -> None:
        """Keep only these rows."""
        self._counts, self._prompted = self._counts[rows], self._prompted[rows]

    def penalise(self, logits: Array) -> Array:
        """Apply transformers' repetition penalty, and OpenAI's presence and frequency penalties."""
        distribution = self._distribution
        written = self._counts > 0
        repetition = np.float32(distribution.repetition)
        less = np.where(logits < 0, logits * repetition, logits / repetition)
        logits = np.where(self._prompted | written, less, logits)
        fewer = (
            np.float32(distribution.presence) * written
            + np.float32(distribution.frequency) * self._counts
        )
        return (logits - fewer).astype(np.float32, copy=False)
