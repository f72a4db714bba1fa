"""The OpenAI backend against a real server on a real socket, in health and under every fault."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cat_bench.errors import ConfigError, ModelError, NotAvailable
from cat_bench.models.backends import Backend, Request
from cat_bench.models.backends.openai import OpenAI
from cat_bench.testing import ChatServer, Fault, Faults
from cat_bench.testing.protocol import count, logprob, template_count, tokens
from cat_bench.types.calls import Failure, Reply, Sampling, Usage
from tests.models.backends.cases import (
    FAULTS,
    FOUR,
    MESSAGES,
    PLAIN,
    SECRET,
    assert_four,
    replies,
    request,
)

Connect = Callable[..., OpenAI]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "BASE_URL", "ORG_ID", "PROJECT_ID"):
        monkeypatch.delenv(f"OPENAI_{name}", raising=False)
    monkeypatch.delenv("CAT_BENCH_OPENAI_KEY_FILE", raising=False)


@pytest.fixture
async def server() -> AsyncIterator[ChatServer]:
    async with ChatServer() as running:
        yield running


@pytest.fixture
async def connect(server: ChatServer) -> AsyncIterator[Connect]:
    async with AsyncExitStack() as stack:

        def make(**options: Any) -> OpenAI:
            settings = {"model": server.model, "base_url": server.base_url, **options}
            backend = OpenAI(settings.pop("model"), **settings)
            stack.push_async_callback(backend.close)
            return backend

        yield make


async def one(backend: OpenAI, **sampling: Any) -> Reply | Failure:
    (result,) = await backend.generate(request(1, **sampling))
    return result


async def failed(server: ChatServer, backend: OpenAI, fault: Fault) -> Failure:
    server.faults = Faults({fault: 1.0})
    result = await one(backend)
    assert isinstance(result, Failure), result
    return result


async def test_a_reply_holds_what_the_server_sent(server: ChatServer, connect: Connect) -> None:
    server.reply = lambda _: FOUR
    backend: Backend = connect()
    (reply,) = await backend.generate(request(7))
    assert_four(reply, served_by="test-model fp_test", seed=7)


async def test_parameters_arrive_under_their_names(server: ChatServer, connect: Connect) -> None:
    await one(
        connect(),
        **PLAIN,
        stop=("END",),
        thinking=False,
        extra={"repetition_penalty": 1.1, "chat_template_kwargs": {"style": "plain"}},
    )
    assert server.recent[-1] == {
        "model": "test-model",
        "messages": list(MESSAGES),
        **PLAIN,
        "stop": ["END"],
        "chat_template_kwargs": {"enable_thinking": False, "style": "plain"},
        "repetition_penalty": 1.1,
        "seed": 1,
        "logprobs": True,
    }


async def test_only_what_is_given_is_sent(server: ChatServer, connect: Connect) -> None:
    await one(connect(logprobs=False))
    assert set(server.recent[-1]) == {"model", "messages", "seed"}


async def test_length_limit_shows_as_finish(connect: Connect) -> None:
    reply = await one(connect(), max_tokens=4)
    assert isinstance(reply, Reply)
    assert (reply.finish, reply.usage.completion) == ("length", 4)


async def test_several_seeds_share_one_request(server: ChatServer, connect: Connect) -> None:
    results = await replies(connect(), request(10, 20, 30))
    assert server.stats.requests == 1
    assert (server.recent[-1]["n"], server.recent[-1]["seed"]) == (3, 10)
    assert len({reply.text for reply in results}) == 3
    assert [reply.usage.completion for reply in results] == [count(r.text) for r in results]
    assert {reply.usage.prompt for reply in results} == {template_count(MESSAGES)}
    for reply in results:
        assert reply.token_logprobs is not None
        expected = np.array([logprob(token) for token in tokens(reply.text)], dtype=np.float32)
        np.testing.assert_array_equal(reply.token_logprobs, expected)


async def test_more_seeds_than_choices_are_split(server: ChatServer, connect: Connect) -> None:
    await replies(connect(choices=2), request(1, 20, 300, 4000, 50000))
    assert sorted((body.get("n", 1), body["seed"]) for body in server.recent) == [
        (1, 50000),
        (2, 1),
        (2, 300),
    ]


async def test_usage_is_divided_where_lengths_are_unknown(
    server: ChatServer, connect: Connect
) -> None:
    server.reply = lambda request: "a b c" if request.index else "a b c d e"
    results = await replies(connect(logprobs=False), request(1, 2, 3))
    assert [reply.usage.completion for reply in results] == [5, 3, 3]
    server.reply = lambda request: "a " * 5 + "a"
    server.reasoning = lambda request: "b" if request.index else "b b b b b"
    results = await replies(connect(logprobs=False), request(1, 2, 3))
    assert [reply.usage.reasoning for reply in results] == [3, 2, 2]
    assert sum(reply.usage.completion for reply in results) == 3 * 6 + 7


async def test_equal_seeds_equal_texts(connect: Connect) -> None:
    backend = connect()
    texts = [(await replies(backend, request(seed)))[0].text for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


async def test_a_server_that_ignores_n_is_filled_and_remembered(
    server: ChatServer, connect: Connect
) -> None:
    server.ignores = {"n"}
    backend = connect()
    assert backend.choices == 8
    first = await replies(backend, request(10, 20, 30, 40))
    assert [reply.seed for reply in first] == [10, 20, 30, 40]
    assert len({reply.text for reply in first}) == 4
    assert (backend.choices, server.stats.requests) == (1, 4)
    await replies(backend, request(50, 60))
    assert server.stats.requests == 6
    assert all("n" not in body for body in list(server.recent)[1:])


async def test_what_fails_while_filling_is_that_seeds_failure(
    server: ChatServer, connect: Connect
) -> None:
    server.ignores, server.faults = {"n"}, Faults(schedule=(None, "server_error"))
    first, second, third = await connect().generate(request(1, 2, 3))
    kinds = {type(second), type(third)}
    assert isinstance(first, Reply)
    assert kinds == {Reply, Failure}


@pytest.mark.parametrize(
    ("name", "instead"),
    [("max_tokens", "max_completion_tokens"), ("logprobs", None), ("seed", None), ("n", None)],
)
async def test_a_refused_parameter_is_dropped_once_and_for_all(
    server: ChatServer, connect: Connect, name: str, instead: str | None
) -> None:
    server.refuses = {name}
    backend = connect()
    sampled = request(10, 20, max_tokens=50)
    for _ in range(2):
        results = await backend.generate(sampled)
        assert all(isinstance(result, Reply) for result in results)
    assert sum(name in body for body in server.recent) == 1
    if instead:
        assert server.recent[-1][instead] == 50
    if name == "logprobs":
        assert backend.capabilities == {"embeddings"}
    if name == "seed":
        assert {r.seed for r in results if isinstance(r, Reply)} == {None}
    assert backend.choices == (1 if name == "n" else 8)


async def test_another_temperature_than_asked_is_said(server: ChatServer, connect: Connect) -> None:
    server.refuses = ("temperature", "top_p")
    backend = connect()
    cold = [await one(backend, temperature=0, top_p=0.5) for _ in range(2)]
    assert [isinstance(r, Reply) and r.unsent for r in cold] == [("temperature", "top_p")] * 2
    assert sum("temperature" in body for body in server.recent) == 1, "it is refused once"
    warm = await one(backend, temperature=1)
    assert isinstance(warm, Reply)
    assert (warm.unsent, server.recent[-1]["temperature"]) == ((), 1)


async def test_a_refused_stop_is_applied_here(server: ChatServer, connect: Connect) -> None:
    server.refuses, server.reply = {"stop"}, lambda _: "one two three"
    reply = await one(connect(), stop=("two",))
    assert isinstance(reply, Reply)
    assert (reply.text, reply.finish, reply.unsent) == ("one ", "stop", ())


async def test_a_parameter_that_a_server_does_not_know(
    server: ChatServer, connect: Connect
) -> None:
    server.refuses = {
        "top_k": "Unrecognized request argument supplied: top_k",
        "chat_template_kwargs": "body -> chat_template_kwargs: Extra inputs are not permitted",
    }
    reply = await one(connect(), top_k=20, thinking=False)
    assert isinstance(reply, Reply)
    assert reply.unsent == ("thinking", "top_k")


@pytest.mark.parametrize("key", ["x", "token", "max", "temperature"])
async def test_a_key_that_is_a_word_disturbs_no_error(
    server: ChatServer, connect: Connect, key: str
) -> None:
    server.refuses = ("max_tokens", "temperature")
    backend = connect(api_key=key)
    reply = await one(backend, temperature=0, max_tokens=50)
    assert isinstance(reply, Reply)
    assert reply.unsent == ("temperature",)
    assert server.recent[-1]["max_completion_tokens"] == 50
    server.api_key = "another"
    wrong = await one(backend)
    assert isinstance(wrong, Failure)
    assert "Incorrect API key provided: Bearer [key]" in wrong.message


async def test_a_seed_need_not_be_sent(server: ChatServer, connect: Connect) -> None:
    reply = await one(connect(seed=False))
    assert isinstance(reply, Reply)
    assert reply.seed is None
    assert "seed" not in server.recent[-1]


async def test_copies_among_the_choices_of_a_request_are_said(
    server: ChatServer, connect: Connect
) -> None:
    server.constant_seed, server.reply = 1, lambda _: "a long text, the same for all, " * 9
    backend = connect()
    assert backend.caution is None
    await backend.generate(request(*range(8), temperature=1))
    assert backend.caution is not None
    assert "7 of 8 texts are copies" in backend.caution
    cold = connect()
    await cold.generate(request(*range(8), temperature=0))
    assert cold.caution is None, "at temperature 0 they should be"


async def test_every_refusal_at_once_under_concurrency(
    server: ChatServer, connect: Connect
) -> None:
    server.refuses = ("max_tokens", "logprobs", "n", "seed")
    backend = connect()
    sampled = request(1, 2, max_tokens=50)
    made = await asyncio.gather(*(backend.generate(sampled) for _ in range(8)))
    assert all(isinstance(result, Reply) for results in made for result in results)


async def test_a_parameter_that_the_user_insists_on_is_not_dropped(
    server: ChatServer, connect: Connect
) -> None:
    server.refuses = {"seed"}
    result = await one(connect(), extra={"seed": 3})
    assert isinstance(result, Failure)
    assert (result.kind, result.permanent) == ("bad_request", True)


async def test_reasoning_is_kept_apart(server: ChatServer, connect: Connect) -> None:
    server.reply, server.reasoning = lambda _: "four", lambda _: "two and two"
    reply = await one(connect())
    assert isinstance(reply, Reply)
    assert (reply.text, reply.reasoning) == ("four", "two and two")
    assert (reply.usage.completion, reply.usage.reasoning) == (4, 3)


@pytest.mark.parametrize(("fault", "kind", "permanent"), [*FAULTS, ("die", "connection", False)])
async def test_each_fault_is_a_failure_of_its_kind(
    server: ChatServer, connect: Connect, fault: Fault, kind: str, permanent: bool
) -> None:
    failure = await failed(server, connect(), fault)
    assert (failure.kind, failure.permanent) == (kind, permanent)
    assert failure.message
    assert server.stats.requests == 1


async def test_a_hang_is_a_timeout(server: ChatServer, connect: Connect) -> None:
    failure = await failed(server, connect(timeout=0.1), "hang")
    assert (failure.kind, failure.permanent) == ("timeout", False)
    assert "0.1 s" in failure.message


async def test_an_empty_text_that_finished_is_a_reply(server: ChatServer, connect: Connect) -> None:
    server.faults = Faults({"empty": 1.0})
    reply = await one(connect())
    assert isinstance(reply, Reply)
    assert (reply.text, reply.finish) == ("", "stop")


async def test_after_death_the_same_backend_goes_on(server: ChatServer, connect: Connect) -> None:
    server.faults, server.outage = Faults(schedule=("die",)), 3.0
    backend = connect()
    down = [await one(backend), await one(backend)]
    assert [f.kind for f in down if isinstance(f, Failure)] == ["connection", "connection"]
    while isinstance(await one(backend), Failure):
        await asyncio.sleep(0.1)


async def test_nothing_listens(connect: Connect) -> None:
    result = await one(connect(base_url="http://127.0.0.1:9/v1"))
    assert isinstance(result, Failure)
    assert result.kind == "connection"
    assert "127.0.0.1" in result.message


async def test_retry_after_in_seconds_and_as_a_date(server: ChatServer, connect: Connect) -> None:
    backend = connect()
    server.retry_after = "2.5"
    assert (await failed(server, backend, "rate_limit")).retry_after == 2.5
    server.retry_after = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    waiting = (await failed(server, backend, "rate_limit")).retry_after
    assert waiting is not None
    assert 50 < waiting <= 60
    server.retry_after = "soon"
    assert (await failed(server, backend, "rate_limit")).retry_after is None


async def test_beyond_capacity(server: ChatServer, connect: Connect) -> None:
    server.capacity, server.delay = 3, 0.05
    backend = connect()
    results = await asyncio.gather(*(one(backend) for _ in range(10)))
    assert sum(isinstance(result, Reply) for result in results) == 3
    assert {r.kind for r in results if isinstance(r, Failure)} == {"rate_limit"}


async def test_an_unknown_model_names_what_is_served(connect: Connect) -> None:
    result = await one(connect(model="test-modle"))
    assert isinstance(result, Failure)
    assert (result.kind, result.permanent) == ("bad_request", False)
    assert "`test-modle` does not exist" in result.message
    assert "serves test-model" in result.message


async def test_a_wrong_path_says_so(server: ChatServer, connect: Connect) -> None:
    result = await one(connect(base_url=server.base_url.removesuffix("/v1")))
    assert isinstance(result, Failure)
    assert "check the base URL" in result.message


async def test_text_that_utf8_cannot_hold_survives(server: ChatServer, connect: Connect) -> None:
    odd = "NUL \x00 and half \ud800 a pair"
    server.reply = lambda request: request.messages[0]["content"]
    (reply,) = await connect(logprobs=False).generate(
        Request(({"role": "user", "content": odd},), Sampling(), (1,))
    )
    assert isinstance(reply, Reply)
    assert reply.text == odd


# --- keys ---


async def test_the_key_is_sent_and_never_shown(
    server: ChatServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.api_key = SECRET
    right = connect(api_key=SECRET)
    assert isinstance(await one(right), Reply)
    server.api_key = "another"
    wrong = await one(right)
    assert isinstance(wrong, Failure)
    assert (wrong.kind, wrong.permanent) == ("auth", False)
    assert "Incorrect API key provided: Bearer [key]" in wrong.message
    unknown = await one(connect(model=f"like {SECRET}", api_key=SECRET))
    shown = (repr(right), str(right.identity), repr(wrong), repr(unknown), caplog.text)
    assert not any(SECRET in text for text in shown)


async def test_the_key_comes_from_argument_environment_or_file(
    server: ChatServer, connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server.api_key = SECRET
    assert isinstance(await one(connect()), Failure)
    file = tmp_path / "key"
    file.write_text(f"{SECRET}\n")
    monkeypatch.setenv("CAT_BENCH_OPENAI_KEY_FILE", str(file))
    assert isinstance(await one(connect()), Reply)
    monkeypatch.setenv("OPENAI_API_KEY", "wrong")
    assert isinstance(await one(connect()), Failure)
    assert isinstance(await one(connect(api_key=SECRET)), Reply)


def test_openai_itself_needs_a_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="set OPENAI_API_KEY"):
        OpenAI("gpt-4.1-mini")
    monkeypatch.setenv("CAT_BENCH_OPENAI_KEY_FILE", str(tmp_path / "none"))
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        OpenAI("gpt-4.1-mini")
    with pytest.raises(ModelError, match="an HTTP header cannot hold") as bad:
        OpenAI("gpt-4.1-mini", api_key=f"{SECRET}\nmore")
    assert SECRET not in str(bad.value)
    assert OpenAI("gpt-4.1-mini", api_key=SECRET).identity == {"name": "gpt-4.1-mini"}


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host/v1", "http://me:pw@host/v1"])
def test_a_base_url_that_is_none(url: str) -> None:
    with pytest.raises(ConfigError, match="base_url"):
        OpenAI("m", base_url=url)


async def test_the_base_url_may_come_from_the_environment(
    server: ChatServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.base_url}/")
    assert isinstance(await one(connect(base_url=None)), Reply)


async def test_the_environments_proxy_is_used_except_for_this_machine(
    server: ChatServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("http_proxy", server.base_url.removesuffix("/v1"))
    assert isinstance(await one(connect(base_url="http://models.invalid/v1")), Reply)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert isinstance(await one(connect()), Reply)


# --- scoring a given text ---


def rendered(messages: Any) -> str:
    return "".join(f"{m['role']}: {m['content']}\n" for m in messages) + "assistant: "


@pytest.mark.parametrize("scoring", ["prompt_logprobs", "echo", "auto"])
async def test_scores_are_those_of_the_text_alone(connect: Connect, scoring: str) -> None:
    backend = connect(scoring=scoring, render=rendered)
    assert "scoring" in backend.capabilities
    scores = await backend.logprob(MESSAGES, " It is four.")
    assert not isinstance(scores, Failure)
    expected = np.array([logprob(token) for token in (" It", " is", " four.")], dtype=np.float32)
    np.testing.assert_array_equal(scores, expected)


async def test_a_text_scores_what_it_was_sampled_with(connect: Connect) -> None:
    backend = connect(scoring="prompt_logprobs")
    (reply,) = await replies(backend, request(3))
    scores = await backend.logprob(MESSAGES, reply.text)
    assert not isinstance(scores, Failure)
    assert reply.token_logprobs is not None
    np.testing.assert_array_equal(scores, reply.token_logprobs)


async def test_scoring_is_checked_once(server: ChatServer, connect: Connect) -> None:
    backend = connect(scoring="prompt_logprobs")
    await asyncio.gather(*(backend.logprob(MESSAGES, "It is four.") for _ in range(5)))
    assert server.stats.requests == 2 + 5
    assert not isinstance(empty := await backend.logprob(MESSAGES, ""), Failure)
    assert empty.shape == (0,)
    assert server.stats.requests == 7


async def test_scoring_that_was_not_enabled(connect: Connect) -> None:
    backend = connect()
    assert "scoring" not in backend.capabilities
    with pytest.raises(NotAvailable, match="not enabled"):
        await backend.logprob(MESSAGES, "four")


def test_echo_needs_a_template() -> None:
    with pytest.raises(ConfigError, match="render"):
        OpenAI("m", base_url="http://localhost/v1", scoring="echo")


@pytest.mark.parametrize(
    ("ignored", "reason"),
    [("prompt_logprobs", "no prompt_logprobs"), ("echo", "do not spell")],
)
async def test_a_server_that_cannot_score_is_found_out(
    server: ChatServer, connect: Connect, ignored: str, reason: str
) -> None:
    server.ignores = {"prompt_logprobs", "echo"}
    way = "echo" if ignored == "echo" else "prompt_logprobs"
    backend = connect(scoring=way, render=rendered)
    for _ in range(2):
        with pytest.raises(NotAvailable, match=reason):
            await backend.logprob(MESSAGES, "four")
    assert "scoring" not in backend.capabilities
    assert server.stats.requests == 2


@pytest.mark.parametrize(
    ("value", "reason"), [(0.0, "zero"), (-1.0, "no higher")], ids=["zeros", "constant"]
)
async def test_scores_that_say_nothing_are_not_believed(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, value: float, reason: str
) -> None:
    monkeypatch.setattr("cat_bench.testing.protocol.logprob", lambda token: value)
    with pytest.raises(NotAvailable, match=reason):
        await connect(scoring="prompt_logprobs").logprob(MESSAGES, "four")


async def test_auto_goes_on_to_what_works(server: ChatServer, connect: Connect) -> None:
    server.refuses = {"prompt_logprobs"}
    backend = connect(scoring="auto", render=rendered)
    assert not isinstance(await backend.logprob(MESSAGES, " four"), Failure)
    with pytest.raises(NotAvailable, match="Unsupported parameter: 'prompt_logprobs'"):
        await connect(scoring="auto").logprob(MESSAGES, "four")


async def test_a_passing_failure_of_the_check_decides_nothing(
    server: ChatServer, connect: Connect
) -> None:
    server.faults = Faults(schedule=("server_error",))
    backend = connect(scoring="auto")
    failure = await backend.logprob(MESSAGES, "four")
    assert isinstance(failure, Failure)
    assert failure.kind == "server"
    assert not isinstance(await backend.logprob(MESSAGES, "four"), Failure)


async def test_a_template_that_runs_into_the_text_is_found_out(connect: Connect) -> None:
    backend = connect(scoring="echo", render=lambda messages: rendered(messages).rstrip())
    with pytest.raises(NotAvailable, match="do not spell"):
        await backend.logprob(MESSAGES, "four")


# --- embedding a text ---


async def test_an_embedding_and_what_it_took(server: ChatServer, connect: Connect) -> None:
    server.embed = lambda text: [3.0, len(text)]
    reply = await connect().embed("two words")
    assert isinstance(reply, Reply)
    np.testing.assert_array_equal(reply.measures["embedding"], [3.0, 9.0])
    assert (reply.usage, reply.served_by) == (Usage(prompt=2), "test-model")
    assert server.recent[-1]["input"] == "two words"


@pytest.mark.parametrize("vector", [[], [0.0, 0.0], [float("nan")], [[1.0]], "AACAPw=="])
async def test_what_is_no_direction_is_no_embedding(
    server: ChatServer, connect: Connect, vector: Any
) -> None:
    server.embed = lambda text: vector
    failure = await connect().embed("text")
    assert isinstance(failure, Failure)
    assert failure.kind == "malformed"


async def test_a_model_that_embeds_nothing_says_so_when_asked(
    server: ChatServer, connect: Connect
) -> None:
    server.refuses = {"input"}
    failure = await connect().embed("text")
    assert isinstance(failure, Failure)
    assert failure.permanent
    assert "'input' is not supported with this model" in failure.message
