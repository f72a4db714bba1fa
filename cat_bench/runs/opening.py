"""Carries out a run: opens its models, asks its questions, writes its folder.

Everything that can be checked is checked before the first model call: names, parameters, budgets,
the whole data file, what each method needs.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from cat_bench.cache import Cache, Call
from cat_bench.cache.orders import on_order
from cat_bench.cache.private import mark_private
from cat_bench.errors import UsageError
from cat_bench.evaluation.grader import Grader
from cat_bench.evaluation.method_rows import FRAMES
from cat_bench.evaluation.questions import Bench, Census
from cat_bench.evaluation.rows import RolloutRow
from cat_bench.loading import catalog
from cat_bench.loading.catalog import Method, Task
from cat_bench.loading.trust import note_loaded
from cat_bench.models.cached import Meter
from cat_bench.models.throttling import Gate
from cat_bench.runs.availability import find_unavailable
from cat_bench.runs.budgets import check_budgets, plan_settings
from cat_bench.runs.checks import check_labels, check_permission, check_questions, warnings_of
from cat_bench.runs.config import RunConfig
from cat_bench.runs.folder import RunWriter
from cat_bench.runs.judge_profile import apply_profile
from cat_bench.runs.open_models import Environment, OpenModels, check_pool
from cat_bench.runs.places import folder_of
from cat_bench.runs.record import PoolDigest, Survey, add_findings, invocation, plan_record
from cat_bench.runs.watch import Watch
from cat_bench.scorers.rubric import describe_judging
from cat_bench.system.garbage import rare_garbage_collection
from cat_bench.system.parallel import open_executor
from cat_bench.types.calls import JSON
from cat_bench.types.records import Question, Sample
from cat_bench.types.traits import ScorerTraits, traits

T = TypeVar("T")

WINDOW, PER_PROCESS = 64, 8
"""Questions in memory: the larger of `WINDOW` and `PER_PROCESS` for each scoring process."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run: its folder, its counts and its models' meters."""

    folder: Path
    census: Census
    meters: Mapping[str, Meter]
    seconds: float
    damaged: int = 0
    """How many damaged rows of the cache the run met."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A run that is ready to start: every name exists and every row of data can be read."""

    bench: Bench
    survey: Survey
    record: Mapping[str, JSON]
    models: OpenModels
    samples: Callable[[], Iterator[Sample]]
    cache: Cache
    started: tuple[datetime, float]
    """When the opening began: the date, and the seconds of `time.perf_counter`."""
    label: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def meters(self) -> Mapping[str, Meter]:
        """Each model's meter by the model's name."""
        return self.models.meters

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings that a user should read before any call is paid for."""
        task = self.bench.task
        return (
            *self.models.cautions(),
            *self.survey.warnings(),
            *warnings_of(task, self.samples()),
        )

    async def play(
        self,
        questions: AsyncIterator[tuple[T, list[RolloutRow]]],
        add: Callable[[T, list[RolloutRow]], None],
        *,
        command: Sequence[str] = (),
        watch: Watch | None = None,
    ) -> tuple[dict[str, JSON], dict[str, JSON]]:
        """Hand each question's results to `add`; return the completed record and its invocation."""
        if watch:
            for warning in self.warnings:
                watch.warn(warning)
            watch.start(self.bench.task.name, self.survey.questions, self.meters)
        pool = PoolDigest()
        with rare_garbage_collection():
            async for results, rollouts in questions:
                add(results, rollouts)
                pool.add(rollouts)
                if watch:
                    watch.advance()
        started, clock = self.started
        seconds = time.perf_counter() - clock
        entry = invocation(command, self.meters, started=started, seconds=seconds)
        record = add_findings(
            self.record,
            self.bench.census,
            survey=self.survey,
            pool=pool,
            warnings=self.warnings,
            cautions=self.models.cautions(),
            files=self.files,
        )
        return record, entry

    def call(self, question: Question) -> Call:
        """Return the call whose draws are the question's rollouts."""
        policy = self.bench.roles.policy
        sampling = policy.sampling.over(policy.model.backend.sampling)
        return Call.generated(
            policy.model.backend.identity, question.messages, sampling, self.label
        )

    def check_orders(self) -> None:
        """Raise UsageError if an open batch will fill some of the pool's slots."""
        if not (ordered := on_order(self.cache)):
            return
        slots = range(self.bench.settings.pool)
        keys = {self.call(sample.question).key for sample in self.samples()}
        if tags := [
            ordered[place] for key in keys for slot in slots if (place := (key, slot)) in ordered
        ]:
            raise UsageError(
                f"{len(tags)} rollouts of this run are in an open batch: `cat-bench batch collect` "
                f"stores its results, `cat-bench batch cancel {tags[0]}` cancels it"
            )


