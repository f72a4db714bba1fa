"""A scorer that works in other processes, word for word as it would here.

Each of those processes keeps a grading worker of its own, and so the hard end of every expression
that overruns. Its version names the libraries that decide; where they differ, nothing is believed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeAlias, cast, runtime_checkable

from cat_bench.errors import CatBenchError
from cat_bench.parallel import Executor
from cat_bench.types import JSON, AnswerScorer, Context, Sample, Score


@runtime_checkable
class Portable(AnswerScorer, Protocol):
    """An answer scorer that asks no model and can be pickled: it may work anywhere."""

    def apart(self) -> Self:
        """The scorer as one of many processes has it: it takes no more than one core."""
        ...


@dataclass(frozen=True, slots=True)
class _Work:
    """Texts to score against a sample, or, without one, answers to partition."""

    scorer: Portable
    texts: Sequence[str]
    sample: Sample | None = None


@dataclass(frozen=True, slots=True)
class _Broken:
    """Why there is no result; `ours`: because of a CatBenchError."""

    message: str
    ours: bool


_Outcome: TypeAlias = tuple[str, JSON | _Broken]


class Elsewhere:
    """`scorer`, its work done in other processes by an executor."""

    def __init__(self, scorer: Portable, executor: Executor) -> None:
        self._scorer = scorer.apart()
        self._executor = executor

    @property
    def version(self) -> str:
        """The scorer's own."""
        return self._scorer.version

    def answer(self, text: str) -> str | None:
        """The final answer that is read from a text, here and now."""
        return self._scorer.answer(text)

    async def score(self, sample: Sample, texts: Sequence[str], ctx: Context) -> Sequence[Score]:
        """One score per text, in order."""
        found: Sequence[Score] = await self._done(_Work(self._scorer, tuple(texts), sample))
        return found

    async def clusters(self, answers: Sequence[str | None]) -> list[int | None]:
        """A partition by equivalence; None stays None."""
        given = [answer for answer in answers if answer is not None]
        labels = iter(await self._done(_Work(self._scorer, tuple(given))))
        return [None if answer is None else next(labels) for answer in answers]

    async def _done(self, work: _Work) -> JSON:
        version, outcome = await self._executor.ask(graded, work)
        if version != self.version:
            raise CatBenchError(
                f"a process of {self._executor.name} grades with {version}, this one with "
                f"{self.version}: install the same versions on both sides."
            )
        if isinstance(outcome, _Broken):
            raise (CatBenchError if outcome.ours else RuntimeError)(outcome.message)
        return outcome


def graded(batch: Sequence[_Work]) -> list[_Outcome]:
    """In the other process: what becomes of each."""
    return asyncio.run(_all(batch))


async def _all(batch: Sequence[_Work]) -> list[_Outcome]:
    return await asyncio.gather(*map(_one, batch))


async def _one(work: _Work) -> _Outcome:
    scorer = work.scorer
    try:
        if work.sample is None:
            return scorer.version, await scorer.clusters(work.texts)
        nobody = cast(Context, None)  # what is portable asks nobody
        return scorer.version, await scorer.score(work.sample, work.texts, nobody)
    except CatBenchError as error:
        return scorer.version, _Broken(str(error), ours=True)
    except Exception as error:  # noqa: BLE001 - a scorer's bug is these texts' reason
        return scorer.version, _Broken(f"{type(error).__name__}: {error}", ours=False)
