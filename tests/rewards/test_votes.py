"""TTRL, SCRL and advantages against direct implementations, on random groups."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from hashlib import sha256
from random import Random
from statistics import fmean, pstdev

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cat_bench.cache import Cache
from cat_bench.errors import NotAvailable
from cat_bench.evaluation.grader import Grader
from cat_bench.evaluation.group_rewards import Rewarded, reward_group
from cat_bench.loading.prompts import Prompts
from cat_bench.rewards import reward
from cat_bench.rewards.advantages import advantages
from cat_bench.rewards.reference import weighted_draw
from cat_bench.rewards.scrl import Scrl
from cat_bench.types.calls import Reply
from cat_bench.types.records import Rollout
from tests import toy

ANSWERS = st.sampled_from(["a", "A", "b", "c", "right", None])
GROUPS = st.lists(ANSWERS, min_size=1, max_size=12)


def rollouts(answers: Sequence[str | None]) -> list[Rollout]:
    """One rollout for each answer; None says nothing of the kind."""
    texts = ("who knows" if answer is None else f"it is = {answer}" for answer in answers)
    return [toy.rollout(slot, text) for slot, text in enumerate(texts)]


async def given_by(spec: str, group: Sequence[Rollout], cache: Cache) -> Rewarded:
    return await reward_group(
        reward(spec),
        toy.sample(),
        group,
        roles=toy.roles(cache),
        grader=Grader(toy.Sesame(), cache),
        prompts=Prompts(),
    )


def ttrl(answers: Sequence[str | None], question: str) -> list[float]:
    """1 for the rollouts of the most common answer; of tied ones, the one with the least clock."""
    same = [answer and answer.lower() for answer in answers]
    votes = {label: same.count(label) for label in same if label}
    if not votes:
        return [0.0] * len(answers)
    tied = [label for label, count in votes.items() if count == max(votes.values())]

    def clock(label: str) -> float:
        spelling = min(a for a in answers if a and a.lower() == label)
        digest = sha256(f"{question}\0answer {spelling}".encode()).digest()
        return -math.log((int.from_bytes(digest[:8], "big") + 0.5) / 2**64)

    winner = min(tied, key=clock)
    return [float(label == winner) for label in same]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cache]:
    with Cache(tmp_path_factory.mktemp("votes") / "cache.sqlite") as opened:
        yield opened


@settings(deadline=None, max_examples=60)
@given(GROUPS, st.randoms(use_true_random=False))
async def test_majority_and_equivalence_are_ttrl_in_any_order(
    shared: Cache, answers: list[str | None], random: Random
) -> None:
    group = rollouts(answers)
    found = await given_by("equivalence{estimator=majority}", group, shared)
    assert list(found.values) == ttrl(answers, "q1")
    assert ("abstained" in found.notes) == (not any(answers))
    mixed = group[:]
    random.shuffle(mixed)
    again = await given_by("equivalence{estimator=majority}", mixed, shared)
    by_slot = dict(zip((r.slot for r in mixed), again.values, strict=True))
    assert tuple(by_slot[slot] for slot in range(len(group))) == found.values


def scrl(answers: Sequence[str | None], entropies: Sequence[Fraction] | None) -> list[float]:
    """The formula, in exact fractions."""
    size = len(answers)
    same = [answer and answer.lower() for answer in answers]
    share = {a: Fraction(same.count(a), size) for a in same if a}
    ranked = [*sorted(share.values(), reverse=True), Fraction(0)]
    label = None
    if share and ranked[0] >= Fraction(3, 8) and ranked[0] - ranked[1] > Fraction(1, 8):
        label = next(a for a in share if share[a] == ranked[0])
    rewards = []
    for own in same:
        if not own:
            rewards.append(-1.0)
            continue
        value = share[own] if own == label else Fraction(0)
        apart = Fraction(0)
        if entropies:
            mine = [h for h, a in zip(entropies, same, strict=True) if a == own]
            apart = sum(mine, Fraction(0)) / len(mine) - sum(entropies, Fraction(0)) / size
        if share[own] < Fraction(1, 8) and apart >= 0:
            value += share[own] - Fraction(1, 8)
        rewards.append(float(value - apart / 10))
    return rewards


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(ANSWERS, st.integers(0, 8)), min_size=1, max_size=24), st.booleans())
async def test_scrl_is_its_formula(
    shared: Cache, group: list[tuple[str | None, int]], entropy: bool
) -> None:
    answers = [answer for answer, _ in group]
    entropies = [Fraction(eighths, 8) for _, eighths in group]
    drafts = [
        toy.rollout(r.slot, r.text, logprob=-float(h))
        for r, h in zip(rollouts(answers), entropies, strict=True)
    ]
    found = await given_by(f"scrl{{entropy={str(entropy).lower()}}}", drafts, shared)
    expected = scrl(answers, entropies if entropy else None)
    assert found.values == pytest.approx(expected, abs=1e-9)
    assert ("abstained" in found.notes) == (found.reference is None)


async def test_scrl_without_entropies_is_not_available_unless_it_leaves_them_out(
    cache: Cache,
) -> None:
    bare = [Rollout(r.slot, Reply(text=r.text)) for r in rollouts(["a", "a", "a", "b"])]
    with pytest.raises(NotAvailable, match=r"no entropies.*scrl\{entropy=false\}"):
        await given_by("scrl", bare, cache)
    found = await given_by("scrl{entropy=false}", bare, cache)
    assert found.values == (0.75, 0.75, 0.75, 0.0)
    assert "entropies" in Scrl().needs
    assert "entropies" not in Scrl(entropy=False).needs


@given(st.lists(st.one_of(st.none(), st.integers(-4, 4).map(lambda k: k / 4)), max_size=12))
def test_advantages_are_centred_and_of_unit_spread(values: list[float | None]) -> None:
    there = [value for value in values if value is not None]
    found = advantages(values)
    assert [a is None for a in found] == [v is None for v in values]
    if len(set(there)) < 2:
        assert {a for a in found if a is not None} <= {0.0}
        return
    mean, sd = fmean(there), pstdev(there)
    assert [a for a in found if a is not None] == pytest.approx([(v - mean) / sd for v in there])


@pytest.mark.parametrize("ones", [1, 2, 5, 7])
def test_a_share_of_ones_has_the_advantage_of_its_odds(ones: int) -> None:
    f = ones / 8
    found = advantages([1.0] * ones + [0.0] * (8 - ones))
    assert found == pytest.approx(
        [math.sqrt((1 - f) / f)] * ones + [-math.sqrt(f / (1 - f))] * (8 - ones)
    )


def test_all_equal_and_all_wrong_groups_teach_nothing() -> None:
    for value in (0.0, 1.0, 0.1 + 0.2, -1.0):
        assert advantages([value] * 8) == [0.0] * 8
    assert advantages([0.1 + 0.2, 0.3, None]) == [0.0, 0.0, None]


def test_a_reference_is_drawn_with_the_estimates_weights() -> None:
    weights = {"a": 0.5, "b": 0.25, "c": 0.25, "never": 0.0}
    picks = [weighted_draw(f"q{k}", weights) for k in range(4000)]
    shares = {key: picks.count(key) / len(picks) for key in weights}
    assert shares["never"] == 0
    assert np.allclose([shares[k] for k in "abc"], [0.5, 0.25, 0.25], atol=0.03)
    assert weighted_draw("q1", dict(reversed(weights.items()))) == weighted_draw("q1", weights)
