"""Run a trainer of TRL's to its end, and save what it made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, Trainer

from cat_bench.errors import ConfigError, ModelError, one_line
from cat_bench.training import processes


@contextmanager
def explain_refusals(name: str) -> Iterator[None]:
    """Raise ConfigError, naming the recipe, if TRL refuses its settings."""
    try:
        yield
    except (ImportError, RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(f"recipe {name}", "", f"TRL refuses it: {one_line(error)}") from error


def fit(trainer: Trainer, *, checkpoint: Path | None, save: Path | None) -> None:
    """Train from `checkpoint` on, if there is one; write the model, or its adapter, to `save`.

    All processes take part; the main one writes. Raises ModelError if the weights could not be
    gathered into one file, or if they do not fit into memory.
    """
    trainer.remove_callback(PrinterCallback)
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f"the memory of the GPU is full ({one_line(error)}): lower per_device_train_batch_size "
            "or max_completion_length by --set, or train with --set lora_r=32"
        ) from error
    if save is None:
        return
    if trainer.is_fsdp_enabled:
        plugin: Any = trainer.accelerator.state.fsdp_plugin
        plugin.set_state_dict_type("FULL_STATE_DICT")
    trainer.save_model(str(save))
    if processes.is_main():
        (save / "training_args.bin").unlink(missing_ok=True)
        if not any(save.glob("*.safetensors")):
            raise ModelError(
                f"the trained weights were not gathered into {save}: they are in the last folder "
                "of checkpoints/. With DeepSpeed's stage 3, set "
                "stage3_gather_16bit_weights_on_model_save"
            )
