"""From a run's configuration to a run on disk: opens the models, runs the loop, keeps the record.

Everything that can be checked is checked before the first model call: names, parameters, budgets,
the whole data file, what each method needs.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from cat_bench import catalog
from cat_bench.backends.opening import open_backend
from cat_bench.backends.replay import Replay
from cat_bench.bench import Bench, Census
from cat_bench.cache import Cache
from cat_bench.catalog import Method, Task
from cat_bench.context import Role, Roles
from cat_bench.errors import UnknownName, UsageError
from cat_bench.evaluation import ORACLE, Settings
from cat_bench.flow import Limits
from cat_bench.grading import Grader
from cat_bench.model import Meter, Model
from cat_bench.record import PoolDigest, Survey, digest, findings, invocation, plan_record
from cat_bench.registry import known
from cat_bench.results import RunWriter
from cat_bench.types import JSON, AnswerScorer, Sampling
from cat_bench.validation import validated

RoleName: TypeAlias = Literal["policy", "anchor", "judge"]

POOL, BUDGETS = 16, (1, 2, 4, 8)


class RunConfig(BaseModel):
    """What to run: the fields of a `run.yaml`, and the options of `cat-bench run`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    task: str
    model: str
    anchor: str | None = None
    judge: str | None = None
    methods: tuple[str, ...] = ()
    n: tuple[int, ...] = ()
    pool: int | None = Field(default=None, ge=1)
    draws: int = Field(default=4, ge=1)
    limit: int | None = Field(default=None, ge=1)
    seed: int = 0
    label: str | None = None
    sampling: dict[RoleName, dict[str, JSON]] = Field(default_factory=dict)
    concurrency: int = Field(default=64, ge=1)
    offline: bool = False
    data: Path | None = None
    out: Path | None = None


class Watch(Protocol):
    """Something that follows a run as it goes."""

    def start(self, task: str, questions: int, meters: Mapping[str, Meter]) -> None:
        """The run is about to begin; the meters count on."""
        ...

    def advance(self) -> None:
        """One more question is done."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run: where it is, what it met, what it called."""

    folder: Path
    census: Census
    meters: Mapping[str, Meter]
    seconds: float


async def run(
    config: RunConfig, *, command: Sequence[str] = (), watch: Watch | None = None
) -> Outcome:
    """Run one task as configured and put the run in place.

    Raises UsageError before anything is paid for where a name, a file or a number is off.
    """
    started = datetime.now(UTC)
    clock = time.perf_counter()
    async with AsyncExitStack() as stack:
        cache = await stack.enter_async_context(Cache())
        task = catalog.task(config.task, data=config.data, cache=cache)
        models: dict[str, Model] = {}
        roles = _roles(config, task, cache, models)
        for model in models.values():
            stack.push_async_callback(model.close)
        if isinstance(policy := roles.policy.model.backend, Replay):
            task = replace(task, exchangeable=policy.exchangeable)
        settings = _settings(config, roles)
        methods = _methods(config, task, settings)
        census = Census(unavailable=_unavailable(methods, task, roles))
        survey = Survey.of(islice(task.samples(), config.limit))
        if not survey.questions:
            raise UsageError(f"task {task.name!r} has no questions.")
        named = config.model_dump(include={"task", "model", "limit", "seed", "label"})
        record = plan_record(named, task=task, roles=roles, methods=methods, settings=settings)
        meters = {name: model.meter for name, model in models.items()}
        bench = Bench(task, methods, roles, Grader(task.scorer, cache), settings, census=census)
        folder = config.out or _folder(task, config, record)
        if watch:
            watch.start(task.name, survey.questions, meters)
        pool = PoolDigest()
        with RunWriter(folder) as writer:
            async for rows, rollouts in bench.run(islice(task.samples(), config.limit)):
                writer.add(rows, rollouts)
                pool.add(rollouts)
                if watch:
                    watch.advance()
            seconds = time.perf_counter() - clock
            writer.finish(
                findings(record, census, survey=survey, pool=pool),
                invocation(command, meters, started=started, seconds=seconds),
            )
    return Outcome(folder, census, meters, seconds)


