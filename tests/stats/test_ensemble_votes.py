"""The vote of several models against every draw, on small pools."""

from __future__ import annotations

from itertools import combinations, product
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cat_bench.stats.ensemble_votes import Ballots, vote_ensemble
from cat_bench.stats.ensembles import equal_weights, weighted_score
from cat_bench.stats.exact import expected_score, majority_probabilities, max_at

WORTH = np.array([1.0, 0.25, 0.0])
Pools = list[list[tuple[int, float]]]
"""Each model's rollouts: an answer (-1 for none) and its tokens."""

rollouts = st.tuples(st.integers(-1, 2), st.integers(1, 9).map(float))
pools = st.lists(st.lists(rollouts, min_size=4, max_size=4), min_size=1, max_size=3)


def ballots(made: Pools) -> Ballots:
    counts = [[sum(answer == k for answer, _ in pool) for k in range(3)] for pool in made]
    return Ballots(np.array(counts), WORTH, [np.array([t for _, t in pool]) for pool in made])


def by_every_draw(made: Pools, weights: list[float], n: int) -> tuple[float, float, float]:
    """Score, tokens and sequential tokens, by enumeration of who samples and which rollouts."""
    whole = [int(n * w + 1e-9) for w in weights]
    fractions = [n * w - k for w, k in zip(weights, whole, strict=True)]
    left = n - sum(whole)
    total = np.zeros(3)
    for extra in product(range(len(made)), repeat=left):
        chance = np.prod([fractions[m] / left for m in extra]) if left else 1.0
        if chance < 1e-12:
            continue
        takes = [k + extra.count(m) for m, k in enumerate(whole)]
        drawn = product(*(combinations(pool, k) for pool, k in zip(made, takes, strict=True)))
        found = [one([sample for part in parts for sample in part]) for parts in drawn]
        total += chance * np.mean(found, axis=0)
    score, tokens, sequential = total.tolist()
    return score, tokens, sequential


def one(samples: list[tuple[int, float]]) -> tuple[float, float, float]:
    votes = [answer for answer, _ in samples if answer >= 0]
    top = [k for k in set(votes) if votes.count(k) == max(map(votes.count, votes))]
    lengths = [tokens for _, tokens in samples]
    return fmean(WORTH[top]) if top else 0.0, sum(lengths), max(lengths)


@given(pools, st.integers(1, 4), st.lists(st.integers(0, 3), min_size=3, max_size=3))
@settings(max_examples=60, deadline=None)
def test_exact_is_the_mean_over_every_draw(made: Pools, n: int, parts: list[int]) -> None:
    parts = parts[: len(made)] if sum(parts[: len(made)]) else [1] * len(made)
    weights = [part / sum(parts) for part in parts]
    rng = np.random.default_rng(0)
    found = vote_ensemble(ballots(made), np.array(weights), n, rng=rng, states=10**9)
    score, tokens, sequential = by_every_draw(made, weights, n)
    assert found.score == pytest.approx(score)
    assert found.error is None
    assert found.tokens == pytest.approx(tokens)
    assert found.sequential == pytest.approx(sequential)


@given(pools, st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_draws_agree_with_the_exact_value(made: Pools, n: int) -> None:
    asked, weights = ballots(made), equal_weights(len(made))
    exact, drawn = (
        vote_ensemble(asked, weights, n, rng=np.random.default_rng(1), states=states, draws=4_000)
        for states in (10**9, 0)
    )
    assert drawn.error is not None or len(made) == 1
    assert drawn.score == pytest.approx(exact.score, abs=6 * (drawn.error or 0) + 0.01)
    assert (drawn.tokens, drawn.sequential) == (exact.tokens, exact.sequential)


def test_one_model_is_its_own_vote() -> None:
    pool = [(0, 3.0), (0, 4.0), (1, 5.0), (2, 9.0), (-1, 7.0), (1, 1.0)]
    labels = [answer if answer >= 0 else None for answer, _ in pool]
    right = [WORTH[answer] if answer >= 0 else 0.0 for answer, _ in pool]
    for n in range(1, 7):
        found = vote_ensemble(ballots([pool]), np.ones(1), n, rng=np.random.default_rng(0))
        vote = expected_score(majority_probabilities(labels, [n]), right).value[0]
        assert found.score == pytest.approx(vote)
        assert found.sequential == pytest.approx(max_at([t for _, t in pool], [n])[0])


def test_many_samples_reach_the_limit() -> None:
    counts = np.array([[300, 200], [150, 250]])
    tokens = [np.ones(500), np.ones(500)]
    asked = Ballots(counts, np.array([1.0, 0.0]), tokens)
    for weights in (np.array([0.5, 0.5]), np.array([0.8, 0.2])):
        found = vote_ensemble(asked, weights, 400, rng=np.random.default_rng(0))
        assert found.score == pytest.approx(weighted_score(asked.polled, weights), abs=0.2)


def test_what_a_pool_cannot_give_is_refused() -> None:
    asked = ballots([[(0, 1.0)] * 4, [(0, 1.0)] * 4])
    with pytest.raises(ValueError, match="9 samples need more rollouts"):
        vote_ensemble(asked, equal_weights(2), 9, rng=np.random.default_rng(0))
