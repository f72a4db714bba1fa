"""A LoRA adapter of the bundled model: trained, saved, and opened by `hf` and by a real vLLM."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from cat_bench.bundled.tally import MODEL
from cat_bench.models.backends import Request
from cat_bench.models.backends.hf import HuggingFace
from cat_bench.models.backends.hf.loading import folder_digest
from cat_bench.models.backends.openai import OpenAI
from cat_bench.models.backends.vllm import Vllm
from cat_bench.types.calls import FloatArray, Message, Reply, Sampling
from tests.models.backends.vllm.conftest import (
    CLOSE,
    SUMS,
    Measured,
    asked,
    cat_bench,
    started,
)

QUESTIONS = ("Compute 12 + 7 * 3.", "Compute 3 + 4 * 5 - 6.", "Compute 80 - 9 * 8.")
ROUNDED = 0.1
"""In bfloat16 `hf` rounds the merged weights, and vLLM adds the change to rounded weights."""
Texts = list[tuple[list[Message], str]]


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of rank 8 after three steps of GRPO, by the command that a user types."""
    out = tmp_path_factory.mktemp("lora") / "run"
    sizes = {"num_generations": 4, "per_device_train_batch_size": 8, "lora_r": 8}
    settings = {**sizes, "learning_rate": 5e-3, "beta": 0.001}
    changes = (part for name, value in settings.items() for part in ("--set", f"{name}={value}"))
    command = ("train", "tally", "--recipe", "ttrl", "--steps", 3, "--questions", 0, *changes)
    cat_bench(*command, "--out", out)
    return out / "model"


@pytest.fixture(scope="module")
def texts(adapter: Path) -> Texts:
    """Two replies of the adapted model to each question."""

    async def write() -> Texts:
        model, found = HuggingFace(str(adapter), dtype="float32"), []
        for question in QUESTIONS:
            messages: list[Message] = [{"role": "user", "content": question}]
            request = Request(tuple(messages), Sampling(temperature=1.0, max_tokens=48), (0, 1))
            for reply in await model.generate(request):
                assert isinstance(reply, Reply), reply
                found.append((messages, reply.text))
        await model.close()
        return found

    return asyncio.run(write())


async def score(model: HuggingFace | Vllm | OpenAI, texts: Texts) -> FloatArray:
    """The log-probability of every token of the texts, in one array; the model is closed."""
    found = [await model.logprob(*each) for each in texts]
    await model.close()
    return np.concatenate([each for each in found if isinstance(each, np.ndarray)])


@pytest.mark.parametrize(("dtype", "close"), [("float32", CLOSE), ("bfloat16", ROUNDED)])
async def test_vllm_gives_the_log_probabilities_of_hf(
    adapter: Path, texts: Texts, dtype: str, close: float, measured: Measured
) -> None:
    model = started(adapter, dtype=dtype)
    sampled = await asked(model, Sampling(temperature=1.0, max_tokens=48), *range(4))
    url = (await model._client())._endpoint.url
    base = OpenAI(str(MODEL), base_url=url, scoring="prompt_logprobs")
    base_found, found = await score(base, texts), await score(model, texts)
    plain = await score(HuggingFace(str(MODEL), dtype=dtype), texts)
    expected = await score(HuggingFace(str(adapter), dtype=dtype), texts)
    moved = float(np.abs(expected - plain).max())
    assert moved > 5 * close, "the adapter changes what is compared"
    np.testing.assert_allclose(found, expected, atol=close)
    np.testing.assert_allclose(base_found, plain, atol=close)
    own = await score(HuggingFace(str(adapter), dtype=dtype), [(SUMS, r.text) for r in sampled])
    written = np.concatenate([_said(reply) for reply in sampled])
    np.testing.assert_allclose(written, own, atol=close)
    gaps = [np.abs(a - b) for a, b in ((found, expected), (written, own), (base_found, plain))]
    given, drawn, beside = (f"{gap.max():.1e} (mean {gap.mean():.1e})" for gap in gaps)
    measured.add(
        f"log-probabilities of a LoRA adapter, {dtype}",
        f"`hf`, merged, {dtype}",
        f"{len(found)} given tokens: largest difference {given}; {len(own)} sampled ones: {drawn}; "
        f"its base on the same server: {beside}; the adapter changes them by up to {moved:.2f}",
    )


def _said(reply: Reply) -> FloatArray:
    """The log-probabilities of a sampled text, without that of the end of the turn."""
    assert reply.token_logprobs is not None
    return reply.token_logprobs[: len(reply.token_logprobs) - (reply.finish == "stop")]


def test_both_backends_identify_it_by_both_digests(adapter: Path, measured: Measured) -> None:
    whole = {
        "folder_digest": folder_digest(adapter),
        "base": {"folder_digest": folder_digest(MODEL)},
    }
    assert HuggingFace(str(adapter)).identity == whole
    assert Vllm(str(adapter)).identity == whole
    measured.add("identity of a LoRA adapter", "`hf`", "the same: both digests")
