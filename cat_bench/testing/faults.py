"""Choose the faults of requests by rate or by schedule, reproducibly by seed.

The fault of a request depends only on its number of arrival, not on time or other requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal, TypeAlias, get_args

Fault: TypeAlias = Literal[
    "server_error",  # 503
    "rate_limit",  # 429 with Retry-After
    "context",  # 400 context_length_exceeded
    "hang",  # no reply at all
    "drop",  # the connection is cut
    "die",  # the whole server goes away for a while
    "truncated",  # 200, and half of the JSON
    "null",  # null content
    "empty",  # an empty text that finished with `stop`
    "refusal",  # null content and a refusal
    "content_filter",  # cut off by a content filter
]
FAULTS: tuple[Fault, ...] = get_args(Fault)


@dataclass(frozen=True, slots=True)
class Faults:
    """The first requests follow `schedule`; after it, each fault occurs at its rate.

    A `rate_limit` that occurs by rate lasts for `storm` requests.
    """

    rates: Mapping[Fault, float] = field(default_factory=dict)
    schedule: Sequence[Fault | None] = ()
    seed: int = 0
    storm: int = 1

    def at(self, number: int) -> Fault | None:
        """Return the fault of the request of this number, counted from 0."""
        if number < len(self.schedule):
            return self.schedule[number]
        if not self.rates:
            return None
        begin = max(len(self.schedule), number - self.storm + 1)
        if any(self._draw(earlier) == "rate_limit" for earlier in range(begin, number)):
            return "rate_limit"
        return self._draw(number)

    def _draw(self, number: int) -> Fault | None:
        place = Random(f"{self.seed}:{number}").random()
        for fault, rate in self.rates.items():
            if place < rate:
                return fault
            place -= rate
        return None
