"""A tiny random model with an ASCII tokenizer and a chat template, the same every time.

Every sequence of its tokens is a valid text.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3ForSequenceClassification,
)

from cat_bench.models.backends.conversations import STEP
from cat_bench.models.backends.hf import HuggingFace
from cat_bench.models.backends.small import Small

TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role') }}"
    "{% endif %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>"
    "{% if enable_thinking is defined and enable_thinking %}<think>{% endif %}{% endif %}"
)
SPECIAL = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"]
CORPUS = ["the quick brown fox jumps over the lazy dog, 0 1 2 3 4 5 6 7 8 9; how many, then?"]
CONTEXT = 512


def make_tokenizer(template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    """Printable characters, special tokens and a few merges."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=128,
        special_tokens=SPECIAL,
        initial_alphabet=[*map(chr, range(33, 127)), "Ġ", "Ċ"],
        min_frequency=1,
        show_progress=False,
    )
    bpe.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=bpe, pad_token="<|pad|>", eos_token="<|end|>", chat_template=template
    )


def save(
    folder: Path, *, template: str | None = TEMPLATE, model: PreTrainedModel | None = None
) -> Path:
    """Save the model, whose distributions are neither flat nor peaked, with its tokenizer."""
    tokenizer = make_tokenizer(template)
    model = model or random_qwen(len(tokenizer))
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=True, temperature=1.0, eos_token_id=tokenizer.eos_token_id
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_config(vocabulary: int, **changes: Any) -> Qwen3Config:
    """Two layers of grouped attention."""
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": CONTEXT,
        "initializer_range": 0.4,
    }
    return Qwen3Config(vocab_size=vocabulary, **sizes | changes)


def random_qwen(vocabulary: int) -> Qwen3ForCausalLM:
    """A causal model with tied embeddings."""
    torch.manual_seed(0)
    return Qwen3ForCausalLM(tiny_config(vocabulary, tie_word_embeddings=True))


def tokenizer_with_steps(template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    """The tokenizer with a token that ends a step."""
    tokenizer = make_tokenizer(template)
    tokenizer.add_special_tokens({"additional_special_tokens": [STEP]})
    return tokenizer


def save_classifier(
    folder: Path,
    kind: type[PreTrainedModel] = Qwen3ForSequenceClassification,
    *,
    labels: int = 1,
    template: str | None = TEMPLATE,
    **config: Any,
) -> Path:
    """Save a tiny random classifier with the tokenizer that has a step token."""
    tokenizer = tokenizer_with_steps(template)
    torch.manual_seed(0)
    kind(tiny_config(len(tokenizer), num_labels=labels, **config)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model; not to be changed."""
    return save(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def reference(folder: Path) -> Qwen3ForCausalLM:
    """The same model, straight from transformers."""
    model: Qwen3ForCausalLM = Qwen3ForCausalLM.from_pretrained(folder)
    return model


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """The model's tokenizer."""
    return make_tokenizer()


@pytest.fixture(params=[HuggingFace, Small], ids=["hf", "small"])
async def backend(
    folder: Path, request: pytest.FixtureRequest
) -> AsyncIterator[HuggingFace | Small]:
    """The model as a backend, run by torch and by NumPy."""
    opened: HuggingFace | Small = request.param(str(folder), threads=2)
    yield opened
    await opened.close()
