"""Rollouts that think are read alike in a run and in training, whichever way they come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from cat_bench.cache.reasoning import take_apart
from cat_bench.runs.config import RunConfig
from cat_bench.testing import ChatRequest, ChatServer
from cat_bench.training.groups import GroupReward
from cat_bench.training.policy import Policy
from cat_bench.types.calls import Failure, Reply, Usage
from tests.conftest import Workshop
from tests.models.backends.hf.conftest import save

TASK = """\
version: 1
summary: a toy
data: {file: rows.jsonl, fields: {problem: problem}}
scorer: math_equal
"""
MODELS = r'''
import json
from pathlib import Path

PROMPTS = Path(__file__).parent / "prompts.jsonl"


def policy(request, seed):
    """Thinks differently in each rollout, and gives one answer."""
    k = request.messages[-1]["content"][:-1]
    return f"<think>\nperhaps {seed} or {seed + 1}\n</think>\n\nso \\boxed{{{k}}}"


def teacher(request, seed):
    """Writes syntheses, criteria and verdicts, and notes what it is asked."""
    (asked,) = [m["content"] for m in request.messages if m["role"] == "user"]
    with PROMPTS.open("a") as file:
        file.write(json.dumps(asked) + "\n")
    if "# UNIFIED RESPONSE" in asked:
        return "<think>what do they say</think># SUMMARY\nit\n# UNIFIED RESPONSE\nso \\boxed{1}"
    if '"criteria"' in asked:
        return json.dumps({"criteria": [f"says {word}" for word in "abcde"]})
    return '{"explanation": "-", "met": true}'
'''
POLICY, TEACHER = "scripted:./models.py:policy", "scripted:./models.py:teacher"
SIZE = 4


def thinking(answer: object, thought: str) -> str:
    return f"<think>\n{thought}\n</think>\n\nso \\boxed{{{answer}}}"


@pytest.fixture
def toy(workshop: Workshop) -> Workshop:
    rows = [{"id": f"q{k}", "problem": f"{k}?", "answer": str(k)} for k in range(2)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (workshop.folder / "toy" / "rows.jsonl").write_text(lines)
    (workshop.folder / "toy" / "task.yaml").write_text(TASK)
    (workshop.folder / "models.py").write_text(MODELS)
    return workshop


def asked(toy: Workshop) -> list[str]:
    """The prompts of anchor and judge since this was last called, sorted."""
    path = toy.folder / "prompts.jsonl"
    found = sorted(json.loads(line) for line in path.read_text().splitlines())
    path.unlink()
    return found


def audited(toy: Workshop, model: str, *options: str, cache: str = "") -> list[str]:
    """The prompts of anchor and judge where a run's rollouts are rewarded."""
    given = ("--pool", str(SIZE), "--group", str(SIZE), "--estimator", "cat", "--reward", "rubric")
    roles = ("--model", model, "--anchor", TEACHER, "--judge", TEACHER)
    toy.monkeypatch.setenv("CAT_BENCH_CACHE", str(toy.folder / f"{cache or len(model)}.sqlite"))
    status, _, err = toy.run("audit", "toy/task.yaml", *roles, *given, *options)
    assert status == 0, err
    return asked(toy)


async def rewarded(config: RunConfig, policy: Policy | None) -> list[float | None]:
    """The rewards of a trainer's completions."""
    reward = GroupReward("rubric{estimator=cat}", config, size=SIZE, policy=policy)
    questions = [f"q{k}" for k in range(2) for _ in range(SIZE)]
    texts = [thinking(k, f"or is it {seed}") for k in range(2) for seed in range(SIZE)]
    ids = [[0] * 9 for _ in texts]
    if policy:
        ids = [policy.tokenizer(text, add_special_tokens=False).input_ids for text in texts]
    values = await reward(
        [[{"role": "user", "content": f"{name[1:]}?"}] for name in questions],
        [[{"role": "assistant", "content": text}] for text in texts],
        ids,
        question_id=questions,
    )
    await reward.close()
    return values


def trained(toy: Workshop, policy: Policy | None) -> list[str]:
    """The prompts of anchor and judge where a trainer's completions are rewarded."""
    cache = toy.folder / f"{policy and id(policy)}.sqlite"
    toy.monkeypatch.setenv("CAT_BENCH_CACHE", str(cache))
    config = RunConfig(task="toy/task.yaml", model=POLICY, anchor=TEACHER, judge=TEACHER)
    assert asyncio.run(rewarded(config, policy)) == [1.0] * 2 * SIZE
    return asked(toy)


@contextmanager
def serving(reply: Callable[[ChatRequest], str]) -> Iterator[str]:
    """The URL of a server without a reasoning parser, in a thread of its own."""
    loop, server = asyncio.new_event_loop(), ChatServer(reply=reply)
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def do(work: Coroutine[object, object, object]) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result()

    do(server.__aenter__())
    try:
        yield server.base_url
    finally:
        do(server.__aexit__(None, None, None))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_anchor_and_judge_are_asked_the_same_in_a_run_and_in_training(toy: Workshop) -> None:
    run = audited(toy, POLICY)
    assert len(run) == 2 * (1 + 5) + 1, "a synthesis and five verdicts a question, one rubric"
    assert not any(word in prompt for prompt in run for word in ("think", "perhaps", "or is it"))
    assert trained(toy, None) == run
    assert trained(toy, Policy.load(str(save(toy.folder / "model")))) == run

    def reply(request: ChatRequest) -> str:
        return thinking(request.messages[-1]["content"][:-1], f"perhaps {request.seed}")

    with serving(reply) as url:
        assert audited(toy, "openai:test-model", "--base-url", url) == run

    rows = [
        {"id": f"q{k}", "responses": [thinking(k, f"perhaps {seed}") for seed in range(SIZE)]}
        for k in range(2)
    ]
    (toy.folder / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = ("mine.jsonl", "--task", "toy/task.yaml", "--model", "mine")
    toy.monkeypatch.setenv("CAT_BENCH_CACHE", str(toy.folder / "imported.sqlite"))
    status, _, err = toy.run("cache", "import", *given)
    assert status == 0, err
    assert audited(toy, "replay:mine", cache="imported") == run


@pytest.mark.parametrize(
    ("text", "thinks", "reasoning", "answer"),
    [
        ("<think>a b</think>c d", False, "a b", "c d"),
        ("a b</think>\n\nc d", True, "a b", "c d"),
        ("<think>\nno end", False, "no end", ""),
        ("no end", True, "no end", ""),
        ("", True, "", ""),
        ("c d", False, None, "c d"),
    ],
)
def test_reasoning_is_taken_apart(
    text: str, thinks: bool, reasoning: str | None, answer: str
) -> None:
    found = take_apart(Reply(text=text, usage=Usage(3, 10)), thinking=thinks)
    assert (found.reasoning, found.text) == (reasoning, answer)
    assert found.usage.completion == 10
    assert 0 <= found.usage.reasoning <= 10
    if reasoning is None:
        assert found.usage.reasoning == 0
    elif text and not answer:
        assert found.usage.reasoning == 10
    assert take_apart(found, thinking=False) == found


def test_what_a_source_has_taken_apart_stays_so() -> None:
    known = Reply(text="about </think> tags", reasoning="hm", usage=Usage(1, 9, 2))
    assert take_apart(known) == known
    assert take_apart(Failure("null", "no")) == Failure("null", "no")
    counted = take_apart(Reply(text="<think>a</think>b", usage=Usage(1, 9, 4)))
    assert counted.usage == Usage(1, 9, 4)
