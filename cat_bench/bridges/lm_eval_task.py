"""Any generate-until task of lm-eval as a task of this package: `lm-eval:gsm8k`.

lm-eval provides the documents, prompts, few-shot examples, filter and metric; this package samples
and aggregates. A filter reads the answer from a text, and equal strings are the same answer.
Filters that need several responses cannot be used.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from math import isfinite, nan
from pathlib import Path
from typing import Any, ClassVar

from cat_bench.errors import ConfigError, UnknownName, UsageError, one_line
from cat_bench.loading.closing import LIKE_THE_DRAFTS, form_of
from cat_bench.loading.trust import admit, folder_digest
from cat_bench.system.extras import install_command
from cat_bench.types.calls import JSON, Message, Sampling
from cat_bench.types.plugins import Context
from cat_bench.types.records import Question, Sample, Score

INVALID = "[invalid]"
"""The result of an lm-eval filter that reads no answer."""
_FILTERS_OF_SEVERAL = frozenset({"TakeKFilter", "MajorityVoteFilter"})
"""Filters over several responses."""


@dataclass(frozen=True)
class LmEvalTask:
    """The task that lm-eval calls `name`.

    With `include_path`, tasks are searched in this folder of YAMLs only. The defaults of `filter`
    and `metric` are the task's first ones; that of `fewshot` is the task's number of examples. The
    policy takes the task's stop sequences and token limit, but not its temperature.

    Raises UsageError if lm-eval is not installed, UnknownName, and ConfigError for a task that
    generates no text, or whose data cannot be fetched or opened.
    """

    name: str
    include_path: str | None = None
    filter: str | None = None
    metric: str | None = None
    fewshot: int | None = None
    methods: ClassVar[tuple[str, ...]] = ("single", "majority", "cat")

    @property
    def version(self) -> str:
        """The task's own version and lm-eval's."""
        return f"{self._task.VERSION} (lm-eval {version('lm-eval')})"

    @property
    def summary(self) -> str:
        """lm-eval's name, the dataset, and the number of solved examples in a prompt."""
        config = self._task.config
        data = " ".join(str(part) for part in (config.dataset_path, config.dataset_name) if part)
        return f"{self.name} of lm-eval, on {data}, with {self._shots} solved examples"

    @property
    def scorer(self) -> LmEvalScorer:
        """The task's filter and metric."""
        pipeline = self._response_filter
        version = f"{self.name} {self.version} filter {pipeline.name}"
        if self.include_path is not None:
            version += f" of {folder_digest(Path(self.include_path))}"
        return LmEvalScorer(self._task, pipeline, self._metric, version)

    @property
    def sampling(self) -> dict[str, Sampling]:
        """The stop sequences and the token limit of a reply."""
        kwargs = self._task.config.generation_kwargs or {}
        until = kwargs.get("until") or []
        stop = (until,) if isinstance(until, str) else tuple(until)
        limit = kwargs.get("max_gen_toks")
        return {"policy": Sampling(stop=stop or None, max_tokens=limit)}

    def samples(self) -> Iterator[Sample]:
        """Yield a sample per document of the test split; without one, of the validation split."""
        for number, doc in enumerate(self._task.eval_docs):
            text = self._task.fewshot_context(doc, self._shots)
            message: Message = {"role": "user", "content": text}
            document = json.loads(json.dumps(doc, default=str))
            question = Question(f"{self.name}-{number}", (message,), self._task.doc_to_text(doc))
            yield Sample(question, document)

    @property
    def _shots(self) -> int:
        """The number of solved examples in a prompt."""
        shots = self._task.config.num_fewshot if self.fewshot is None else self.fewshot
        return int(shots or 0)

    @cached_property
    def _task(self) -> Any:
        try:
            from lm_eval.tasks import TaskManager
        except ImportError as error:
            raise UsageError(f"lm-eval is not installed: {install_command('lm-eval')}") from error
        if has_folder := self.include_path is not None:
            folder = Path(str(self.include_path))
            admit(folder, folder_digest(folder))
        manager = TaskManager(include_path=self.include_path, include_defaults=not has_folder)
        if self.name not in manager.all_subtasks:
            raise UnknownName("lm-eval task", self.name, manager.all_subtasks)
        try:
            task = manager.load([self.name])["tasks"][self.name]
        except OSError as error:  # the Hub's client: no network, no such dataset
            problem = (
                f"its data are not here and cannot be fetched ({one_line(error)}): run it once "
                "where there is a network, or copy HF_HOME from there"
            )
            raise ConfigError(f"lm-eval:{self.name}", "", problem) from error
        except (ImportError, ValueError, RuntimeError) as error:  # a package, a loading script
            problem = f"lm-eval cannot open it ({one_line(error)})"
            raise ConfigError(f"lm-eval:{self.name}", "", problem) from error
        if task.OUTPUT_TYPE != "generate_until":
            raise ConfigError(
                f"lm-eval:{self.name}",
                "",
                f"has the output type {task.OUTPUT_TYPE}: name a task that generates text",
            )
        return task

    @property
    def _response_filter(self) -> Any:
        """The filter that reads one response."""
        pipelines = self._task._filters  # noqa: SLF001 - lm-eval gives them in no other way
        single = {
            pipeline.name: pipeline
            for pipeline in pipelines
            if not _FILTERS_OF_SEVERAL
            & {getattr(part, "func", part).__name__ for part in pipeline.filters}
        }
        if not single:
            problem = "each of its filters reads several responses: name a task that scores one"
            raise ConfigError(f"lm-eval:{self.name}", "filter", problem)
        if self.filter is not None and self.filter not in single:
            raise UnknownName(f"filter of lm-eval:{self.name}", self.filter, single)
        return single[self.filter] if self.filter else next(iter(single.values()))

    @property
    def _metric(self) -> str:
        metrics = [str(name) for name in self._task.aggregation()]
        if self.metric is not None and self.metric not in metrics:
            raise UnknownName(f"metric of lm-eval:{self.name}", self.metric, metrics)
        return self.metric or metrics[0]


