"""What every reward owes to the audit and to the trainers that weigh rollouts by it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from inspect import getmodule
from itertools import count

import pytest

from cat_bench.cache import Cache
from cat_bench.errors import NotAvailable
from cat_bench.evaluation.grader import Grader
from cat_bench.evaluation.group_rewards import Rewarded, reward_group
from cat_bench.evaluation.neighbours import Neighbours
from cat_bench.loading.prompts import Prompts
from cat_bench.loading.registry import BUILT_IN, load
from cat_bench.models.backends import Request
from cat_bench.models.backends.scripted import Outcome, Scripted
from cat_bench.models.lending import Role, Roles
from cat_bench.rewards import reward
from cat_bench.rewards.advantages import advantages
from cat_bench.scorers.rubric import Rubric
from cat_bench.types import traits
from cat_bench.types.calls import Failure, Reply
from cat_bench.types.plugins import Context, Scorer, SupervisedReward
from cat_bench.types.records import Rollout, Sample, Score
from cat_bench.types.traits import POSITIVE
from tests import toy
from tests.contract.conftest import POOLS


@dataclass(frozen=True, slots=True)
class Promise:
    """The least and the greatest number that a reward gives, and the tasks that it works on.

    `by_text`: equal texts have equal rewards. `refers`: it has a reference, or says why not.
    """

    low: float
    high: float
    tasks: Collection[str] = ("sums", "advice")
    by_text: bool = True
    refers: bool = True

    @property
    def numberless(self) -> bool:
        """Whether it never gives a number."""
        return self.low > self.high


PROMISES: Mapping[str, Promise] = {
    "equivalence": Promise(0, 1, ["sums"]),
    "equivalence{estimator=majority}": Promise(0, 1, ["sums"]),
    "format": Promise(0, 1, ["sums"], refers=False),
    "gold": Promise(-math.inf, 1),
    "imitation": Promise(math.inf, -math.inf),
    "imitation{estimator=single}": Promise(math.inf, -math.inf),
    "judge_match": Promise(0, 1),
    "judge_match{estimator=single}": Promise(0, 1),
    "length": Promise(0, math.inf, refers=False),
    "length{shortest=true}": Promise(-math.inf, 0, refers=False),
    "majority_share": Promise(0, 1, ["sums"], refers=False),
    "random": Promise(0, 1, by_text=False, refers=False),
    "rubric": Promise(0, 1),
    "rubric{length_limit=4}": Promise(-1, 1),
    "scrl": Promise(-1, 1, ["sums"]),
    "scrl{entropy=false}": Promise(-1, 1, ["sums"]),
    "ruler": Promise(0, 1, refers=False),
    "shuffled": Promise(0, 1, ["sums"]),
    "shuffled{estimator=majority}": Promise(0, 1, ["sums"]),
    "shuffled{by=judge_match}": Promise(0, 1),
    "shuffled{by=rubric}": Promise(0, 1),
    "signal": Promise(-math.inf, math.inf, by_text=False, refers=False),
    "negative_entropy": Promise(-math.inf, math.inf, by_text=False, refers=False),
    "signal{by=perplexity}": Promise(-math.inf, math.inf, by_text=False, refers=False),
    "judge": Promise(0, 10, refers=False),
    "task_rubric": Promise(-math.inf, 1, ["advice"]),
    "task_rubric{length_limit=4}": Promise(-math.inf, 1, ["advice"]),
}
"""Every built-in reward as it is, and what else its parameters can make of it."""
TASKS: Mapping[str, tuple[Sample, Scorer]] = {
    "sums": (toy.sample(), toy.Sesame()),
    "advice": (
        replace(
            toy.sample(),
            target=[
                {"criterion": f"says sesame-of-{k}", "points": points}
                for k, points in enumerate((3, 2, -2))
            ],
        ),
        Rubric(),
    ),
}
"""A task with final answers, and one that a judge scores by rubrics."""
TEXTS = (
    "one = a",
    "two is much longer = right",
    "three",
    "",
    "one = a",
    "four = A",
    "five = garbled",
)
MIXED = (3, 0, 5, 1, 6, 4, 2)
GROUPS = {**POOLS, "none": toy.pool()}
TROUBLE: Mapping[str, Outcome] = {
    "permanent": Failure("bad_request", "no", permanent=True),
    "transient": Failure("server", "down"),
    "context": Failure("context", "too long", permanent=True),
    "null": Failure("null", "no content"),
    "unreadable": "I would rather not say.",
    "blank": "",
    "header": "# UNIFIED RESPONSE\n",
}
OTHER = toy.sample("q2").question
PER_TOKEN = frozenset(traits.PER_TOKEN)
ASKED = {"anchor": "anchor", "judge": "judge", "others": "policy"}
"""The role that is asked for each need."""
CASES = [(spec, task) for spec, promise in PROMISES.items() for task in promise.tasks]


@dataclass(slots=True)
class Players:
    """A model for each role: the anchor's reply depends on the order of what it reads, the judge
    says yes and no in turn, so that only what is asked once is the same twice."""

    cache: Cache
    trouble: Mapping[str, Outcome] = field(default_factory=dict)
    """What the model of a role says instead."""
    scripts: dict[str, Scripted] = field(init=False)

    def __post_init__(self) -> None:
        turns = count()
        self.scripts = {
            "policy": Scripted(lambda request, _: "so it is = a", identity="policy"),
            "anchor": Scripted(lambda request, _: self.anchor(request), identity="anchor"),
            "judge": Scripted(
                lambda request, _: self.judge(request, next(turns)), identity="judge"
            ),
        }

    def anchor(self, request: Request) -> Outcome:
        prompt = request.messages[-1]["content"]
        if "checklist" in prompt:
            written = json.dumps({"criteria": [f"names moss {k} times" for k in range(5)]})
        else:
            last = re.findall(r"<draft.*\n.*= (\w+)\n", prompt)[-1:]
            written = f"# UNIFIED RESPONSE\nso it is = {last[0] if last else 'c'}"
        return self.trouble.get("anchor", written)

    def judge(self, request: Request, turn: int) -> Outcome:
        prompt = request.messages[-1]["content"]
        said = json.dumps({"explanation": "in turn", "met": turn % 2 == 0})
        if '"scores"' in prompt:
            shown = prompt.count("<candidate number=")
            each = [
                {"candidate": k, "explanation": "by place", "score": k / shown}
                for k in range(1, shown + 1)
            ]
            said = json.dumps({"scores": each})
        elif "scale from 0" in prompt:
            said = f"\\boxed{{{turn % 5}}}"
        return self.trouble.get("judge", said)

    @property
    def roles(self) -> dict[str, Role]:
        return {name: Role(toy.model(self.cache, each)) for name, each in self.scripts.items()}

    @property
    def calls(self) -> int:
        return sum(script.calls for script in self.scripts.values())

    @property
    def asked(self) -> str:
        requests = (r for script in self.scripts.values() for r in script.requests)
        return "\n".join(m["content"] for r in requests for m in r.messages)


@dataclass(frozen=True)
class NoAnswers:
    """A scorer's scores, without its answers."""

    scorer: Scorer
    version: str = "1"

    async def score(self, sample: Sample, texts: Sequence[str], ctx: Context) -> Sequence[Score]:
        return await self.scorer.score(sample, texts, ctx)


