"""Compute rewards of groups of rollouts for a trainer's adapter.

The first call opens a run on its event loop, so that calls of anchor and judge are cached, limited
and counted as usual. The default anchor is the frozen initial model.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from cat_bench.errors import UsageError
from cat_bench.evaluation.group_rewards import Rewarded, reward_group
from cat_bench.evaluation.neighbours import Neighbours
from cat_bench.evaluation.questions import Bench
from cat_bench.models.cached import Meter
from cat_bench.models.lending import QuestionContext
from cat_bench.rewards import reward
from cat_bench.rewards.reference import ReferenceReward
from cat_bench.rewards.shuffled import Shuffled
from cat_bench.runs.config import RunConfig
from cat_bench.runs.opening import open_run
from cat_bench.types.calls import Reply
from cat_bench.types.plugins import SupervisedReward
from cat_bench.types.records import Rollout, Sample
from cat_bench.types.traits import RewardTraits, ScorerTraits, is_labelled, reads_tokens, traits


@dataclass(frozen=True, slots=True)
class Session:
    """What rewards groups: a bench, and the meters of its models by their names."""

    bench: Bench
    meters: Mapping[str, Meter]


class Rewarder:
    """The reward `spec` on the questions of `config`; `close` it on the event loop of its calls."""

    def __init__(self, spec: str, config: RunConfig) -> None:
        self._reward = reward(spec)
        self._config = config
        self._stack = AsyncExitStack()
        self._session: Session | None = None
        self._samples: dict[str, Sample] = {}
        self._neighbours: Neighbours | None = None
        self._opening = asyncio.Lock()
        self._traits = traits(RewardTraits, self._reward)
        self.needs = self._traits.needs
        self.supervised = isinstance(self._reward, SupervisedReward)
        """Whether the reward reads the targets."""
        comparing = self._reward if isinstance(self._reward, ReferenceReward | Shuffled) else None
        self.estimator = comparing.estimator if comparing else None
        """The estimator whose reference the reward compares rollouts with, if it has one."""
        self.positive = self._traits.positive
        """The least reward of a rollout that counts as right; None if there is no such number."""

    @property
    def reads_tokens(self) -> bool:
        """Whether rollouts must come with the numbers of their tokens, such as entropies."""
        return reads_tokens(self._traits.needs)

    async def open(self) -> Session:
        """Open the session once and return it."""
        async with self._opening:
            if self._session is None:
                self._session = await self._open()
            return self._session

    async def _open(self) -> Session:
        ready = await self._stack.enter_async_context(open_run(self._config))
        self._samples = {s.question.id: s for s in ready.samples()}
        if "others" in self.needs:
            self._neighbours = Neighbours(s.question for s in self._samples.values())
        return Session(ready.bench, ready.meters)

    async def sample(self, question: str) -> Sample:
        """Return the question of that id with its target; raise UsageError if it is unknown."""
        ready = await self.open()
        if question not in self._samples:
            raise UsageError(f"task {ready.bench.task.name!r} has no question {question!r}")
        return self._samples[question]

    async def is_labelled(self, question: str) -> bool:
        """Return whether responses to the question can be scored."""
        ready = await self.open()
        return is_labelled((await self.sample(question)).target, ready.bench.grader.scorer)

    async def group(self, question: str, replies: Sequence[Reply]) -> Rewarded:
        """Return the rewards of all rollouts of one question, in order."""
        bench = (await self.open()).bench
        return await reward_group(
            self._reward,
            await self.sample(question),
            [Rollout(slot, reply) for slot, reply in enumerate(replies)],
            roles=bench.roles,
            grader=bench.grader,
            prompts=bench.task.prompts,
            neighbours=self._neighbours,
        )

    async def task_scores(self, question: str, texts: Sequence[str]) -> list[float | None]:
        """Return the task's scores of texts, for logging only; None if the scorer needs a model."""
        bench = (await self.open()).bench
        if traits(ScorerTraits, bench.grader.scorer).needs - {"answers"}:
            return [None] * len(texts)
        sample = await self.sample(question)
        reader = bench.grader.answers_to(sample.question)
        ctx = QuestionContext(
            bench.roles, reader, bench.task.prompts, key=question, meta=sample.question.meta
        )
        scores = await bench.grader.scores(sample, texts, ctx)
        return [scores[text].value for text in texts]

    async def close(self) -> None:
        """Close the run."""
        await self._stack.aclose()
