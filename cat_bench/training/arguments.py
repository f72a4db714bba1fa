"""The settings of a recipe as TRL's arguments.

Arguments that a recipe does not set get defaults for this machine. The weights are float32
(`policy`), so `bf16` means autocast: matrices are multiplied in bfloat16, and the weights, the
optimiser's moments and the log-probabilities of policy and reference model stay in float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from cat_bench.errors import ConfigError, one_line, suggest
from cat_bench.training import processes
from cat_bench.training.conversion import convert_settings
from cat_bench.training.lora import is_lora
from cat_bench.training.placement import load_everywhere
from cat_bench.training.recipes import OURS, PATIENCE, Recipe
from cat_bench.types.calls import JSON

if TYPE_CHECKING:
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.sft_config import SFTConfig

OWN = {
    **dict.fromkeys(
        ("output_dir", "seed", "data_seed", "logging_steps", "save_strategy", "disable_tqdm"),
        "cat-bench sets it",
    ),
    "model_init_kwargs": "cat-bench loads the model, in float32",
}
"""Arguments of TRL that a recipe cannot set, and why."""


def trainer_arguments(
    recipe: Recipe, *, out: Path, seed: int, save_every: int
) -> GRPOConfig | SFTConfig:
    """Return TRL's arguments; raises ConfigError for a setting that TRL does not take."""
    import torch
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.sft_config import SFTConfig

    kind = GRPOConfig if recipe.trainer == "grpo" else SFTConfig
    source = f"recipe {recipe.name}"
    settings = _read_settings(recipe, kind, source=source)
    cuda = torch.cuda.is_available()
    given: dict[str, Any] = {
        "bf16": cuda and torch.cuda.is_bf16_supported() and not settings.get("fp16"),
        "use_cpu": not cuda,
        "gradient_checkpointing": cuda,
        "save_steps": save_every,
        "save_total_limit": 2,
        "report_to": "none",
        **(_stopping(save_every) if recipe.settings.get(PATIENCE) else {}),
        **settings,
        "gradient_accumulation_steps": recipe.accumulation(processes.count()),
        "output_dir": str(out / "checkpoints"),
        "seed": seed,
        "data_seed": seed,
        "logging_steps": 1,
        "disable_tqdm": True,
    }
    try:
        arguments = kind(**given)
    except (TypeError, ValueError, ImportError) as error:
        raise ConfigError(source, "", f"TRL refuses it: {error}") from error
    load_everywhere()
    _check_trackers(list(arguments.report_to or ()), source)
    if isinstance(arguments, GRPOConfig):
        _check_groups(arguments, source)
    return arguments


def _read_settings(recipe: Recipe, kind: type, *, source: str) -> dict[str, JSON]:
    """Return TRL's own settings of a recipe, as TRL types them."""
    for name in recipe.settings:
        if name in OWN:
            raise ConfigError(source, name, f"cannot be set by a recipe: {OWN[name]}")
    kinds = get_type_hints(kind)
    extra = {name for name in recipe.settings if is_lora(name) or name in OURS} - kinds.keys()
    settings = {name: value for name, value in recipe.settings.items() if name not in extra}
    return convert_settings(settings, kinds, source=source)


def _stopping(steps: int) -> Mapping[str, JSON]:
    """Return what early stopping needs: the loss on held-out references at every checkpoint."""
    return {
        "eval_strategy": "steps",
        "eval_steps": steps,
        "load_best_model_at_end": True,
        "metric_for_best_model": "eval_loss",
        "greater_is_better": False,
        "restore_callback_states_from_checkpoint": True,
    }


def _check_trackers(names: Sequence[str], source: str) -> None:
    """Raise ConfigError for a tracker that is unknown or not installed.

    TRL itself looks at them only after references for `sft` were paid for.
    """
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK as TRACKERS

    for name in names:
        if name not in TRACKERS:
            known = ", ".join(sorted(TRACKERS))
            problem = f"there is no tracker {name!r}.{suggest(name, TRACKERS)} Known: {known}"
            raise ConfigError(source, "report_to", problem)
        try:
            TRACKERS[name]()
        except (ImportError, RuntimeError) as error:
            raise ConfigError(source, "report_to", one_line(error)) from error


def _check_groups(arguments: GRPOConfig, source: str) -> None:
    """Raise ConfigError if processes would share a group: rewards need whole groups."""
    steps = arguments.steps_per_generation or 1
    completions, size = arguments.per_device_train_batch_size * steps, arguments.num_generations
    if size and completions % size:
        raise ConfigError(
            source,
            "per_device_train_batch_size",
            f"gives each process {completions} completions at a time, which are not whole groups "
            f"of {size}: make per_device_train_batch_size x steps_per_generation (by default "
            f"gradient_accumulation_steps, {arguments.gradient_accumulation_steps}) a multiple of "
            "num_generations",
        )
