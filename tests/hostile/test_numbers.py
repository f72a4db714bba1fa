"""Log-probabilities and rewards that are missing or infinite: from a server, a file, an old cache.

A method that reads them is unscored. It neither abstains, which would count 0, nor ranks a rollout
last, which would let whoever sent the number choose the winner.
"""

from __future__ import annotations

import json
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cat_bench.aggregators.best_of_n import BestOfN
from cat_bench.aggregators.majority_of_the_bests import MajorityOfTheBests
from cat_bench.aggregators.vote import Vote
from cat_bench.cache import Cache, Call, verify
from cat_bench.errors import CallFailed
from cat_bench.models.backends.openai import OpenAI
from cat_bench.models.backends.scripted import Scripted
from cat_bench.models.cached import Model
from cat_bench.models.measures import embedding_of, logprobs_of, rewards_of
from cat_bench.models.throttling import Limits
from cat_bench.types.calls import Reply, Sampling
from cat_bench.types.records import Pool, Rollout
from tests import toy
from tests.conftest import Workshop
from tests.hostile.sockets import always, completion, dumped, serving

METHODS = [
    BestOfN("perplexity"),
    Vote(by="perplexity"),
    Vote(by="perplexity", weight="value"),
    Vote(by="confidence{of=logprobs,window=2}", keep=0.5),
    MajorityOfTheBests(by="perplexity"),
]


def _reply(text: str, *logprobs: float) -> Reply:
    return Reply(text=text, token_logprobs=np.array(logprobs, np.float32))


async def _aggregate(method: Any, first: Reply, cache: Cache) -> None:
    """Let a method choose among the reply and three with sound numbers."""
    others = [_reply(f"so {n} = b", -0.5 - n, -1.0) for n in range(3)]
    rollouts = tuple(Rollout(slot, reply) for slot, reply in enumerate([first, *others]))
    await toy.estimate(method, Pool(toy.sample().question, rollouts), cache, toy.roles(cache))


@pytest.mark.parametrize("number", [None, nan, inf, -inf, 1e300], ids=str)
@pytest.mark.parametrize("method", METHODS, ids=str)
async def test_a_servers_missing_number_leaves_the_method_unscored(
    method: Any, number: float | None, cache: Cache
) -> None:
    answer = completion("so = a")
    content = [{"token": "so", "logprob": -0.1}, {"token": "a", "logprob": number}]
    answer["choices"][0]["logprobs"] = {"content": content}
    async with serving(always(dumped(answer))) as url:
        backend = OpenAI("m", base_url=url, timeout=10)
        model = Model("m", backend, cache=cache, limits=Limits(retries=0))
        drawn = await model.draw([{"role": "user", "content": "?"}], [0], Sampling())
        await model.close()
    if not isinstance(drawn[0], Reply):  # no log-probability is above 0: the reply is malformed
        assert drawn[0].kind == "malformed"
        return
    with pytest.raises(CallFailed, match="of 2 logprobs of rollout 0 are missing or not finite"):
        await _aggregate(method, drawn[0], cache)


@pytest.mark.parametrize("number", [nan, inf, -inf])
@pytest.mark.parametrize("method", METHODS, ids=str)
async def test_an_old_caches_missing_number_leaves_the_method_unscored(
    method: Any, number: float, tmp_path: Path
) -> None:
    call = Call("generate", {"name": "m"})
    async with Cache(tmp_path / "old.sqlite") as old:
        await old.store(call, {0: _reply("so = a", -0.1, number)})
    async with Cache(tmp_path / "old.sqlite") as old:
        stored = (await old.lookup(call, [0]))[0]
        assert isinstance(stored, Reply)
        assert list(verify(old)) == []
        with pytest.raises(CallFailed, match="missing or not finite"):
            await _aggregate(method, stored, old)


READERS = (
    *("best_of_n{by=perplexity}", "vote{by=perplexity}", "best_of_n{by=negative_entropy}"),
    *("best_of_n{by=self_certainty}", "vote{by=self_certainty}", "best_of_n{by=confidence}"),
    *("vote{by=confidence,keep=0.5}", "majority_of_the_bests{by=perplexity}"),
    "deepconf_online{of=logprobs,window=2,warmup=2}",
)


def test_a_files_missing_number_leaves_every_method_unscored(workshop: Workshop) -> None:
    holes: list[Any] = [[-0.1, None], *([[-1.0, -2.0]] * 3)]
    measures = [{"certainties": one, "confidences": one} for one in holes]
    row: dict[str, Any] = {"id": "a", "problem": "2 + 2?", "answer": "4"}
    numbers = {"token_logprobs": holes, "token_entropies": holes, "measures": measures}
    row |= {"responses": ["\\boxed{4}"] * 2 + ["\\boxed{5}"] * 2, **numbers}
    Path("p.jsonl").write_text(json.dumps(row) + "\n")
    task = ("--task", "pool:p", "--scorer", "math_equal")
    assert workshop.run("cache", "import", "p.jsonl", *task)[0] == 0
    methods = ",".join(("majority", *READERS))
    run = ("run", "pool:p", "--n", "4", "--method", methods, "--out", "run")
    assert workshop.run(*run)[0] == 1
    table = pd.read_parquet("run/scores.parquet")
    rows: dict[str, Any] = {row["method"]: row for row in table.to_dict("records")}
    assert rows["majority"]["score"] == 0.5
    for name in READERS:
        assert np.isnan(rows[name]["score"]), name
        assert rows[name]["abstained"] == 0, name
        assert "1 of 2" in rows[name]["failed"], name
        assert "are missing or not finite" in rows[name]["failed"], name


@pytest.mark.parametrize("number", [nan, inf, -inf])
async def test_a_scored_text_with_a_missing_number_is_unscored(number: float, cache: Cache) -> None:
    def score(messages: Any, text: str) -> list[float]:
        return [-0.1, number if text.startswith("one") else -1.0]

    policy = Scripted(toy.choosing, identity="policy", scoring=score)
    pool = toy.pool("one = a", "two = b", "three = b")
    with pytest.raises(CallFailed, match="1 of 2 log-probabilities are missing or not finite"):
        await toy.estimate(
            BestOfN("mutual_predictability"), pool, cache, toy.roles(cache, policy=policy)
        )


@pytest.mark.parametrize("number", [nan, inf, -inf])
def test_a_measure_that_is_no_number_fails_its_call(number: float) -> None:
    array = np.array([0.5, number])
    measured = Reply(text="", measures={"rewards": array, "embedding": array}, token_logprobs=array)
    for read in (logprobs_of, rewards_of, embedding_of):
        with pytest.raises(CallFailed, match="1 of 2"):
            read(measured)
    with pytest.raises(CallFailed), np.errstate(invalid="ignore"):
        embedding_of(Reply(text="", measures={"embedding": np.zeros(2)}))
