"""A server that sends odd, endless, late or poisoned answers."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import APIStatusError

from cat_bench.cache import Cache
from cat_bench.errors import DataError, one_line
from cat_bench.loading import grader_template
from cat_bench.models.backends import posting, wire
from cat_bench.models.backends.endpoint import Endpoint
from cat_bench.models.backends.openai import OpenAI
from cat_bench.models.cached import Model
from cat_bench.models.costs import Budget
from cat_bench.models.throttling import Gate, Limits
from cat_bench.types.calls import Failure, Reply, Sampling, flaw_of
from tests.hostile.sockets import always, ask, asked, completion, dumped, http, serving

DEEP = b'{"choices": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
ESCAPES = "\x1b]0;owned\x07\x1b[2J\u202emirrored"


def with_choice(**more: Any) -> dict[str, Any]:
    data = completion()
    data["choices"][0].update(more)
    return data


ODD = [
    completion(usage={"prompt_tokens": 10**30, "completion_tokens": 2}),
    completion(usage={"prompt_tokens": 3, "completion_tokens": "2"}),
    completion(usage={"prompt_tokens": 3, "completion_tokens": [2]}),
    completion(usage={"prompt_tokens": 3.5, "completion_tokens": 2}),
    completion(usage={"prompt_tokens": 3, "completion_tokens": True}),
    completion(usage="many"),
    completion(model={"name": "m"}),
    completion(["a", "list"]),
    completion({"an": "object"}),
    completion(7),
    with_choice(finish_reason={"an": "object"}),
    with_choice(finish_reason=["stop"]),
    with_choice(message={"content": "4", "reasoning_content": [{"text": "two twos"}]}),
    with_choice(index="first"),
    with_choice(logprobs={"content": [{"logprob": "-0.5"}]}),
    with_choice(logprobs={"content": [{"logprob": 3.0}]}),
    with_choice(logprobs={"content": [{"logprob": [-0.5]}]}),
]


@pytest.mark.parametrize("data", ODD, ids=lambda data: json.dumps(data)[-70:])
async def test_an_odd_reply_is_malformed_and_never_stored(data: Any, tmp_path: Path) -> None:
    if "index" in str(data["choices"][0].get("index")):
        data["choices"].append(data["choices"][0])
    async with serving(always(dumped(data))) as url, Cache(tmp_path / "c.sqlite") as cache:
        backend = OpenAI("m", base_url=url, timeout=10)
        model = Model("m", backend, cache=cache, limits=Limits(retries=0))
        drawn = await model.draw([{"role": "user", "content": "2 + 2?"}], [0], Sampling())
        await model.close()
        found = drawn[0]
        if isinstance(found, Reply):  # an index among one choice says nothing
            assert data["choices"][0]["index"] == "first"
            assert flaw_of(found) is None
        else:
            assert found.kind == "malformed"


async def test_deep_json_is_malformed() -> None:
    async with serving(always(http(DEEP))) as url:
        (found,) = await asked(url)
    assert isinstance(found, Failure)
    assert found.kind == "malformed"


@pytest.mark.parametrize("body", [DEEP, b'{"error": ' + DEEP + b"}"])
async def test_a_deep_error_is_a_failure(body: bytes) -> None:
    async with serving(always(http(body, "500 Internal Server Error"))) as url:
        (found,) = await asked(url)
    assert isinstance(found, Failure)
    assert found.kind == "server"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_reply_is_a_sound_one_or_a_failure(data: st.DataObject) -> None:
    def maybe(*usual: Any) -> st.SearchStrategy[Any]:
        return st.sampled_from(usual) | json_values

    def mapping(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.fixed_dictionaries({}, optional=parts) | json_values

    entry = mapping(logprob=maybe(-0.5, 0, None))
    choice = mapping(
        index=maybe(0, 1, None),
        message=mapping(content=maybe("4"), reasoning=maybe("hm"), refusal=maybe("no")),
        finish_reason=maybe("stop", "length"),
        logprobs=mapping(content=st.lists(entry, max_size=2) | json_values),
    )
    usage = mapping(
        prompt_tokens=maybe(1),
        completion_tokens=maybe(1),
        completion_tokens_details=mapping(reasoning_tokens=maybe(1)),
    )
    body = mapping(choices=st.lists(choice, max_size=3) | json_values, usage=usage, model=maybe(""))
    raw = json.dumps(data.draw(body)).encode()
    answer = wire.parse_body(200, {}, raw)
    found = answer if isinstance(answer, Failure) else wire.replies(answer, 1)
    for result in [found] if isinstance(found, Failure) else found:
        if isinstance(result, Reply):
            assert flaw_of(result) is None
        else:
            assert result.message.isprintable()


@given(json_values, st.sampled_from([200, 302, 400, 429, 500]))
@settings(max_examples=100, deadline=None)
def test_any_error_is_a_failure_in_one_printable_line(value: Any, status: int) -> None:
    raw = json.dumps({"error": value}).encode()
    found = wire.failure(status, {"Location": ESCAPES, "Retry-After": str(value)}, raw)
    assert found.message.isprintable()
    assert found.retry_after is None or found.retry_after >= 0
    embedded = wire.read_embedding({"data": [{"embedding": value}]})
    assert isinstance(embedded, Failure) or flaw_of(embedded) is None


def test_a_copy_of_a_choice_is_no_second_draw() -> None:
    data = completion()
    data["choices"] *= 3
    found = wire.replies(data, 1)
    assert not isinstance(found, Failure)
    assert len(found) == 1


async def answering(model: OpenAI, texts: range, *, written: asyncio.Event) -> int:
    """How many questions were answered by the answer to another one.

    The next question is asked when the server has written all, and the loop has seen it arrive.
    """
    foreign = 0
    for number in texts:
        written.clear()
        (found,) = await ask(model, f"question {number}.")
        assert isinstance(found, Reply)
        foreign += found.text != f"question {number}."
        await written.wait()
        for _ in range(20):
            await asyncio.sleep(0)
    return foreign


def quoted(body: bytes, name: str = "") -> bytes:
    text = json.loads(body)["messages"][0]["content"]
    return dumped(completion(text, **({"id": name + text} if name else {})))


async def test_an_answer_that_nobody_asked_for_answers_no_later_question() -> None:
    written = asyncio.Event()

    async def twice(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(quoted(body))
        await writer.drain()
        await asyncio.sleep(0.005)
        writer.write(quoted(body))
        await writer.drain()
        written.set()

    async with serving(twice) as url:
        model = OpenAI("m", base_url=url, logprobs=False)
        assert await answering(model, range(12), written=written) == 0
        await model.close()


async def test_a_copy_that_comes_while_the_next_answer_is_awaited_answers_nothing() -> None:
    async def again(body: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.01)
        for _ in range(2):
            writer.write(quoted(body, "chatcmpl-"))
            await writer.drain()
            await asyncio.sleep(0.03)

    async with serving(again) as url:
        model = OpenAI("m", base_url=url, logprobs=False)
        found = await asyncio.gather(*(ask_twice(model, n) for n in range(8)))
        await model.close()
    assert sum(found) == 0


@pytest.mark.parametrize("by", ["id", "header"])
async def test_an_answer_that_names_another_request_answers_nothing(by: str) -> None:
    """No two answers are alike: each comes twice, and the second copy has another time on it."""
    heads: list[bytes] = []
    written: list[int] = []

    async def late(body: bytes, writer: asyncio.StreamWriter) -> None:
        asked = heads[-1].partition(b"X-Request-Id: ")[2].split(b"\r\n")[0].decode()
        text = json.loads(body)["messages"][0]["content"]
        for _ in range(2):
            written.append(0)
            named = {"id": f"chatcmpl-{asked}" if by == "id" else "chatcmpl"}
            said = json.dumps(completion(text, created=len(written), **named)).encode()
            writer.write(http(said, **({"X_Request_Id": asked} if by == "header" else {})))
            await writer.drain()
            await asyncio.sleep(0.03)

    async with serving(late, heads=heads) as url:
        model = OpenAI("m", base_url=url, logprobs=False)
        found = await asyncio.gather(*(ask_twice(model, n) for n in range(8)))
        await model.close()
    assert sum(found) == 0


async def test_a_proxy_that_remembers_answers_is_believed_the_second_time() -> None:
    heads: list[bytes] = []
    first: list[bytes] = []

    async def remember(body: bytes, writer: asyncio.StreamWriter) -> None:
        asked = heads[-1].partition(b"X-Request-Id: ")[2].split(b"\r\n")[0].decode()
        first.append(dumped(completion(id=f"chatcmpl-{asked}")))
        writer.write(first[0])

    async with serving(remember, heads=heads) as url:
        model = OpenAI("m", base_url=url, logprobs=False)
        for _ in range(6):
            (found,) = await ask(model, "2 + 2?")
            assert isinstance(found, Reply)
        await model.close()
    assert len(heads) == 7


async def test_many_large_answers_at_a_time_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "TOGETHER_MOST", 8 << 20)
    large = http(json.dumps(completion("a word " * 300_000)).encode())
    async with serving(always(large)) as url:
        model = OpenAI("m", base_url=url, logprobs=False, timeout=60)
        (alone,) = await ask(model, "2 + 2?")
        found = await asyncio.gather(*(ask(model, f"question {n}") for n in range(12)))
        (again,) = await ask(model, "3 + 3?")
        await model.close()
    assert isinstance(alone, Reply)
    assert isinstance(again, Reply)
    failed = [one for (one,) in found if isinstance(one, Failure)]
    assert failed
    assert all("at a time are larger than 8 MiB" in one.message for one in failed)


async def ask_twice(model: OpenAI, number: int) -> int:
    """How many of two questions, the second asked at once, have the answer to another one."""
    foreign = 0
    for part in ("first", "second"):
        (reply,) = await ask(model, f"{part} question {number}")
        assert isinstance(reply, Reply)
        foreign += reply.text != f"{part} question {number}"
    return foreign


async def test_a_server_whose_answers_are_all_alike_is_asked_again_once() -> None:
    received: list[bytes] = []

    async def alike(body: bytes, writer: asyncio.StreamWriter) -> None:
        received.append(body)
        writer.write(dumped(completion(id="x")))

    async with serving(alike) as url:
        model = OpenAI("m", base_url=url, logprobs=False)
        for _ in range(6):
            (found,) = await ask(model, "2 + 2?")
            assert isinstance(found, Reply)
        await model.close()
    assert len(received) == 7


async def test_an_answer_after_an_error_answers_no_later_question() -> None:
    async def late(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(http(b"{}", "503 Service Unavailable"))
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(quoted(body))

    async with serving(late) as url:
        model = OpenAI("m", base_url=url, logprobs=False)
        for _ in range(4):
            (found,) = await ask(model, "question")
            assert isinstance(found, Failure)
            assert found.kind == "server"
        await model.close()


async def test_an_endless_body_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "BODY_MOST", 1 << 20)
    bomb = http(gzip.compress(bytes(64 << 20), 9), Content_Encoding="gzip")

    async def endless(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
            await writer.drain()

    for serve in (always(bomb), endless):
        async with serving(serve) as url:
            (found,) = await asked(url)
        assert isinstance(found, Failure)
        assert found.kind == "malformed"
        assert "larger than" in found.message


@pytest.mark.parametrize("page", ["<html>" + "<title" * 90_000, "<html>" + "<title>" * 80_000])
async def test_an_error_page_is_read_in_linear_time(page: str) -> None:
    async with serving(always(http(page.encode(), "502 Bad Gateway"))) as url:
        begun = time.process_time()
        (found,) = await asked(url)
        took = time.process_time() - begun
    assert isinstance(found, Failure)
    assert took < 5  # it was 20 s and more


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": -9, "completion_tokens": -9}])
async def test_a_budget_holds_where_usage_is_missing_or_negative(
    usage: Any, tmp_path: Path
) -> None:
    gate = Gate()
    budget = Budget(lambda reason: gate.close("offline", reason), tokens=200)
    answer = dumped(completion("a word " * 20, usage=usage))
    async with serving(always(answer)) as url, Cache(tmp_path / "c.sqlite") as cache:
        backend = OpenAI("m", base_url=url, choices=1, logprobs=False)
        model = Model("m", backend, cache=cache, gate=gate, budget=budget)
        messages = [{"role": "user", "content": "What is 2 + 2?"}]
        for slot in range(40):
            await model.draw(messages, [slot], Sampling())  # type: ignore[arg-type]
        await model.close()
    assert gate.closed is not None
    assert "budget of 200 tokens" in gate.closed.message
    assert model.meter.made < 10


async def test_no_message_can_steer_a_terminal() -> None:
    listed = http(json.dumps({"data": [{"id": f"m{ESCAPES}"}]}).encode())
    refused = http(json.dumps({"error": {"message": ESCAPES}}).encode(), "404 Not Found")
    page = http(f"<html><title>{ESCAPES}</title>".encode(), "502 Bad Gateway")
    moved = http(b"", "302 Found", Location="http://\x1b[2J")

    async def lists(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(refused if body else listed)

    for serve in (lists, always(page), always(moved), always(dumped({"error": ESCAPES}))):
        async with serving(serve) as url:
            (found,) = await asked(url)
        assert isinstance(found, Failure)
        assert found.message.isprintable()
    assert one_line(ESCAPES).isprintable()


async def test_names_that_a_server_gives_can_steer_no_terminal() -> None:
    data = completion(model=ESCAPES, system_fingerprint=ESCAPES)
    data["choices"][0]["finish_reason"] = ESCAPES
    async with serving(always(dumped(data))) as url:
        (found,) = await asked(url)
    assert isinstance(found, Reply)
    assert (found.served_by or "").isprintable()
    assert (found.finish or "").isprintable()


async def test_a_pause_without_an_end_ends_the_run(tmp_path: Path) -> None:
    """Nothing waits for what the server asks: the other questions are not sent at all."""
    received: list[bytes] = []
    busy = http(b"{}", "429 Too Many Requests", Retry_After="1000000000")

    async def refuse(body: bytes, writer: asyncio.StreamWriter) -> None:
        received.append(body)
        writer.write(busy)

    gate = Gate()
    async with serving(refuse) as url, Cache(tmp_path / "c.sqlite") as cache:
        backend = OpenAI("m", base_url=url, logprobs=False)
        model = Model("m", backend, cache=cache, gate=gate, limits=Limits(start=1, concurrency=1))
        messages = [{"role": "user", "content": "2 + 2?"}]
        for slot in range(5):
            drawn = await model.draw(messages, [slot], Sampling())  # type: ignore[arg-type]
            assert isinstance(drawn[slot], Failure)
        await model.close()
    assert len(received) == 1
    assert gate.closed is not None
    assert "asks for a pause of 1,000,000,000 s" in gate.closed.message


async def test_a_long_pause_ends_when_the_run_does(tmp_path: Path) -> None:
    busy = http(b"{}", "429 Too Many Requests", Retry_After="500")
    gate = Gate()
    async with serving(always(busy)) as url, Cache(tmp_path / "c.sqlite") as cache:
        backend = OpenAI("m", base_url=url, logprobs=False)
        model = Model("m", backend, cache=cache, gate=gate)
        asking = asyncio.create_task(
            model.draw([{"role": "user", "content": "2 + 2?"}], [0], Sampling())
        )
        await asyncio.sleep(0.2)
        gate.close("offline", "interrupted")
        async with asyncio.timeout(300):
            assert isinstance((await asking)[0], Failure)
        await model.close()


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Moved", "308 Moved"])
async def test_the_key_follows_no_redirect(status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    seen: list[bytes] = []

    async def steal(body: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(body)
        writer.write(dumped(completion()))

    async with AsyncExitStack() as servers:
        there = await servers.enter_async_context(serving(steal))
        gone = always(http(b"", status, Location=f"{there}/chat/completions"))
        url = await servers.enter_async_context(serving(gone))
        (found,) = await asked(url)
        sdk = Endpoint(url, timeout=10).sdk().with_options(max_retries=0)
        with pytest.raises(APIStatusError):
            await sdk.models.list()
        await sdk.close()
    assert isinstance(found, Failure)
    assert "moved to" in found.message
    assert seen == []


@pytest.mark.parametrize("place", ["text", "model", "refusal", "error", "finish"])
async def test_a_key_that_a_server_sends_back_is_not_kept(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reply is stored, shown and published; a proxy may quote the request's headers."""
    key = "sk-secret-0123456789"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    quoted = f"you sent Authorization: Bearer {key}"
    answers = {
        "text": completion(quoted),
        "model": completion(model=quoted),
        "refusal": with_choice(message={"content": None, "refusal": quoted}),
        "error": {"error": {"message": quoted}},
        "finish": with_choice(finish_reason=quoted),
    }
    async with serving(always(dumped(answers[place]))) as url:
        (found,) = await asked(url)
    assert key not in repr(found)
    assert "[key]" in repr(found)


