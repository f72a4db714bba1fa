"""Spend a fixed number of samples over several questions: evenly, or where answers disagree.

The estimate of each question is the vote over its samples. An even split is exact; the adaptive one
is replayed over random orders of each pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from math import sqrt

import numpy as np
from scipy.special import betainc

from cat_bench.stats.exact import Label, majority_probabilities
from cat_bench.types.calls import FloatArray


@dataclass(frozen=True, slots=True)
class Allocated:
    """The mean score over questions, its Monte-Carlo error, and each question's samples."""

    score: float
    error: float
    samples: FloatArray


def allocate_evenly(
    labels: Sequence[Sequence[Label]], worth: Sequence[FloatArray], total: int
) -> Allocated:
    """Return the exact expectation if each question gets `total` / questions samples or one more.

    The questions with one more are random. `labels` and `worth` hold each question's pool: its
    rollouts' answers and scores. Raises ValueError where a pool has too few rollouts.
    """
    each, over = divmod(total, len(labels))
    more = over / len(labels)
    _check(labels, each + (over > 0), each)
    scores = []
    for answers, values in zip(labels, worth, strict=True):
        low, high = np.nan_to_num(majority_probabilities(answers, [each, each + 1])) @ values
        scores.append((1 - more) * low + more * high)
    return Allocated(float(np.mean(scores)), 0.0, np.full(len(labels), each + more))


def allocate_by_disagreement(
    labels: Sequence[Sequence[Label]],
    worth: Sequence[FloatArray],
    total: int,
    *,
    rng: np.random.Generator,
    first: int = 1,
    replays: int = 200,
) -> Allocated:
    """Return the mean over `replays` if each next sample goes where the leader is least certain.

    Every question gets `first` samples. Then the next one goes to the question with the smallest
    chance that its top answer beats the second, as Adaptive-Consistency computes it (arXiv
    2305.11860); ties are broken at random. A pool that is used up gets no more. Raises ValueError
    where pools have fewer than `first` rollouts or fewer than `total` in all.
    """
    _check(labels, first, 1)
    if not first * len(labels) <= total <= sum(map(len, labels)):
        raise ValueError(f"{total} samples do not fit {len(labels)} pools with {first} each")
    scores, samples = [], np.zeros(len(labels))
    for _ in range(replays):
        states = [_Votes(answers, rng, first) for answers in labels]
        heap = [(votes.certainty, rng.random(), k) for k, votes in enumerate(states)]
        heapify(heap)
        for _ in range(total - first * len(labels)):
            k = heap[0][2]
            states[k].draw()
            heapreplace(heap, (states[k].certainty, rng.random(), k))
        scores.append(np.mean([v.score(w) for v, w in zip(states, worth, strict=True)]))
        samples += [votes.used for votes in states]
    error = float(np.std(scores, ddof=1)) / sqrt(replays) if replays > 1 else float("nan")
    return Allocated(float(np.mean(scores)), error, samples / replays)


class _Votes:
    """The votes of one question as samples come in."""

    def __init__(self, answers: Sequence[Label], rng: np.random.Generator, first: int) -> None:
        self._order = [answers[k] for k in rng.permutation(len(answers))]
        self._answers = answers
        self._counts: dict[Label, int] = {}
        self.used = 0
        for _ in range(first):
            self.draw()

    def draw(self) -> None:
        """Take the next sample."""
        answer = self._order[self.used]
        self.used += 1
        if answer not in (None, ""):
            self._counts[answer] = self._counts.get(answer, 0) + 1

    @property
    def certainty(self) -> float:
        """The chance that the top answer beats the second; above 1 for a pool that is used up."""
        if self.used == len(self._order):
            return 2.0
        top, second = (*sorted(self._counts.values(), reverse=True), 0, 0)[:2]
        return float(betainc(second + 1, top + 1, 0.5))

    def score(self, worth: FloatArray) -> float:
        """Return the mean worth of the top answers' rollouts; 0 where nobody voted."""
        most = max(self._counts.values(), default=0)
        best = [answer for answer, count in self._counts.items() if count == most]
        means = [worth[[answer == each for each in self._answers]].mean() for answer in best]
        return float(np.mean(means)) if means else 0.0


def _check(labels: Sequence[Sequence[Label]], needed: int, least: int) -> None:
    if not labels or least < 1:
        raise ValueError("there should be questions, and a sample for each of them")
    if (smallest := min(map(len, labels))) < needed:
        raise ValueError(f"{needed} samples of one question, whose pool has {smallest}")
