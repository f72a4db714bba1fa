"""The controls: coins, formats, lengths, and the references of other questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import pytest

from cat_bench.cache import Cache
from cat_bench.errors import CatBenchError, ConfigError, NotAvailable
from cat_bench.evaluation.grader import Grader
from cat_bench.evaluation.group_rewards import Rewarded, reward_group
from cat_bench.evaluation.neighbours import Neighbours
from cat_bench.loading.prompts import Prompts
from cat_bench.models.backends.scripted import Scripted
from cat_bench.models.lending import Role, Roles
from cat_bench.rewards import reward
from cat_bench.rewards.random import Random
from cat_bench.types.records import Rollout, Sample
from tests import toy

NOBODY: Any = None
"""The context of a reward that asks nobody."""
SAMPLES = [toy.sample(name) for name in ("q1", "q2", "q3")]


async def rewards(
    spec: str,
    *texts: str,
    cache: Cache,
    sample: Sample = SAMPLES[0],
    policy: Scripted | None = None,
    others: Sequence[Sample] = (),
) -> Rewarded:
    return await reward_group(
        reward(spec),
        sample,
        toy.pool(*texts).rollouts,
        roles=Roles(Role(toy.model(cache, policy or toy.saying()))),
        grader=Grader(toy.Sesame(), cache),
        prompts=Prompts(),
        neighbours=Neighbours(s.question for s in others) if others else None,
    )


async def test_coins_are_fair_and_do_not_read_the_answer(cache: Cache) -> None:
    rollouts = [toy.rollout(slot, f"try {slot} = right") for slot in range(2000)]
    coins = await Random().rewards(SAMPLES[0].question, rollouts, NOBODY)
    assert set(coins) == {0.0, 1.0}
    assert abs(fmean(coins) - 0.5) < 0.05
    rare = await Random(share=0.1).rewards(SAMPLES[0].question, rollouts, NOBODY)
    assert abs(fmean(rare) - 0.1) < 0.03
    assert all(coin >= few for coin, few in zip(coins, rare, strict=True))


async def test_a_coin_is_that_of_seed_question_slot_and_text(cache: Cache) -> None:
    rollouts = [toy.rollout(slot, "the same = a") for slot in range(64)]

    async def coins(seed: int, name: str, listed: Sequence[Rollout]) -> list[float]:
        return await Random(seed=seed).rewards(toy.sample(name).question, listed, NOBODY)

    first = await coins(0, "q1", rollouts)
    assert first == await coins(0, "q1", rollouts)
    assert first[::-1] == await coins(0, "q1", rollouts[::-1])
    assert len(set(first)) == 2, "equal texts in different slots"
    assert first != await coins(1, "q1", rollouts)
    assert first != await coins(0, "q2", rollouts)
    other = [replace(r, reply=replace(r.reply, text="another = a")) for r in rollouts]
    assert first != await coins(0, "q1", other)


@pytest.mark.parametrize("share", [0, 1, -1, 2])
def test_a_coin_has_two_sides(share: float) -> None:
    with pytest.raises(ConfigError, match="share should be between 0 and 1"):
        reward(f"random{{share={share}}}")


async def test_format_reads_that_there_is_an_answer_and_not_which(cache: Cache) -> None:
    found = await rewards("format", "one = a", "two = right", "three", "", cache=cache)
    assert found.values == (1, 1, 0, 0)


async def test_length_counts_tokens_of_the_response(cache: Cache) -> None:
    texts = ("one = a", "it is rather long = a", "")
    assert (await rewards("length", *texts, cache=cache)).values == (3, 6, 0)
    found = await rewards("length{shortest=true}", *texts, cache=cache)
    assert found.values == (-3, -6, None)
    assert found.notes["unscored"] == {"2": "it is empty"}


async def test_majority_share_is_the_votes_over_the_group(cache: Cache) -> None:
    found = await rewards("majority_share", "x = a", "y = A", "z = b", "none", cache=cache)
    assert found.values == (0.5, 0.5, 0.25, 0)


async def test_shuffled_takes_the_reference_of_the_next_question(cache: Cache) -> None:
    policy = Scripted(
        lambda request, seed: f"so {request.messages[-1]['content'].split()[1].strip(',')} = b",
        identity="policy",
    )
    spec = "shuffled{estimator=majority}"
    texts = ("one = a", "two = b", "three = right")
    found = await rewards(spec, *texts, cache=cache, policy=policy, others=SAMPLES)
    other = str(found.notes["reference_of"])
    assert other in {"q2", "q3"}
    assert found.reference == f"so {other} = b", "its own rollouts, and not this group's"
    assert found.values == (0, 1, 0)
    assert len(found.bill) == len(texts), "as many rollouts as the group has"
    assert {charge.role for charge in found.bill} == {"policy"}
    again = await rewards(spec, *texts, cache=cache, policy=policy, others=SAMPLES[::-1])
    assert again.reference == found.reference, "whatever the order of the data"
    assert policy.calls == len(texts), "and cached"


def test_every_question_has_another_one_and_each_serves_once() -> None:
    ring = Neighbours(toy.sample(f"q{number}").question for number in range(50))
    found = [ring.after(f"q{number}") for number in range(50)]
    names = [other.id for other in found if other]
    assert len(set(names)) == 50
    assert all(name != f"q{number}" for number, name in enumerate(names))
    assert Neighbours([SAMPLES[0].question]).after("q1") is None


async def test_shuffled_needs_another_question(cache: Cache) -> None:
    with pytest.raises(NotAvailable, match="no other question"):
        await rewards("shuffled{estimator=majority}", "one = a", cache=cache, others=SAMPLES[:1])


@pytest.mark.parametrize("spec", ["shuffled{estimator=nobody}", "shuffled{by=gold}"])
def test_shuffled_takes_estimators_and_rewards_that_there_are(spec: str) -> None:
    with pytest.raises(CatBenchError):
        reward(spec)


async def test_a_signal_is_a_reward_by_its_own_name(cache: Cache) -> None:
    assert reward("negative_entropy") == reward("signal{by=negative_entropy}")
    assert reward("judge{attempts=1}") == reward("signal{by=judge{attempts=1}}")
    found = await rewards("negative_entropy", "one = a", "two = b", "", cache=cache)
    assert found.values == (-1.0, -1.125, None), "minus the mean entropy in nats"
    assert found.notes["unscored"] == {"2": "negative_entropy has no number for it"}
    sure = await rewards("self_certainty", "one = a", "two = b", cache=cache)
    assert sure.values == (1.0, 0.875)


@pytest.mark.parametrize("name", ["consistency", "preference"])
def test_a_signal_that_compares_rollouts_is_no_reward(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"the signal '{name}' reads pairs"):
        reward(name)
