"""The contracts of plug-ins, as Protocols: a plug-in needs the methods, and no base class."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Literal, Protocol, TypeVar, runtime_checkable

import numpy as np

from cat_bench.types.calls import JSON, Capability, FloatArray, Message, Reply
from cat_bench.types.records import Estimate, Marks, Question, Rollout, Sample, Score, Stopped
from cat_bench.types.traits import Reads

T = TypeVar("T")


class Lent(Protocol):
    """A model as a plug-in sees it, for one question; every call is cached and billed."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """The model's capabilities beyond text."""
        ...

    async def ask(
        self, messages: str | Sequence[Message], *, draw: int = 0, **sampling: JSON
    ) -> Reply:
        """Return one reply; `draw` is its slot, so the k-th re-ask is `draw=k`.

        `sampling` holds fields of `Sampling`; None leaves the role's own setting.

        Raises CallFailed after bounded retries, ContextTooLong if the input does not fit.
        """
        ...

    async def logprob(self, messages: Sequence[Message], text: str) -> FloatArray:
        """Return the log-probability in nats of each token of `text` as the reply to `messages`."""
        ...

    async def embed(self, text: str) -> FloatArray:
        """Return the embedding of `text`, shape (dimensions,), of length 1."""
        ...

    async def reward(
        self, messages: Sequence[Message], response: str | Sequence[str]
    ) -> FloatArray:
        """Return the reward model's number for the reply to `messages`, shape (1,).

        If `response` is a list of steps, return a number for each, shape (steps,).
        """
        ...


class Context(Protocol):
    """Everything that a plug-in may use while it works on one question."""

    @property
    def policy(self) -> Lent:
        """The model that wrote the rollouts."""
        ...

    @property
    def anchor(self) -> Lent:
        """The model that synthesises (default: the policy's frozen initial model)."""
        ...

    @property
    def judge(self) -> Lent:
        """The model that checks criteria and selects."""
        ...

    @property
    def embedder(self) -> Lent:
        """The model that embeds texts; not available unless the run names one."""
        ...

    @property
    def reward(self) -> Lent:
        """The reward model; not available unless the run names one."""
        ...

    @property
    def rng(self) -> np.random.Generator:
        """A generator that is seeded by the question and its rollouts."""
        ...

    def answer(self, text: str) -> str | None:
        """Return the final answer that the task reads from a text; None if it finds none."""
        ...

    def prompt(self, name: str, **values: JSON) -> list[Message]:
        """Return the task's (else the general) prompt text of that name, filled in."""
        ...

    async def clusters(self, rollouts: Sequence[Rollout]) -> list[int | None]:
        """Return each rollout's cluster in the pool's partition by answer; None: no answer."""
        ...

    async def once(self, key: Hashable, work: Callable[[Context], Awaitable[T]]) -> T:
        """Return `work`'s result, computed once per question; every caller is billed for it.

        The result must depend only on the key: the key names everything that `work` reads.
        """
        ...

    def keep(self, key: Hashable, value: object) -> None:
        """Keep a result that cost no call, as `once` would."""
        ...