def results_root() -> Path:
    """Where runs go: CAT_BENCH_RESULTS, else `results/runs` here."""
    return Path(os.environ.get("CAT_BENCH_RESULTS") or Path("results") / "runs")


def _roles(config: RunConfig, task: Task, cache: Cache, models: dict[str, Model]) -> Roles:
    """Who plays what; a model named twice is opened once, into `models`."""

    def role(name: RoleName, spec: str) -> Role:
        if spec not in models:
            models[spec] = Model(
                spec,
                open_backend(spec, cache),
                cache=cache,
                limits=Limits(concurrency=config.concurrency),
                offline=config.offline,
                seed=config.seed,
                label=config.label,
            )
        given = validated(Sampling, config.sampling.get(name, {}), source=f"sampling.{name}")
        return Role(models[spec], given.over(task.sampling.get(name, Sampling())))

    policy = role("policy", config.model)
    live = None if isinstance(policy.model.backend, Replay) else config.model
    anchor, judge = config.anchor or live, config.judge or live
    return Roles(
        policy,
        (anchor and role("anchor", anchor)) or None,
        (judge and role("judge", judge)) or None,
    )


def _settings(config: RunConfig, roles: Roles) -> Settings:
    backend = roles.policy.model.backend
    largest = backend.size if isinstance(backend, Replay) else None
    pool = config.pool or largest or POOL
    if largest is not None and pool > largest:
        raise UsageError(f"--pool {pool} is more than the {largest} rollouts that it holds.")
    budgets = config.n or tuple(n for n in BUDGETS if n <= pool)
    for n in budgets:
        if not 1 <= n <= pool:
            more = f"--pool {n}, or " if largest is None and n > 0 else ""
            raise UsageError(
                f"--n {n} does not fit a pool of {pool} rollouts: give {more}an n from 1 to {pool}."
            )
    return Settings(budgets=tuple(sorted(set(budgets))), pool=pool, draws=config.draws)


def _methods(config: RunConfig, task: Task, settings: Settings) -> list[Method]:
    specs = [spec for spec in config.methods or task.methods if spec != ORACLE]
    if not specs:
        raise UsageError(f"task {task.name!r} names no methods of its own: give --method.")
    methods = [catalog.method(spec) for spec in dict.fromkeys(specs)]
    names = Counter([ORACLE, *(method.name for method in methods)])
    for method in methods:
        if names[method.name] > 1:
            raise UsageError(f"two methods are called {method.name!r}: rename the file of one.")
        if odd := [n for n in method.budgets or () if not 0 <= n <= settings.pool]:
            raise UsageError(f"{method.name} reads {odd[0]} rollouts of a pool of {settings.pool}.")
    return methods


def _unavailable(methods: Sequence[Method], task: Task, roles: Roles) -> dict[str, str]:
    """The methods that cannot run here, each with its reason."""
    reasons = {method.name: _missing(method, task, roles) for method in methods}
    return {name: reason for name, reason in reasons.items() if reason}


def _missing(method: Method, task: Task, roles: Roles) -> str | None:
    backend = roles.policy.model.backend
    scores = backend.scores if isinstance(backend, Replay) else ()
    for need in sorted(method.needs):
        kind, _, name = need.partition(":")
        if kind == "score" and name not in scores:
            raise UnknownName("signal or imported score", name, [*known("signal"), *scores])
        if kind == "answers" and not isinstance(task.scorer, AnswerScorer):
            return "the task has no final answers to compare"
        if kind in {"logprobs", "entropies", "scoring"} and kind not in backend.capabilities:
            return f"{roles.policy.model.name} gives no {kind}"
        if kind == "policy" and isinstance(backend, Replay):
            return "a replayed pool has no model to ask"
        if kind in {"anchor", "judge"} and getattr(roles, kind) is None:
            return f"no {kind} is named: give --{kind} MODEL"
    return None


def _folder(task: Task, config: RunConfig, record: Mapping[str, JSON]) -> Path:
    """One folder per configuration: the same run again lands where it was."""
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", config.model).strip("-.")
    return results_root() / f"{task.name}-{slug}-{digest(record)[:6]}"
