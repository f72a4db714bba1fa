"""Reward models in this process, against transformers called by hand on the same token ids."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
import torch
from transformers import (
    PreTrainedModel,
    Qwen3ForSequenceClassification,
    Qwen3ForTokenClassification,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

from cat_bench.errors import ConfigError, ModelError, NotAvailable
from cat_bench.models.backends.conversations import STEP
from cat_bench.models.backends.hf.classifier import Classifier
from cat_bench.types.calls import Failure, FloatArray, Message, Reply
from tests.models.backends.hf.conftest import (
    CONTEXT,
    make_tokenizer,
    save_classifier,
    tokenizer_with_steps,
)

ASKED: list[Message] = [{"role": "user", "content": "how many foxes"}]
RESPONSES = ("the fox", "a lazy dog, then", "", "the quick brown fox jumps over 3 dogs" * 5)
Make: TypeAlias = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Saves a tiny random classifier with the tokenizer of the tests."""

    return partial(save_classifier, tmp_path)


def by_hand(folder: Path, ids: list[int], kind: type[PreTrainedModel]) -> FloatArray:
    """All logits of one conversation alone, without padding."""
    model = kind.from_pretrained(folder)
    model.config.pad_token_id = None
    with torch.inference_mode():
        found: FloatArray = model(torch.tensor([ids])).logits[0].double().numpy()
    return found


def ids_of(response: str) -> list[int]:
    tokenizer = tokenizer_with_steps()
    last: Message = {"role": "assistant", "content": response}
    turns = [{"role": m["role"], "content": m["content"]} for m in (*ASKED, last)]
    text = tokenizer.apply_chat_template(turns, tokenize=False)
    return list(tokenizer(str(text), add_special_tokens=False).input_ids)


def numbers(result: Reply | Failure) -> list[float]:
    assert isinstance(result, Reply), result
    found: list[float] = result.measures["rewards"].tolist()
    return found


async def test_a_batch_gives_each_conversation_the_number_that_it_has_alone(make: Make) -> None:
    folder = make()
    model = Classifier(str(folder))
    found = await asyncio.gather(*(model.reward(ASKED, each) for each in RESPONSES))
    for response, result in zip(RESPONSES, found, strict=True):
        ids = ids_of(response)
        expected = by_hand(folder, ids, Qwen3ForSequenceClassification)
        assert numbers(result) == pytest.approx(expected, abs=1e-5)
        assert isinstance(result, Reply)
        assert result.usage.prompt == len(ids)


@pytest.mark.parametrize("end", ["<|end|>", "<|pad|>"])
async def test_the_number_is_the_last_tokens_even_where_that_is_the_padding(
    make: Make, end: str
) -> None:
    folder = make(pad_token_id=make_tokenizer().convert_tokens_to_ids(end))
    model = Classifier(str(folder))
    expected = by_hand(folder, ids_of("the fox"), Qwen3ForSequenceClassification)
    assert numbers(await model.reward(ASKED, "the fox")) == pytest.approx(expected, abs=1e-5)


async def test_activation_and_label_say_which_number_it_is(make: Make) -> None:
    folder = make(labels=3)
    logits = by_hand(folder, ids_of("the fox"), Qwen3ForSequenceClassification)
    unclear = await Classifier(str(folder)).reward(ASKED, "the fox")
    assert isinstance(unclear, Failure)
    assert "{label=…}" in unclear.message
    raw = await Classifier(str(folder), label=2).reward(ASKED, "the fox")
    assert numbers(raw) == pytest.approx([logits[2]], abs=1e-5)
    shares = torch.softmax(torch.tensor(logits), 0).numpy()
    soft = await Classifier(str(folder), label=2, activation="default").reward(ASKED, "the fox")
    assert numbers(soft) == pytest.approx([shares[2]], abs=1e-5)
    absent = await Classifier(str(folder), label=3).reward(ASKED, "the fox")
    assert isinstance(absent, Failure)
    assert "no label 3" in absent.message


