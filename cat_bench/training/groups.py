"""Adapt a reward to TRL's GRPOTrainer, which expects an async function over a batch.

TRL passes all completions of a process at once. Here they are divided into groups, which are
rewarded one by one. An unscored rollout gets None: TRL leaves it out of the group's mean and gives
it no advantage. Targets are used only to log the accuracy of references and rewards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

from cat_bench.cache.reasoning import take_apart
from cat_bench.errors import ModelError, UsageError
from cat_bench.evaluation.group_rewards import Rewarded
from cat_bench.models.throttling import gather_all
from cat_bench.rewards.advantages import advantages
from cat_bench.rewards.reference import explain_misfit
from cat_bench.runs.config import RunConfig
from cat_bench.training import processes
from cat_bench.training.own_dataset import OwnDataset, OwnRewarder
from cat_bench.training.policy import Policy
from cat_bench.training.rewarder import Rewarder
from cat_bench.types.calls import JSON, Message, Reply, Usage
from cat_bench.types.traits import POSITIVE

Log = Callable[[str, float], None]


def groups(questions: Sequence[str], size: int) -> list[range]:
    """Return the indices of each group in a batch: `size` consecutive completions of one question.

    Raises UsageError if a group is incomplete, for instance in a batch split across processes.
    """
    ranges = [range(start, start + size) for start in range(0, len(questions), size)]
    for places in ranges:
        ids = {questions[place] for place in places if place < len(questions)}
        if places.stop > len(questions) or len(ids) > 1:
            raise UsageError(
                f"completions {places.start} to {places.stop - 1} of {len(questions)} in this "
                f"process are not one whole group of {size} (question "
                f"{', '.join(sorted(ids))}): make per_device_train_batch_size x "
                "steps_per_generation a multiple of num_generations"
            )
    return ranges


class GroupReward:
    """The reward `spec` for groups of `size` completions, TRL's `num_generations`.

    The rows are those of a task, if `config` is a run's configuration: the dataset then has the
    columns `prompt` (messages) and `question_id`. Otherwise the dataset is the user's own: `prompt`
    is a text or messages, and `config` describes its other columns. Rewards that read entropies
    need `policy`, the model in training. Raises UnknownName, ConfigError and UsageError.
    """

    __name__ = "cat_bench"

    def __init__(
        self,
        spec: str,
        config: RunConfig | OwnDataset | None = None,
        *,
        size: int,
        policy: Policy | None = None,
    ) -> None:
        self._rewarder = (
            Rewarder(spec, config)
            if isinstance(config, RunConfig)
            else OwnRewarder(spec, config or OwnDataset())
        )
        if (estimator := self._rewarder.estimator) and (problem := explain_misfit(estimator, size)):
            raise UsageError(f"{problem}: set num_generations to at least that")
        self._policy = policy
        self._size = size
        self.close = self._rewarder.close

    async def __call__(
        self,
        prompts: Sequence[str | Sequence[Message]],
        completions: Sequence[str | Sequence[Message]],
        completion_ids: Sequence[Sequence[int]],
        *,
        log_metric: Log | None = None,
        **columns: JSON,
    ) -> list[float | None]:
        """Return one reward per completion, in order; None for an unscored one.

        Raises UsageError for an incomplete group, or for a row without the columns described.
        """
        question_id = self._name(prompts, columns)
        messages = [_messages(prompt) for prompt in prompts]
        places = groups(question_id, self._size)
        rewarder = self._rewarder
        if self._policy:
            replies = self._policy.replies(messages, completion_ids, measured=rewarder.reads_tokens)
        else:
            replies = [*map(_reply, completions, completion_ids)]
        calls_before = await self._count_made()
        rewarded = await gather_all(
            *(rewarder.group(question_id[g.start], [replies[k] for k in g]) for g in places)
        )
        _check(rewarded)
        if log_metric:
            # TRL logs the mean over processes, but the calls of all processes count.
            log_metric("calls_made", (await self._count_made() - calls_before) * processes.count())
            _count(rewarded, log_metric)
            await self._judge(rewarded, [[replies[k].text for k in g] for g in places], log_metric)
        return [value for group in rewarded for value in group.values]

    def _name(self, prompts: Sequence[str | Sequence[Message]], columns: JSON) -> Sequence[str]:
        """Return the id of each completion's question."""
        rewarder = self._rewarder
        if not isinstance(rewarder, OwnRewarder):
            if "question_id" not in columns or any(isinstance(each, str) for each in prompts):
                raise UsageError(
                    "prompts should be lists of messages, with a column question_id: see "
                    "cat_bench.training.rows.trl_row"
                )
            question_ids: Sequence[str] = columns["question_id"]
            return question_ids
        if rewarder.answer and rewarder.answer not in columns:
            raise UsageError(
                f"the dataset has no column {rewarder.answer!r}, which OwnDataset names as the "
                f"answer; there are {', '.join(sorted(columns))}"
            )
        targets = columns[rewarder.answer] if rewarder.answer else [None] * len(prompts)
        return [rewarder.note(_messages(p), t) for p, t in zip(prompts, targets, strict=True)]

    async def _count_made(self) -> int:
        return sum(meter.made for meter in (await self._rewarder.open()).meters.values())

    async def _judge(
        self, rewarded: Sequence[Rewarded], texts: Sequence[Sequence[str]], log: Log
    ) -> None:
        """Log the accuracy of references and rewards, if the task needs no judge for it.

        Unlabelled groups have no accuracy; their share is logged.
        """
        if unlabelled := [
            not await self._rewarder.is_labelled(group.question) for group in rewarded
        ]:
            log("unlabelled", fmean(unlabelled))
        truths = await gather_all(*map(self._truth, rewarded, texts))
        if references := [score for score, _, _ in truths if score is not None]:
            log("reference_accuracy", fmean(references))
        if agreements := [agrees for _, group, _ in truths for agrees in group]:
            log("reward_accuracy", fmean(agreements))
        if right := [score for *_, group in truths for score in group]:
            log("rollout_accuracy", fmean(right))

    async def _truth(
        self, group: Rewarded, texts: Sequence[str]
    ) -> tuple[float | None, list[bool], list[float]]:
        """Return the scores of reference and rollouts, and whether each reward is right."""
        reference = [] if group.reference is None else [group.reference]
        *truths, last = await self._rewarder.task_scores(
            group.question, [*texts, *(reference or texts[:1])]
        )
        least = self._rewarder.positive
        agrees = [
            (value >= least) == (truth >= POSITIVE)
            for value, truth in zip(group.values, truths, strict=True)
            if least is not None and value is not None and truth is not None
        ]
        return last if reference else None, agrees, [t for t in truths if t is not None]


