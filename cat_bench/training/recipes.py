"""Recipes: the reward and the trainer of a policy, as YAML in the catalogue.

`recipes/<name>.yaml` names a trainer of TRL's, a reward, and for each scale (`paper`, `small`) the
trainer's settings under TRL's own names, and four of ours (`OURS`). `sampling` says for a scale and
a family of models how policy and anchor sample. A recipe may be `like` another one and then
inherits its settings, sampling and trainer.
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
BATCH, ACCUMULATION = "global_batch_size", "gradient_accumulation_steps"
PATIENCE, HELD_OUT = "early_stopping_patience", "held_out"
OURS = frozenset({"num_generations", BATCH, PATIENCE, HELD_OUT})
"""Settings that are not TRL's, or not of all its trainers.

`global_batch_size` is the completions (references for `sft`) of one optimiser step over all
processes. `held_out` is the share of references that are kept for early stopping, and
`early_stopping_patience` the number of checkpoints without a lower loss on them that ends an `sft`.
"""
HELD_OUT_SHARE = 0.1


class RecipeFile(BaseModel):
    """The fields of a `recipes/*.yaml`."""

    model_config = STRICT
    summary: str
    reward: str
    trainer: Trainer | None = None
    like: str | None = None
    citation: str | None = None
    settings: dict[Scale, dict[str, JSON]] = Field(default_factory=dict)
    sampling: dict[Scale, dict[str, dict[str, JSON]]] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A reward and a trainer with its settings, ready to run.

    A `grpo` recipe trains on `reward`; an `sft` recipe imitates the references of that reward.
    `sampling` has the parameters of policy and anchor for each family of models.
    """

    name: str
    trainer: Trainer
    reward: str
    settings: Mapping[str, JSON] = field(default_factory=dict)
    summary: str = ""
    citation: str | None = None
    sampling: Mapping[str, Mapping[str, JSON]] = field(default_factory=dict)

    @property
    def group(self) -> int:
        """Rollouts per question."""
        return int(self.settings["num_generations"])

    @property
    def steps(self) -> int:
        """The total of optimiser steps."""
        return int(self.settings["max_steps"])

    def accumulation(self, processes: int) -> int:
        """Return the batches of each process in an optimiser step.

        Raises ConfigError if the global batch cannot be divided evenly.
        """
        settings = self.settings
        if not settings.get(BATCH):
            return int(settings.get(ACCUMULATION, 1))
        source = f"recipe {self.name}"
        if ACCUMULATION in settings:
            raise ConfigError(
                source, ACCUMULATION, f"follows from {BATCH}: set only one, or {BATCH}=null"
            )
        total, batch = int(settings[BATCH]), int(settings["per_device_train_batch_size"])
        if total % (batch * processes):
            raise ConfigError(
                source,
                BATCH,
                f"{total} cannot be divided among {processes} processes in batches of {batch} "
                "(per_device_train_batch_size)",
            )
        return total // (batch * processes)

    def questions(self, processes: int) -> int:
        """Return how many questions all steps read, one group or reference each."""
        batch = int(self.settings["per_device_train_batch_size"])
        rows = self.steps * batch * processes * self.accumulation(processes)
        return rows // (self.group if self.trainer == "grpo" else 1)


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
        base_path = _find_file(resolve_beside(path.parent, content.like))
        base = validate(RecipeFile, read_yaml(base_path), source=base_path)
    trainer = content.trainer or base.trainer
    settings = content.settings.get(scale) or base.settings.get(scale)
    if trainer is None or settings is None:
        missing = "trainer" if trainer is None else f"settings.{scale}"
        raise ConfigError(path, missing, "is missing: give it, or `like: RECIPE` that has it")
    settings = {**settings, **_parse_changes(changes)}
    _check(settings, trainer, path)
    return Recipe(
        name=path.stem,
        trainer=trainer,
        reward=reward or resolve_beside(path.parent, content.reward),
        settings=settings,
        summary=content.summary,
        citation=content.citation,
        sampling=content.sampling.get(scale) or base.sampling.get(scale) or {},
    )


def _check(settings: Mapping[str, JSON], trainer: Trainer, path: Path) -> None:
    """Raise ConfigError for an invalid value of one of our settings."""
    counts = [*COUNTS, *(name for name in (BATCH, PATIENCE) if settings.get(name) is not None)]
    for name in counts:
        value = settings.get(name)
        if not isinstance(value, int) or value < 1:
            raise ConfigError(path, name, f"should be a whole number from 1 on, not {value!r}")
    share = settings.get(HELD_OUT, HELD_OUT_SHARE)
    if not isinstance(share, float) or not 0 < share < 1:
        raise ConfigError(path, HELD_OUT, f"should be a share between 0 and 1, not {share!r}")
    if trainer != "sft" and (unused := [name for name in (PATIENCE, HELD_OUT) if name in settings]):
        raise ConfigError(path, unused[0], f"is for sft; a {trainer} recipe has no loss to stop by")


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
