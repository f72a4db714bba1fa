"""Servers that answer what a test tells them to, byte by byte, over a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from cat_bench.models.backends import Request
from cat_bench.models.backends.openai import OpenAI
from cat_bench.types.calls import Failure, Reply, Sampling

Serve = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
"""Called with each request's body and where to write."""


@asynccontextmanager
async def serving(serve: Serve, *, heads: list[bytes] | None = None) -> AsyncIterator[str]:
    """The base URL of a server that reads whole requests and lets `serve` answer them.

    The head of each request goes to `heads` just before `serve` is called.
    """

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
                body = await reader.readexactly(int(length or 0))
                if heads is not None:
                    heads.append(head)
                await serve(body, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            return
        finally:
            writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


def always(answer: bytes) -> Serve:
    """Answer every request with the same bytes."""

    async def serve(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    return serve


def http(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    """A whole answer."""
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{''.join(lines)}\r\n"
    return head.encode() + body


def completion(text: Any = "so 4", **more: Any) -> dict[str, Any]:
    """The JSON of a chat completion with one choice, changed at the top by `more`."""
    choice = {"index": 0, "message": {"content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    return {"choices": [choice], "usage": usage, "model": "m", **more}


async def asked(base_url: str, text: str = "2 + 2?", *, count: int = 1) -> list[Reply | Failure]:
    """What a model at that URL answers."""
    model = OpenAI("m", base_url=base_url, timeout=10, logprobs=False)
    try:
        return await ask(model, text, count=count)
    finally:
        await model.close()


async def ask(model: OpenAI, text: str, *, count: int = 1) -> list[Reply | Failure]:
    """What a model answers."""
    request = Request(({"role": "user", "content": text},), Sampling(), tuple(range(count)))
    return list(await model.generate(request))


def dumped(value: Any) -> bytes:
    """A value as a whole answer."""
    return http(json.dumps(value).encode())
