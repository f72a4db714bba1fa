"""Group-relative policy optimisation by TRL, rewarded by one of this package's rewards."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from datasets import Dataset
from transformers import TrainerCallback
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from cat_bench.runs.config import RunConfig
from cat_bench.training.fitting import explain_refusals, fit
from cat_bench.training.groups import GroupReward
from cat_bench.training.policy import Policy
from cat_bench.training.recipes import Recipe
from cat_bench.training.rows import trl_row
from cat_bench.types.calls import JSON
from cat_bench.types.records import Sample

if TYPE_CHECKING:
    from peft import PeftConfig


def train(
    policy: Policy,
    recipe: Recipe,
    samples: Sequence[Sample],
    *,
    config: RunConfig,
    arguments: GRPOConfig,
    callbacks: list[TrainerCallback],
    checkpoint: Path | None,
    lora: PeftConfig | None = None,
    save: Path | None = None,
) -> dict[str, JSON]:
    """Train `policy` in place on the questions of `samples`, from `checkpoint` on if there is one.

    `config` is the session that provides anchor and judge. With `lora`, an adapter is trained. The
    result is written to `save`. Returns no figures.
    """
    reward = GroupReward(recipe.reward, config, policy=policy, size=recipe.group)
    with explain_refusals(recipe.name):
        trainer = GRPOTrainer(
            model=policy.model,
            reward_funcs=cast("Any", reward),
            args=arguments,
            train_dataset=Dataset.from_list([trl_row(sample) for sample in samples]),
            processing_class=policy.tokenizer,
            callbacks=callbacks,
            peft_config=lora,
        )
    try:
        fit(trainer, checkpoint=checkpoint, save=save)
    finally:
        asyncio.run_coroutine_threadsafe(reward.close(), trainer.async_loop).result()
    return {}
