"""The responses of a reward model's endpoints, in the formats of vLLM 0.32 and SGLang.

vLLM has /pooling, /classify and /score; SGLang's /classify takes `text` and answers with a list.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp
from typing import TypeAlias

from aiohttp import web

from cat_bench.testing import protocol
from cat_bench.types.calls import JSON

NEEDED = {"/pooling": "messages|input", "/classify": "messages|input|text", "/score": "queries"}
"""The fields of which a body must hold one, by path."""
Conversation: TypeAlias = str | tuple[int, ...]
"""The input of the model: a text, or token ids."""


def brevity(conversation: Conversation) -> float:
    """Return a raw number from -2 to 2 that falls with the length."""
    return 2 - len(conversation) % 400 / 100


@dataclass(slots=True, kw_only=True)
class Rating:
    """A reward model of one label: `rate` gives a conversation's raw number.

    With `step`, /pooling gives two labels' numbers for each step, of which `rate` reads the
    conversation up to its end, as a model with step pooling does. With
    `ignores_activation` it always activates, like servers without `use_activation`.
    """

    rate: Callable[[Conversation], float] = brevity
    step: str | None = None
    ignores_activation: bool = False

    def tokens(self, body: JSON) -> int:
        """Return the tokens of the longest conversation."""
        return max(_count(conversation) for conversation in _conversations(body))

    def answer(self, path: str, body: JSON) -> web.Response:
        """Return the answer to a request that is not refused."""
        conversations = _conversations(body)
        if "text" in body:
            return web.json_response(
                [
                    {"embedding": [self.rate(c)], "meta_info": {"prompt_tokens": _count(c)}}
                    for c in conversations
                ]
            )
        active = body.get("use_activation") is not False or self.ignores_activation
        steps = body.get("task") == "token_classify"
        entries = [self._entry(path, c, steps=steps, active=active) for c in conversations]
        prompt_tokens = sum(map(_count, conversations))
        data = [{"index": k, **entry} for k, entry in enumerate(entries)]
        usage = {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens}
        response = {"object": "list", "model": body["model"], "data": data[::-1], "usage": usage}
        return web.json_response(response)

    def _entry(
        self, path: str, conversation: Conversation, *, steps: bool, active: bool
    ) -> dict[str, JSON]:
        if steps:
            return {"data": self._steps(conversation)}
        number = self._number(conversation, active)
        match path:
            case "/pooling":
                return {"object": "pooling", "data": [number]}
            case "/classify":
                return {"label": "LABEL_0", "probs": [number], "num_classes": 1}
        return {"object": "score", "score": number}

    def _number(self, conversation: Conversation, active: bool) -> float:
        raw = self.rate(conversation)
        return 1 / (1 + exp(-raw)) if active else raw

    def _steps(self, conversation: Conversation) -> list[list[float]]:
        if isinstance(conversation, tuple) or self.step is None:
            parts = [conversation[: k + 1] for k in range(len(conversation))]
        else:
            pieces = conversation.split(self.step)
            parts = [self.step.join(pieces[: k + 1]) for k in range(len(pieces) - 1)]
        right = [self._number(part, active=True) for part in parts]
        return [[1 - share, share] for share in right]


def _conversations(body: JSON) -> list[Conversation]:
    if "messages" in body:
        return ["\n".join(message["content"] for message in body["messages"])]
    if "queries" in body:
        queries, documents = _list(body["queries"]), _list(body["documents"])
        if len(queries) == 1:
            queries *= len(documents)
        return [f"{query}\n{document}" for query, document in zip(queries, documents, strict=True)]
    several = _list(body.get("input", body.get("text")))
    return [item if isinstance(item, str) else tuple(item) for item in several]


def _list(value: JSON) -> list[JSON]:
    return value if isinstance(value, list) else [value]


def _count(conversation: Conversation) -> int:
    return protocol.count(conversation) if isinstance(conversation, str) else len(conversation)
