"""TRL's batch becomes whole groups; rewards, misses and what is logged are the harness's own."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cat_bench as cb
from cat_bench.errors import ModelError, UsageError
from cat_bench.runs.config import RunConfig
from cat_bench.training.groups import GroupReward, groups
from cat_bench.training.own_dataset import OwnDataset
from cat_bench.training.policy import Policy
from cat_bench.training.rewarder import Rewarder
from cat_bench.types.calls import Message, Reply
from tests.training.conftest import Batch

NONE_FOR_THE_FIRST = '''\
class Shy:
    """1 for all but the first, which it does not judge."""

    async def rewards(self, question, rollouts, ctx):
        return [None if r.slot == 0 else 1.0 for r in rollouts]
'''


async def ask(
    reward: GroupReward, batch: Batch, logged: dict[str, list[float]]
) -> list[float | None]:
    """Ask for a batch's rewards as TRL does."""
    return await reward(
        batch.prompts,
        batch.completions,
        batch.ids,
        question_id=batch.questions,
        log_metric=lambda name, value: logged[name].append(value),
        trainer_state=None,
    )


@given(st.lists(st.sampled_from("abc"), max_size=6), st.integers(1, 5))
def test_each_group_is_found_where_it_is(order: list[str], size: int) -> None:
    questions = [question for question in order for _ in range(size)]
    found = groups(questions, size)
    assert [questions[g.start] for g in found] == order
    assert [place for g in found for place in g] == list(range(len(questions)))


@pytest.mark.parametrize("questions", ["aaab", "abab", "aaa", "aabbb"])
def test_a_group_that_is_not_whole_is_refused(questions: str) -> None:
    with pytest.raises(UsageError, match="not one whole group of 2"):
        groups(list(questions), 2)


def test_a_group_below_the_estimators_budgets_is_refused(
    policy: Policy, session: RunConfig, tmp_path: Path
) -> None:
    path = tmp_path / "eights.yaml"
    path.write_text("summary: eights\naggregator: vote\nbudgets: [8]\n")
    for spec in ("equivalence", "shuffled"):
        with pytest.raises(UsageError, match="reads at least 8 rollouts; a group has 4"):
            GroupReward(f"{spec}{{estimator={path}}}", session, policy=policy, size=4)


async def test_rewards_and_records_are_the_harnesss_own(
    policy: Policy, batch: Batch, session: RunConfig
) -> None:
    spec = "equivalence{estimator=majority}"
    logged: dict[str, list[float]] = defaultdict(list)
    reward = GroupReward(spec, session, policy=policy, size=4)
    found = await ask(reward, batch, logged)
    await reward.close()

    plain = Rewarder(spec, session)
    groups_ = [(s.question, batch.texts[4 * k : 4 * k + 4]) for k, s in enumerate(batch.samples)]
    wanted = [await plain.group(q.id, [Reply(text=t) for t in own]) for q, own in groups_]
    truths = [await plain.task_scores(q.id, own) for q, own in groups_]
    rights = [await plain.task_scores(g.question, [g.reference]) for g in wanted if g.reference]
    await plain.close()
    assert found == [value for group in wanted for value in group.values]
    assert 0 < sum(value or 0 for value in found) < len(found)
    agree = [
        v == t
        for g, own in zip(wanted, truths, strict=True)
        for v, t in zip(g.values, own, strict=True)
    ]
    assert logged["reward_accuracy"] == [fmean(agree)]
    assert logged["reference_accuracy"] == [fmean(r[0] or 0 for r in rights)]
    assert logged["rollout_accuracy"] == [fmean(t or 0 for own in truths for t in own)]
    assert logged["no_advantage"] == [fmean(len(set(g.values)) == 1 for g in wanted)]
    assert (logged["calls"], logged["calls_made"], logged["unscored"]) == ([0], [0], [0])


async def test_the_frozen_anchor_is_asked_once_for_each_group(
    policy: Policy, batch: Batch, session: RunConfig
) -> None:
    logged: dict[str, list[float]] = defaultdict(list)
    reward = GroupReward("equivalence", session, policy=policy, size=4)
    for _ in range(2):
        await ask(reward, batch, logged)
    await reward.close()
    assert logged["calls"] == [3, 3]
    assert logged["calls_made"] == [3, 0], "the second time comes from the cache"
    assert logged["call_tokens"][0] > 0


async def test_what_is_unscored_is_none(
    policy: Policy, batch: Batch, session: RunConfig, tmp_path: Path
) -> None:
    (tmp_path / "shy.py").write_text(NONE_FOR_THE_FIRST)
    logged: dict[str, list[float]] = defaultdict(list)
    reward = GroupReward("./shy.py:Shy", session, policy=policy, size=4)
    found = await ask(reward, batch, logged)
    await reward.close()
    assert found == [None, 1.0, 1.0, 1.0] * 3
    assert logged["unscored"] == [0.25]


