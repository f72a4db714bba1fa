"""Any model behind an OpenAI-compatible URL.

Invariants:

- one request is one attempt (the caller retries);
- a parameter that the server refuses is dropped or renamed, and the request is sent again at once;
- replies name the sampling parameters that were not sent;
- a failed call is a `Failure`, never an exception.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np
from pydantic import PositiveFloat, PositiveInt

from cat_bench.errors import ConfigError, NotAvailable, UsageError
from cat_bench.models.backends import Request, wire
from cat_bench.models.backends.copies import Copies
from cat_bench.models.backends.endpoint import Endpoint
from cat_bench.models.backends.fleet import Fleet, connect
from cat_bench.models.backends.refusals import DEFAULTED, cut_at_stop
from cat_bench.models.backends.scoring import (
    Render,
    Score,
    by_prompt_logprobs,
    choose_way,
    score_by_echo,
)
from cat_bench.types.calls import JSON, Capability, Failure, FloatArray, Message, Reply, Sampling

Scoring: TypeAlias = Literal["auto", "prompt_logprobs", "echo"]


class OpenAI:
    """A model behind one or several OpenAI-compatible URLs; use it in one loop, then `close()` it.

    `timeout` is in seconds per request. `choices` is the most completions of one request; it falls
    if the server returns fewer. `logprobs` requests each token's log-probability, until the server
    refuses. Without `seed`, no seed is sent. `scoring` enables `logprob`: by vLLM's
    `prompt_logprobs`, by `echo` on the completion endpoint (which needs `render`, the model's chat
    template), or by the first that works. `sampling` is the model's default. `base_url` is as in
    `connect`, `api_key` and `key_variable` as in `Endpoint`, whose errors are raised too.

    Raises ConfigError for `echo` without `render`.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | Sequence[str] | None = None,
        api_key: str | None = None,
        key_variable: str | None = None,
        timeout: PositiveFloat = 600.0,
        choices: PositiveInt = 8,
        logprobs: bool = True,
        seed: bool = True,
        scoring: Scoring | None = None,
        render: Render | None = None,
        sampling: Sampling | None = None,
    ) -> None:
        if scoring == "echo" and render is None:
            problem = "'echo' sends plain text; give the model's chat template as `render`"
            raise ConfigError("openai", "scoring", problem)
        self._model = model
        self._endpoint = connect(
            base_url, api_key=api_key, key_variable=key_variable, timeout=timeout
        )
        self._choices = choices
        self._logprobs = logprobs
        self._sampling = sampling or Sampling()
        self._ways = self._scorers(scoring, render)
        self._scorer: Score | None = None
        self._unscorable: str | None = None if scoring else "scoring was not enabled"
        self._refused_fields: set[str] = set() if seed else {"seed"}
        self._refused_values: set[tuple[str, str]] = set()
        """Fields of `DEFAULTED` and the values that the server refuses."""
        self._copies = Copies()
        self._lock = asyncio.Lock()

    def __repr__(self) -> str:
        return f"OpenAI({self._model!r}, base_url={self._endpoint.url!r})"

    @property
    def identity(self) -> JSON:
        """The model's name, on any server."""
        return {"name": self._model}

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What was requested and not refused, and `embeddings`, which only a call can tell."""
        logprobs: set[Capability] = {"logprobs"} if self._logprobs else set()
        scoring: set[Capability] = set() if self._unscorable else {"scoring"}
        return frozenset(logprobs - self._refused_fields | scoring | {"embeddings"})

    @property
    def choices(self) -> int:
        """The most completions of one request."""
        return self._choices

    @property
    def sampling(self) -> Sampling:
        """The model's own default sampling parameters."""
        return self._sampling

    async def generate(self, request: Request) -> Sequence[Reply | Failure]:
        """Return one result per seed, in order.

        A request has at most `choices` completions and sends only its first seed. Missing
        completions are requested again at once.
        """
        seeds, size = request.seeds, self._choices
        if len(seeds) <= size:
            return await self._ask(request)
        parts = [replace(request, seeds=seeds[i : i + size]) for i in range(0, len(seeds), size)]
        return [result for part in await asyncio.gather(*map(self._ask, parts)) for result in part]

    async def _ask(self, request: Request) -> list[Reply | Failure]:
        count = len(request.seeds)
        answer = await self._complete(request)
        seed = None if "seed" in self._refused_fields else request.seeds[0]
        got = answer if isinstance(answer, Failure) else wire.replies(answer, seed)
        if isinstance(got, Failure):
            return [got] * count
        if request.sampling.temperature != 0:
            self._copies.look(got)
        refused = self._find_refused(request)
        got = [_complete_reply(request, result, refused) for result in got]
        if len(got) >= count:
            return got[:count]
        self._choices = min(self._choices, len(got))
        rest = await self.generate(replace(request, seeds=request.seeds[len(got) :]))
        return [*got, *rest]

    async def _complete(self, request: Request) -> JSON | Failure:
        while True:
            body = self.body(request)
            answer = await self._endpoint.post("/chat/completions", body)
            refused = answer.refuses if isinstance(answer, Failure) else None
            if refused is None or refused in (request.sampling.extra or ()):
                return answer
            if refused in DEFAULTED:
                self._refused_values.add((refused, repr(body[refused])))
            else:
                self._refused_fields.add(refused)

    def _find_refused(self, request: Request) -> set[str]:
        """Return the fields of a request that the server refuses for their values."""
        if not self._refused_values:
            return set()
        body = self._body(request, self._refused_fields)
        sent = {(name, repr(value)) for name, value in body.items()}
        return {name for name, _ in sent & self._refused_values}

    @property
    def caution(self) -> str | None:
        """A warning about the server that its replies have given cause for; see `Backend`."""
        return self._copies.caution

    def body(self, request: Request) -> dict[str, JSON]:
        """Return the body of a request, without the fields refused so far."""
        return self._body(request, self._refused_fields | self._find_refused(request))

    def _body(self, request: Request, refused: set[str]) -> dict[str, JSON]:
        return wire.body(
            self._model,
            request.messages,
            request.sampling,
            seeds=request.seeds,
            logprobs=self._logprobs,
            refused=refused,
        )

    @property
    def endpoint(self) -> Endpoint:
        """The server; raises UsageError for several URLs."""
        if isinstance(self._endpoint, Fleet):
            raise UsageError(f"name one server, not several: {self._endpoint.url}")
        return self._endpoint

    async def logprob(self, messages: Sequence[Message], text: str) -> FloatArray | Failure:
        """Return the log-probability in nats of each token of `text` as the reply to `messages`.

        Raises NotAvailable if scoring was not enabled or the server failed the first check.
        """
        if not text:
            return np.zeros(0, dtype=np.float32)
        scorer = self._scorer or await self._check_scoring()
        return scorer if isinstance(scorer, Failure) else await scorer(messages, text)

    async def embed(self, text: str) -> Reply | Failure:
        """Return a reply without text; its `measures` hold the `embedding`."""
        sent = {"model": self._model, "input": text, "encoding_format": "float"}
        answer = await self._endpoint.post("/embeddings", sent)
        return answer if isinstance(answer, Failure) else wire.read_embedding(answer)

    async def _check_scoring(self) -> Score | Failure:
        async with self._lock:
            if self._scorer is None and not self._unscorable:
                way = await choose_way(self._ways)
                if isinstance(way, Failure):
                    return way
                if isinstance(way, str):
                    self._unscorable = way
                else:
                    self._scorer = way
        if self._scorer is None:
            raise NotAvailable(f"{self._model} cannot score a given text: {self._unscorable}")
        return self._scorer

    def _scorers(self, scoring: Scoring | None, render: Render | None) -> dict[str, Score]:
        ways: dict[str, Score] = {}
        if scoring in ("auto", "prompt_logprobs"):
            ways["prompt_logprobs"] = by_prompt_logprobs(self._endpoint.post, self._model)
        if scoring in ("auto", "echo") and render is not None:
            ways["echo"] = score_by_echo(self._endpoint.post, self._model, render)
        return ways

    async def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        await self._endpoint.close()


def _complete_reply(
    request: Request, reply: Reply | Failure, refused: Collection[str]
) -> Reply | Failure:
    """Name the unsent parameters; if `stop` was not sent, cut the text at the first stop."""
    if isinstance(reply, Failure) or not refused:
        return reply
    if "stop" in refused:
        reply = cut_at_stop(reply, request.sampling.stop or ())
    unsent = sorted(DEFAULTED[name] for name in refused if name != "stop")
    return replace(reply, unsent=tuple(unsent))
