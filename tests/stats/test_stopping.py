"""Exact expectations of stopping rules against every order of small pools."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import permutations
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import gammainc
from scipy.stats import beta as beta_distribution
from scipy.stats import gamma

from cat_bench.stats.stopping import Counts, Label, Rule, expect_stop, votes_after
from cat_bench.stats.stopping_orders import random_orders, replay_rule
from cat_bench.stats.stopping_rules import (
    bayes_factor,
    beta,
    entropy,
    leaders,
    leading_chance,
    majority_share,
)
from cat_bench.types.records import Stopped
from tests.stats.every_order import Played, over_every_order

RULES = {
    "beta": beta(0.85),
    "majority": majority_share(0.7),
    "entropy": entropy(0.6),
    "bayes": bayes_factor(4.0),
    "never": lambda votes: np.zeros(len(votes), dtype=bool),
    "always": lambda votes: np.ones(len(votes), dtype=bool),
}


def by_hand(
    labels: Sequence[Label], caps: Sequence[int], rule: Rule, tokens: Sequence[float]
) -> Stopped:
    """What the rule does over every order of the pool."""

    def play(order: Sequence[int]) -> Played:
        read: list[int] = []
        votes: Counter[Label] = Counter()
        for slot in order:
            read.append(slot)
            if labels[slot] is not None:
                votes[labels[slot]] += 1
                if rule(votes_of(*votes.values()))[0]:
                    break
        return read, votes, sum(tokens[slot] for slot in read)

    return over_every_order(labels, caps, play)


pools = st.lists(st.sampled_from(["a", "b", "c", "d", None]), min_size=1, max_size=6)


@pytest.mark.parametrize("name", RULES)
@given(labels=pools)
@settings(max_examples=15, deadline=None)
def test_the_expectation_is_the_mean_over_all_orders(name: str, labels: list[Label]) -> None:
    caps = list(range(1, len(labels) + 1))
    tokens = np.arange(len(labels)) ** 2 + 1.0
    found = expect_stop(labels, caps, RULES[name], tokens=tokens)
    expected = by_hand(labels, caps, RULES[name], tokens.tolist())
    assert found.exact
    np.testing.assert_allclose(found.picks, expected.picks, atol=1e-12)
    np.testing.assert_allclose(found.drawn, expected.drawn, atol=1e-12)
    np.testing.assert_allclose(found.sequential, expected.sequential, atol=1e-9)


@pytest.mark.parametrize("name", RULES)
@given(labels=pools)
@settings(max_examples=15, deadline=None)
def test_replayed_over_every_order_is_the_expectation(name: str, labels: list[Label]) -> None:
    caps = list(range(1, len(labels) + 2))
    tokens = np.arange(len(labels)) ** 2 + 1.0
    orders = np.array(list(permutations(range(len(labels)))), dtype=np.int64)
    drawn = replay_rule(labels, caps, RULES[name], tokens=tokens, orders=orders)
    exact = expect_stop(labels, caps, RULES[name], tokens=tokens)
    assert not drawn.exact
    np.testing.assert_allclose(drawn.picks, exact.picks, atol=1e-12)
    np.testing.assert_allclose(drawn.drawn, exact.drawn, atol=1e-12)
    np.testing.assert_allclose(drawn.sequential, exact.sequential, atol=1e-9)
    assert np.isnan(drawn.picks[-1]).all()
    assert np.isnan(exact.sequential[-1])


@given(
    labels=st.lists(st.sampled_from([0, 0, 0, 1, 1, 2, 3, 4, None]), min_size=12, max_size=24),
    name=st.sampled_from(sorted(RULES)),
)
@settings(max_examples=20, deadline=None)
def test_a_mean_over_random_orders_is_near_the_expectation(labels: list[Label], name: str) -> None:
    caps, tokens = [5, len(labels)], np.linspace(1, 9, len(labels))
    orders = random_orders(len(labels), np.random.default_rng(len(labels)), count=4_000)
    drawn = replay_rule(labels, caps, RULES[name], tokens=tokens, orders=orders)
    exact = expect_stop(labels, caps, RULES[name], tokens=tokens)
    assert drawn.each is not None
    worth = np.array([label == 0 for label in labels], dtype=float)
    each = drawn.each @ worth
    error = each.std(axis=0, ddof=1) / len(orders) ** 0.5
    # What is rarer than one order in 800 may not have been drawn, with no error to show for it.
    seen = np.maximum(error, 1 / len(orders))
    assert (np.abs(each.mean(axis=0) - exact.picks @ worth) <= 5 * seen).all()


def test_a_walk_with_too_many_states_is_given_up() -> None:
    labels = [k % 12 for k in range(100)]
    never = RULES["never"]
    assert np.isnan(expect_stop(labels, [100], never, tokens=np.ones(100)).picks).all()
    short = expect_stop([*"aabbc"], [1, 2, 5], never, tokens=np.ones(5), states=6)
    assert np.isnan(short.sequential).tolist() == [False, False, True]
    assert short.sequential[:2].tolist() == [1, 2]


def test_many_answers_that_were_given_once_are_few_states() -> None:
    labels = ["a"] * 40 + [f"once {k}" for k in range(100)] + [None] * 20
    found = expect_stop(labels, [40, 160], beta(0.95), tokens=np.ones(160), states=20_000)
    np.testing.assert_allclose(found.picks.sum(axis=1), 1)


def test_nobody_votes() -> None:
    found = expect_stop([None, "", None], [1, 3], beta(0.9), tokens=np.array([1.0, 2.0, 3.0]))
    assert found.picks.sum() == 0
    np.testing.assert_allclose(found.sequential, [2, 6])
    orders = random_orders(3, np.random.default_rng(0), count=60)
    again = replay_rule([None, "", None], [3], beta(0.9), tokens=np.ones(3), orders=orders)
    assert again.picks.sum() == 0
    assert again.sequential[0] == 3


def test_the_number_of_votes_is_hypergeometric() -> None:
    table = votes_after(5, 2)
    np.testing.assert_allclose(table.sum(axis=1), 1)
    np.testing.assert_allclose(table[2], [0.3, 0.6, 0.1])


def votes_of(*counts: int) -> Counts:
    return np.bincount(counts)[None, :].astype(np.int16)


def test_beta_is_the_posterior_chance_that_the_leader_has_more_than_half() -> None:
    for a, b in [(1, 0), (3, 0), (4, 0), (5, 1), (12, 6), (9, 9)]:
        chance = beta_distribution(a + 1, b + 1).sf(0.5)
        counts = votes_of(*(c for c in (a, b, 1 if b else 0) if c))
        assert beta(chance - 1e-9)(counts)[0]
        assert not beta(chance + 1e-9)(counts)[0]


@pytest.mark.parametrize("counts", [(1,), (3,), (2, 1), (5, 5), (9, 3, 1, 1), (30, 28), (60, 2)])
def test_the_leader_is_the_likeliest_with_the_chance_of_a_dirichlet(
    counts: tuple[int, ...],
) -> None:
    top, *others = sorted(counts, reverse=True)

    def behind(x: float) -> float:
        rivals = [gammainc(c + 1, x) for c in (*others, 0.3)]
        return float(gamma(top + 1).pdf(x) * np.prod(rivals))

    expected, _ = quad(behind, 0, inf, epsabs=1e-12, limit=200)
    assert leading_chance(votes_of(*counts))[0] == pytest.approx(expected, abs=1e-8)


def test_best_of_infinity_stops_at_its_odds_and_never_on_a_tie() -> None:
    chance = leading_chance(votes_of(3))[0]
    odds = 2 * chance / (1 - chance)
    assert bayes_factor(odds * 0.999)(votes_of(3))[0]
    assert not bayes_factor(odds * 1.001)(votes_of(3))[0]
    assert not bayes_factor(1e-9)(votes_of(4, 4))[0]


def test_the_majority_rule_needs_two_votes() -> None:
    rule = majority_share(0.8)
    assert [bool(rule(votes_of(*c))[0]) for c in [(1,), (2,), (4, 1), (3, 1)]] == [
        *(False, True, True, False)
    ]


def test_the_entropy_rule_is_relative_to_the_answers_seen() -> None:
    rule = entropy(0.75)
    assert not rule(votes_of(1))[0]
    assert not rule(votes_of(1, 1))[0]
    assert rule(votes_of(4, 1))[0]  # 0.722 bits of 1


def test_leaders_are_the_two_largest_counts() -> None:
    for counts, expected in [((4,), (4, 0)), ((4, 4, 1), (4, 4)), ((5, 2, 2), (5, 2))]:
        top, second = leaders(votes_of(*counts))
        assert (int(top[0]), int(second[0])) == expected
