"""Reward models behind a real vLLM: each endpoint's number for tiny random classifiers, on the same
token ids as transformers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    PreTrainedModel,
    Qwen3ForSequenceClassification,
    Qwen3ForTokenClassification,
)

from cat_bench.models.backends.conversations import STEP
from cat_bench.models.backends.hf.classifier import Classifier
from cat_bench.models.backends.numbers import Activation, activate
from cat_bench.models.backends.reward_server import API, RewardServer
from cat_bench.types.calls import Failure, FloatArray, Message, Reply
from tests.models.backends.hf.conftest import (
    CONTEXT,
    make_tokenizer,
    save_classifier,
    tokenizer_with_steps,
)
from tests.models.backends.vllm.conftest import CLOSE, Measured, serving

QUESTION: list[Message] = [{"role": "user", "content": "how many foxes jump"}]
RESPONSES = ("the quick brown fox", "a lazy dog, then 3 foxes", "jumps over " * 20)
STEPS = ["the fox jumps", "the dog is lazy", "so 1"]


@dataclass(slots=True)
class Gaps:
    """Differences from transformers' numbers, of a server and of `hf`."""

    server: list[float] = field(default_factory=list)
    local: list[float] = field(default_factory=list)

    def add(self, expected: FloatArray, served: Reply | Failure, local: Reply | Failure) -> None:
        """Compare both with what transformers gives; raises AssertionError where one differs."""
        for gaps, found in ((self.server, served), (self.local, local)):
            assert isinstance(found, Reply), found
            np.testing.assert_allclose(found.measures["rewards"], expected, atol=CLOSE)
            gaps.append(float(np.abs(np.asarray(found.measures["rewards"]) - expected).max()))

    def told(self) -> str:
        """The largest difference of each."""
        count = len(self.server)
        return (
            f"{count} conversation{'s' * (count > 1)}; largest difference "
            f"{max(self.server):.1e}, of `hf:` {max(self.local):.1e}"
        )


def saved(folder: Path, kind: type[PreTrainedModel], labels: int) -> str:
    """A classifier of a size that vLLM's kernels take, whose padding has a token."""
    padding = tokenizer_with_steps().pad_token_id
    return str(save_classifier(folder, kind, labels=labels, head_dim=32, pad_token_id=padding))


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model of one number for a response."""
    return saved(tmp_path_factory.mktemp("outcome"), Qwen3ForSequenceClassification, 1)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model of two labels for each token."""
    return saved(tmp_path_factory.mktemp("process"), Qwen3ForTokenClassification, 2)


@pytest.fixture(scope="module")
def outcome_url(outcome: str) -> Iterator[str]:
    with serving(outcome, "--runner", "pooling") as url:
        yield url


def by_hand(folder: str, ids: list[int], kind: type[PreTrainedModel]) -> FloatArray:
    """The logits of one conversation, by transformers alone."""
    model = kind.from_pretrained(folder, dtype="float32")
    model.config.pad_token_id = None
    with torch.inference_mode():
        found: FloatArray = model(torch.tensor([ids])).logits[0].double().numpy()
    return found


def chat_ids(response: str) -> list[int]:
    """The token ids of the question with the response, by the chat template."""
    tokenizer = tokenizer_with_steps()
    turns = [{"role": "user", "content": QUESTION[0]["content"]}]
    turns.append({"role": "assistant", "content": response})
    text = str(tokenizer.apply_chat_template(turns, tokenize=False))
    return list(tokenizer(text, add_special_tokens=False).input_ids)


def expected_of(folder: str, ids: list[int], activation: Activation) -> FloatArray:
    """The number of transformers, with the activation or without."""
    logits = by_hand(folder, ids, Qwen3ForSequenceClassification)
    return logits if activation == "raw" else activate(logits)


