"""Count the weights that a training changes, by their type: ``python -m tools.precision``.

The optimiser's settings are the paper's (a constant rate of 5e-7), and matrices are multiplied in
bfloat16 in both trainings. Only the type of the weights differs: bfloat16, as in published
checkpoints, or float32, as `cat-bench train` loads them.
"""

from __future__ import annotations

import tempfile
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
import torch
from tabulate import tabulate

from cat_bench.loading import catalog
from cat_bench.models.backends.hf.loading import libraries, silence
from cat_bench.runs.config import RunConfig
from cat_bench.training import grpo
from cat_bench.training.arguments import trainer_arguments
from cat_bench.training.policy import Policy, weights
from cat_bench.training.recipes import recipe

if TYPE_CHECKING:
    from trl.trainer.grpo_config import GRPOConfig

TYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


@click.command()
@click.option("--task", default="tally", show_default=True)
@click.option("--model", "-m", default="tally", show_default=True)
@click.option("--recipe", "name", default="gold", show_default=True)
@click.option("--steps", default=20, show_default=True)
def main(task: str, model: str, name: str, steps: int) -> None:
    """Train MODEL once for each type of its weights, and print the share that changed."""
    rows = []
    for kind, dtype in TYPES.items():
        with silence(libraries()[1].utils.logging), tempfile.TemporaryDirectory() as out:
            rows.append({"weights": kind, **moved(task, model, name, steps, dtype, Path(out))})
        click.echo(f"{kind}: done", err=True)
    click.echo(tabulate(rows, headers="keys", floatfmt=".2f"))


def moved(
    task: str, model: str, name: str, steps: int, dtype: torch.dtype, out: Path
) -> dict[str, Any]:
    """Train for `steps` and return the share of weights that changed, in per cent."""
    sizes = ["global_batch_size=32", "per_device_train_batch_size=32", "max_completion_length=64"]
    chosen = recipe(name, scale="paper", changes=[*sizes, f"max_steps={steps}", "bf16=true"])
    policy = Policy.load(weights(model))
    policy.model.to(dtype)  # type: ignore[arg-type] # transformers leaves its signature untyped
    first = [weight.detach().clone() for weight in policy.model.parameters()]
    grpo.train(
        policy,
        chosen,
        list(islice(catalog.task(task).samples(), chosen.questions(1))),
        config=RunConfig(task=task, model=model, methods=("single",)),
        arguments=cast("GRPOConfig", trainer_arguments(chosen, out=out, seed=0, save_every=steps)),
        callbacks=[],
        checkpoint=None,
    )
    changed = sum(
        int((old != new).sum()) for old, new in zip(first, policy.model.parameters(), strict=True)
    )
    total = sum(weight.numel() for weight in first)
    return {"steps": steps, "changed, %": 100 * changed / total, "of": total}


if __name__ == "__main__":
    main()
