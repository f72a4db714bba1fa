"""Batched writing against transformers' own generation, token by token, over architectures."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
)

from cat_bench.models.backends.hf import decoding
from cat_bench.models.backends.hf.choosing import History
from cat_bench.models.backends.hf.decoding import Engine
from cat_bench.models.backends.hf.distribution import Distribution
from cat_bench.models.backends.hf.work import Draw, Written
from cat_bench.types.calls import Reply
from tests.models.backends.hf.conftest import random_qwen

VOCABULARY, END = 90, 89
GREEDY = Distribution(temperature=0)


def qwen() -> PreTrainedModel:
    return random_qwen(VOCABULARY)


def positions_learned() -> PreTrainedModel:
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCABULARY,
            n_positions=128,
            n_embd=32,
            n_layer=2,
            n_head=2,
            initializer_range=0.3,
        )
    )


def windowed() -> PreTrainedModel:
    return MistralForCausalLM(
        MistralConfig(
            vocab_size=VOCABULARY,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            sliding_window=12,
            initializer_range=0.3,
        )
    )


def run(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    *,
    distribution: Distribution = GREEDY,
    limits: Sequence[int] = (),
    seeds: Sequence[int] = (),
) -> list[Written]:
    """What each prompt's row wrote, all in one batch."""
    written: dict[int, Written] = {}

    def draw(row: int) -> Draw:
        def compose(made: Written, seed: int) -> Reply:
            written[row] = made
            return Reply(text="", seed=seed)

        return Draw(
            prompt=prompts[row],
            distribution=distribution,
            seed=seeds[row] if seeds else 0,
            limit=limits[row] if limits else 20,
            watch=None,
            compose=compose,
        )

    model.train(mode=False)
    Engine(model, (END,), threads=1).run([draw(row) for row in range(len(prompts))])
    return [written[row] for row in range(len(prompts))]


def prompts(*sizes: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(END, (size,), generator=generator).tolist() for size in sizes]


@pytest.mark.parametrize("build", [qwen, positions_learned, windowed])
@pytest.mark.parametrize("piece", [16, 8192])
def test_rows_of_any_length_write_what_they_would_alone(
    build: type, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(3)
    model: PreTrainedModel = build()
    monkeypatch.setattr(decoding, "PREFILL", piece)
    asked = prompts(40, 3, 17, 1, 29)
    limits = [20, 70, 5, 33, 1]
    for prompt, limit, row in zip(asked, limits, run(model, asked, limits=limits), strict=True):
        ids = torch.tensor([prompt])
        alone = model.generate(  # type: ignore[operator]
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=limit,
            eos_token_id=END,
            pad_token_id=END,
        )
        wanted = alone[0, len(prompt) :].tolist()
        assert row.tokens == [token for token in wanted if token != END]
        assert row.ended == (END in wanted)


def test_rows_that_end_leave_the_others_as_they_are() -> None:
    asked = prompts(*range(4, 24))
    limits = list(range(1, 61, 3))
    together = run(qwen(), asked, distribution=Distribution(), limits=limits, seeds=range(20))
    for row, written in enumerate(together):
        (alone,) = run(
            qwen(), [asked[row]], distribution=Distribution(), limits=[limits[row]], seeds=[row]
        )
        assert written.tokens == alone.tokens


def test_draws_of_one_prompt_share_its_prefill() -> None:
    (prompt,) = prompts(30)
    shared = run(qwen(), [prompt] * 6, distribution=Distribution(), seeds=range(6))
    apart = run(
        qwen(), [list(prompt) for _ in range(6)], distribution=Distribution(), seeds=range(6)
    )
    assert [row.tokens for row in shared] == [row.tokens for row in apart]
    assert len({tuple(row.tokens) for row in shared}) == 6


@pytest.mark.parametrize(
    "distribution", [Distribution(presence=1e6), Distribution(temperature=0, frequency=1e6)]
)
def test_a_penalty_beyond_measure_forbids_repetition(distribution: Distribution) -> None:
    asked = prompts(9, 4)
    for row in run(qwen(), asked, distribution=distribution, limits=[60, 50]):
        assert len(set(row.tokens)) == len(row.tokens)
    free = run(qwen(), asked, distribution=GREEDY, limits=[60, 50])
    assert any(len(set(row.tokens)) < len(row.tokens) for row in free)


def test_presence_and_frequency_are_taken_off_the_logits_of_what_was_written() -> None:
    logits = torch.tensor([[1.0, -2.0, 3.0, 0.5]])
    history = History(Distribution(presence=0.5, frequency=0.25, repetition=2.0), [[3]], logits)
    for token in (1, 1, 2):
        history.add(torch.tensor([token]))
    wanted = [[1.0, -4.0 - 0.5 - 0.5, 1.5 - 0.5 - 0.25, 0.25]]
    torch.testing.assert_close(history.penalise(logits), torch.tensor(wanted))
