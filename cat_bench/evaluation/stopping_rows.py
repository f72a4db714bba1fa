"""The rows of a stopping rule on one question: its score, and the rollouts that it samples.

A rule reads the pool in random orders and decides when to stop. n is the most rollouts that it may
sample. Scores and costs are means over all orders; if only some orders are tried, `draw_se` has the
Monte-Carlo error of the score.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Protocol

from cat_bench.errors import PLUGIN_BUGS, NotAvailable, reason_of
from cat_bench.evaluation.graded_pool import GradedPool, variances
from cat_bench.evaluation.rows import ScoreRow
from cat_bench.models.costs import Use
from cat_bench.models.lending import QuestionContext
from cat_bench.stats.exact import expected_score
from cat_bench.types.calls import JSON
from cat_bench.types.plugins import Stopping
from cat_bench.types.records import Question, Rollout, Stopped

_SLACK = 1e-6
"""The rounding error that a share may have."""


class Evaluated(Protocol):
    """One question with its graded pool."""

    @property
    def question(self) -> Question:
        """The question."""
        ...

    @property
    def graded(self) -> GradedPool:
        """The pool with its scores."""
        ...

    def context(self, slots: Collection[int]) -> QuestionContext:
        """Return a context with a new bill, for work on these slots."""
        ...

    def row(self, method: str, n: int, use: Use | None = None, **fields: JSON) -> ScoreRow:
        """Return a row with the cost of a use of this pool."""
        ...


async def stopping_rows(
    evaluation: Evaluated, name: str, rule: Stopping, caps: Sequence[int]
) -> list[ScoreRow]:
    """Return one row per cap; a rule that raises gets rows with the reason."""
    graded = evaluation.graded
    try:
        stopped = await _stops(evaluation, graded.rollouts, rule, caps)
        spread = await _spread(evaluation, rule, caps) if stopped.exact else {}
        uses = [_use(stopped, k, graded) for k in range(len(caps))]
        errors = _draw_errors(stopped, graded.values)
    except PLUGIN_BUGS as error:  # becomes the reason of these rows
        reason = reason_of(error)
        return [evaluation.row(name, n, failed=reason) for n in caps]
    slots = tuple(r.slot for r in graded.rollouts)
    rows = [
        evaluation.row(
            name,
            n,
            uses[k],
            picks=slots,
            weights=tuple(stopped.picks[k].tolist()),
            draw_se=errors.get(k),
            **fields,
        )
        for k, (n, fields) in enumerate(zip(caps, graded.score_picks(stopped.picks), strict=True))
    ]
    return [replace(row, rollout_var=spread.get(row.n)) for row in rows]


async def _stops(
    evaluation: Evaluated, rollouts: Sequence[Rollout], rule: Stopping, caps: Sequence[int]
) -> Stopped:
    """Return the rule's result; raise ValueError for a wrong shape or a wrong probability."""
    ctx = evaluation.context([r.slot for r in rollouts])
    stopped = await rule.expected_stops(evaluation.question, rollouts, caps, ctx)
    if ctx.bill:
        raise NotAvailable("a stopping rule cannot be replayed with a signal that calls a model")
    shape = (len(caps), len(rollouts))
    for table in (
        stopped.picks,
        stopped.drawn,
        *([] if stopped.written is None else [stopped.written]),
    ):
        if table.shape != shape:
            raise ValueError(f"expected_stops has shape {table.shape}, not {shape}")
        if not ((table > -_SLACK) & (table < 1 + _SLACK)).all():
            raise ValueError("expected_stops has entries that are not probabilities")
    if stopped.sequential.shape != (len(caps),):
        raise ValueError(f"expected_stops.sequential has shape {stopped.sequential.shape}")
    if stopped.means and (
        stopped.each is None or stopped.each.shape[1:] != (len(stopped.means), shape[1])
    ):
        raise ValueError("expected_stops.each lacks the picks behind a mean over orders")
    if (stopped.picks.sum(axis=1) > 1 + _SLACK).any():
        raise ValueError("expected_stops picks more than one rollout")
    return stopped


async def _spread(evaluation: Evaluated, rule: Stopping, caps: Sequence[int]) -> dict[int, float]:
    """Return the variance of the value over fresh rollouts, by cap up to a quarter of the pool."""
    quarters = evaluation.graded.quarters
    served = [n for n in caps if 1 <= n <= len(quarters[0].rollouts)]
    if not served:
        return {}
    parts = [await _stops(evaluation, part.rollouts, rule, served) for part in quarters]
    if not all(part.exact for part in parts):
        return {}
    values = [
        expected_score(part.picks, pool.values).value.tolist()
        for part, pool in zip(parts, quarters, strict=True)
    ]
    return variances(values, served)


def _use(stopped: Stopped, index: int, graded: GradedPool) -> Use:
    """Return the costs at caps[index]; failed slots are assumed to be sampled like the others."""
    drawn = stopped.drawn[index]
    written = drawn if stopped.written is None else stopped.written[index]
    return Use(
        calls=float(drawn.sum()),
        slots=float(drawn.sum()) / max(graded.sampled.slots, 1),
        drawn=drawn,
        written=written,
        sequential=float(stopped.sequential[index]),
    )


def _draw_errors(stopped: Stopped, values: Sequence[float]) -> dict[int, float]:
    """Return the Monte-Carlo standard error of the score at each cap that is not exact."""
    if stopped.each is None:
        return {}
    import pandas as pd  # it takes half a second of CPU time, and few methods need it here

    orders, averaged, pool = stopped.each.shape
    each = expected_score(stopped.each.reshape(orders * averaged, pool), values).value
    errors = pd.DataFrame(each.reshape(orders, averaged)).sem()
    return dict(zip(stopped.means, errors.tolist(), strict=True))
