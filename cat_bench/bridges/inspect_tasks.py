"""This package's tasks and methods inside Inspect: `inspect eval cat_bench/aggregate -T task=...`.

Inspect's reducers see scores but no texts, so a method is a solver here: it draws n rollouts from
Inspect's model. The cache keeps them under the model's name, arguments and generation parameters,
so that all methods read the same rollouts. The evaluated model is also the anchor and the judge
unless `--model-role` names others. Inspect imports this module by its entry point.
"""

from __future__ import annotations

from collections.abc import Iterator

from inspect_ai import Task as InspectTask
from inspect_ai import task as inspect_task
from inspect_ai.dataset import MemoryDataset
from inspect_ai.dataset import Sample as InspectSample
from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    ModelOutput,
    get_model,
)
from inspect_ai.model import (
    Model as InspectModel,
)
from inspect_ai.model._generate_config import active_generate_config
from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
from inspect_ai.solver import Generate, Solver, TaskState, solver

from cat_bench.cache import Cache
from cat_bench.errors import ModelError, NotAvailable, UsageError
from cat_bench.evaluation.grader import Grader
from cat_bench.evaluation.questions import Bench
from cat_bench.evaluation.rows import ScoreRow
from cat_bench.evaluation.settings import Settings
from cat_bench.loading import catalog
from cat_bench.loading.catalog import Method, Task
from cat_bench.models.backends.inspect import Inspect, identify
from cat_bench.models.cached import Model
from cat_bench.models.lending import Role, Roles
from cat_bench.runs.availability import explain_missing
from cat_bench.runs.budgets import check_budgets
from cat_bench.runs.checks import check_permission
from cat_bench.scorers.rubric import describe_judging
from cat_bench.types.calls import JSON, Message, RoleName, Sampling
from cat_bench.types.records import Sample
from cat_bench.types.traits import ScorerTraits, is_labelled, traits

METADATA_FIELD = "cat_bench"
"""The metadata field of a sample's state that holds its method's result."""
TRANSPORT = frozenset(
    {"max_retries", "timeout", "attempt_timeout", "stream_idle_timeout", "max_connections"}
    | {"adaptive_connections", "cache", "cache_prompt", "batch"}
)
"""Generation parameters that do not change a reply, only the way to request it."""
_KINDS = {"system": ChatMessageSystem, "user": ChatMessageUser, "assistant": ChatMessageAssistant}


@inspect_task
def aggregate(task: str = "tally", method: str = "majority", n: int = 8) -> InspectTask:
    """Answer each question of a task by a method that reads n rollouts."""
    found = catalog.task(task)
    check_permission(found, planning=False)
    _plan(catalog.method(method), n)
    samples = list(found.samples())
    if bare := sum(not is_labelled(each.target, found.scorer) for each in samples):
        raise UsageError(
            f"{bare:,} of {len(samples):,} questions of task {task!r} are unlabelled, and Inspect "
            "would leave them out of its mean: `cat-bench run` works without labels"
        )
    dataset = MemoryDataset([_translate(each) for each in samples], name=task)
    return InspectTask(dataset=dataset, solver=aggregated(task, method, n), scorer=expected())


@solver
def aggregated(task: str, method: str, n: int) -> Solver:
    """Draw n rollouts of the model and combine them by the method."""
    loaded, chosen = catalog.task(task), catalog.method(method)
    samples = {sample.question.id: sample for sample in loaded.samples()}

    async def solve(state: TaskState, generate: Generate) -> TaskState:  # noqa: ARG001 - Inspect's shape
        sample = samples[str(state.sample_id)]
        async with Cache() as cache:
            roles = _roles(loaded, cache)
            row, text = await _answer(loaded, chosen, n, sample, roles=roles, cache=cache)
        state.output = ModelOutput.from_content(roles.policy.model.name, text)
        state.messages.append(state.output.message)
        state.metadata[METADATA_FIELD] = {"score": row.score, "n": row.n, "reason": row.failed}
        return state

    return solve


