"""Read the numbers of a measured text: its log-probabilities, its vector, its rewards.

A number that is missing or infinite fails the call, whether a server sends it or an older cache
holds it: left out or ranked last, it would let the server choose the winner.
"""

from __future__ import annotations

import numpy as np

from cat_bench.errors import CallFailed
from cat_bench.types.calls import Failure, FloatArray, Reply


def logprobs_of(reply: Reply) -> FloatArray:
    """Return a scored text's log-probabilities, which may be empty. Raises CallFailed."""
    if reply.token_logprobs is None:
        return np.empty(0)
    return _check_finite(reply.token_logprobs, "log-probabilities")


def embedding_of(reply: Reply) -> FloatArray:
    """Return an embedded text's vector, of length 1. Raises CallFailed."""
    vector = np.asarray(reply.measures["embedding"], dtype=np.float64)
    return _check_finite(vector / np.linalg.norm(_check_finite(vector, "entries")), "entries")


def rewards_of(reply: Reply) -> FloatArray:
    """Return a reward model's numbers, one for a response, or one for each of its steps.

    Raises CallFailed.
    """
    return _check_finite(np.asarray(reply.measures["rewards"], dtype=np.float64), "rewards")


def _check_finite(numbers: FloatArray, kind: str) -> FloatArray:
    if lacking := np.count_nonzero(~np.isfinite(numbers)):
        problem = f"{lacking} of {numbers.size} {kind} are missing or not finite"
        raise CallFailed(Failure("malformed", problem))
    return numbers
