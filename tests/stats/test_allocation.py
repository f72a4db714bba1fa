"""A fixed number of samples over several questions."""

from __future__ import annotations

from itertools import combinations, product
from statistics import fmean

import numpy as np
import pytest

from cat_bench.stats.allocation import allocate_by_disagreement, allocate_evenly

EASY, HARD = ["a"] * 20, ["a"] * 11 + ["b"] * 9
LABELS = [EASY, EASY, EASY, HARD]
WORTH = [np.array([label == "a" for label in labels], dtype=float) for labels in LABELS]


def test_an_even_split_is_the_mean_over_all_subsets() -> None:
    labels: list[list[str | None]] = [["a", "a", "b"], ["a", "b", None]]
    worth = [np.array([1.0, 1, 0]), np.array([1.0, 0, 0])]

    def vote(answers: list[str | None], n: int) -> float:
        scores = []
        for drawn in combinations(range(len(answers)), n):
            votes = [answers[k] for k in drawn if answers[k]]
            top = [v for v in set(votes) if votes.count(v) == max(map(votes.count, votes))]
            scores.append(top.count("a") / len(top) if top else 0.0)
        return fmean(scores)

    for total in (2, 3, 4, 5):
        splits = [s for s in product((total // 2, -(-total // 2)), repeat=2) if sum(s) == total]
        means = [
            fmean(vote(answers, n) for answers, n in zip(labels, split, strict=True))
            for split in splits
        ]
        found = allocate_evenly(labels, worth, total)
        assert found.score == pytest.approx(fmean(means))
        assert found.samples.sum() == pytest.approx(total)


def test_samples_go_where_answers_disagree_and_that_pays() -> None:
    rng = np.random.default_rng(0)
    even = allocate_evenly(LABELS, WORTH, 24)
    found = allocate_by_disagreement(LABELS, WORTH, 24, rng=rng, first=2, replays=400)
    assert found.samples.sum() == pytest.approx(24)
    assert found.samples[3] > 2 * found.samples[0]
    assert found.score > even.score + 3 * found.error
    assert 0 < found.error < 0.02


def test_a_pool_that_is_used_up_gets_no_more() -> None:
    labels = [["a", "b"], ["a"] * 6]
    worth = [np.array([1.0, 0]), np.ones(6)]
    found = allocate_by_disagreement(labels, worth, 8, rng=np.random.default_rng(0), replays=5)
    assert found.samples.tolist() == [2, 6]
    assert found.score == pytest.approx(0.75)


@pytest.mark.parametrize("total", [3, 90])
def test_what_does_not_fit_is_refused(total: int) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        allocate_by_disagreement(LABELS, WORTH, total, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="sample"):
        allocate_evenly(LABELS, WORTH, total)
