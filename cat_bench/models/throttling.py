"""Throttle calls to a model: adaptive concurrency, rate limits, retries, and a gate.

`Pace` adapts the concurrency; nothing is sent before a server's Retry-After has passed. A closed
gate lets calls in flight finish and sends nothing more. Calls in flight or waiting to be stored are
at most twice the level, so a killed process loses no more.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeAlias, TypeVar

from aiolimiter import AsyncLimiter

from cat_bench.models.backends import Request
from cat_bench.models.backends.pace import PAUSE_MOST, Pace
from cat_bench.models.critical_path import count_path, extend
from cat_bench.types.calls import Failure, Result

AHEAD = 512
"""The most items that are started to replace items that wait for another process."""
LOOK_S = 0.5
"""Seconds between counts of the items that wait for another process."""
GATE_S = 0.5
"""Seconds between checks of the gate during a long pause."""
Item = TypeVar("Item")
Made = TypeVar("Made")
_EVER = nullcontext()
Send: TypeAlias = Callable[[Request], Awaitable[Sequence[Result]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`concurrency` is the most requests in flight, `start` the number to begin with.

    `retries` follow the first try; delays, and the `deadline` of one try, are in seconds.
    """

    concurrency: int = 256
    start: int = 64
    retries: int = 5
    first_delay: float = 0.5
    longest_delay: float = 30.0
    deadline: float | None = None
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None


class Gate:
    """Open until somebody closes it; shared by all models of a run."""

    def __init__(self) -> None:
        self.closed: Failure | None = None

    def close(self, kind: str, message: str) -> None:
        """Stop sending: every further call is a transient failure of this kind."""
        self.closed = self.closed or Failure(kind, message)


