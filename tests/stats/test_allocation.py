"""A fixed number of samples over several questions, against every order of small pools."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations, product
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betainc

from cat_bench.stats.allocation import allocate_by_disagreement, allocate_evenly
from cat_bench.stats.vote_paths import Pooled

Labels = list[str | None]


def pooled(labels: Sequence[str | None]) -> Pooled:
    right = np.array([label == "a" for label in labels], dtype=float)
    return Pooled(labels, right, np.arange(1.0, len(labels) + 1))


EASY, HARD = ["a"] * 20, ["a"] * 11 + ["b"] * 9
POOLS = [pooled(labels) for labels in (EASY, EASY, EASY, HARD)]
small = st.lists(st.sampled_from(["a", "b", "c", None]), min_size=3, max_size=3)


def vote(answers: tuple[str | None, ...] | Labels) -> float:
    votes = [answer for answer in answers if answer]
    top = [v for v in set(votes) if votes.count(v) == max(map(votes.count, votes))]
    return top.count("a") / len(top) if top else 0.0


@given(st.lists(small, min_size=1, max_size=3), st.data())
@settings(max_examples=40, deadline=None)
def test_an_even_split_is_the_mean_over_all_subsets(
    labels: list[Labels], data: st.DataObject
) -> None:
    total = data.draw(st.integers(len(labels), 3 * len(labels)))
    low = total // len(labels)
    splits = [s for s in product((low, low + 1), repeat=len(labels)) if sum(s) == total]
    means = [
        fmean(
            fmean(vote(drawn) for drawn in combinations(answers, n))
            for answers, n in zip(labels, split, strict=True)
        )
        for split in splits
    ]
    found = allocate_evenly([pooled(each) for each in labels], total)
    assert found.score == pytest.approx(fmean(means))
    assert found.samples.sum() == pytest.approx(total)
    assert found.tokens == pytest.approx(2 * total / len(labels))


def by_every_order(labels: list[Labels], drawn: list[Labels], left: int) -> float:
    """The mean score if each next sample goes where the leader is least certain."""
    if not left:
        return fmean(map(vote, drawn))
    open_to = [k for k, each in enumerate(labels) if len(drawn[k]) < len(each)]
    certain = {k: certainty(drawn[k]) for k in open_to}
    tied = [k for k in open_to if certain[k] < min(certain.values()) + 1e-9]
    means = []
    for k in tied:
        rest = Counter(labels[k]) - Counter(drawn[k])
        ways = [
            by_every_order(labels, [*drawn[:k], [*drawn[k], answer], *drawn[k + 1 :]], left - 1)
            for answer in rest.elements()
        ]
        means.append(fmean(ways))
    return fmean(means)


def certainty(drawn: Labels) -> float:
    votes = Counter(answer for answer in drawn if answer)
    (_, top), (_, second) = (*votes.most_common(2), ("", 0), ("", 0))[:2]
    return float(betainc(second + 1, top + 1, 0.5))


@given(st.lists(small, min_size=2, max_size=2), st.integers(2, 6))
@settings(max_examples=15, deadline=None)
def test_the_adaptive_rule_is_the_mean_over_every_order(labels: list[Labels], total: int) -> None:
    starts = list(product(*labels))
    exact = fmean(by_every_order(labels, [[a], [b]], total - 2) for a, b in starts)
    rng = np.random.default_rng(0)
    (found,) = allocate_by_disagreement(
        [pooled(e) for e in labels], [total], rng=rng, replays=4_000
    )
    assert found.score == pytest.approx(exact, abs=5 * found.error + 1e-9)
    assert found.samples.sum() == pytest.approx(total)


def test_samples_go_where_answers_disagree_and_that_pays() -> None:
    even = allocate_evenly(POOLS, 24)
    rng = np.random.default_rng(0)
    few, found = allocate_by_disagreement(POOLS, [12, 24], rng=rng, first=2, replays=400)
    assert few.samples.sum() == pytest.approx(12)
    assert found.samples.sum() == pytest.approx(24)
    assert found.samples[3] > 2 * found.samples[0]
    assert found.score > even.score + 3 * found.error
    assert 0 < found.error < 0.02
    assert found.scores.mean() == pytest.approx(found.score)


def test_a_pool_that_is_used_up_gets_no_more() -> None:
    pools = [pooled(["a", "b"]), pooled(["a"] * 6)]
    (found,) = allocate_by_disagreement(pools, [8], rng=np.random.default_rng(0), replays=5)
    assert found.samples.tolist() == [2, 6]
    assert found.score == pytest.approx(0.75)
    assert found.tokens == pytest.approx((3 + 21) / 2)


@pytest.mark.parametrize("total", [3, 90])
def test_what_does_not_fit_is_refused(total: int) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        allocate_by_disagreement(POOLS, [total], rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="sample"):
        allocate_evenly(POOLS, total)
