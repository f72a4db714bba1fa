"""LoRA adapters: folders that hold a change of another model, which is found and merged with it.

An adapter is identified by its content and its base's content, wherever the two lie. peft is
imported when an adapter is loaded.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from cat_bench.errors import ModelError, one_line
from cat_bench.system.extras import install_command
from cat_bench.types.calls import JSON

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CONFIG = "adapter_config.json"
BASE = "base_model_name_or_path"


@dataclass(frozen=True, slots=True)
class Adapter:
    """A folder with an adapter; `base` is a folder or a name of the Hub, `rank` its LoRA rank."""

    folder: Path
    base: str
    revision: str | None
    rank: int

    @classmethod
    def find(cls, folder: Path, *, base: str | None = None) -> Adapter | None:
        """Return the adapter that a folder holds, or None; `base` replaces the named base model.

        A base that the adapter names by a path is also looked for relative to the adapter. Raises
        ModelError if the configuration cannot be read or names no base model.
        """
        if not (folder / CONFIG).is_file():
            return None
        stated = read_config(folder)
        source = base or stated.get(BASE)
        if not source:
            raise ModelError(
                f"{folder / CONFIG} names no base model: give it, hf:{folder}{{base=PATH}}"
            )
        relative = folder / str(source)
        return cls(
            folder=folder,
            base=str(relative) if not Path(source).is_dir() and relative.is_dir() else str(source),
            revision=stated.get("revision"),
            rank=max([stated.get("r") or 0, *(stated.get("rank_pattern") or {}).values()]),
        )

    @property
    def has_tokenizer(self) -> bool:
        """Whether the folder has a tokenizer of its own, as trainers save it."""
        return (self.folder / "tokenizer_config.json").is_file()

    def merge(self, model: PreTrainedModel) -> PreTrainedModel:
        """Return the base model with the adapter's change added to its weights, in their type."""
        try:
            from peft import PeftModel
        except ImportError as error:
            raise ModelError(
                f"{self.folder} holds a LoRA adapter, which needs peft: {install_command('lora')}"
            ) from error
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # peft's own renamings
                adapted = PeftModel.from_pretrained(model, str(self.folder))
            return cast("PreTrainedModel", adapted.merge_and_unload(safe_merge=True))
        except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
            raise ModelError(
                f"the adapter {self.folder} does not fit {self.base} ({one_line(error)}): give "
                f"{{base=PATH}}"
            ) from error


def read_config(folder: Path) -> dict[str, JSON]:
    """Return the configuration of the folder's adapter; raises ModelError where it is not JSON."""
    path = folder / CONFIG
    try:
        config: dict[str, JSON] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}): save the adapter again") from error
    return config


def canonical_config(folder: Path) -> bytes:
    """Return what an adapter's configuration says, without the place of its base.

    peft writes sets as lists, in an order that differs between processes: lists are sorted.
    """
    config = {
        name: value for name, value in read_config(folder).items() if name not in (BASE, "revision")
    }
    ordered = {
        name: sorted(value, key=str) if isinstance(value, list) else value
        for name, value in config.items()
    }
    return json.dumps(ordered, sort_keys=True).encode()
