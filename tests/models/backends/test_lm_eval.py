"""lm-eval's model classes: its `hf` beside our own in-process backend, its API classes over a
socket."""

import asyncio
import re
import runpy
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from aiohttp import web

from cat_bench.cache import Cache
from cat_bench.errors import ModelError, NotAvailable, UnknownName
from cat_bench.models.backends import Request
from cat_bench.models.backends.hf import HuggingFace
from cat_bench.models.backends.lm_eval import LmEval
from cat_bench.models.backends.opening import open_backend
from cat_bench.models.cached import Model
from cat_bench.system.extras import install_command
from cat_bench.testing import ChatServer, Fault, Faults
from cat_bench.testing.protocol import template_count
from cat_bench.types.calls import Failure, Message, Reply, Sampling, Usage
from tests.models.backends.cases import FAULTS, failed, replies

MESSAGES: tuple[Message, ...] = ({"role": "user", "content": "how many foxes, then?"},)
SYSTEM: tuple[Message, ...] = ({"role": "system", "content": "Be short."}, *MESSAGES)

Open = Callable[..., LmEval]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny random model that the in-process backend is tested with."""
    save = runpy.run_path(str(Path(__file__).parent / "hf" / "conftest.py"))["save"]
    saved: Path = save(tmp_path_factory.mktemp("tiny"))
    return saved


@pytest.fixture(scope="module")
def hf(folder: Path) -> Iterator[LmEval]:
    opened = LmEval(f"hf?pretrained={folder},dtype=float32")
    yield opened
    asyncio.run(opened.close())


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    async with AsyncExitStack() as stack:

        def make(spec: str, **options: Any) -> LmEval:
            backend = LmEval(spec, **options)
            stack.push_async_callback(backend.close)
            return backend

        yield make


@pytest.fixture
async def server() -> AsyncIterator[ChatServer]:
    async with ChatServer(retry_after="0.2") as running:
        yield running


def chat(server: ChatServer, more: str = "") -> str:
    url = f"{server.base_url}/chat/completions"
    return f"local-chat-completions?model={server.model},base_url={url}{more}"


def request(*seeds: int, messages: tuple[Message, ...] = MESSAGES, **sampling: Any) -> Request:
    return Request(messages, Sampling(**{"max_tokens": 8, **sampling}), seeds)


async def test_agrees_with_our_own(hf: LmEval, folder: Path) -> None:
    ours = HuggingFace(str(folder), threads=1)
    try:
        (greedy,) = await replies(hf, request(1, temperature=0.0))
        (reference,) = await replies(ours, request(1, temperature=0.0))
        assert greedy.text == reference.text
        assert greedy.usage == reference.usage
        for text in ("how many foxes", " quick brown.", "x"):
            theirs, expected = await hf.logprob(MESSAGES, text), await ours.logprob(MESSAGES, text)
            assert not isinstance(theirs, Failure)
            assert not isinstance(expected, Failure)
            assert len(theirs) == len(expected)
            assert theirs.sum() == pytest.approx(expected.sum(), abs=1e-3)
    finally:
        await ours.close()


async def test_by_name_and_through_the_cache(folder: Path, cache: Cache) -> None:
    spec = f"lm-eval:hf?pretrained={folder},dtype=float32{{batch=4}}"
    seen = []
    for _ in range(2):
        model = Model(spec, open_backend(spec, cache), cache=cache)
        results = await model.draw(MESSAGES, range(6), Sampling(max_tokens=8))
        seen.append([result.text for result in results.values() if isinstance(result, Reply)])
        await model.close()
    assert model.meter.cached == len(set(seen[0])) == 6
    assert seen[0] == seen[1]


async def test_slots_are_distinct_draws(hf: LmEval) -> None:
    first = await replies(hf, request(1, 2, 3, 4))
    assert len({reply.text for reply in first}) == 4
    assert [reply.seed for reply in first] == [1, 2, 3, 4]
    assert [r.text for r in await replies(hf, request(1, 2, 3, 4))] == [r.text for r in first]
    assert {r.text for r in await replies(hf, request(5, 6, 7, 8))}.isdisjoint(
        r.text for r in first
    )
    assert all(r.finish is None and r.token_logprobs is None for r in first)


async def test_nothing_is_filtered_that_nobody_asked_to(folder: Path, opened: Open) -> None:
    """transformers' own default would keep the 50 likeliest tokens."""
    backend = opened(f"hf?pretrained={folder}", batch=400)
    one: dict[str, Any] = {"max_tokens": 1, "temperature": 5.0}
    drawn = {r.text for r in await replies(backend, request(*range(400), **one))}
    kept = {r.text for r in await replies(backend, request(*range(400), top_k=50, **one))}
    assert len(kept) <= 50 < len(drawn)