def drop_numbers(reply: Reply, lacking: Collection[str]) -> Reply:
    """The reply without these numbers of its tokens."""
    return replace(
        reply,
        token_logprobs=None if "logprobs" in lacking else reply.token_logprobs,
        token_entropies=None if "entropies" in lacking else reply.token_entropies,
        measures={kind: array for kind, array in reply.measures.items() if kind not in lacking},
    )


async def given(
    spec: str,
    task: str,
    rollouts: Sequence[Rollout],
    players: Players,
    *,
    lacking: Collection[str] = (),
) -> Rewarded:
    """The group's rewards in a run that lacks some needs, with no memory of other groups."""
    sample, scorer = TASKS[task]
    named = {role: player for role, player in players.roles.items() if role not in lacking}
    rollouts = [replace(r, reply=drop_numbers(r.reply, lacking)) for r in rollouts]
    others = Neighbours([sample.question, OTHER]) if "others" not in lacking else None
    return await reward_group(
        reward(spec),
        sample,
        rollouts,
        roles=Roles(**named),
        grader=Grader(NoAnswers(scorer) if "answers" in lacking else scorer, players.cache),
        prompts=Prompts(),
        neighbours=others,
    )


def control(spec: str) -> bool:
    """Whether a reward sees the target."""
    return isinstance(reward(spec), SupervisedReward)


def needs(spec: str, task: str) -> frozenset[str]:
    """What a reward needs: a control, what the task's scorer needs as well."""
    scoring = getattr(TASKS[task][1], "needs", ()) if control(spec) else ()
    return frozenset({*getattr(reward(spec), "needs", ()), *scoring})


def unexplained(found: Rewarded) -> Iterator[int]:
    """The places without a number and without a reason for that."""
    for place, value in enumerate(found.values):
        why = found.notes.get("failed") or found.notes.get("unscored", {}).get(str(place))
        if value is None and not why:
            yield place


@pytest.mark.parametrize("name", BUILT_IN["reward"])
def test_every_built_in_reward_is_held_to_a_promise_and_says_where_it_is_from(name: str) -> None:
    assert name in PROMISES, f"add {name!r} to PROMISES: its least and greatest number, its tasks"
    kind = load("reward", name)
    assert kind.__doc__
    told = getattr(getmodule(kind), "__doc__", None) or ""
    assert re.search(r"arXiv\s\d{4}\.\d{5}", told), f"{name}'s module names no paper as its source"


