"""Read from the cache exactly what a run sent to its models, and what they replied.

A run's folder holds scores, not calls. The run is replayed from the cache, one question at a time:
its methods ask for the same calls, and each row keeps its own. No model is called. If the cache
lacks a call, nothing is known of what was sent.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from cat_bench.cache import Cache
from cat_bench.cache.rows import read_documents, results_at
from cat_bench.errors import CatBenchError, NotAvailable
from cat_bench.evaluation.method_rows import Evaluation, RowKey
from cat_bench.loading import catalog
from cat_bench.loading.trust import load_only
from cat_bench.models.costs import Charge
from cat_bench.models.lending import Roles
from cat_bench.runs.again import NAMED, StandIns, configuration, list_methods
from cat_bench.runs.open_models import Environment
from cat_bench.runs.opening import Opened, open_run
from cat_bench.types.calls import JSON, Message, Result
from cat_bench.types.records import Pool, Question, Sample
from cat_bench.types.traits import ScorerTraits, traits

BUILT_IN = ("majority",)
"""The method that is replayed if none is asked for, because a run needs one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What was sent to a model: messages with their roles, and the sampling parameters.

    `kind` is the call's kind (see `cat_bench.cache.call.Kind`), `text` the text that was scored,
    embedded or rewarded, and `model` the run's name for the model.
    """

    role: str
    model: str | None
    kind: str = "generate"
    messages: Sequence[Message] = ()
    sampling: Mapping[str, JSON] = field(default_factory=dict)
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """One draw of a call: what was sent, the draw's slot, and the result if the cache has it.

    If the cache lacks the call, `sent` has its role and model only.
    """

    sent: Sent
    slot: int
    result: Result | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanges:
    """One question's pool, and the calls of a run about it.

    `rollouts` is the request for every rollout; None for an imported pool, whose prompts are
    unknown. `methods` has the calls of each row, `verdicts` the judge's calls about each text.
    """

    pool: Pool
    rollouts: Sent | None = None
    methods: Mapping[RowKey, Sequence[Exchange]] = field(default_factory=dict)
    verdicts: Mapping[str, Sequence[Exchange]] = field(default_factory=dict)


async def read_exchanges(
    record: Mapping[str, JSON],
    *,
    methods: Collection[str] | None = None,
    cache: str | Path | None = None,
    data: Path | None = None,
    only: str | None = None,
) -> AsyncGenerator[Exchanges, None]:
    """Yield the questions of a run in its order, or only one of them.

    `methods` adds the calls of these methods and of the judge; a method that cannot be loaded here
    has none. `data` is the run's data file, if it is not the task's. Raises UsageError or DataError
    if the task or its data are not here.
    """
    stands = StandIns(record).backend
    environment = Environment(cache=cache, backend=stands, served=_ignore, fetches=True)
    config = configuration(record, data=data)
    async with AsyncExitStack() as stack:
        with load_only(record.get("files", {})):
            specs = [spec for name, spec in list_methods(record).items() if name in (methods or ())]
            chosen = tuple(filter(_loads, specs))
            config = config.model_copy(update={"methods": chosen or BUILT_IN})
            ready = await stack.enter_async_context(open_run(config, environment=environment))
        for sample in ready.samples():
            if only in (None, sample.question.id):
                if methods is None:
                    yield await _pool(ready, sample.question, record)
                else:
                    yield await _replay(ready, sample, record, calls=bool(chosen))


def _ignore(key: str, slots: Collection[int]) -> None:
    """Do nothing; with any such listener, a grader asks its judge again."""


def _loads(spec: str) -> bool:
    try:
        catalog.method(spec)
    except CatBenchError:
        return False
    return True


async def _pool(ready: Opened, question: Question, record: Mapping[str, JSON]) -> Exchanges:
    """Return the question's pool without other calls."""
    policy, size = ready.bench.roles.policy, ready.bench.settings.pool
    pool = await policy.model.rollouts(question, size, policy.sampling)
    return Exchanges(pool=pool, rollouts=_first(question, ready.bench.roles, record))


async def _replay(
    ready: Opened, sample: Sample, record: Mapping[str, JSON], *, calls: bool
) -> Exchanges:
    """Return the question's pool with the calls about it."""
    bench = ready.bench
    judged = "judge" in traits(ScorerTraits, bench.task.scorer).needs
    if not (calls or judged):
        return await _pool(ready, sample.question, record)
    evaluation = replace(await bench.evaluation(sample), bills={})
    written: list[str] = []
    for method in bench.methods if calls else ():
        if method.name not in bench.census.unavailable:
            try:
                rows = await evaluation.rows(method)
            except NotAvailable:
                continue
            written += [row.text for row in rows if row.text is not None]
    bills: dict[RowKey | str, Sequence[Charge]] = dict((evaluation.bills or {}).items())
    for text in (*(r.text for r in evaluation.rollouts), *written) if judged else ():
        bills[text] = await _verdicts(evaluation, text)
    exchanges = _read(ready.cache, bills, record)
    return Exchanges(
        pool=evaluation.graded.pool,
        rollouts=_first(sample.question, bench.roles, record),
        methods={key: calls for key, calls in exchanges.items() if isinstance(key, tuple)},
        verdicts={key: calls for key, calls in exchanges.items() if isinstance(key, str)},
    )


def _first(question: Question, roles: Roles, record: Mapping[str, JSON]) -> Sent | None:
    """Return the request for every rollout, or None if it is unknown."""
    policy = roles.policy
    if policy.model.imported is not None:
        return None
    sampling = policy.sampling.over(policy.model.backend.sampling).given()
    name = record["config"]["model"]
    return Sent(role="policy", model=name, messages=question.messages, sampling=sampling)


async def _verdicts(evaluation: Evaluation, text: str) -> Sequence[Charge]:
    """Return the bill of grading one text."""
    ctx = replace(evaluation.context(), bill=[])
    await evaluation.grader.scores(evaluation.sample, [text], ctx)
    return ctx.bill


def _read(
    cache: Cache, bills: Mapping[RowKey | str, Sequence[Charge]], record: Mapping[str, JSON]
) -> dict[RowKey | str, list[Exchange]]:
    """Return the calls on these bills."""
    places = {charge.place for bill in bills.values() for charge in bill if charge.place}
    with cache.begin_reading() as connection:
        documents = read_documents(connection, sorted({key for key, _ in places}))
        results = results_at(connection, sorted(places))
    return {
        name: [
            Exchange(_sent(charge.role, documents.get(key), record), slot, results.get((key, slot)))
            for charge in bill
            if charge.place
            for key, slot in [charge.place]
        ]
        for name, bill in bills.items()
        if bill
    }


def _sent(role: str, document: JSON, record: Mapping[str, JSON]) -> Sent:
    model = record["config"].get(NAMED.get(role, role))
    fields = document or {}
    return Sent(
        role=role,
        model=model,
        kind=fields.get("kind", "generate"),
        messages=fields.get("messages", ()),
        sampling=fields.get("sampling", {}),
        text=fields.get("text"),
    )
