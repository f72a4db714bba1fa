"""A reward model behind a server: vLLM's /pooling, /classify and /score, and SGLang's /classify.

vLLM loads a float32 checkpoint as float16 unless it is started with `--dtype float32`; its numbers
then differ from transformers' in the third decimal. SGLang's format is implemented as documented.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from pydantic import PositiveFloat, PositiveInt

from cat_bench.errors import ConfigError, NotAvailable, UsageError
from cat_bench.models.backends.content import content
from cat_bench.models.backends.conversations import STEP, Conversations, Input, mark_steps, pair
from cat_bench.models.backends.fleet import connect
from cat_bench.models.backends.gathering import Gathering
from cat_bench.models.backends.numbers import Activation, Labels, make_reply
from cat_bench.models.backends.silent import Silent
from cat_bench.models.backends.wire import shares
from cat_bench.types.calls import JSON, Failure, FloatArray, Message, Reply

API: TypeAlias = Literal["pooling", "classify", "score", "sglang"]
LANES = 4
"""The most batches in flight."""


@dataclass(frozen=True, slots=True)
class Item:
    """One conversation in a request: its part of the body, its tokens if known, its steps."""

    sent: Mapping[str, JSON]
    tokens: int | None = None
    steps: int | None = None
    ends: tuple[int, ...] = field(default=())


class RewardServer(Silent):
    """A reward model at `base_url` (or several), else at OPENAI_BASE_URL.

    `api` is the endpoint. With `tokenizer`, a folder or a name on the Hub, conversations are
    written here and sent as token ids, up to `batch` per request; without it, each is one request,
    and the server applies its chat template. SGLang needs `tokenizer`. `score` sends the question
    and the response as a pair. Steps are read by `pooling` only: from a server with step pooling,
    or with `tokenizer` from one that gives a number for each token. `activation`, `label` and
    `step` are as in `Classifier`, key and `timeout` as for the backend `openai`.

    Raises ConfigError for options that exclude each other, UsageError if no URL is given.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | Sequence[str] | None = None,
        api_key: str | None = None,
        key_variable: str | None = None,
        timeout: PositiveFloat = 600.0,
        api: API = "classify",
        activation: Activation = "raw",
        label: int | None = None,
        tokenizer: str | None = None,
        step: str = STEP,
        batch: PositiveInt = 32,
    ) -> None:
        where = base_url or os.environ.get("OPENAI_BASE_URL")
        if not where:
            raise UsageError("a reward model needs its server's URL: give --base-url, or base_url")
        if api == "sglang" and (tokenizer is None or activation == "default"):
            problem = "'sglang' sends texts and gets raw numbers: give tokenizer, leave activation"
            raise ConfigError("reward model", "api", problem)
        if api == "score" and tokenizer is not None:
            raise ConfigError("reward model", "tokenizer", "'score' sends a pair of plain texts")
        urls = where.split(",") if isinstance(where, str) else where
        hosts = [url.strip().rstrip("/").removesuffix("/v1") for url in urls]
        self._endpoint = connect(hosts, api_key=api_key, key_variable=key_variable, timeout=timeout)
        self._model, self._api, self._activation, self._step = model, api, activation, step
        self._labels, self._tokenizer = Labels(label), tokenizer
        self._conversations: Conversations | None = None
        batched = tokenizer is not None or api == "score"
        self._gathering = Gathering(self._rate, size=batch if batched else 1, lanes=LANES)
        self._batched = batched
        self._obeys: bool | None = None if activation == "raw" and api != "sglang" else True
        self._lock = asyncio.Lock()

    @property
    def identity(self) -> JSON:
        """The model's name and the settings of requests."""
        settings = {"api": self._api, "activation": self._activation, "step": self._step}
        tokenizer = content(self._tokenizer)
        return {
            "name": self._model,
            "reward": {**settings, "tokenizer": tokenizer} | asdict(self._labels),
        }

    async def reward(
        self, messages: Sequence[Message], response: str | Sequence[str]
    ) -> Reply | Failure:
        """Return the number of a response or of each step; raises NotAvailable for the other."""
        try:
            item = await asyncio.to_thread(self._item, messages, response)
        except ValueError as error:
            return Failure("bad_request", str(error), permanent=True)
        if item.steps is None and isinstance(unclear := await self._check(item), Failure):
            return unclear
        if not self._batched:
            return (await self._rate([item]))[0]
        return await self._gathering(item)

    async def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        await self._endpoint.close()

    def _item(self, messages: Sequence[Message], response: str | Sequence[str]) -> Item:
        """Return the item for a conversation; raises NotAvailable, ValueError."""
        steps = None if isinstance(response, str) else len(response)
        if steps is not None and self._api != "pooling":
            raise NotAvailable(
                f"{self._model} by {self._api} gives no rewards of steps: give api=pooling"
            )
        if self._api == "score":
            query, document = pair(messages, "".join(response))
            return Item({"queries": query, "documents": document})
        if self._tokenizer is None:
            text = response if isinstance(response, str) else mark_steps(response, self._step)
            last: Message = {"role": "assistant", "content": text}
            sent = {"messages": [*messages, last], "add_generation_prompt": False}
            return Item(sent, steps=steps)
        if self._conversations is None:
            self._conversations = Conversations.load(
                self._tokenizer, revision=None, form="chat", step=self._step
            )
        write = self._conversations
        if isinstance(response, str):
            if self._api == "sglang":
                return Item({"text": write.text(messages, response)})
            return _token_item(write.whole(messages, response))
        return _token_item(write.stepwise(messages, response), steps=steps)

    async def _check(self, item: Item) -> Failure | None:
        """Ask once with the activation and once without: a server that ignores an unknown
        `use_activation` would return numbers that do not match their cache key."""
        async with self._lock:
            if self._obeys:
                return None
            raw, active = [await self._post_items([item], activation=on) for on in (False, True)]
            if isinstance(raw, Failure) or isinstance(active, Failure):
                return raw if isinstance(raw, Failure) else active  # type: ignore[return-value]
            first, second = (np.asarray(answer[0][0], dtype=float) for answer in (raw, active))
            if np.array_equal(first, second) and (first >= 0).all() and (first <= 1).all():
                problem = "the server ignores `use_activation`: give {activation=default}"
                return Failure("bad_request", problem)
            self._obeys = True
        return None

    async def _rate(self, items: Sequence[Item]) -> list[Reply | Failure]:
        active = self._activation == "default" or items[0].steps is not None
        same_kind = [item for item in items if (item.steps is None) == (items[0].steps is None)]
        if len(same_kind) < len(items):
            return [(await self._rate([item]))[0] for item in items]
        answer = await self._post_items(items, activation=active)
        if isinstance(answer, Failure):
            if len(items) == 1 or not answer.permanent:
                return [answer] * len(items)
            return [(await self._rate([item]))[0] for item in items]  # find the item that fails
        return [self._reply(item, *fields) for item, fields in zip(items, answer, strict=True)]

    def _reply(self, item: Item, values: JSON, tokens: int) -> Reply | Failure:
        try:
            if item.steps is None:
                numbers: FloatArray | float = self._labels.reward_of(
                    np.asarray(values, dtype=float)
                )
            else:
                numbers = self._labels.steps_of(_rows(values, item))
        except (TypeError, ValueError) as error:
            return Failure("bad_request", f"{self._model}: {error}", permanent=True)
        return make_reply(numbers, tokens=tokens, served_by=self._model)

    async def _post_items(
        self, items: Sequence[Item], *, activation: bool
    ) -> list[tuple[JSON, int]] | Failure:
        """Return the numbers and tokens of each item, in order."""
        body: dict[str, JSON] = {"model": self._model}
        if self._api != "sglang":
            body["use_activation"] = activation
        if self._api == "pooling":
            body["task"] = "classify" if items[0].steps is None else "token_classify"
        if self._batched:
            body |= {name: [item.sent[name] for item in items] for name in items[0].sent}
        else:
            body |= items[0].sent
        answer = await self._endpoint.post(_PATHS[self._api], body)
        if isinstance(answer, Failure):
            return answer
        try:
            entries, usage = _READ[self._api](answer)
            if len(entries) != len(items):
                raise ValueError(f"{len(entries)} results for {len(items)} conversations")
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as problem:
            return Failure("malformed", f"this is not the shape of /{self._api}: {problem!r}")
        return list(zip(entries, shares(usage, [item.tokens for item in items]), strict=True))