@scorer(metrics=[mean(), stderr()])
def expected() -> Scorer:
    """Score a method by the task's scorer: the expectation over the method's picks."""

    async def score(state: TaskState, target: Target) -> Score:  # noqa: ARG001 - Inspect's shape
        answered = state.metadata[METADATA_FIELD]
        value = float("nan") if answered["score"] is None else answered["score"]
        return Score(value=value, answer=state.output.completion, explanation=answered["reason"])

    return score


class Active(Inspect):
    """The model that Inspect evaluates; Inspect opened it, and closes it."""

    def __init__(self, model: InspectModel) -> None:
        import inspect_ai.model

        self._inspect = inspect_ai.model
        self._model = model
        given = model.config
        if model is get_model():  # `eval(..., temperature=0)` changes the evaluated model only
            given = given.merge(active_generate_config())
        config = given.model_dump(exclude_none=True, exclude=set(TRANSPORT), mode="json")
        self._identity = identify(str(model), model.model_args)
        if config:
            self._identity["config"] = config
        self._choices = 1
        self._refused = {"logprobs"}

    async def close(self) -> None:
        """Do nothing: Inspect closes the model."""


def _plan(method: Method, n: int) -> Settings:
    """Return the sizes of a run of one method with at most n rollouts.

    Raises UsageError if n is too small.
    """
    if n < 1:
        raise UsageError(f"n = {n} does not fit: a method reads at least one rollout")
    check_budgets([method], Settings(budgets=(n,), pool=n))
    largest = max(1, *method.budgets) if method.budgets else n
    return Settings(budgets=(n,), pool=largest, draws=1)


def _roles(task: Task, cache: Cache) -> Roles:
    """Return Inspect's model of each role; the evaluated model plays the roles that none has."""

    def role(name: RoleName, model: InspectModel) -> Role:
        opened = Model(str(model), Active(model), cache=cache)
        return Role(opened, task.sampling.get(name, Sampling()))

    return Roles(
        role("policy", get_model()),
        role("anchor", get_model(role="anchor")),
        role("judge", get_model(role="judge")),
    )


async def _answer(
    task: Task, method: Method, n: int, sample: Sample, *, roles: Roles, cache: Cache
) -> tuple[ScoreRow, str]:
    """Return the method's row at its largest n, and the text of its answer or likeliest pick."""
    judge = roles.judge if "judge" in traits(ScorerTraits, task.scorer).needs else None
    asks = [describe_judging(judge, task.prompts, task.scorer), None] if judge else None
    if reason := explain_missing(method.needs, task, roles):
        raise NotAvailable(f"{method.name}: {reason}")
    grader, settings = Grader(task.scorer, cache, asks=asks), _plan(method, n)
    bench = Bench(task, [method], roles, grader, settings)
    [(rows, rollouts)] = [result async for result in bench.run([sample])]
    if method.name in bench.census.unavailable:
        raise NotAvailable(f"{method.name}: {bench.census.unavailable[method.name]}")
    own = [row for row in rows if row.method == method.name]
    row = max(own, key=lambda row: row.n, default=None)
    if row is None or row.n < max(method.budgets or (n,)):
        failed = next(
            (rollout.failed for rollout in rollouts if rollout.failed), "no reason is known"
        )
        raise ModelError(
            f"{settings.pool} rollouts of {sample.question.id} could not be sampled: {failed}"
        )
    if row.text is not None:
        return row, row.text
    policy = roles.policy
    pool = await policy.model.rollouts(sample.question, settings.pool, policy.sampling)
    likeliest = max(zip(row.weights, row.picks, strict=True), default=(0.0, -1))[1]
    return row, next((r.text for r in pool.rollouts if r.slot == likeliest), "")


def _translate(sample: Sample) -> InspectSample:
    question = sample.question
    gold = sample.target if isinstance(sample.target, str) else ""
    messages = list(_messages(question.messages))
    return InspectSample(id=question.id, input=messages, target=gold, metadata=_meta(question.meta))


def _messages(messages: tuple[Message, ...]) -> Iterator[ChatMessage]:
    for message in messages:
        yield _KINDS[message["role"]](content=message["content"])


def _meta(meta: JSON) -> dict[str, JSON]:
    return {str(name): value for name, value in dict(meta).items()}
