"""Divide each question's pool into groups, and reward each group by every candidate.

A group is one of the blocks in which a run reads the pool, so an audit and a run share calls. An
audit reads every block, a run at most `draws` of them. The answers of a group are clustered among
themselves. The target is used for the true scores and the supervised controls only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from math import nan
from typing import Any

from cat_bench.audit.candidates import Candidate
from cat_bench.audit.rewards import Audited
from cat_bench.errors import NotAvailable, UsageError
from cat_bench.evaluation.group_rewards import Rewarded, reward_group
from cat_bench.evaluation.method_rows import Evaluation
from cat_bench.evaluation.neighbours import Neighbours
from cat_bench.evaluation.questions import Bench
from cat_bench.evaluation.rows import RolloutRow
from cat_bench.models.costs import Sampled, costs
from cat_bench.runs.availability import explain_missing
from cat_bench.stats.subsets import blocks
from cat_bench.types.records import Rollout, Sample


@dataclass(frozen=True, slots=True)
class RewardedGroup:
    """One group under one reward, with its audit; rollouts are without their per-token arrays."""

    sample: Sample
    rollouts: Sequence[Rollout]
    rewarded: Rewarded
    audited: Audited


@dataclass(slots=True)
class Auditor:
    """Rewards groups of `size` rollouts by the candidates, some of which need `neighbours`.

    Controls need a task that is `labelled`.

    `unavailable` maps each candidate that this run cannot compute to the reason. `groupless` counts
    the questions without a complete group.
    """

    bench: Bench
    candidates: Sequence[Candidate]
    size: int
    neighbours: Neighbours | None = None
    labelled: bool = True
    unavailable: dict[str, str] = field(default_factory=dict)
    groupless: int = 0

    def __post_init__(self) -> None:
        for candidate in self.candidates:
            reason = explain_missing(candidate.needs, self.bench.task, self.bench.roles)
            if candidate.supervised and not self.labelled:
                reason = "it reads the answers, and the task is unlabelled"
            if reason:
                self.unavailable[candidate.name] = reason
        if not self.labelled and len(self.unavailable) == len(self.candidates):
            name, reason = next(iter(self.unavailable.items()))
            raise UsageError(f"no reward can be audited; {name}: {reason}")

    async def audit_question(
        self, sample: Sample
    ) -> tuple[dict[str, list[RewardedGroup]], list[RolloutRow]]:
        """Return the question's rewarded groups, keyed by candidate, and its rollout rows."""
        evaluation = await self.bench.evaluation(sample)
        by_slot = {r.slot: r for r in evaluation.rollouts}
        order = evaluation.graded.order
        slot_groups = [[order[index] for index in block] for block in blocks(len(order), self.size)]
        groups = [
            [by_slot[slot] for slot in slots] for slots in slot_groups if by_slot.keys() >= {*slots}
        ]
        self.groupless += not groups
        results = await asyncio.gather(*(self._group(evaluation, group) for group in groups))
        names = [candidate.name for candidate in self.candidates]
        rewarded = {name: [result[name] for result in results if name in result] for name in names}
        return rewarded, self.bench.count([], evaluation)

    async def _group(
        self, evaluation: Evaluation, group: Sequence[Rollout]
    ) -> dict[str, RewardedGroup]:
        memory: dict[Hashable, asyncio.Future[Any]] = {}
        able = [c for c in self.candidates if c.name not in self.unavailable]
        rewards = await asyncio.gather(
            *(self._reward(candidate, evaluation, group, memory) for candidate in able)
        )
        light = [_drop_arrays(rollout) for rollout in group]
        return {
            candidate.name: RewardedGroup(
                evaluation.sample, light, rewarded, await self._audit(rewarded, evaluation, group)
            )
            for candidate, rewarded in zip(able, rewards, strict=True)
            if rewarded
        }

    async def _reward(
        self,
        candidate: Candidate,
        evaluation: Evaluation,
        group: Sequence[Rollout],
        memory: dict[Hashable, asyncio.Future[Any]],
    ) -> Rewarded | None:
        """Return the candidate's rewards, or None if the candidate is not available."""
        bench = self.bench
        try:
            return await reward_group(
                candidate.reward,
                evaluation.sample,
                group,
                roles=bench.roles,
                grader=bench.grader,
                prompts=bench.task.prompts,
                memory=memory,
                neighbours=self.neighbours,
            )
        except NotAvailable as reason:
            self.unavailable[candidate.name] = str(reason)
            return None

    async def _audit(
        self, rewarded: Rewarded, evaluation: Evaluation, group: Sequence[Rollout]
    ) -> Audited:
        """Return the rewards beside the true scores."""
        notes = rewarded.notes
        pool = Sampled([rollout.reply for rollout in group])
        use = pool.use(len(group), path=rewarded.path)
        cost = costs(use, pool=pool, bill=rewarded.bill)
        return Audited(
            question=rewarded.question,
            cluster=evaluation.sample.cluster,
            values=rewarded.values,
            truth=[evaluation.graded.scores[rollout.text].value for rollout in group],
            labelled=evaluation.graded.labelled,
            label=await self._label(rewarded, evaluation),
            abstained="abstained" in notes,
            fallback="fallback" in notes,
            failed=notes.get("failed"),
            proposed=notes.get("proposed"),
            met=[met for met in notes.get("met", ()) if met is not None],
            calls=cost["calls"],
            tokens=cost["prompt_tokens"] + cost["completion_tokens"] or nan,
        )

    async def _label(self, rewarded: Rewarded, evaluation: Evaluation) -> float | None:
        """Return the task's score of the reference, if it has one; calls are billed to grading."""
        if not evaluation.graded.labelled:
            return None
        if "abstained" in rewarded.notes:
            return 0.0
        if rewarded.reference is None:
            return None
        ctx = evaluation.context()
        scores = await self.bench.grader.scores(evaluation.sample, [rewarded.reference], ctx)
        evaluation.scoring.extend(ctx.bill)
        return scores[rewarded.reference].value


def _drop_arrays(rollout: Rollout) -> Rollout:
    """Return the rollout without its arrays: an audit keeps every group until its end."""
    bare = replace(rollout.reply, token_logprobs=None, token_entropies=None, measures={})
    return replace(rollout, reply=bare)