@dataclass(frozen=True)
class LmEvalScorer:
    """Applies a task's metric to the output of one of its filters."""

    task: Any = field(compare=False)
    filter: Any = field(compare=False)
    metric: str
    version: str

    @property
    def closing(self) -> str:
        """How a response must end: as the filter's first pattern reads it, or like the drafts."""
        for part in self.filter.filters:
            pattern = getattr(part() if callable(part) else part, "regex_pattern", None)
            if pattern is not None:
                return form_of(pattern)
        return LIKE_THE_DRAFTS

    @property
    def graded(self) -> bool:
        """Whether the metric has values between right and wrong."""
        return self.metric not in {"exact_match", "acc"}

    def answer(self, text: str) -> str | None:
        """Return the answer that the filter reads from a text, or None if it reads none."""
        answer = str(self._read({}, text)).strip()
        return answer if answer and answer != INVALID else None

    async def clusters(self, answers: Sequence[str | None]) -> list[int | None]:
        """Number the answers so that equal strings have the same number."""
        distinct = sorted({answer for answer in answers if answer})
        return [distinct.index(answer) if answer else None for answer in answers]

    async def score(self, sample: Sample, texts: Sequence[str], ctx: Context) -> list[Score]:
        """Return the metric of each text; a text is unscored if its metric is not a number."""
        return [self._score(sample.target, text) for text in texts]

    def _score(self, doc: Mapping[str, JSON], text: str) -> Score:
        value = self.task.process_results(doc, [self._read(doc, text)])[self.metric]
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = nan
        if isfinite(number):
            return Score(number)
        return Score(None, f"lm-eval's {self.metric} is not a number for one text")

    def _read(self, doc: Mapping[str, JSON], text: str) -> JSON:
        from lm_eval.api.instance import Instance

        instance = Instance("generate_until", dict(doc), ("", {}), 0)
        instance.resps = [text]
        self.filter.apply([instance])
        return instance.filtered_resps[self.filter.name]
