"""Rewards by a judge over real sockets, against a hand computation.

The anchor writes the last three words of its last draft and, from them, the criteria "mentions
WORD" for each and three for words that nobody says; its first list is too short, its second repeats
a line. The judge holds that a response meets "mentions WORD" if it has WORD, and any other
criterion by its checksum.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from zlib import crc32

import pytest

from cat_bench.audit.candidates import candidates
from cat_bench.audit.session import AuditResult, audit
from cat_bench.report import audit as report
from cat_bench.rewards.rubric import Proposal
from cat_bench.runs.config import RunConfig
from cat_bench.scorers.rubric import RubricTarget, read_reply, share
from cat_bench.testing import ChatServer
from cat_bench.testing.protocol import WORDS, ChatRequest
from cat_bench.types.calls import JSON
from tests.places import SHARED

ROWS = SHARED / "healthbench_official_rows.jsonl"
NOBODY = ("xylem", "quartz", "zebra")
LIMIT = 10


def quoted(prompt: str, tag: str) -> str:
    return prompt.rpartition(f"<{tag}>\n")[2].partition(f"\n</{tag}>")[0]


def met(criterion: str, response: str) -> bool:
    """The judge's rule."""
    kind, _, word = criterion.rpartition(" ")
    if kind == "mentions":
        return word in response.split()
    return crc32(f"{criterion}\0{response}".encode()) % 3 == 0


def criteria(reference: str) -> list[str]:
    return [f"mentions {word}" for word in (*dict.fromkeys(reference.split()), *NOBODY)]


@dataclass
class Rules:
    """What the two servers reply; `mute`: the judge never says that a word is there."""

    mute: bool = False
    stubborn: bool = False
    asked: Counter[str] = field(default_factory=Counter)

    @property
    def counts(self) -> dict[str, set[int]]:
        """How often the same thing was asked, by what it was."""
        lists = {prompt for prompt in self.asked if "checklist" in prompt}
        return {
            "checklist": {self.asked[prompt] for prompt in lists},
            "verdict": {count for prompt, count in self.asked.items() if prompt not in lists},
        }

    def write(self, request: ChatRequest) -> str:
        prompt = request.messages[-1]["content"]
        if "<draft" in prompt:
            return "# UNIFIED RESPONSE\n" + " ".join(prompt.rpartition("</draft")[0].split()[-3:])
        if "checklist" not in prompt:
            start = request.seed % len(WORDS)
            return " ".join((WORDS + WORDS)[start : start + 6 + request.seed % 9])
        self.asked[prompt] += 1
        lines = criteria(quoted(prompt, "response"))
        if self.stubborn or self.asked[prompt] == 1:
            return json.dumps({"criteria": lines[:2]})
        return f"```json\n{json.dumps({'criteria': [*lines, lines[0].upper() + '.']})}\n```"

    def judge(self, request: ChatRequest) -> str:
        prompt = request.messages[-1]["content"]
        self.asked[prompt] += 1
        response = quoted(prompt, "response")
        if "<reference>" in prompt:
            same = set(quoted(prompt, "reference").split()) <= set(response.split())
            return json.dumps({"explanation": "by its words", "met": same})
        criterion = quoted(prompt, "criterion")
        if self.mute and criterion.startswith("mentions ") and met(criterion, response):
            return "I would rather not say."
        return json.dumps({"explanation": "by the rule", "met": met(criterion, response)})


@dataclass
class World:
    rules: Rules
    policy: ChatServer
    judge: ChatServer
    out: Path

    async def audit(
        self, *rewards: str, task: str = "healthbench-mini", **options: JSON
    ) -> AuditResult:
        def named(server: ChatServer) -> str:
            return f"openai:test-model{{base_url={server.base_url},choices=1}}"

        config = RunConfig(
            task=task,
            model=named(self.policy),
            judge=named(self.judge),
            **{"pool": 4, "limit": 4, "out": self.out, **options},
        )
        return await audit(config, candidates(["cat{style=free}"], rewards), group=4, keep=True)


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setenv("CAT_BENCH_CACHE", str(tmp_path / "cache.sqlite"))
    rules = Rules()
    async with AsyncExitStack() as stack:
        policy, judge = [
            await stack.enter_async_context(ChatServer(reply=reply))
            for reply in (rules.write, rules.judge)
        ]
        policy.refuses = {"logprobs"}
        yield World(rules, policy, judge, tmp_path / "audit")


def row_of(result: AuditResult, reward: str) -> dict[str, JSON]:
    (row,) = (row for row in result.record["rewards"] if row["reward"] == reward)
    return dict(row)


def check(result: AuditResult) -> None:
    """Rubric, match and task rubric of every group, by hand."""
    for name, groups in result.groups.items():
        assert groups
        for group in groups:
            texts = [rollout.text for rollout in group.rollouts]
            reference, found = group.rewarded.reference, group.rewarded.values
            if name == "task_rubric":
                rubric = RubricTarget.model_validate(group.sample.target).rubric
                lines = [[met(line.criterion, text) for line in rubric] for text in texts]
                assert found == pytest.approx([share(rubric, line) for line in lines])
                continue
            assert reference
            if name.endswith("judge_match"):
                words = set(reference.split())
                assert list(found) == [float(words <= set(text.split())) for text in texts]
                continue
            lines_ = criteria(reference)
            assert group.rewarded.notes["rubric"] == lines_
            assert found == pytest.approx(
                [fmean(met(line, text) for line in lines_) for text in texts]
            )
            assert max(value for value in found if value is not None) > 0


