"""Run one method on one question: rows with its scores and costs at every budget.

If the aggregator has a closed form, a row is the exact expectation over all n-subsets. Otherwise
each draw of the subset plan (`cat_bench.stats.subsets`) has a row. A context's bill collects the
plug-in's calls, and `row` writes them into the method's row. A failed call or plug-in gives a row
with the reason. Only `NotAvailable` is raised: then the method has no row.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from statistics import fmean
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from cat_bench.errors import PLUGIN_BUGS, reason_of
from cat_bench.evaluation.graded_pool import (
    GradedPool,
    part_fields,
    score_fields,
    variances,
)
from cat_bench.evaluation.grader import Grader
from cat_bench.evaluation.rows import ScoreRow
from cat_bench.evaluation.settings import Settings
from cat_bench.evaluation.stopping_rows import stopping_rows
from cat_bench.loading.catalog import Method
from cat_bench.loading.prompts import Prompts
from cat_bench.models.costs import COSTS, Charge, Use, costs, sum_spent
from cat_bench.models.critical_path import count_path
from cat_bench.models.lending import QuestionContext, Roles
from cat_bench.stats.exact import expected_score, max_at, min_at
from cat_bench.stats.subsets import blocks, count_subsets, shuffle_slots, subsets
from cat_bench.types.calls import JSON, FloatArray
from cat_bench.types.records import EXHAUSTED, Estimate, Question, Rollout, Sample
from cat_bench.types.traits import Need

ORACLE, WORST = "oracle", "worst"
FRAMES = {ORACLE: "the best possible pick", WORST: "the worst possible pick"}
CALLING = frozenset({"anchor", "embedder", "judge", "policy", "reward", "scoring"})
_SLACK = 1e-9
"""The rounding error that a share may have."""

RowKey: TypeAlias = tuple[str, int, int | None]
"""A row's method, n and draw."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One question with its graded pool, ready for any method."""

    sample: Sample
    graded: GradedPool
    roles: Roles
    grader: Grader
    prompts: Prompts
    settings: Settings
    scoring: list[Charge] = field(default_factory=list)
    """The bill of grading, kept apart from the methods'."""
    known: dict[str, int] = field(default_factory=dict)
    """The cluster of each of the pool's answers; empty before the first use."""
    memory: dict[Hashable, asyncio.Future[Any]] = field(default_factory=dict)
    """Results that plug-ins share within this question."""
    bills: dict[RowKey, Sequence[Charge]] | None = None
    """The calls of each row, by method, n and draw, if they are kept."""

    @property
    def question(self) -> Question:
        """The question."""
        return self.sample.question

    @property
    def rollouts(self) -> tuple[Rollout, ...]:
        """The pool's rollouts, in slot order."""
        return self.graded.rollouts

    async def rows(self, method: Method) -> list[ScoreRow]:
        """Return the method's rows at every budget that this question's pool can serve.

        Raises NotAvailable if the run lacks a need of the method.
        """
        budgets = self.graded.servable_budgets(method.budgets or self.settings.budgets)
        free = not (self.calls(method) or method.budgets)
        extra = self.graded.servable_budgets(self.settings.extra_budgets) if free else []
        ctx = self.context([r.slot for r in self.rollouts])
        if method.stopping:
            return await stopping_rows(self, method.name, method.stopping, [*budgets, *extra])
        try:
            exact = await self._probabilities(method, [*budgets, *extra], ctx, [self.rollouts])
            spread = await self._spread(method, [*budgets, *extra]) if free else {}
        except PLUGIN_BUGS as error:  # becomes the reason of these rows
            reason = reason_of(error)
            rows = [self.row(method.name, n, failed=reason) for n in budgets]
            return self._with_calls(rows, ctx.bill)
        if exact is not None:
            budgets = [*budgets, *extra]
            rows = await self._exact(method, budgets, exact[0], ctx.bill, spread=spread)
            return self._with_calls(rows, ctx.bill)
        costly = self.calls(method) and method.traits.reads == "subset"
        groups = await asyncio.gather(*(self._draw_rows(method, n, costly=costly) for n in budgets))
        rows = [row for group in groups for row in group]
        if free and all(row.calls <= row.n for row in rows):
            for n in self.graded.servable_budgets(self.settings.free):
                rows += await self._draw_rows(method, n, costly=False)
        return rows

    def oracle(self) -> list[ScoreRow]:
        """Return rows of the best possible pick: the expected maximum score of an n-subset."""
        return self._frame(ORACLE, max_at)

    def worst(self) -> list[ScoreRow]:
        """Return rows of the worst possible pick: the expected minimum score of an n-subset."""
        return self._frame(WORST, min_at)

    def context(self, slots: Collection[int] = ()) -> QuestionContext:
        """Return a context with a new bill, for work on these slots."""
        key = f"{self.question.id}/{sorted(slots)}"
        return QuestionContext(
            self.roles,
            self.grader.answers_to(self.question),
            self.prompts,
            self.graded.labels,
            key,
            meta=self.question.meta,
            memory=self.memory,
        )

    def _frame(
        self, name: str, at: Callable[[ArrayLike, Sequence[int]], FloatArray]
    ) -> list[ScoreRow]:
        if not self.graded.labelled:
            return []
        wanted = self.graded.servable_budgets(
            (*self.settings.budgets, *self.settings.extra_budgets)
        )
        budgets = [n for n in wanted if n >= 1]
        values = at(self.graded.values, budgets)
        apart = [at(part.values, budgets).tolist() for part in self.graded.quarters]
        spread, reason = variances(apart, budgets), self.graded.choices.reason
        return [
            self.row(name, n, rollout_var=spread.get(n), **score_fields(value, reason))
            for n, value in zip(budgets, values.tolist(), strict=True)
        ]

    def calls(self, method: Method) -> bool:
        """Return whether the method calls a model here; a role without a model is not called."""
        roles = _roles_called(method.needs)
        return any(getattr(self.roles, role, True) is not None for role in roles)

    async def _probabilities(
        self,
        method: Method,
        budgets: Sequence[int],
        ctx: QuestionContext,
        groups: Sequence[Sequence[Rollout]],
    ) -> FloatArray | None:
        """Return the pick probabilities among the rollouts of each group; groups are of one size.

        Their shape is (groups, budgets, rollouts); None if the method has no closed form.
        """
        if not budgets or method.exact is None:
            return None
        ask = method.exact.pick_probabilities
        found = [await ask(self.question, rollouts, budgets, ctx) for rollouts in groups]
        if any(table is None for table in found):
            return None
        tables, shape = np.array(found, dtype=float), (len(budgets), len(groups[0]))
        if tables.shape[1:] != shape:
            raise ValueError(f"pick_probabilities has shape {tables.shape[1:]}, not {shape}")
        if tables.size and not (tables.min() > -_SLACK and tables.sum(axis=2).max() <= 1 + _SLACK):
            raise ValueError("pick_probabilities has rows that are not shares of 1")
        return tables

    async def _spread(self, method: Method, budgets: Sequence[int]) -> dict[int, float]:
        """Return the variance over fresh rollouts by budget, up to a quarter of the pool."""
        quarters = self.graded.quarters
        groups = [part.rollouts for part in quarters]
        budgets = [n for n in budgets if 1 <= n <= len(groups[0])]
        tables = await self._probabilities(method, budgets, self.context(), groups)
        if tables is None:
            return {}
        apart = [
            expected_score(table, part.values).value.tolist()
            for table, part in zip(tables, quarters, strict=True)
        ]
        return variances(apart, budgets)

    async def _exact(
        self,
        method: Method,
        budgets: Sequence[int],
        probabilities: FloatArray,
        bill: Sequence[Charge],
        *,
        spread: Mapping[int, float],
    ) -> list[ScoreRow]:
        """Return one row per budget; costs of a use are measured on the plan's subsets.

        `spread` is the variance over fresh rollouts by budget. The first row is charged with the
        `bill` of the probabilities, which covers all budgets.
        """
        slots = tuple([r.slot for r in self.rollouts])
        scores = self.graded.score_picks(probabilities)
        rows = [
            self.row(method.name, n, picks=slots, weights=tuple(shares), rollout_var=var, **scored)
            for n, shares, var, scored in zip(
                budgets, probabilities.tolist(), map(spread.get, budgets), scores, strict=True
            )
        ]
        if self.calls(method) or bill:
            for k, n in enumerate(budgets):
                drawn = await self._draw_rows(method, n, costly=True)
                rows[k] = replace(rows[k], **_mean_costs(drawn)) if drawn else rows[k]
        now: dict[str, JSON] = {f"spent_{part}": value for part, value in sum_spent(bill).items()}
        return [replace(rows[0], **now), *rows[1:]] if bill and rows else rows

    async def _draw_rows(self, method: Method, n: int, *, costly: bool) -> list[ScoreRow]:
        """Return one row per subset of the plan; if the method turns out to call a model, fewer."""
        order = self.graded.order
        if costly:
            plan = blocks(len(order), n, draws=self.settings.draws)
        else:
            draws = max(self.settings.draws, self.settings.free_draws)
            plan = subsets(len(order), n, question=self.question.id, draws=draws)
        present = {r.slot for r in self.rollouts}
        picked = [[order[index] for index in subset] for subset in plan]
        whole = [slots for slots in picked if present.issuperset(slots)]
        rows: list[ScoreRow] = []
        if whole and not self.calls(method):
            rows = [await self._draw(method, n, 0, whole[0])]
            if costly := rows[0].calls > n:
                whole = whole[: self.settings.draws]
        done = len(rows)
        rest = (self._draw(method, n, k, slots) for k, slots in enumerate(whole) if k >= done)
        rows += await asyncio.gather(*rest)
        possible = None if costly else count_subsets(len(order), n)
        for row in rows:
            row.subsets = possible
        return rows

    async def _draw(self, method: Method, n: int, draw: int, slots: Sequence[int]) -> ScoreRow:
        by_slot = {r.slot: r for r in self.rollouts}
        handed = [by_slot[slot] for slot in shuffle_slots(self.question.id, slots)]
        ctx = self.context(slots)
        outcome: dict[str, JSON]
        try:
            with count_path() as calls:
                estimate = await method.aggregator.aggregate(self.question, handed, ctx)
            if not isinstance(estimate, Estimate):
                raise TypeError(f"{method.name} returned {estimate!r}, which is not an Estimate")
            outcome = await self._verdict(estimate, slots)
        except PLUGIN_BUGS as error:  # becomes the reason of this row
            outcome = {"failed": reason_of(error)}
        read = tuple(r.slot for r in handed)
        use = self.graded.sampled.use(n, path=calls.tokens)
        row = self.row(method.name, n, use, draw=draw, slots=read, bill=ctx.bill, **outcome)
        return self._with_calls([row], ctx.bill)[0]

    async def _verdict(self, estimate: Estimate, slots: Collection[int]) -> dict[str, JSON]:
        """Return the fields of a row for an estimate: the score is the mean over its picks."""
        if estimate.abstained:
            return {"fallback": estimate.fallback, **self.graded.abstention()}
        if estimate.text is not None:
            text = estimate.text
            ctx = replace(self.context(), bill=self.scoring)
            score = (await self.grader.scores(self.sample, [text], ctx))[text]
            overran = float(bool(score.details.get(EXHAUSTED)))
            fields = {
                "text": text,
                "exhausted": overran,
                "fallback": estimate.fallback,
                **await self._read_answer(text),
            }
            return {**fields, **part_fields(score.parts), **score_fields(score.value, score.reason)}
        picks, weights = zip(*estimate.picks, strict=True)
        if not set(picks) <= set(slots):
            raise ValueError(
                f"picked slots {sorted(set(picks) - set(slots))}, not among those read"
            )
        if min(weights) < 0 or not math.isclose(sum(weights), 1):
            raise ValueError(f"weights {weights} are not shares that sum to 1")
        by_slot = {r.slot: r for r in self.rollouts}
        (scored,) = self.graded.score_picks([weights], [by_slot[slot] for slot in picks])
        return {"picks": picks, "weights": weights, "fallback": estimate.fallback, **scored}

    async def _read_answer(self, text: str) -> dict[str, JSON]:
        """Return a synthesised text's answer and its cluster in the pool's partition."""
        scorer = self.grader.answers_to(self.question)
        if scorer is None:
            return {}
        if not self.known:
            self.known.update(self.grader.known(self.question, self.rollouts, self.graded.labels))
        answer = scorer.answer(text)
        cluster = await self.grader.place(answer, self.known)
        return {"answer": answer, "answer_cluster": cluster}

    def _with_calls(self, rows: list[ScoreRow], bill: Sequence[Charge]) -> list[ScoreRow]:
        """Return the rows unchanged; if bills are kept, record this one for each of them."""
        if self.bills is not None:
            self.bills.update({(row.method, row.n, row.draw): bill for row in rows})
        return rows

    def row(
        self,
        method: str,
        n: int,
        use: Use | None = None,
        *,
        bill: Sequence[Charge] = (),
        **fields: JSON,
    ) -> ScoreRow:
        """Return a row with the cost of a use (by default n average rollouts) and a bill."""
        cost: Mapping[str, JSON] = self.graded.costs(n)
        if use or bill:
            sampled = self.graded.sampled
            cost = costs(use or sampled.use(n), pool=sampled, bill=bill)
        return ScoreRow(
            question=self.question.id,
            cluster=self.sample.cluster,
            method=method,
            n=n,
            **cost,
            **fields,
        )


@lru_cache
def _roles_called(needs: frozenset[Need]) -> frozenset[str]:
    """Return the roles whose models a method with these needs may call."""
    return CALLING & {need.partition(":")[0] for need in needs}


def _mean_costs(rows: Sequence[ScoreRow]) -> dict[str, JSON]:
    return {name: fmean(getattr(row, name) for row in rows) for name in COSTS}
