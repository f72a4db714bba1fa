"""Adapt a reward to verl 0.9, as a reward manager of its reward loop.

verl asks for one rollout at a time, but a reward here is computed for a group: each caller waits
until its group is complete. All rollouts of a group must therefore reach one process: set
`reward.num_workers=1` (rewards wait for servers, so one worker is enough). verl has no missing
rewards: an unscored rollout gets the mean of its group's scored ones, so its advantage is 0.
The run stays open until the process ends.

Configuration, in addition to verl's own (`recipes/verl/` has an example):

    reward.reward_manager: {source: importlib, name: GroupRewards, module: {path: THIS FILE}}
    reward.num_workers: 1
    cat_bench: {reward: "equivalence{estimator=cat}", task: ..., model: ..., base_url: ...}

`cat_bench` holds a reward and the fields of a run's configuration. Rows have the question's id in
`extra_info.question_id`. A row whose `extra_info.split` is not `train` belongs to a group of
`val_kwargs.n` rollouts. Only verl imports this module, in an environment that has both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean

from omegaconf import OmegaConf
from verl import DataProto
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

from cat_bench.cache.reasoning import opens_reasoning, take_apart
from cat_bench.errors import ConfigError, UsageError
from cat_bench.evaluation.group_rewards import Rewarded
from cat_bench.loading.validation import validate
from cat_bench.runs.config import RunConfig
from cat_bench.training.rewarder import Rewarder
from cat_bench.types.calls import JSON, Reply, Usage

SECTION = "cat_bench"
GROUP_TIMEOUT_S = 1800.0
"""Seconds that a rollout waits for the rest of its group, and for its reward."""
TAIL = 16
"""Tokens at the end of a prompt that show whether the chat template has opened reasoning."""


@dataclass(slots=True)
class _Gathering:
    """The rollouts of a group so far, and the result that they wait for."""

    replies: list[Reply] = field(default_factory=list)
    rewarded: asyncio.Future[Rewarded] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    settling: asyncio.Task[None] | None = None
    """The task that rewards the group."""


class GroupRewards(RewardManagerBase):  # type: ignore[misc] # verl is not installed here
    """Gathers each group by verl's `uid` and rewards it as a whole."""

    def __init__(
        self, config: JSON, tokenizer: JSON, compute_score: JSON = None, **router: JSON
    ) -> None:
        super().__init__(config, tokenizer, compute_score)
        if config.reward.num_workers != 1:
            raise ConfigError(
                "reward.num_workers",
                "",
                f"should be 1, not {config.reward.num_workers}: a group's rollouts must meet",
            )
        section = OmegaConf.to_container(config.get(SECTION) or {}, resolve=True)
        if "reward" not in section:
            raise ConfigError(SECTION, "reward", "is missing, such as equivalence{estimator=cat}")
        session = {"methods": ("single",), **section}
        self._rewarder = Rewarder(
            session.pop("reward"), validate(RunConfig, session, source=SECTION)
        )
        self._gathering: dict[str, _Gathering] = {}

    async def run_single(self, data: DataProto) -> dict[str, JSON]:
        """Return the reward of a rollout's last sequence when its group is complete."""
        item = data[-1]
        row: Mapping[str, JSON] = item.non_tensor_batch
        extra: Mapping[str, JSON] = row["extra_info"]
        uid, size, reply = str(row["uid"]), self._size(extra), await self._reply(item)
        group = self._gathering.setdefault(uid, _Gathering())
        place = len(group.replies)
        group.replies.append(reply)
        question = str(extra["question_id"])
        if len(group.replies) == size:
            del self._gathering[uid]
            group.settling = asyncio.create_task(self._settle(group, question))
        try:
            rewarded = await asyncio.wait_for(asyncio.shield(group.rewarded), GROUP_TIMEOUT_S)
        except TimeoutError:
            arrived, limit = len(group.replies), f"within {GROUP_TIMEOUT_S:.0f} s"
            if arrived == size:
                raise UsageError(f"question {question!r} was not rewarded {limit}") from None
            self._gathering.pop(uid, None)
            raise UsageError(
                f"{arrived} of {size} rollouts of question {question!r} came {limit}: a rollout "
                "failed, or the group was divided"
            ) from None
        value = rewarded.values[place]
        scored = [reward for reward in rewarded.values if reward is not None]
        return {
            "reward_score": (fmean(scored) if scored else 0.0) if value is None else value,
            "reward_extra_info": {"unscored": float(value is None), "calls": len(rewarded.bill)},
        }

    async def _settle(self, group: _Gathering, question: str) -> None:
        """Reward a complete group, in a task that outlives the request that completed it."""
        try:
            group.rewarded.set_result(await self._rewarder.group(question, group.replies))
        except Exception as error:  # noqa: BLE001 - is raised for every rollout
            group.rewarded.set_exception(error)

    def _size(self, extra: Mapping[str, JSON]) -> int:
        rollout = self.config.actor_rollout_ref.rollout
        return int(rollout.n if extra.get("split", "train") == "train" else rollout.val_kwargs.n)

    async def _reply(self, item: JSON) -> Reply:
        """Return the written text as a reply without log-probabilities, its reasoning separated."""
        ids, width = item.batch["responses"], item.batch["responses"].shape[-1]
        mask = item.batch["attention_mask"]
        length = int(mask[-width:].sum())
        written = ids[:length].tolist()
        ended = bool(written) and written[-1] == self.tokenizer.eos_token_id
        tail = item.batch["prompts"][-TAIL:].tolist()
        begun, text = await self.loop.run_in_executor(
            None,
            lambda: (
                self.tokenizer.decode(tail),
                self.tokenizer.decode(written, skip_special_tokens=True),
            ),
        )
        reply = Reply(
            text=text,
            finish="stop" if ended else "length",
            usage=Usage(int(mask[:-width].sum()), length - ended),
        )
        return take_apart(reply, thinking=opens_reasoning(begun))
