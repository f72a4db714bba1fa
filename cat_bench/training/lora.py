"""LoRA: train a low-rank change of the weights (arXiv 2106.09685) in place of the weights.

A recipe switches it on by `lora_r`, the rank. Further settings have the names of TRL's ModelConfig.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, get_type_hints

from cat_bench.errors import ConfigError, UsageError
from cat_bench.system.extras import install_command
from cat_bench.training.conversion import convert_settings
from cat_bench.types.calls import JSON

if TYPE_CHECKING:
    from peft import PeftConfig

RANK = "lora_r"
DEFAULTS: Mapping[str, JSON] = {
    "lora_alpha": 32,
    "lora_dropout": 0.0,
    "lora_target_modules": ["all-linear"],
}
"""Defaults that differ from TRL's: dropout would also disturb the rollouts that are trained on."""


def is_lora(setting: str) -> bool:
    """Return whether a recipe's setting is about LoRA."""
    return setting.startswith("lora_") or setting in ("use_dora", "use_rslora")


def read_lora(settings: Mapping[str, JSON], *, source: str | Path) -> PeftConfig | None:
    """Return peft's configuration; None without `lora_r`, or if it is 0.

    Raises ConfigError for a setting that TRL does not take, UsageError if peft is missing.
    """
    chosen = {name: value for name, value in settings.items() if is_lora(name)}
    if not chosen.get(RANK):
        if unused := sorted(chosen.keys() - {RANK} if RANK not in chosen else ()):
            raise ConfigError(source, unused[0], "has no effect without lora_r, such as lora_r=32")
        return None
    try:
        import peft  # noqa: F401
        from trl.trainer.model_config import ModelConfig
        from trl.trainer.utils import get_peft_config
    except ImportError as error:
        raise UsageError(f"LoRA needs peft ({error}): {install_command('lora')}") from error
    hints = get_type_hints(ModelConfig)
    kinds = {field.name: hints[field.name] for field in fields(ModelConfig) if is_lora(field.name)}
    targets = chosen.get("lora_target_modules")
    if isinstance(targets, str):
        chosen["lora_target_modules"] = [part.strip() for part in targets.split(",")]
    read = convert_settings({**DEFAULTS, **chosen}, kinds, source=source, whose="of LoRA")
    try:
        return get_peft_config(ModelConfig(use_peft=True, **read))
    except (TypeError, ValueError) as error:
        raise ConfigError(source, RANK, f"peft refuses it: {error}") from error
