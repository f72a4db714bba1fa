"""Posts to a server over one aiohttp session; follows no redirect and keeps no cookie."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary, WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler

IDLE_S = 4.0
"""Seconds after which an idle connection is closed: uvicorn closes it after 5."""
BODY_MOST = 128 << 20
"""The most decompressed bytes of an answer."""
ERROR_MOST = 1 << 16
"""The most bytes that are read of an answer whose status is not 200."""

TOGETHER_MOST, SMALL = 512 << 20, 1 << 20
"""The most bytes of the answers that are read at a time, and the size that is always read."""
HEAD = 4096
"""The first bytes of an answer, which contain its id."""
REQUEST_ID = "X-Request-Id"
"""vLLM makes the answer's id of this header, and many proxies send it back."""


class TooLarge(ValueError):
    """An answer is larger than `BODY_MOST`, or all together are larger than `TOGETHER_MOST`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, whatever its status; the body is decompressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Post:
    """An HTTP session for posting; create it in the event loop that uses it. `timeout`: seconds.

    `headers` go with every request; `proxy` is the URL of a proxy, if any.
    """

    def __init__(self, headers: Mapping[str, str], *, timeout: float, proxy: str | None) -> None:
        self._proxy = proxy
        self._last: WeakKeyDictionary[object, bytes] = WeakKeyDictionary()
        self._copied = b""
        self._repeats = False
        self._held = 0
        self._numbers, name = count(), uuid4().hex
        self._name = f"{name}-"
        self._echo = re.compile(rf'"id"\s*:\s*"[^"]*{name}-(\d+)"'.encode())
        self._connections = _Connections(limit=0, keepalive_timeout=IDLE_S)
        self._session = aiohttp.ClientSession(
            connector=self._connections,
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=timeout),
        )

    @property
    def closed(self) -> bool:
        """Whether the session is closed."""
        return self._session.closed

    async def send(self, url: str, body: bytes) -> Answer:
        """Make one attempt.

        An answer with an id that equals the previous answer on the same connection is considered a
        copy, and an answer that names another request (`REQUEST_ID`) is foreign. Then the request
        is sent once more, unless the server always repeats its answers.

        Raises TimeoutError, aiohttp.ClientError, OSError, TooLarge; ValueError for a bad header.
        """
        answer, copied = await self._send(url, body)
        if copied and not self._repeats:
            answer, self._repeats = await self._send(url, body)
        return answer

    async def fetch(self, url: str, *, timeout: float) -> Answer:
        """Get what is at a URL within `timeout` seconds; raises as `send` does."""
        limit = aiohttp.ClientTimeout(total=timeout)
        got = self._session.get(url, proxy=self._proxy, allow_redirects=False, timeout=limit)
        async with got as response:
            return await self._read(response)

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def _send(self, url: str, body: bytes) -> tuple[Answer, bool]:
        """Return the answer, and whether it repeats an earlier one or answers another request.

        A connection is closed after a server's error: a proxy that reports an error early may send
        the server's answer after it.
        """
        used: list[ResponseHandler] = []
        _used.set(used)
        name = {REQUEST_ID: f"{self._name}{next(self._numbers)}"}
        post = self._session.post(
            url, data=body, headers=name, proxy=self._proxy, allow_redirects=False
        )
        async with post as response:
            connection = used[-1]
            answer = await self._read(response)
        if answer.status >= 500:
            connection.close()
        if answer.status != 200:
            return answer, False
        has_id = b'"id"' in answer.body[:HEAD]
        mark = blake2b(answer.body).digest() if has_id and not self._repeats else b""
        if mark and (self._last.get(connection) == mark or mark == self._copied):
            self._copied = mark
            connection.close()
            return answer, True
        if not self._repeats and self._is_foreign(answer, name[REQUEST_ID]):
            self._connections.stop_reusing()
            connection.close()
            return answer, True
        self._last[connection] = mark
        return answer, False

    def _is_foreign(self, answer: Answer, name: str) -> bool:
        """Return whether an answer names another request than the one called `name`."""
        if echo := self._echo.search(answer.body, 0, HEAD):
            return f"{self._name}{echo[1].decode()}" != name
        request = answer.headers.get(REQUEST_ID, "")
        return request.startswith(self._name) and request != name

    async def _read(self, response: aiohttp.ClientResponse) -> Answer:
        """Return the answer; an error's body is cut at `ERROR_MOST`. Raises TooLarge."""
        most = BODY_MOST if response.status == 200 else ERROR_MOST
        parts, size = [], 0
        try:
            async for part in response.content.iter_any():
                parts.append(part)
                size += len(part)
                self._held += len(part)
                if size > most or (size > SMALL and self._held > TOGETHER_MOST):
                    response.close()
                    break
        finally:
            self._held -= size
        if size > most and response.status == 200:
            raise TooLarge(f"the answer is larger than {BODY_MOST >> 20} MiB")
        if size > SMALL and self._held + size > TOGETHER_MOST:
            raise TooLarge(f"the answers at a time are larger than {TOGETHER_MOST >> 20} MiB")
        return Answer(response.status, response.headers, b"".join(parts)[:most])


_used: ContextVar[list[ResponseHandler]] = ContextVar("_used")
"""The connections that a request was given."""


class _Connections(aiohttp.TCPConnector):
    """Connections that are reused only if no unexpected data has arrived on them.

    If a server or its proxy answers twice, the second answer would be read as the answer to the
    next request. Once that has happened, no connection is reused.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._given: WeakSet[ResponseHandler] = WeakSet()
        self._reuses = True

    def stop_reusing(self) -> None:
        """Give every request a connection of its own from now on."""
        self._reuses = False

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.connector.Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            assert protocol is not None  # an open connection has a protocol
            if protocol.should_close:
                self.stop_reusing()
            elif self._reuses or protocol not in self._given:
                if not self._reuses:
                    protocol.force_close()
                self._given.add(protocol)
                _used.get([]).append(protocol)
                return connection
            connection.close()
