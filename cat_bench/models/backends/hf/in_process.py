"""A model that this process runs: requests are split into rows, and threads run them in batches.

A backend adds only the loading: `hf` runs the model by torch, `small` by NumPy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import get_args

import numpy as np

from cat_bench.errors import ModelError
from cat_bench.models.backends import Request
from cat_bench.models.backends.hf.chat import Chat
from cat_bench.models.backends.hf.distribution import Distribution
from cat_bench.models.backends.hf.work import Draw, Passage
from cat_bench.models.backends.hf.worker import BatchWorkers
from cat_bench.types.calls import JSON, Capability, Failure, FloatArray, Message, Reply, Sampling


@dataclass(frozen=True, slots=True)
class Running:
    """A loaded model with the threads that run it; `on_end` is called after they have ended."""

    context: int
    vocabulary: int
    chat: Chat
    workers: BatchWorkers
    on_end: Callable[[], object] = lambda: None


class InProcess:
    """A model that `load` loads when the first call needs it, until `close()`.

    `identity`, `sampling` and `caution` are passed on unchanged. Up to `batch` completions of a
    request share one prefill.
    """

    def __init__(
        self,
        load: Callable[[], Running],
        *,
        identity: JSON,
        sampling: Sampling,
        batch: int,
        caution: str | None = None,
    ) -> None:
        self._load = load
        self.caution = caution
        self._identity, self._sampling, self._batch = identity, sampling, batch
        self._loading = Lock()
        self._loaded: Running | None = None
        self._closed = False

    @property
    def _running(self) -> Running:
        with self._loading:
            if self._loaded is None:
                self._require_open()
                self._loaded = self._load()
            return self._loaded

    def _require_open(self) -> None:
        if self._closed:
            raise ModelError("the model has been closed; open it again")

    @property
    def identity(self) -> JSON:
        """A digest of the folder's content, or the Hub's name with its commit."""
        return self._identity

    @property
    def capabilities(self) -> frozenset[Capability]:
        """The capabilities that need only the model's distributions."""
        return frozenset(get_args(Capability)) - {"embeddings", "rewards"}

    @property
    def choices(self) -> int:
        """The largest number of completions that a batch holds: they share one prefill."""
        return self._batch

    @property
    def sampling(self) -> Sampling:
        """The model's generation configuration; without sampling, the temperature is 0."""
        return self._sampling

    async def generate(self, request: Request) -> Sequence[Reply | Failure]:
        """Return one result per seed, in order.

        Without `max_tokens` a completion may fill the context. The token that ends a turn is not
        counted and has no log-probability: a reply's arrays cover its text. `stop` strings are cut
        off; the arrays keep the tokens up to the end of the string. Raises ModelError after
        `close`.
        """
        self._require_open()
        draws = await asyncio.to_thread(self._draws, request)
        if isinstance(draws, Failure):
            return [draws] * len(request.seeds)
        self._running.workers.submit(draws)
        return await asyncio.gather(*(asyncio.wrap_future(draw.future) for draw in draws))

    async def logprob(self, messages: Sequence[Message], text: str) -> FloatArray | Failure:
        """Return the log-probability in nats of each token of `text` as the reply to `messages`.

        The text is tokenised on its own, which may give other tokens than sampling it did. Only if
        the tokens are the same are the log-probabilities the same. The chat template's defaults
        apply (for example to thinking). Raises ModelError after `close`.
        """
        self._require_open()
        passage = await asyncio.to_thread(self._passage, messages, text)
        if not isinstance(passage, Passage):
            return passage
        self._running.workers.submit([passage])
        return await asyncio.wrap_future(passage.future)

    async def close(self) -> None:
        """End the threads; calls in flight fail."""
        self._closed = True
        if self._loaded is not None or self._loading.locked():
            await asyncio.to_thread(self._release)

    def _release(self) -> None:
        with self._loading:  # a model that is being loaded is closed after that
            if self._loaded is not None:
                self._loaded.workers.close()
                self._loaded.on_end()

    def _draws(self, request: Request) -> list[Draw] | Failure:
        sampling = request.sampling.over(self._sampling)
        stop = sampling.stop or ()
        try:
            if sampling.max_tokens is not None and sampling.max_tokens < 1:
                raise ValueError("max_tokens must be at least 1")
            prompt = self._running.chat.prompt(request.messages, sampling)
            distribution = Distribution.of(sampling)
        except ValueError as error:
            return Failure("bad_request", str(error), permanent=True)
        room = self._running.context - len(prompt.ids)
        limit = room if sampling.max_tokens is None else sampling.max_tokens
        if room < max(1, limit):
            return self._too_long(f"{len(prompt.ids)} tokens and a reply of {max(1, limit)}")
        compose = self._running.chat.composer(prompt, stop)
        watch = self._running.chat.watch(stop)
        return [
            Draw(
                prompt=prompt.ids,
                distribution=distribution,
                seed=seed,
                limit=limit,
                watch=watch,
                compose=compose,
            )
            for seed in request.seeds
        ]

    def _passage(self, messages: Sequence[Message], text: str) -> Passage | FloatArray | Failure:
        try:
            prompt = self._running.chat.prompt(messages, Sampling()).ids
        except ValueError as error:
            return Failure("bad_request", str(error), permanent=True)
        ids = self._running.chat.ids(text)
        if not ids:
            return np.empty(0, dtype=np.float32)
        if len(prompt) + len(ids) > self._running.context:
            return self._too_long(f"{len(prompt)} tokens and a given reply of {len(ids)}")
        return Passage(prompt=prompt, text=ids, vocabulary=self._running.vocabulary)

    def _too_long(self, sizes: str) -> Failure:
        context = self._running.context
        problem = f"a prompt of {sizes} do not fit the model's context of {context}"
        return Failure("context", problem, permanent=True)
