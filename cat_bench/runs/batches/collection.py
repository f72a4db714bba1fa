"""Reads the state of orders, and stores their results in the cache as if they were sampled live."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from cat_bench.cache import Cache
from cat_bench.cache.orders import Order, open_orders, record_end, record_id
from cat_bench.errors import UnknownName
from cat_bench.models.backends import wire
from cat_bench.models.backends.opening import open_backend
from cat_bench.models.cached import seed_of
from cat_bench.runs.batches.service import TAG, openai_only, parse_id, prefix, service
from cat_bench.runs.config import RunConfig
from cat_bench.runs.open_models import Environment
from cat_bench.runs.opening import Opened, open_run
from cat_bench.system.json_parts import parse_json
from cat_bench.types.calls import JSON, Failure, Result, Usage

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai.types import Batch

OVER = ("completed", "expired", "cancelled", "failed")
LOST = "lost"
CHANGED = "the task or its sampling has changed since"
TOGETHER = 256
"""Lines whose completions are stored together."""
LOST_S = 3600.0
"""Seconds after which a recorded order without a batch is lost."""


@dataclass(frozen=True, slots=True)
class State:
    """An order's state on the server; `lost` if it never arrived there."""

    order: Order
    status: str
    done: int = 0
    problem: str = ""


@dataclass(slots=True)
class Collected:
    """The results of an order: completions stored, their tokens, and those missing by reason."""

    order: Order
    status: str
    stored: int = 0
    usage: Usage = field(default_factory=Usage)
    missing: Counter[str] = field(default_factory=Counter)
    problem: str = ""


async def states(cache: Cache, name: str | None = None) -> list[State]:
    """Return the states of the open orders, or of one order. Raises UnknownName, ModelError."""
    return [await _state(cache, order) for order in _find_orders(cache, name)]


async def cancel(cache: Cache, name: str) -> State:
    """Ask the server to stop an order; finished lines can be collected. Raises as `states`."""
    (order,) = _find_orders(cache, name)
    return await _state(cache, order, stop=True)


async def collect(cache: Cache, name: str | None = None) -> AsyncIterator[Collected | State]:
    """Store the results of finished orders; yield what was stored, or the state of an open order.

    Missing rollouts can be ordered or sampled again. An interrupted collection can be repeated.
    Raises as `states`.
    """
    for order in _find_orders(cache, name):
        state = await _state(cache, order)
        if state.status not in (*OVER, LOST):
            yield state
            continue
        collected = Collected(order, state.status, problem=state.problem)
        if state.status == LOST:
            collected.missing["never answered"] = order.size
        else:
            await _store(cache, order, collected)
        await record_end(cache, order, state.status)
        yield collected


async def forget(cache: Cache, name: str) -> Order:
    """Abandon an order without asking its server. Raises UnknownName."""
    (order,) = _find_orders(cache, name)
    await record_end(cache, order, "forgotten")
    return order


def _find_orders(cache: Cache, name: str | None) -> list[Order]:
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
        batch = await _find_batch(client, cache, order)
        if batch is None:
            lost = stop or time.time() > order.created + LOST_S
            return State(order, LOST if lost else "not found yet")
        if stop and batch.status not in OVER:
            batch = await client.batches.cancel(batch.id)
    counts, errors = batch.request_counts, batch.errors
    problems = [problem.message or problem.code or "" for problem in (errors and errors.data) or ()]
    done = counts.completed + counts.failed if counts else 0
    return State(order, batch.status, done, "; ".join(problems[:3]))


async def _find_batch(client: AsyncOpenAI, cache: Cache, order: Order) -> Batch | None:
    """Return the order's batch: by its id, else by the tag that it carries."""
    if order.id is not None:
        return await client.batches.retrieve(order.id)
    async for batch in client.batches.list(limit=100):
        if (batch.metadata or {}).get(TAG) == order.tag:
            await record_id(cache, order, batch.id)
            return batch
    return None


async def _store(cache: Cache, order: Order, collected: Collected) -> None:
    """Store the results in the batch's files in the cache."""
    from openai import NotFoundError

    config = RunConfig.model_validate(order.config)
    environment = Environment(cache=cache.url.render_as_string(hide_password=False))
    async with open_run(config, planning=True, environment=environment) as ready:
        backend = openai_only(ready.bench.roles.policy.model.backend)
        sheet = _Sheet(ready, order, collected, config.seed)
        async with service(backend) as client:
            batch = await _find_batch(client, ready.cache, order)
            try:
                for file in (batch.output_file_id, batch.error_file_id) if batch else ():
                    if file:
                        async for lines in _lines(client, file):
                            await asyncio.gather(*map(sheet.take, lines))
            except NotFoundError:
                collected.problem = "the server no longer has its files"
        if sheet.unread:
            collected.problem = f"{sheet.unread} of its lines cannot be read"
    collected.missing.update(sheet.missing.values())


async def _lines(client: AsyncOpenAI, file: str) -> AsyncIterator[list[str]]:
    """Yield the file's lines in chunks: the file may be larger than memory."""
    lines: list[str] = []
    async with client.files.with_streaming_response.content(file) as response:
        async for line in response.iter_lines():
            if line:
                lines.append(line)
            if len(lines) == TOGETHER:
                yield lines
                lines = []
    yield lines


class _Sheet:
    """The slots of an order that are still `missing`, each with the reason."""

    def __init__(self, ready: Opened, order: Order, collected: Collected, seed: int) -> None:
        self._cache, self._collected, self._seed = ready.cache, collected, seed
        calls = (ready.call(sample.question) for sample in ready.samples())
        self._calls = {prefix(call.key): call for call in calls if call.key in order.slots}
        self._slots = {prefix(key): slots for key, slots in order.slots.items()}
        self.unread = 0
        self.missing = {
            (name, slot): "never answered" if name in self._calls else CHANGED
            for name, slots in self._slots.items()
            for slot in slots
        }

    async def take(self, text: str) -> None:
        """Store a line's completions; after a temporary failure, its slots can be filled again."""
        try:
            line = parse_json(text)
            name, slots = parse_id(line["custom_id"], self._slots)
            if (call := self._calls.get(name)) is None:
                return
            results = _results(line, slots, seed_of(call.key, slots[0], self._seed))
        except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
            self.unread += 1
            return
        results = {slot: r for slot, r in results.items() if (name, slot) in self.missing}
        await self._cache.store(call, results)
        for slot, result in results.items():
            if isinstance(result, Failure):
                if (name, slot) in self.missing:
                    self.missing[name, slot] = result.kind
            elif self.missing.pop((name, slot), None):
                self._collected.stored += 1
                self._collected.usage += result.usage


def _results(line: JSON, slots: Sequence[int], seed: int) -> dict[int, Result]:
    """Return a line's result by slot; if completions are missing, the last slots have none."""
    response = line.get("response") or {}
    if fault := line.get("error"):
        failure = Failure(fault.get("code") or "server", str(fault.get("message")))
        return dict.fromkeys(slots, failure)
    raw = json.dumps(response.get("body")).encode()
    body = wire.parse_body(response.get("status_code", 500), {}, raw)
    got = body if isinstance(body, Failure) else wire.replies(body, seed)
    if isinstance(got, Failure):
        return dict.fromkeys(slots, got)
    return dict(zip(slots, islice(got, len(slots)), strict=False))