@runtime_checkable
class Aggregator(Protocol):
    """Combine the rollouts of one question into one estimate.

    `AggregatorTraits` lists the optional attributes. An aggregator whose expectation over random
    subsets has a closed form is `Exact`.
    """

    async def aggregate(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> Estimate:
        """Return the estimate from these rollouts, which come in no meaningful order."""
        ...


@runtime_checkable
class Exact(Aggregator, Protocol):
    """An aggregator whose expectation over random subsets has a closed form.

    Returns None if this configuration has none. A row sums to 1 minus the abstained mass.
    """

    async def pick_probabilities(
        self,
        question: Question,
        pool: Sequence[Rollout],
        budgets: Sequence[int],
        ctx: Context,
    ) -> FloatArray | None:
        """Return the chance that each rollout is picked from a random n-subset: (budgets, pool)."""
        ...


@runtime_checkable
class Stopping(Aggregator, Protocol):
    """An aggregator that samples in random order and may stop before it has read n rollouts."""

    async def expected_stops(
        self, question: Question, pool: Sequence[Rollout], caps: Sequence[int], ctx: Context
    ) -> Stopped:
        """Return its picks and samples if it may read at most this many rollouts (each cap)."""
        ...


class Signal(Protocol):
    """Give each rollout a number; higher is better. See `SignalTraits` for optional attributes."""

    @property
    def reads(self) -> Reads:
        """The rollouts that one rollout's number depends on."""
        ...

    async def scores(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> Sequence[float]:
        """Return one number per rollout; NaN where there is none."""
        ...


@runtime_checkable
class Pairwise(Signal, Protocol):
    """A signal that `reads` pairs: a rollout's number is the mean of its column."""

    async def matrix(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> FloatArray:
        """Return an (n, n) matrix: entry (i, j) is how rollout i rates rollout j."""
        ...


@runtime_checkable
class Scorer(Protocol):
    """Score texts against a sample's target. `ScorerTraits` lists the optional attributes."""

    @property
    def version(self) -> str:
        """This scorer's own version and those of the libraries that decide its verdicts."""
        ...

    async def score(self, sample: Sample, texts: Sequence[str], ctx: Context) -> Sequence[Score]:
        """Return one score per text, in order."""
        ...


@runtime_checkable
class AnswerScorer(Scorer, Protocol):
    """A scorer whose task has final answers: the one notion of "same answer" of a whole run.

    Optional attribute: `closing: str`, a phrase that completes "End with …" in the prompts of
    methods and says how to state an answer.
    """

    def answer(self, text: str) -> str | None:
        """Return the final answer that is read from a text; None if there is none."""
        ...

    async def clusters(self, answers: Sequence[str | None]) -> Sequence[Hashable | None]:
        """Return a label per answer, equal for equal answers in any order; None stays None."""
        ...


@runtime_checkable
class QuestionScorer(AnswerScorer, Protocol):
    """A scorer that needs the question to read an answer, such as the options of a choice."""

    def for_question(self, question: Question) -> AnswerScorer:
        """Return the same scorer, for answers to this question."""
        ...


class GroupContext(Context, Protocol):
    """Everything that a reward may use: a `Context`, and the group's answers and scores."""

    async def keys(self, rollouts: Sequence[Rollout]) -> list[str]:
        """Return a key per rollout, equal for equivalent answers; without an answer, its text."""

    async def place(self, text: str) -> int | None:
        """Return the group's cluster that a text's answer belongs to, or None."""

    async def elsewhere(self, size: int) -> tuple[Question, list[Rollout], GroupContext]:
        """Return another question, `size` rollouts of it by the policy, and its context.

        The policy is the frozen one of the run; its calls are billed. A reward that uses this has
        the need `others`. Raises NotAvailable if there is no other question.
        """

    async def score(self, sample: Sample, texts: Sequence[str]) -> list[Score]:
        """Return the task's own scores, for a reward that was given the sample."""


class Reward(Protocol):
    """Give each rollout of a group a reward without seeing the target.

    `RewardTraits` lists the optional attributes.
    """

    async def rewards(
        self, question: Question, rollouts: Sequence[Rollout], ctx: GroupContext
    ) -> Marks | Sequence[float | None]:
        """Return one reward per rollout, in order; None if there is none."""


@runtime_checkable
class SupervisedReward(Protocol):
    """A reward that sees the target: a control. `RewardTraits` lists the optional attributes."""

    @property
    def supervised(self) -> Literal[True]:
        """The mark that distinguishes it from a `Reward`."""

    async def rewards(
        self, sample: Sample, rollouts: Sequence[Rollout], ctx: GroupContext
    ) -> Marks | Sequence[float | None]:
        """Return one reward per rollout, in order; None if there is none."""
