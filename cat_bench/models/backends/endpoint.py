"""One OpenAI-compatible URL: its key, its connections, and the only way to post to it.

Requests go through aiohttp, because the SDK's client takes several times as much CPU per request.
The SDK is used for rare calls, and its environment variables are honoured. No text that leaves this
module contains the key, even if a server quotes it.
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

from cat_bench.errors import ConfigError, ModelError, printable
from cat_bench.models.backends import advice, wire
from cat_bench.models.backends.posting import Post, TooLarge
from cat_bench.models.backends.refusals import objection
from cat_bench.types.calls import JSON, Failure

if TYPE_CHECKING:
    from openai import AsyncOpenAI

OFFICIAL = "https://api.openai.com/v1"
KEY_VARIABLE, KEY_FILE_VARIABLE = "OPENAI_API_KEY", "CAT_BENCH_OPENAI_KEY_FILE"
ACCOUNT_HEADERS = {"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"}
POSTED = ("/chat/completions", "/completions", "/embeddings")
NAMES_MOST, NAME_MOST = 1000, 120
"""The most model names that are read from a server, and the most characters of a name."""
MASKED_KEY = re.compile(r"\b(sk|key)-[\w*-]{4,}")
SECRET_FROM = 8
"""Characters of a key from which it is hidden within words, too; a shorter one may be a word."""
SERVED = 20
"""The most names of served models in an error, the most similar first."""


class Endpoint:
    """A server to post to, opened by the first `post`; `timeout` is in seconds per request.

    The URL is `base_url`, else OPENAI_BASE_URL, else OpenAI's own. The key is `api_key`, else the
    value of the environment variable `key_variable` (OPENAI_API_KEY by default), else the content
    of the file that CAT_BENCH_OPENAI_KEY_FILE names. Raises ModelError if `key_variable` is not
    set, or if OpenAI's endpoint is used without a key; ConfigError for a malformed `base_url`.
    """

    def __init__(
        self,
        base_url: str | None,
        *,
        api_key: str | None = None,
        key_variable: str | None = None,
        timeout: float,
    ) -> None:
        self.url = _check_url(base_url or os.environ.get("OPENAI_BASE_URL") or OFFICIAL)
        self._key = _key(api_key, key_variable, self.url)
        self._key_variable = key_variable or f"{KEY_VARIABLE}, or {KEY_FILE_VARIABLE} to its file"
        self._proxy = _proxy(self.url)
        self._timeout = timeout
        self._lock = asyncio.Lock()
        self._served: dict[str, str] = {}
        self._opened: Post | None = None

    async def post(self, path: str, body: Mapping[str, JSON]) -> JSON | Failure:
        """Return the parsed answer to one attempt, or how it failed, without the key."""
        try:
            sent = json.dumps(body).encode()
            answered = await self._post().send(f"{self.url}{path}", sent)
        except TimeoutError:
            return Failure("timeout", f"no answer from {self.url} within {self._timeout:g} s")
        except TooLarge as problem:
            return Failure("malformed", f"{problem}; is {self.url} a model's server?")
        except (aiohttp.ClientError, OSError) as problem:
            return Failure("connection", advice.explain_unreached(self.url, problem, self._proxy))
        received = answered.body
        secret = len(self._key or "") >= SECRET_FROM and not str(self._key).isalpha()
        if secret and answered.status == 200:  # a reply is stored, and later published
            received = received.replace(str(self._key).encode(), b"[key]")
        answer = wire.parse_body(answered.status, answered.headers, received)
        if not isinstance(answer, Failure):
            return answer
        hint = ""
        if answered.status == 401 and not self._key:
            hint = f"; none was sent: set {self._key_variable}"
        elif answered.status == 404:
            hint = await self._serves(body["model"])
        refused = objection(body, answer)
        return replace(answer, message=self.hide_key(answer.message + hint), refuses=refused)

    def sdk(self) -> AsyncOpenAI:
        """Return the official client for this URL, which retries; close it."""
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient

        return AsyncOpenAI(
            base_url=self.url,
            api_key=self._key or "none",
            timeout=self._timeout,
            http_client=DefaultAsyncHttpxClient(follow_redirects=False),
        )

    def _post(self) -> Post:
        if self._opened is None or self._opened.closed:
            headers = {"Content-Type": "application/json"}
            if self._key:
                headers["Authorization"] = f"Bearer {self._key}"
            for header, variable in ACCOUNT_HEADERS.items():
                if value := os.environ.get(variable):
                    headers[header] = value
            self._opened = Post(headers, timeout=self._timeout, proxy=self._proxy)
        return self._opened

    async def _serves(self, model: str) -> str:
        """Return the models served here, as advice for an unknown name."""
        async with self._lock:
            if model not in self._served:
                self._served[model] = await self._advice(model)
            return self._served[model]

    async def _advice(self, model: str) -> str:
        for url in (self.url, f"{self.url}/v1"):
            if names := await self._models(url):
                similar = get_close_matches(model, names, n=SERVED, cutoff=0.3)
                rest = [name for name in sorted(names) if name not in similar]
                hidden = len(names) - SERVED
                tail = f" and {hidden:,} more" if hidden > 0 else ""
                served = f"{url} serves {', '.join([*similar, *rest][:SERVED])}{tail}"
                return f"; {served}" if url == self.url else f"{self._check(model)}: {served}"
        return self._check(model)

    def _check(self, model: str) -> str:
        return f"; check the base URL {self.url} and the model name {model!r}"

    async def _models(self, url: str) -> list[str]:
        """Return the names of the models at a base URL, or an empty list."""
        try:
            got = await self._post().fetch(f"{url}/models", timeout=10)
            served = json.loads(got.body)["data"][:NAMES_MOST] if got.status == 200 else []
            return [printable(str(model["id"])[:NAME_MOST]) for model in served]
        except (TimeoutError, aiohttp.ClientError, OSError, RecursionError, *wire.BROKEN):
            return []

    def hide_key(self, text: str) -> str:
        """Return a text that a server or the client wrote, without the key."""
        clean = text
        if self._key:
            key = re.escape(self._key)
            pattern = key if len(self._key) >= SECRET_FROM else rf"(?<![\w-]){key}(?![\w-])"
            clean = re.sub(pattern, "[key]", text)
        return MASKED_KEY.sub("[key]", clean)

    async def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        if self._opened is not None:
            await self._opened.close()


def _check_url(text: str) -> str:
    url = _url(text.rstrip("/"))
    problem = ""
    if url.scheme not in ("http", "https") or not url.host:
        problem = f"{text!r} is not like http://localhost:8000/v1"
    elif url.user or url.password:
        problem = f"holds a user or password; give a key by {KEY_VARIABLE} instead"
    elif url.query_string or url.fragment or url.path.endswith(POSTED):
        problem = f"{text!r} is more than a base URL: end it before {' or '.join(POSTED)}, ? and #"
    if problem:
        raise ConfigError("openai", "base_url", problem)
    return str(url)


def _key(secret: str | None, variable: str | None, url: str) -> str | None:
    """Return the configured key, or None; OpenAI's endpoint needs a key.

    Raises ModelError if the key cannot be read, or is missing for OpenAI's endpoint.
    """
    if variable and not secret and not os.environ.get(variable):
        raise ModelError(f"{variable} is not set: set it to the API key")
    key = (secret or os.environ.get(variable or KEY_VARIABLE) or _key_in_file() or "").strip()
    if not (key.isascii() and (key + "x").isprintable()):
        raise ModelError(
            "the API key contains a character that an HTTP header cannot hold: check "
            f"{variable or f'{KEY_VARIABLE} or the file that {KEY_FILE_VARIABLE} names'}"
        )
    if not key and URL(url).host == URL(OFFICIAL).host:
        raise ModelError(
            f"there is no API key for {OFFICIAL}: set {KEY_VARIABLE}, or {KEY_FILE_VARIABLE} to "
            "the path of a file that holds it, or name another server with --base-url"
        )
    return key or None


def _key_in_file() -> str | None:
    path = os.environ.get(KEY_FILE_VARIABLE)
    if not path:
        return None
    try:
        if key := Path(path).read_text(encoding="utf-8").strip():
            return key
        cause = "is empty: put the key into it"
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "it is not text"
        cause = f"cannot be read: {reason}"
    raise ModelError(f"{KEY_FILE_VARIABLE} names {path}, which {cause}")


def _proxy(url: str) -> str | None:
    """Return the proxy that the environment names for this URL; None for this machine.

    Raises ModelError for a proxy that is not HTTP.
    """
    host, scheme = URL(url).host or "", URL(url).scheme
    proxy = None if _local(host) or proxy_bypass(host) else getproxies().get(scheme)
    if proxy is None:
        return None
    parsed = _url(proxy if "://" in proxy else f"http://{proxy}")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ModelError(
            f"{scheme.upper()}_PROXY names no HTTP proxy, such as http://HOST:PORT: correct it, or "
            f"name {host} in NO_PROXY"
        )
    return str(parsed)


def _url(text: str) -> URL:
    """Parse a URL; return the empty URL for an invalid text."""
    try:
        return URL(text)
    except ValueError:
        return URL()


def _local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
