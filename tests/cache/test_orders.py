"""What is on order is noted once, found by its tag, and over when it is said to be."""

from __future__ import annotations

from dataclasses import replace

from cat_bench.cache import Cache, verify
from cat_bench.cache.orders import Order, on_order, open_orders, record_end, record_id, record_order

FIRST = Order("one", 1.0, 2, {"task": "toy"}, {"k": [0, 1], "m": [5]})
SECOND = Order("two", 2.0, 1, {"task": "toy"}, {"k": [2]})


async def test_an_order_is_open_until_it_has_ended(cache: Cache) -> None:
    assert open_orders(cache) == []
    await record_order(cache, SECOND)
    await record_order(cache, FIRST)
    assert open_orders(cache) == [FIRST, SECOND]
    assert (await record_id(cache, SECOND, "batch_9")).id == "batch_9"
    await record_id(cache, SECOND, "batch_10")
    assert open_orders(cache) == [FIRST, replace(SECOND, id="batch_9")]
    assert on_order(cache) == {("k", 0): "one", ("k", 1): "one", ("m", 5): "one", ("k", 2): "two"}
    await record_end(cache, FIRST, "completed")
    assert [order.tag for order in open_orders(cache)] == ["two"]
    assert (FIRST.size, SECOND.size) == (3, 1)
    assert list(verify(cache)) == []
