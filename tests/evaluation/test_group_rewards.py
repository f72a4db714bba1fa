"""A group's rewards: what is handed out, what fails, what is billed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cat_bench.cache import Cache
from cat_bench.errors import NotAvailable
from cat_bench.evaluation.grader import Grader
from cat_bench.evaluation.group_rewards import Rewarded, reward_group
from cat_bench.loading.prompts import Prompts
from cat_bench.models.backends.scripted import Scripted
from cat_bench.rewards import estimates, reward
from cat_bench.rewards.reference import explain_misfit
from cat_bench.types.calls import Failure
from cat_bench.types.plugins import GroupContext, Reward
from cat_bench.types.records import Marks, Question, Rollout
from tests.toy import Sesame, pool, rollout, sample
from tests.toy import roles as played

SURE = """
from cat_bench import Estimate


class Sure:
    async def aggregate(self, question, rollouts, ctx):
        return Estimate(picks=tuple((r.slot, float(r.slot == 0)) for r in rollouts))
"""


async def rewards(
    spec: str | Reward, *texts: str, cache: Cache, anchor: Scripted | None = None
) -> Rewarded:
    chosen = reward(spec) if isinstance(spec, str) else spec
    return await reward_group(
        chosen,
        sample(),
        pool(*texts).rollouts,
        roles=played(cache, anchor=anchor),
        grader=Grader(Sesame(), cache),
        prompts=Prompts(),
    )


async def test_a_synthesised_reference_is_placed_in_the_groups_own_partition(cache: Cache) -> None:
    found = await rewards("equivalence", "a = Right", "b = wrong", "none", cache=cache)
    assert found.values == (1.0, 0.0, 0.0)
    assert found.reference == "So it is = right"
    assert [charge.role for charge in found.bill] == ["anchor"]


async def test_a_reference_that_nobody_agrees_with_rewards_nobody(cache: Cache) -> None:
    found = await rewards("equivalence", "a = wrong", "b = other", cache=cache)
    assert found.values == (0.0, 0.0)
    assert "abstained" not in found.notes


async def test_a_reference_without_an_answer_and_an_abstention_reward_nobody_and_say_so(
    cache: Cache,
) -> None:
    mute = Scripted(lambda request, seed: "# UNIFIED RESPONSE\nwho knows", identity="mute")
    silent = await rewards("equivalence", "a = right", "= b", cache=cache, anchor=mute)
    nobody = await rewards("equivalence{estimator=majority}", "what", "who", cache=cache)
    assert silent.values == nobody.values == (0.0, 0.0)
    assert silent.notes["abstained"] == "the reference has no answer"
    assert nobody.notes["abstained"] == "no rollout has an answer and a vote"
    assert (silent.reference, nobody.reference) == ("who knows", None)


async def test_a_group_that_is_too_small_for_the_estimator_is_unscored(
    cache: Cache, tmp_path: Path
) -> None:
    """Before, the estimator was given no rollout, and every reward was 0."""
    path = tmp_path / "pairs.yaml"
    path.write_text("summary: pairs\naggregator: vote\nbudgets: [2, 4]\n")
    spec = f"equivalence{{estimator={path}}}"
    lone = await rewards(spec, "a = right", cache=cache)
    assert lone.values == (None,)
    assert "reads at least 2 rollouts; a group has 1" in lone.notes["failed"]
    assert (await rewards(spec, "a = b", "c = b", "d = c", cache=cache)).reference is not None
    assert explain_misfit(str(path), 2) is None


async def test_an_answer_without_weight_is_not_tied(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "sure.py").write_text(SURE)
    spec = f"equivalence{{estimator={tmp_path / 'sure.py'}:Sure}}"
    found = await rewards(spec, "a = right", "b = wrong", cache=cache)
    assert "tied" not in found.notes


async def test_a_failed_call_leaves_the_whole_group_unscored(cache: Cache) -> None:
    broken = Scripted(
        lambda request, seed: Failure("bad_request", "no", permanent=True), identity="broken"
    )
    found = await rewards("equivalence", "a = right", "b = x", cache=cache, anchor=broken)
    assert found.values == (None, None)
    assert found.notes["failed"] == "bad_request: no"
    assert [charge.end for charge in found.bill] == ["missing"]


async def test_gold_is_the_tasks_own_score(cache: Cache) -> None:
    found = await rewards("gold", "= right", "= half", "= garbled", "= x", cache=cache)
    assert found.values == (1.0, 0.5, None, 0.0)
    assert list(found.notes["unscored"]) == ["2"]


@dataclass(frozen=True)
class Odd:
    """Gives what it is told to."""

    values: tuple[float | None, ...]

    async def rewards(
        self, question: Question, rollouts: Sequence[Rollout], ctx: GroupContext
    ) -> Marks | Sequence[float | None]:
        if not self.values:
            raise NotAvailable("nothing to give")
        return self.values


async def test_a_plug_ins_list_is_taken_and_its_faults_are_recorded(cache: Cache) -> None:
    good = await rewards(Odd((math.nan, 0.25)), "a", "b", cache=cache)
    short = await rewards(Odd((1.0,)), "a", "b", cache=cache)
    with pytest.raises(NotAvailable, match="nothing to give"):
        await rewards(Odd(()), "a", "b", cache=cache)
    assert good.values == (None, 0.25)
    assert short.values == (None, None)
    assert short.notes["failed"].startswith("ValueError: 1 rewards for 2 rollouts")
    endless = await rewards(Odd((1.0, -math.inf)), "a", "b", cache=cache)
    assert endless.values == (None, None)
    assert endless.notes["failed"].startswith("ValueError: rewards [1.0, -inf] are not all finite")


async def test_rewards_that_share_a_memory_pay_for_a_reference_once(cache: Cache) -> None:
    memory: dict[Hashable, asyncio.Future[Any]] = {}
    found = [
        await reward_group(
            reward("equivalence"),
            sample(),
            [rollout(k, text) for k, text in order],
            roles=played(cache),
            grader=Grader(Sesame(), cache),
            prompts=Prompts(),
            memory=memory,
        )
        for order in ([(0, "= right"), (1, "= b")], [(1, "= b"), (0, "= right")])
    ]
    assert [r.values for r in found] == [(1.0, 0.0), (0.0, 1.0)]
    assert [[charge.fresh for charge in r.bill] for r in found] == [[True], [False]]


def test_a_spec_says_which_estimator_or_leaves_it_open() -> None:
    assert estimates("equivalence")
    assert not estimates("equivalence{estimator=majority}")
    assert not estimates("gold")
    assert reward("equivalence", estimator="majority") == reward("equivalence{estimator=majority}")