async def test_one_label_is_a_sigmoid_unless_it_is_a_regression(make: Make) -> None:
    folder = make(problem_type="regression")
    logits = by_hand(folder, ids_of("the fox"), Qwen3ForSequenceClassification)
    found = await Classifier(str(folder), activation="default").reward(ASKED, "the fox")
    assert numbers(found) == pytest.approx(logits, abs=1e-5)
    folder = make()
    found = await Classifier(str(folder), activation="default").reward(ASKED, "the fox")
    assert numbers(found) == pytest.approx(1 / (1 + np.exp(-logits)), abs=1e-5)


async def test_a_step_has_the_probability_of_class_1_at_its_mark(make: Make) -> None:
    folder = make(Qwen3ForTokenClassification, labels=2)
    model = Classifier(str(folder))
    ids = ids_of(f"one{STEP}two and{STEP}")
    marks = [k for k, token in enumerate(ids) if token == ids_of(STEP)[-2]]
    logits = by_hand(folder, ids, Qwen3ForTokenClassification)[marks]
    expected = torch.softmax(torch.tensor(logits), -1)[:, 1].tolist()
    both = await asyncio.gather(
        model.reward(ASKED, ["one", f"two{STEP} and"]), model.reward(ASKED, ["a lazy dog"] * 7)
    )
    assert numbers(both[0]) == pytest.approx(expected, abs=1e-5)
    assert len(numbers(both[1])) == 7
    with pytest.raises(NotAvailable, match="another kind"):
        await model.reward(ASKED, "whole")


async def test_what_does_not_fit_or_is_refused_is_a_failure(make: Make) -> None:
    folder = make()
    model = Classifier(str(folder))
    long = await model.reward(ASKED, "fox " * CONTEXT)
    assert isinstance(long, Failure)
    assert (long.kind, long.permanent) == ("context", True)
    refused = await model.reward([{"role": "system", "content": "be"}, *ASKED], "fox")
    assert isinstance(refused, Failure)
    assert "no system role" in refused.message
    with pytest.raises(NotAvailable, match="another kind"):
        await model.reward(ASKED, ["steps"])


async def test_positions_that_begin_after_the_padding_are_fewer(tmp_path: Path) -> None:
    """RoBERTa's table of 18 positions has room for 16 tokens."""
    tokenizer = make_tokenizer(None)
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=18,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        pad_token_id=1,
    )
    config.num_labels = 1
    XLMRobertaForSequenceClassification(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = Classifier(str(tmp_path), form="pair")
    assert len(tokenizer("x", "x" * 15).input_ids) == 16
    assert isinstance(await model.reward([{"role": "user", "content": "x"}], "x" * 15), Reply)
    long = await model.reward([{"role": "user", "content": "x"}], "x" * 16)
    assert isinstance(long, Failure)
    assert (long.kind, "context of 16" in long.message) == ("context", True)


async def test_a_model_of_another_kind_is_never_filled_up_at_random(folder: Path) -> None:
    with pytest.raises(ModelError, match="would be random"):
        await Classifier(str(folder)).reward(ASKED, "the fox")


async def test_a_pair_needs_no_chat_template(make: Make) -> None:
    folder = make(template=None)
    with pytest.raises(ConfigError, match="form=pair"):  # before any call is paid for
        Classifier(str(folder))
    ids = list(make_tokenizer()("how many foxes", "the fox").input_ids)
    expected = by_hand(folder, ids, Qwen3ForSequenceClassification)
    found = await Classifier(str(folder), form="pair").reward(ASKED, "the fox")
    assert numbers(found) == pytest.approx(expected, abs=1e-5)


def test_how_it_is_read_is_part_of_its_identity(make: Make) -> None:
    folder = str(make())
    kinds = [{}, {"activation": "default"}, {"form": "pair"}, {"label": 0}, {"step": "+"}]
    assert len({str(Classifier(folder, **kind).identity) for kind in kinds}) == len(kinds)  # type: ignore[arg-type]
