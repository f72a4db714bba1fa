"""The state of orders, and their results: stored in the cache's slots as if sampled live."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from cat_bench.backends import wire
from cat_bench.backends.opening import open_backend
from cat_bench.batches.service import TAG, named, openai_only, prefix, service
from cat_bench.cache import Cache, Call
from cat_bench.cache.orders import Order, ended, open_orders, sent
from cat_bench.config import RunConfig
from cat_bench.errors import UnknownName
from cat_bench.model import Result, seed_of
from cat_bench.roles import Environment
from cat_bench.session import Opened, opened
from cat_bench.types import JSON, Failure, Reply, Usage

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai.types import Batch

OVER = ("completed", "expired", "cancelled", "failed")
LOST = "lost"
TOGETHER = 256
"""Lines whose completions are stored together."""
LOST_S = 3600.0
"""Seconds during which a batch may still appear after its order was recorded."""


@dataclass(frozen=True, slots=True)
class State:
    """An order's state on the server; `lost`: it never arrived there."""

    order: Order
    status: str
    done: int = 0
    problem: str = ""


@dataclass(slots=True)
class Collected:
    """An order's results: completions stored, their tokens, and why others are missing, by kind."""

    order: Order
    status: str
    stored: int = 0
    usage: Usage = field(default_factory=Usage)
    missing: Counter[str] = field(default_factory=Counter)
    problem: str = ""


async def states(cache: Cache, name: str | None = None) -> list[State]:
    """How far the open orders are, or the one of this tag or id; raises UnknownName, ModelError."""
    return [await _state(cache, order) for order in _named(cache, name)]


async def cancel(cache: Cache, name: str) -> State:
    """Ask the server to stop; what it did until then can be collected. Raises as `states`."""
    (order,) = _named(cache, name)
    return await _state(cache, order, stop=True)


async def collect(cache: Cache, name: str | None = None) -> AsyncIterator[Collected | State]:
    """What each order gave, stored; the state of those that are still under way.

    What is missing can be ordered or sampled again. It may be interrupted and begun again. Raises
    as `states`.
    """
    for order in _named(cache, name):
        state = await _state(cache, order)
        if state.status not in (*OVER, LOST):
            yield state
            continue
        found = Collected(order, state.status, problem=state.problem)
        if state.status != LOST:
            await _stored(cache, order, found)
        found.missing["never answered"] += order.size - found.stored - found.missing.total()
        found.missing = +found.missing
        await ended(cache, order, state.status)
        yield found


def _named(cache: Cache, name: str | None) -> list[Order]:
    orders = open_orders(cache)
    if name is None:
        return orders
    if chosen := [order for order in orders if name in (order.tag, order.id)]:
        return chosen
    raise UnknownName("open order", name, [order.tag for order in orders])


async def _state(cache: Cache, order: Order, *, stop: bool = False) -> State:
    config = RunConfig.model_validate(order.config)
    backend = openai_only(open_backend(config.model, cache, base_url=config.base_url))
    async with service(backend) as client:
        batch = await _found(client, cache, order)
        if batch is None:
            gone = stop or time.time() > order.created + LOST_S
            return State(order, LOST if gone else "not found yet")
        if stop and batch.status not in OVER:
            batch = await client.batches.cancel(batch.id)
    counts, errors = batch.request_counts, batch.errors
    problems = [each.message or each.code or "" for each in (errors and errors.data) or ()]
    done = counts.completed + counts.failed if counts else 0
    return State(order, batch.status, done, "; ".join(problems[:3]))


async def _found(client: AsyncOpenAI, cache: Cache, order: Order) -> Batch | None:
    """The order's batch: by its id, else by the tag that it carries."""
    if order.id is not None:
        return await client.batches.retrieve(order.id)
    async for batch in client.batches.list(limit=100):
        if (batch.metadata or {}).get(TAG) == order.tag:
            await sent(cache, order, batch.id)
            return batch
    return None


async def _stored(cache: Cache, order: Order, found: Collected) -> None:
    """Put what the batch's files hold into the cache."""
    config = RunConfig.model_validate(order.config)
    environment = Environment(cache=cache.url.render_as_string(hide_password=False))
    async with opened(config, planning=True, environment=environment) as ready:
        backend = openai_only(ready.bench.roles.policy.model.backend)
        calls = {prefix(call.key): call for call in _calls(ready)}
        async with service(backend) as client:
            batch = await _found(client, ready.cache, order)
            for file in (batch.output_file_id, batch.error_file_id) if batch else ():
                if file:
                    async for lines in _lines(client, file):
                        store = (_line(ready, each, calls, found, config.seed) for each in lines)
                        await asyncio.gather(*store)


def _calls(ready: Opened) -> list[Call]:
    return [ready.call(sample.question) for sample in ready.samples()]


async def _lines(client: AsyncOpenAI, file: str) -> AsyncIterator[list[JSON]]:
    """The file's lines in chunks: it may be larger than memory."""
    lines: list[JSON] = []
    async with client.files.with_streaming_response.content(file) as response:
        async for line in response.iter_lines():
            if line:
                lines.append(json.loads(line))
            if len(lines) == TOGETHER:
                yield lines
                lines = []
    yield lines


async def _line(
    ready: Opened, line: JSON, calls: Mapping[str, Call], found: Collected, seed: int
) -> None:
    """Store one line's completions; the slots of a transient failure stay free."""
    name, slots = named(line["custom_id"])
    call = calls.get(name)
    if call is None:
        found.missing["the task or its sampling has changed since"] += len(slots)
        return
    results = _results(line, slots, seed_of(call.key, slots[0], seed))
    await ready.cache.store(call, results)
    for result in results.values():
        if isinstance(result, Reply):
            found.stored += 1
            found.usage += result.usage
        else:
            found.missing[result.kind] += 1


def _results(line: JSON, slots: list[int], seed: int) -> dict[int, Result]:
    """A line's result for each of its slots; with fewer completions, the last slots have none."""
    response = line.get("response") or {}
    if fault := line.get("error"):
        failure = Failure(fault.get("code") or "server", str(fault.get("message")))
        return dict.fromkeys(slots, failure)
    raw = json.dumps(response.get("body")).encode()
    body = wire.parsed(response.get("status_code", 500), {}, raw)
    got = body if isinstance(body, Failure) else wire.replies(body, seed)
    if isinstance(got, Failure):
        return dict.fromkeys(slots, got)
    return dict(zip(slots, islice(got, len(slots)), strict=False))