async def test_randomness_elsewhere_is_left_alone(hf: LmEval) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    await replies(hf, request(1))
    assert torch.equal(torch.get_rng_state(), before)


async def test_one_bad_request_does_not_cost_its_batch(
    hf: LmEval, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = hf._lm.generate_until
    sizes: list[int] = []

    def fragile(requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        sizes.append(len(requests))
        if any("poison" in one.args[0] for one in requests):
            raise RuntimeError("choked")
        answered: list[str] = whole(requests, disable_tqdm=disable_tqdm)
        return answered

    monkeypatch.setattr(hf._lm, "generate_until", fragile)
    poison: tuple[Message, ...] = ({"role": "user", "content": "poison"},)
    good, bad = await asyncio.gather(
        hf.generate(request(1, 2)), hf.generate(request(3, messages=poison))
    )
    assert all(isinstance(result, Reply) for result in good)
    assert bad == [Failure("server", "RuntimeError: choked")]
    assert sizes == [3, 1, 1, 1]


async def test_what_does_not_fit_is_not_cut(hf: LmEval) -> None:
    long: tuple[Message, ...] = ({"role": "user", "content": "fox " * 600},)
    result = await failed(hf, request(1, messages=long))
    assert (result.kind, result.permanent) == ("context", True)
    scored = await hf.logprob(long, "x")
    assert isinstance(scored, Failure)
    assert scored.kind == "context"


async def test_parameters_that_the_class_refuses(hf: LmEval) -> None:
    result = await failed(hf, request(1, presence_penalty=0.5))
    assert (result.kind, result.permanent) == ("bad_request", True)
    assert "presence_penalty" in result.message


async def test_thinking_needs_a_template(folder: Path, opened: Open) -> None:
    plain = opened(f"hf?pretrained={folder}", chat=False)
    result = await failed(plain, request(1, thinking=False))
    assert (result.kind, result.permanent) == ("bad_request", True)
    assert "no switch for thinking" in result.message


async def test_a_message_that_the_template_refuses_is_not_dropped(hf: LmEval) -> None:
    result = await failed(hf, request(1, messages=SYSTEM))
    assert (result.kind, result.permanent) == ("bad_request", True)
    assert "no system role" in result.message


async def test_stop_strings_and_thoughts(hf: LmEval) -> None:
    (plain,) = await replies(hf, request(1, temperature=0.0))
    stop = plain.text[2]
    (cut,) = await replies(hf, request(1, temperature=0.0, stop=(stop,)))
    assert cut.text == plain.text.split(stop)[0]
    (thought,) = await replies(hf, request(1, temperature=0.0, thinking=True))
    assert thought.reasoning
    assert thought.text == ""


async def test_empty_text_scores_nothing(hf: LmEval) -> None:
    scored = await hf.logprob(MESSAGES, "")
    assert not isinstance(scored, Failure)
    assert scored.shape == (0,)


def test_defaults_are_declared(hf: LmEval) -> None:
    assert hf.sampling == Sampling(temperature=1.0, max_tokens=256)
    assert hf.capabilities == {"scoring"}
    assert hf.choices == 16


async def test_identity_is_of_the_content(folder: Path, hf: LmEval, opened: Open) -> None:
    digest = HuggingFace(str(folder), threads=1)
    assert hf.identity == {
        "lm-eval": "hf",
        "args": {"pretrained": digest.identity, "dtype": "float32"},
    }
    await digest.close()
    same = opened(f"hf?pretrained={folder},dtype=float32,batch_size=2,device=cpu")
    assert same.identity == hf.identity
    plain = opened(f"hf?pretrained={folder},dtype=float32", chat=False)
    assert plain.identity != hf.identity
    first, second = (
        await replies(plain, request(1, temperature=0.0)),
        await replies(hf, request(1, temperature=0.0)),
    )
    assert first[0].usage.prompt < second[0].usage.prompt


def test_what_cannot_be_opened_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'vllm'"):
        LmEval("vlm?pretrained=x")
    with pytest.raises(ModelError, match=r"lm-eval cannot open hf\?pretrained="):
        LmEval(f"hf?pretrained={tmp_path}")


async def test_a_served_reply(server: ChatServer, opened: Open) -> None:
    backend = opened(chat(server))
    found = await replies(backend, request(7, 8, temperature=0.7, top_p=0.9, max_tokens=20))
    assert len({reply.text for reply in found}) == 2
    assert found[0] == Reply(
        text=found[0].text,
        finish="stop",
        usage=Usage(template_count(MESSAGES), 11),
        served_by="test-model",
        seed=7,
    )
    sent = {body["seed"]: body for body in server.recent}
    assert set(sent) == {7, 8}
    del sent[7]["model"], sent[7]["stop"]
    assert sent[7] == {
        "messages": list(MESSAGES),
        "max_tokens": 20,
        "temperature": 0.7,
        "top_p": 0.9,
        "seed": 7,
    }


async def test_served_thoughts(server: ChatServer, opened: Open) -> None:
    server.reply = lambda _: "four <think>"
    server.reasoning = lambda _: "two and two"
    (reply,) = await replies(opened(chat(server)), request(1, thinking=False))
    assert (reply.text, reply.reasoning) == ("four <think>", "two and two")
    assert server.recent[-1]["chat_template_kwargs"] == {"enable_thinking": False}
    server.reasoning = None
    server.reply = lambda _: "<think>two and two</think>\n\nfour"
    (reply,) = await replies(opened(chat(server)), request(1))
    assert (reply.text, reply.reasoning) == ("four", "two and two")


@pytest.mark.parametrize(("fault", "kind", "permanent"), FAULTS)
async def test_faults_are_failures(
    server: ChatServer, opened: Open, fault: Fault, kind: str, permanent: bool
) -> None:
    server.faults = Faults({fault: 1.0})
    result = await failed(opened(chat(server)), request(1))
    assert (result.kind, result.permanent) == (kind, permanent)
    assert result.retry_after == (0.2 if fault == "rate_limit" else None)
    assert server.stats.requests == 1


async def test_a_server_that_hangs_or_is_not_there(server: ChatServer, opened: Open) -> None:
    server.faults = Faults({"hang": 1.0})
    assert (await failed(opened(chat(server, ",timeout=1")), request(1))).kind == "timeout"
    nobody = "local-chat-completions?model=m,base_url=http://127.0.0.1:9/v1"
    assert (await failed(opened(nobody), request(1))).kind == "connection"


async def test_served_requests_run_side_by_side(server: ChatServer, opened: Open) -> None:
    server.delay = 0.2
    await replies(opened(chat(server), concurrency=4), request(*range(8)))
    assert server.stats.peak == 4


async def test_chat_endpoints_score_nothing(server: ChatServer, opened: Open) -> None:
    backend = opened(chat(server))
    assert backend.capabilities == set()
    with pytest.raises(NotAvailable, match="lm-eval:local-chat-completions cannot score"):
        await backend.logprob(MESSAGES, "four")


def test_a_class_without_a_chat_template_is_cautioned_about(
    hf: LmEval, folder: Path, tmp_path: Path, opened: Open
) -> None:
    plain = shutil.copytree(folder, tmp_path / "plain")
    (plain / "chat_template.jinja").unlink()
    assert hf.caution is None
    assert "no chat template" in (opened(f"hf?pretrained={plain}").caution or "")
    assert opened(f"hf?pretrained={plain}", chat=False).caution is None


async def test_a_chat_class_without_its_template(server: ChatServer, opened: Open) -> None:
    await replies(opened(chat(server), chat=False), request(1, messages=SYSTEM))
    (message,) = server.recent[-1]["messages"]
    assert message == {"role": "user", "content": "Be short.\n\nhow many foxes, then?"}


def token_logprob(token: int) -> float:
    return -0.5 - token / 1e4


@pytest.fixture
async def completions() -> AsyncIterator[str]:
    """The URL of a completion endpoint that echoes token ids with known log-probabilities."""

    async def answer(asked: web.Request) -> web.Response:
        body = await asked.json()
        (ids,) = body["prompt"] if isinstance(body["prompt"][0], list) else [body["prompt"]]
        known = [None, *map(token_logprob, ids[1:])]
        listed = {
            "token_logprobs": [*known, -9.0],
            "top_logprobs": [None, *({"x": 0.0} for _ in ids)],
        }
        choice = {"index": 0, "text": " four", "logprobs": listed, "finish_reason": "length"}
        return web.json_response({"choices": [choice], "usage": {"completion_tokens": 1}})

    app = web.Application()
    app.router.add_post("/v1/completions", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1/completions"
    await runner.cleanup()


async def test_a_completion_endpoint_scores(completions: str, folder: Path, opened: Open) -> None:
    backend = opened(
        f"local-completions?model=m,base_url={completions},tokenizer={folder},"
        "tokenizer_backend=huggingface,max_length=512"
    )
    assert backend.capabilities == {"scoring"}
    scored = await backend.logprob(MESSAGES, "how many")
    assert not isinstance(scored, Failure)
    ids = backend._lm.tok_encode("how many")
    np.testing.assert_allclose(scored, np.mean([token_logprob(i) for i in ids]), rtol=1e-5)
    assert len(scored) == len(ids)
    (reply,) = await replies(backend, request(1))
    assert (reply.text, reply.finish, reply.usage.completion) == (" four", "length", 1)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval.models", None)
    with pytest.raises(ModelError, match=re.escape(install_command("lm-eval"))):
        LmEval("dummy")
