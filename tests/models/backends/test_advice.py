"""A server that is not reached, or is another one: the message names what to put right."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cat_bench.errors import ConfigError, ModelError
from cat_bench.models.backends import Request
from cat_bench.models.backends.openai import OpenAI
from cat_bench.testing import ChatServer
from cat_bench.types.calls import Failure, Reply, Sampling
from tests.models.backends.cases import MESSAGES

PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in &amp;\n smile</title></head></html>"


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "CAT_BENCH_OPENAI_KEY_FILE", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


async def one(backend: OpenAI) -> Reply | Failure:
    (result,) = await backend.generate(Request(MESSAGES, Sampling(), (1,)))
    await backend.close()
    return result


@asynccontextmanager
async def saying(*head: str, body: bytes = b"") -> AsyncIterator[str]:
    """Where a server gives one answer to everything, and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        lines = [*head, f"Content-Length: {len(body)}", "Connection: close", "", ""]
        writer.write("\r\n".join(lines).encode() + body if head else b"")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def refused(base_url: str) -> Failure:
    result = await one(OpenAI("m", base_url=base_url))
    assert isinstance(result, Failure)
    assert not result.permanent
    return result


@pytest.mark.parametrize(
    ("status", "kind"), [("200 OK", "malformed"), ("400 Bad Request", "bad_request")]
)
async def test_a_web_page_is_shown_by_its_title_and_never_kept(status: str, kind: str) -> None:
    async with saying(f"HTTP/1.1 {status}", body=PAGE) as where:
        failure = await refused(f"http://{where}/v1")
    assert failure.kind == kind
    assert "a web page, 'Sign in & smile'" in failure.message
    assert "<" not in failure.message
    assert ("check the base URL" in failure.message) == (kind == "malformed")


async def test_a_page_without_a_title_is_a_page() -> None:
    async with saying("HTTP/1.1 502 Bad Gateway", body=b" <html></html>") as where:
        assert (await refused(f"http://{where}/v1")).message == "HTTP 502: a web page"


async def test_what_has_moved_says_where() -> None:
    async with saying("HTTP/1.1 308 Gone there", "Location: https://there/v1") as where:
        failure = await refused(f"http://{where}/v1")
    assert failure.message == "HTTP 308: moved to https://there/v1; correct the base URL"


async def test_tls_where_there_is_none() -> None:
    async with saying("HTTP/1.1 200 OK") as where:
        failure = await refused(f"https://{where}/v1")
    assert failure.kind == "connection"
    assert f"there is no TLS there; is it http://{where}/v1?" in failure.message


async def test_who_hangs_up_is_asked_by_its_scheme() -> None:
    async with saying() as where:
        failure = await refused(f"http://{where}/v1")
    assert failure.kind == "connection"
    assert f"http://{where}/v1 closed the connection" in failure.message
    assert "http or https?" in failure.message


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_lets_nothing_through_is_named(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with saying("HTTP/1.1 403 Forbidden") as where:
        there = where if scheme == "https" else "127.0.0.1:9"
        monkeypatch.setenv(f"{scheme}_proxy", f"http://me:secret@{there}")
        failure = await refused(f"{scheme}://models.invalid/v1")
    assert f"the proxy http://{there}, which the environment names" in failure.message
    assert "NO_PROXY" in failure.message
    assert "secret" not in failure.message


@pytest.mark.parametrize("proxy", ["socks5://host:1080", "host:port"])
def test_a_proxy_that_is_none_is_said_at_once(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(
        ModelError, match=r"HTTPS_PROXY names no HTTP proxy.*models.invalid in NO_P"
    ):
        OpenAI("m", base_url="https://models.invalid/v1")


@pytest.mark.parametrize("rest", ["/chat/completions", "/completions/", "?version=1", "#there"])
def test_more_than_a_base_url_is_said_at_once(rest: str) -> None:
    with pytest.raises(ConfigError, match="is more than a base URL: end it before /chat"):
        OpenAI("m", base_url=f"http://host/v1{rest}")


async def test_a_base_url_that_lacks_its_end_is_told_it() -> None:
    async with ChatServer() as server:
        bare = server.base_url.removesuffix("/v1")
        failure = await refused(bare)
    check = f"check the base URL {bare} and the model name 'm'"
    assert failure.message.endswith(f"; {check}: {server.base_url} serves test-model")


async def test_a_missing_key_is_no_wrong_one() -> None:
    async with ChatServer(api_key="sk-right") as server:
        failure = await refused(server.base_url)
    assert failure.message.endswith(
        "none was sent: set OPENAI_API_KEY, or CAT_BENCH_OPENAI_KEY_FILE to its file"
    )


async def test_a_key_may_stand_in_a_variable_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="OTHER_KEY is not set"):
        OpenAI("m", base_url="http://host/v1", key_variable="OTHER_KEY")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong")
    monkeypatch.setenv("OTHER_KEY", "sk-right")
    async with ChatServer(api_key="sk-right") as server:
        backend = OpenAI(server.model, base_url=server.base_url, key_variable="OTHER_KEY")
        assert isinstance(await one(backend), Reply)


@pytest.mark.parametrize(
    ("text", "said"), [("\n", "is empty"), ("sk-a\nb", "contains a character")]
)
def test_a_file_that_holds_no_key(
    text: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_text(text)
    monkeypatch.setenv("CAT_BENCH_OPENAI_KEY_FILE", str(file))
    with pytest.raises(ModelError, match=said):
        OpenAI("m", base_url="http://host/v1")
