"""One call scores the group: what is read of the judge's reply, and what is not."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest

from cat_bench.cache import Cache
from cat_bench.evaluation.grader import Grader
from cat_bench.evaluation.group_rewards import Rewarded, reward_group
from cat_bench.loading.prompts import Prompts
from cat_bench.models.backends import Request
from cat_bench.models.backends.scripted import Scripted
from cat_bench.models.lending import Role, Roles
from cat_bench.rewards import reward
from tests import toy

TEXTS = ("one = a", "two = right", "three", "one = a", "")


def entry(candidate: Any, score: Any, **more: Any) -> dict[str, Any]:
    return {"candidate": candidate, "explanation": "so", "score": score, **more}


def shown(request: Request) -> list[str]:
    prompt = request.messages[-1]["content"]
    return re.findall(r'<candidate number="\d+">\n(.*)\n</candidate>', prompt)


def knowing(request: Request, _: int) -> str:
    """A judge that prefers what is right."""
    scores = {"two = right": 0.9, "one = a": 0.25, "three": 0}
    listed = [entry(k, scores[text]) for k, text in enumerate(shown(request), 1)]
    return json.dumps({"scores": listed})


async def rewards(judge: Scripted, cache: Cache, spec: str = "ruler", *texts: str) -> Rewarded:
    return await reward_group(
        reward(spec),
        toy.sample(),
        toy.pool(*(texts or TEXTS)).rollouts,
        roles=Roles(Role(toy.model(cache, toy.saying())), judge=Role(toy.model(cache, judge))),
        grader=Grader(toy.Sesame(), cache),
        prompts=Prompts(),
    )


async def test_one_call_scores_the_group(cache: Cache) -> None:
    judge = Scripted(knowing, identity="judge")
    found = await rewards(judge, cache)
    assert found.values == (0.25, 0.9, 0, 0.25, 0)
    assert judge.calls == 1
    assert [charge.role for charge in found.bill] == ["judge"]
    assert sorted(shown(judge.requests[0])) == ["one = a", "three", "two = right"], "each text once"
    assert "Open q1." in judge.requests[0].messages[-1]["content"]


async def test_the_order_is_by_the_seed_and_not_by_the_group(cache: Cache) -> None:
    async def order(spec: str, texts: Sequence[str]) -> list[str]:
        judge = Scripted(knowing_any, identity=f"judge {spec} {texts}")
        await rewards(judge, cache, spec, *texts)
        return shown(judge.requests[0])

    def knowing_any(request: Request, _: int) -> str:
        return json.dumps({"scores": [entry(k, 0.5) for k in range(1, len(shown(request)) + 1)]})

    texts = [f"text {number}" for number in range(8)]
    first = await order("ruler", texts)
    assert first == await order("ruler", texts[::-1])
    assert sorted(first) == texts
    assert len({tuple(await order(f"ruler{{seed={seed}}}", texts)) for seed in range(4)}) == 4


LACKING = [entry(1, 0.5), entry(2, 0.5)]


@pytest.mark.parametrize(
    ("said", "scored"),
    [
        ([*LACKING, entry(3, 1)], 3),
        (LACKING, 2),
        ([*LACKING, entry(3, 1.01)], 2),
        ([*LACKING, entry(3, -0.1)], 2),
        ([*LACKING, entry(0, 0.5)], 2),
        ([*LACKING, entry(4, 0.5)], 2),
        ([*LACKING, entry(2, 0.5)], 1),  # two scores for one candidate
        ([*LACKING, entry(3, "1")], 0),
        ([*LACKING, entry(3, None)], 0),
        ([*LACKING, entry(3, score=True)], 0),
        ([*LACKING, entry(3, float("nan"))], 2),
        ([*LACKING, entry(3.0, 0.5)], 0),
        ([*LACKING, entry(3, 0.5, rank=1)], 0),
        ([], 0),
        ("0.5, 0.5, 0.5", 0),
    ],
)
async def test_only_what_is_read_for_certain_is_a_score(
    said: Any, scored: int, cache: Cache
) -> None:
    judge = Scripted(lambda request, _: json.dumps({"scores": said}), identity="judge")
    found = await rewards(judge, cache, "ruler", "one = a", "two = right", "three")
    assert sum(value is not None for value in found.values) == scored
    lacking = {str(k) for k, value in enumerate(found.values) if value is None}
    assert set(found.notes.get("unscored", {})) == lacking, "never 0, and with a reason"
    assert judge.calls == (1 if scored == 3 else 3)


async def test_of_several_replies_the_fullest_counts(cache: Cache) -> None:
    replies = [[entry(1, 0.1)], [entry(2, 0.2), entry(3, 0.3)], [entry(1, 0.9)]]
    judge = toy.saying(*(json.dumps({"scores": said}) for said in replies))
    found = await rewards(judge, cache, "ruler", "one = a", "two = right", "three")
    assert sorted(value for value in found.values if value is not None) == [0.2, 0.3]
    assert len(found.bill) == 3


async def test_a_group_without_texts_asks_nobody(cache: Cache) -> None:
    judge = toy.saying()
    assert (await rewards(judge, cache, "ruler", "", " ")).values == (0, 0)
    assert judge.calls == 0