@pytest.mark.parametrize(("spec", "task"), CASES)
async def test_gives_each_rollout_a_number_in_its_range_wherever_it_stands(
    spec: str, task: str, cache: Cache
) -> None:
    players, promise = Players(cache), PROMISES[spec]
    rollouts = toy.pool(*TEXTS).rollouts
    found = await given(spec, task, rollouts, players)
    mixed = await given(spec, task, [rollouts[place] for place in MIXED], players)
    assert mixed.values == tuple(found.values[place] for place in MIXED)
    assert mixed.reference == found.reference
    numbers = {value for value in found.values if value is not None}
    assert all(promise.low <= number <= promise.high for number in numbers)
    if promise.numberless:
        assert not numbers
        assert found.reference
    else:
        assert len(numbers) > 1
        least = getattr(reward(spec), "positive", POSITIVE)
        assert least is None or promise.low < least < promise.high
        assert not [*unexplained(found)]


@pytest.mark.parametrize(("spec", "task"), [c for c in CASES if PROMISES[c[0]].by_text])
async def test_equal_texts_have_equal_rewards(spec: str, task: str, cache: Cache) -> None:
    found = await given(spec, task, toy.pool(*TEXTS, *TEXTS).rollouts, Players(cache))
    assert found.values[: len(TEXTS)] == found.values[len(TEXTS) :]


@pytest.mark.parametrize(("spec", "task"), CASES)
async def test_asks_nothing_twice_and_says_the_same(spec: str, task: str, cache: Cache) -> None:
    players, rollouts = Players(cache), toy.pool(*TEXTS).rollouts
    first = await given(spec, task, rollouts, players)
    calls = players.calls
    assert bool(calls) == bool(needs(spec, task) & ASKED.keys())
    again = await given(spec, task, rollouts, players)
    assert players.calls == calls
    assert not any(charge.fresh for charge in again.bill)
    assert replace(again, bill=()) == replace(first, bill=())


@pytest.mark.parametrize(("spec", "task"), CASES)
async def test_needs_what_it_says_and_no_more(spec: str, task: str, cache: Cache) -> None:
    players, rollouts = Players(cache), toy.pool(*TEXTS).rollouts
    needed, optional = needs(spec, task), {"answers", *ASKED, *PER_TOKEN}
    assert needed <= optional, f"say in `given` how a run lacks {sorted(needed - optional)}"
    bare = await given(spec, task, rollouts, players, lacking=optional - needed)
    assert "failed" not in bare.notes
    assert {charge.role for charge in bare.bill} == {ASKED[need] for need in needed & ASKED.keys()}
    for need in needed:
        with pytest.raises(NotAvailable):
            await given(spec, task, rollouts, Players(cache), lacking={need})


@pytest.mark.parametrize("spec", PROMISES)
async def test_says_itself_whom_it_asks_on_every_task(spec: str, cache: Cache) -> None:
    asked = {"anchor", "judge"}
    for task in PROMISES[spec].tasks:
        found = await given(spec, task, toy.pool(*TEXTS).rollouts, Players(cache))
        asked &= {charge.role for charge in found.bill}
    assert asked == {"anchor", "judge"} & {*getattr(reward(spec), "needs", ())}


@pytest.mark.parametrize(("spec", "task"), CASES)
async def test_only_a_control_sees_the_target(spec: str, task: str, cache: Cache) -> None:
    players = Players(cache)
    await given(spec, task, toy.pool(*TEXTS).rollouts, players)
    assert ("sesame-of" in players.asked) == (control(spec) and task == "advice")


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize(("spec", "task"), CASES)
async def test_any_group_has_its_rewards(spec: str, task: str, group: str, cache: Cache) -> None:
    rollouts, promise = GROUPS[group].rollouts, PROMISES[spec]
    found = await given(spec, task, rollouts, Players(cache))
    assert "failed" not in found.notes
    assert len(found.values) == len(rollouts)
    numbers = [value for value in found.values if value is not None]
    assert all(promise.low <= number <= promise.high for number in numbers)
    if not promise.numberless:
        assert not [*unexplained(found)]
    if group in {"one", "equal", "empty"} and promise.by_text:
        assert {*advantages(found.values)} <= {0.0, None}
    if group == "empty" and spec != "random":
        assert not [number for number in numbers if number > 0]
        assert found.reference or "abstained" in found.notes or control(spec) or not promise.refers
    if group == "unparseable" and "answers" in needs(spec, task):
        assert not [number for number in numbers if number > 0]


@pytest.mark.parametrize("trouble", TROUBLE)
@pytest.mark.parametrize(
    ("spec", "task", "role"),
    [(*case, role) for case in CASES for role in ("anchor", "judge") if role in needs(*case)],
)
async def test_a_failing_model_leaves_a_reason_and_no_silent_zero(
    spec: str, task: str, role: str, trouble: str, cache: Cache
) -> None:
    rollouts = toy.pool(*TEXTS).rollouts
    found = await given(spec, task, rollouts, Players(cache, {role: TROUBLE[trouble]}))
    excused = bool({"abstained", "fallback"} & found.notes.keys())
    assert excused or not [*unexplained(found)]
    for rollout, value in zip(rollouts, found.values, strict=True):
        assert value is None or excused or not rollout.text
    assert found.reference is None or found.reference.strip()
