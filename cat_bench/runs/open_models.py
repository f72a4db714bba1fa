"""Open the models of a run and assign them to roles; a model is opened once for all its roles."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cat_bench.cache import Cache
from cat_bench.cache.pools import pool_rows
from cat_bench.errors import UsageError
from cat_bench.loading.catalog import Task
from cat_bench.loading.validation import validate
from cat_bench.models.backends import Backend
from cat_bench.models.backends.opening import open_backend
from cat_bench.models.cached import Meter, Model, Served
from cat_bench.models.costs import Budget, read_prices
from cat_bench.models.lending import Role, Roles
from cat_bench.models.throttling import Gate
from cat_bench.runs.config import RunConfig
from cat_bench.types.calls import RoleName, Sampling
from cat_bench.types.records import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The surroundings of a run, which do not affect its numbers.

    `cache` is the cache to use; `backend` opens a model by name. `served` is called with every
    cached result that an offline run reads, verdicts included. With `fetches`, data may be
    downloaded although no model may be called.
    """

    cache: str | Path | None = None
    backend: Callable[[str, Cache], Backend] | None = None
    served: Served | None = None
    fetches: bool = False


class OpenModels:
    """The models of a run; a model is opened when it is first named, and only once."""

    def __init__(
        self,
        config: RunConfig,
        cache: Cache,
        *,
        environment: Environment,
        gate: Gate,
        planning: bool,
    ) -> None:
        self._config = config
        self._cache = cache
        self._budget = Budget(
            partial(gate.close, "budget"),
            tokens=config.budget_tokens,
            money=config.budget_cost,
            prices=read_prices(config.prices) if config.prices else None,
        )
        self._backend = environment.backend or partial(open_backend, base_url=config.base_url)
        self._reward_backend = environment.backend or partial(
            open_backend, base_url=config.base_url, role="reward_model"
        )
        self._model = partial(
            Model,
            cache=cache,
            limits=config.limits,
            gate=gate,
            budget=self._budget,
            offline=config.offline,
            planning=planning,
            seed=config.seed,
            label=config.label,
            served=environment.served,
        )
        self._models: dict[str, Model] = {}

    @property
    def meters(self) -> dict[str, Meter]:
        """Each model's meter by the model's name."""
        return {spec: model.meter for spec, model in self._models.items()}

    def cautions(self) -> list[str]:
        """Return the warnings about the models that are known so far."""
        models = self._models.items()
        return [f"{spec} {caution}" for spec, model in models for caution in model.cautions]

    def _role(self, task: Task, name: RoleName, spec: str) -> Role:
        """Return the model `spec` in a role; the task gives unset sampling parameters."""
        parameters = self._config.sampling.get(name, {})
        chosen = validate(Sampling, parameters, source=f"sampling.{name}")
        return Role(self._open(spec), chosen.over(task.sampling.get(name, Sampling())))

    def _open(self, spec: str, backend: Callable[[str, Cache], Backend] | None = None) -> Model:
        if spec not in self._models:
            self._budget.check(spec)
            opened = (backend or self._backend)(spec, self._cache)
            self._models[spec] = self._model(spec, opened)
        return self._models[spec]

    def _reward(self, spec: str) -> Role:
        """Return the reward model `spec`; raise UsageError if it gives no rewards."""
        model = self._open(spec, self._reward_backend)
        if "rewards" not in model.capabilities:
            raise UsageError(f"--reward-model {spec} gives no rewards: name a reward model")
        return Role(model)

    async def close(self) -> None:
        """Close every model."""
        for model in self._models.values():
            await model.close()

    def roles(self, task: Task) -> Roles:
        """Return the model of each role; the default is the policy's model.

        A replayed pool plays the policy only. The embedder and the reward model have no default,
        since a chat model cannot play these roles.
        """
        config = self._config
        policy = self._role(task, "policy", config.model)
        live = None if policy.model.imported else config.model
        anchor, judge = config.anchor or live, config.judge or live
        return Roles(
            policy,
            self._role(task, "anchor", anchor) if anchor else None,
            self._role(task, "judge", judge) if judge else None,
            Role(self._open(config.embedder)) if config.embedder else None,
            self._reward(config.reward_model) if config.reward_model else None,
        )


def check_pool(cache: Cache, name: str, samples: Iterable[Sample]) -> None:
    """Check that a pool answers these questions.

    Raises UsageError if it answers none of them, or a different question with the same id.
    """
    problems = {row.id: row.problem for row in pool_rows(cache, name)}
    answered = [s.question for s in samples if s.question.id in problems]
    if not answered:
        raise UsageError(
            f"replay:{name} has no rollout of any of these questions: it is another task's pool "
            "(`cat-bench list pools`)"
        )
    for question in answered:
        problem = problems[question.id]
        if problem is not None and problem.split() != question.text.split():
            raise UsageError(
                f"replay:{name} answers another question {question.id!r} than the task asks:"
                " import its file with --task TASK, which matches by text"
            )
