"""Similarity to the others, by hand."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cat_bench.cache import Cache
from cat_bench.models.backends.scripted import Scripted
from cat_bench.models.costs import Price, Sampled, costs
from cat_bench.report.compute import Rates, compute
from cat_bench.runs.again import replay_run
from cat_bench.runs.config import RunConfig
from cat_bench.runs.folder import read_record, read_scores
from cat_bench.runs.forecast import forecast_run
from cat_bench.runs.opening import run
from cat_bench.signals import rate, signal
from cat_bench.signals.consistency import _rouge
from cat_bench.testing import ChatServer
from cat_bench.types.calls import JSON, FloatArray
from cat_bench.types.plugins import Pairwise
from tests import toy
from tests.conftest import Workshop

MBR = "mbr{by=consistency{by=embedding}}"


async def numbers(spec: str, texts: list[str], cache: Cache) -> FloatArray:
    pool = toy.pool(*texts)
    whole = await toy.evaluation(pool, toy.roles(cache), cache)
    return await rate(spec, whole.question, pool.rollouts, whole.context([0]))


async def test_by_answer_it_is_the_share_of_the_others_that_agree(cache: Cache) -> None:
    found = await numbers("consistency", ["x = a", "y = A", "z = b", "nothing", "w = a"], cache)
    assert found.tolist() == [0.5, 0.5, 0, 0, 0.5]


async def test_by_rouge_it_is_the_mean_f_measure(cache: Cache) -> None:
    pytest.importorskip("rouge_score")
    # Longest common subsequences: "the cat" of 3 and 2 words, nothing of the third.
    found = await numbers("consistency{by=rouge}", ["the cat sat", "The cat!", "zebra"], cache)
    assert found.tolist() == pytest.approx([0.4, 0.4, 0])


@settings(deadline=None)
@given(st.lists(st.text("ab .", max_size=40), min_size=2, max_size=2))
def test_rouge_is_what_the_package_says(texts: list[str]) -> None:
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(["rougeL"])
    expected = scorer.score(*texts)["rougeL"].fmeasure
    assert _rouge(texts)[0, 1] == pytest.approx(expected)


def test_two_long_texts_are_no_table() -> None:
    pytest.importorskip("rouge_score")
    words = [f"w{k % 97}" for k in range(60_000)]
    tracemalloc.start()
    matrix = _rouge([" ".join(words), " ".join(words[:30_000])])
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()
    assert matrix[0, 1] == pytest.approx(2 * 30 / 90)


async def test_the_matrix_is_symmetric_and_shows_each_to_itself(cache: Cache) -> None:
    pool = toy.pool("x = a", "y = b", "z = a")
    whole = await toy.evaluation(pool, toy.roles(cache), cache)
    chosen = signal("consistency")
    assert isinstance(chosen, Pairwise)
    matrix = await chosen.matrix(whole.question, pool.rollouts, whole.context([0]))
    np.testing.assert_array_equal(matrix, [[1, 0, 1], [0, 1, 0], [1, 0, 1]])


async def test_by_embedding_it_is_the_mean_cosine(cache: Cache) -> None:
    vectors = {"east": [2.0, 0.0], "north": [0.0, 1.0], "between": [3.0, 4.0]}
    embedder = Scripted(toy.choosing, identity="compass", embedding=vectors.__getitem__)
    pool = toy.pool("east", "north", "between", " ")
    for made in (3, 0):
        whole = await toy.evaluation(pool, toy.roles(cache, embedder=embedder), cache)
        ctx = whole.context([0])
        found = await rate("consistency{by=embedding}", whole.question, pool.rollouts, ctx)
        np.testing.assert_allclose(found, [0.6 / 3, 0.8 / 3, 1.4 / 3, 0], atol=1e-7)
        bill = costs(Sampled([]).use(0), pool=Sampled([]), bill=ctx.bill)
        assert (bill["calls"], bill["prompt_tokens"], bill["spent_calls"]) == (3, 3, made)
    assert embedder.embedded == 3


def mbr(**fields: JSON) -> RunConfig:
    model = "scripted:./model.py:reply"
    whole = {"task": "toy/task.yaml", "model": model, "pool": 4, "n": (4,), "limit": 2}
    return RunConfig(**{**whole, "methods": (MBR,), **fields})


async def test_an_embedder_is_asked_once_for_all_runs(workshop: Workshop) -> None:
    async with ChatServer() as server:
        config = mbr(embedder="openai:test-model", base_url=server.base_url)
        assert (await forecast_run(config)).meters["openai:test-model"].made > 0
        assert server.stats.requests == 0
        outcome = await run(config)
        asked = server.stats.requests
        assert outcome.meters["openai:test-model"].made == asked > 0
        again = await run(config)
        assert (server.stats.requests, again.folder) == (asked, outcome.folder)
    record = read_record(outcome.folder)
    assert (await replay_run(record, workshop.folder / "replayed"))["id"] == record["id"]
    assert read_scores(workshop.folder / "replayed").equals(read_scores(outcome.folder))
    assert record["models"]["embedder"] == {"name": "test-model"}
    assert record["config"]["embedder"] == "openai:test-model"
    scores = read_scores(outcome.folder)
    assert set(scores["method"]) == {MBR, "oracle"}
    assert scores["failed"].isna().all()
    prices = {"openai:test-model": Price(1e6, 7.0), "./model.py:reply": Price(0.0, 0.0)}
    table = compute(outcome.folder, rates=Rates(prices=prices)).set_index("method")
    # both questions have the same texts: sent once, and paid for by each use
    assert table.loc[MBR, "money"] == server.stats.prompt_tokens > 0
    assert table.loc["oracle", "money"] == 0


async def test_without_an_embedder_it_is_not_available(workshop: Workshop) -> None:
    record = read_record((await run(mbr(methods=("single", MBR)))).folder)
    reason = {each["name"]: each["reason"] for each in record["methods"]}[MBR]
    assert reason == "no embedder is named: give --set embedder=openai:NAME"
