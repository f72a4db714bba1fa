"""Votes by hand, plain and weighted, and over all subsets against the loop's own enumeration."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from cat_bench.aggregators.vote import Vote
from cat_bench.cache import Cache
from cat_bench.errors import ConfigError
from cat_bench.loading.registry import build
from cat_bench.types.records import Pool
from tests import toy

NAN = float("nan")


def scored(*rollouts: tuple[str, float]) -> Pool:
    """A pool of these answers, with these imported numbers."""
    return Pool(
        toy.sample().question,
        tuple(
            toy.rollout(k, f"= {answer}", scores={"reward": number})
            for k, (answer, number) in enumerate(rollouts)
        ),
    )


async def winners(vote: Vote, pool: Pool, cache: Cache) -> set[int]:
    estimate, _ = await toy.estimate(vote, pool, cache)
    return {slot for slot, _ in estimate.picks}


@pytest.mark.parametrize(
    ("texts", "weights"),
    [
        (("= a", "= A", "= b", ""), {0: 0.5, 1: 0.5}),
        (("= a", "= b", "none"), {0: 0.5, 1: 0.5}),
        (("= a", "= b", "= b", "= a", "= c"), dict.fromkeys((0, 1, 2, 3), 0.25)),
        (("none", "", "="), {}),
    ],
)
async def test_the_plain_vote(
    texts: tuple[str, ...], weights: dict[int, float], cache: Cache
) -> None:
    estimate, _ = await toy.estimate(Vote(), toy.pool(*texts), cache)
    assert dict(estimate.picks) == weights
    assert estimate.abstained == (not weights)


async def test_unanswered_rollouts_may_be_one_cluster(cache: Cache) -> None:
    pool = toy.pool("= a", "none", "", "= b")
    abstaining, _ = await toy.estimate(Vote(), pool, cache)
    assert dict(abstaining.picks) == {0: 0.5, 3: 0.5}
    voting, _ = await toy.estimate(Vote(unanswered="vote"), pool, cache)
    assert dict(voting.picks) == {1: 0.5, 2: 0.5}


def test_unanswered_rollouts_have_no_weight() -> None:
    with pytest.raises(ValueError, match="leave out `by`"):
        Vote("reward", unanswered="vote")


POOL = scored(("a", 1.0), ("a", 2.0), ("b", 4.0), ("c", 3.0), ("a", 0.5))


@pytest.mark.parametrize(
    ("vote", "expected"),
    [
        (Vote(), {0, 1, 4}),
        (Vote("reward", weight="value"), {2}),  # 3.5, 4, 3
        (Vote("reward", weight="rank"), {0, 1, 4}),  # 2 + 3 + 1, 5, 4
        (Vote("reward", weight="rank", power=2), {2}),  # 4 + 9 + 1, 25, 16
        (Vote("reward", weight="rank", keep=0.6), {2}),  # 1, 3, 2
        (Vote("reward", weight="softmax"), {2}),
        (Vote("reward", weight="softmax", temperature=10), {0, 1, 4}),
        (Vote("reward", weight="value", keep=0.2), {2}),
    ],
)
async def test_a_clusters_votes_add_up(vote: Vote, expected: set[int], cache: Cache) -> None:
    assert await winners(vote, POOL, cache) == expected


async def test_tied_numbers_share_the_mean_of_their_places(cache: Cache) -> None:
    pool = scored(("a", 1.0), ("b", 1.0), ("b", 0.0), ("a", 0.0))
    assert await winners(Vote("reward"), pool, cache) == {0, 1, 2, 3}


async def test_ties_at_the_edge_are_kept(cache: Cache) -> None:
    pool = scored(("a", 1.0), ("b", 1.0), ("b", 1.0), ("a", 0.0))
    assert await winners(Vote("reward", keep=0.25), pool, cache) == {1, 2}


async def test_rounding_breaks_no_tie(cache: Cache) -> None:
    pool = scored(("a", 0.1), ("a", 0.2), ("b", 0.3))
    assert 0.1 + 0.2 != 0.3
    assert await winners(Vote("reward", weight="value"), pool, cache) == {0, 1, 2}


async def test_tied_clusters_share_evenly_whatever_their_sizes(cache: Cache) -> None:
    """Ranks 1 and 2 against rank 3."""
    pool = scored(("a", 1.0), ("a", 2.0), ("b", 3.0))
    estimate, _ = await toy.estimate(Vote("reward", weight="rank"), pool, cache)
    assert dict(estimate.picks) == {0: 0.25, 1: 0.25, 2: 0.5}


async def test_who_has_no_number_has_no_vote(cache: Cache) -> None:
    pool = scored(("a", NAN), ("a", NAN), ("b", -2.0))
    for weight in ("rank", "softmax", "value"):
        vote = build("aggregator", "vote", {"by": "reward", "weight": weight})
        assert await winners(vote, pool, cache) == {2}
    estimate, _ = await toy.estimate(Vote("reward"), scored(("a", NAN), ("b", NAN)), cache)
    assert estimate.abstained
    assert estimate.reason == "no rollout has an answer and a vote"


async def test_negative_values_weigh_nothing(cache: Cache) -> None:
    pool = scored(("a", -5.0), ("a", -1.0), ("b", 0.5))
    assert await winners(Vote("reward", weight="value"), pool, cache) == {2}
    pool = scored(("a", -5.0), ("b", -1.0))
    assert await winners(Vote("reward", weight="value"), pool, cache) == {0, 1}


@pytest.mark.parametrize("params", [{"temperature": 0}, {"keep": 0}, {"keep": 1.1}])
def test_parameters_out_of_range_are_refused(params: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="should be above 0"):
        build("aggregator", "vote", params)


async def test_a_pool_of_eight_is_enumerated_and_agrees_with_brute_force(cache: Cache) -> None:
    answers = ["right", "right", "no", "half", "no", "right", "nein", "half"]
    rng = np.random.default_rng(5)
    numbers = np.round(rng.random(8), 2)
    pool = scored(*zip(answers, map(float, numbers), strict=True))
    whole = await toy.evaluation(pool, toy.roles(cache), cache, budgets=range(1, 9), free_draws=70)
    rows = await whole.rows(toy.method(Vote("reward", weight="value")))
    worth = {"right": 1.0, "half": 0.5}
    for n in range(1, 9):
        values = []
        for subset in combinations(range(8), n):
            sums: dict[str, float] = {}
            for k in subset:
                sums[answers[k]] = sums.get(answers[k], 0) + numbers[k]
            best = [a for a in sums if sums[a] >= max(sums.values()) - 1e-9]
            sizes = [sum(answers[k] == a for k in subset) for a in best]
            values.append(
                sum(worth.get(a, 0) * s for a, s in zip(best, sizes, strict=True)) / sum(sizes)
            )
        drawn = [row for row in rows if row.n == n]
        assert {row.subsets for row in drawn} == {len(values)} == {len(drawn)}
        assert np.mean([row.score for row in drawn]) == pytest.approx(np.mean(values))
        assert {row.calls for row in drawn} == {n}
