"""Samples rollouts with OpenAI's batch API: cheaper, within a day, into the same slots.

An order is one file of requests. It is recorded beside the cache before it is sent; the server's id
is added afterwards. If the process dies in between, the order's tag finds the batch. While an order
is open, no run and no other order requests its slots. The record never holds the API key.
"""

from cat_bench.runs.batches.collection import Collected, State, cancel, collect, forget, states
from cat_bench.runs.batches.submission import submit

__all__ = ["Collected", "State", "cancel", "collect", "forget", "states", "submit"]
