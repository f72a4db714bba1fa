"""The majority's exact value at any n, from a run's rollouts; n need not be a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from cat_bench.runs.parts import places_by_question
from cat_bench.runs.tables import Reading
from cat_bench.stats.exact import expected_score, majority_probabilities
from cat_bench.types.calls import JSON, FloatArray


class Votes(Reading):
    """The answers and scores of every question's rollouts, failures left out."""

    rollout_columns = ("question", "cluster", "score", "failed")

    def __init__(self, record: Mapping[str, JSON]) -> None:
        super().__init__(record)
        self.pools: dict[str, tuple[FloatArray, FloatArray]] = {}
        """Clusters and scores by question, shapes (N,); NaN for a missing one."""
        self._known: dict[int, dict[str, float]] = {}

    def add_rollouts(self, rows: pd.DataFrame) -> None:
        """Take in the rollouts of whole questions."""
        answered = rows[rows["failed"].isna()]
        clusters, scores = (
            answered[name].to_numpy(float, na_value=np.nan) for name in ("cluster", "score")
        )
        for question, at in places_by_question(answered):
            self.pools[question] = clusters[at], scores[at]

    def at(self, n: int, questions: Sequence[str]) -> FloatArray:
        """Return the expected score of a vote of n rollouts, shape (questions,), or NaN."""
        if n not in self._known:
            self._known[n] = {name: _vote(*pool, n) for name, pool in self.pools.items()}
        return np.array([self._known[n].get(name, np.nan) for name in questions])


def _vote(clusters: FloatArray, scores: FloatArray, n: int) -> float:
    labels = [None if np.isnan(cluster) else int(cluster) for cluster in clusters]
    return float(expected_score(majority_probabilities(labels, [n]), scores).value[0])
