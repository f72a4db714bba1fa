"""A model whose replies a function writes: for tests, and to run any program as a model.

An exception in the script is a bug in the script, and is raised unchanged.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

import numpy as np

from cat_bench.errors import ConfigError, NotAvailable
from cat_bench.loading.registry import is_file, load
from cat_bench.models.backends import Request
from cat_bench.types.calls import (
    JSON,
    Capability,
    Failure,
    FloatArray,
    Message,
    Reply,
    Sampling,
    Usage,
)

Outcome: TypeAlias = str | Reply | Failure
Script: TypeAlias = Callable[[Request, int], Outcome | Awaitable[Outcome]]
ScoreScript: TypeAlias = Callable[[Sequence[Message], str], Sequence[float] | FloatArray | Failure]
RewardScript: TypeAlias = Callable[
    [Sequence[Message], str | Sequence[str]], float | Sequence[float] | FloatArray | Failure
]
EmbedScript: TypeAlias = Callable[[str], Sequence[float] | FloatArray | Failure]

RECENT = 1000
"""The number of requests that are kept for inspection."""


class Scripted:
    """A model made of functions: `reply(request, seed)` writes one completion and may be async,
    `scoring` scores a text, `embedding` embeds one, `rewarding` rates a response or its steps.

    A plain string becomes a finished reply, with words counted as tokens. `delay` is in seconds per
    request. `requests` keeps the last requests, `completions` counts the completions.
    """

    def __init__(
        self,
        reply: Script,
        *,
        identity: JSON = "scripted",
        capabilities: Collection[Capability] = (),
        choices: int = 1,
        sampling: Sampling | None = None,
        delay: float = 0.0,
        scoring: ScoreScript | None = None,
        embedding: EmbedScript | None = None,
        rewarding: RewardScript | None = None,
    ) -> None:
        self._reply = reply
        self.identity = identity
        """The identity that was given."""
        self._capabilities = frozenset[Capability](capabilities)
        self.choices = choices
        """The most completions of one request."""
        self.sampling = sampling or Sampling()
        """The given default sampling parameters."""
        self._delay = delay
        self._scoring = scoring
        self._embedding = embedding
        self._rewarding = rewarding
        self.requests = deque[Request](maxlen=RECENT)
        self.calls = 0
        """The number of requests made."""
        self.completions = 0
        self.scored = self.embedded = self.rewarded = 0

    @property
    def capabilities(self) -> frozenset[Capability]:
        """The given capabilities, and those with a script."""
        scripts: dict[Capability, object] = {
            "scoring": self._scoring,
            "embeddings": self._embedding,
            "rewards": self._rewarding,
        }
        return self._capabilities | {name for name, script in scripts.items() if script}

    async def generate(self, request: Request) -> Sequence[Reply | Failure]:
        """Return one result per seed, in order."""
        self.requests.append(request)
        self.calls += 1
        if self._delay:
            await asyncio.sleep(self._delay)
        return [await self._answer(request, seed) for seed in request.seeds]

    async def _answer(self, request: Request, seed: int) -> Reply | Failure:
        written = self._reply(request, seed)
        outcome = await written if isinstance(written, Awaitable) else written
        self.completions += 1
        if isinstance(outcome, str):
            words = sum(len(message["content"].split()) for message in request.messages)
            usage = Usage(prompt=words, completion=len(outcome.split()))
            outcome = Reply(text=outcome, finish="stop", usage=usage)
        if isinstance(outcome, Reply) and outcome.seed is None:
            return replace(outcome, seed=seed)
        return outcome

    async def logprob(self, messages: Sequence[Message], text: str) -> FloatArray | Failure:
        """Return the scoring script's result; raises NotAvailable without one."""
        if self._scoring is None:
            raise NotAvailable("this scripted model has no `scoring`, so it cannot score a text")
        self.scored += 1
        scores = self._scoring(messages, text)
        return scores if isinstance(scores, Failure) else np.asarray(scores, dtype=np.float64)

    async def embed(self, text: str) -> Reply | Failure:
        """Return the embedding script's result; raises NotAvailable without one."""
        if self._embedding is None:
            raise NotAvailable("this scripted model has no `embedding`, so it cannot embed a text")
        self.embedded += 1
        vector = self._embedding(text)
        if isinstance(vector, Failure):
            return vector
        measures = {"embedding": np.asarray(vector, dtype=np.float64)}
        return Reply(text="", usage=Usage(prompt=len(text.split())), measures=measures)

    async def reward(
        self, messages: Sequence[Message], response: str | Sequence[str]
    ) -> Reply | Failure:
        """Return the reward script's result; raises NotAvailable without one."""
        if self._rewarding is None:
            raise NotAvailable("this scripted model has no `rewarding`, so it gives no rewards")
        self.rewarded += 1
        rewarded = self._rewarding(messages, response)
        if isinstance(rewarded, Failure):
            return rewarded
        numbers = np.atleast_1d(np.asarray(rewarded, dtype=np.float64))
        words = len("".join(response).split())
        return Reply(text="", usage=Usage(prompt=words), measures={"rewards": numbers})

    async def close(self) -> None:
        """Do nothing: nothing was opened."""


def open_file(name: str, **options: JSON) -> Scripted:
    """Open `./file.py:function` as a model; its identity is the file's text.

    Raises ConfigError if there is no such file or function.
    """
    if not is_file(name):
        raise ConfigError(f"model 'scripted:{name}'", "", "write scripted:./file.py:function")
    return Scripted(load("backend", name), identity=_file(name), **options)


def rewards_from_file(name: str) -> Scripted:
    """Return the function `(messages, response)` of `./file.py:function`, as a reward model.

    It returns one number for a response, or one per step for a list of steps.
    """
    if not is_file(name):
        raise ConfigError(
            f"reward model 'scripted:{name}'", "", "write scripted:./file.py:function"
        )
    script = load("reward_model", name)
    return Scripted(_say_nothing, identity=_file(name), rewarding=script)


def _say_nothing(*_: object) -> str:
    return ""


def _file(name: str) -> JSON:
    path, _, function = name.rpartition(":")
    return {"script": function, "sha256": sha256(Path(path).read_bytes()).hexdigest()}