async def test_rewards_equal_a_hand_computation_and_calls_are_made_once(world: World) -> None:
    result = await world.audit("rubric", "judge_match", "task_rubric")
    assert result.complete
    check(result)
    row = row_of(result, "rubric")
    rubrics = [group.rewarded.notes for group in next(iter(result.groups.values()))]
    assert row["criteria"] == fmean(len(note["rubric"]) for note in rubrics)
    proposed = sum(note["proposed"] for note in rubrics)
    assert row["duplicates"] == pytest.approx(len(rubrics) / proposed)
    columns = [line for note in rubrics for line in zip(*note["met"], strict=True)]
    assert row["always_yes"] == fmean(map(all, columns))
    assert row["always_no"] == fmean(not any(line) for line in columns) >= 3 / 6
    # 4 rollouts, 1 synthesis, 2 lists of criteria, and a verdict per rollout and criterion
    assert row["calls"] == fmean(4 + 1 + 2 + 4 * len(note["rubric"]) for note in rubrics)
    assert row_of(result, "judge_match")["calls"] == 4 + 1 + 4
    assert world.rules.counts == {"checklist": {2}, "verdict": {1}}

    shown = report.render(result.record)
    assert "| always yes, % |" in shown.replace("  ", "")
    assert "task_rubric* (control)" in shown.replace("\\", "")
    answer = report.answer(result.record)
    assert result.record["answer"]["by"] == "rank_correlation"
    assert "rank correlation" in answer

    before = (world.policy.stats.requests, world.judge.stats.requests)
    again = await world.audit("rubric", "judge_match", "task_rubric")
    assert (world.policy.stats.requests, world.judge.stats.requests) == before
    assert again.record["rewards"] == result.record["rewards"]


async def test_a_judge_that_fails_leaves_the_rollout_unscored_and_is_counted(world: World) -> None:
    world.rules.mute = True
    result = await world.audit("rubric", limit=12)
    (groups,) = result.groups.values()
    lacking = 0
    for group in groups:
        rubric = group.rewarded.notes["rubric"]
        for rollout, value in zip(group.rollouts, group.rewarded.values, strict=True):
            mute = any(met(line, rollout.text) for line in rubric)
            assert (value is None) == mute
            lacking += mute
    row = row_of(result, "rubric")
    assert row["unscored"] == lacking > 0
    assert not result.complete
    (reasons,) = result.record["reasons"].values()
    assert sum(reasons.values()) == lacking
    assert all("no valid verdict in 3 replies" in reason for reason in reasons)


async def test_an_anchor_that_proposes_too_little_leaves_the_group_unscored(world: World) -> None:
    world.rules.stubborn = True
    result = await world.audit("rubric")
    row = row_of(result, "rubric")
    assert (row["failed"], row["unscored"], row["reward_accuracy"]) == (4, 16, None)
    (reasons,) = result.record["reasons"].values()
    assert reasons == {"no list of 5 to 20 different criteria in 3 replies": 4}
    assert world.rules.counts["checklist"] == {3}
    fewer = await world.audit("rubric{criteria=2}")
    assert row_of(fewer, "rubric{criteria=2}")["criteria"] == 2


async def test_a_long_response_loses_the_penalty(world: World) -> None:
    result = await world.audit(
        "rubric",
        f"rubric{{length_limit={LIMIT}}}",
        "task_rubric",
        f"task_rubric{{length_limit={LIMIT},length_penalty=0.5}}",
    )
    plain, curbed, task, task_curbed = result.groups.values()
    long = 0
    for bare, less, off in ((plain, curbed, 1.0), (task, task_curbed, 0.5)):
        for one, other in zip(bare, less, strict=True):
            for rollout, a, b in zip(
                one.rollouts, one.rewarded.values, other.rewarded.values, strict=True
            ):
                over = rollout.reply.usage.completion > LIMIT
                assert a is not None
                assert b == pytest.approx(a - off * over)
                long += over
    assert 0 < long < 2 * 16


async def test_on_healthbench_rows(world: World) -> None:
    if not ROWS.is_file():
        pytest.skip(f"{ROWS.name} is in neither CAT_BENCH_DATA nor ../shared/data")
    result = await world.audit("rubric", "task_rubric", task="healthbench", data=ROWS, limit=5)
    assert result.complete
    check(result)
    assert world.rules.counts == {"checklist": {2}, "verdict": {1}}
    assert row_of(result, "rubric")["groups"] == 5


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ('{"criteria": ["a", "b"]}', ["a", "b"]),
        ('```json\n{"criteria": ["a"]}\n```', ["a"]),
        ('{"criteria": ["Names  a dose.", "names a dose", " ", ""]}', ["Names a dose."]),
        ('{"criteria": []}', []),
        ('Here you are: {"criteria": ["a"]}', None),
        ('{"criteria": ["a"], "n": 1}', None),
        ('{"criteria": "a"}', None),
        ('{"criteria": [1]}', None),
        ("1. a\n2. b", None),
        ("", None),
    ],
)
def test_a_proposal_is_the_whole_reply(reply: str, expected: list[str] | None) -> None:
    found = read_reply(Proposal, reply)
    assert (found and found.distinct) == expected
