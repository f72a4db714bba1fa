"""Read a rollout's numbers per token, by the capability that provides them."""

from __future__ import annotations

from math import nan
from typing import Literal, TypeAlias

import numpy as np

from cat_bench.errors import CallFailed, NotAvailable
from cat_bench.types.calls import Failure, FloatArray
from cat_bench.types.records import Rollout

PerToken: TypeAlias = Literal["logprobs", "entropies", "certainties", "confidences"]


def per_token(rollout: Rollout, kind: PerToken) -> FloatArray:
    """Return the numbers in nats, shape (completion tokens,); raises NotAvailable if absent.

    Raises CallFailed if some are missing: without them, the rank would depend on the server.
    """
    reply = rollout.reply
    given = {**reply.measures, "logprobs": reply.token_logprobs, "entropies": reply.token_entropies}
    array = given.get(kind)
    if array is None:
        raise NotAvailable(f"the pool's rollouts have no {kind} of their tokens")
    if missing := np.count_nonzero(~np.isfinite(array)):
        problem = (
            f"{missing} of {array.size} {kind} of rollout {rollout.slot} are missing or not finite"
        )
        raise CallFailed(Failure("malformed", problem))
    return array


def mean_per_token(rollout: Rollout, kind: PerToken) -> float:
    """Return the mean over tokens, in nats; NaN for an empty rollout. Raises as `per_token`."""
    array = per_token(rollout, kind)
    return float(array.mean()) if array.size else nan
