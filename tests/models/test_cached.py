"""The model layer: asked once, durable when returned, bounded in its retries."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cat_bench.cache import Cache, Call, import_pool
from cat_bench.models.backends import ImportedPool, Request
from cat_bench.models.backends.replay import Replay
from cat_bench.models.backends.scripted import Scripted
from cat_bench.models.cached import Model
from cat_bench.models.measures import rewards_of
from cat_bench.models.planned import placeholder
from cat_bench.models.throttling import Limits
from cat_bench.scorers.extraction import last_boxed
from cat_bench.scorers.rubric import read_verdict
from cat_bench.types.calls import JSON, Failure, Message, Reply, Sampling
from tests import toy

ASK: tuple[Message, ...] = ({"role": "user", "content": "Well?"},)
DOWN = Failure("server", "down")
PLAIN = Sampling()


def counting(**options: object) -> Scripted:
    """Each completion says its seed, so that no two draws are the same."""
    return Scripted(lambda request, seed: f"{seed}", **options)  # type: ignore[arg-type]


def flaky(times: int, failure: Failure = DOWN) -> Scripted:
    """Every seed fails so many times before it succeeds."""
    tries: dict[int, int] = {}

    def reply(request: Request, seed: int) -> str | Failure:
        tries[seed] = tries.get(seed, 0) + 1
        return failure if tries[seed] <= times else f"{seed}"

    return Scripted(reply, choices=4)


async def test_a_slot_is_asked_for_once_however_many_want_it(cache: Cache) -> None:
    backend = counting(delay=0.01)
    model = toy.model(cache, backend)
    found = await asyncio.gather(*(model.draw(ASK, [0, 1, 2], PLAIN) for _ in range(8)))
    assert backend.completions == 3
    assert all(other == found[0] for other in found)
    assert (model.meter.made, model.meter.cached) == (3, 21)
    assert [sorted(drawn.fresh) for drawn in found].count([0, 1, 2]) == 1


async def test_a_number_is_the_same_when_it_is_made_and_when_it_is_read_again(
    cache: Cache,
) -> None:
    odd = np.array([0.1, 1 / 3])
    backend = Scripted(
        lambda request, seed: Reply(text="x", token_logprobs=-odd, measures={"certainties": odd}),
        scoring=lambda messages, text: -odd,
        rewarding=lambda messages, response: 0.2,
    )
    made, again = [
        (
            await model.logprob(ASK, "x"),
            rewards_of((await model.draw_rewards(ASK, "x"))[0]),  # type: ignore[arg-type]
            reply.token_logprobs,
            reply.measures["certainties"],
        )
        for model in (toy.model(cache, backend), toy.model(cache, backend))
        for reply in (await model.draw(ASK, [0], PLAIN)).values()
        if isinstance(reply, Reply)
    ]
    assert (backend.completions, backend.scored, backend.rewarded) == (1, 1, 1)
    for one, other in zip(made, again, strict=True):
        np.testing.assert_array_equal(one, other)


async def test_overlapping_wishes_share_what_they_have_in_common(cache: Cache) -> None:
    backend = counting(delay=0.01, choices=2)
    model = toy.model(cache, backend)
    wishes = ([0, 1, 2], [2, 3], [3, 2, 1, 0, 4], [5, 5])
    found = await asyncio.gather(*(model.draw(ASK, wish, PLAIN) for wish in wishes))
    assert backend.completions == 6
    assert [list(drawn) for drawn in found] == [[0, 1, 2], [2, 3], [3, 2, 1, 0, 4], [5]]


async def test_two_models_on_one_file_share_their_calls(tmp_path: Path) -> None:
    backends = [counting(delay=0.01) for _ in range(2)]
    with Cache(tmp_path / "c.sqlite") as one, Cache(tmp_path / "c.sqlite") as two:
        models = [toy.model(c, b) for c, b in zip((one, two), backends, strict=True)]
        found = await asyncio.gather(*(m.draw(ASK, range(20), PLAIN) for m in models))
    assert found[0] == found[1]
    assert sum(backend.completions for backend in backends) == 20


async def test_growing_a_pool_asks_for_the_rest_alone(cache: Cache) -> None:
    backend = counting()
    question = toy.sample().question
    small = await toy.model(cache, backend).rollouts(question, 4, PLAIN)
    large = await toy.model(cache, backend).rollouts(question, 10, PLAIN)
    assert large.rollouts[:4] == small.rollouts
    assert backend.completions == 10
    assert len({r.text for r in large.rollouts}) == 10


@pytest.mark.parametrize(("times", "made"), [(0, 3), (2, 3), (3, 0)])
async def test_retries_are_bounded_and_keep_their_seeds(
    times: int, made: int, cache: Cache
) -> None:
    backend = flaky(times)
    model = toy.model(cache, backend)
    found = await model.draw(ASK, range(3), PLAIN)
    assert model.meter.made == made
    assert backend.calls == min(times, toy.QUICK.retries) + 1
    assert {r.seeds for r in backend.requests} == {backend.requests[0].seeds}
    assert all(r == DOWN if made == 0 else str(r.seed) == r.text for r in _results(found))  # type: ignore[union-attr]


def _results(found: Mapping[int, Reply | Failure]) -> list[Reply | Failure]:
    return list(found.values())


async def test_only_what_failed_is_asked_for_again(cache: Cache) -> None:
    seen: list[int] = []

    def odd_ones_fail_first(request: Request, seed: int) -> str | Failure:
        seen.append(seed)
        return DOWN if seen.index(seed) % 2 and seen.count(seed) == 1 else "fine"

    backend = Scripted(odd_ones_fail_first, choices=4)
    await toy.model(cache, backend).draw(ASK, range(4), PLAIN)
    first, second = (request.seeds for request in backend.requests)
    assert second == (first[1], first[3])


async def test_no_sooner_than_the_server_asked_for(cache: Cache) -> None:
    loop = asyncio.get_running_loop()
    times: list[float] = []

    def busy(request: Request, seed: int) -> str | Failure:
        times.append(loop.time())
        wait = Failure("rate_limit", "slow down", retry_after=0.08)
        return wait if len(times) == 1 else "fine"

    await toy.model(cache, Scripted(busy)).draw(ASK, [0], PLAIN)
    assert times[1] - times[0] >= 0.08


async def test_a_permanent_failure_is_kept_and_a_passing_one_is_not(cache: Cache) -> None:
    refusal = Failure("refused", "no", permanent=True)
    for failure, calls in ((DOWN, 6), (refusal, 1)):
        backend = flaky(99, failure)
        for _ in range(2):
            assert (await toy.model(cache, backend).draw(ASK, [0], PLAIN))[0] == failure
        assert backend.calls == calls


async def test_offline_calls_nothing(cache: Cache) -> None:
    backend = counting(scoring=lambda messages, text: [-1.0])
    await toy.model(cache, backend).draw(ASK, [0], PLAIN)
    offline = toy.model(cache, backend, offline=True)
    found = await offline.draw(ASK, [0, 1], PLAIN)
    assert isinstance(found[0], Reply)
    assert isinstance(found[1], Failure)
    assert found[1].kind == "offline"
    assert isinstance(await offline.logprob(ASK, "four"), Failure)
    assert (backend.completions, backend.scored) == (1, 0)


@pytest.mark.parametrize(
    ("options", "sampling", "misses"),
    [
        ({}, Sampling(temperature=1.0), False),
        ({"seed": 7}, Sampling(temperature=1), False),
        ({"limits": Limits(concurrency=1, retries=0, deadline=9)}, Sampling(temperature=1), False),
        ({}, Sampling(temperature=1, top_p=None), False),
        ({}, Sampling(temperature=0.9), True),
        ({}, Sampling(temperature=1, max_tokens=5), True),
        ({"label": "fresh"}, Sampling(temperature=1), True),
    ],
)
async def test_what_changes_the_distribution_misses_and_nothing_else(
    options: dict[str, JSON], sampling: Sampling, misses: bool, cache: Cache
) -> None:
    backend = counting()
    await toy.model(cache, backend).draw(ASK, [0], Sampling(temperature=1))
    await toy.model(cache, backend, **options).draw(ASK, [0], sampling)
    assert backend.completions == 1 + misses


async def test_a_default_that_is_spelt_out_is_the_same_call(cache: Cache) -> None:
    backend = counting(sampling=Sampling(temperature=0.6, top_p=0.95))
    await toy.model(cache, backend).draw(ASK, [0], PLAIN)
    await toy.model(cache, backend).draw(ASK, [0], Sampling(temperature=0.6))
    assert backend.completions == 1
    assert backend.requests[0].sampling == Sampling(temperature=0.6, top_p=0.95)


async def test_seeds_differ_by_slot_run_and_label(cache: Cache) -> None:
    backend = counting()
    await toy.model(cache, backend).draw(ASK, [0, 1], PLAIN)
    await toy.model(cache, backend, seed=1).draw(ASK, [2], PLAIN)
    await toy.model(cache, backend, label="b").draw(ASK, [0], PLAIN)
    seeds = [seed for request in backend.requests for seed in request.seeds]
    assert len(set(seeds)) == 4
    assert all(0 <= seed < 2**31 for seed in seeds)


async def test_requests_are_of_the_size_that_the_backend_takes(cache: Cache) -> None:
    backend = counting(choices=4)
    await toy.model(cache, backend).draw(ASK, range(10), PLAIN)
    assert sorted(len(request.seeds) for request in backend.requests) == [2, 4, 4]


async def test_no_more_requests_in_flight_than_allowed(cache: Cache) -> None:
    running, most = 0, 0

    async def watched(request: Request, seed: int) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.002)
        running -= 1
        return "fine"

    limits = replace(toy.QUICK, concurrency=3)
    await toy.model(cache, Scripted(watched), limits=limits).draw(ASK, range(20), PLAIN)
    assert most == 3


async def test_a_disk_that_stalls_holds_the_requests_up(tmp_path: Path) -> None:
    """At a level of 4, 4 in flight and 4 that wait to be stored are what a kill may cost."""
    file = tmp_path / "c.sqlite"
    other = sqlite3.connect(file, isolation_level=None)
    gone = asyncio.Event()

    async def stalling(request: Request, seed: int) -> str:
        if not gone.is_set():
            other.execute("BEGIN IMMEDIATE")  # every place is leased by now
            gone.set()
        return f"{seed}"

    backend = Scripted(stalling)
    with Cache(file) as cache, closing(other):
        model = toy.model(cache, backend, limits=replace(toy.QUICK, concurrency=4))
        drawing = asyncio.create_task(model.draw(ASK, range(64), PLAIN))
        await gone.wait()
        seen = -1
        while seen < (seen := backend.calls):
            await asyncio.sleep(0.2)
        assert backend.calls <= 8
        other.execute("COMMIT")
        assert len((await drawing).fresh) == backend.calls == 64


async def test_a_cancelled_draw_gives_its_leases_back(tmp_path: Path) -> None:
    started = asyncio.Event()

    async def never(request: Request, seed: int) -> str:
        started.set()
        await asyncio.sleep(3600)
        return "late"

    with Cache(tmp_path / "c.sqlite") as one, Cache(tmp_path / "c.sqlite") as two:
        stuck = asyncio.create_task(toy.model(one, Scripted(never)).draw(ASK, range(3), PLAIN))
        await started.wait()
        stuck.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stuck
        async with asyncio.timeout(300):
            found = await toy.model(two, counting()).draw(ASK, range(3), PLAIN)
    assert all(isinstance(result, Reply) for result in found.values())


async def test_whoever_waits_for_a_draw_that_is_cancelled_makes_it(cache: Cache) -> None:
    gate = asyncio.Event()

    async def slow(request: Request, seed: int) -> str:
        await gate.wait()
        return "fine"

    model = toy.model(cache, Scripted(slow))
    first = asyncio.create_task(model.draw(ASK, [0], PLAIN))
    second = asyncio.create_task(model.draw(ASK, [0], PLAIN))
    await asyncio.sleep(0.02)
    first.cancel()
    gate.set()
    async with asyncio.timeout(300):
        assert isinstance((await second)[0], Reply)


async def test_a_text_is_scored_once_and_after_retries(cache: Cache) -> None:
    outcomes: list[list[float] | Failure] = [DOWN, [-1.0, -2.0]]
    backend = Scripted(lambda request, seed: "", scoring=lambda messages, text: outcomes.pop(0))
    model = toy.model(cache, backend)
    for _ in range(2):
        found = await model.logprob(ASK, "two tokens")
        np.testing.assert_array_equal(found, [-1.0, -2.0])
    assert backend.scored == 2


async def test_an_imported_pool_gives_what_it_holds(tmp_path: Path, cache: Cache) -> None:
    file = tmp_path / "pool.jsonl"
    file.write_text('{"id": "q1", "problem": "x", "responses": ["= a", "= b"]}\n')
    import_pool(cache, file, name="p")
    model = Model("replay:p", Replay(ImportedPool("p", 4)), cache=cache)
    pool = await model.rollouts(toy.sample().question, 4, PLAIN)
    assert sorted(r.text for r in pool.rollouts) == ["= a", "= b"]
    assert pool.failures == {}
    found = await model.draw(ASK, [0], PLAIN)
    assert isinstance(found[0], Failure)


def test_a_placeholder_is_an_answer_a_choice_and_a_verdict() -> None:
    calls = [Call("generate", "m", messages=toy.sample(name).question.messages) for name in "ab"]
    texts = [placeholder(call, 1).text for call in calls]
    assert texts[0] != texts[1]
    assert [last_boxed(text) for text in texts] == ["2", "2"]
    verdicts = [read_verdict(text) for text in texts]
    assert all(verdict is not None and verdict.met for verdict in verdicts)


async def test_a_text_is_embedded_once_to_length_one_and_after_retries(cache: Cache) -> None:
    outcomes: list[list[float] | Failure] = [DOWN, [3.0, 4.0]]
    backend = Scripted(lambda request, seed: "", embedding=lambda text: outcomes.pop(0))
    model = toy.model(cache, backend)
    for again in (model, model, toy.model(cache, backend, offline=True)):
        found = await again.embed("two words")
        assert not isinstance(found, Failure)
        np.testing.assert_allclose(found, [0.6, 0.8])
    assert backend.embedded == 2
    assert (model.meter.made, model.meter.usage.prompt) == (1, 2)


async def test_an_embedding_is_planned_without_a_call(cache: Cache) -> None:
    backend = Scripted(lambda request, seed: "", embedding=lambda text: [3.0, 4.0])
    model = toy.model(cache, backend, planning=True)
    np.testing.assert_array_equal(await model.embed("some twenty letters."), [1.0])
    assert (backend.embedded, model.meter.made, model.meter.usage.prompt) == (0, 1, 5)
