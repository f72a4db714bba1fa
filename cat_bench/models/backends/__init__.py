"""Ways to reach a model, one file per backend.

A backend makes one request and returns a `Reply` or a `Failure`. It neither caches nor throttles
(`models/cached.py` and `models/throttling.py` do), and it never raises for a failed call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from cat_bench.types.calls import JSON, Capability, Failure, FloatArray, Message, Reply, Sampling


@dataclass(frozen=True, slots=True)
class Request:
    """One request for `len(seeds)` completions of the same messages; a seed per completion."""

    messages: tuple[Message, ...]
    sampling: Sampling
    seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ImportedPool:
    """A pool in place of a model: a fixed number (`size`) of rollouts of each question.

    `scores` names the imported numbers of each rollout; without `exchangeable`, the rollouts are
    not i.i.d. samples of one model; without `texts`, they are only extracted answers.
    """

    name: str
    size: int
    scores: tuple[str, ...] = ()
    exchangeable: bool = True
    texts: bool = True


class Backend(Protocol):
    """A way of reaching one model.

    Optional attributes: `imported: ImportedPool`, if it replays a pool; and `caution: str | None`,
    a warning shown before a run, after the model's name.
    """

    @property
    def identity(self) -> JSON:
        """The model's identity on any server: name and revision, or digests."""
        ...

    @property
    def capabilities(self) -> frozenset[Capability]:
        """The model's capabilities beyond text."""
        ...

    @property
    def choices(self) -> int:
        """The most completions of one request."""
        ...

    @property
    def sampling(self) -> Sampling:
        """The model's own default sampling parameters."""
        ...

    async def generate(self, request: Request) -> Sequence[Reply | Failure]:
        """Return one result per seed, in order."""
        ...

    async def logprob(self, messages: Sequence[Message], text: str) -> FloatArray | Failure:
        """Return the log-probability in nats of each token of `text` as the reply to `messages`."""
        ...

    async def close(self) -> None:
        """Release all resources."""
        ...


@runtime_checkable
class Embedder(Protocol):
    """A backend with the capability `embeddings`."""

    async def embed(self, text: str) -> Reply | Failure:
        """Return a reply without text; its `measures` hold the `embedding`, not all zeros."""
        ...


@runtime_checkable
class RewardModel(Protocol):
    """A backend with the capability `rewards`."""

    async def reward(
        self, messages: Sequence[Message], response: str | Sequence[str]
    ) -> Reply | Failure:
        """Return a reply without text; its `measures` hold the `rewards` of a reply to `messages`.

        A string gets one number. A list of steps gets one number per step. Raises NotAvailable if
        the model gives only the other kind.
        """
        ...