def _token_item(conversation: Input, steps: int | None = None) -> Item:
    return Item({"input": list(conversation.ids)}, len(conversation.ids), steps, conversation.ends)


def _rows(values: JSON, item: Item) -> FloatArray:
    """Return the steps' numbers, shape (steps, labels); raises ValueError for another number."""
    rows = np.asarray(values, dtype=float)
    rows = rows[:, None] if rows.ndim == 1 else rows
    if item.ends and len(rows) == item.tokens:
        rows = rows[list(item.ends)]
    if len(rows) != item.steps:
        advice = "start it with step pooling, or name its {tokenizer=…}"
        raise ValueError(f"{len(rows)} numbers for {item.steps} steps: {advice}")
    return rows


def _reader_of(name: str) -> Callable[[JSON], tuple[list[JSON], int | None]]:
    """Return a reader of one field of each entry of `data`, and of the prompt's tokens."""

    def read(answer: JSON) -> tuple[list[JSON], int | None]:
        entries = sorted(answer["data"], key=lambda entry: entry["index"])
        values = [entry[name] for entry in entries]
        used = (answer.get("usage") or {}).get("prompt_tokens")
        return [[v] if name == "score" else v for v in values], used

    return read


def _sglang(answer: JSON) -> tuple[list[JSON], int | None]:
    entries = answer if isinstance(answer, list) else [answer]
    used = sum((entry.get("meta_info") or {}).get("prompt_tokens") or 0 for entry in entries)
    return [entry["embedding"] for entry in entries], used


_PATHS: Mapping[API, str] = {
    "pooling": "/pooling",
    "classify": "/classify",
    "score": "/score",
    "sglang": "/classify",
}
_READ: Mapping[API, Callable[[JSON], tuple[list[JSON], int | None]]] = {
    "pooling": _reader_of("data"),
    "classify": _reader_of("probs"),
    "score": _reader_of("score"),
    "sglang": _sglang,
}
