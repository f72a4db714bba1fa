"""A reward model in a run: asked once for each rollout, billed to each use, exact at every n."""

from __future__ import annotations

import numpy as np
import pytest

from cat_bench.errors import UsageError
from cat_bench.models.costs import Price
from cat_bench.report.compute import Rates, compute
from cat_bench.runs.again import replay_run
from cat_bench.runs.config import RunConfig
from cat_bench.runs.folder import read_record, read_scores
from cat_bench.runs.forecast import forecast_run
from cat_bench.runs.opening import run
from cat_bench.testing import ChatServer
from cat_bench.testing.rewards import Rating
from cat_bench.types.calls import JSON
from tests.conftest import Workshop

BEST = "best_of_n{by=reward_model}"
VOTE = "vote{by=reward_model,weight=softmax}"
STEPS = "best_of_n{by=process_reward{steps=' ',reduce=prod}}"
LIKES = '''\
def likes(messages, response):
    """Yes is better than no; of steps, the first is the best."""
    if isinstance(response, list):
        return [0.9 if "yes" in step or not k else 0.2 for k, step in enumerate(response)]
    return float("yes" in response)
'''


def config(**fields: JSON) -> RunConfig:
    model = "scripted:./model.py:reply"
    whole = {"task": "toy/task.yaml", "model": model, "pool": 4, "n": (1, 2, 4), "limit": 2}
    return RunConfig(**{**whole, "methods": ("single", BEST, VOTE), **fields})


async def test_it_is_asked_once_for_all_methods_budgets_and_runs(workshop: Workshop) -> None:
    async with ChatServer(rating=Rating(rate=lambda text: float("yes" in str(text)))) as server:
        named = config(reward_model="openai:test-model", base_url=server.base_url)
        assert (await forecast_run(named)).meters["openai:test-model"].made > 0
        assert server.stats.requests == 0
        outcome = await run(named)
        made, probes = outcome.meters["openai:test-model"].made, 2
        # both questions are asked the same of two different texts
        assert server.stats.requests - probes == made <= 4
        await run(named)
        assert server.stats.requests - probes == made
    record = read_record(outcome.folder)
    assert record["config"]["reward_model"] == "openai:test-model"
    assert record["models"]["reward"]["reward"]["activation"] == "raw"
    assert (await replay_run(record, workshop.folder / "replayed"))["id"] == record["id"]
    scores = read_scores(outcome.folder)
    assert scores["failed"].isna().all()
    assert scores.loc[scores["method"] == BEST, "draw"].isna().all()
    bought = scores[scores["method"] == BEST].groupby("n")["reward_calls"].mean()
    assert bought.is_monotonic_increasing
    assert 1 <= bought.loc[4] <= 2  # a text that stands twice is paid for once
    prices = {"openai:test-model": Price(1e6, 7.0), "./model.py:reply": Price(0.0, 0.0)}
    table = compute(outcome.folder, rates=Rates(prices=prices))
    money = table.groupby("method")["money"].max()
    assert money[BEST] > 0
    assert money["single"] == 0


async def test_its_best_of_n_is_the_best_by_hand(workshop: Workshop) -> None:
    (workshop.folder / "likes.py").write_text(LIKES)
    outcome = await run(config(reward_model="scripted:./likes.py:likes", methods=(BEST, STEPS)))
    scores = read_scores(outcome.folder)
    oracle = scores[scores["method"] == "oracle"].set_index(["question", "n"])["score"]
    found = scores[scores["method"] == BEST].set_index(["question", "n"])["score"]
    # every target of the toy is "yes"
    np.testing.assert_allclose(found, oracle.loc[found.index])
    assert scores[scores["method"] == STEPS]["score"].notna().all()


async def test_without_one_the_method_says_which_option_names_it(workshop: Workshop) -> None:
    record = read_record((await run(config())).folder)
    reasons = {each["name"]: each["reason"] for each in record["methods"]}
    assert reasons[BEST] == "no reward model is named: give --reward-model SPEC"


async def test_a_writer_is_no_reward_model(workshop: Workshop) -> None:
    with pytest.raises(UsageError, match="gives no rewards"):
        await run(config(reward_model="scripted:./model.py:reply"))


def test_the_command_line_names_it(workshop: Workshop) -> None:
    (workshop.folder / "likes.py").write_text(LIKES)
    status, out, err = workshop.run(
        *("run", "toy/task.yaml", "--model", "scripted:./model.py:reply", "--pool", "4"),
        *("--limit", "2", "--method", BEST, "--reward-model", "scripted:./likes.py:likes"),
    )
    assert status == 0, err
    assert "reward model scripted:./likes.py:likes" in out
    unknown = workshop.run("run", "toy/task.yaml", "--reward-model", "opnai:x", "--method", BEST)
    assert unknown[0] == 2
    assert "openai:NAME" in unknown[2]