@asynccontextmanager
async def open_run(
    config: RunConfig,
    *,
    gate: Gate | None = None,
    planning: bool = False,
    ordering: bool = False,
    environment: Environment | None = None,
) -> AsyncIterator[Opened]:
    """Open what a run needs.

    `planning` makes no call: placeholders replace missing results. Raises UsageError for an invalid
    value and, unless `planning`, `ordering` or offline, for an open batch with some rollouts.
    """
    started = datetime.now(UTC), time.perf_counter()
    gate, environment = gate or Gate(), environment or Environment()
    async with AsyncExitStack() as held:
        cache = await held.enter_async_context(Cache(environment.cache))
        fetch = environment.fetches or not config.offline
        with note_loaded() as files:
            task = catalog.task(config.task, data=config.data, cache=cache, fetch=fetch)
            task = apply_profile(task, config)
            check_permission(task, planning=planning)
            samples = partial(_choose, task, config)
            survey = Survey.of(samples(), task.scorer)
            labelled = survey.questions > survey.unlabelled
            check_labels(task, config.methods, labelled=labelled)
            methods = _methods(config, task)
        check_questions(survey.questions, task, config.shard)
        judged = labelled and _is_judged(config, task)
        models = OpenModels(config, cache, environment=environment, gate=gate, planning=planning)
        held.push_async_callback(models.close)
        roles = models.roles(task)
        settings = plan_settings(config, roles)
        check_budgets(methods, settings)
        if imported := roles.policy.model.imported:
            task = replace(task, exchangeable=imported.exchangeable)
            if config.task != f"pool:{imported.name}":  # its questions are the pool's own
                check_pool(cache, imported.name, samples())
        task = replace(task, caveats=(*task.caveats, *(f"{w}." for w in survey.warnings())))
        named, judge = config.named, roles.judge if judged else None
        asks = judge and describe_judging(judge, task.prompts, task.scorer, fetch=fetch)
        record = plan_record(
            named, survey, task=task, roles=roles, methods=methods, settings=settings, asks=asks
        )
        executor = held.enter_context(open_executor(None if planning else config.parallel))
        grader = Grader(
            task.scorer,
            cache,
            asks=[asks, config.label] if asks else None,
            remembers=not planning,
            recalls=not (judged and environment.served),
            executor=executor,
        )
        census = Census(unavailable=find_unavailable(methods, task, roles))
        window = max(WINDOW, PER_PROCESS * executor.size) if executor else WINDOW
        bench = Bench(task, methods, roles, grader, settings, window, census=census)
        ready = Opened(bench, survey, record, models, samples, cache, started, config.label, files)
        if not (planning or ordering or config.offline):
            ready.check_orders()
        yield ready


async def run(
    config: RunConfig,
    *,
    command: Sequence[str] = (),
    watch: Watch | None = None,
    gate: Gate | None = None,
    environment: Environment | None = None,
) -> Outcome:
    """Run one task as configured and write its folder; a closed `gate` ends it early and cleanly.

    Raises UsageError before anything is paid for.
    """
    async with open_run(config, gate=gate, environment=environment) as ready:
        bench = ready.bench
        folder = config.out or folder_of(bench.task, config, ready.record)
        if bench.task.private:
            await mark_private(ready.cache, ready.record["models"].values(), task=config.task)
        with RunWriter(folder) as writer:
            rows = bench.run(writer.note_questions(ready.samples()))
            record, entry = await ready.play(rows, writer.add, command=command, watch=watch)
            writer.finish(record, entry)
    return Outcome(folder, bench.census, ready.meters, entry["seconds"], len(ready.cache.damaged))


def _choose(task: Task, config: RunConfig) -> Iterator[Sample]:
    return islice(islice(task.samples(), config.limit), config.stride[0], None, config.stride[1])


def _methods(config: RunConfig, task: Task) -> list[Method]:
    specs = [spec for spec in config.methods or task.methods if spec not in FRAMES]
    if not specs:
        raise UsageError(f"no method is left to run on task {task.name!r}: name one by --method")
    methods = [catalog.method(spec) for spec in dict.fromkeys(specs)]
    names = Counter([*FRAMES, *(method.name for method in methods)])
    for method in methods:
        if names[method.name] > 1:
            raise UsageError(f"two methods are called {method.name!r}: rename the file of one")
    return methods


def _is_judged(config: RunConfig, task: Task) -> bool:
    """Return whether a judge scores the task; raise UsageError if no judge is named for it."""
    judged = "judge" in traits(ScorerTraits, task.scorer).needs
    if judged and config.judge is None:
        raise UsageError(
            f"task {task.name!r} is scored by a judge, and no judge is named: give --judge MODEL "
            "(the policy judges itself only if it is named)"
        )
    return judged
