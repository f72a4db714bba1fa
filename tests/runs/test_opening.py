"""From a configuration to a run: what is shared, what is said before anything is paid for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cat_bench.cache import Cache, import_pool
from cat_bench.errors import UsageError
from cat_bench.report.summary import summarise
from cat_bench.runs.again import replay_run
from cat_bench.runs.config import RunConfig
from cat_bench.runs.folder import read_record, read_scores
from cat_bench.runs.opening import run
from cat_bench.types.calls import JSON
from tests.conftest import Workshop

MODEL = "scripted:./model.py:reply"


def config(**fields: JSON) -> RunConfig:
    whole = {"task": "toy/task.yaml", "model": MODEL, "pool": 4, "n": (1, 2), "limit": 3}
    return RunConfig(**{**whole, **fields})


async def test_the_same_configuration_lands_in_the_same_folder(workshop: Workshop) -> None:
    first, again = await run(config()), await run(config())
    other = await run(config(sampling={"policy": {"temperature": 0.5}}))
    assert first.folder == again.folder != other.folder
    assert again.meters[MODEL].made == 0
    before, after = read_record(first.folder), read_record(other.folder)
    assert before["id"] != after["id"]
    assert before["pool_digest"] != after["pool_digest"]


async def test_how_fast_it_goes_changes_nothing(workshop: Workshop) -> None:
    first = await run(config(concurrency=1))
    again = await run(config(retries=1, deadline=9.0))
    assert again.folder == first.folder
    assert again.meters[MODEL].made == 0


async def test_a_label_and_a_seed(workshop: Workshop) -> None:
    made = {}
    named: dict[str, dict[str, JSON]] = {"plain": {}, "seed": {"seed": 5}, "label": {"label": "b"}}
    for name, fields in named.items():
        outcome = await run(config(methods=("single",), **fields))
        made[name] = outcome.meters[MODEL].made
    assert made == {"plain": 12, "seed": 0, "label": 12}


async def test_a_model_that_is_named_twice_is_one(workshop: Workshop) -> None:
    outcome = await run(config(anchor=MODEL, judge=MODEL))
    assert list(outcome.meters) == [MODEL]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n": (8,)}, "--n 8 does not fit a pool of 4 rollouts: give --pool 8"),
        ({"methods": ("majority", "majority{}")}, "two methods are called 'majority'"),
        ({"limit": 1, "data": Path("gone.jsonl")}, "gone.jsonl"),
        ({"sampling": {"policy": {"temprature": 1}}}, "sampling.policy: temprature"),
        ({"model": "replay:two", "pool": 3, "n": ()}, "--pool 3 is more than the 2 rollouts"),
        ({"out": Path("toy")}, "toy holds files that are not a run"),
        ({"methods": ("./odd.py:Odd",)}, "there is no need 'anchr'. Did you mean 'anchor'?"),
    ],
)
async def test_what_is_refused_before_anything_is_paid_for(
    fields: dict[str, JSON], message: str, workshop: Workshop
) -> None:
    with Cache() as cache:
        Path("pool.jsonl").write_text('{"id": "a", "problem": "?", "responses": ["x", "y"]}\n')
        import_pool(cache, Path("pool.jsonl"), name="two")
    odd = "class Odd:\n    needs = ('anchr',)\n    async def aggregate(self, *_): ...\n"
    Path("odd.py").write_text(odd)
    with pytest.raises(UsageError) as caught:
        await run(config(**fields))
    assert message in str(caught.value)
    assert workshop.calls == 0
    assert workshop.clean(runs=0)


async def test_methods_that_cannot_run_are_named_with_their_reason(workshop: Workshop) -> None:
    outcome = await run(config(methods=("single", "min-perplexity")))
    reasons = {each["name"]: each["reason"] for each in read_record(outcome.folder)["methods"]}
    assert reasons["single"] is None
    assert "gives no logprobs" in reasons["min-perplexity"]
    assert set(read_scores(outcome.folder)["method"]) == {"single", "oracle"}
    assert outcome.census.complete


PICKY = """\
from cat_bench import Estimate, NotAvailable


