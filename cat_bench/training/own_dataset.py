"""Reward groups of a dataset that is not a task: its rows are questions as they come.

A question is identified by its messages. The user names the scorer that compares answers, the
anchor and the judge; the models have no default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from cat_bench.cache import Cache
from cat_bench.errors import UsageError
from cat_bench.evaluation.grader import Grader
from cat_bench.evaluation.questions import Bench
from cat_bench.evaluation.settings import Settings
from cat_bench.loading.catalog import Task
from cat_bench.loading.closing import describe_closing
from cat_bench.loading.data import digest
from cat_bench.loading.prompts import Prompts
from cat_bench.loading.registry import build
from cat_bench.loading.task_file import conversation, target_check
from cat_bench.loading.validation import split_inline
from cat_bench.models.backends.opening import open_backend
from cat_bench.models.backends.recorded import Recorded
from cat_bench.models.throttling import Gate
from cat_bench.runs.availability import explain_missing
from cat_bench.runs.config import RunConfig
from cat_bench.runs.open_models import Environment, OpenModels
from cat_bench.training.rewarder import Rewarder, Session
from cat_bench.types.calls import JSON, Message, RoleName
from cat_bench.types.records import Question, Sample

TRAINED = "the model in training"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnDataset:
    """What the columns of a dataset mean, and which models reward its completions.

    `scorer` says what an answer is, such as `text_equal` or `number{absolute=0.01}`; `answer` is
    the column of targets, which only the log and the reward `gold` read. `anchor`, `judge`,
    `base_url`, `concurrency` and `sampling` are as in a run.
    """

    scorer: str = "math_equal"
    answer: str | None = None
    anchor: str | None = None
    judge: str | None = None
    base_url: str | None = None
    concurrency: int = 256
    sampling: Mapping[RoleName, Mapping[str, JSON]] = field(default_factory=dict)


class OwnRewarder(Rewarder):
    """The reward `spec` on the rows of an `OwnDataset`."""

    def __init__(self, spec: str, dataset: OwnDataset) -> None:
        config = RunConfig(
            task="own dataset",
            model=TRAINED,
            anchor=dataset.anchor,
            judge=dataset.judge,
            base_url=dataset.base_url,
            concurrency=dataset.concurrency,
            sampling={role: dict(values) for role, values in dataset.sampling.items()},
        )
        super().__init__(spec, config)
        name, given = split_inline(dataset.scorer, source="scorer")
        self._scorer = build("scorer", name, given, source="scorer")
        self.answer = dataset.answer
        if self.supervised and dataset.answer is None:
            raise UsageError(f"{spec} reads the targets: name their column, OwnDataset(answer=...)")
        if self.reads_tokens:
            raise UsageError(f"{spec} reads entropies of the policy: write scrl{{entropy=false}}")
        if "others" in self.needs:
            raise UsageError(f"{spec} reads other questions: choose another reward for a dataset")

    def note(self, messages: Sequence[Message], target: JSON) -> str:
        """Remember a row and return its question's id; raises TargetError."""
        name = digest(list(messages))
        if name not in self._samples:
            asked = tuple(messages)
            text = asked[-1]["content"] if len(asked) == 1 else conversation(asked)
            question = Question(name, asked, text)
            target_check(self._scorer)(question, target, "the dataset")
            self._samples[name] = Sample(question, target)
        return name

    async def _open(self) -> Session:
        task = Task(
            name=self._config.task,
            version="1",
            summary="rows of a dataset",
            scorer=self._scorer,
            samples=lambda: iter(()),
            prompts=Prompts(closing=describe_closing(self._scorer)),
        )
        cache = await self._stack.enter_async_context(Cache())
        trained = Recorded({"model": TRAINED})
        named = partial(open_backend, base_url=self._config.base_url)
        environment = Environment(
            backend=lambda spec, store: trained if spec == TRAINED else named(spec, store)
        )
        models = OpenModels(
            self._config, cache, environment=environment, gate=Gate(), planning=False
        )
        self._stack.push_async_callback(models.close)
        roles = models.roles(task)
        roles = replace(
            roles,
            anchor=roles.anchor if self._config.anchor else None,
            judge=roles.judge if self._config.judge else None,
        )
        if reason := explain_missing(self.needs, task, roles):
            raise UsageError(f"the reward cannot work here: {reason}")
        grader = Grader(self._scorer, cache)
        bench = Bench(task, [], roles, grader, Settings(budgets=(), pool=0))
        return Session(bench, models.meters)