def _messages(prompt: str | Sequence[Message]) -> Sequence[Message]:
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt


def _reply(completion: str | Sequence[Message], ids: Sequence[int]) -> Reply:
    """Return a completion as a reply with its reasoning apart."""
    text = completion if isinstance(completion, str) else completion[-1]["content"]
    return take_apart(Reply(text=text, usage=Usage(completion=len(ids))))


def _check(rewarded: Sequence[Rewarded]) -> None:
    """Raise ModelError if no rollout is rewarded: training on would change nothing."""
    if all(value is None for group in rewarded for value in group.values):
        notes = rewarded[0].notes
        reason = notes.get("failed") or next(iter(notes.get("unscored", {}).values()), "no reason")
        raise ModelError(
            f"no rollout of {len(rewarded)} groups could be rewarded, the first for: {reason}; "
            "fix that and run the same command to resume from the last checkpoint, or start again "
            "with another --reward, --anchor or --judge"
        )


def _count(rewarded: Sequence[Rewarded], log: Log) -> None:
    """Log a step's calls, and how many rewards are missing or have no advantage."""
    bills = [charge for group in rewarded for charge in group.bill]
    tokens = sum(c.usage.prompt + c.usage.completion for c in bills)
    log("calls", len(bills) * processes.count())
    log("call_tokens", tokens * processes.count())
    log("unscored", fmean(value is None for group in rewarded for value in group.values))
    log("no_advantage", fmean(not any(advantages(group.values)) for group in rewarded))
    log("referenced", fmean(group.reference is not None for group in rewarded))
