"""The context of a plug-in for one question: models, prompts, answers, randomness.

Every call through a context is cached and billed to the context's user. A context has no target.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

import numpy as np

from cat_bench.errors import PLUGIN_BUGS, CallFailed, ContextTooLong, NotAvailable
from cat_bench.loading.prompts import Prompts
from cat_bench.models.cached import Drawn, Model
from cat_bench.models.costs import Charge
from cat_bench.models.critical_path import count_path, extend
from cat_bench.models.measures import embedding_of, logprobs_of, rewards_of
from cat_bench.types.calls import JSON, Capability, Failure, FloatArray, Message, Reply, Sampling
from cat_bench.types.plugins import AnswerScorer, Context, T
from cat_bench.types.records import Rollout


@dataclass(frozen=True, slots=True)
class Role:
    """A model in a role, with the role's sampling parameters."""

    model: Model
    sampling: Sampling = field(default_factory=Sampling)


@dataclass(frozen=True, slots=True)
class Roles:
    """The model of each role in a run, or None."""

    policy: Role
    anchor: Role | None = None
    judge: Role | None = None
    embedder: Role | None = None
    reward: Role | None = None


@dataclass(frozen=True, slots=True)
class Borrowed:
    """A role's model as one plug-in sees it: each call is added to `bill`."""

    name: str
    role: Role
    bill: list[Charge]

    @property
    def capabilities(self) -> frozenset[Capability]:
        """The model's capabilities beyond text."""
        return self.role.model.capabilities

    async def ask(
        self, messages: str | Sequence[Message], *, draw: int = 0, **sampling: JSON
    ) -> Reply:
        """Return one reply; raises CallFailed, or ContextTooLong if the input does not fit."""
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        chosen = Sampling(**sampling).over(self.role.sampling)
        drawn = await self.role.model.draw(messages, [draw], chosen)
        reply = drawn[draw]
        place = (drawn.key, draw)
        self.bill.append(Charge.of(self.name, reply, fresh=draw in drawn.fresh, place=place))
        if isinstance(reply, Failure):
            raise call_failed(reply)
        extend(reply.usage.completion)
        return reply

    async def logprob(self, messages: Sequence[Message], text: str) -> FloatArray:
        """Return the log-probability in nats of each token of `text` as the reply to `messages`."""
        if "scoring" not in self.capabilities:
            raise NotAvailable(f"{self.role.model.name} cannot score a given text")
        return logprobs_of(self._bill(await self.role.model.draw_logprobs(messages, text)))

    async def embed(self, text: str) -> FloatArray:
        """Return the text's embedding, of length 1; one use pays once for equal texts."""
        if "embeddings" not in self.capabilities:
            raise NotAvailable(f"{self.role.model.name} gives no embeddings")
        return embedding_of(self._bill(await self.role.model.draw_embedding(text), once=text))

    async def reward(
        self, messages: Sequence[Message], response: str | Sequence[str]
    ) -> FloatArray:
        """Return the reward model's numbers; one use pays once for the same response."""
        if "rewards" not in self.capabilities:
            raise NotAvailable(f"{self.role.model.name} gives no rewards")
        key = repr((messages, response))
        return rewards_of(
            self._bill(await self.role.model.draw_rewards(messages, response), once=key)
        )

    def _bill(self, drawn: Drawn, *, once: str | None = None) -> Reply:
        """Charge and return the measurement in slot 0; raises CallFailed."""
        place = (drawn.key, 0)
        if isinstance(result := drawn[0], Failure):
            self.bill.append(Charge.of(self.name, result, place=place))
            raise call_failed(result)
        fresh = 0 in drawn.fresh
        self.bill.append(Charge(self.name, result.usage, fresh=fresh, once=once, place=place))
        return result