@pytest.mark.parametrize("activation", ["raw", "default"])
@pytest.mark.parametrize("api", ["pooling", "classify"])
async def test_an_endpoint_gives_the_number_of_transformers(
    outcome: str, outcome_url: str, api: API, activation: Activation, measured: Measured
) -> None:
    gaps, local = Gaps(), Classifier(outcome, activation=activation)
    for tokenizer in (None, outcome):
        model = RewardServer(
            outcome, base_url=outcome_url, api=api, activation=activation, tokenizer=tokenizer
        )
        for response in RESPONSES:
            ids = chat_ids(response)
            found = await model.reward(QUESTION, response)
            expected = expected_of(outcome, ids, activation)
            gaps.add(expected, found, await local.reward(QUESTION, response))
            assert isinstance(found, Reply)
            assert found.usage.prompt == len(ids)
        await model.close()
    measured.add(f"`/{api}`, `activation={activation}`", "transformers, same ids", gaps.told())


@pytest.mark.parametrize("activation", ["raw", "default"])
async def test_score_gives_the_number_of_the_pair(
    outcome: str, outcome_url: str, activation: Activation, measured: Measured
) -> None:
    gaps, local = Gaps(), Classifier(outcome, form="pair", activation=activation)
    model = RewardServer(outcome, base_url=outcome_url, api="score", activation=activation)
    for response in RESPONSES:
        ids = list(make_tokenizer()(QUESTION[0]["content"], response).input_ids)
        found = await model.reward(QUESTION, response)
        expected = expected_of(outcome, ids, activation)
        gaps.add(expected, found, await local.reward(QUESTION, response))
    await model.close()
    measured.add(
        f"`/score`, `activation={activation}`", "transformers, ids of the pair", gaps.told()
    )


async def test_a_batch_gives_what_each_gives_alone(
    outcome: str, outcome_url: str, measured: Measured
) -> None:
    gaps, local = Gaps(), Classifier(outcome)
    model = RewardServer(outcome, base_url=outcome_url, tokenizer=outcome, batch=3)
    together = await asyncio.gather(*(model.reward(QUESTION, r) for r in RESPONSES * 3))
    alone = await asyncio.gather(*(local.reward(QUESTION, r) for r in RESPONSES * 3))
    for response, served, here in zip(RESPONSES * 3, together, alone, strict=True):
        gaps.add(expected_of(outcome, chat_ids(response), "raw"), served, here)
    await model.close()
    measured.add("`/classify` in batches of 3", "transformers, one at a time", gaps.told())


async def test_what_does_not_fit_is_a_permanent_failure(outcome: str, outcome_url: str) -> None:
    model = RewardServer(outcome, base_url=outcome_url)
    await model.reward(QUESTION, "fox")
    found = await model.reward(QUESTION, "fox " * CONTEXT)
    await model.close()
    assert isinstance(found, Failure)
    assert (found.kind, found.permanent) == ("context", True)


@pytest.fixture(scope="module", params=["the numbers of all tokens", "step pooling"])
def stepwise(process: str, request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """How a server gives the numbers of steps, and its URL."""
    tag = tokenizer_with_steps().convert_tokens_to_ids(STEP)
    pooling = json.dumps({"pooling_type": "STEP", "step_tag_id": tag})
    options = ["--pooler-config", pooling] if request.param == "step pooling" else []
    with serving(process, "--runner", "pooling", *options) as url:
        yield request.param, url


async def test_steps_have_the_probabilities_of_transformers(
    process: str, stepwise: tuple[str, str], measured: Measured
) -> None:
    way, url = stepwise
    tag = tokenizer_with_steps().convert_tokens_to_ids(STEP)
    ids = chat_ids("".join(step + STEP for step in STEPS))
    marks = [k for k, token in enumerate(ids) if token == tag]
    expected = activate(by_hand(process, ids, Qwen3ForTokenClassification)[marks])[:, 1]
    tokenizer = None if way == "step pooling" else process
    model = RewardServer(process, base_url=url, api="pooling", tokenizer=tokenizer)
    found = await model.reward(QUESTION, STEPS)
    await model.close()
    gaps = Gaps()
    gaps.add(expected, found, await Classifier(process).reward(QUESTION, STEPS))
    measured.add(f"`/pooling` of steps by {way}", "transformers, same ids", gaps.told())
