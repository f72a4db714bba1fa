"""Tournaments by hand."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from cat_bench.aggregators.pairwise import Pairwise
from cat_bench.cache import Cache
from cat_bench.models.backends import Request
from cat_bench.models.backends.scripted import Scripted
from tests import toy


def stronger(request: Request, seed: int) -> str:
    """The candidate of the higher strength wins, wherever it stands."""
    first, second = map(int, re.findall(r"strength (\d+)", request.messages[-1]["content"]))
    return f"\\boxed{{{1 if first > second else 2}}}"


@pytest.mark.parametrize(("schedule", "comparisons"), [("league", 10), ("knockout", 4)])
async def test_the_strongest_wins(schedule: str, comparisons: int, cache: Cache) -> None:
    judge = Scripted(stronger, identity="judge")
    pool = toy.pool(*(f"strength {k} = {k}" for k in (3, 1, 5, 2, 4)))
    tournament = Pairwise(schedule=schedule)  # type: ignore[arg-type]
    estimate, ctx = await toy.estimate(tournament, pool, cache, toy.roles(cache, judge=judge))
    assert estimate.picks == ((2, 1.0),)
    assert judge.completions == len(ctx.bill) == 2 * comparisons


def circular(request: Request, seed: int) -> str:
    """Rock, paper, scissors."""
    pair = re.findall(r"(rock|paper|scissors) =", request.messages[-1]["content"])
    beats = [["paper", "rock"], ["scissors", "paper"], ["rock", "scissors"]]
    return "\\boxed{1}" if pair in beats else "\\boxed{2}"


async def test_a_circle_ties_in_a_league_and_is_settled_by_the_bracket(cache: Cache) -> None:
    pool = toy.pool("rock = a", "paper = b", "scissors = c")
    roles = toy.roles(cache, judge=Scripted(circular, identity="judge"))
    league, _ = await toy.estimate(Pairwise(), pool, cache, roles)
    assert dict(league.picks) == pytest.approx({0: 1 / 3, 1: 1 / 3, 2: 1 / 3})
    first, _ = await toy.estimate(Pairwise(schedule="knockout"), pool, cache, roles)
    again, _ = await toy.estimate(Pairwise(schedule="knockout"), pool, cache, roles)
    assert len(first.picks) == 1
    assert first == again


async def test_lots_settle_what_is_drawn(cache: Cache) -> None:
    judge = Scripted(lambda request, seed: "\\boxed{1}", identity="always the first")
    roles = toy.roles(cache, judge=judge)
    won = set()
    for number in range(12):
        pool = toy.pool("one = a", "two = b", question=f"q{number}")
        estimate, _ = await toy.estimate(Pairwise(schedule="knockout"), pool, cache, roles)
        won |= {slot for slot, _ in estimate.picks}
    assert won == {0, 1}


async def test_a_rollout_without_a_match_is_neither_first_nor_last(cache: Cache) -> None:
    """Three in one round of a league: the winner is picked, whoever was left out."""
    judge = Scripted(lambda request, seed: "no winner", identity="undecided")
    roles = toy.roles(cache, judge=judge)
    for number in range(6):
        pool = toy.pool("one = a", "two = b", "three = c", question=f"q{number}")
        estimate, _ = await toy.estimate(Pairwise(matches=1), pool, cache, roles)
        assert len(estimate.picks) == 3, "all comparisons were drawn"


async def test_nobody_is_left_out_of_two_rounds(cache: Cache) -> None:
    for number in range(8):
        judge = Scripted(stronger, identity="judge")
        pool = toy.pool(*(f"strength {k} = {k}" for k in range(9)), question=f"q{number}")
        knockout = Pairwise(schedule="knockout")
        await toy.estimate(knockout, pool, cache, toy.roles(cache, judge=judge))
        asked = [re.findall(r"strength (\d)", r.messages[-1]["content"]) for r in judge.requests]
        matches = list(dict.fromkeys(frozenset(pair) for pair in asked))
        played = Counter(name for match in matches for name in match)
        assert min(played[name] for name in matches[-1]) >= 3, "finalists of nine play three times"


async def test_every_subset_of_a_pool_lives_on_the_same_comparisons(cache: Cache) -> None:
    judge = Scripted(stronger, identity="judge")
    pool = toy.pool(*(f"strength {k} = {'right' if k > 3 else 'no'}" for k in range(6)))
    whole = await toy.evaluation(
        pool, toy.roles(cache, judge=judge), cache, budgets=(2, 3), free_draws=70
    )
    rows = await whole.rows(toy.method(Pairwise()))
    assert judge.completions == 6 * 5
    by_n = {n: [row for row in rows if row.n == n] for n in (2, 3)}
    assert {n: len(group) for n, group in by_n.items()} == {2: 15, 3: 20}
    # The best of two is above 3 unless both are of the lower four; of three likewise.
    assert sum(row.score or 0 for row in by_n[2]) == 15 - 6
    assert sum(row.score or 0 for row in by_n[3]) == 20 - 4
    assert {row.calls for row in by_n[2]} == {2 + 2}
    assert {row.judge_calls for row in by_n[3]} == {6}
