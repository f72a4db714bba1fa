"""Run a trainer of TRL's to its end, and save what it made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import PrinterCallback, Trainer

from cat_bench.errors import ModelError
from cat_bench.training import processes


def fit(trainer: Trainer, *, checkpoint: Path | None, save: Path | None) -> None:
    """Train from `checkpoint` on, if there is one; write the model, or its adapter, to `save`.

    All processes take part; the main one writes. Raises ModelError if the weights could not be
    gathered into one file.
    """
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
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
