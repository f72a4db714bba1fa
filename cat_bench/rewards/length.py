"""A penalty for long responses: Compute as Teacher subtracts 1 above 750 tokens on HealthBench.

arXiv 2509.14234, section 4 (training details).
"""

from __future__ import annotations

from collections.abc import Sequence

from cat_bench.errors import NotAvailable
from cat_bench.types.records import Rollout


def penalise_length(
    values: Sequence[float | None],
    rollouts: Sequence[Rollout],
    *,
    limit: int | None,
    penalty: float,
) -> list[float | None]:
    """Subtract `penalty` from rewards of responses over `limit` tokens; None: no limit.

    Hidden reasoning is not part of a response. Raises NotAvailable if tokens were not counted.
    """
    if limit is None:
        return list(values)
    long = [_tokens(rollout) > limit for rollout in rollouts]
    return [v if v is None else v - penalty * over for v, over in zip(values, long, strict=True)]


def _tokens(rollout: Rollout) -> int:
    usage = rollout.reply.usage
    if rollout.text and not usage.completion:
        raise NotAvailable("the rollouts' tokens were not counted: leave out length_limit")
    return usage.completion - usage.reasoning