@dataclass(frozen=True, slots=True)
class QuestionContext:
    """The `Context` of one question and one use of one plug-in."""

    roles: Roles
    answers: AnswerScorer | None
    """The task's scorer if it compares answers, else None."""
    prompts: Prompts
    labels: Mapping[int, int | None] = field(default_factory=dict)
    """The pool's partition by answer: slot → cluster."""
    key: str = ""
    meta: Mapping[str, JSON] = field(default_factory=dict)
    """The question's meta fields, which prompt texts may show."""
    bill: list[Charge] = field(default_factory=list)
    memory: dict[Hashable, asyncio.Future[Any]] = field(default_factory=dict)
    """The results of `once` with their bills, shared by all contexts of the question."""

    @property
    def policy(self) -> Borrowed:
        """The model that wrote the rollouts."""
        return self._lend("policy", self.roles.policy)

    @property
    def anchor(self) -> Borrowed:
        """The model that synthesises."""
        return self._lend("anchor", self.roles.anchor)

    @property
    def judge(self) -> Borrowed:
        """The model that judges and selects."""
        return self._lend("judge", self.roles.judge)

    @property
    def embedder(self) -> Borrowed:
        """The model that embeds texts."""
        return self._lend("embedder", self.roles.embedder)

    @property
    def reward(self) -> Borrowed:
        """The reward model."""
        return self._lend("reward", self.roles.reward)

    @property
    def rng(self) -> np.random.Generator:
        """A fresh generator, seeded only by the question and the rollouts."""
        return np.random.default_rng(int.from_bytes(sha256(self.key.encode()).digest()[:8]))

    def answer(self, text: str) -> str | None:
        """Return the final answer that the task reads from a text, or None."""
        return self._comparable.answer(text)

    def prompt(self, name: str, **values: JSON) -> list[Message]:
        """Return the task's (else the general) prompt text of that name, as one user message."""
        return [
            {"role": "user", "content": self.prompts.render(name, **{"meta": self.meta, **values})}
        ]

    async def clusters(self, rollouts: Sequence[Rollout]) -> list[int | None]:
        """Return each rollout's cluster in the whole pool's partition; None: no answer."""
        _ = self._comparable
        return [self.labels[rollout.slot] for rollout in rollouts]

    async def once(self, key: Hashable, work: Callable[[Context], Awaitable[T]]) -> T:
        """Return `work`'s result, computed once per question; every caller is billed for it.

        If it fails, it fails for every caller, and its calls until then are billed too.
        """

        async def done() -> tuple[T | Exception | SystemExit, list[Charge], float]:
            lent = replace(self, key=repr(key), bill=[])
            with count_path() as path:
                try:
                    return await work(lent), lent.bill, path.tokens
                except PLUGIN_BUGS as error:  # raised below, for each caller
                    return error, lent.bill, path.tokens

        if first := key not in self.memory:
            self.memory[key] = asyncio.ensure_future(done())
        value: T | Exception | SystemExit
        value, bill, tokens = await self.memory[key]
        extend(tokens)
        self.bill.extend(bill if first else (replace(charge, fresh=False) for charge in bill))
        if isinstance(value, PLUGIN_BUGS):
            raise value
        return value

    def keep(self, key: Hashable, value: object) -> None:
        """Keep a result that cost no call, as `once` would."""
        if key not in self.memory:
            self.memory[key] = asyncio.get_running_loop().create_future()
            self.memory[key].set_result((value, [], 0.0))

    @property
    def _comparable(self) -> AnswerScorer:
        if self.answers is None:
            raise NotAvailable("the task has no final answers to compare")
        return self.answers

    def _lend(self, name: str, role: Role | None) -> Borrowed:
        if role is None:
            raise NotAvailable(explain_missing_role(name))
        return Borrowed(name, role, self.bill)


_OPTIONS = {
    "embedder": ("embedder", "--set embedder=openai:NAME"),
    "reward": ("reward model", "--reward-model SPEC"),
}
"""A role's name, and the option for its model if that is not named after the role."""


def explain_unusable_role(role: str, roles: Roles) -> str | None:
    """Return why this run cannot show rollouts to a role; None if it can."""
    pool = roles.policy.model.imported
    if pool and not pool.texts:
        return f"the pool {pool.name} holds answers without texts"
    return explain_missing_role(role) if getattr(roles, role) is None else None


def explain_missing_role(role: str) -> str:
    """Say why a plug-in that needs this role is not available, and how to name a model."""
    name, option = _OPTIONS.get(role, (role, f"--{role} MODEL"))
    return f"no {name} is named: give {option}"


def call_failed(failure: Failure) -> CallFailed:
    """Return the exception of a failed call."""
    return ContextTooLong(failure) if failure.kind == "context" else CallFailed(failure)