async def test_account_headers_follow_no_redirect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    seen: list[bytes] = []

    async def steal(body: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(body)
        writer.write(http(b'{"data": []}'))

    async with serving(steal) as there:
        gone = http(b"", "307 Temporary Redirect", Location=f"{there}/models")

        async def move(body: bytes, writer: asyncio.StreamWriter) -> None:
            writer.write(http(b"{}", "404 Not Found") if body else gone)

        async with serving(move) as url:
            await asked(url)
    assert seen == []


async def test_a_pinned_file_is_fetched_up_to_a_limit_and_by_its_digest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever answers instead of its host: with no end, cut off, or from somewhere else."""
    monkeypatch.setattr(grader_template, "TIMEOUT_S", 2)  # what is cut off is waited for

    async def endless(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n")
        while True:
            writer.write(b" " * 0x10000)
            await writer.drain()

    cut = always(http(b"half").replace(b"Length: 4", b"Length: 9"))
    async with AsyncExitStack() as servers:
        there = await servers.enter_async_context(serving(always(http(b"another file"))))
        moved = always(http(b"", "302 Found", Location=f"{there}/file.py"))
        for serve in (endless, cut, moved, always(b"no answer\r\n\r\n")):
            url = await servers.enter_async_context(serving(serve))
            pinned = grader_template.Pinned(f"{url}/file.py", "0" * 64)
            with pytest.raises(DataError):
                await asyncio.to_thread(_read_pinned, pinned)


def _read_pinned(pinned: grader_template.Pinned) -> None:
    content = grader_template._fetch(pinned, fetch=True)
    assert len(content) <= grader_template.MOST
    grader_template._check_content(content, pinned.url, pinned)
