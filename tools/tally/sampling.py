"""Batched sampling from the model with transformers, for the recipe and its evaluation."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

#: Room above the longest reply, which has 26 tokens.
MAX_NEW_TOKENS = 40


@torch.inference_mode()
def complete(
    model: Qwen3ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    *,
    contents: Sequence[str],
    temperature: float = 1.0,
    batch: int = 256,
) -> list[str]:
    """Reply once to each user message, in order; temperature 0 is greedy.

    Draws come from torch's global generator. Messages of similar length share a batch.
    """
    greedy: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    sampled = {"do_sample": True, "temperature": temperature, "top_p": 1.0, "top_k": 0}
    replies = [""] * len(contents)
    order = sorted(range(len(contents)), key=lambda index: len(contents[index]))
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        inputs = tokenizer(
            [chat(tokenizer, contents[index]) for index in chosen],
            return_tensors="pt",
            padding=True,
            padding_side="left",
            add_special_tokens=False,
        )
        output = model.generate(  # type: ignore[misc]
            input_ids=inputs.input_ids,
            attention_mask=inputs.attention_mask,
            max_new_tokens=MAX_NEW_TOKENS,
            **(sampled if temperature else greedy),
        )
        written = output[:, inputs.input_ids.shape[1] :]
        texts = tokenizer.batch_decode(written, skip_special_tokens=True)
        for index, text in zip(chosen, texts, strict=True):
            replies[index] = text
    return replies


def chat(tokenizer: PreTrainedTokenizerFast, content: str) -> str:
    """Return the prompt of one user message, which ends where the reply begins."""
    message = [{"role": "user", "content": content}]
    return str(tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True))
