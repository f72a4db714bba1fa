"""Supervised fine-tuning by TRL on references that an estimator made from the policy's rollouts.

Compute as Teacher calls it CaT-SFT. The rollouts of the initial policy and the references are
cached, so a second run makes no call.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from types import MappingProxyType
from typing import TYPE_CHECKING

from datasets import Dataset
from transformers import EarlyStoppingCallback, TrainerCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from cat_bench.errors import UsageError
from cat_bench.models.throttling import map_in_order
from cat_bench.runs.config import RunConfig
from cat_bench.training import processes
from cat_bench.training.fitting import explain_refusals, fit
from cat_bench.training.policy import Policy
from cat_bench.training.recipes import HELD_OUT, HELD_OUT_SHARE, PATIENCE, Recipe
from cat_bench.training.rewarder import Rewarder
from cat_bench.training.rows import trl_row
from cat_bench.types.calls import JSON
from cat_bench.types.records import Sample
from cat_bench.types.traits import is_labelled

if TYPE_CHECKING:
    from peft import PeftConfig


def train(
    policy: Policy,
    recipe: Recipe,
    samples: Sequence[Sample],
    *,
    config: RunConfig,
    arguments: SFTConfig,
    callbacks: list[TrainerCallback],
    checkpoint: Path | None,
    lora: PeftConfig | None = None,
    save: Path | None = None,
) -> dict[str, JSON]:
    """Train `policy` in place on the references; return their number and score.

    With `lora`, an adapter is trained. The result is written to `save`: the last weights, or with
    early stopping those with the least loss on the held-out references. Raises UsageError if the
    estimator gives too few references.
    """
    pairs, figures = asyncio.run(
        references(recipe, samples, config=config, template=policy.template)
    )
    figures["calls_made"] = processes.total(figures["calls_made"])
    pairs, figures = processes.agree(lambda: (pairs, figures))
    if not pairs:
        raise UsageError(f"recipe {recipe.name!r}: {recipe.reward} gave no reference to imitate")
    patience = recipe.settings.get(PATIENCE)
    taught, held_out = _hold_out(pairs, recipe, seed=arguments.seed) if patience else (pairs, [])
    with explain_refusals(recipe.name):
        trainer = SFTTrainer(
            model=policy.model,
            args=arguments,
            train_dataset=Dataset.from_list(taught),
            eval_dataset=Dataset.from_list(held_out) if held_out else None,
            processing_class=policy.tokenizer,
            callbacks=[*callbacks, *([EarlyStoppingCallback(patience)] if patience else [])],
            peft_config=lora,
        )
    fit(trainer, checkpoint=checkpoint, save=save)
    if held_out:
        figures |= {"held_out": len(held_out), "stopped_at": trainer.state.global_step}
        figures |= {
            "best_step": trainer.state.best_global_step,
            "best_loss": trainer.state.best_metric,
        }
    return figures


def _hold_out(
    pairs: Sequence[dict[str, JSON]], recipe: Recipe, *, seed: int
) -> tuple[list[dict[str, JSON]], list[dict[str, JSON]]]:
    """Divide the pairs at random into those that are trained on, and those held out."""
    count = max(1, round(recipe.settings.get(HELD_OUT, HELD_OUT_SHARE) * len(pairs)))
    if count == len(pairs):
        raise UsageError(
            f"recipe {recipe.name!r}: early stopping holds out {count} of {len(pairs)} references, "
            "so none is left to train on"
        )
    chosen = set(random.Random(seed).sample(range(len(pairs)), count))
    held_out = [pair for place, pair in enumerate(pairs) if place in chosen]
    return [pair for place, pair in enumerate(pairs) if place not in chosen], held_out


async def references(
    recipe: Recipe,
    samples: Sequence[Sample],
    *,
    config: RunConfig,
    template: Mapping[str, JSON] = MappingProxyType({}),
) -> tuple[list[dict[str, JSON]], dict[str, JSON]]:
    """Return prompts and completions of the questions with a reference, and figures.

    `template` has the options of the chat template with which TRL renders the prompts.
    """
    rewarder = Rewarder(recipe.reward, config)
    try:
        ready = await rewarder.open()
        work = partial(_reference, rewarder, recipe.group)
        results = [
            result async for result in map_in_order(work, samples, window=ready.bench.window)
        ]
    finally:
        await rewarder.close()
    pairs = [
        {
            "prompt": trl_row(sample)["prompt"],
            "completion": [{"role": "assistant", "content": text}],
            **({"chat_template_kwargs": dict(template)} if template else {}),
        }
        for sample, (text, _) in zip(samples, results, strict=True)
        if text
    ]
    scores = [score for _, score in results if score is not None]
    return pairs, {
        "questions": len(samples),
        "unlabelled": sum(not is_labelled(s.target, ready.bench.grader.scorer) for s in samples),
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
    rewarded = await rewarder.group(sample.question.id, [r.reply for r in pool.rollouts])
    if rewarded.reference is None:
        return None, None
    (truth,) = await rewarder.task_scores(sample.question.id, [rewarded.reference])
    return rewarded.reference, truth
