"""Costs, worked out by hand."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from statistics import mean

import numpy as np
import pytest

from cat_bench.errors import UsageError
from cat_bench.models.costs import (
    COSTS,
    Budget,
    Charge,
    Price,
    Sampled,
    Use,
    costs,
    flops,
    price_of,
    read_prices,
    sum_spent,
)
from cat_bench.types.calls import Failure, Reply, Usage

REFUSED, DOWN = Failure("refused", "no", permanent=True), Failure("server", "down")
POOL = Sampled(
    [
        Reply(text="one", finish="stop", usage=Usage(10, 20, 5)),
        Reply(text="two", finish="length", usage=Usage(10, 40, 15)),
        REFUSED,
        DOWN,
    ]
)
BILL = [
    Charge.of("anchor", Reply(text="so", usage=Usage(100, 8)), fresh=True),
    Charge.of("judge", Reply(text=" ", finish="stop", usage=Usage(50, 1))),
    Charge.of("judge", Reply(text="cu", finish="length", usage=Usage(60, 2, 1)), fresh=True),
    Charge.of("policy", Reply(text="greedy", usage=Usage(10, 30)), fresh=True),
    Charge.of("anchor", REFUSED),
    Charge.of("judge", DOWN),
    Charge("embedder", Usage(7), once="a text"),
    Charge("embedder", Usage(7), once="a text"),
]


def test_each_column_by_hand() -> None:
    found = costs(POOL.use(4, path=30), pool=POOL, bill=BILL)
    assert list(found) == list(COSTS)
    assert found == {
        "calls": 4 + 7,
        "prompt_tokens": 4 * 10 + 227,
        "shared_prompt_tokens": 10 + 227,
        "completion_tokens": 4 * 30 + 41,
        "reasoning_tokens": 4 * 10 + 1,
        "sequential_tokens": 40 + 30,
        "policy_calls": 4 + 1,
        "policy_tokens": 4 * 40 + 40,
        "policy_completion_tokens": 4 * 30 + 30,
        "anchor_calls": 2,
        "anchor_tokens": 108,
        "anchor_completion_tokens": 8,
        "judge_calls": 3,
        "judge_tokens": 51 + 62,
        "judge_completion_tokens": 3,
        "embedder_calls": 1,
        "embedder_tokens": 7,
        "embedder_completion_tokens": 0,
        "reward_calls": 0,
        "reward_tokens": 0,
        "reward_completion_tokens": 0,
        "spent_calls": 3,
        "spent_prompt_tokens": 170,
        "spent_completion_tokens": 40,
        "truncated": 4 * 1 / 4 + 1,
        "refused": 4 * 1 / 4 + 1,
        "empty": 0 + 1,
        "missing": 4 * 1 / 4 + 1,
    }


def test_a_use_without_rollouts_costs_its_calls() -> None:
    found = costs(POOL.use(0), pool=POOL, bill=BILL[3:4])
    assert (found["calls"], found["prompt_tokens"], found["completion_tokens"]) == (1, 10, 30)
    assert (found["shared_prompt_tokens"], found["truncated"], found["missing"]) == (10, 0, 0)


def test_a_use_of_a_pool_with_nothing_in_it_is_still_counted() -> None:
    pool = Sampled([DOWN])
    found = costs(pool.use(2), pool=pool, bill=())
    assert (found["calls"], found["completion_tokens"], found["missing"]) == (2, 0, 2)


@pytest.mark.parametrize(
    ("result", "end"),
    [
        (Reply(text="fine", finish="stop"), None),
        (Reply(text="fine"), None),
        (Reply(text="cut", finish="length"), "truncated"),
        (Reply(text="", finish="stop"), "empty"),
        (Reply(text=" \n", finish="length"), "empty"),
        (REFUSED, "refused"),
        (DOWN, "missing"),
        (Failure("context", "too long", permanent=True), "missing"),
    ],
)
def test_how_a_call_ended(result: Reply | Failure, end: str | None) -> None:
    assert Charge.of("judge", result).end == end


def test_what_was_really_spent() -> None:
    assert sum_spent(BILL) == {"calls": 3, "prompt_tokens": 170, "completion_tokens": 40}
    assert sum_spent([]) == {"calls": 0, "prompt_tokens": 0, "completion_tokens": 0}


def test_prices_are_per_million(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text("gpt-4.1-mini: {input: 0.4, output: 1.6}\nopenai:own: {input: 1, output: 2}\n")
    prices = read_prices(file)
    mini = price_of("openai:gpt-4.1-mini", prices)
    assert mini == Price(0.4, 1.6)
    assert mini.of(Usage(1_000_000, 500_000)) == pytest.approx(0.4 + 0.8)
    assert price_of("openai:own", prices) == Price(1, 2)
    assert price_of("openai:own{choices=1}", prices) == Price(1, 2)
    assert price_of("openai:gpt-4.1-mini{base_url=http://h/v1}", prices) == mini
    with pytest.raises(
        UsageError, match=r"no price of 'openai:gone', only for gpt-4.1-mini, openai"
    ):
        price_of("openai:gone", prices)


@pytest.mark.parametrize(
    "content",
    [
        *("m: {input: cheap, output: 1}", "m: {input: 1}", "m: 3", "m: {inptu: 1, output: 1}"),
        *(
            "m: {input: -1, output: 1}",
            "m: {input: .nan, output: 1}",
            "m: {input: 1, output: .inf}",
        ),
    ],
)
def test_a_price_file_is_read_strictly(content: str, tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(content)
    with pytest.raises(UsageError, match=r"prices.yaml: m"):
        read_prices(file)


def test_flops_of_a_completion() -> None:
    assert flops(Usage(100, 50), 4e9) == 2 * 4e9 * 150


def test_a_budget_of_tokens_stops_when_it_is_reached() -> None:
    reasons: list[str] = []
    budget = Budget(reasons.append, tokens=1_000)
    budget.check("openai:m")
    budget.spend("openai:m", Usage(400, 500))
    assert reasons == []
    budget.spend("openai:m", Usage(60, 40))
    assert reasons == ["the budget of 1,000 tokens is spent"]
    assert budget.spent_tokens == 1_000


def test_a_budget_of_money_adds_the_models_up() -> None:
    reasons: list[str] = []
    prices = {"a": Price(1, 10), "b": Price(2, 0)}
    budget = Budget(reasons.append, money=3.0, prices=prices)
    budget.spend("openai:a", Usage(1_000_000, 100_000))
    assert reasons == []
    assert budget.spent_money == pytest.approx(2.0)
    budget.spend("openai:b", Usage(500_000, 7))
    assert reasons == ["the budget of 3 is spent"]


def test_a_budget_of_money_needs_the_price_of_every_model() -> None:
    with pytest.raises(UsageError, match="give --prices FILE"):
        Budget(print, money=1.0)
    budget = Budget(print, money=1.0, prices={"a": Price(1, 1)})
    budget.check("openai:a")
    with pytest.raises(UsageError, match="no price of 'openai:b'"):
        budget.check("openai:b")
    Budget(print).check("openai:b")


def test_a_price_that_is_missing_is_said_though_no_money_is_counted() -> None:
    with pytest.raises(UsageError, match=r"add a line `b: {input: \.\.\., output"):
        Budget(print, prices={"a": Price(1, 1)}).check("openai:b{choices=1}")


def test_what_is_paid_for_once_stands_once_and_as_made() -> None:
    seen, made = (Charge("embedder", Usage(5), fresh, once="a text") for fresh in (False, True))
    other = Charge("embedder", Usage(7), once="another")
    found = costs(POOL.use(0), pool=POOL, bill=[seen, made, seen, other])
    assert (found["calls"], found["prompt_tokens"]) == (2, 12)
    assert (found["spent_calls"], found["spent_prompt_tokens"]) == (1, 5)


def test_the_longest_of_parallel_rollouts_is_an_order_statistic() -> None:
    assert [POOL.longest(n) for n in (0, 1, 2, 4)] == [0, 30, 40, 40]
    lengths = [3, 5, 5, 9]
    pool = Sampled([Reply(text="a", usage=Usage(1, length)) for length in lengths])
    for n in (1, 2, 3, 4):
        assert pool.longest(n) == pytest.approx(mean(map(max, combinations(lengths, n))))
    assert Sampled([DOWN]).longest(1) == 0


def test_a_use_may_draw_some_rollouts_more_often_and_cut_them_short() -> None:
    pool = Sampled([Reply(text="a", usage=Usage(10, *used)) for used in ((20, 4), (40, 8))])
    part = Use(
        calls=1.5,
        slots=0.75,
        drawn=np.array([1.0, 0.5]),
        written=np.array([1.0, 0.25]),
        sequential=25.0,
    )
    found = costs(part, pool=pool, bill=BILL[:1])
    assert (found["calls"], found["prompt_tokens"], found["shared_prompt_tokens"]) == (
        *(2.5, 115, 110),
    )
    assert (found["completion_tokens"], found["reasoning_tokens"]) == (20 + 10 + 8, 6)
    assert (found["sequential_tokens"], found["policy_tokens"]) == (25, 15 + 30)
