"""The loop over questions: sample the rollouts, run every method, score its estimates.

A question is aggregated as soon as its rollouts are complete. At most `window` questions are worked
on at once; a bounded number more may wait for another process. Rows come out in the order of the
dataset. A failure is a row with the reason, and the loop goes on.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from cat_bench.errors import NotAvailable, is_bug
from cat_bench.evaluation.graded_pool import GradedPool
from cat_bench.evaluation.grader import Grader
from cat_bench.evaluation.method_rows import Evaluation
from cat_bench.evaluation.pool_checks import PoolChecks
from cat_bench.evaluation.rows import RolloutRow, ScoreRow
from cat_bench.evaluation.settings import Settings
from cat_bench.loading.catalog import Method, Task
from cat_bench.models.costs import sum_spent
from cat_bench.models.lending import QuestionContext, Roles
from cat_bench.models.throttling import map_in_order
from cat_bench.signals import numbers_known
from cat_bench.types.calls import JSON
from cat_bench.types.records import Sample
from cat_bench.types.traits import is_labelled

T = TypeVar("T")

UNREADABLE = 0.2
"""If a larger share of a method's texts has no readable answer, its score means little."""
REASONS = 1_000
"""The largest number of distinct reasons that are counted; further ones are not."""


@dataclass(slots=True)
class Census:
    """Counts of what happened in a run; `unavailable` maps each such method to the reason."""

    questions: int = 0
    unlabelled: int = 0
    """Questions without a target."""
    dropped: Counter[int] = field(default_factory=Counter)
    """Questions with too few rollouts, by n."""
    rollouts: Counter[str] = field(default_factory=Counter)
    failed_rows: int = 0
    refused_rows: int = 0
    """Estimates that a refusal prevented."""
    scoring: Counter[str] = field(default_factory=Counter)
    """Calls and tokens that this run spent on grading."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Why rollouts and estimates are missing."""
    bugs: Counter[str] = field(default_factory=Counter)
    """Estimates that are missing because the method crashed, by method."""
    written: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Texts that methods wrote from rollouts with an answer, by method and n."""
    unread: Counter[tuple[str, int]] = field(default_factory=Counter)
    """How many of the `written` texts have no readable answer."""
    unavailable: dict[str, str] = field(default_factory=dict)
    pool_checks: PoolChecks = field(default_factory=PoolChecks)

    @property
    def complete(self) -> bool:
        """Whether nothing is left for a re-run to complete; refusals are final."""
        return not (self.failed_rows or self.rollouts["failed"])

    def unreadable(self) -> list[dict[str, JSON]]:
        """Return method, n, share and number of texts that were written without an answer."""
        return [
            {"method": method, "n": n, "share": count / self.written[method, n]}
            | {"written": self.written[method, n]}
            for (method, n), count in sorted(self.unread.items())
            if count
        ]


@dataclass(frozen=True, slots=True)
class Bench:
    """One task, its methods and the models that play its roles; `window` is in questions."""

    task: Task
    methods: Sequence[Method]
    roles: Roles
    grader: Grader
    settings: Settings
    window: int = 64
    census: Census = field(default_factory=Census)

    def run(
        self, samples: Iterable[Sample]
    ) -> AsyncIterator[tuple[list[ScoreRow], list[RolloutRow]]]:
        """Yield each question's rows, in the order of `samples`."""
        return self.map(self._run_question, samples)

    def map(
        self, work: Callable[[Sample], Coroutine[Any, Any, T]], samples: Iterable[Sample]
    ) -> AsyncIterator[T]:
        """Yield the result of `work` on each sample, in order; `window` are open at once."""
        awaited = self.roles.policy.model.awaited
        return map_in_order(work, samples, window=self.window, idle=lambda: len(awaited))

    async def _run_question(self, sample: Sample) -> tuple[list[ScoreRow], list[RolloutRow]]:
        evaluation = await self.evaluation(sample)
        if any(map(evaluation.calls, self.methods)):
            groups = await asyncio.gather(*(self._run_method(m, evaluation) for m in self.methods))
        else:
            groups = [await self._run_method(m, evaluation) for m in self.methods]
        bounds = [*evaluation.oracle(), *(evaluation.worst() if self.grader.graded else ())]
        rows = [*(row for group in groups for row in group), *bounds]
        return rows, self.count(rows, evaluation)

    async def evaluation(self, sample: Sample) -> Evaluation:
        """Sample the question's rollouts, score them, and group them by answer."""
        policy, question = self.roles.policy, sample.question
        pool = await policy.model.rollouts(question, self.settings.pool, policy.sampling)
        if policy.model.imported is None:
            sampling = policy.sampling.over(policy.model.backend.sampling)
            self.census.pool_checks.add(pool, temperature=sampling.temperature)
        ctx = QuestionContext(
            self.roles,
            self.grader.answers_to(question),
            self.task.prompts,
            key=question.id,
            meta=question.meta,
        )
        grades = await self.grader.grade(sample, pool.rollouts, ctx)
        return Evaluation(
            sample=sample,
            graded=GradedPool(
                pool,
                grades.scores,
                grades.labels,
                grades.answers,
                grades.digests,
                labelled=is_labelled(sample.target, self.grader.scorer),
            ),
            roles=self.roles,
            grader=self.grader,
            prompts=self.task.prompts,
            settings=self.settings,
            scoring=ctx.bill,
        )

    async def _run_method(self, method: Method, evaluation: Evaluation) -> list[ScoreRow]:
        if method.name in self.census.unavailable:
            return []
        try:
            return await evaluation.rows(method)
        except NotAvailable as reason:
            self.census.unavailable[method.name] = str(reason)
            return []

    def count(self, rows: Sequence[ScoreRow], evaluation: Evaluation) -> list[RolloutRow]:
        """Count one question's rows in the census; return one row per slot of its pool."""
        census, rollouts = self.census, rollout_rows(evaluation)
        census.scoring.update(sum_spent(evaluation.scoring))
        census.questions += 1
        labelled = evaluation.graded.labelled
        census.unlabelled += not labelled
        failed_rows = [row for row in rows if row.failed is not None]
        refused_rows = sum(map(_is_refused, failed_rows))
        census.refused_rows += refused_rows
        census.failed_rows += len(failed_rows) - refused_rows
        census.bugs.update(row.method for row in failed_rows if is_bug(row.failed or ""))
        failed = [row for row in rollouts if row.failed is not None]
        reasons = [row.failed for row in failed_rows] + [row.failed for row in failed]
        for why in filter(None, reasons):
            if why in census.reasons or len(census.reasons) < REASONS:
                census.reasons[why] += 1
        answered = {row.slot for row in rollouts if row.answer is not None}
        for row in rows:
            if row.text is not None and answered.intersection(row.slots):
                census.written[row.method, row.n] += 1
                census.unread[row.method, row.n] += row.answer is None
        present = [row for row in rollouts if row.failed is None]
        refused = sum(map(_is_refused, failed))
        budgets = (*self.settings.budgets, *self.settings.free)
        census.dropped.update([n for n in budgets if n > len(present)])
        unscored = [row for row in present if row.score is None] if labelled else ()
        unread = [row for row in present if row.answer is None] if self.grader.answers else ()
        census.rollouts.update(
            asked=len(rollouts),
            failed=len(failed) - refused,
            refused=refused,
            truncated=[row.finish for row in present].count("length"),
            no_answer=len(unread),
            unscored=len(unscored),
        )
        return rollouts


