"""The in-process backend against transformers itself, on a tiny model."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from cat_bench.errors import ModelError
from cat_bench.models.backends import Request
from cat_bench.models.backends.hf import HuggingFace, decoding
from cat_bench.models.backends.hf.in_process import InProcess
from cat_bench.models.backends.small import Small
from cat_bench.models.backends.small import decoding as small_decoding
from cat_bench.types.calls import JSON, Failure, FloatArray, Message, Reply, Sampling

CONTEXT = 512
GREEDY = Sampling(temperature=0, max_tokens=24)
LONG, SHORT = "how many, then? " * 12, "dog"


def ask(text: str) -> tuple[Message, ...]:
    return ({"role": "user", "content": text},)


def request(text: str, sampling: Sampling, seeds: Sequence[int] = (1,)) -> Request:
    return Request(ask(text), sampling, tuple(seeds))


async def replies(
    backend: InProcess, text: str, sampling: Sampling, seeds: Sequence[int] = (1,)
) -> list[Reply]:
    results = await backend.generate(request(text, sampling, seeds))
    return [result for result in results if isinstance(result, Reply)]


def prompt_ids(tokenizer: PreTrainedTokenizerFast, text: str) -> torch.Tensor:
    rendered = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False
    )
    return torch.tensor([tokenizer(str(rendered)).input_ids])


@torch.inference_mode()
def teacher_forced(
    model: Qwen3ForCausalLM, prompt: torch.Tensor, written: torch.Tensor
) -> torch.Tensor:
    """The full log-distribution at each token of `written`: shape (tokens, vocabulary)."""
    logits: torch.Tensor = model(input_ids=torch.cat([prompt, written], 1)).logits[0].float()
    return logits[prompt.shape[1] - 1 : -1].log_softmax(-1)


def assert_near(
    found: FloatArray | Failure | None, wanted: FloatArray | torch.Tensor | None
) -> None:
    assert isinstance(found, np.ndarray)
    assert wanted is not None
    np.testing.assert_allclose(found, np.asarray(wanted), atol=1e-3)


@pytest.mark.parametrize("extra", [{}, {"repetition_penalty": 1.3}])
async def test_greedy_is_what_transformers_generates(
    backend: HuggingFace,
    reference: Qwen3ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    extra: dict[str, JSON],
) -> None:
    texts = [LONG, SHORT, "the quick brown fox"]
    sampling = Sampling(temperature=0, max_tokens=24, extra=extra)
    together = await asyncio.gather(*(replies(backend, text, sampling) for text in texts))
    for text, (reply,) in zip(texts, together, strict=True):
        ids = prompt_ids(tokenizer, text)
        alone = reference.generate(  # type: ignore[misc]
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24, **extra
        )
        assert reply.text == tokenizer.decode(alone[0, ids.shape[1] :], skip_special_tokens=True)
        assert reply.usage.prompt == ids.shape[1]


async def test_numbers_are_those_of_a_teacher_forced_pass(
    backend: HuggingFace, reference: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    sampling = Sampling(temperature=0.7, top_k=20, max_tokens=20)
    checked = 0
    for reply in await replies(backend, LONG, sampling, range(30)):
        ids = torch.tensor([tokenizer(reply.text).input_ids])
        if ids.shape[1] != reply.usage.completion:
            continue
        shape = teacher_forced(reference, prompt_ids(tokenizer, LONG), ids)
        chosen = shape.gather(1, ids[0][:, None])[:, 0]
        assert_near(reply.token_logprobs, chosen)
        entropies = -(shape.exp() * shape).sum(-1)
        assert_near(reply.token_entropies, entropies)
        scored = await backend.logprob(ask(LONG), reply.text)
        assert_near(scored, chosen)
        checked += 1
    assert checked >= 5


async def test_scores_of_texts_that_share_a_batch(
    backend: HuggingFace, reference: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    pairs = [(LONG, "fox"), (SHORT, "the lazy dog jumps over 9"), (SHORT, "0"), (LONG, LONG)]
    together = await asyncio.gather(*(backend.logprob(ask(p), text) for p, text in pairs))
    for (prompt, text), scored in zip(pairs, together, strict=True):
        ids = torch.tensor([tokenizer(text).input_ids])
        shape = teacher_forced(reference, prompt_ids(tokenizer, prompt), ids)
        assert_near(scored, shape.gather(1, ids[0][:, None])[:, 0])
    empty = await backend.logprob(ask(SHORT), "")
    assert isinstance(empty, np.ndarray)
    assert empty.shape == (0,)


async def test_a_seed_decides_whoever_shares_the_batch(
    backend: HuggingFace, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampling = Sampling(max_tokens=30)
    (alone,) = await replies(backend, SHORT, sampling, [7])
    for module in (decoding, small_decoding):
        monkeypatch.setattr(module, "PREFILL", 16)
    others = (replies(backend, LONG[: 9 * i], sampling, range(i + 1)) for i in range(12))
    shared, *_ = await asyncio.gather(replies(backend, SHORT, sampling, [3, 7]), *others)
    assert shared[1].text == alone.text
    assert shared[1].seed == alone.seed == 7
    assert alone.token_logprobs is not None
    assert_near(shared[1].token_logprobs, alone.token_logprobs)
    assert_near(shared[1].token_entropies, alone.token_entropies)
    drawn = await replies(backend, SHORT, sampling, range(20))
    assert len({reply.text for reply in drawn}) == 20


async def test_a_stop_string_ends_the_reply_and_is_cut_off(backend: HuggingFace) -> None:
    sampling = Sampling(max_tokens=60)
    whole = (await replies(backend, SHORT, sampling, [5]))[0]
    assert whole.token_logprobs is not None
    for start in (0, 9, 22, len(whole.text) - 3):
        stop = whole.text[start : start + 3]
        stopping = Sampling(max_tokens=60, stop=("never written", stop))
        (cut,) = await replies(backend, SHORT, stopping, [5])
        assert cut.text == whole.text[: whole.text.index(stop)]
        assert cut.finish == "stop"
        assert cut.token_logprobs is not None
        assert cut.token_entropies is not None
        assert cut.usage.completion == len(cut.token_logprobs) == len(cut.token_entropies)
        assert_near(
            cut.token_logprobs,
            whole.token_logprobs[: len(cut.token_logprobs)],
        )


async def test_stop_strings_are_cut_before_what_followed_in_the_same_steps(
    backend: HuggingFace,
) -> None:
    whole = (await replies(backend, LONG, GREEDY))[0]
    ends = [await replies(backend, LONG, Sampling(stop=(c,)).over(GREEDY)) for c in whole.text]
    for character, (reply,) in zip(whole.text, ends, strict=True):
        assert reply.text == whole.text.partition(character)[0]


async def test_max_tokens_end_a_reply_by_length(backend: HuggingFace) -> None:
    for limit in (1, 8, 65):
        for reply in await replies(backend, SHORT, Sampling(max_tokens=limit), range(40)):
            assert reply.token_logprobs is not None
            assert len(reply.token_logprobs) == reply.usage.completion
            assert reply.usage.completion == limit or reply.finish == "stop"
            assert reply.usage.completion < limit or reply.finish == "length"


async def test_an_end_token_is_no_part_of_the_reply(
    backend: HuggingFace, tokenizer: PreTrainedTokenizerFast
) -> None:
    drawn = await replies(backend, SHORT, Sampling(temperature=1.5), range(40))
    ended = [reply for reply in drawn if reply.finish == "stop"]
    assert ended
    assert all("<|" not in reply.text for reply in ended)
    size = prompt_ids(tokenizer, SHORT).shape[1]
    full = [reply for reply in drawn if reply.finish == "length"]
    assert all(reply.usage.completion == CONTEXT - size for reply in full)


async def test_what_does_not_fit_the_context_is_refused(
    backend: HuggingFace, tokenizer: PreTrainedTokenizerFast
) -> None:
    size = prompt_ids(tokenizer, LONG).shape[1]
    (fits,) = await backend.generate(request(LONG, Sampling(max_tokens=CONTEXT - size)))
    assert isinstance(fits, Reply)
    refused = await backend.generate(request(LONG, Sampling(max_tokens=CONTEXT - size + 1), (1, 2)))
    refused = [*refused, *await backend.generate(request("x" * CONTEXT, Sampling()))]
    scored = await backend.logprob(ask(LONG), "x" * (CONTEXT - size + 1))
    assert len(refused) == 3
    for failure in (*refused, scored):
        assert isinstance(failure, Failure)
        assert (failure.kind, failure.permanent) == ("context", True)
        assert str(CONTEXT) in failure.message
    assert isinstance(refused[0], Failure)
    assert f"{size} tokens and a reply of {CONTEXT - size + 1}" in refused[0].message
    assert isinstance(await backend.logprob(ask(LONG), "x" * (CONTEXT - size)), np.ndarray)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=-1),
        Sampling(top_p=0),
        Sampling(min_p=2),
        Sampling(extra={"beams": 4}),
        Sampling(max_tokens=0),
    ],
    ids=repr,
)
async def test_parameters_without_sense_are_bad_requests(
    backend: HuggingFace, sampling: Sampling
) -> None:
    (failure,) = await backend.generate(request(SHORT, sampling))
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.permanent) == ("bad_request", True)


async def test_messages_that_the_template_refuses_are_bad_requests(backend: HuggingFace) -> None:
    messages: tuple[Message, ...] = ({"role": "system", "content": "be brief"}, *ask(SHORT))
    results = [
        *await backend.generate(Request(messages, GREEDY, (1,))),
        await backend.logprob(messages, "x"),
    ]
    for failure in results:
        assert isinstance(failure, Failure)
        assert failure.kind == "bad_request"
        assert "no system role" in failure.message


async def test_mixed_requests_at_once_are_all_answered(backend: HuggingFace) -> None:
    kinds = [
        GREEDY,
        Sampling(max_tokens=10),
        Sampling(temperature=0.5, top_k=5, max_tokens=30),
        Sampling(max_tokens=12, stop=("a", "e")),
        Sampling(max_tokens=CONTEXT),
    ]
    requests = [
        request(SHORT * (1 + i % 7), kinds[i % len(kinds)], range(1 + i % 4)) for i in range(50)
    ]
    scores = [backend.logprob(ask(SHORT), "fox " * (1 + i)) for i in range(10)]
    answered, scored = await asyncio.gather(
        asyncio.gather(*map(backend.generate, requests)), asyncio.gather(*scores)
    )
    for asked, results in zip(requests, answered, strict=True):
        wanted = Failure if asked.sampling.max_tokens == CONTEXT else Reply
        assert [type(result) for result in results] == [wanted] * len(asked.seeds)
    assert all(isinstance(result, np.ndarray) for result in scored)


async def test_a_caller_who_leaves_hangs_nobody(backend: HuggingFace) -> None:
    long = asyncio.create_task(
        backend.generate(request(SHORT, Sampling(temperature=0.01, max_tokens=480), range(200)))
    )
    brief = asyncio.create_task(replies(backend, LONG, GREEDY))
    await asyncio.sleep(0.05)
    long.cancel()
    assert len(await brief) == 1
    with pytest.raises(asyncio.CancelledError):
        await long
    assert len(await replies(backend, SHORT, GREEDY)) == 1


@pytest.mark.parametrize("pause", [0, 0.05])  # before its rows are queued, and (mostly) after
@pytest.mark.parametrize("model", [HuggingFace, Small])
async def test_closing_ends_the_thread_and_answers_everybody(
    folder: Path, model: type[HuggingFace | Small], pause: float
) -> None:
    before = set(threading.enumerate())
    backend = model(str(folder), batch=4, threads=2)
    await replies(backend, SHORT, GREEDY)
    workers = {t for t in threading.enumerate() if t.name.startswith("cat_bench model")} - before
    assert workers
    under_way = asyncio.create_task(
        backend.generate(request(SHORT, Sampling(temperature=0.01, max_tokens=480), range(400)))
    )
    await asyncio.sleep(pause)
    await backend.close()
    await backend.close()
    assert not any(worker.is_alive() for worker in workers)
    results = await under_way
    assert len(results) == 400
    failures = [result for result in results if isinstance(result, Failure)]
    assert failures
    assert all(failure.retryable for failure in failures)
    with pytest.raises(ModelError, match="closed"):
        await backend.generate(request(SHORT, GREEDY))


@pytest.mark.parametrize("model", [HuggingFace, Small])
async def test_closing_while_the_model_loads_ends_its_threads_too(
    folder: Path, model: type[HuggingFace | Small]
) -> None:
    before = set(threading.enumerate())
    backend = model(str(folder))
    asking = asyncio.create_task(backend.generate(request(SHORT, GREEDY)))
    await asyncio.sleep(0.01)
    await backend.close()
    with suppress(ModelError):
        assert all(isinstance(result, Failure) for result in await asking)
    started = set(threading.enumerate()) - before
    assert not [thread for thread in started if thread.name.startswith("cat_bench model")]


@pytest.mark.parametrize("model", [HuggingFace, Small])
async def test_a_folder_is_not_loaded_before_it_is_asked(
    folder: Path, model: type[HuggingFace | Small]
) -> None:
    before = set(threading.enumerate())
    backend = model(str(folder))
    assert backend.identity
    assert backend.sampling
    await backend.close()
    assert set(threading.enumerate()) == before
    with pytest.raises(ModelError, match="closed"):
        await backend.generate(request(SHORT, GREEDY))


async def test_the_template_is_told_of_thinking(backend: HuggingFace) -> None:
    sampling = Sampling(thinking=True, max_tokens=10)
    (reply,) = await replies(backend, SHORT, sampling)
    assert reply.text == ""
    assert reply.reasoning
    assert reply.usage.reasoning > 0
    (plain,) = await replies(backend, SHORT, Sampling(thinking=False, max_tokens=10))
    assert plain.reasoning is None
    assert plain.usage.prompt < reply.usage.prompt


async def test_it_says_what_it_is(backend: HuggingFace) -> None:
    assert backend.capabilities >= {"logprobs", "entropies", "scoring"}
    assert backend.sampling == Sampling(temperature=1.0)
    (reply,) = await replies(backend, SHORT, GREEDY)
    assert reply.served_by is not None
    assert reply.served_by.startswith(("transformers ", "numpy "))
    assert reply.served_by.endswith(" cpu float32")
