"""Consistency: a rollout's similarity to the others, as in minimum Bayes risk decoding.

The rollout with the highest mean similarity to the others has the least expected loss under the
model's samples (Bertsch et al. 2023, arXiv 2310.01387).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cat_bench.errors import NotAvailable
from cat_bench.models.throttling import gather_all
from cat_bench.signals.pairs import PairMean
from cat_bench.system.extras import install_command
from cat_bench.types.calls import FloatArray
from cat_bench.types.plugins import Context
from cat_bench.types.records import Question, Rollout
from cat_bench.types.traits import Need

NEEDS: Mapping[str, tuple[Need, ...]] = {
    "answer": ("answers",),
    "rouge": (),
    "embedding": ("embedder",),
}


@dataclass(frozen=True)
class Consistency(PairMean):
    """Mean similarity to the other rollouts, at most 1.

    By `answer`: 1 where two answers are equivalent. By `rouge`: the F measure of ROUGE-L (Lin 2004)
    of the texts, without case and punctuation, by the package rouge-score. By `embedding`: the
    cosine of the texts' embeddings; an empty text has no embedding and is similar to no other.
    """

    by: Literal["answer", "rouge", "embedding"] = "answer"

    @property
    def needs(self) -> frozenset[Need]:
        """Answers, or an embedding model, if these are compared."""
        return frozenset(NEEDS[self.by])

    async def matrix(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> FloatArray:
        """Return the similarities, shape (n, n), symmetric."""
        if self.by == "rouge":
            return await asyncio.to_thread(_rouge, [r.text for r in rollouts])
        if self.by == "embedding":
            return await _cosine([r.text for r in rollouts], ctx)
        labels = await ctx.clusters(rollouts)
        return np.array([[a is not None and a == b for b in labels] for a in labels], dtype=float)


def _rouge(texts: Sequence[str]) -> FloatArray:
    words = [_split_words(text) for text in texts]
    matrix = np.ones((len(texts), len(texts)))
    for i, first in enumerate(words):
        for j, second in enumerate(words[:i]):
            shared, size = _longest_common(first, second), len(first) + len(second)
            matrix[i, j] = matrix[j, i] = 2 * shared / size if shared else 0.0
    return matrix


def _longest_common(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest common subsequence; an integer's bits hold a table row.

    Crochemore et al. 2001: rouge-score's own table is a list of lists, 20 GB for two long texts.
    """
    places: dict[str, int] = {}
    for place, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << place
    full = row = (1 << len(first)) - 1
    for word in second:
        if hit := row & places.get(word, 0):
            row = (row + hit | row - hit) & full
    return len(first) - row.bit_count()


async def _cosine(texts: Sequence[str], ctx: Context) -> FloatArray:
    filled = [index for index, text in enumerate(texts) if text.strip()]
    vectors = await gather_all(*(ctx.embedder.embed(texts[index]) for index in filled))
    matrix = np.eye(len(texts))
    if filled:
        matrix[np.ix_(filled, filled)] = np.stack(vectors) @ np.stack(vectors).T
    return matrix


def _split_words(text: str) -> list[str]:
    try:
        from rouge_score.tokenize import tokenize
    except ImportError as error:
        raise NotAvailable(f"ROUGE needs rouge-score: {install_command('rouge')}") from error
    words: list[str] = tokenize(text, None)
    return words
