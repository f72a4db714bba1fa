"""A reward of this package as TRL's GRPOTrainer wants one: an async function over a batch.

TRL hands over all completions of a process at once. Here they become groups, each group's rollouts
are rewarded against its own question, and an unscored one is None, which TRL leaves out of the
group's mean and gives no advantage. The session is opened on the loop that TRL awaits rewards on,
so anchor and judge are cached, limited and counted as everywhere else; the anchor is the frozen
initial model. Targets are read to log how right references and rewards are, by nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from statistics import fmean

from cat_bench.config import RunConfig
from cat_bench.context import QuestionContext
from cat_bench.errors import UsageError
from cat_bench.rewarding import Rewarded, rewarded
from cat_bench.rewards import POSITIVE, reward
from cat_bench.rl.policy import Policy
from cat_bench.session import Opened, opened
from cat_bench.types import JSON, Message, Reply, Rollout, Sample

Log = Callable[[str, float], None]


def groups(questions: Sequence[str], size: int) -> list[range]:
    """The places of each group in a batch: `size` completions of one question, one after another.

    Raises UsageError where a group is not whole, as when a batch is split across processes.
    """
    found = [range(start, start + size) for start in range(0, len(questions), size)]
    for places in found:
        here = {questions[place] for place in places if place < len(questions)}
        if places.stop > len(questions) or len(here) > 1:
            raise UsageError(
                f"completions {places.start} to {places.stop - 1} of {len(questions)} in this "
                f"process are not one whole group of {size} (question "
                f"{', '.join(sorted(here))}): make per_device_train_batch_size x "
                "steps_per_generation a multiple of num_generations."
            )
    return found


class GroupReward:
    """The reward `spec` for groups of `size`, in a session of its own that its first call opens.

    The dataset has the columns `prompt` (the question's messages) and `question` (its id). Close it
    on the loop that called it.
    """

    __name__ = "cat_bench"

    def __init__(self, spec: str, config: RunConfig, *, policy: Policy, size: int) -> None:
        self._reward = reward(spec)
        self._positive = float(getattr(self._reward, "positive", POSITIVE))
        self._entropies = "entropies" in getattr(self._reward, "needs", ())
        self._config = config
        self._policy = policy
        self._size = size
        self._stack = AsyncExitStack()
        self._ready: Opened | None = None
        self._samples: dict[str, Sample] = {}
        self._opening = asyncio.Lock()

    async def __call__(
        self,
        prompts: Sequence[Sequence[Message]],
        completions: Sequence[Sequence[Message]],
        completion_ids: Sequence[Sequence[int]],
        *,
        question: Sequence[str],
        log_metric: Log | None = None,
        **_: JSON,
    ) -> list[float | None]:
        """One reward per completion, in order; None: unscored."""
        places = groups(question, self._size)
        ready = await self._opened()
        texts = [completion[-1]["content"] for completion in completions]
        replies = self._policy.replies(prompts, texts, completion_ids, entropies=self._entropies)
        made = sum(meter.made for meter in ready.meters.values())
        found = await asyncio.gather(
            *(self._group(ready, question[group.start], replies, group) for group in places)
        )
        if log_metric:
            log_metric("calls_made", sum(meter.made for meter in ready.meters.values()) - made)
            await self._log(
                ready, found, [[texts[k] for k in group] for group in places], log_metric
            )
        return [value for group in found for value in group.values]

    async def close(self) -> None:
        """End the session."""
        await self._stack.aclose()

    async def _opened(self) -> Opened:
        async with self._opening:
            if self._ready is None:
                self._ready = await self._stack.enter_async_context(opened(self._config))
                self._samples = {s.question.id: s for s in self._ready.samples()}
            return self._ready

    async def _group(
        self, ready: Opened, question: str, replies: Sequence[Reply], places: range
    ) -> Rewarded:
        rollouts = [Rollout(slot, replies[place]) for slot, place in enumerate(places)]
        bench = ready.bench
        return await rewarded(
            self._reward,
            self._samples[question],
            rollouts,
            roles=bench.roles,
            grader=bench.grader,
            prompts=bench.task.prompts,
        )

    async def _log(
        self,
        ready: Opened,
        found: Sequence[Rewarded],
        texts: Sequence[Sequence[str]],
        log: Log,
    ) -> None:
        """What a step cost, and how right it was where the task can tell without a judge."""
        bills = [charge for group in found for charge in group.bill]
        log("calls", len(bills))
        log("call_tokens", sum(c.usage.prompt + c.usage.completion for c in bills))
        values = [value for group in found for value in group.values]
        log("unscored", fmean(value is None for value in values))
        log("no_advantage", fmean(len({*group.values} - {None}) < 2 for group in found))
        log("referenced", fmean(group.reference is not None for group in found))
        if "judge" in getattr(ready.bench.grader.scorer, "needs", ()):
            return
        known = await asyncio.gather(
            *(self._truth(ready, g, t) for g, t in zip(found, texts, strict=True))
        )
        if references := [score for score, _ in known if score is not None]:
            log("reference_accuracy", fmean(references))
        if agreements := [agrees for _, group in known for agrees in group]:
            log("reward_accuracy", fmean(agreements))

    async def _truth(
        self, ready: Opened, group: Rewarded, texts: Sequence[str]
    ) -> tuple[float | None, list[bool]]:
        """The reference's score, and for each scored rollout whether its reward is right."""
        bench = ready.bench
        ctx = QuestionContext(
            bench.roles, bench.grader.answers, bench.task.prompts, key=group.question
        )
        asked = [*texts, *([] if group.reference is None else [group.reference])]
        scores = await bench.grader.scores(self._samples[group.question], asked, ctx)
        pairs = zip(group.values, (scores[text].value for text in texts), strict=True)
        agrees = [
            (value >= self._positive) == (truth >= POSITIVE)
            for value, truth in pairs
            if value is not None and truth is not None
        ]
        return None if group.reference is None else scores[group.reference].value, agrees
