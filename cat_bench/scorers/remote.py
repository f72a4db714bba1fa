"""A scorer that works in other processes, with the same results as in this one.

Each process keeps its own grading worker, which is killed when an expression takes too long. The
scorer's version names the libraries that decide verdicts; another version is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeAlias, cast, runtime_checkable

from cat_bench.errors import PLUGIN_BUGS, CatBenchError
from cat_bench.system.parallel import Executor
from cat_bench.types.calls import JSON
from cat_bench.types.plugins import AnswerScorer, Context
from cat_bench.types.records import Sample, Score


@runtime_checkable
class Portable(AnswerScorer, Protocol):
    """An answer scorer that calls no model and can be pickled, so that any process can run it."""

    def for_worker(self) -> Self:
        """Return the same scorer for one of many processes: it uses at most one core."""
        ...


@dataclass(frozen=True, slots=True)
class _Work:
    """Texts to score against a sample, or, without one, answers to partition."""

    scorer: Portable
    texts: Sequence[str]
    sample: Sample | None = None


@dataclass(frozen=True, slots=True)
class _Broken:
    """The reason for a missing result; `ours` is True for a CatBenchError."""

    message: str
    ours: bool


_Outcome: TypeAlias = tuple[str, JSON | _Broken]


class RemoteScorer:
    """`scorer`, run in other processes by `executor`."""

    def __init__(self, scorer: Portable, executor: Executor) -> None:
        self._scorer = scorer.for_worker()
        self._executor = executor

    @property
    def version(self) -> str:
        """The version of the wrapped scorer."""
        return self._scorer.version

    def answer(self, text: str) -> str | None:
        """Return the final answer of a text, read in this process."""
        return self._scorer.answer(text)

    async def score(self, sample: Sample, texts: Sequence[str], ctx: Context) -> Sequence[Score]:
        """Return one score per text, in order."""
        scores: Sequence[Score] = await self._done(_Work(self._scorer, tuple(texts), sample))
        return scores

    async def clusters(self, answers: Sequence[str | None]) -> list[Hashable | None]:
        """Return a partition by equivalence; None stays None."""
        present = [answer for answer in answers if answer is not None]
        labels = iter(await self._done(_Work(self._scorer, tuple(present))))
        return [None if answer is None else next(labels) for answer in answers]

    async def _done(self, work: _Work) -> JSON:
        version, outcome = await self._executor.ask(grade_batch, work)
        if version != self.version:
            raise CatBenchError(
                f"a process of {self._executor.name} grades with {version}, this one with "
                f"{self.version}: install the same versions on both sides"
            )
        if isinstance(outcome, _Broken):
            raise (CatBenchError if outcome.ours else RuntimeError)(outcome.message)
        return outcome


def grade_batch(batch: Sequence[_Work]) -> list[_Outcome]:
    """Return the outcome of each item of work; called in the other process."""
    return asyncio.run(_grade_all(batch))


async def _grade_all(batch: Sequence[_Work]) -> list[_Outcome]:
    return await asyncio.gather(*map(_grade_one, batch))


async def _grade_one(work: _Work) -> _Outcome:
    scorer = work.scorer
    try:
        if work.sample is None:
            return scorer.version, await scorer.clusters(work.texts)
        no_context = cast(Context, None)  # a portable scorer calls no model
        return scorer.version, await scorer.score(work.sample, work.texts, no_context)
    except CatBenchError as error:
        return scorer.version, _Broken(str(error), ours=True)
    except PLUGIN_BUGS as error:  # the reason is recorded for these texts
        return scorer.version, _Broken(f"{type(error).__name__}: {error}", ours=False)
