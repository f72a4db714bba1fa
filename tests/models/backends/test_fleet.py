"""Several real servers for one model: who is asked, who is spared, and that nothing is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager

import pytest

from cat_bench.cache import Cache
from cat_bench.errors import ConfigError
from cat_bench.models.backends import Request
from cat_bench.models.backends.endpoint import Endpoint
from cat_bench.models.backends.fleet import STRIKES, Fleet, connect
from cat_bench.models.backends.openai import OpenAI
from cat_bench.models.cached import Model
from cat_bench.models.throttling import Limits
from cat_bench.testing import ChatServer, Faults
from cat_bench.types.calls import Failure, Reply, Sampling
from cat_bench.types.records import Question

BODY = {"model": "test-model", "messages": [{"role": "user", "content": "Well?"}]}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
async def servers() -> AsyncIterator[list[ChatServer]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(ChatServer()) for _ in range(2)]


@pytest.fixture
async def fleet(servers: list[ChatServer]) -> AsyncIterator[Fleet]:
    made = connect([server.base_url for server in servers], api_key=None, timeout=10)
    assert isinstance(made, Fleet)
    yield made
    await made.close()


async def post(fleet: Fleet, count: int) -> list[object]:
    return await asyncio.gather(*(fleet.post("/chat/completions", BODY) for _ in range(count)))


def fine(answers: list[object]) -> bool:
    return not any(isinstance(answer, Failure) for answer in answers)


def test_urls_from_wherever_they_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    one = connect("http://a/v1", api_key=None, timeout=1)
    assert isinstance(one, Endpoint)
    assert connect(["http://a/v1", "http://a/v1"], api_key=None, timeout=1).url == one.url
    monkeypatch.setenv("OPENAI_BASE_URL", "http://b/v1, http://c/v1")
    assert connect(None, api_key=None, timeout=1).url == "http://b/v1,http://c/v1"
    assert repr(OpenAI("m")) == "OpenAI('m', base_url='http://b/v1,http://c/v1')"
    with pytest.raises(ConfigError, match="ftp://d"):
        connect("http://a/v1,ftp://d", api_key=None, timeout=1)


async def test_the_least_busy_is_asked(servers: list[ChatServer], fleet: Fleet) -> None:
    servers[0].delay = 3600
    slow = asyncio.create_task(post(fleet, 1))
    while not servers[0].stats.requests:
        await asyncio.sleep(0.01)
    for _ in range(5):
        assert fine(await post(fleet, 1))
    assert [server.stats.requests for server in servers] == [1, 5]
    slow.cancel()
    servers[0].delay = 0
    assert fine(await post(fleet, 20))
    assert [server.stats.requests for server in servers] == [11, 15]


async def test_each_server_finds_its_own_level(servers: list[ChatServer], fleet: Fleet) -> None:
    servers[0].capacity, servers[0].delay, servers[0].retry_after = 2, 0.02, "0.05"
    servers[1].delay = 0.02
    assert fine(await post(fleet, 200))
    small, large = (server.pace.level for server in fleet._servers)
    assert small < 64 <= large
    assert servers[0].stats.turned_away > 0
    assert sum(fleet.answered.values()) == 200


async def test_refusals_together_are_the_flow_s(servers: list[ChatServer], fleet: Fleet) -> None:
    for server in servers:
        server.capacity, server.retry_after = 0, "0"
    (answer,) = await post(fleet, 1)
    assert isinstance(answer, Failure)
    assert answer.kind == "rate_limit"


async def test_one_that_dies_loses_nothing(servers: list[ChatServer], fleet: Fleet) -> None:
    servers[0].faults, servers[0].outage = Faults(schedule=[None] * 20 + ["die"]), 60
    for server in servers:
        server.delay = 0.05
    answers = await post(fleet, 100)
    assert fine(answers)
    assert fleet._servers[0].failures >= STRIKES
    assert fine(await post(fleet, 10))
    assert sum(fleet.answered.values()) == 110


async def test_one_that_comes_back_is_asked_again(
    servers: list[ChatServer], fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cat_bench.models.backends.fleet.FIRST_PAUSE_S", 0.1)
    servers[0].faults, servers[0].outage = Faults(schedule=["die"]), 0.3
    assert fine(await post(fleet, 10))
    before = servers[0].stats.requests
    while servers[0].stats.requests == before:
        assert fine(await post(fleet, 4))
        await asyncio.sleep(0.02)
    assert fine(await post(fleet, 4))
    assert fleet._servers[0].failures == 0


async def test_a_rare_fault_sets_nobody_aside(servers: list[ChatServer], fleet: Fleet) -> None:
    servers[0].faults = Faults({"server_error": 0.05})
    assert fine([answer for _ in range(40) for answer in await post(fleet, 5)])
    assert servers[0].stats.faults["server_error"] > 2
    assert min(fleet.answered.values()) > 60


async def test_where_nobody_is_well_the_failure_is_given_back() -> None:
    fleet = Fleet(
        [Endpoint(f"http://127.0.0.1:{port}/v1", api_key=None, timeout=1) for port in (9, 11)]
    )
    for _ in range(3):
        (answer,) = await post(fleet, 1)
        assert isinstance(answer, Failure)
        assert answer.kind == "connection"
        assert "cannot be reached" in answer.message
    await fleet.close()


async def test_a_waiting_request_can_be_cancelled(servers: list[ChatServer], fleet: Fleet) -> None:
    for server, member in zip(servers, fleet._servers, strict=True):
        server.delay, member.pace.level = 0.1, 1.0
    tasks = [asyncio.create_task(fleet.post("/chat/completions", BODY)) for _ in range(6)]
    await asyncio.sleep(0.05)
    for task in tasks[2:4]:
        task.cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(each, asyncio.CancelledError) for each in found] == [
        *(False, False, True, True, False, False)
    ]
    assert [server.in_hand for server in fleet._servers] == [0, 0]


@contextmanager
def process(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server in a process of its own, and its URL."""
    command = [sys.executable, "-m", "cat_bench.testing", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            yield running, running.stdout.readline().strip()
        finally:
            running.kill()


async def test_a_server_killed_in_the_middle_of_a_pool(cache: Cache) -> None:
    slow = ("--delay", "0.05", "--capacity", "8")
    with process(*slow) as (doomed, first), process(*slow) as (_, second):
        backend = OpenAI("test-model", base_url=f"{first},{second}", choices=1)
        model = Model("m", backend, cache=cache, limits=Limits(first_delay=0.05))
        question = Question("q", ({"role": "user", "content": "Well?"},), "Well?")

        async def kill() -> None:
            while model.meter.made < 40:
                await asyncio.sleep(0.005)
            os.kill(doomed.pid, signal.SIGKILL)

        pool, _ = await asyncio.gather(model.rollouts(question, 160, Sampling()), kill())
        fleet = backend._endpoint
        await model.close()
    assert isinstance(fleet, Fleet)
    assert not pool.failures
    assert (model.meter.made, model.meter.failed) == (160, 0)
    assert Counter(len(rollout.text) > 0 for rollout in pool.rollouts) == {True: 160}
    assert sum(fleet.answered.values()) >= 160
    assert min(fleet.answered.values()) > 0


async def test_the_key_does_not_depend_on_who_served(
    servers: list[ChatServer], cache: Cache
) -> None:
    async def sampled(*urls: str) -> tuple[Model, list[str]]:
        model = Model("m", OpenAI("test-model", base_url=urls, choices=1), cache=cache)
        question = Question("q", ({"role": "user", "content": "Well?"},), "Well?")
        pool = await model.rollouts(question, 8, Sampling())
        await model.close()
        assert all(r.reply.served_by == "test-model fp_test" for r in pool.rollouts)
        return model, [rollout.text for rollout in pool.rollouts]

    both, texts = await sampled(*(server.base_url for server in servers))
    one, again = await sampled(servers[1].base_url)
    assert (both.meter.made, one.meter.made, one.meter.cached) == (8, 0, 8)
    assert texts == again


async def test_seeds_give_the_same_texts_from_any_of_them(servers: list[ChatServer]) -> None:
    backend = OpenAI("test-model", base_url=[s.base_url for s in servers], choices=1)
    request = Request(({"role": "user", "content": "Well?"},), Sampling(), (1, 2, 3, 4))
    first, second = [await backend.generate(request) for _ in range(2)]
    await backend.close()
    assert first == second
    assert all(isinstance(each, Reply) for each in first)
    assert all(server.stats.requests for server in servers)


async def test_a_request_that_times_out_is_no_answer(servers: list[ChatServer]) -> None:
    servers[0].delay = 3600
    fleet = Fleet([Endpoint(servers[0].base_url, api_key=None, timeout=0.05)])
    (answer,) = await post(fleet, 1)
    assert isinstance(answer, Failure)
    assert (answer.kind, fleet._servers[0].answered) == ("timeout", 0)
    await fleet.close()
