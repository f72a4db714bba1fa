"""A model call, and the key under which it is cached.

The key is the SHA-256 of a canonical document: numbers that are equal are written alike (1 and
1.0), mappings are sorted, None entries are dropped. Settings that do not change the distribution of
a reply (timeouts, retries, concurrency, the server's address, a run's seed) are not part of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from math import isfinite
from typing import Literal

from cat_bench.errors import UsageError
from cat_bench.types.calls import JSON, Failure, Message, Reply, Sampling

Kind = Literal["generate", "logprob", "embed", "reward", "steps", "imported"]
_encode = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
).encode
_AS_IT_IS = frozenset({str, int, bool, type(None)})


@dataclass(frozen=True, slots=True)
class Call:
    """One model call, without the number of its draw (slot); draws are exchangeable.

    Raises UsageError if a part has no canonical JSON form (a NaN, a key that is not a string).
    """

    kind: Kind
    model: JSON
    messages: tuple[Message, ...] = ()
    sampling: Mapping[str, JSON] = field(default_factory=dict)
    text: str | None = None
    """The text scored, embedded or rewarded (the JSON list of `steps`); the question's id where
    the rollouts were imported."""
    label: str | None = None
    """A label that asks for fresh draws of the same call."""
    document: str = field(init=False, repr=False, compare=False)
    """Everything above as canonical JSON."""
    key: str = field(init=False, repr=False, compare=False)
    """SHA-256 of the document, in hexadecimal."""

    def __post_init__(self) -> None:
        document = canonical(
            {
                "kind": self.kind,
                "model": self.model,
                "messages": self.messages,
                "sampling": self.sampling,
                "text": self.text,
                "label": self.label,
            }
        )
        object.__setattr__(self, "document", document)
        object.__setattr__(self, "key", key_of(document))

    @classmethod
    def generated(
        cls, model: JSON, messages: Sequence[Message], sampling: Sampling, label: str | None = None
    ) -> Call:
        """Return a completion of these messages by the model of this identity."""
        return cls("generate", model, tuple(messages), sampling.given(), label=label)

    @classmethod
    def imported(cls, pool: str, question: str) -> Call:
        """Return the rollouts that an imported pool holds for one question."""
        return cls("imported", {"pool": pool}, text=question)


@dataclass(frozen=True, slots=True)
class Claim:
    """The state of the requested slots of a call; the three parts are disjoint and complete."""

    done: dict[int, Reply | Failure]
    """Stored already, permanent failures included."""
    mine: frozenset[int]
    """Leased to this claim: sample them, then store or release them."""
    others: frozenset[int]
    """Leased to another claim, in this process or another: ask again later."""


def canonical(value: JSON) -> str:
    """Return the one JSON text for everything that equals `value`.

    Raises UsageError for values that JSON cannot hold: a number that is not finite, a key that is
    not a string, an object of another type.
    """
    try:
        return _encode(_normalise(value))
    except (TypeError, ValueError) as error:
        raise UsageError(f"a model call cannot be keyed: {error}") from error


def key_of(document: str) -> str:
    """Return the SHA-256 of a canonical document; lone surrogates are hashed unchanged."""
    return sha256(document.encode("utf-8", "surrogatepass")).hexdigest()


def _normalise(value: JSON) -> JSON:
    if type(value) in _AS_IT_IS:
        return value
    if isinstance(value, Mapping):
        if not {*map(type, value)} <= {str} and not all(isinstance(name, str) for name in value):
            raise TypeError(f"keys must be strings, not {list(value)!r}")
        return {
            name: item if type(item) in _AS_IT_IS else _normalise(item)
            for name, item in value.items()
            if item is not None
        }
    if isinstance(value, float) and isfinite(value) and value.is_integer():
        return int(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_normalise(item) for item in value]
    return value
