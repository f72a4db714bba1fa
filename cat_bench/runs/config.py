"""A run's configuration, read strictly: what decides its numbers, and how it is executed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from cat_bench.errors import ConfigError
from cat_bench.loading.catalog import model_of
from cat_bench.loading.secrets import WRITTEN, find_secret
from cat_bench.loading.validation import scalar, validate
from cat_bench.models.throttling import Limits
from cat_bench.types.calls import JSON, RoleName


def _is_part(shard: str) -> str:
    part, _, parts = shard.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise ValueError("should be I/K, I from 1 to K, such as 2/8")
    return shard


BUNDLED = "tally"
"""The model of a run that names no model."""
MOST = 100_000
"""The most rollouts of a question and the most draws of a method: more would not fit in memory."""
Shard: TypeAlias = Annotated[str, AfterValidator(_is_part)]
"""I/K: every K-th question from the I-th on, counted from 1."""


class RunConfig(BaseModel):
    """What to run: the fields of a `run.yaml`, of `--set`, and of `cat-bench list settings`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_secrets(cls, values: JSON) -> JSON:
        """Raise ConfigError for an API key: the run's record and the cache would contain it."""
        if secret := find_secret(values):
            raise ConfigError("the run", secret, WRITTEN)
        return values

    task: str = Field(description="the task, by name or path")
    model: str = Field(description="the policy, which writes the rollouts")
    anchor: str | None = Field(
        default=None, description="the model that synthesises; default: the policy"
    )
    judge: str | None = Field(
        default=None, description="the model that judges; default: the policy"
    )
    judge_profile: Literal["ours", "official"] | None = Field(
        default=None, description="how a rubric's judge is asked; default: as the task says"
    )
    judge_template: Path | None = Field(
        default=None, description="the file with the template of the `official` profile"
    )
    embedder: str | None = Field(default=None, description="the model that embeds texts")
    reward_model: str | None = Field(default=None, description="the model that gives rewards")
    methods: tuple[str, ...] = Field(default=(), description="the methods; default: the task's")
    n: tuple[int, ...] = Field(default=(), description="the budgets, in rollouts")
    free_n: tuple[int, ...] | None = Field(
        default=None,
        description="more budgets for methods without calls; default without `n`: up to the pool",
    )
    pool: int | None = Field(default=None, ge=1, le=MOST, description="rollouts per question")
    draws: int = Field(
        default=4, ge=1, le=MOST, description="subsets per n for a method that calls a model"
    )
    limit: int | None = Field(
        default=None, ge=1, le=sys.maxsize, description="only the first questions"
    )
    shard: Shard | None = Field(
        default=None, description="I/K: every K-th question from the I-th on, for job arrays"
    )
    seed: int = Field(default=0, description="the seed of new rollouts")
    label: str | None = Field(default=None, description="keeps a second, independent pool apart")
    sampling: dict[RoleName, dict[str, JSON]] = Field(
        default_factory=dict, description="each role's parameters; --set policy.temperature=0.7"
    )
    base_url: str | tuple[str, ...] | None = Field(
        default=None, description="where `openai:` models are served"
    )
    concurrency: int = Field(default=256, ge=1, description="most requests in flight, per model")
    retries: int = Field(default=5, ge=0, description="further attempts at a request that failed")
    deadline: float | None = Field(default=None, gt=0, description="seconds for one request")
    requests_per_minute: float | None = Field(default=None, gt=0, description="per model")
    tokens_per_minute: float | None = Field(default=None, gt=0, description="per model")
    budget_tokens: int | None = Field(
        default=None, ge=1, description="stop when this many tokens are spent"
    )
    budget_cost: float | None = Field(
        default=None, gt=0, description="stop when this much is spent, in the currency of `prices`"
    )
    prices: Path | None = Field(
        default=None, description="a YAML of MODEL: {input: ..., output: ...} per million tokens"
    )
    parallel: str | int | None = Field(
        default=None,
        description="where answers are scored: N processes, dask:ADDRESS or ray:ADDRESS",
    )
    offline: bool = Field(default=False, description="call no model; use the cache only")
    data: Path | None = Field(default=None, description="the task's data file")
    out: Path | None = Field(default=None, description="the run's folder")

    @property
    def named(self) -> dict[str, JSON]:
        """The fields that a run's record keeps as given; a judge's profile only if it is set."""
        always = {"task", "model", "limit", "shard", "seed", "label"}
        profile = {"judge_profile", "judge_template"}
        values = self.model_dump(include=always)
        return values | self.model_dump(include=profile, exclude_none=True, mode="json")

    @property
    def stride(self) -> tuple[int, int]:
        """The first question, from 0, and the step to the next one."""
        part, _, parts = (self.shard or "1/1").partition("/")
        return int(part) - 1, int(parts)

    @property
    def limits(self) -> Limits:
        """How fast each model is called."""
        return Limits(
            concurrency=self.concurrency,
            retries=self.retries,
            deadline=self.deadline,
            requests_per_minute=self.requests_per_minute,
            tokens_per_minute=self.tokens_per_minute,
        )


def configure(task: str, values: Mapping[str, JSON], *, source: str | Path) -> RunConfig:
    """Return the configuration of a run of `task`; the task's default model if `values` name none.

    Raises ConfigError, naming `source`, for a field that is unknown or cannot be read.
    """
    return validate(RunConfig, {"model": _model(task), **values, "task": task}, source=source)


def as_command(config: RunConfig) -> list[str]:
    """Return the arguments of `cat-bench` that make this configuration."""
    return ["run", config.task, "--model", config.model, *_options(config)]


def _options(config: RunConfig) -> Iterator[str]:
    fields = config.model_dump(mode="json", exclude_defaults=True, exclude={"task", "model"})
    if methods := fields.pop("methods", ()):
        yield from ("--method", ",".join(methods))
    if budgets := fields.pop("n", ()):
        yield from ("--n", ",".join(map(str, budgets)))
    urls = fields.pop("base_url", ())
    for url in [urls] if isinstance(urls, str) else urls:
        yield from ("--base-url", url)
    for role, parameters in fields.pop("sampling", {}).items():
        fields |= {f"{role}.{name}": value for name, value in parameters.items()}
    for name, value in fields.items():
        yield from ("--set", f"{name}={_scalar(value)}")


def _scalar(value: JSON) -> str:
    """Return the value as `--set` reads it: a text is quoted if YAML would read another value."""
    unquoted = isinstance(value, str) and scalar(value, source="", field="") == value
    return str(value) if unquoted else json.dumps(value)


def _model(task: str) -> str:
    """Return the default model for a task."""
    if task.startswith("pool:"):
        return f"replay:{task.removeprefix('pool:')}"
    return model_of(task) or BUNDLED
