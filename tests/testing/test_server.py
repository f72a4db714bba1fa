"""The server speaks the protocol as the official SDK understands it, over a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import aiohttp
import openai
import pytest
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam

from cat_bench.testing import ChatRequest, ChatServer, Faults
from cat_bench.testing.protocol import count, logprob, template, template_count, tokens

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello to the test"}]


@pytest.fixture
async def server() -> AsyncIterator[ChatServer]:
    async with ChatServer() as running:
        yield running


def sdk(server: ChatServer, **options: Any) -> openai.AsyncOpenAI:
    settings = {"api_key": "none", "max_retries": 0, "timeout": 5.0, **options}
    return openai.AsyncOpenAI(base_url=server.base_url, **settings)


async def ask(server: ChatServer, **body: Any) -> ChatCompletion:
    async with sdk(server) as client:
        raw = await client.chat.completions.with_raw_response.create(
            model=server.model, messages=HELLO, **body
        )
        return ChatCompletion.model_validate_json(raw.content, strict=True)


@pytest.mark.parametrize(
    "options", [{}, {"n": 3}, {"logprobs": True, "top_logprobs": 2}, {"max_tokens": 3}]
)
async def test_sdk_reads_a_chat_completion(server: ChatServer, options: dict[str, Any]) -> None:
    completion = await ask(server, seed=1, **options)
    assert len(completion.choices) == options.get("n", 1)
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == template_count(HELLO)  # type: ignore[arg-type]
    texts = [choice.message.content or "" for choice in completion.choices]
    assert completion.usage.completion_tokens == sum(map(count, texts))
    assert {c.finish_reason for c in completion.choices} == {
        "length" if "max_tokens" in options else "stop"
    }
    for choice, text in zip(completion.choices, texts, strict=True):
        assert (choice.logprobs is not None) == ("logprobs" in options)
        if choice.logprobs is not None:
            entries = choice.logprobs.content or []
            assert "".join(entry.token for entry in entries) == text
            assert [len(entry.top_logprobs) for entry in entries] == [2] * len(entries)


async def test_sdk_reads_a_scored_text_completion(server: ChatServer) -> None:
    async with sdk(server) as client:
        made = await client.completions.create(
            model=server.model, prompt="one two", echo=True, logprobs=1, max_tokens=1, seed=4
        )
    assert isinstance(made, Completion)
    listed = made.choices[0].logprobs
    assert listed is not None
    assert listed.tokens is not None
    assert made.choices[0].text == "".join(listed.tokens)
    assert listed.tokens[:2] == ["one", " two"]
    values: list[float | None] = list(listed.token_logprobs or [])
    assert values[:2] == [None, logprob(" two")]
    assert listed.text_offset == [0, 3, 7]


async def test_prompt_logprobs_on_both_endpoints(server: ChatServer) -> None:
    extra = {"prompt_logprobs": 0}
    async with sdk(server) as client:
        chat = await client.chat.completions.create(
            model=server.model, messages=HELLO, extra_body=extra
        )
        text = await client.completions.create(
            model=server.model, prompt="one two", extra_body=extra
        )
    listed = chat.model_extra["prompt_logprobs"]  # type: ignore[index]
    spelt = [next(iter(entry.values()))["decoded_token"] for entry in listed[1:]]
    assert listed[0] is None
    assert spelt == template(HELLO, open_end=False)[1:]  # type: ignore[arg-type]
    scored = text.choices[0].model_extra["prompt_logprobs"]  # type: ignore[index]
    assert [None if e is None else next(iter(e.values()))["logprob"] for e in scored] == [
        None,
        logprob(" two"),
    ]


async def text_of(server: ChatServer, **body: Any) -> list[str | None]:
    return [choice.message.content for choice in (await ask(server, **body)).choices]


async def test_seeds_are_honoured(server: ChatServer) -> None:
    assert await text_of(server, seed=1) == await text_of(server, seed=1)
    assert await text_of(server, seed=1) != await text_of(server, seed=9)
    assert await text_of(server) != await text_of(server)
    assert await text_of(server, seed=1, temperature=0) == await text_of(server, temperature=0)
    assert len(set(await text_of(server, n=8, seed=1))) == 8


async def test_a_constant_seed_overrules(server: ChatServer) -> None:
    server.constant_seed = 7
    assert len({*await text_of(server, n=4), *await text_of(server, seed=9)}) == 1


async def test_ignored_parameters(server: ChatServer) -> None:
    server.ignores = {"n", "seed", "logprobs"}
    made = await ask(server, n=5, seed=1, logprobs=True)
    assert len(made.choices) == 1
    assert made.choices[0].logprobs is None
    assert await text_of(server, seed=1) != await text_of(server, seed=1)


async def test_stop_strings(server: ChatServer) -> None:
    server.reply = lambda _: "one two STOP three"
    assert await text_of(server, stop=["STOP"]) == ["one two "]


async def test_the_reply_function_sees_the_request(server: ChatServer) -> None:
    def reply(request: ChatRequest) -> str:
        return f"{request.messages[-1]['content']}|{request.seed}|{request.index}"

    server.reply = reply
    server.reasoning = lambda _: "I think so"
    completion = await ask(server, seed=5, n=2)
    assert [c.message.content for c in completion.choices] == [
        "Say hello to the test|5|0",
        "Say hello to the test|6|1",
    ]
    assert completion.choices[0].message.model_extra == {"reasoning_content": "I think so"}
    assert completion.usage is not None
    assert completion.usage.completion_tokens_details is not None
    assert completion.usage.completion_tokens_details.reasoning_tokens == 6


async def test_sdk_recognises_each_error(server: ChatServer) -> None:
    server.retry_after = "3"
    server.faults = Faults(schedule=("server_error", "rate_limit", "context", "drop"))
    with pytest.raises(openai.InternalServerError):
        await ask(server)
    with pytest.raises(openai.RateLimitError) as limited:
        await ask(server)
    assert limited.value.response.headers["retry-after"] == "3"
    with pytest.raises(openai.BadRequestError) as long:
        await ask(server)
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.APIConnectionError):
        await ask(server)
    assert sum(server.stats.faults.values()) == server.stats.requests == 4


async def test_hang_ends_with_the_client(server: ChatServer) -> None:
    server.faults = Faults(schedule=("hang",))
    async with sdk(server, timeout=0.1) as client:
        with pytest.raises(openai.APITimeoutError):
            await client.chat.completions.create(model=server.model, messages=HELLO)
    await ask(server)
    assert server.stats.peak == 1


async def test_spoilt_completions(server: ChatServer) -> None:
    server.faults = Faults(schedule=("null", "empty", "refusal", "content_filter"))
    null, empty, refusal, cut = [(await ask(server)).choices[0] for _ in range(4)]
    assert null.message.content is null.message.refusal is None
    assert (empty.message.content, empty.finish_reason) == ("", "stop")
    assert refusal.message.content is None
    assert refusal.message.refusal
    assert cut.finish_reason == "content_filter"


async def test_refused_parameters_and_context(server: ChatServer) -> None:
    server.refuses, server.context = {"max_tokens"}, 10
    with pytest.raises(openai.BadRequestError, match="max_completion_tokens") as refused:
        await ask(server, max_tokens=3)
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "max_tokens")
    assert await ask(server, max_completion_tokens=3)
    server.context = 3
    with pytest.raises(openai.BadRequestError, match="maximum context length is 3"):
        await ask(server)


async def test_capacity(server: ChatServer) -> None:
    server.capacity, server.delay = 2, 3.0
    async with sdk(server) as client:
        create = client.chat.completions.create
        asked = [create(model=server.model, messages=HELLO) for _ in range(6)]
        made = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(one, openai.RateLimitError) for one in made) == 4
    assert (server.stats.peak, server.stats.turned_away, server.stats.requests) == (2, 4, 2)


async def test_death_and_return(server: ChatServer) -> None:
    server.faults, server.outage = Faults(schedule=("die",)), 3.0
    url = server.base_url
    with pytest.raises(openai.APIConnectionError):
        await ask(server)
    with pytest.raises(openai.APIConnectionError):
        await ask(server)
    for _ in range(600):
        with suppress(openai.APIConnectionError):
            assert await ask(server)
            break
        await asyncio.sleep(0.1)
    assert (server.base_url, server.stats.choices) == (url, 1)


async def test_key_models_and_unknown_names(server: ChatServer) -> None:
    server.api_key = "open sesame"
    async with sdk(server) as client:
        with pytest.raises(openai.AuthenticationError):
            await client.models.list()
    async with sdk(server, api_key="open sesame") as client:
        assert [model.id async for model in client.models.list()] == ["test-model"]
        with pytest.raises(openai.NotFoundError, match="`other` does not exist"):
            await client.chat.completions.create(model="other", messages=HELLO)


async def test_health_and_stats_from_outside(server: ChatServer) -> None:
    await ask(server, n=3)
    root = server.base_url.removesuffix("/v1")
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{root}/health") as health:
            assert health.status == 200
        async with session.get(f"{root}/stats") as stats:
            seen = await stats.json()
        async with session.post(f"{server.base_url}/completions", data=b"{") as broken:
            assert broken.status == 400
    assert (seen["requests"], seen["choices"]) == (1, 3)
    assert seen["completion_tokens"] > 0
    assert server.recent[0]["n"] == 3


@pytest.mark.parametrize("text", ["", "a", " a", "a b", "a  b ", "\n a\tb", "é ü"])
def test_tokens_spell_the_text_and_are_counted(text: str) -> None:
    assert "".join(tokens(text)) == text
    assert len(tokens(text)) == count(text)


def test_ordinary_words_outscore_garbled_ones() -> None:
    assert logprob(" the") > logprob(" xqz") > logprob(" #{@")


async def test_sdk_reads_embeddings(server: ChatServer) -> None:
    async with sdk(server) as client:
        made = await client.embeddings.create(
            model=server.model, input=["one Two", "two one", "six"], encoding_format="float"
        )
        with pytest.raises(openai.BadRequestError, match="empty string"):
            await client.embeddings.create(model=server.model, input="", encoding_format="float")
    first, second, third = (each.embedding for each in made.data)
    assert first == second != third
    assert (sum(first), sum(third)) == (2, 1)
    assert made.usage.prompt_tokens == 5


async def failures_of_a_batch(client: openai.AsyncOpenAI, model: str) -> list[dict[str, Any]]:
    """The error file of a batch of two requests, `a` and `b`."""
    body = {"model": model, "messages": HELLO}
    lines = [json.dumps({"custom_id": name, "body": body}) for name in "ab"]
    data = ("batch.jsonl", "\n".join(lines).encode())
    file = await client.files.create(file=data, purpose="batch")
    batch = await client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    while batch.error_file_id is None:
        batch = await client.batches.retrieve(batch.id)
    content = await client.files.content(batch.error_file_id)
    return [json.loads(line) for line in content.text.splitlines()]


async def test_lines_of_a_cancelled_batch_say_that_it_was_cancelled() -> None:
    def cancel(request: ChatRequest) -> str:
        for batch in chat.batches.batches.values():
            batch["status"] = "cancelled"
        return "done"

    chat = ChatServer(reply=cancel)
    async with chat, sdk(chat) as client:
        failed = await failures_of_a_batch(client, chat.model)
    assert [(f["custom_id"], f["error"]["code"]) for f in failed] == [("b", "batch_cancelled")]


async def test_every_fault_in_a_batch_is_counted() -> None:
    faults = Faults(schedule=["context", "refusal"])
    async with ChatServer(faults=faults) as server, sdk(server) as client:
        failed = await failures_of_a_batch(client, server.model)
    assert [f["custom_id"] for f in failed] == ["a"]
    assert server.stats.faults == {"context": 1, "refusal": 1}