class Picky:
    async def aggregate(self, question, rollouts, ctx):
        if question.id == "q2":
            raise NotAvailable("q2 is too much")
        return Estimate.pick(rollouts[{index}])
"""


async def test_an_edited_method_is_another_run(workshop: Workshop) -> None:
    file = workshop.folder / "picky.py"
    folders = []
    for index in (0, -1, 0):
        file.write_text(PICKY.format(index=index))
        folders.append((await run(config(methods=("./picky.py:Picky",), limit=2))).folder)
    assert folders[0] == folders[2] != folders[1]


async def test_a_method_that_gives_up_leaves_no_rows(workshop: Workshop) -> None:
    (workshop.folder / "picky.py").write_text(PICKY.format(index=0))
    outcome = await run(config(methods=("single", "./picky.py:Picky")))
    assert outcome.census.unavailable == {"Picky": "q2 is too much"}
    assert set(read_scores(outcome.folder)["method"]) == {"single", "oracle"}


async def test_a_pool_of_another_task_is_refused(workshop: Workshop) -> None:
    rows = {"other": ("x1", "Is it x1?"), "same id": ("q1", "Is it another one?")}
    file = workshop.folder / "rows.jsonl"
    for (name, problem), said in zip(rows.values(), ("any of these", "'q1'"), strict=True):
        row = {"id": name, "problem": problem, "answer": "yes", "responses": ["so yes"]}
        file.write_text(json.dumps(row) + "\n")
        with Cache() as cache:
            import_pool(cache, file, name="mine", overwrite=True)
        with pytest.raises(UsageError, match=said):
            await run(config(model="replay:mine", pool=1, n=(1,)))


async def test_budgets_reach_the_pool_where_that_costs_no_call(workshop: Workshop) -> None:
    (workshop.folder / "last.py").write_text(
        "from cat_bench import Estimate\n\n\n"
        "class Last:\n"
        '    """Picks the last rollout."""\n\n'
        "    async def aggregate(self, question, rollouts, ctx):\n"
        "        return Estimate.pick(rollouts[-1])\n"
    )
    methods = ("majority", "cat", "greedy", "./last.py:Last")
    outcome = await run(config(n=(), pool=12, methods=methods))
    summary = summarise(outcome.folder)
    budgets = {name: list(rows["n"]) for name, rows in summary.groupby("method")}
    free, costly = [1, 2, 4, 8, 12], [1, 2, 4, 8]
    assert budgets == {
        **dict.fromkeys(("majority", "Last", "oracle"), free),
        "cat": costly,
        "greedy": [0],
    }
    record = read_record(outcome.folder)
    assert (record["config"]["budgets"], record["config"]["free_budgets"]) == (costly, [12])
    with pytest.raises(
        UsageError, match="free_n 16 does not fit: give an n from 1 to 12, the pool"
    ):
        await run(config(n=(), pool=12, free_n=(16,)))


async def test_budgets_that_are_named_are_all_that_is_shown(workshop: Workshop) -> None:
    outcome = await run(config(n=(1, 2), pool=8, methods=("majority", "cat")))
    assert "free_budgets" not in read_record(outcome.folder)["config"]
    assert set(summarise(outcome.folder)["n"]) == {1, 2}


async def test_a_run_plays_again_with_its_own_budgets(workshop: Workshop, tmp_path: Path) -> None:
    for name, fields in (("default", {"n": (), "pool": 8}), ("named", {"n": (2,), "pool": 8})):
        outcome = await run(config(methods=("majority", "cat"), **fields))
        record = read_record(outcome.folder)
        again = await replay_run(record, tmp_path / name)
        assert again["config"] == record["config"]
        assert again["id"] == record["id"]
