"""Recipes: the reward and the trainer of a policy, as YAML in the catalogue.

`recipes/<name>.yaml` names a trainer of TRL's, a reward, and for each scale (`paper`, `small`) the
trainer's settings under TRL's own names. A recipe may be `like` another one and then
inherits its settings and trainer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel, Field

from cat_bench.errors import ConfigError, UnknownName
from cat_bench.loading.catalog import root
from cat_bench.loading.registry import resolve_beside
from cat_bench.loading.validation import STRICT, read_yaml, scalar, validate
from cat_bench.types.calls import JSON

Trainer: TypeAlias = Literal["grpo", "sft"]
Scale: TypeAlias = Literal["paper", "small"]
COUNTS = ("num_generations", "per_device_train_batch_size", "max_steps")
"""Settings that determine how many questions a training reads."""


class RecipeFile(BaseModel):
    """The fields of a `recipes/*.yaml`."""

    model_config = STRICT
    summary: str
    reward: str
    trainer: Trainer | None = None
    like: str | None = None
    citation: str | None = None
    settings: dict[Scale, dict[str, JSON]] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A reward and a trainer with its settings, ready to run.

    A `grpo` recipe trains on `reward`; an `sft` recipe imitates the references of that reward.
    """

    name: str
    trainer: Trainer
    reward: str
    settings: Mapping[str, JSON] = field(default_factory=dict)
    summary: str = ""
    citation: str | None = None

    @property
    def group(self) -> int:
        """Rollouts per question."""
        return int(self.settings["num_generations"])

    @property
    def steps(self) -> int:
        """The total of optimiser steps."""
        return int(self.settings["max_steps"])

    @property
    def questions(self) -> int:
        """Questions that all steps read on one machine, one group or reference each."""
        given = self.settings
        rows = given["per_device_train_batch_size"] * given.get("gradient_accumulation_steps", 1)
        return self.steps * int(rows) // (self.group if self.trainer == "grpo" else 1)


def names() -> list[str]:
    """Return the catalogue's recipes."""
    return sorted(path.stem for path in (root() / "recipes").glob("*.yaml"))


def recipe(
    spec: str, *, scale: Scale, reward: str | None = None, changes: Sequence[str] = ()
) -> Recipe:
    """Return the recipe that `spec` names, in the catalogue or as a path to a YAML.

    `changes` are `key=value` for settings of the trainer's. Raises UnknownName, ConfigError.
    """
    path = _find_file(spec)
    content = validate(RecipeFile, read_yaml(path), source=path)
    base = content
    if content.like:
        other = _find_file(resolve_beside(path.parent, content.like))
        base = validate(RecipeFile, read_yaml(other), source=other)
    trainer = content.trainer or base.trainer
    settings = content.settings.get(scale) or base.settings.get(scale)
    if trainer is None or settings is None:
        missing = "trainer" if trainer is None else f"settings.{scale}"
        raise ConfigError(path, missing, "is missing: give it, or `like: RECIPE` that has it")
    settings = {**settings, **_parse_changes(changes)}
    for name in COUNTS:
        value = settings.get(name)
        if not isinstance(value, int) or value < 1:
            raise ConfigError(path, name, f"should be a whole number from 1 on, not {value!r}")
    return Recipe(
        name=path.stem,
        trainer=trainer,
        reward=reward or resolve_beside(path.parent, content.reward),
        settings=settings,
        summary=content.summary,
        citation=content.citation,
    )


def _find_file(spec: str) -> Path:
    path = Path(spec)
    if path.suffix in {".yaml", ".yml"}:
        return path
    path = root() / "recipes" / f"{spec}.yaml"
    if not path.is_file():
        raise UnknownName("recipe", spec, names())
    return path


def _parse_changes(changes: Sequence[str]) -> dict[str, JSON]:
    values = {}
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise ConfigError("--set", change, "should be written KEY=VALUE")
        values[key.strip()] = scalar(value, source="--set", field=key.strip())
    return values
