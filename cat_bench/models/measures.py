"""Read the numbers of a measured text: its log-probabilities, its vector, its rewards."""

from __future__ import annotations

import numpy as np

from cat_bench.types.calls import FloatArray, Reply


def logprobs_of(reply: Reply) -> FloatArray:
    """Return a scored text's log-probabilities, which may be empty."""
    return np.empty(0) if reply.token_logprobs is None else reply.token_logprobs


def embedding_of(reply: Reply) -> FloatArray:
    """Return an embedded text's vector, of length 1."""
    vector = np.asarray(reply.measures["embedding"], dtype=np.float64)
    return vector / np.linalg.norm(vector)


def rewards_of(reply: Reply) -> FloatArray:
    """Return a reward model's numbers, one for a response, or one for each of its steps."""
    return np.asarray(reply.measures["rewards"], dtype=np.float64)
