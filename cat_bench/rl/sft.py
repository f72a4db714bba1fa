"""Supervised fine-tuning by TRL on references: what an estimator made of the policy's own groups.

Compute as Teacher calls it CaT-SFT. The initial policy's rollouts and the references come through
the session, so a second run makes no call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from datasets import Dataset
from transformers import TrainerCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from cat_bench.config import RunConfig
from cat_bench.context import QuestionContext
from cat_bench.errors import UsageError
from cat_bench.rewarding import rewarded
from cat_bench.rewards import reward
from cat_bench.rl.policy import Policy
from cat_bench.rl.recipes import Recipe
from cat_bench.session import Opened, opened
from cat_bench.types import JSON, Sample

ROUNDS_ONLY = ("num_generations",)
"""Settings of a recipe that are about groups, not about TRL's trainer."""


def train(
    policy: Policy,
    recipe: Recipe,
    samples: Sequence[Sample],
    *,
    config: RunConfig,
    arguments: dict[str, Any],
    callbacks: list[TrainerCallback],
    checkpoint: Path | None,
) -> dict[str, JSON]:
    """Train `policy` in place on the references; how many there are and how many are right.

    Raises UsageError where the estimator gives none.
    """
    pairs, told = asyncio.run(references(recipe, samples, config=config))
    if not pairs:
        raise UsageError(f"recipe {recipe.name!r}: {recipe.reward} gave no reference to imitate.")
    for name in ROUNDS_ONLY:
        arguments.pop(name, None)
    trainer = SFTTrainer(
        model=policy.model,
        args=SFTConfig(**arguments),
        train_dataset=Dataset.from_list(pairs),
        processing_class=policy.tokenizer,
        callbacks=callbacks,
    )
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return told


async def references(
    recipe: Recipe, samples: Sequence[Sample], *, config: RunConfig
) -> tuple[list[dict[str, JSON]], dict[str, JSON]]:
    """A prompt and a completion for each question with a reference, and what there is to tell."""
    async with opened(config) as ready:
        found = await asyncio.gather(*(_reference(ready, recipe, sample) for sample in samples))
    pairs = [
        {
            "prompt": [dict(m) for m in sample.question.messages],
            "completion": [{"role": "assistant", "content": text}],
        }
        for sample, (text, _) in zip(samples, found, strict=True)
        if text
    ]
    scores = [score for _, score in found if score is not None]
    accuracy = fmean(scores) if scores else None
    return pairs, {
        "questions": len(samples),
        "references": len(pairs),
        "reference_accuracy": accuracy,
        "calls_made": sum(meter.made for meter in ready.meters.values()),
    }


async def _reference(
    ready: Opened, recipe: Recipe, sample: Sample
) -> tuple[str | None, float | None]:
    """The reference that the reward names for the initial policy's rollouts, and its score."""
    bench = ready.bench
    role = bench.roles.policy
    pool = await role.model.rollouts(sample.question, recipe.group, role.sampling)
    found = await rewarded(
        reward(recipe.reward),
        sample,
        pool.rollouts,
        roles=bench.roles,
        grader=bench.grader,
        prompts=bench.task.prompts,
    )
    if found.reference is None or "judge" in getattr(bench.grader.scorer, "needs", ()):
        return found.reference, None
    ctx = QuestionContext(bench.roles, bench.grader.answers, bench.task.prompts)
    scores = await bench.grader.scores(sample, [found.reference], ctx)
    return found.reference, scores[found.reference].value
