"""Check that models which are divided among processes are asked only what they can answer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cat_bench.errors import UsageError
from cat_bench.loading.registry import list_plugins
from cat_bench.runs.config import RunConfig
from cat_bench.training import processes


def check_placement(config: RunConfig, arguments: Any, *, measured: bool) -> None:
    """Raise UsageError for roles or rewards that do not work with several processes.

    `arguments` are TRL's, and `measured` says whether the reward reads numbers of the policy's
    tokens, such as entropies.
    """
    roles = {"anchor": config.anchor, "judge": config.judge, "reward_model": config.reward_model}
    specs = {role: spec for role, spec in roles.items() if spec}
    if processes.count() > 1:
        for role, spec in specs.items():
            if spec.startswith("vllm:") and "attach" not in spec:
                raise UsageError(
                    f"{processes.count()} processes would each start {role} {spec}: start the "
                    f"server once, and name it as vllm:NAME{{attach=URL}} or openai:NAME"
                )
    if _is_divided(arguments) and measured:
        raise UsageError(
            "the reward reads numbers of the policy's tokens, and no process has the whole policy "
            "under FSDP or DeepSpeed's stage 3: choose a reward that reads texts, such as --reward "
            "'scrl{entropy=false}', or train without them"
        )
    if _is_stage_3(arguments) and any(map(_in_process, [config.model, *specs.values()])):
        raise UsageError(
            "under DeepSpeed's stage 3, transformers divides every model that it loads, the anchor "
            "and the judge too: serve them (--anchor openai:NAME --base-url URL), and name the "
            "policy as a folder"
        )


def load_everywhere() -> None:
    """Let each process load whole checkpoints under FSDP, where all but one would get empty ones.

    The anchor is asked by every process. Call this after TRL's arguments have been made.
    """
    if _is_fsdp():
        os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"


def _is_fsdp() -> bool:
    """Return whether a launcher or TRL's arguments have chosen FSDP: both set this variable."""
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def _is_divided(arguments: Any) -> bool:
    return _is_fsdp() or _is_stage_3(arguments)


def _is_stage_3(arguments: Any) -> bool:
    plugin = arguments.deepspeed_plugin
    return plugin is not None and plugin.zero_stage == 3


def _in_process(spec: str) -> bool:
    """Return whether transformers opens a model at once, in this process."""
    name = spec.partition("{")[0]
    kind, colon, _ = name.partition(":")
    if name in list_plugins("model") or (colon and kind != "hf"):
        return False
    return not Path(name.removeprefix("hf:")).expanduser().is_dir()
