"""The placeholder and the largest usage of a call that is only planned."""

from __future__ import annotations

import json

import numpy as np

from cat_bench.cache import Call
from cat_bench.types.calls import Reply, Usage

UNBOUNDED_TOKENS = 1024
"""The assumed length of a reply without `max_tokens` when a run is planned."""


def bound_usage(call: Call) -> Usage:
    """Return the largest usage of one draw; a prompt token counts as four characters."""
    prompt = sum(len(message["content"]) for message in call.messages) // 4
    if call.kind in {"logprob", "embed", "reward", "steps"}:
        return Usage(prompt + len(call.text or "") // 4)
    return Usage(prompt, int(call.sampling.get("max_tokens", UNBOUNDED_TOKENS)))


def placeholder(call: Call, slot: int) -> Reply:
    """Return a placeholder of the greatest possible length for a reply.

    It holds a boxed number for prompts that ask for one, and is a verdict for prompts that ask for
    JSON (`\\b` is an escape there, so one text can be both). Different calls have different texts.
    """
    chosen = 1 if call.sampling.get("temperature") == 0 else slot + 1
    scored = np.zeros(len(call.text or "") // 4 + 1)
    return Reply(
        text=f'{{"explanation": "{call.key[:8]} \\boxed{{{chosen}}}", "met": true}}',
        finish="stop",
        usage=bound_usage(call),
        token_logprobs=scored,
        token_entropies=scored,
        measures={
            "certainties": scored,
            "confidences": scored,
            "embedding": np.ones(1),
            "rewards": np.zeros(len(json.loads(call.text or "")) if call.kind == "steps" else 1),
        },
    )