def _is_refused(row: ScoreRow | RolloutRow) -> bool:
    return row.failed is not None and row.failed.startswith("refused: ")


def rollout_rows(evaluation: Evaluation) -> list[RolloutRow]:
    """Return one row per slot of the question's pool, failures included."""
    question = evaluation.question.id
    graded, numbers = evaluation.graded, numbers_known(evaluation.memory)
    rated = {slot: sorted(known.items()) for slot, known in numbers.items()}
    rows = [
        RolloutRow(
            question=question,
            slot=r.slot,
            digest=graded.digests[r.slot],
            answer=graded.answers[r.slot],
            cluster=graded.labels[r.slot],
            score=score.value,
            met=tuple(map(int, score.details["met"])) if "met" in score.details else (),
            finish=r.reply.finish,
            prompt_tokens=r.reply.usage.prompt,
            completion_tokens=r.reply.usage.completion,
            characters=len(r.text),
            rated_by=tuple([name for name, _ in rated.get(r.slot, ())]),
            ratings=tuple([number for _, number in rated.get(r.slot, ())]),
        )
        for r, score in zip(graded.rollouts, graded.verdicts, strict=True)
    ]
    failures = graded.pool.failures.items()
    rows += [
        RolloutRow(question=question, slot=s, failed=f"{f.kind}: {f.message}") for s, f in failures
    ]
    return sorted(rows, key=lambda row: row.slot)
