"""Completions become replies like a backend's: text, end, tokens, entropies."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from cat_bench.bundled.checkpoints import tally
from cat_bench.errors import UsageError
from cat_bench.models.backends import Request
from cat_bench.signals.tokens import PerToken, per_token
from cat_bench.training.policy import Policy, weights
from cat_bench.types.calls import Reply, Sampling
from cat_bench.types.records import Rollout
from tests.training.conftest import Batch

PER_TOKEN: tuple[PerToken, ...] = get_args(PerToken)


async def test_the_numbers_of_tokens_are_the_backends(policy: Policy, batch: Batch) -> None:
    backend = tally(threads=1)
    messages = batch.samples[0].question.messages
    sampled = await backend.generate(Request(messages, Sampling(max_tokens=60), tuple(range(20))))
    await backend.close()
    replies = [reply for reply in sampled if isinstance(reply, Reply)]
    ids = [policy.tokenizer(r.text, add_special_tokens=False).input_ids for r in replies]
    kept = [k for k, r in enumerate(replies) if len(ids[k]) == r.usage.completion]
    end = policy.tokenizer.eos_token_id
    found = policy.replies(
        [messages] * len(kept),
        [[*ids[k], end] for k in kept],
        measured=True,
    )
    assert len(kept) > 10
    for mine, k in zip(found, kept, strict=True):
        theirs = replies[k]
        assert mine.usage == theirs.usage
        for kind in PER_TOKEN:
            mine_, theirs_ = (per_token(Rollout(0, reply), kind) for reply in (mine, theirs))
            assert np.abs(mine_ - theirs_).max() < 5e-3, kind


def test_a_reply_that_does_not_end_is_cut(policy: Policy, batch: Batch) -> None:
    whole, cut = policy.replies(batch.prompts[:2], [batch.ids[0], batch.ids[1][:-1]])
    assert [whole.text, cut.text] == batch.texts[:2]
    assert (whole.finish, cut.finish) == ("stop", "length")
    assert whole.usage.completion == len(batch.ids[0]) - 1
    assert cut.usage.completion == len(batch.ids[1]) - 1
    assert whole.token_entropies is None
    assert not whole.measures


def test_what_can_be_trained(tmp_path: Path) -> None:
    assert weights("tally") == weights(f"hf:{weights('tally')}")
    assert weights("Qwen/Qwen3-4B") == "Qwen/Qwen3-4B"
    for spec in ("openai:gpt", "replay:pool", "mini-or", str(tmp_path / "nowhere")):
        with pytest.raises(UsageError, match="cannot be trained here"):
            weights(spec)
