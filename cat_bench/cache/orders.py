"""Slots that a batch endpoint is filling, recorded beside the cache's results.

A record is written once and never changed; the outcome of an order is another record, under the
same tag. An order is open, and its slots are taken, until it is recorded as ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from cat_bench.cache import schema
from cat_bench.cache.codec import unpack
from cat_bench.cache.store import Cache
from cat_bench.types.calls import JSON

_MADE, _SENT, _ENDED = "order made", "order sent", "order ended"


@dataclass(frozen=True, slots=True)
class Order:
    """`slots` are listed by the key of their call; `config` is the run that needs them.

    `created` is in seconds since 1970; `id` is the server's name for the order, once known.
    """

    tag: str
    created: float
    requests: int
    config: Mapping[str, JSON]
    slots: Mapping[str, Sequence[int]]
    id: str | None = None

    @property
    def size(self) -> int:
        """The number of completions on order."""
        return sum(map(len, self.slots.values()))


async def record_order(cache: Cache, order: Order) -> None:
    """Record an order before it is sent."""
    names = ("created", "requests", "config", "slots")
    await _note(cache, _MADE, order.tag, {name: getattr(order, name) for name in names})


async def record_id(cache: Cache, order: Order, batch: str) -> Order:
    """Record the server's name for an order."""
    await _note(cache, _SENT, order.tag, {"id": batch})
    return replace(order, id=batch)


async def record_end(cache: Cache, order: Order, status: str) -> None:
    """Record that an order has ended and brings no more results."""
    await _note(cache, _ENDED, order.tag, {"status": status})


def open_orders(cache: Cache) -> list[Order]:
    """Return the orders that have not ended, the oldest first."""
    names, over = _notes(cache, _SENT), _notes(cache, _ENDED)
    orders = [
        Order(tag=tag, **record, **names.get(tag, {}))
        for tag, record in _notes(cache, _MADE).items()
        if tag not in over
    ]
    return sorted(orders, key=lambda order: order.created)


def on_order(cache: Cache) -> dict[tuple[str, int], str]:
    """Return the tag of the open order of each (key, slot) that is on order."""
    return {
        (key, slot): order.tag
        for order in open_orders(cache)
        for key, slots in order.slots.items()
        for slot in slots
    }


async def _note(cache: Cache, kind: str, tag: str, record: Mapping[str, JSON]) -> None:
    await cache.remember(kind, {tag: {"tag": tag, **record}})


def _notes(cache: Cache, kind: str) -> dict[str, dict[str, Any]]:
    column = schema.derived.c
    query = sa.select(column.value).where(column.namespace == kind)
    with cache.begin_reading() as connection:
        records = [unpack(value) for value in connection.scalars(query)]
    return {record.pop("tag"): record for record in records}