async def test_where_nothing_can_be_rewarded_training_stops(
    policy: Policy, batch: Batch, session: RunConfig, tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text(
        "class Broken:\n    async def rewards(self, question, rollouts, ctx):\n        1 / 0\n"
    )
    reward = GroupReward("./broken.py:Broken", session, policy=policy, size=4)
    with pytest.raises(ModelError, match=r"no rollout of 3 groups .* ZeroDivisionError.*line 3"):
        await reward(batch.prompts, batch.completions, batch.ids, question_id=batch.questions)
    await reward.close()


async def test_scrl_reads_the_policys_own_entropies(
    policy: Policy, batch: Batch, session: RunConfig
) -> None:
    reward = GroupReward("scrl", session, policy=policy, size=4)
    found = await reward(batch.prompts, batch.completions, batch.ids, question_id=batch.questions)
    await reward.close()
    assert len({round(value or 0, 6) for value in found}) > 3, "the entropy term tells them apart"


async def test_a_question_that_the_task_lacks_is_named(
    policy: Policy, batch: Batch, session: RunConfig
) -> None:
    reward = GroupReward("gold", session, policy=policy, size=4)
    with pytest.raises(UsageError, match="no question 'q'"):
        await reward(batch.prompts, batch.completions, batch.ids, question_id=["q"] * 12)
    await reward.close()


async def test_prompts_must_be_messages(policy: Policy, batch: Batch, session: RunConfig) -> None:
    reward = GroupReward("gold", session, policy=policy, size=4)
    texts: list[Any] = ["a question"] * len(batch.texts)
    with pytest.raises(UsageError, match="should be lists of messages"):
        await reward(texts, texts, batch.ids, question_id=batch.questions)
    await reward.close()


ASKED = ["What is 3 + 4?"] * 4 + ["What is 2 + 2?"] * 4
SAID = [rf"It is \boxed{{{n}}}" for n in (7, 7, 7, 3, 5, 5, 4, 5)]
IDS = [[1, 2, 3]] * len(SAID)


async def test_a_dataset_that_is_no_task_is_rewarded() -> None:
    logged: dict[str, float] = {}
    reward = cb.training.GroupReward(
        "equivalence{estimator=majority}", cb.training.OwnDataset(answer="solution"), size=4
    )
    found = await reward(
        ASKED,
        [f"<think>{k}</think>{text}" for k, text in enumerate(SAID)],
        IDS,
        solution=["7"] * 4 + ["4"] * 4,
        log_metric=lambda name, value: logged.update({name: value}),
        trainer_state=None,
    )
    await reward.close()
    assert found == [1, 1, 1, 0, 1, 1, 0, 1]
    assert logged["reference_accuracy"] == 0.5
    assert logged["rollout_accuracy"] == pytest.approx(4 / 8)
    assert logged["unlabelled"] == 0


async def test_without_answers_the_log_says_unlabelled() -> None:
    logged: dict[str, float] = {}
    reward = GroupReward("equivalence{estimator=majority}", size=4)
    messages: list[list[Message]] = [[{"role": "user", "content": text}] for text in ASKED]
    completions: list[list[Message]] = [[{"role": "assistant", "content": text}] for text in SAID]
    log = logged.__setitem__
    assert await reward(messages, completions, IDS, log_metric=log) == [1, 1, 1, 0, 1, 1, 0, 1]
    await reward.close()
    assert logged["unlabelled"] == 1
    assert not {"reference_accuracy", "reward_accuracy", "rollout_accuracy"} & logged.keys()


async def test_what_an_own_dataset_lacks_is_named() -> None:
    with pytest.raises(UsageError, match=r"gold reads the targets: .* OwnDataset\(answer="):
        GroupReward("gold", size=4)
    with pytest.raises(UsageError, match=r"write scrl\{entropy=false\}"):
        GroupReward("scrl", size=4)
    named = GroupReward("gold", OwnDataset(answer="solution"), size=4)
    with pytest.raises(UsageError, match=r"no column 'solution'.* there are level"):
        await named(ASKED, SAID, IDS, level=[1] * 8)
    anchored = GroupReward("equivalence{estimator=cat}", size=4)
    with pytest.raises(UsageError, match="no anchor is named"):
        await anchored(ASKED, SAID, IDS)
    with pytest.raises(UsageError, match="not one whole group of 3"):
        await GroupReward("equivalence{estimator=majority}", size=3)(ASKED, SAID, IDS)
