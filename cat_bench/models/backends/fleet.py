"""Several servers of one model used as one; the least busy healthy server gets the next request.

Invariants:

- Each server has its own concurrency (`Pace`).
- A server that fails `STRIKES` times in a row is set aside for a pause, which doubles each time.
  Then it is tried with one request.
- A request that a server could not take, or broke off, goes to another server at once.
- Any other failure is returned. So is the last failure after `TRIES` for each server, or if all
  servers are set aside or ask for a long pause. `Flow` then retries, as for a single server.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from cat_bench.models.backends.endpoint import Endpoint
from cat_bench.models.backends.pace import Pace
from cat_bench.types.calls import JSON, Failure

FIRST_LEVEL, HIGHEST_LEVEL = 64, 4096
"""Requests in flight per server, at first and at most; `Flow` limits their sum."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
STRIKES, TRIES = 3, 4
BROKEN = frozenset({"connection", "server"})
"""Failures after which another server is asked at once."""
UNCLEAR = frozenset({"timeout", "malformed"})
"""Failures that tell nothing about a server: the request may be too long for it."""


@dataclass(slots=True, eq=False)
class _Server:
    endpoint: Endpoint
    pace: Pace
    in_hand: int = 0
    answered: int = 0
    failures: int = 0
    """The number of failures since its last answer."""

    def is_aside(self, now: float) -> bool:
        """Return whether it is in a pause after too many failures."""
        return self.failures >= STRIKES and now < self.pace.paused_until

    def is_out_of_reach(self, now: float) -> bool:
        """Return whether it is set aside, or asked for a pause so long that `Flow` should wait."""
        return self.is_aside(now) or self.pace.paused_until - now > LONGEST_PAUSE_S

    def is_free(self, now: float) -> bool:
        """Return whether it may be sent one more request now."""
        return self.in_hand < int(self.pace.level) and now >= self.pace.paused_until


class Fleet:
    """The servers at these endpoints, in any order; used like one `Endpoint`."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._servers = [
            _Server(endpoint, Pace(FIRST_LEVEL, HIGHEST_LEVEL)) for endpoint in endpoints
        ]
        self._waiting: deque[asyncio.Future[_Server]] = deque()

    @property
    def url(self) -> str:
        """Their URLs, comma-separated."""
        return ",".join(server.endpoint.url for server in self._servers)

    @property
    def answered(self) -> dict[str, int]:
        """The number of requests that each server answered, refusals included."""
        return {server.endpoint.url: server.answered for server in self._servers}

    async def post(self, path: str, body: Mapping[str, JSON]) -> JSON | Failure:
        """Return the parsed answer of the first server that answers, or the last failure."""
        loop = asyncio.get_running_loop()
        for _ in range(TRIES * len(self._servers)):
            answer = await self._post_once(path, body)
            if not isinstance(answer, Failure) or answer.kind not in BROKEN | {"rate_limit"}:
                break
            if all(server.is_out_of_reach(loop.time()) for server in self._servers):
                break
        return answer

    async def close(self) -> None:
        """Close every connection; a later call opens new ones."""
        for server in self._servers:
            await server.endpoint.close()

    async def _post_once(self, path: str, body: Mapping[str, JSON]) -> JSON | Failure:
        """Return the answer of one server, whose concurrency it updates."""
        loop = asyncio.get_running_loop()
        server = await self._enter()
        try:
            started = loop.time()
            answer = await server.endpoint.post(path, body)
            self._learn(server, answer, started=started, now=loop.time())
        finally:
            server.in_hand -= 1
            self._admit()
        return answer

    def _learn(
        self, server: _Server, answer: JSON | Failure, *, started: float, now: float
    ) -> None:
        kind = answer.kind if isinstance(answer, Failure) else None
        if isinstance(answer, Failure) and answer.rate_limited:
            server.pace.fall(started=started, now=now, pause=answer.retry_after or 0.0)
        elif kind not in BROKEN | UNCLEAR:
            server.answered += 1
            server.failures = 0
            server.pace.rise()
        elif kind in BROKEN and not server.is_aside(now):  # else it was sent before the pause
            server.failures += 1
            if (doublings := server.failures - STRIKES) >= 0:
                pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**doublings)
                server.pace.restart(now=now, pause=pause)
        if (wait := server.pace.paused_until - now) > 0:
            asyncio.get_running_loop().call_later(wait, self._admit)

    async def _enter(self) -> _Server:
        """Reserve a server for one more request.

        If all servers are set aside, reserve the one whose pause ends first.
        """
        server = None if self._waiting else self._choice()
        if server is not None:
            server.in_hand += 1
            return server
        turn: asyncio.Future[_Server] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                turn.result().in_hand -= 1
                self._admit()
            raise

    def _choice(self) -> _Server | None:
        now = asyncio.get_running_loop().time()
        if all(server.is_aside(now) for server in self._servers):
            return min(self._servers, key=lambda server: server.pace.paused_until)
        free = [server for server in self._servers if server.is_free(now)]
        return min(free, key=lambda server: server.in_hand, default=None)

    def _admit(self) -> None:
        while self._waiting and (server := self._choice()) is not None:
            turn = self._waiting.popleft()
            if not turn.done():
                server.in_hand += 1
                turn.set_result(server)


def connect(
    base_url: str | Sequence[str] | None,
    *,
    api_key: str | None = None,
    key_variable: str | None = None,
    timeout: float,
) -> Endpoint | Fleet:
    """Return the endpoint or fleet at one or several URLs; raises as `Endpoint` does.

    Several URLs are a list or comma-separated. None means OPENAI_BASE_URL, else OpenAI's URL.
    """
    joined = base_url or os.environ.get("OPENAI_BASE_URL") or ""
    parts = joined.split(",") if isinstance(joined, str) else joined
    urls = dict.fromkeys(url.strip() for url in parts if url.strip())
    build = partial(Endpoint, api_key=api_key, key_variable=key_variable, timeout=timeout)
    endpoints = [build(url) for url in urls or (None,)]
    return endpoints[0] if len(endpoints) == 1 else Fleet(endpoints)
