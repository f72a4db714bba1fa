"""One OpenAI-compatible URL: its key, its connections, and the only way to post to it.

The SDK's client takes at least seven times the CPU of aiohttp's session per request, and a session
half as much again as `Post`. The SDK is used for everything rare, and its environment variables are
honoured. The key appears in no text that leaves this module, whatever a server quotes.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from cat_bench.backends import wire
from cat_bench.backends.posting import Post
from cat_bench.errors import ConfigError, ModelError
from cat_bench.types import JSON, Failure

if TYPE_CHECKING:
    from openai import AsyncOpenAI

OFFICIAL = "https://api.openai.com/v1"
KEY_VARIABLE, KEY_FILE_VARIABLE = "OPENAI_API_KEY", "CAT_BENCH_OPENAI_KEY_FILE"
ACCOUNT_HEADERS = {"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"}
MASKED_KEY = re.compile(r"\b(sk|key)-[\w*-]{4,}")


class Endpoint:
    """Where requests go; `timeout` is in seconds per request. Opened by the first `post`.

    The URL is `base_url`, else OPENAI_BASE_URL, else OpenAI's own. The key is `api_key`, else
    OPENAI_API_KEY, else the content of the file that CAT_BENCH_OPENAI_KEY_FILE names. Raises
    ModelError where OpenAI's own endpoint is meant and there is no key, ConfigError for a malformed
    `base_url`.
    """

    def __init__(self, base_url: str | None, *, api_key: str | None, timeout: float) -> None:
        self.url = _checked(base_url or os.environ.get("OPENAI_BASE_URL") or OFFICIAL)
        self._key = _key(api_key, self.url)
        self._timeout = timeout
        self._lock = asyncio.Lock()
        self._served: dict[str, str] = {}
        self._opened: Post | None = None

    async def post(self, path: str, body: Mapping[str, JSON]) -> JSON | Failure:
        """The parsed answer to one attempt, or how it failed, without the key."""
        try:
            sent = json.dumps(body).encode()
            answered = await self._post().send(f"{self.url}{path}", sent)
        except TimeoutError:
            return Failure("timeout", f"no answer from {self.url} within {self._timeout:g} s")
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as problem:
            advice = f"{self.url} cannot be reached; is it served there, and is --base-url right?"
            return Failure("connection", f"{advice} ({problem})")
        except (aiohttp.ClientError, OSError) as problem:
            return Failure("connection", f"{type(problem).__name__}: {problem}")
        answer = wire.parsed(answered.status, answered.headers, answered.body)
        if not isinstance(answer, Failure):
            return answer
        hint = await self._serves(body["model"]) if answered.status == 404 else ""
        return replace(answer, message=self.without_key(answer.message + hint))

    def sdk(self) -> AsyncOpenAI:
        """The official client for this URL, with retries of its own; close it."""
        from openai import AsyncOpenAI

        return AsyncOpenAI(base_url=self.url, api_key=self._key or "none", timeout=self._timeout)

    def _post(self) -> Post:
        if self._opened is None or self._opened.closed:
            headers = {"Content-Type": "application/json"}
            if self._key:
                headers["Authorization"] = f"Bearer {self._key}"
            for header, variable in ACCOUNT_HEADERS.items():
                if value := os.environ.get(variable):
                    headers[header] = value
            self._opened = Post(headers, timeout=self._timeout, proxy=_proxy(self.url))
        return self._opened

    async def _serves(self, model: str) -> str:
        """What is served here, as advice to a user who named something else."""
        async with self._lock:
            if model not in self._served:
                self._served[model] = await self._advice(model)
            return self._served[model]

    async def _advice(self, model: str) -> str:
        from openai import OpenAIError

        async with self.sdk() as client:
            try:
                brief = client.with_options(max_retries=0, timeout=10)
                names = [served.id async for served in brief.models.list()]
            except (OpenAIError, AttributeError, TypeError, ValueError):
                return f"; check the base URL {self.url} and the model name {model!r}"
        near = get_close_matches(model, names, n=5, cutoff=0.3) or sorted(names)[:5]
        return f"; {self.url} serves {', '.join(near)}"

    def without_key(self, text: str) -> str:
        """A text that a server or the client wrote, without the key."""
        bare = text.replace(self._key, "[key]") if self._key else text
        return MASKED_KEY.sub("[key]", bare)

    async def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        if self._opened is not None:
            await self._opened.close()


def _checked(text: str) -> str:
    url = URL(text.rstrip("/"))
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigError("openai", "base_url", f"{text!r} is not like http://localhost:8000/v1")
    if url.user or url.password:
        problem = f"holds a user or password; give a key by {KEY_VARIABLE} instead"
        raise ConfigError("openai", "base_url", problem)
    return str(url)


def _key(given: str | None, url: str) -> str | None:
    """The key, wherever it is configured; None where the endpoint may need none.

    Raises ModelError where it cannot be read, or is missing for OpenAI itself.
    """
    key = given or os.environ.get(KEY_VARIABLE) or _key_in_file()
    if key:
        key = key.strip()
        if not (key.isascii() and key.isprintable()):
            raise ModelError(
                "the API key holds characters that no HTTP header can; check its source"
            )
    elif URL(url).host == URL(OFFICIAL).host:
        raise ModelError(
            f"there is no API key for {OFFICIAL}: set {KEY_VARIABLE}, or {KEY_FILE_VARIABLE} to "
            "the path of a file that holds it, or name another server with --base-url"
        )
    return key


def _key_in_file() -> str | None:
    path = os.environ.get(KEY_FILE_VARIABLE)
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        cause = getattr(problem, "strerror", None) or "it is not text"
        raise ModelError(
            f"{KEY_FILE_VARIABLE} names {path}, which cannot be read: {cause}"
        ) from None


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for this URL; none to this machine itself."""
    host, scheme = URL(url).host or "", URL(url).scheme
    return None if _local(host) or proxy_bypass(host) else getproxies().get(scheme)


def _local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