class Flow:
    """Sends the requests of one model, within its limits."""

    def __init__(self, limits: Limits | None = None, *, gate: Gate | None = None) -> None:
        self.limits = limits or Limits()
        self.gate = gate or Gate()
        self.pace = Pace(self.limits.start, self.limits.concurrency)
        self._in_flight = 0
        self._unstored = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._requests = _per_minute(self.limits.requests_per_minute)
        self._tokens = _per_minute(self.limits.tokens_per_minute)

    async def try_send(self, request: Request, send: Send, *, tokens: int = 0) -> list[Result]:
        """Return one result per seed, after bounded retries of transient failures.

        `tokens` is the expected usage of one try, for the token rate. Only failed seeds are
        retried.
        """
        results = list(await self._send_once(request, send, tokens))
        for attempt in range(self.limits.retries):
            places = [i for i, r in enumerate(results) if isinstance(r, Failure) and r.retryable]
            if not places or self.gate.closed:
                break
            await asyncio.sleep(self._delay(attempt))
            rest = replace(request, seeds=tuple(request.seeds[index] for index in places))
            for index, result in zip(
                places, await self._send_once(rest, send, tokens), strict=True
            ):
                results[index] = result
        return results

    async def _send_once(self, request: Request, send: Send, tokens: int) -> Sequence[Result]:
        """Return one try, once the concurrency allows it."""
        if self._waiting or not self._room():
            await self._turn()
        else:
            self._in_flight += 1
        try:
            await self._wait_for_permit(tokens)
            if self.gate.closed:
                return [self.gate.closed] * len(request.seeds)
            return await self._send_in_time(request, send)
        finally:
            self._in_flight -= 1
            if self._waiting:  # now that the results count as unstored
                asyncio.get_running_loop().call_soon(self._admit)

    async def store(self, storing: Awaitable[Made]) -> Made:
        """Await `storing`; while many results wait, as on a slow disk, new calls are delayed."""
        self._unstored += 1
        try:
            return await storing
        finally:
            self._unstored -= 1
            self._admit()

    def _room(self) -> bool:
        """Return whether one more call may be sent, given the results that wait to be stored."""
        level = int(self.pace.level)
        return self._in_flight < level and self._in_flight + self._unstored < 2 * level

    async def _send_in_time(self, request: Request, send: Send) -> Sequence[Result]:
        """Return the results within the deadline, and adapt the concurrency to them."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with self._enter_window():
                results = await send(request)
        except TimeoutError:
            late = Failure("timeout", f"no reply within {self.limits.deadline} s")
            return [late] * len(request.seeds)
        self._learn(results, started=started, now=loop.time())
        return results

    def _enter_window(self) -> AbstractAsyncContextManager[object]:
        deadline = self.limits.deadline
        return _EVER if deadline is None else asyncio.timeout(deadline)

    def _learn(self, results: Sequence[Result], *, started: float, now: float) -> None:
        """Adapt the concurrency to the results."""
        refused = [r for r in results if isinstance(r, Failure) and r.rate_limited]
        if refused:
            longest = max(refused, key=lambda failure: failure.retry_after or 0.0)
            pause = longest.retry_after or 0.0
            if pause > PAUSE_MOST:
                problem = f"a server asks for a pause of {pause:,.0f} s ({longest.message})"
                self.gate.close(longest.kind, f"{problem}; run again after it")
            self.pace.fall(started=started, now=now, pause=pause)
        else:
            self.pace.rise()

    def _delay(self, attempt: int) -> float:
        """Return an exponential delay with full jitter (`Pace` keeps a server's pause)."""
        ceiling = min(self.limits.longest_delay, self.limits.first_delay * 2**attempt)
        return random.uniform(0, ceiling)

    async def _wait_for_permit(self, tokens: int) -> None:
        """Wait until the rate limits allow a request and the pause is over."""
        if self._requests:
            await self._requests.acquire()
        if self._tokens:
            await self._tokens.acquire(min(tokens, self._tokens.max_rate))
        while (wait := self.pace.paused_until - asyncio.get_running_loop().time()) > 0:
            if self.gate.closed:
                return
            await asyncio.sleep(min(wait, GATE_S))

    async def _turn(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._in_flight -= 1
                self._admit()
            raise

    def _admit(self) -> None:
        while self._waiting and self._room():
            turn = self._waiting.popleft()
            if not turn.done():
                self._in_flight += 1
                turn.set_result(None)


def _per_minute(rate: float | None) -> AsyncLimiter | None:
    """Return a leaky bucket that passes a second's worth at once."""
    return AsyncLimiter(max(rate / 60, 1.0), 60 * max(rate / 60, 1.0) / rate) if rate else None


async def map_in_order(
    work: Callable[[Item], Coroutine[Any, Any, Made]],
    items: Iterable[Item],
    *,
    window: int,
    idle: Callable[[], int] = lambda: 0,
) -> AsyncIterator[Made]:
    """Yield the results of `work` on each item in order; at most `window` run at once.

    `idle` returns the number of items that only wait for another process: up to `AHEAD` more
    replace them, so that several machines share a pool's work instead of queueing for it.
    """
    queue = iter(items)
    under_way: deque[asyncio.Task[Made]] = deque()
    try:
        while True:
            room = window + min(idle(), AHEAD) - len(under_way)
            for item in islice(queue, max(room, 0)):
                under_way.append(asyncio.create_task(work(item)))
            if not under_way:
                return
            if not under_way[0].done():
                await asyncio.wait([under_way[0]], timeout=LOOK_S)
            if under_way[0].done():
                yield await under_way[0]
                under_way.popleft()
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def gather_all(*awaitables: Awaitable[Made]) -> list[Made]:
    """Return all results in order; an error is raised once all others have ended.

    `asyncio.gather` would let the others run on: their calls would be on no bill and outlive a run.
    On the critical path the longest counts.
    """
    lengths: list[float] = []

    async def measure(awaitable: Awaitable[Made]) -> Made:
        with count_path() as path:
            try:
                return await awaitable
            finally:
                lengths.append(path.tokens)

    results = await asyncio.gather(*map(measure, awaitables), return_exceptions=True)
    extend(max(lengths, default=0.0))
    done = [result for result in results if not isinstance(result, BaseException)]
    if len(done) < len(results):
        raise next(result for result in results if isinstance(result, BaseException))
    return done
