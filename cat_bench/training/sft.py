"""Supervised fine-tuning by TRL on references that an estimator made from the policy's rollouts.

Compute as Teacher calls it CaT-SFT. The rollouts of the initial policy and the references are
cached, so a second run makes no call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import fmean

from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from cat_bench.errors import UsageError
from cat_bench.models.throttling import map_in_order
from cat_bench.runs.config import RunConfig
from cat_bench.training.policy import Policy
from cat_bench.training.recipes import Recipe
from cat_bench.training.rewarder import Rewarder
from cat_bench.training.rows import trl_row
from cat_bench.types.calls import JSON
from cat_bench.types.records import Sample


def train(
    policy: Policy,
    recipe: Recipe,
    samples: Sequence[Sample],
    *,
    config: RunConfig,
    arguments: SFTConfig,
    callbacks: list[TrainerCallback],
    checkpoint: Path | None,
) -> dict[str, JSON]:
    """Train `policy` in place on the references; return their number and accuracy.

    Raises UsageError if the estimator gives no reference.
    """
    pairs, told = asyncio.run(references(recipe, samples, config=config))
    if not pairs:
        raise UsageError(f"recipe {recipe.name!r}: {recipe.reward} gave no reference to imitate")
    trainer = SFTTrainer(
        model=policy.model,
        args=arguments,
        train_dataset=Dataset.from_list(pairs),
        processing_class=policy.tokenizer,
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return told


async def references(
    recipe: Recipe, samples: Sequence[Sample], *, config: RunConfig
) -> tuple[list[dict[str, JSON]], dict[str, JSON]]:
    """Return prompts and completions of the questions with a reference, and figures."""
    rewarder = Rewarder(recipe.reward, config)
    try:
        ready = await rewarder.open()
        work = partial(_reference, rewarder, recipe.group)
        found = [each async for each in map_in_order(work, samples, window=ready.bench.window)]
    finally:
        await rewarder.close()
    pairs = [
        {
            "prompt": trl_row(sample)["prompt"],
            "completion": [{"role": "assistant", "content": text}],
        }
        for sample, (text, _) in zip(samples, found, strict=True)
        if text
    ]
    scores = [score for _, score in found if score is not None]
    return pairs, {
        "questions": len(samples),
        "references": len(pairs),
        "reference_accuracy": fmean(scores) if scores else None,
        "calls_made": sum(meter.made for meter in ready.meters.values()),
    }


async def _reference(
    rewarder: Rewarder, group: int, sample: Sample
) -> tuple[str | None, float | None]:
    """Return the reward's reference for the initial policy's rollouts, and its score."""
    role = (await rewarder.open()).bench.roles.policy
    pool = await role.model.rollouts(sample.question, group, role.sampling)
    found = await rewarder.group(sample.question.id, [r.reply for r in pool.rollouts])
    if found.reference is None:
        return None, None
    (truth,) = await rewarder.truths(sample.question.id, [found.reference])
    return found.reference, truth
