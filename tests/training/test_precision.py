"""Weights, moments and the reference model are float32, whatever the checkpoint's type."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from cat_bench.bundled.tally import MODEL
from cat_bench.loading import catalog
from cat_bench.runs.config import RunConfig
from cat_bench.training import grpo
from cat_bench.training.arguments import trainer_arguments
from cat_bench.training.policy import Policy
from cat_bench.training.recipes import recipe
from tests.conftest import Workshop
from tools.precision import moved

FLOAT32 = {torch.float32}


def test_a_checkpoint_in_bfloat16_is_loaded_in_float32(policy: Policy) -> None:
    assert json.loads((MODEL / "config.json").read_text())["dtype"] == "bfloat16"
    assert {weight.dtype for weight in policy.model.parameters()} == FLOAT32


def test_moments_and_reference_are_float32_under_autocast(
    session: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []

    class Watched(GRPOTrainer):
        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            made.append(self)

    monkeypatch.setattr(grpo, "GRPOTrainer", Watched)
    sizes = ["num_generations=2", "per_device_train_batch_size=4", "global_batch_size=4"]
    chosen = recipe("ttrl", scale="paper", changes=[*sizes, "max_steps=1", "bf16=true"])
    grpo.train(
        Policy.load(str(MODEL)),
        chosen,
        list(islice(catalog.task("tally").samples(), 2)),
        config=session,
        arguments=cast(GRPOConfig, trainer_arguments(chosen, out=tmp_path, seed=0, save_every=1)),
        callbacks=[],
        checkpoint=None,
    )
    (trainer,) = made
    assert trainer.args.bf16
    assert trainer.accelerator.mixed_precision == "bf16"
    assert {weight.dtype for weight in trainer.model.parameters()} == FLOAT32
    assert {weight.dtype for weight in trainer.ref_model.parameters()} == FLOAT32
    moments = [moment for state in trainer.optimizer.state.values() for moment in state.values()]
    assert moments
    assert {moment.dtype for moment in moments} == FLOAT32


def test_what_is_saved_keeps_every_step(workshop: Workshop) -> None:
    sizes = ("num_generations=2", "per_device_train_batch_size=4", "learning_rate=5e-7")
    given = [part for size in sizes for part in ("--set", size)]
    status, _, err = workshop.run(
        *("train", "tally", "--recipe", "sft", "--steps", "1", "--questions", "0", *given),
        *("--set", "bf16=true", "--out", "one"),
    )
    assert status == 0, err
    first, last = (load_file(folder / "model.safetensors") for folder in (MODEL, Path("one/model")))
    assert {weight.dtype for weight in last.values()} == FLOAT32
    changed = sum(int((last[name] != weight.float()).sum()) for name, weight in first.items())
    assert changed > 0.9 * sum(weight.numel() for weight in first.values())


@pytest.mark.slow
def test_weights_kept_in_bfloat16_would_hardly_move(
    session: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = {
        dtype: moved("tally", "tally", "gold", 1, dtype, tmp_path)["changed, %"]
        for dtype in (torch.bfloat16, torch.float32)
    }
    assert shares[torch.bfloat16] < 2
    assert shares[torch.float32] > 90


@pytest.mark.parametrize("change", ["model_init_kwargs={dtype: bfloat16}", "seed=3"])
def test_what_cat_bench_sets_cannot_be_set(workshop: Workshop, change: str) -> None:
    status, _, err = workshop.run("train", "tally", "--out", "one", "--set", change)
    assert status == 2
    assert f"{change.partition('=')[0]}: cannot be set by a recipe: cat-bench" in err
