"""A model: a backend behind the cache and the throttle; nothing else calls a backend.

Invariants: a reply is returned only when it is durable; a cached slot is never requested again; a
slot is requested once, even if several tasks and processes want it at the same time; a call that
fails is a `Failure`, never an exception.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TypeAlias

from cat_bench.cache import Cache, Call
from cat_bench.cache.call import Kind
from cat_bench.cache.reasoning import take_apart
from cat_bench.cache.rows import drop_damaged
from cat_bench.errors import NotAvailable
from cat_bench.models.backends import Backend, Embedder, ImportedPool, Request, RewardModel
from cat_bench.models.costs import Budget, estimate_usage
from cat_bench.models.measures import embedding_of, logprobs_of
from cat_bench.models.planned import bound_usage, placeholder
from cat_bench.models.throttling import Flow, Gate, Limits
from cat_bench.types.calls import (
    Capability,
    Failure,
    FloatArray,
    Message,
    Reply,
    Result,
    Sampling,
    Usage,
    check_result,
)
from cat_bench.types.records import Pool, Question, Rollout

Produce: TypeAlias = Callable[[Sequence[int]], Awaitable[dict[int, Result]]]
Served: TypeAlias = Callable[[str, Collection[int]], None]
"""A callback that gets the key and the slots of each result that an offline model reads."""

OFFLINE = Failure("offline", "the reply is not in the cache, and this run calls no model")

POLL_S, POLL_MOST_S = 0.2, 2.0
"""Seconds between checks of slots that another process fills, at first and at most."""
ENOUGH = 8
"""A model that never answered is given up after so many failures of a kind in `OUT_OF_REACH`."""
OUT_OF_REACH = frozenset({"auth", "connection", "bad_request", "malformed"})


@dataclass(slots=True)
class Meter:
    """The completions of a run: made, cached, failed; and the tokens of those made."""

    made: int = 0
    cached: int = 0
    failed: int = 0
    usage: Usage = field(default_factory=Usage)


class Drawn(dict[int, Result]):
    """Results of one call by slot; `fresh` are the slots that this request made."""

    def __init__(self, results: Mapping[int, Result] | None = None, *, key: str) -> None:
        super().__init__(results or {})
        self.key = key
        self.fresh: set[int] = set()


class Model:
    """One model, cached and limited."""

    def __init__(
        self,
        name: str,
        backend: Backend,
        *,
        cache: Cache,
        limits: Limits | None = None,
        gate: Gate | None = None,
        budget: Budget | None = None,
        offline: bool = False,
        planning: bool = False,
        seed: int = 0,
        label: str | None = None,
        served: Served | None = None,
    ) -> None:
        self.name = name
        self.backend = backend
        self.meter = Meter()
        self._cache = cache
        self._flow = Flow(limits, gate=gate)
        self.imported: ImportedPool | None = getattr(backend, "imported", None)
        """The pool that replaces a model and cannot be called; None for a model."""
        self.unsent: Counter[str] = Counter()
        """Replies by a parameter that the model refused, cached ones included."""
        self._budget = budget
        self._offline = offline
        self._planned: dict[str, int] | None = {} if planning else None
        """The planned slots of each call, one bit each: a run may have a million."""
        self._seed = seed
        self._label = label
        self._served = served
        self.awaited: set[str] = set()
        """The keys of calls of other processes that this one waits for."""
        self._under_way: dict[tuple[str, int], asyncio.Future[None]] = {}

    @property
    def cautions(self) -> list[str]:
        """The warnings about the model, each to be read after its name."""
        lost = [
            f"refuses the {name} that was asked for: {count:,} replies were sampled at its own"
            for name, count in sorted(self.unsent.items())
        ]
        caution = getattr(self.backend, "caution", None)
        return [caution, *lost] if caution else lost

    @property
    def capabilities(self) -> frozenset[Capability]:
        """The model's capabilities beyond text."""
        return self.backend.capabilities

    async def rollouts(self, question: Question, count: int, sampling: Sampling) -> Pool:
        """Return the question's pool of `count` slots, from the cache or sampled now.

        An imported pool returns its rollouts; having fewer is not a failure.
        """
        if self.imported:
            call = Call.imported(self.imported.name, question.id)
            results = await self._cache.lookup(call, range(count))
            undamaged = drop_damaged(results)
            self._count_cached(undamaged)
            if self._served:
                self._served(call.key, undamaged)
        else:
            results = await self.draw(question.messages, range(count), sampling)
        return Pool(
            question,
            tuple(Rollout(slot, r) for slot, r in results.items() if isinstance(r, Reply)),
            {slot: r for slot, r in results.items() if isinstance(r, Failure)},
        )

    async def draw(
        self, messages: Sequence[Message], slots: Sequence[int], sampling: Sampling
    ) -> Drawn:
        """Return one durable result per slot, in the order of `slots`."""
        sampling = sampling.over(self.backend.sampling)
        call = Call.generated(self.backend.identity, messages, sampling, self._label)
        use = bound_usage(call)
        tokens = use.prompt + use.completion

        async def sample(leased: Sequence[int]) -> dict[int, Result]:
            seeds = [seed_of(call.key, slot, self._seed) for slot in leased]
            request = Request(call.messages, sampling, tuple(seeds))
            fresh = await self._flow.try_send(
                request, self.backend.generate, tokens=tokens * len(leased)
            )
            return dict(zip(leased, fresh, strict=True))

        return await self._obtain(call, slots, sample)

    async def logprob(self, messages: Sequence[Message], text: str) -> FloatArray | Failure:
        """Return the log-probability in nats of each token of `text` as the reply to `messages`."""
        scored = (await self.draw_logprobs(messages, text))[0]
        return scored if isinstance(scored, Failure) else logprobs_of(scored)

    async def draw_logprobs(self, messages: Sequence[Message], text: str) -> Drawn:
        """Return `logprob`'s result as slot 0: a reply without text."""
        call = Call("logprob", self.backend.identity, messages=tuple(messages), text=text)

        async def score() -> Result:
            logprobs = await self.backend.logprob(messages, text)
            if isinstance(logprobs, Failure):
                return logprobs
            return Reply(text="", token_logprobs=logprobs, usage=Usage(prompt=len(logprobs)))

        return await self._measure(call, score)

    async def embed(self, text: str) -> FloatArray | Failure:
        """Return the text's embedding, shape (dimensions,), of length 1."""
        embedded = (await self.draw_embedding(text))[0]
        return embedded if isinstance(embedded, Failure) else embedding_of(embedded)

    async def draw_embedding(self, text: str) -> Drawn:
        """Return `embed`'s result as slot 0: a reply without text.

        Raises NotAvailable if the backend has no embeddings.
        """
        backend = self.backend

        async def embed() -> Result:
            if not isinstance(backend, Embedder):
                raise NotAvailable(f"{self.name} gives no embeddings")
            return await backend.embed(text)

        return await self._measure(Call("embed", backend.identity, text=text), embed)

    async def draw_rewards(
        self, messages: Sequence[Message], response: str | Sequence[str]
    ) -> Drawn:
        """Return a reward model's numbers for a response or its steps as slot 0.

        Raises NotAvailable if the backend is not a reward model.
        """
        backend = self.backend

        async def reward() -> Result:
            if not isinstance(backend, RewardModel):
                raise NotAvailable(f"{self.name} gives no rewards")
            return await backend.reward(messages, response)

        is_text = isinstance(response, str)
        text = response if isinstance(response, str) else json.dumps([*response])
        kind: Kind = "reward" if is_text else "steps"
        call = Call(kind, backend.identity, messages=tuple(messages), text=text)
        return await self._measure(call, reward)

    async def close(self) -> None:
        """Release the backend."""
        await self.backend.close()

    async def _measure(self, call: Call, measure: Callable[[], Awaitable[Result]]) -> Drawn:
        """Return the result of a call that has one slot: a measurement of a text."""

        async def send(_: Request) -> Sequence[Result]:
            return [await measure()]

        async def produce(leased: Sequence[int]) -> dict[int, Result]:
            request = Request(call.messages, Sampling(), tuple(leased))
            results = await self._flow.try_send(request, send, tokens=bound_usage(call).prompt)
            return dict(zip(leased, results, strict=True))

        return await self._obtain(call, [0], produce)

    async def _obtain(self, call: Call, slots: Sequence[int], produce: Produce) -> Drawn:
        """Return each slot's result: from the cache, from another task, or made now."""
        if self._planned is not None:
            return await self._plan(call, slots, self._planned)
        if self._offline:
            return Drawn(await self._lookup(call, slots), key=call.key)
        results, pause = Drawn(key=call.key), POLL_S
        while missing := [slot for slot in dict.fromkeys(slots) if slot not in results]:
            if busy := [f for s in missing if (f := self._under_way.get((call.key, s)))]:
                await asyncio.wait(busy)
                stored = drop_damaged(await self._cache.lookup(call, missing))
                self._count_cached(stored)
                results.update(stored)
            elif not await self._claim(call, missing, produce, results=results):
                self.awaited.add(call.key)
                await asyncio.sleep(pause)
                pause = min(2 * pause, POLL_MOST_S)
        self.awaited.discard(call.key)
        ordered = Drawn({slot: results[slot] for slot in slots}, key=call.key)
        ordered.fresh = results.fresh
        return ordered

    async def _claim(
        self, call: Call, slots: Sequence[int], produce: Produce, *, results: Drawn
    ) -> bool:
        """Claim and fill the free `slots`; return False if another process makes the rest."""
        mark = asyncio.get_running_loop().create_future()
        places = [(call.key, slot) for slot in slots]
        self._under_way.update(dict.fromkeys(places, mark))
        try:
            claim = await self._cache.claim(call, slots)
            self._count_cached(claim.done)
            results.update(claim.done)
            await self._make(call, sorted(claim.mine), produce, results=results)
        finally:
            for place in places:
                del self._under_way[place]
            mark.set_result(None)
        return bool(claim.mine) or not claim.others

    async def _make(
        self, call: Call, leased: Sequence[int], produce: Produce, *, results: Drawn
    ) -> None:
        """Make the leased slots in requests of the backend's size, each stored as it arrives."""

        async def make_group(group: Sequence[int]) -> None:
            fresh = {s: take_apart(check_result(r)) for s, r in (await produce(group)).items()}
            for result in fresh.values():  # counted before it is stored
                self._count(result, call)
            stored = await self._flow.store(self._cache.store(call, fresh))
            results.update({**fresh, **stored})
            results.fresh.update(fresh)

        size = max(1, self.backend.choices)
        groups = [leased[start : start + size] for start in range(0, len(leased), size)]
        try:
            if len(groups) == 1:  # as in judging, where a task would double the CPU time
                await make_group(groups[0])
            else:
                await asyncio.gather(*map(make_group, groups))
        finally:
            if unproduced := [slot for slot in leased if slot not in results.fresh]:
                await self._cache.release(call, unproduced)

    async def _lookup(self, call: Call, slots: Sequence[int]) -> dict[int, Result]:
        stored = await self._cache.lookup(call, slots)
        undamaged = drop_damaged(stored)
        self._count_cached(undamaged)
        if self._served:
            self._served(call.key, undamaged)
        return {slot: stored.get(slot, OFFLINE) for slot in slots}

    async def _plan(self, call: Call, slots: Sequence[int], planned: dict[str, int]) -> Drawn:
        """Return stored results, and a placeholder for each other slot."""
        results = Drawn(drop_damaged(await self._cache.lookup(call, slots)), key=call.key)
        self._count_cached(results)
        for slot in slots:
            if slot not in results:
                results[slot] = placeholder(call, slot)
                if not planned.get(call.key, 0) >> slot & 1:
                    planned[call.key] = planned.get(call.key, 0) | 1 << slot
                    results.fresh.add(slot)
                    self._count(results[slot], call)
        return results

    def _count_cached(self, stored: Mapping[int, Result]) -> None:
        self.meter.cached += len(stored)
        self._note_unsent(stored.values())

    def _count(self, result: Result, call: Call) -> None:
        if isinstance(result, Failure):
            self.meter.failed += 1
            hopeless = not self.meter.made and self.meter.failed >= ENOUGH
            if hopeless and result.kind in OUT_OF_REACH and not result.permanent:
                self._flow.gate.close(result.kind, f"{self.name} cannot be used: {result.message}")
        else:
            self.meter.made += 1
            self._note_unsent([result])
            self.meter.usage += result.usage
            if self._budget:
                written = result.text + (result.reasoning or "")
                use = estimate_usage(result.usage, prompt=bound_usage(call).prompt, text=written)
                self._budget.spend(self.name, use)

    def _note_unsent(self, results: Iterable[Result]) -> None:
        for result in results:
            if isinstance(result, Reply) and result.unsent:
                self.unsent.update(result.unsent)


def seed_of(key: str, slot: int, seed: int) -> int:
    """Derive a slot's seed from call, slot and run's seed; all servers accept 31 bits."""
    return int.from_bytes(sha256(f"{key}/{slot}/{seed}".encode()).digest()[:4]) >> 1
