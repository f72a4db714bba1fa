"""Requests to a model and their results: messages, sampling parameters, replies, failures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, Literal, TypeAlias, TypedDict

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

JSON: TypeAlias = Any
FloatArray: TypeAlias = NDArray[np.floating[Any]]
Capability: TypeAlias = Literal[
    "logprobs", "entropies", "certainties", "confidences", "scoring", "embeddings", "rewards"
]
RoleName: TypeAlias = Literal["policy", "anchor", "judge"]
"""The roles whose replies are sampled; embedders and reward models do not sample."""


class Message(TypedDict):
    """One chat message."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one completion; `reasoning` is the hidden part of `completion`."""

    prompt: int = 0
    completion: int = 0
    reasoning: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt + other.prompt,
            self.completion + other.completion,
            self.reasoning + other.reasoning,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Parameters that change the distribution of a completion; None leaves the model's default."""

    temperature: Annotated[float, Ge(0)] | None = None
    top_p: Annotated[float, Gt(0), Le(1)] | None = None
    top_k: Annotated[int, Ge(-1)] | None = None
    min_p: Annotated[float, Ge(0), Le(1)] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    max_tokens: Annotated[int, Ge(1)] | None = None
    stop: tuple[str, ...] | None = None
    thinking: bool | None = None
    reasoning_effort: str | None = None
    extra: Mapping[str, JSON] | None = None

    def over(self, default: Sampling) -> Sampling:
        """Return these parameters, with those of `default` where one is not set."""
        if not (defaults := default.given()):
            return self
        return Sampling(**{**defaults, **self.given()})

    def given(self) -> dict[str, JSON]:
        """Return the parameters that are set, by name."""
        return {n: value for n in _SAMPLING if (value := getattr(self, n)) is not None}


_SAMPLING = tuple(f.name for f in fields(Sampling))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One completion: the result of one draw of one model call.

    `token_logprobs` and `token_entropies` have shape (completion tokens,), in nats, under the raw
    model at temperature 1, unfiltered; None if the backend gives none. `measures` holds more
    arrays like them, by capability: `certainties` is KL(uniform || p) for each next-token
    distribution p, and `confidences` is minus the mean log-probability of the 20 likeliest tokens.
    For an embedded text it holds the `embedding`, shape (dimensions,); for a response that a reward
    model read, the `rewards`, shape (1,) or (steps,). `finish` is `stop`, `length`, `refusal` or
    the server's word. `seed` is the seed of this draw.
    """

    text: str
    reasoning: str | None = None
    finish: str | None = None
    usage: Usage = Usage()
    token_logprobs: FloatArray | None = field(default=None, compare=False)
    token_entropies: FloatArray | None = field(default=None, compare=False)
    measures: Mapping[str, FloatArray] = field(default_factory=dict, compare=False)
    served_by: str | None = None
    seed: int | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    """Numbers that came with an imported completion (a reward model's score), by name."""
    unsent: tuple[str, ...] = ()
    """Parameters that were asked for and refused: the model's own default held instead."""


TOKENS_MOST = 2**31 - 1
"""The most tokens that a reply can say it used."""


def flaw_of(reply: Reply) -> str | None:
    """Return what is wrong with a reply (a field's type or range), or None.

    Type annotations cannot check what a server, a plug-in or a file really returned.
    """
    if not isinstance(reply.text, str):
        return f"its text is {type(reply.text).__name__}"
    for name, value in (
        ("reasoning", reply.reasoning),
        ("finish", reply.finish),
        ("served_by", reply.served_by),
    ):
        if not (value is None or isinstance(value, str)):
            return f"its {name} is {type(value).__name__}, not text"
    if not (reply.seed is None or isinstance(reply.seed, int)):
        return f"its seed is {type(reply.seed).__name__}"
    if reply.unsent and not all(isinstance(name, str) for name in reply.unsent):
        return "its unsent parameters are not names"
    return _wrong_count(reply.usage) or _wrong_numbers(reply)


def _wrong_count(usage: Usage) -> str | None:
    for count in (usage.prompt, usage.completion, usage.reasoning):
        if type(count) is not int or not 0 <= count <= TOKENS_MOST:
            return f"its usage holds {str(count)[:20]!r}, which is no number of tokens"
    return None


def _wrong_numbers(reply: Reply) -> str | None:
    scores = reply.scores
    if not isinstance(scores, dict | Mapping) or (
        scores and not all(isinstance(score, float | int) for score in scores.values())
    ):
        return "its scores are not numbers by name"
    for array in (reply.token_logprobs, reply.token_entropies, *reply.measures.values()):
        if array is not None and (array.ndim != 1 or array.dtype.kind != "f"):
            return "its numbers per token are not a list of numbers"
    return None


@dataclass(frozen=True, slots=True)
class Failure:
    """A model call without a reply. A permanent failure is cached; a transient one is retried.

    `kind` is one of `rate_limit`, `server`, `timeout`, `connection`, `malformed` (a body that does
    not parse), `null` (no content), `context` (the input does not fit), `refused` (by a content
    policy), `bad_request`, `auth`, `offline`. `retry_after` is in seconds. `refuses` is the field
    of the request that the server does not take, where its error says so.
    """

    kind: str
    message: str
    permanent: bool = False
    retry_after: float | None = None
    refuses: str | None = field(default=None, compare=False)

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later."""
        return not self.permanent and self.kind not in {"auth", "offline", "bad_request"}

    @property
    def rate_limited(self) -> bool:
        """Whether the server asks for a pause: by a 429, or a 503 with Retry-After."""
        return self.kind == "rate_limit" or self.retry_after is not None


Result: TypeAlias = Reply | Failure
"""The result of one draw of a call."""


def check_result(result: Result) -> Result:
    """Return the result with its arrays in float32, or a `malformed` failure for an invalid reply.

    The cache stores float32. A number that changed when it is read again could break a tie.
    """
    if isinstance(result, Failure):
        return result
    if flaw := flaw_of(result):
        return Failure("malformed", f"the reply cannot be one: {flaw}")
    return _round_numbers(result)


def _round_numbers(reply: Reply) -> Reply:
    if reply.token_logprobs is None and reply.token_entropies is None and not reply.measures:
        return reply
    arrays = (reply.token_logprobs, reply.token_entropies, *reply.measures.values())
    if all(array is None or array.dtype == np.float32 for array in arrays):
        return reply

    def rounded(array: FloatArray | None) -> FloatArray | None:
        return None if array is None else array.astype(np.float32)

    return replace(
        reply,
        token_logprobs=rounded(reply.token_logprobs),
        token_entropies=rounded(reply.token_entropies),
        measures={name: array.astype(np.float32) for name, array in reply.measures.items()},
    )
