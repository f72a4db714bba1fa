"""One method on one question: exact where exact, paid once, and every failure a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf

import numpy as np
import pytest

from cat_bench.aggregators.uniform import Uniform
from cat_bench.aggregators.vote import Vote
from cat_bench.cache import Cache
from cat_bench.errors import ConfigError, NotAvailable, is_bug
from cat_bench.evaluation.rows import ScoreRow
from cat_bench.loading import catalog
from cat_bench.models.backends import Request
from cat_bench.models.backends.scripted import Scripted
from cat_bench.stats.subsets import shuffle_slots
from cat_bench.types.calls import Failure, FloatArray, Message, Sampling
from cat_bench.types.plugins import Aggregator, Context
from cat_bench.types.records import Estimate, Question, Rollout, Score
from tests import toy

POOL = toy.pool("a = right", "b = right", "c = half", "d = no", "nothing", "f = no")
NO_ROOM = Failure("context", "too long", permanent=True)


@dataclass(frozen=True)
class Drawn:
    """An aggregator without its closed form."""

    whole: Aggregator

    async def aggregate(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> Estimate:
        return await self.whole.aggregate(question, rollouts, ctx)


@dataclass(frozen=True)
class Says:
    """Gives this estimate, or raises this, whatever it is handed."""

    outcome: Estimate | Exception | SystemExit

    async def aggregate(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> Estimate:
        if not isinstance(self.outcome, Estimate):
            raise self.outcome
        return self.outcome


@dataclass(frozen=True)
class AsksOnce:
    """Calls a model without having declared it."""

    async def aggregate(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> Estimate:
        prompt = " ".join(sorted(r.text for r in rollouts))
        return Estimate.synthesised((await ctx.anchor.ask(prompt)).text)


async def rows_of(aggregator: Aggregator, cache: Cache, **options: object) -> list[ScoreRow]:
    whole = await toy.evaluation(POOL, toy.roles(cache), cache, **options)  # type: ignore[arg-type]
    return await whole.rows(toy.method(aggregator))


@pytest.mark.parametrize("name", ["single", "majority", "min-perplexity", "best-of-n"])
@pytest.mark.parametrize("garbled", [False, True])
async def test_exact_rows_are_the_mean_over_all_drawn_ones(
    name: str, garbled: bool, cache: Cache
) -> None:
    texts = [r.text for r in POOL.rollouts] + ["g = garbled"] * garbled
    budgets = range(1, len(texts) + 1)
    whole = await toy.evaluation(
        toy.pool(*texts), toy.roles(cache), cache, budgets=budgets, draws=10_000
    )
    method = catalog.method(name)
    exact = await whole.rows(method)
    drawn = await whole.rows(toy.method(Drawn(method.aggregator)))
    assert [row.draw for row in exact] == [None] * len(budgets)
    for row in exact:
        each = [other for other in drawn if other.n == row.n]
        kept = [1 - other.lost for other in each]
        score = np.average([other.score or 0 for other in each], weights=kept)
        assert row.score == pytest.approx(score)
        assert row.lost == pytest.approx(np.mean([other.lost for other in each]))
        assert row.abstained == pytest.approx(np.mean([other.abstained for other in each]))


async def test_a_pool_of_thousands_has_drawn_and_exact_rows(cache: Cache) -> None:
    """C(2048, 512) is too large for a float."""
    pool = toy.pool(*(f"{k} = {'right' if k % 8 < 5 else 'no'}" for k in range(2048)))
    whole = await toy.evaluation(pool, toy.roles(cache), cache, budgets=(1, 512), draws=2)
    exact = await whole.rows(catalog.method("majority"))
    drawn = await whole.rows(toy.method(Drawn(Vote())))
    assert [row.failed for row in (*exact, *drawn)] == [None] * (len(exact) + len(drawn))
    assert [row.score for row in exact] == [pytest.approx(5 / 8), pytest.approx(1)]
    assert {row.subsets for row in drawn if row.n == 512} == {inf}


async def test_the_oracle_is_the_best_possible_pick(cache: Cache) -> None:
    whole = await toy.evaluation(POOL, toy.roles(cache), cache, budgets=(1, 6))
    assert [(row.n, row.score) for row in whole.oracle()] == [(1, pytest.approx(2.5 / 6)), (6, 1)]


async def test_frames_say_why_no_pick_could_be_graded(cache: Cache) -> None:
    whole = await toy.evaluation(POOL, toy.roles(cache), cache, budgets=(1,))
    scores = dict.fromkeys(whole.graded.scores, Score(None, "the judge gave no verdict"))
    unscored = replace(whole, graded=replace(whole.graded, scores=scores))
    assert [row.failed for row in (*unscored.oracle(), *unscored.worst())] == [
        "unscored: the judge gave no verdict"
    ] * 2


async def test_costs_are_those_of_one_use(cache: Cache) -> None:
    whole = await toy.evaluation(POOL, toy.roles(cache), cache, budgets=(2,), draws=1)
    words = [len(r.text.split()) for r in POOL.rollouts]
    single, cat, greedy = [
        (await whole.rows(catalog.method(name)))[0] for name in ("single", "cat", "greedy")
    ]
    assert (single.calls, single.prompt_tokens, single.shared_prompt_tokens) == (2, 14, 7)
    assert single.completion_tokens == pytest.approx(2 * np.mean(words))
    ctx = whole.context()
    handed = [whole.rollouts[slot] for slot in (0, 1)]
    prompt = len(ctx.prompt("synthesis", drafts=[r.text for r in handed])[0]["content"].split())
    reply = len(toy.choosing(Request((), Sampling(), ()), 0).split())
    assert (cat.calls, cat.prompt_tokens, cat.shared_prompt_tokens) == (3, 14 + prompt, 7 + prompt)
    assert cat.completion_tokens == pytest.approx(2 * np.mean(words) + reply)
    assert (greedy.n, greedy.calls, greedy.prompt_tokens) == (0, 1, 3)


async def test_the_bill_of_an_exact_method_that_calls_is_measured(cache: Cache) -> None:
    judge = Scripted(toy.choosing, identity="judge")
    whole = await toy.evaluation(
        POOL, toy.roles(cache, judge=judge), cache, budgets=(2, 3), draws=9
    )
    rows = await whole.rows(catalog.method("best-of-n"))
    assert [(row.n, row.draw, row.calls) for row in rows] == [(2, None, 4), (3, None, 6)]
    assert judge.completions == len(POOL.rollouts)


async def test_a_larger_pool_buys_only_its_new_blocks(cache: Cache) -> None:
    anchor = Scripted(toy.choosing, identity="anchor")
    texts = [f"draft {k} = a" for k in range(16)]
    for size, bought in ((8, 4), (8, 4), (16, 8)):
        whole = await toy.evaluation(
            toy.pool(*texts[:size]),
            toy.roles(cache, anchor=anchor),
            cache,
            budgets=(2,),
            draws=99,
        )
        rows = await whole.rows(catalog.method("cat"))
        assert [row.draw for row in rows] == list(range(size // 2))
        assert anchor.completions == bought


async def test_methods_share_the_calls_that_are_the_same(cache: Cache) -> None:
    model = Scripted(toy.choosing, capabilities=toy.EVERYTHING)
    whole = await toy.evaluation(POOL, toy.roles(cache, model), cache, budgets=(1,), draws=2)
    await whole.rows(catalog.method("cat"))
    assert model.completions == 2
    await whole.rows(catalog.method("cat-1"))
    assert model.completions == 2
    whole = replace(whole, settings=replace(whole.settings, budgets=(3,)))
    chosen = [await whole.rows(catalog.method(f"{who}-select")) for who in ("self", "judge")]
    assert model.completions == 4
    assert [row.picks for row in chosen[0]] == [row.picks for row in chosen[1]]


async def test_greedy_reads_nothing_and_asks_at_temperature_0(cache: Cache) -> None:
    policy = Scripted(toy.choosing, sampling=Sampling(temperature=0.8))
    whole = await toy.evaluation(POOL, toy.roles(cache, policy), cache)
    (row,) = await whole.rows(catalog.method("greedy"))
    assert (row.n, row.score, row.picks) == (0, 1.0, ())
    assert [r.sampling.temperature for r in policy.requests] == [0]
    assert policy.requests[0].messages == POOL.question.messages
    await whole.rows(catalog.method("greedy"))
    assert policy.calls == 1


async def test_greedy_stands_where_every_rollout_failed(cache: Cache) -> None:
    nothing = toy.pool(failures=dict.fromkeys(range(3), NO_ROOM))
    whole = await toy.evaluation(nothing, toy.roles(cache), cache)
    assert [row.score for row in await whole.rows(catalog.method("greedy"))] == [1.0]
    assert await whole.rows(catalog.method("majority")) == []
    assert whole.oracle() == []


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (ZeroDivisionError("oops"), "ZeroDivisionError: oops"),
        (SystemExit("no key"), "SystemExit: no key"),
        (Estimate(picks=((4, 1.0),)), "picked slots [4]"),
        (Estimate(picks=((0, 1.0), (1, 1.0))), "not shares that sum to 1"),
        (Estimate(picks=((0, 2.0), (1, -1.0))), "not shares that sum to 1"),
        (Estimate.synthesised("= garbled"), "unscored"),
    ],
)
async def test_what_a_plug_in_gets_wrong_is_a_row(
    outcome: Estimate | Exception | SystemExit, reason: str, cache: Cache
) -> None:
    rows = await rows_of(Says(outcome), cache, budgets=(2,), free_draws=1, draws=1)
    assert len(rows) == 1
    assert rows[0].score is None
    assert reason in str(rows[0].failed)
    assert is_bug(str(rows[0].failed)) == (reason != "unscored"), "a second try mends no bug"


async def test_a_closed_form_may_be_a_list_and_a_score_that_is_missing_says_why(
    cache: Cache,
) -> None:
    class First(Says):
        async def pick_probabilities(
            self, question: Question, pool: Sequence[Rollout], budgets: Sequence[int], ctx: Context
        ) -> list[list[float]]:
            return [[1.0] + [0.0] * (len(pool) - 1)] * len(budgets)

    rows = await rows_of(First(Estimate.abstain("never asked")), cache, budgets=(1,))
    assert rows[0].score == 1.0
    whole = await toy.evaluation(toy.pool("= garbled"), toy.roles(cache), cache)
    judged = replace(
        whole, graded=replace(whole.graded, scores={"= garbled": Score(None, "the judge is out")})
    )
    for name in ("single", "best_of_n{by=length}"):
        assert (await judged.rows(catalog.method(name)))[0].failed == "unscored: the judge is out"
    assert (await whole.rows(catalog.method("single")))[0].failed == (
        "unscored: no pick could be graded"
    )


async def test_a_closed_form_that_breaks_is_a_row_at_every_budget(cache: Cache) -> None:
    @dataclass(frozen=True)
    class Broken(Says):
        shape: tuple[int, ...] | None = None

        async def pick_probabilities(self, *args: object) -> FloatArray:
            if self.shape is None:
                raise KeyError("no")
            return np.ones(self.shape)

    nothing = Estimate.abstain("never asked")
    for broken, reason in (
        (Broken(nothing), "KeyError"),
        (Broken(nothing, (6,)), "has shape"),
        (Broken(nothing, (2, 6)), "not shares of 1"),
    ):
        rows = await rows_of(broken, cache, budgets=(1, 2))
        assert [(row.n, row.score) for row in rows] == [(1, None), (2, None)]
        assert all(reason in (row.failed or "") for row in rows)


async def test_a_failed_call_is_no_wrong_answer(cache: Cache) -> None:
    anchor = Scripted(lambda request, seed: Failure("server", "down"), identity="down")
    whole = await toy.evaluation(POOL, toy.roles(cache, anchor=anchor), cache, budgets=(2,))
    rows = await whole.rows(catalog.method("cat"))
    assert [(row.score, row.failed) for row in rows] == [(None, "server: down")] * 3


async def test_an_abstention_scores_nothing_and_is_counted(cache: Cache) -> None:
    (row, *_) = await rows_of(Says(Estimate.abstain("undecided")), cache)
    assert (row.score, row.abstained, row.failed) == (0.0, 1.0, None)


@pytest.mark.parametrize("error", [NotAvailable("no such thing"), ConfigError("a", "b", "c")])
async def test_what_no_row_can_say_leaves_the_module(error: Exception, cache: Cache) -> None:
    with pytest.raises(type(error)):
        await rows_of(Says(error), cache)


async def test_a_method_that_turns_out_to_call_gets_no_free_draws(cache: Cache) -> None:
    rows = await rows_of(AsksOnce(), cache, budgets=(2,), draws=3, free_draws=15)
    assert [row.calls for row in rows] == [3, 3, 3]


async def test_a_slot_that_may_yet_be_filled_keeps_its_place(cache: Cache) -> None:
    anchor = Scripted(toy.choosing, identity="anchor")
    texts = [f"draft {k} = a" for k in range(6)]

    async def bought(failures: dict[int, Failure]) -> list[str]:
        pool = toy.pool(
            *(text for slot, text in enumerate(texts) if slot not in failures), failures=failures
        )
        whole = await toy.evaluation(
            pool, toy.roles(cache, anchor=anchor), cache, budgets=(2,), draws=9
        )
        before = anchor.calls
        await whole.rows(catalog.method("cat"))
        prompts = [r.messages[0]["content"] for r in list(anchor.requests)[before:]]
        return sorted("".join(t[6] for t in texts if t in prompt) for prompt in prompts)

    assert await bought({1: Failure("timeout", "late")}) == ["23", "45"]
    assert await bought({}) == ["01"]
    assert await bought({1: NO_ROOM}) == ["02", "34"]


async def test_the_same_subset_is_always_the_same_prompt(cache: Cache) -> None:
    seen: list[tuple[Message, ...]] = []

    def anchor(request: Request, seed: int) -> str:
        seen.append(request.messages)
        return "= right"

    texts = tuple(f"draft {k} = a" for k in range(4))
    for label in ("one run", "another"):
        backend = Scripted(anchor, identity=label)
        whole = await toy.evaluation(
            toy.pool(*texts), toy.roles(cache, anchor=backend), cache, budgets=(4,)
        )
        await whole.rows(catalog.method("cat"))
    assert seen[0] == seen[1]
    order = [
        int(line[6]) for line in seen[0][0]["content"].splitlines() if line.startswith("draft")
    ]
    assert sorted(order) == [0, 1, 2, 3] != order


async def test_a_draw_keeps_what_it_read_in_the_order_it_was_handed(cache: Cache) -> None:
    drawn = toy.method(Drawn(Vote()))
    rows = await (await toy.evaluation(POOL, toy.roles(cache), cache, budgets=(3,))).rows(drawn)
    assert {row.slots for row in rows} >= {
        shuffle_slots("q1", (0, 1, 2)),
        shuffle_slots("q1", (3, 4, 5)),
    }


@pytest.mark.parametrize(
    ("text", "answer", "cluster"),
    [("it is = RIGHT", "RIGHT", 2), ("so = new", "new", None), ("hm", None, None)],
)
async def test_a_synthesis_has_the_cluster_that_its_answer_has_in_the_pool(
    cache: Cache, text: str, answer: str | None, cluster: int | None
) -> None:
    says = toy.method(Says(Estimate.synthesised(text)))
    evaluation = await toy.evaluation(POOL, toy.roles(cache), cache, budgets=(2,))
    (row, *_) = await evaluation.rows(says)
    assert (row.answer, row.answer_cluster) == (answer, cluster)
    assert cluster is None or evaluation.graded.labels[0] == cluster


async def test_beyond_the_budgets_only_what_is_exact_and_free_is_evaluated(cache: Cache) -> None:
    evaluation = await toy.evaluation(POOL, toy.roles(cache), cache, budgets=(2,))
    evaluation = replace(evaluation, settings=replace(evaluation.settings, beyond=(4, 6, 9)))
    assert [row.n for row in await evaluation.rows(toy.method(Vote()))] == [2, 4, 6]
    assert [row.n for row in evaluation.oracle()] == [2, 4, 6]
    assert {row.n for row in await evaluation.rows(toy.method(Drawn(Vote())))} == {2}


async def test_new_rollouts_would_move_an_exact_value_by_what_quarters_of_the_pool_differ(
    cache: Cache,
) -> None:
    """Single's quarters are worth 1, 0.5, 0, 0: a variance of 0.2292, that of their mean a 4th."""
    texts = ["= right", "= right", "= right", "= no", "= no", "= no", "= no", "= no"]
    evaluation = await toy.evaluation(toy.pool(*texts), toy.roles(cache), cache, budgets=(2, 4))
    rows = await evaluation.rows(toy.method(Uniform()))
    assert rows[0].rollout_var == pytest.approx(0.2291667 / 4)
    assert rows[1].rollout_var is None
