"""How fast a model is called, on a clock of its own: no test here waits for real time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeVar

import pytest

from cat_bench.models.backends import Request
from cat_bench.models.throttling import Flow, Gate, Limits, gather_all
from cat_bench.types.calls import Failure, Reply, Result, Sampling

T = TypeVar("T")
FINE = Reply(text="fine")
BUSY = Failure("rate_limit", "slow down")
DOWN = Failure("server", "down")


class Clockwork(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to whatever is due next."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self.now = max(self.now, self._scheduled[0].when())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


@pytest.fixture
def loop() -> Iterator[Clockwork]:
    made = Clockwork()
    asyncio.set_event_loop(made)
    yield made
    asyncio.set_event_loop(None)
    made.close()


def ask(*seeds: int) -> Request:
    return Request(({"role": "user", "content": "Well?"},), Sampling(), seeds or (0,))


@dataclass
class Server:
    """Takes a second a request, is busy beyond its capacity, and keeps count."""

    capacity: int = 10**9
    kind: str = "rate_limit"
    retry_after: float | None = None
    running: int = 0
    most: int = 0
    at: list[float] = field(default_factory=list)

    async def __call__(self, request: Request) -> Sequence[Result]:
        self.at.append(asyncio.get_running_loop().time())
        self.running += 1
        self.most = max(self.most, self.running)
        crowded = self.running > self.capacity
        try:
            await asyncio.sleep(0.1 if crowded else 1)
        finally:
            self.running -= 1
        busy = Failure(self.kind, "slow down", retry_after=self.retry_after)
        return [busy if crowded else FINE] * len(request.seeds)


async def many(flow: Flow, server: Server, count: int) -> list[Result]:
    found = await asyncio.gather(*(flow.try_send(ask(k), server) for k in range(count)))
    return [result for results in found for result in results]


def run(loop: Clockwork, work: Coroutine[Any, Any, T]) -> T:
    return loop.run_until_complete(work)


def test_the_level_grows_by_one_a_reply_and_never_above_the_most(loop: Clockwork) -> None:
    flow, server = Flow(Limits(concurrency=10, start=2)), Server()
    assert run(loop, many(flow, server, 3)) == [FINE] * 3
    assert (flow.pace.level, server.most) == (5, 2)
    run(loop, many(flow, server, 100))
    assert (flow.pace.level, server.most) == (10, 10)


def test_the_level_starts_no_higher_than_the_most(loop: Clockwork) -> None:
    server = Server()
    run(loop, many(Flow(Limits(concurrency=3, start=64)), server, 20))
    assert server.most == 3


def test_a_volley_of_429_halves_the_level_once(loop: Clockwork) -> None:
    flow = Flow(Limits(concurrency=64, start=64, retries=0))
    found = run(loop, many(flow, Server(capacity=0), 64))
    assert found == [BUSY] * 64
    assert flow.pace.level == 32


def test_each_round_trip_may_halve_it_again_down_to_one(loop: Clockwork) -> None:
    flow, levels = Flow(Limits(concurrency=8, start=8, retries=0)), []
    for _ in range(5):
        run(loop, many(flow, Server(capacity=0), 8))
        loop.now += 1
        levels.append(flow.pace.level)
    assert levels == sorted(levels, reverse=True)
    assert levels[0] < 8
    assert levels[-1] == 1


def test_after_the_first_429_it_grows_by_one_a_round_trip(loop: Clockwork) -> None:
    flow = Flow(Limits(concurrency=64, start=8, retries=0))
    run(loop, many(flow, Server(capacity=0), 8))
    assert flow.pace.level == 4
    run(loop, many(flow, Server(), 4))
    assert 4.8 < flow.pace.level < 5.1


def test_it_settles_at_what_the_server_takes(loop: Clockwork) -> None:
    flow, server = Flow(Limits(concurrency=256, start=64, retries=50)), Server(capacity=20)
    assert run(loop, many(flow, server, 600)) == [FINE] * 600
    assert 8 <= flow.pace.level <= 30


@pytest.mark.parametrize("kind", ["rate_limit", "server"])
def test_nothing_is_sent_before_retry_after_has_passed(kind: str, loop: Clockwork) -> None:
    flow = Flow(Limits(concurrency=4, start=4, retries=5, first_delay=0.01))
    server = Server(capacity=2, kind=kind, retry_after=7.0)
    assert run(loop, many(flow, server, 12)) == [FINE] * 12
    refused = 0.1
    assert not [at for at in server.at if 1e-9 < at < refused + 7.0 - 1e-9]


def test_delays_grow_with_jitter_up_to_the_longest(loop: Clockwork) -> None:
    at: list[float] = []

    async def down(request: Request) -> Sequence[Result]:
        at.append(loop.now)
        return [DOWN]

    limits = Limits(retries=9, first_delay=1.0, longest_delay=4.0)
    assert run(loop, Flow(limits).try_send(ask(), down)) == [DOWN]
    waits = [after - before for before, after in pairwise(at)]
    ceilings = [1.0, 2.0, *[4.0] * 7]
    assert len(waits) == 9
    assert all(0 <= wait <= most for wait, most in zip(waits, ceilings, strict=True))
    assert len(set(waits)) == 9


def test_only_the_seeds_that_failed_are_asked_for_again(loop: Clockwork) -> None:
    asked: list[tuple[int, ...]] = []

    async def shaky(request: Request) -> Sequence[Result]:
        asked.append(request.seeds)
        return [
            DOWN if seed % 2 and len(asked) < 3 else Reply(text=str(seed)) for seed in request.seeds
        ]

    found = run(loop, Flow().try_send(ask(10, 11, 12, 13), shaky))
    assert asked == [(10, 11, 12, 13), (11, 13), (11, 13)]
    assert [r.text for r in found if isinstance(r, Reply)] == ["10", "11", "12", "13"]


@pytest.mark.parametrize(
    ("failure", "tries"),
    [
        (DOWN, 3),
        (Failure("null", "no content"), 3),
        (Failure("malformed", "half"), 3),
        (Failure("timeout", "late"), 3),
        (Failure("connection", "cut"), 3),
        (Failure("auth", "who?"), 1),
        (Failure("refused", "no", permanent=True), 1),
        (Failure("bad_request", "what?", permanent=True), 1),
        (Failure("bad_request", "no such model"), 1),
    ],
)
def test_what_is_worth_another_try(failure: Failure, tries: int, loop: Clockwork) -> None:
    count = 0

    async def failing(request: Request) -> Sequence[Result]:
        nonlocal count
        count += 1
        return [failure]

    assert run(loop, Flow(Limits(retries=2)).try_send(ask(), failing)) == [failure]
    assert count == tries


def test_a_request_that_hangs_ends_at_its_deadline_and_gives_its_place_back(
    loop: Clockwork,
) -> None:
    async def hang(request: Request) -> Sequence[Result]:
        await asyncio.Event().wait()
        raise AssertionError

    flow = Flow(Limits(concurrency=2, start=2, retries=1, deadline=5.0, first_delay=0.0))
    found = run(loop, flow.try_send(ask(0, 1), hang))
    assert {f.kind for f in found if isinstance(f, Failure)} == {"timeout"}
    assert loop.now == 10.0
    assert run(loop, many(flow, Server(), 2)) == [FINE] * 2


def test_cancelled_waiters_leak_no_place(loop: Clockwork) -> None:
    async def check() -> None:
        flow, server = Flow(Limits(concurrency=2, start=2)), Server()
        tasks = [asyncio.create_task(flow.try_send(ask(k), server)) for k in range(12)]
        await asyncio.sleep(0.5)
        for task in (*tasks[:1], *tasks[3:8]):
            task.cancel()
        await asyncio.sleep(0)
        tasks[8].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(task.cancelled() for task in tasks) == 7
        assert (flow._in_flight, len(flow._waiting)) == (0, 0)
        assert await many(flow, server, 4) == [FINE] * 4
        assert server.most == 2

    run(loop, check())


def test_a_waiter_cancelled_as_its_turn_comes_passes_it_on(loop: Clockwork) -> None:
    async def check() -> None:
        flow = Flow(Limits(concurrency=1, start=1))
        free = asyncio.Event()

        async def held(request: Request) -> Sequence[Result]:
            await free.wait()
            return [FINE]

        first = asyncio.create_task(flow.try_send(ask(), held))
        await asyncio.sleep(0)
        second, third = (asyncio.create_task(flow.try_send(ask(), held)) for _ in range(2))
        await asyncio.sleep(0)
        free.set()
        while not first.done():
            await asyncio.sleep(0)
        second.cancel()
        assert await third == [FINE]
        assert flow._in_flight == 0

    run(loop, check())


def test_requests_keep_to_their_rate(loop: Clockwork) -> None:
    server = Server()
    run(loop, many(Flow(Limits(requests_per_minute=120)), server, 61))
    assert 29 <= server.at[-1] <= 30
    assert max(sum(t <= at < t + 10 for at in server.at) for t in server.at) <= 22


def test_tokens_keep_to_their_rate(loop: Clockwork) -> None:
    flow, server = Flow(Limits(tokens_per_minute=6000)), Server()

    async def spend() -> None:
        await asyncio.gather(*(flow.try_send(ask(k), server, tokens=50) for k in range(41)))

    run(loop, spend())
    assert 19 <= server.at[-1] <= 20


def test_a_request_larger_than_a_second_of_tokens_goes_through(loop: Clockwork) -> None:
    flow = Flow(Limits(tokens_per_minute=60))
    assert run(loop, flow.try_send(ask(), Server(), tokens=10_000)) == [FINE]


def test_a_closed_gate_lets_what_is_in_flight_finish(loop: Clockwork) -> None:
    async def check() -> None:
        gate = Gate()
        flow, server = Flow(Limits(concurrency=2, start=2), gate=gate), Server()
        tasks = [asyncio.create_task(flow.try_send(ask(k), server)) for k in range(5)]
        await asyncio.sleep(0.5)
        gate.close("budget", "spent")
        gate.close("interrupted", "later")
        found = [(await task)[0] for task in tasks]
        assert found == [FINE, FINE, *[Failure("budget", "spent")] * 3]
        assert len(server.at) == 2

    run(loop, check())


def test_a_closed_gate_ends_retries(loop: Clockwork) -> None:
    gate = Gate()
    tries = 0

    async def down(request: Request) -> Sequence[Result]:
        nonlocal tries
        tries += 1
        gate.close("interrupted", "enough")
        return [DOWN]

    assert run(loop, Flow(gate=gate).try_send(ask(), down)) == [DOWN]
    assert tries == 1


async def test_an_error_waits_for_what_is_under_way() -> None:
    done: list[int] = []

    async def slow(number: int) -> int:
        for _ in range(number):
            await asyncio.sleep(0)
        done.append(number)
        return number

    async def wrong() -> int:
        raise ValueError("no")

    assert await gather_all(slow(3), slow(1)) == [3, 1]
    with pytest.raises(ValueError, match="no"):
        await gather_all(slow(4), wrong(), slow(5))
    assert done == [1, 3, 4, 5]
