"""What transformers itself says of perplexity, certainty and mutual predictability."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from cat_bench.cache import Cache
from cat_bench.evaluation.method_rows import Evaluation
from cat_bench.models.backends.hf import HuggingFace
from cat_bench.models.cached import Model
from cat_bench.models.lending import Role, Roles
from cat_bench.signals import rate
from cat_bench.types.calls import Message, Sampling
from cat_bench.types.records import Pool, Rollout
from tests import toy
from tests.models.backends.hf.conftest import backend, folder, reference, tokenizer

__all__ = ["backend", "folder", "reference", "tokenizer"]

SAMPLING = Sampling(temperature=1.0, max_tokens=10)
TOLERANCE = 1e-3


@torch.inference_mode()
def law(
    model: Qwen3ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    messages: Sequence[Message],
    text: str,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The log-law at each token of `text`, shape (tokens, vocabulary), and the tokens."""
    rendered = tokenizer.apply_chat_template(
        [{"role": m["role"], "content": m["content"]} for m in messages],
        add_generation_prompt=True,
        tokenize=False,
    )
    prompt = tokenizer(str(rendered)).input_ids
    written = tokenizer(text).input_ids
    logits = model(input_ids=torch.tensor([prompt + written])).logits[0].double()
    return logits[len(prompt) - 1 : -1].log_softmax(-1), torch.tensor(written)


def mean_logprob(
    model: Qwen3ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    messages: Sequence[Message],
    text: str,
) -> float:
    laws, written = law(model, tokenizer, messages, text)
    return float(laws.gather(1, written[:, None]).mean())


@pytest.fixture
async def whole(
    backend: HuggingFace, tokenizer: PreTrainedTokenizerFast, cache: Cache
) -> Evaluation:
    """A pool of four whose texts are tokenised as they were written."""
    model = Model("tiny", backend, cache=cache)
    question = toy.sample().question
    drawn = await model.rollouts(question, 64, SAMPLING)
    faithful = [
        r
        for r in drawn.rollouts
        if r.text and len(tokenizer(r.text).input_ids) == r.reply.usage.completion
    ]
    assert len(faithful) >= 4
    pool = Pool(question, tuple(faithful[:4]))
    return await toy.evaluation(pool, Roles(Role(model, SAMPLING)), cache)


async def ratings(by: str, whole: Evaluation) -> list[float]:
    ctx = whole.context([r.slot for r in whole.rollouts])
    return list(map(float, await rate(by, whole.question, whole.rollouts, ctx)))


async def test_perplexity(
    whole: Evaluation, reference: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    asked = whole.question.messages
    direct = [mean_logprob(reference, tokenizer, asked, r.text) for r in whole.rollouts]
    assert await ratings("perplexity", whole) == pytest.approx(direct, abs=TOLERANCE)
    assert np.ptp(direct) > 10 * TOLERANCE


async def test_certainty_and_confidence(
    whole: Evaluation, reference: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    asked = whole.question.messages
    laws = [law(reference, tokenizer, asked, r.text)[0] for r in whole.rollouts]
    uniform = torch.full_like(laws[0][0], 1 / laws[0].shape[1])
    divergence = [
        float(torch.stack([(uniform * (uniform.log() - p)).sum() for p in each]).mean())
        for each in laws
    ]
    assert await ratings("self_certainty", whole) == pytest.approx(divergence, abs=TOLERANCE)
    likeliest = [-each.topk(20).values.mean(1) for each in laws]
    lowest = [float(each.unfold(0, 3, 1).mean(1).min()) for each in likeliest]
    found = await ratings("confidence{part=lowest,window=3}", whole)
    assert found == pytest.approx(lowest, abs=TOLERANCE)


async def test_mutual_predictability(
    whole: Evaluation, reference: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    ctx = whole.context([r.slot for r in whole.rollouts])

    def given(others: Sequence[Rollout], rollout: Rollout) -> float:
        drafts = [r.text for r in others]
        prompt = ctx.prompt("predict", question=whole.question.text, drafts=drafts)
        return mean_logprob(reference, tokenizer, prompt, rollout.text)

    rng, rollouts = ctx.rng, whole.rollouts
    by_slot = {r.slot: r for r in rollouts}
    orders = [rng.permutation([i for i in by_slot if i != r.slot]) for r in rollouts]
    direct = [
        given([by_slot[int(i)] for i in order], r)
        for order, r in zip(orders, rollouts, strict=True)
    ]
    assert await ratings("mutual_predictability", whole) == pytest.approx(direct, abs=TOLERANCE)
    pairs = [np.mean([given([o], r) for o in rollouts if o is not r]) for r in rollouts]
    found = await ratings("mutual_predictability{given=each}", whole)
    assert found == pytest.approx(pairs, abs=TOLERANCE)
